"""The parameters to search and their ranges, as specified on the command line.

    sma.fast=5:50:5              5, 10, ... 50: both ends included
    sma.share=0.1:1.0            any number in the range, for random and tpe
    sma.share=0.001:0.1:log      any number in the range, drawn evenly on a logarithmic scale
    sma.resolution=1m,5m,1h      these values

Ranges are exact: ``0.1:0.3:0.1`` is 0.1, 0.2 and 0.3. Every value is validated against the strategy's parameter before
the search starts.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

import msgspec

from botkit.engine.strategy.parameter import Parameter, ParameterError
from botkit.engine.strategy.parameter_values import check_value
from botkit.errors import ConfigError
from botkit.model.pairs import Pair

__all__ = ["Axis", "Choices", "Point", "Range", "Value", "parse_axis", "points_of_grid"]

#: a parameter's value, in the form used in a configuration
Value: TypeAlias = int | float | str | bool
#: parameter name, such as ``sma.fast`` -> value, for all searched parameters in axis order
Point: TypeAlias = dict[str, Value]

#: the maximum number of values on one axis; without this limit, a mistyped step could exhaust memory
MOST_VALUES = 100_000
_SIGNIFICANT = 6


class Choices(msgspec.Struct, frozen=True):
    """A parameter that takes one of ``values``. ``is_ordered`` means that neighboring values are similar, like the
    steps of a range.
    """

    name: str
    values: tuple[Value, ...]
    is_ordered: bool


class Range(msgspec.Struct, frozen=True):
    """A parameter that takes any number from ``low`` to ``high``, inclusive."""

    name: str
    low: float
    high: float
    is_log: bool
    is_whole: bool

    def at(self, share: float) -> Value:
        """Return the number at position ``share`` (0 to 1) within the range.

        The number is rounded to six significant digits. This keeps ``best.yaml`` readable, and hides differences in the
        last bit of ``exp`` between machines.
        """
        if self.is_log:
            number = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        else:
            number = self.low + share * (self.high - self.low)
        number = min(max(number, self.low), self.high)
        return round(number) if self.is_whole else float(f"{number:.{_SIGNIFICANT}g}")


Axis: TypeAlias = Choices | Range


def parse_axis(text: str, parameters: Mapping[str, Mapping[str, Parameter]], pairs: Mapping[str, Pair]) -> Axis:
    """Parse one ``--param``. ``parameters`` maps each strategy's label to its parameters by name.

    Raises ConfigError if the strategy or the parameter does not exist, or if a value is invalid.
    """
    name, equals, wanted = text.partition("=")
    name, wanted = name.strip(), wanted.strip()
    label, dot, parameter_name = name.rpartition(".")
    if not (equals and dot and label and wanted):
        raise ConfigError(f"--param {text}: write STRATEGY.PARAMETER=RANGE, such as sma.fast=5:50:5")
    if label not in parameters:
        raise ConfigError(f"--param {text}: there is no strategy {label!r}; the configuration has {_list(parameters)}")
    parameter = parameters[label].get(parameter_name)
    if parameter is None:
        raise ConfigError(f"--param {text}: {label} has no parameter {parameter_name!r}; it has "
                          f"{_list(parameters[label])}")  # fmt: skip
    if ":" in wanted:
        return _range(text, name, wanted.split(":"), parameter, pairs)
    values = tuple(_checked(text, parameter, part.strip(), pairs) for part in wanted.split(","))
    if len(set(values)) < len(values):
        raise ConfigError(f"--param {text}: a value is listed twice")
    return Choices(name, values, is_ordered=False)


def points_of_grid(axes: Sequence[Axis]) -> int:
    """Return the number of points in the full grid. Raises ConfigError for an axis without steps."""
    count = 1
    for axis in axes:
        if isinstance(axis, Range):
            raise ConfigError(
                f"--param {axis.name}: a grid needs steps, such as {axis.name}={axis.low:g}:{axis.high:g}:STEP; "
                "--sampler random or tpe searches a range without them"
            )
        count *= len(axis.values)
    return count


def _range(text: str, name: str, parts: list[str], parameter: Parameter, pairs: Mapping[str, Pair]) -> Axis:
    if len(parts) not in (2, 3):
        raise ConfigError(f"--param {text}: a range is LOW:HIGH, LOW:HIGH:STEP or LOW:HIGH:log")
    low, high = _number(text, parts[0]), _number(text, parts[1])
    if low > high:
        raise ConfigError(f"--param {text}: the range is empty, since {low} is above {high}")
    third = parts[2].strip() if len(parts) == 3 else ""
    first = _checked(text, parameter, str(low), pairs)
    _checked(text, parameter, str(high), pairs)
    if isinstance(first, (bool, str)) and not _is_number(parameter):
        raise ConfigError(f"--param {text}: {parameter.name} is a {parameter.kind_text}; list its values: A,B,C")
    if third in ("", "log"):
        if third == "log" and low <= 0:
            raise ConfigError(f"--param {text}: a logarithmic range must start above 0")
        is_whole = isinstance(first, int)
        return Range(name, float(low), float(high), is_log=third == "log", is_whole=is_whole)
    step = _number(text, third)
    if step <= 0:
        raise ConfigError(f"--param {text}: the step must be above 0")
    count = (high - low) / step
    if count != count.to_integral_value():
        reached = low + step * int(count)
        raise ConfigError(
            f"--param {text}: steps of {step} from {low} do not reach {high}; end at {reached} or {reached + step}"
        )
    if count >= MOST_VALUES:
        raise ConfigError(f"--param {text}: that is {int(count) + 1:,} values; at most {MOST_VALUES:,} are possible")
    values = tuple(_checked(text, parameter, str(low + step * i), pairs) for i in range(int(count) + 1))
    return Choices(name, values, is_ordered=True)


def _number(text: str, part: str) -> Decimal:
    try:
        number = Decimal(part.strip())
    except InvalidOperation:
        raise ConfigError(f"--param {text}: {part.strip()!r} is not a number; a range is LOW:HIGH:STEP") from None
    if not number.is_finite() or abs(number.adjusted()) > 18:
        raise ConfigError(f"--param {text}: {part.strip()} is not a finite number")
    return number


def _is_number(parameter: Parameter) -> bool:
    return parameter.kind_text.removesuffix(", or null") in ("whole number", "number", "exact number")


def _checked(text: str, parameter: Parameter, value: str, pairs: Mapping[str, Pair]) -> Value:
    """Return a value in the form used in a configuration, after verifying that the parameter accepts it."""
    given: Any = {"true": True, "false": False}.get(value, value)
    try:
        checked = check_value(parameter, given, pairs)
    except ParameterError as error:
        raise ConfigError(f"--param {text}: {parameter.name} {error.message}") from None
    if isinstance(checked, enum.Enum):
        return value
    if isinstance(checked, Decimal):
        return str(checked)  # as text, because a float would not be exact
    if isinstance(checked, (bool, int, float, str)):
        return checked
    raise ConfigError(f"--param {text}: a {parameter.kind_text} cannot be searched")


def _list(names: Mapping[str, Any]) -> str:
    return ", ".join(names) or "none"
