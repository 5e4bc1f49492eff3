"""What plugins implement: the marker for hook implementations and the protocols behind each kind of plugin.

The hooks themselves are in `botkit.hookspecs`; these are the types that a plugin provides through them.
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

#: ``@hookimpl`` marks a plugin's function as the implementation of a hook
hookimpl = pluggy.HookimplMarker("botkit")
hookspec = pluggy.HookspecMarker("botkit")

Options: TypeAlias = Mapping[str, Any]


# -- the exchange -----------------------------------------------------------------------------------------------------


class FeeRank(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the exchange's fee table. Rates are integers of 1e-8 (0.002 is 200_000).

    ``volume`` is the 30-day volume in whole units of the facts' ``volume_currency``, ``held`` the holding in whole
    units of their ``discount_currency``; ``needs_both`` if one of them alone is not enough. The discounted rates apply
    to fees paid in the ``discount_currency``.
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
    """What is known about an exchange without asking it: its pairs and rules, its rate limits, its fees.

    ``fee_ranks`` has one row if everybody pays the same; if it is empty, the configuration's ``fees`` must give the
    rates, and no bot runs live. ``volume_currency`` is the one that ranks count volume in, ``discount_currency`` the
    one that pays fees at a discount ("" for none). ``address`` is the exchange's default address: processes that use
    the same address share its rate-limit windows.
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
        """An adapter for one account, not yet open (`botkit.model.adapter` is its contract). Backtests never call it.

        ``options`` is the ``exchange:`` section, to which the program adds ``account`` (email, key, secret; empty
        without one), ``rest`` and ``ws`` (addresses, None for the exchange's own), ``clock`` and its ``speed``,
        ``random`` (the only source of randomness), ``pairs``, and ``public`` if only market data is needed. Raises
        ConfigError.
        """
        ...


# -- models of the simulated exchange ---------------------------------------------------------------------------------


class FeeRates(msgspec.Struct, frozen=True, kw_only=True):
    """Fee rates in force, as integers of 1e-8, and where the figures come from.

    The discounted rates apply to fees paid in the exchange's ``discount_currency``.
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
    """The fees that an account pays. One instance per account; it may follow the account's volume."""

    #: sentences for the report
    assumptions: tuple[str, ...]
    #: True when fees are paid in the exchange's ``discount_currency`` while the account has enough of it
    uses_discount: bool

    def rates(self, now: Nanos) -> FeeRates:
        """The rates in force at ``now``."""
        ...

    def record(self, now: Nanos, volume_units: int) -> None:
        """Count a fill of this value, in units of the facts' ``volume_currency``."""
        ...


def no_discount(fees: FeeModel, facts: ExchangeFacts, balances: Mapping[str, int]) -> str | None:
    """The caution for fees paid in a coin that the account does not hold; None if it holds some."""
    coin = facts.discount_currency
    if not fees.uses_discount or balances.get(coin):
        return None
    return (
        f"fees: {{bito: true}} has no effect: the account holds no {coin.upper()}, so every fee is charged at the full "
        f"rate; add some to `balances`, such as {coin}: 1000, or leave bito out"
    )


class LatencyModel(Protocol):
    """How long things take, in nanoseconds. Random draws are keyed by client id or row, so the order of calls does not
    matter. A model that returns the same figure for every key may set ``is_constant = True``: it is asked only once.
    """

    assumptions: tuple[str, ...]

    def order_ns(self, key: int) -> Nanos:
        """From sending a request to its arrival at the exchange."""
        ...

    def answer_ns(self, key: int) -> Nanos:
        """From the exchange's action to the bot receiving the answer."""
        ...

    def feed_ns(self, key: int) -> Nanos:
        """From a market event to the bot receiving it."""
        ...


class QueueModel(Protocol):
    """Estimates a resting order's place in the queue from recorded snapshots and trades. All amounts are in lots."""

    assumptions: tuple[str, ...]

    def on_arrival(self, shown: int) -> int:
        """The lots ahead of a new order, when ``shown`` lots are recorded at its price."""
        ...

    def on_snapshot(self, ahead: int, shown: int) -> int:
        """The lots ahead once a snapshot shows ``shown`` lots at the price."""
        ...

    def on_trade(self, ahead: int, lots: int) -> tuple[int, int]:
        """(lots still ahead, how many of ``lots`` are left for the order) after a trade at the price.

        More than ``lots`` may be left: the simulated exchange caps the fill only by the order's size, so a model that
        always fills the whole order returns a larger number here.
        """
        ...

    def on_through(self, lots: int) -> int:
        """How many of the ``lots`` of a trade beyond its price the order may take."""
        ...

    def on_cross(self, lots: int) -> int:
        """How many of the ``lots`` that the other side shows at or beyond its price the order may take."""
        ...


# -- risk -------------------------------------------------------------------------------------------------------------


class OrderCounts(Protocol):
    """The orders of a strategy, or of the whole bot, as a risk rule sees them, without the one under review."""

    def pending_lots(self, pair: Pair, side: Side) -> int:
        """Unfilled lots of live and queued orders on one side; unknown orders count as live."""
        ...

    def open_orders(self, pair: Pair | None = None) -> int:
        """Number of orders that are live or queued."""
        ...

    def orders_in_last_second(self) -> int:
        """Orders placed in the last second."""
        ...


class RiskView(Protocol):
    """What a risk rule may read: one strategy's figures, or the whole bot's for a rule at bot level.

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
        """The average price that a taker order would get from the visible book, or None without one."""
        ...

    def position_lots(self, pair: Pair) -> int:
        """Net amount held in the pair, in lots."""
        ...

    def value(self, units: int, currency: str, into: str) -> int | None:
        """Convert units of one currency into another at last prices; None while a price is missing."""
        ...

    def day_pnl_units(self, currency: str) -> int | None:
        """Change in the strategies' own equity since the trading day began, unrealised profit included."""
        ...


class RiskRule(Protocol):
    """May veto an order before it reaches the router. The first refusal wins."""

    def review(self, order: Order, view: RiskView) -> str | None:
        """The reason to refuse the order, or None to let it pass."""
        ...


# -- recorded data ----------------------------------------------------------------------------------------------------


class TapeFormat(Protocol):
    """Reads one kind of file into columns."""

    #: file name endings that it reads, such as ``.frames.jsonl``
    endings: tuple[str, ...]

    def read(self, path: Path, pairs: Mapping[str, Pair], options: Options) -> Iterator[MarketColumns]:
        """The file's rows, a bounded chunk at a time, in order of receive time.

        Raises DataError naming the file and the row.
        """
        ...


class Notifier(Protocol):
    """Tells the user something outside the terminal."""

    def notify(self, level: Literal["info", "warning", "error", "breaker"], title: str, text: str) -> None:
        """Send one message. It may be slow: it is called outside the trading loop."""
        ...


class ReportSection(msgspec.Struct, frozen=True):
    """A section that a plugin adds to the backtest report: a title and safe HTML."""

    title: str
    html: str
