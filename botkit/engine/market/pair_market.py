"""What the bot knows of each pair's market, and who wants to hear of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import Level, OrderBook, Ticker
from botkit.model.orders import Order, Side
from botkit.model.pairs import Pair

if TYPE_CHECKING:
    from botkit.engine.market.bars import BarBuilder
    from botkit.engine.market.quarantine import Doubt
    from botkit.engine.money.valuation import LastPrice
    from botkit.engine.spans import SeriesSource
    from botkit.engine.strategy.context import Context
    from botkit.engine.strategy.series import BarSeries


class BookView:
    """An order book as a strategy reads it: levels as floats, best first, and how old it is."""

    __slots__ = ("_book", "_now", "_seen")

    def __init__(self, book: OrderBook, seen: Nanos, now: Nanos) -> None:
        self._book = book
        self._seen = seen
        self._now = now

    @property
    def bids(self) -> tuple[Level, ...]:
        """Bid levels from the highest price down."""
        return self._book.bids

    @property
    def asks(self) -> tuple[Level, ...]:
        """Ask levels from the lowest price up."""
        return self._book.asks

    @property
    def best_bid(self) -> float | None:
        """Highest bid, None on an empty side."""
        return self._book.best_bid

    @property
    def best_ask(self) -> float | None:
        """Lowest ask, None on an empty side."""
        return self._book.best_ask

    @property
    def mid(self) -> float | None:
        """Halfway between the best prices, None while a side is empty."""
        return self._book.mid

    @property
    def spread_bps(self) -> float | None:
        """Spread in basis points of the mid, None while a side is empty."""
        return self._book.spread_bps

    @property
    def age_s(self) -> float:
        """Seconds since this book reached the bot; infinite before the first."""
        return (self._now - self._seen) / NS_PER_S if self._seen else float("inf")

    @property
    def exact(self) -> Any:
        """bids, asks, best_bid, best_ask and mid as Decimals."""
        return self._book.exact


class BarFeed:
    """The bars of one pair and resolution, and the series that want them."""

    __slots__ = ("builder", "listeners", "resolution", "source")

    def __init__(self, resolution: str, builder: BarBuilder) -> None:
        self.resolution = resolution
        self.builder = builder
        #: in a quiet span: where the series takes its bars from when it is read
        self.source: SeriesSource | None = None
        #: (strategy's context, its series, the method that hears of a bar)
        self.listeners: list[tuple[Context, BarSeries, Callable[..., Any] | None]] = []

    def settle(self) -> None:
        """The series take their bars one by one from here on."""
        if self.source is not None:
            self.source.end()
            self.source = None


class PairMarket:
    """One pair: the last price, the book, and the callbacks in the order in which they were subscribed."""

    __slots__ = (
        "bar_feeds",
        "book",
        "book_depth",
        "book_listeners",
        "book_seen",
        "doubts",
        "last",
        "pair",
        "ticker",
        "ticker_listeners",
        "trade_listeners",
    )

    def __init__(self, pair: Pair, last: LastPrice) -> None:
        self.pair = pair
        #: the cell that valuations read too: one attribute to write at every trade
        self.last = last
        self.book: OrderBook = OrderBook(pair, 0, (), ())
        self.book_seen: Nanos = 0
        self.book_depth = 0
        #: prices withheld until they are confirmed, by what showed them
        self.doubts: dict[str, Doubt] = {}
        self.ticker: Ticker | None = None
        self.trade_listeners: list[tuple[Context, Callable[..., Any]]] = []
        self.book_listeners: list[tuple[Context, Callable[..., Any], int]] = []
        self.ticker_listeners: list[tuple[Context, Callable[..., Any]]] = []
        self.bar_feeds: dict[str, BarFeed] = {}

    def drop(self, context: Context) -> None:
        """Forget a strategy that was stopped."""
        self.trade_listeners = [row for row in self.trade_listeners if row[0] is not context]
        self.book_listeners = [row for row in self.book_listeners if row[0] is not context]
        self.ticker_listeners = [row for row in self.ticker_listeners if row[0] is not context]
        for feed in self.bar_feeds.values():
            feed.listeners = [row for row in feed.listeners if row[0] is not context]


def without_orders(book: OrderBook, orders: list[Order]) -> OrderBook:
    """The book less our own resting orders. A level rounded by the wire may leave a rest; it never goes below zero."""
    if not orders:
        return book
    own: dict[tuple[Side, int], int] = {}
    for order in orders:
        key = (order.side, order.price_ticks)
        own[key] = own.get(key, 0) + order.remaining_lots
    # A book frame after the first shows amounts rounded to amountPrecision, so a level that is all ours can differ
    # from ours by half a step of that; what is smaller than a step is ours.
    rules = book.pair.rules
    step = int(10 ** max(0, rules.amount_decimals - rules.display_decimals))

    def cut(side: Side, levels: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        result = []
        for ticks, lots in levels:
            mine = own.get((side, ticks))
            left = lots if mine is None else lots - mine
            if mine is None or left >= step:
                result.append((ticks, left))
        return tuple(result)

    return OrderBook(book.pair, book.time, cut(Side.BUY, book.bid_levels), cut(Side.SELL, book.ask_levels))


def walk(levels: tuple[tuple[int, int], ...], lots: int, limit_ticks: int, *, buying: bool) -> tuple[int, int]:
    """Take ``lots`` from the levels, none beyond ``limit_ticks``: (lots found, price of the last level touched)."""
    found, last = 0, 0
    for ticks, available in levels:
        if (ticks > limit_ticks) if buying else (ticks < limit_ticks):
            break
        found += available
        last = ticks
        if found >= lots:
            return lots, last
    return found, last


def cost_units(pair: Pair, levels: tuple[tuple[int, int], ...], lots: int) -> tuple[int, int]:
    """(quote units that ``lots`` cost on the ask levels, lots that the levels could not provide)."""
    units = 0
    for ticks, available in levels:
        take = min(available, lots)
        units += pair.rules.value_units_up(ticks, take)
        lots -= take
        if not lots:
            break
    return units, lots
