"""What plugins implement: the marker for hook implementations and the protocols behind each kind of plugin.

The hooks themselves are in `botkit.hookspecs`; these are the shapes of what a plugin hands over through them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import msgspec
import pluggy

from botkit.model.adapter import Adapter
from botkit.model.clock import Nanos
from botkit.model.columns import MarketColumns
from botkit.model.limits import LimitTable
from botkit.model.orders import Order, Side
from botkit.model.pairs import Pair

__all__ = [
    "Exchange",
    "ExchangeFacts",
    "FeeModel",
    "FeeRank",
    "FeeRates",
    "LatencyModel",
    "Notifier",
    "Options",
    "OrderCounts",
    "QueueModel",
    "ReportSection",
    "RiskRule",
    "RiskView",
    "TapeFormat",
    "hookimpl",
    "hookspec",
    "no_discount",
]

#: marks a function of a plugin as the implementation of a hook: ``@hookimpl``
hookimpl = pluggy.HookimplMarker("botkit")
hookspec = pluggy.HookspecMarker("botkit")

Options: TypeAlias = Mapping[str, Any]


# -- the exchange -----------------------------------------------------------------------------------------------------


class FeeRank(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the exchange's fee table. Rates are integers of 1e-8 (0.002 is 200_000).

    ``volume`` is that of 30 days in whole units of the facts' ``volume_currency``, ``held`` the holding in whole units
    of their ``discount_currency``; ``needs_both`` where one of them alone is not enough. The discounted rates apply to
    fees paid in the ``discount_currency``.
    """

    rank: int
    volume: int
    held: int
    needs_both: bool
    maker_e8: int
    taker_e8: int
    discounted_maker_e8: int
    discounted_taker_e8: int


class ExchangeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an exchange without asking it: its pairs and rules, its rate limits, its fees.

    ``fee_ranks`` has one row where everybody pays the same; without any, the ``fees`` of a configuration must give the
    rates, and no bot runs live. ``volume_currency`` is the one that ranks count volume in, ``discount_currency`` the
    one that pays fees at a discount ("" for none). ``address`` is where the exchange is reached unless a configuration
    says otherwise: processes that reach it there count into the same windows.
    """

    name: str
    pairs: Mapping[str, Pair]
    limits: LimitTable
    fee_ranks: tuple[FeeRank, ...]
    volume_currency: str = ""
    discount_currency: str = ""
    address: str = ""


class Exchange(Protocol):
    """An exchange that bots can trade on. A plugin registers one under its name."""

    name: str

    def facts(self, options: Options) -> ExchangeFacts:
        """Pairs, limits and fees. ``options`` is the rest of the ``exchange:`` section of the configuration."""
        ...

    def connect(self, options: Options) -> Adapter:
        """An adapter for one account, not yet open (`botkit.model.adapter` is its contract). No backtest calls it.

        ``options`` is the ``exchange:`` section, and from the program: ``account`` (email, key, secret; empty without
        one), ``rest`` and ``ws`` (addresses, None for the exchange's own), ``clock`` and its ``speed``, ``random`` (the
        only source of chance), ``pairs``, and ``public`` where market data alone is wanted. Raises ConfigError.
        """
        ...


# -- models of the simulated exchange ---------------------------------------------------------------------------------


class FeeRates(msgspec.Struct, frozen=True, kw_only=True):
    """Rates in force, as integers of 1e-8, and where the figures come from.

    The discounted ones apply to fees paid in the exchange's ``discount_currency``.
    """

    maker_e8: int
    taker_e8: int
    discounted_maker_e8: int
    discounted_taker_e8: int
    source: str

    @property
    def maker(self) -> float:
        """Maker rate as a fraction: 0.001 is 0.1 %."""
        return self.maker_e8 / 10**8

    @property
    def taker(self) -> float:
        """Taker rate as a fraction: 0.002 is 0.2 %."""
        return self.taker_e8 / 10**8


class FeeModel(Protocol):
    """Says what an account pays. One instance an account; it may follow the account's volume."""

    #: sentences for the report
    assumptions: tuple[str, ...]
    #: True when fees are paid in the exchange's ``discount_currency`` while the account has enough of it
    uses_discount: bool

    def rates(self, now: Nanos) -> FeeRates:
        """The rates in force at ``now``."""
        ...

    def record(self, now: Nanos, volume_units: int) -> None:
        """A fill of so much value, in units of the facts' ``volume_currency``."""
        ...


def no_discount(fees: FeeModel, facts: ExchangeFacts, balances: Mapping[str, int]) -> str | None:
    """What to say where fees shall be paid in a coin that the account does not hold; None where it does."""
    coin = facts.discount_currency
    if not fees.uses_discount or balances.get(coin):
        return None
    return (
        f"fees: {{bito: true}} has no effect: the account holds no {coin.upper()}, so every fee is charged at the full "
        f"rate; add some to `balances`, such as {coin}: 1000, or leave bito out"
    )


class LatencyModel(Protocol):
    """How long things take, in nanoseconds. Draws are keyed by client id or row, never by the order of the calls."""

    assumptions: tuple[str, ...]

    def order_ns(self, key: int) -> Nanos:
        """From sending a request to its arrival at the exchange."""
        ...

    def answer_ns(self, key: int) -> Nanos:
        """From the deed at the exchange to the bot's knowing of it."""
        ...

    def feed_ns(self, key: int) -> Nanos:
        """From a market event to the bot's knowing of it."""
        ...


class QueueModel(Protocol):
    """How a resting order's place in the queue is guessed from recorded snapshots and trades. All amounts in lots."""

    assumptions: tuple[str, ...]

    def on_arrival(self, shown: int) -> int:
        """What stands ahead of an order that arrives where ``shown`` lots are recorded at its price."""
        ...

    def on_snapshot(self, ahead: int, shown: int) -> int:
        """What stands ahead after a snapshot shows ``shown`` lots at the price."""
        ...

    def on_trade(self, ahead: int, lots: int) -> tuple[int, int]:
        """(what stands ahead afterwards, what of ``lots`` is left for the order) after a trade at the price.

        More than ``lots`` may be left: the simulated exchange caps the fill by the order alone, so a reading that
        fills whole says so here.
        """
        ...

    def on_through(self, lots: int) -> int:
        """What of a trade of ``lots`` beyond the order's price the order may take."""
        ...

    def on_cross(self, lots: int) -> int:
        """What of ``lots`` that the other side shows at or beyond the order's price the order may take."""
        ...


# -- risk -------------------------------------------------------------------------------------------------------------


class OrderCounts(Protocol):
    """The orders of a strategy, or of the whole bot, as a risk rule sees them; the one under review is not counted."""

    def pending_lots(self, pair: Pair, side: Side) -> int:
        """Lots still to be filled of live and queued orders of a side, unknown ones counted as live."""
        ...

    def open_orders(self, pair: Pair | None = None) -> int:
        """Number of orders that are live or queued."""
        ...

    def orders_in_last_second(self) -> int:
        """Orders asked for in the last second."""
        ...


class RiskView(Protocol):
    """What a risk rule may look at: one strategy's figures, or the whole bot's for a rule at bot level.

    ``orders`` counts its orders.
    """

    now: Nanos
    orders: OrderCounts

    def pairs(self) -> Sequence[Pair]:
        """The pairs it trades, in the order of the configuration."""
        ...

    def last_price(self, pair: Pair) -> float | None:
        """Last traded price, or None before the first."""
        ...

    def expected_price(self, order: Order) -> float | None:
        """The average price that an order which takes would get from the visible book, or None without one."""
        ...

    def position_lots(self, pair: Pair) -> int:
        """Net amount held in the pair, in lots."""
        ...

    def value(self, units: int, currency: str, into: str) -> int | None:
        """Convert units of one currency into another at last prices, or None where no price is known yet."""
        ...

    def day_pnl_units(self, currency: str) -> int | None:
        """Change of the strategies' own equity since the trading day began, unrealised included."""
        ...


class RiskRule(Protocol):
    """May veto an order before it reaches the router. The first refusal wins."""

    def review(self, order: Order, view: RiskView) -> str | None:
        """The reason for a refusal, or None to let the order pass."""
        ...


# -- recorded data ----------------------------------------------------------------------------------------------------


class TapeFormat(Protocol):
    """Reads one kind of file into columns."""

    #: file name endings it is meant for, such as ``.frames.jsonl``
    endings: tuple[str, ...]

    def read(self, path: Path, pairs: Mapping[str, Pair], options: Options) -> Iterator[MarketColumns]:
        """The file's rows, a bounded chunk at a time, in order of receive time.

        Raises DataError naming the file and the row.
        """
        ...


class Notifier(Protocol):
    """Tells the user something outside the terminal."""

    def notify(self, level: Literal["info", "warning", "error", "breaker"], title: str, text: str) -> None:
        """Send one message. It may take its time: it is called outside the trading loop."""
        ...


class ReportSection(msgspec.Struct, frozen=True):
    """A section that a plugin adds to the backtest report: a title and safe HTML."""

    title: str
    html: str
