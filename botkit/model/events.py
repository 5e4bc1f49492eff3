"""Events: small immutable values that the bot receives from the real or simulated exchange.

Market events (`Trade`, `OrderBook`, `Ticker`, `Candle`) and account events (`OrderReport`, `TradeReport`,
`BalanceReport`, `Connection`) enter through ``Engine.turn``. Strategies receive `Trade`, `OrderBook`, `Ticker`, `Bar`,
`Fill`, `Balance`, `Timer` and `Connection`.

In the events passed to strategies, numbers are floats in base or quote currency; ``.exact`` provides the same
attributes as Decimals. Account events contain integers (ticks, lots, units of 1e-8), because money is exact. ``time``
is the exchange's own timestamp in nanoseconds, while a turn's ``now`` is the time at which the bot received the event.
"""

from __future__ import annotations

import enum
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, TypeAlias

import msgspec

from botkit.model.clock import Nanos
from botkit.model.levels import Level
from botkit.model.money import from_units
from botkit.model.order_book import MAX_BOOK_AGE_S, OrderBook
from botkit.model.orders import Condition, Order, OrderState, OrderType, Side
from botkit.model.pairs import Pair

__all__ = [
    "MAX_BOOK_AGE_S",
    "AccountEvent",
    "Balance",
    "BalanceReport",
    "Bar",
    "Candle",
    "Connection",
    "ConnectionState",
    "Fill",
    "Level",
    "MarketEvent",
    "OrderBook",
    "OrderReport",
    "Ticker",
    "Timer",
    "Trade",
    "TradeReport",
]


def _decimal(value: float, decimals: int) -> Decimal:
    # the float was computed from an integer multiple of 10^-decimals, so rounding recovers that integer exactly
    return Decimal(round(value * 10**decimals)).scaleb(-decimals)


class Trade(msgspec.Struct, frozen=True, gc=False):
    """A public trade. ``side`` is the taker's side, or None if the source does not provide it."""

    pair: Pair
    time: Nanos
    price: float
    amount: float
    side: Side | None = None

    @property
    def exact(self) -> Any:
        """The price and amount as Decimals."""
        rules = self.pair.rules
        return SimpleNamespace(
            price=_decimal(self.price, rules.price_decimals), amount=_decimal(self.amount, rules.amount_decimals)
        )


class Ticker(msgspec.Struct, frozen=True, gc=False):
    """A pair's 24-hour statistics. ``change_pct`` is in percent; ``is_buyer`` is true if the taker of the last trade
    bought.
    """

    pair: Pair
    time: Nanos
    last_price: float
    high: float
    low: float
    volume: float
    change_pct: float
    is_buyer: bool

    @property
    def exact(self) -> Any:
        """The last price, high, low and volume as Decimals."""
        rules = self.pair.rules
        return SimpleNamespace(
            last_price=_decimal(self.last_price, rules.price_decimals),
            high=_decimal(self.high, rules.price_decimals),
            low=_decimal(self.low, rules.price_decimals),
            volume=_decimal(self.volume, rules.amount_decimals),
        )


class Candle(msgspec.Struct, frozen=True, gc=False):
    """A completed candle as reported by the source, received when the candle ends. Strategies receive it as a `Bar`."""

    pair: Pair
    resolution: str
    time: Nanos  # the start of the candle
    open: float
    high: float
    low: float
    close: float
    volume: float


class Bar(msgspec.Struct, frozen=True, gc=False):
    """A completed bar. ``time`` is the start of the bar; ``volume`` is in base currency.

    ``empty`` marks an interval without trades, in live trading and in backtests: all prices are the last close, and the
    volume is 0.
    """

    pair: Pair
    time: Nanos
    open: float
    high: float
    low: float
    close: float
    volume: float
    resolution: str = "1m"
    empty: bool = False

    @property
    def exact(self) -> Any:
        """The open, high, low, close and volume as Decimals."""
        rules = self.pair.rules
        prices = {
            name: _decimal(getattr(self, name), rules.price_decimals) for name in ("open", "high", "low", "close")
        }
        return SimpleNamespace(**prices, volume=_decimal(self.volume, rules.amount_decimals))


class OrderReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The exchange's row for one of the account's orders, from a stream or a listing.

    ``state`` is one of `botkit.model.orders.REPORTED_STATES`; an adapter maps its exchange's own codes to these states.
    A market buy's ``original_lots`` is meaningless until the order is final (Q12), so only ``executed_lots`` and
    ``executed_units`` (quote) are used. ``pushed`` is the exchange's timestamp of the frame that contained the row, or
    0 for a listing. It is used only to measure latency.
    """

    pair: Pair
    order_id: str
    client_id: int | None
    side: Side
    type: OrderType
    state: OrderState
    price_ticks: int
    original_lots: int
    executed_lots: int
    executed_units: int
    stop_ticks: int = 0
    condition: Condition | None = None
    post_only: bool = False
    created: Nanos = 0
    updated: Nanos = 0
    pushed: Nanos = 0


class TradeReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An execution of one of the account's orders. ``fee_currency`` is derived from the side, never from feeSymbol.

    ``trade_id`` is unique only within its source: the stream's matchID differs from the listing's tradeId.
    """

    pair: Pair
    order_id: str
    trade_id: str
    side: Side
    price_ticks: int
    lots: int
    fee_units: int
    fee_currency: str
    is_maker: bool
    time: Nanos


class BalanceReport(msgspec.Struct, frozen=True):
    """The account's changed balances: currency -> (total units, available units).

    ``snapshot`` marks a complete list: any currency missing from it has a zero balance.
    """

    balances: dict[str, tuple[int, int]]
    snapshot: bool = False


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """A complete or partial execution of one of a strategy's orders.

    ``value`` is price x amount in quote currency; ``fee`` is in ``fee_currency``. A fill is identified by (order,
    ``executed_lots``), where ``executed_lots`` is the order's cumulative total after this fill.
    """

    order: Order
    pair: Pair
    side: Side
    time: Nanos
    price_ticks: int
    lots: int
    value_units: int
    fee_units: int
    fee_currency: str
    is_maker: bool
    executed_lots: int

    @property
    def price(self) -> float:
        """Price of the execution in quote currency."""
        return self.pair.rules.price(self.price_ticks)

    @property
    def amount(self) -> float:
        """Executed amount in base currency."""
        return self.pair.rules.amount(self.lots)

    @property
    def value(self) -> float:
        """Price times amount, in quote currency."""
        return self.value_units / 10**8

    @property
    def fee(self) -> float:
        """The fee, in ``fee_currency``."""
        return self.fee_units / 10**8

    @property
    def exact(self) -> Any:
        """The price, amount, value and fee as Decimals."""
        rules = self.pair.rules
        return SimpleNamespace(
            price=rules.exact_price(self.price_ticks),
            amount=rules.exact_amount(self.lots),
            value=from_units(self.value_units),
            fee=from_units(self.fee_units),
        )


class Balance(msgspec.Struct, frozen=True, gc=False):
    """A strategy's balance in one currency: ``available`` to spend, ``locked`` in its orders, and their sum
    ``total``.
    """

    currency: str
    available_units: int
    locked_units: int

    @property
    def available(self) -> float:
        """The amount that can be spent now."""
        return self.available_units / 10**8

    @property
    def locked(self) -> float:
        """The amount locked by open and queued orders, and by orders in an unknown state."""
        return self.locked_units / 10**8

    @property
    def total(self) -> float:
        """The sum of ``available`` and ``locked``."""
        return (self.available_units + self.locked_units) / 10**8

    @property
    def exact(self) -> Any:
        """The available, locked and total amounts as Decimals."""
        return SimpleNamespace(
            available=from_units(self.available_units),
            locked=from_units(self.locked_units),
            total=from_units(self.available_units + self.locked_units),
        )


class Timer(msgspec.Struct, frozen=True, gc=False):
    """A timer event: one of a strategy's timers has fired. ``due`` is the scheduled time; ``missed`` is the number of
    earlier firings that were skipped.
    """

    name: str
    due: Nanos
    missed: int = 0


class ConnectionState(enum.Enum):
    """The states of a stream."""

    CONNECTED = "connected"
    LOST = "lost"
    RESYNCHRONISED = "resynchronised"
    STALE = "stale"


class Connection(msgspec.Struct, frozen=True):
    """A change in a stream's state: connected, disconnected, or caught up. ``pair`` is None for the account's streams.

    After a ``gap``, rows from before this event may be missing. ``is_refused`` means that the stream ended permanently,
    because the exchange does not accept the account's API key.
    """

    state: ConnectionState
    stream: str
    pair: Pair | None = None
    detail: str = ""
    gap: bool = False
    is_refused: bool = False


MarketEvent: TypeAlias = Trade | OrderBook | Ticker | Candle
AccountEvent: TypeAlias = OrderReport | TradeReport | BalanceReport
