"""Order books: the strategy's view, the book without the bot's own orders, and the cost of taking liquidity."""

from __future__ import annotations

from typing import Any

from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import Level, OrderBook
from botkit.model.orders import Order, Side
from botkit.model.pairs import Pair


class BookView:
    """An order book as presented to a strategy: levels as floats, best first, and the age of the book."""

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
        """The highest bid; None while there are no bids."""
        return self._book.best_bid

    @property
    def best_ask(self) -> float | None:
        """The lowest ask; None while there are no asks."""
        return self._book.best_ask

    @property
    def mid(self) -> float | None:
        """The midpoint between the best bid and ask; None while a side is empty."""
        return self._book.mid

    @property
    def spread_bps(self) -> float | None:
        """The spread in basis points of the mid price; None while a side is empty."""
        return self._book.spread_bps

    @property
    def age_s(self) -> float:
        """Seconds since this book reached the bot; infinite before the first book."""
        return (self._now - self._seen) / NS_PER_S if self._seen else float("inf")

    @property
    def exact(self) -> Any:
        """The bids, asks, best_bid, best_ask and mid as Decimals."""
        return self._book.exact


def without_orders(book: OrderBook, orders: list[Order]) -> OrderBook:
    """Return the book without the bot's own resting orders. Rounding on the wire may leave a remainder in a level, but
    never a negative one.
    """
    if not orders:
        return book
    own: dict[tuple[Side, int], int] = {}
    for order in orders:
        key = (order.side, order.price_ticks)
        own[key] = own.get(key, 0) + order.remaining_lots
    # Book frames after the first show amounts rounded to amountPrecision, so a level that consists only of our orders
    # can differ from their total by half a step. A remainder below one step is treated as part of our orders.
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
    """Walk the levels up to ``limit_ticks`` until they add up to ``lots``. Returns (lots found, last price)."""
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
    """Return (the cost of ``lots`` at the ask levels in quote units, the lots that the levels do not cover)."""
    units = 0
    for ticks, available in levels:
        take = min(available, lots)
        units += pair.rules.value_units_up(ticks, take)
        lots -= take
        if not lots:
            break
    return units, lots
