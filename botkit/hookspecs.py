"""All of botkit's hooks, documented in their docstrings. ``botkit plugins --hooks`` prints them.

A plugin is a Python module (or a package's entry point in the group ``botkit``) with functions marked ``@hookimpl``:

    from botkit import Strategy, hookimpl

    class Mine(Strategy): ...

    @hookimpl
    def botkit_register_strategies(register):
        register("mine", Mine)

Hooks named ``botkit_*`` are called while a bot is being assembled. Hooks named ``on_*`` are events: every ``on_*``
method of a strategy implements one, and a plugin can wrap these methods with ``@hookimpl(wrapper=True)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from botkit.model.events import Balance, Bar, Connection, Fill, OrderBook, Ticker, Timer, Trade
from botkit.model.extension import (
    Exchange,
    ExchangeFacts,
    FeeModel,
    LatencyModel,
    Notifier,
    Options,
    QueueModel,
    ReportSection,
    RiskRule,
    TapeFormat,
    hookspec,
)
from botkit.model.orders import Order

if TYPE_CHECKING:
    import click

    from botkit.engine.strategy.base import Strategy

__all__ = [
    "Register",
    "botkit_add_commands",
    "botkit_metrics",
    "botkit_register_exchanges",
    "botkit_register_fee_models",
    "botkit_register_fill_models",
    "botkit_register_latency_models",
    "botkit_register_notifiers",
    "botkit_register_risk_rules",
    "botkit_register_strategies",
    "botkit_register_tape_formats",
    "botkit_report_sections",
    "on_balance",
    "on_bar",
    "on_book",
    "on_connection",
    "on_fill",
    "on_order",
    "on_params",
    "on_ready",
    "on_start",
    "on_stop",
    "on_ticker",
    "on_timer",
    "on_trade",
]


class Register(Protocol):
    """Registers an object under a name that configurations can use. A duplicate name is an error."""

    def __call__(self, name: str, thing: Any, /) -> None: ...


# -- assembling a bot -------------------------------------------------------------------------------------------------


@hookspec
def botkit_register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    """Register strategies: ``register("sma_cross", SmaCross)``. A configuration selects one with ``use:``."""


@hookspec
def botkit_register_exchanges(register: Callable[[str, Exchange], None]) -> None:
    """Register exchanges: ``register("bitopro", BitoPro())``. A configuration selects one with ``exchange:``.

    `botkit.model.adapter` specifies the contract of an exchange's adapter, and `botkit.testing.adapter_cases` tests it
    under pytest.
    """


@hookspec
def botkit_register_fee_models(
    register: Callable[[str, Callable[[Options, ExchangeFacts], FeeModel]], None],
) -> None:
    """Register fee models: ``register("rank", factory)``; ``factory(options, facts)`` creates a model for one account.

    A configuration selects one with ``fees: {model: NAME, ...}``.
    """


@hookspec
def botkit_register_latency_models(register: Callable[[str, Callable[[Options, int], LatencyModel]], None]) -> None:
    """Register latency models: ``register("constant", factory)``; ``factory(options, seed)`` creates a model.

    A configuration selects one with ``latency: {model: NAME, ...}``.
    """


@hookspec
def botkit_register_fill_models(register: Callable[[str, Callable[[Options], QueueModel]], None]) -> None:
    """Register queue models: ``register("queue", factory)``.

    A configuration selects one with ``fills: {model: NAME}``.
    """


@hookspec
def botkit_register_risk_rules(register: Callable[[str, Callable[[Any], RiskRule]], None]) -> None:
    """Register risk rules: ``register("max_order_value", factory)``.

    The name is a key under ``risk:`` of a bot or a strategy, and ``factory(value)`` receives the key's value. The
    factory raises ValueError with an explanation if the value is invalid.
    """


@hookspec
def botkit_register_tape_formats(register: Callable[[str, TapeFormat], None]) -> None:
    """Register data formats: ``register("frames", BitoProFrames())``."""


@hookspec
def botkit_register_notifiers(register: Callable[[str, Callable[[Options], Notifier]], None]) -> None:
    """Register notifiers: ``register("apprise", factory)``; a configuration lists them under ``notify:``."""


@hookspec
def botkit_add_commands(group: click.Group) -> None:
    """Add commands to the ``botkit`` command line: ``group.add_command(...)``."""


@hookspec
def botkit_report_sections(result: Any) -> list[ReportSection]:
    """Add sections to a backtest's report; ``result`` is a `botkit.model.results.BacktestResult`."""
    return []


@hookspec
def botkit_metrics(snapshot: dict[str, float]) -> dict[str, float]:
    """Add values to a running bot's metrics. ``snapshot`` contains botkit's own metrics; return the values to add."""
    return {}


# -- a bot's events: implemented by strategies, wrapped by plugins ---------------------------------------------------


@hookspec
def on_start() -> None:
    """Called when the bot starts, to subscribe, attach indicators and set timers. Series are not yet readable."""


@hookspec
def on_ready() -> None:
    """Called when the history is available and trading is open. From then on, series can be read and orders can be
    placed.
    """


@hookspec
def on_trade(trade: Trade) -> None:
    """Called for each public trade in a pair subscribed to with ``subscribe_trades``."""


@hookspec
def on_book(book: OrderBook) -> None:
    """Called for each new order book in a pair subscribed to with ``subscribe_book``."""


@hookspec
def on_ticker(ticker: Ticker) -> None:
    """Called with new 24-hour statistics for a pair subscribed to with ``subscribe_ticker``."""


@hookspec
def on_bar(bar: Bar) -> None:
    """Called when a bar ends in a series subscribed to with ``subscribe_bars``."""


@hookspec
def on_order(order: Order) -> None:
    """Called when one of the strategy's orders changes state."""


@hookspec
def on_fill(fill: Fill) -> None:
    """Called when all or part of one of the strategy's orders is filled. Position and balance already reflect the
    fill.
    """


@hookspec
def on_balance(balance: Balance) -> None:
    """Called when the strategy's balance in a currency changes."""


@hookspec
def on_timer(timer: Timer) -> None:
    """Called when a timer set with ``set_timer`` fires."""


@hookspec
def on_connection(connection: Connection) -> None:
    """Called when a stream connects, disconnects, or catches up again."""


@hookspec
def on_params(changed: dict[str, Any]) -> None:
    """Called when live parameters are changed during the run. ``changed`` maps names to new values, which are already
    set.
    """


@hookspec
def on_stop() -> None:
    """Called when the bot stops. Orders placed here are still sent."""
