"""Changing a running bot: parameters that are declared live, and strategies that pause."""

from __future__ import annotations

from typing import Any

from botkit.engine.strategy.context import Context
from botkit.engine.strategy.parameters import ParameterError, check_value, parameters_of
from botkit.engine.turn import Engine


def _context(engine: Engine, strategy: str) -> Context:
    context = engine.contexts.get(strategy)
    if context is None:
        raise ValueError(f"there is no strategy {strategy!r}; this bot has {', '.join(engine.contexts)}")
    return context


def set_parameter(engine: Engine, strategy: str, name: str, value: Any, *, tell: bool = True) -> Any:
    """Set a parameter that is declared ``live``; returns the checked value. Raises ValueError that says why not.

    ``tell`` calls the strategy's ``on_params`` in the next turn; before the start there is nobody to tell.
    """
    context = _context(engine, strategy)
    parameters = parameters_of(type(context.strategy))
    parameter = parameters.get(name)
    if parameter is None:
        raise ValueError(f"{strategy} has no parameter {name!r}; it has {', '.join(parameters)}")
    if not parameter.live:
        live = [p.name for p in parameters.values() if p.live]
        hint = f"only {', '.join(live)} can" if live else "none of its parameters can"
        raise ValueError(f"{strategy}.{name} cannot be changed while running; {hint} (declare it with live=True)")
    try:
        checked = check_value(parameter, value, engine.pairs)
    except ParameterError as error:
        raise ValueError(f"{strategy}.{name}: {error.message}") from None
    setattr(context.strategy, name, checked)
    if tell and context.active:
        engine.notify(context, "on_params", {name: checked})
    return checked


PAUSED = "paused by hand"


def pause(engine: Engine, strategy: str) -> None:
    """Cancel a strategy's open orders and let it place no new ones, but for those that reduce its position."""
    _context(engine, strategy)
    engine.risk.halt(strategy, PAUSED)
    for order in engine.desk.open_orders(strategy):
        if not order.reduces:
            engine.desk.cancel(order, engine.now)


def resume(engine: Engine, strategy: str) -> None:
    """Let a paused or halted strategy trade again. Its day's loss counts from here."""
    context = _context(engine, strategy)
    if not context.active:
        raise ValueError(f"{strategy} was stopped ({context.stopped_because}); start the bot anew")
    engine.risk.resume(strategy)
