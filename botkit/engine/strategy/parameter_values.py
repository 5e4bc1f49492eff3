"""Converts configured values to the kinds of their parameters, and checks bounds."""

from __future__ import annotations

import difflib
import enum
import re
import typing
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal

from botkit.engine.strategy.parameter import Parameter, ParameterError
from botkit.engine.strategy.parameter_kinds import in_words, member_text, optional_of, spelled
from botkit.model.listed_pairs import ListedPairs
from botkit.model.money import to_decimal
from botkit.model.pairs import Pair

_WHOLE = re.compile(r"[+-]?(0|[1-9]\d*)(\.0+)?\Z", re.ASCII)
_LEADING_ZERO = re.compile(r"[+-]?0\d", re.ASCII)
_DIGITS_MOST = 40  # no real amount has more digits, and int(Decimal("1e999999")) would exhaust memory


def check_value(parameter: Parameter, value: Any, pairs: Mapping[str, Pair] | None) -> Any:
    """Convert ``value`` to the parameter's kind and check its bounds.

    Raises ParameterError if the value is invalid. Without ``pairs``, a pair stays text.
    """
    return _checked(parameter, parameter.name, parameter.kind, value, pairs)


def _checked(parameter: Parameter, name: str, kind: Any, value: Any, pairs: Mapping[str, Pair] | None) -> Any:
    inner, optional = optional_of(kind)
    if value is None:
        if optional:
            return None
        raise ParameterError(name, f"is empty; give it a value ({in_words(kind)}) or omit the line")
    if typing.get_origin(inner) is list:
        if not isinstance(value, (list, tuple)):
            raise ParameterError(name, f"must be a {in_words(inner)}, such as [{value}, ...], not {value!r}")
        item = typing.get_args(inner)[0]
        return [_checked(parameter, f"{name}[{i}]", item, element, pairs) for i, element in enumerate(value)]
    if typing.get_origin(inner) is Literal:
        return _choice(name, typing.get_args(inner), value)
    if issubclass(inner, Pair):
        return _pair(name, value, pairs)
    if issubclass(inner, enum.Enum):
        return _member(name, inner, value)
    if inner is bool:
        return _truth(name, value)
    if inner is str:
        if not isinstance(value, str):
            raise ParameterError(name, f'must be text; write it in quotes: "{spelled(value)}"')
        return value
    number = _whole(name, value) if inner is int else _exact(name, value)
    _check_bounds(parameter, name, number)
    if inner is not float:
        return number
    try:
        return float(value) if isinstance(value, (int, float)) else float(number)
    except OverflowError:
        raise ParameterError(name, f"{_shortened(value)} is too large") from None


def _exact(name: str, value: Any) -> Decimal:
    if isinstance(value, str) and _LEADING_ZERO.match(value.strip()):
        raise ParameterError(name, f"{value!r} has a leading zero, which some parsers read as octal; remove it")
    try:
        number = to_decimal(value, "it")
    except TypeError:
        raise ParameterError(name, f"must be a number such as 12.5, not {_shortened(value)}") from None
    except ValueError:
        raise ParameterError(
            name, f"{_shortened(value)} is not a plain number such as 12.5 (no exponent, no separators)"
        ) from None
    return number


def _whole(name: str, value: Any) -> int:
    number = _exact(name, value)
    if number.adjusted() > _DIGITS_MOST:
        raise ParameterError(name, f"{_shortened(value)} is too large")
    if number != number.to_integral_value() or (isinstance(value, str) and not _WHOLE.match(value.strip())):
        raise ParameterError(name, f"must be a whole number such as 10, not {_shortened(value)}")
    return int(number)


def _check_bounds(parameter: Parameter, name: str, number: Decimal | int) -> None:
    # compare as decimals: Decimal("0.1") is less than the float 0.1, which no user expects
    if parameter.minimum is not None and number < to_decimal(parameter.minimum):
        raise ParameterError(name, f"must be at least {parameter.minimum}, not {number}")
    if parameter.above is not None and number <= to_decimal(parameter.above):
        raise ParameterError(name, f"must be above {parameter.above}, not {number}")
    if parameter.maximum is not None and number > to_decimal(parameter.maximum):
        raise ParameterError(name, f"must be at most {parameter.maximum}, not {number}")
    if parameter.below is not None and number >= to_decimal(parameter.below):
        raise ParameterError(name, f"must be below {parameter.below}, not {number}")


def _truth(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise ParameterError(name, f"must be true or false, not {_shortened(value)}")


def _choice(name: str, choices: tuple[Any, ...], value: Any) -> Any:
    for choice in choices:
        # True == 1 in Python: compare types first, then the spelling, so that 5 and "5" both mean the choice 5
        if type(choice) is type(value) and choice == value:
            return choice
    if not isinstance(value, bool):
        for choice in choices:
            if isinstance(value, (str, int)) and str(value) == spelled(choice):
                return choice
    raise ParameterError(name, _not_one_of(value, [spelled(choice) for choice in choices]))


def _member(name: str, kind: type[enum.Enum], value: Any) -> enum.Enum:
    if isinstance(value, kind):
        return value
    members = list(kind)
    if isinstance(value, (str, int, float, Decimal)):
        text = spelled(value)
        for member in members:
            if text == member_text(member) and isinstance(value, bool) <= isinstance(member.value, bool):
                return member
        for member in members:
            if text.lower() == member.name.lower():
                return member
    raise ParameterError(name, _not_one_of(value, [member_text(member) for member in members]))


def _pair(name: str, value: Any, pairs: Mapping[str, Pair] | None) -> Any:
    if not isinstance(value, str):
        raise ParameterError(name, f"must be a pair such as btc_twd, not {_shortened(value)}")
    if pairs is None:
        return value
    pair = pairs.get(value)
    if pair is not None:
        return pair
    # BTC_TWD, btc/twd, btc-twd and twd_btc are common mistakes, but too different for fuzzy matching
    plain = re.sub(r"[/\-. :]", "_", value.strip().lower())
    base, _, quote = plain.partition("_")
    meant = next((text for text in (plain, f"{quote}_{base}") if text in pairs), None)
    hint = f"; did you mean {meant}?" if meant else did_you_mean(plain, pairs)
    if isinstance(pairs, ListedPairs) and plain in pairs.left_out:
        raise ParameterError(name, f"{plain} cannot be traded: {pairs.left_out[plain]}")
    raise ParameterError(name, f"{value!r} is not a pair of the exchange{hint}")


def _not_one_of(value: Any, choices: list[str]) -> str:
    return f"must be one of {', '.join(choices)}, not {_shortened(value)}{did_you_mean(str(value), choices)}"


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """Return a hint with the closest known name, or "" if none is close."""
    close = difflib.get_close_matches(text.lower(), list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _shortened(value: Any) -> str:
    text = f"{value:f}" if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
