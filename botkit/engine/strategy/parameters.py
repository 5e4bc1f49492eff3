"""Strategy parameters: annotated class attributes, checked against the configured values.

    class SmaCross(Strategy):
        pair: Pair                                  # required
        fast: int = param(10, ge=1, le=500)         # a default and bounds
        spend: float = 20_000                       # a bare default
        weights: list[float] = param([0.5, 0.5], gt=0)
        mode: Literal["long", "both"] = "long"
        limit: Decimal | None = None

Names that start with ``_``, ``ClassVar`` and ``Final`` are not parameters. Figures in a configuration are exact,
whether bare or quoted: ``10``, ``"10"`` and ``10.0`` are the same whole number. ``010``, ``true`` and ``1.5`` are
refused as whole numbers, because a wrong guess could cost money.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botkit.engine.strategy.parameter import REQUIRED, Parameter, ParameterError
from botkit.engine.strategy.parameter_classes import parameters_of
from botkit.engine.strategy.parameter_values import check_value, did_you_mean
from botkit.model.pairs import Pair


def check_parameters(cls: type, given: Mapping[str, Any], pairs: Mapping[str, Pair]) -> dict[str, Any]:
    """Check the values for all parameters of ``cls``. Returns the values with their types, within bounds, in
    declaration order.

    ``pairs`` are the exchange's pairs by name. Lists are copied, so that two instances never share one. Raises
    ParameterError for an unknown name or a missing or invalid value, and PluginError if the class itself is invalid.
    """
    parameters = parameters_of(cls)
    for name in given:
        if name not in parameters:
            known = f"it has {', '.join(parameters)}" if parameters else "it has none"
            raise ParameterError(
                str(name), f"{cls.__name__} has no such parameter{did_you_mean(str(name), parameters)}; {known}"
            )
    values = {}
    for name, parameter in parameters.items():
        if name in given:
            values[name] = check_value(parameter, given[name], pairs)
        elif parameter.default is REQUIRED:
            hint = f": {parameter.doc}" if parameter.doc else ""
            raise ParameterError(name, f"{cls.__name__} requires it ({parameter.kind_text}{hint}); add it under params")
        else:
            values[name] = check_value(parameter, parameter.default, pairs)
    return values


def pairs_of(parameters: Mapping[str, Any]) -> list[Pair]:
    """Return the pairs among a strategy's parameters, in declaration order."""
    found: list[Pair] = []
    for value in parameters.values():
        if isinstance(value, Pair):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += [item for item in value if isinstance(item, Pair)]
    return found


def current_parameters(strategy: object) -> dict[str, Any]:
    """Return the current values of a strategy's parameters."""
    return {name: getattr(strategy, name, None) for name in parameters_of(type(strategy))}


def set_live_parameter(strategy: object, label: str, name: str, value: Any, pairs: Mapping[str, Pair] | None) -> Any:
    """Set a ``live`` parameter of a running strategy.

    Returns the checked value. ``label`` is the strategy's name in the configuration. Raises ValueError with the reason
    if the parameter cannot be set.
    """
    checked = check_live_parameter(parameters_of(type(strategy)), label, name, value, pairs)
    setattr(strategy, name, checked)
    return checked


def check_live_parameter(
    parameters: Mapping[str, Parameter], label: str, name: str, value: Any, pairs: Mapping[str, Pair] | None
) -> Any:
    """Return the value that `set_live_parameter` would set. Raises ValueError like it."""
    parameter = parameters.get(name)
    if parameter is None:
        raise ValueError(f"{label} has no parameter {name!r}; it has {', '.join(parameters)}")
    if not parameter.live:
        live = [p.name for p in parameters.values() if p.live]
        hint = f"only {', '.join(live)} can" if live else "none of its parameters can"
        raise ValueError(f"{label}.{name} cannot be changed while running; {hint} (declare it with live=True)")
    try:
        return check_value(parameter, value, pairs)
    except ParameterError as error:
        raise ValueError(f"{label}.{name}: {error.message}") from None
