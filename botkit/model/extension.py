"""The interfaces that plugins implement: the marker for hook implementations, and a protocol for each kind of plugin.

The hooks are in `botkit.hookspecs`; this module contains the types that plugins provide through the hooks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

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
    "LatencyByKind",
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

#: ``@hookimpl`` marks a plugin's function as a hook implementation
hookimpl = pluggy.HookimplMarker("botkit")
hookspec = pluggy.HookspecMarker("botkit")

Options: TypeAlias = Mapping[str, Any]


# -- the exchange -----------------------------------------------------------------------------------------------------


class FeeRank(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the exchange's fee table. Rates are integers in units of 1e-8 (0.002 is 200_000).

    ``volume`` is the 30-day volume required for the rank, in units of the exchange's ``volume_currency``. ``held`` is
    the holding required, in units of the exchange's ``discount_currency``. Meeting one requirement is enough, unless
    ``needs_both`` is set. The discounted rates apply to fees paid in the ``discount_currency``.
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
    """The facts about an exchange that are known without a connection: pairs and their rules, rate limits, fees.

    ``fee_ranks`` has a single row if all accounts pay the same fees. If it is empty, the configuration's ``fees`` must
    set the rates, and no bot can run live. Ranks are based on volume in ``volume_currency``. Fees paid in
    ``discount_currency`` ("" if there is none) are discounted. ``address`` is the exchange's default address. Processes
    that use the same address share its rate-limit windows.
    """

    name: str
    pairs: Mapping[str, Pair]
    limits: LimitTable
    fee_ranks: tuple[FeeRank, ...]
    volume_currency: str = ""
    discount_currency: str = ""
    address: str = ""


class Exchange(Protocol):
    """An exchange on which bots can trade. A plugin registers the exchange under a name."""

    name: str

    def facts(self, options: Options) -> ExchangeFacts:
        """Return the pairs, limits and fees. ``options`` are the plugin's options from the ``exchange:`` section."""
        ...

    def connect(self, options: Options) -> Adapter:
        """Return an unopened adapter for one account (see `botkit.model.adapter`). Backtests never call this method.

        ``options`` is the ``exchange:`` section with these additions: ``account`` (email, key, secret; empty if there
        is none), ``rest`` and ``ws`` (addresses, or None for the exchange's default addresses), ``clock`` and its
        ``speed``, ``random`` (the only source of randomness), ``pairs``, and ``public`` if only market data is needed.
        Raises ConfigError.
        """
        ...


# -- models of the simulated exchange ---------------------------------------------------------------------------------


class FeeRates(msgspec.Struct, frozen=True, kw_only=True):
    """The current fee rates, as integers in units of 1e-8, and their source.

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
    """The fees that an account pays. Each account has a separate instance, which may track the account's volume."""

    #: the assumptions to state in the report
    assumptions: tuple[str, ...]
    #: True if fees are paid in the exchange's ``discount_currency`` while the account has enough of it
    uses_discount: bool

    def rates(self, now: Nanos) -> FeeRates:
        """Return the rates that apply at ``now``."""
        ...

    def record(self, now: Nanos, volume_units: int) -> None:
        """Record a fill's value, in units of the exchange's ``volume_currency``."""
        ...


def no_discount(fees: FeeModel, facts: ExchangeFacts, balances: Mapping[str, int]) -> str | None:
    """Return a caution if fees are to be paid in a coin that the account does not hold; otherwise return None."""
    coin = facts.discount_currency
    if not fees.uses_discount or balances.get(coin):
        return None
    return (
        f"fees: {{bito: true}} has no effect: the account holds no {coin.upper()}, so every fee is charged at the full "
        f"rate; add some to `balances`, such as {coin}: 1000, or leave bito out"
    )


class LatencyModel(Protocol):
    """The delays of orders, responses and market data, in nanoseconds. Random draws are keyed by client id or row, so
    the order of calls does not matter. A model that returns the same delay for every key may set ``is_constant =
    True``. Each method is then called only once.
    """

    assumptions: tuple[str, ...]

    def order_ns(self, key: int) -> Nanos:
        """Return the delay between sending a request and its arrival at the exchange."""
        ...

    def answer_ns(self, key: int) -> Nanos:
        """Return the delay between an action by the exchange and the bot receiving the response."""
        ...

    def feed_ns(self, key: int) -> Nanos:
        """Return the delay between a market event and the bot receiving it."""
        ...


@runtime_checkable
class LatencyByKind(Protocol):
    """Optional methods for a `LatencyModel` that distinguishes between kinds of requests. If present, they replace
    ``order_ns`` and ``answer_ns``.
    """

    def request_ns(self, endpoint: str, key: int) -> Nanos:
        """Return the delay between sending a request for this endpoint and its arrival at the exchange."""
        ...

    def news_ns(self, endpoint: str, key: int) -> Nanos:
        """Return the delay between an action by the exchange and the bot receiving news of it. ``endpoint`` is the
        endpoint of the request that caused the action, or empty if another account caused it.
        """
        ...


class QueueModel(Protocol):
    """Estimates a resting order's queue position from recorded snapshots and trades. All amounts are in lots."""

    assumptions: tuple[str, ...]

    def on_arrival(self, shown: int) -> int:
        """Return the lots ahead of a new order when the recorded book shows ``shown`` lots at its price."""
        ...

    def on_snapshot(self, ahead: int, shown: int) -> int:
        """Return the lots ahead after a snapshot that shows ``shown`` lots at the price."""
        ...

    def on_trade(self, ahead: int, lots: int) -> tuple[int, int]:
        """Return (lots still ahead, how many of ``lots`` are left for the order) after a trade at the order's price.

        The second value may exceed ``lots``, because the simulated exchange caps the fill only at the order's size.
        This allows for a model in which every trade fills the complete order.
        """
        ...

    def on_through(self, lots: int) -> int:
        """Return how many of ``lots`` the order may fill when a trade of that size occurs at a price beyond the order's
        price.
        """
        ...

    def on_cross(self, lots: int) -> int:
        """Return how many of ``lots`` the order may fill when the other side shows ``lots`` at or beyond the order's
        price.
        """
        ...


# -- risk -------------------------------------------------------------------------------------------------------------


class OrderCounts(Protocol):
    """A risk rule's view of the orders placed by one strategy or by the entire bot, excluding the order under
    review.
    """

    def pending_lots(self, pair: Pair, side: Side) -> int:
        """Return the unfilled lots of live and queued orders on one side. Orders in an unknown state are treated as
        live.
        """
        ...

    def open_orders(self, pair: Pair | None = None) -> int:
        """Return the number of orders that are live or queued."""
        ...

    def orders_in_last_second(self) -> int:
        """Return the number of orders placed in the last second."""
        ...


class RiskView(Protocol):
    """The values that a risk rule may read: those of one strategy, or those of the entire bot for a bot-level rule.

    ``orders`` counts the orders in the same scope.
    """

    now: Nanos
    orders: OrderCounts
    #: for the bot, the coins (in units per currency) that strategies which are no longer configured hold in other pairs
    #: than `pairs`
    left: Mapping[str, int]

    def pairs(self) -> Sequence[Pair]:
        """Return the pairs in scope, in configuration order."""
        ...

    def last_price(self, pair: Pair) -> float | None:
        """Return the last traded price, or None before the first trade."""
        ...

    def expected_price(self, order: Order) -> float | None:
        """Return the average price that a taker order would get from the visible book, or None without a book."""
        ...

    def position_lots(self, pair: Pair) -> int:
        """Return the net position in the pair, in lots. For the bot, this includes what strategies that are no longer
        configured hold.
        """
        ...

    def value(self, units: int, currency: str, into: str) -> int | None:
        """Convert units of one currency to another at the last traded prices. Returns None if a price is missing."""
        ...

    def day_pnl_units(self, currency: str) -> int | None:
        """Return the change in equity of the strategies in scope since the start of the trading day, including
        unrealized profit. A resume restarts it, so that the old loss does not halt the scope again.
        """
        ...


class RiskRule(Protocol):
    """A rule that can refuse an order before it reaches the router. The review stops at the first refusal."""

    def review(self, order: Order, view: RiskView) -> str | None:
        """Return the reason to refuse the order, or None to accept it. Any other result, and any exception, refuses
        it.
        """
        ...


# -- recorded data ----------------------------------------------------------------------------------------------------


class TapeFormat(Protocol):
    """Reads one kind of data file into columns."""

    #: the file name suffixes that this format reads, such as ``.frames.jsonl``
    endings: tuple[str, ...]

    def read(self, path: Path, pairs: Mapping[str, Pair], options: Options) -> Iterator[MarketColumns]:
        """Yield the file's rows in the order received, in chunks of limited size.

        Raises DataError with the file and the row.
        """
        ...


class Notifier(Protocol):
    """Notifies the user outside the terminal."""

    def notify(self, level: Literal["info", "warning", "error", "breaker"], title: str, text: str) -> None:
        """Send one message. The call may be slow, because it is made outside the trading loop."""
        ...


class ReportSection(msgspec.Struct, frozen=True):
    """A section that a plugin adds to the backtest report: a title and safe HTML."""

    title: str
    html: str
