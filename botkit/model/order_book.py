"""The order book as seen by strategies. Its levels are built on first access.

A backtest delivers a hundred times more levels than its strategies read. Therefore a book from recorded data only
references its row, and the levels of most books are never built.
"""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any, TypeAlias

from botkit.model.clock import Nanos
from botkit.model.levels import Level
from botkit.model.pairs import Pair

__all__ = ["MAX_BOOK_AGE_S", "Levels", "OrderBook", "RecordedBooks"]

#: one side of a book, best first: (ticks, lots)
Levels: TypeAlias = tuple[tuple[int, int], ...]

#: default maximum age, in seconds, of a book used for trading
MAX_BOOK_AGE_S = 300


class RecordedBooks:
    """Several books, stored as rows of recorded data. All prices are above 0. A subclass builds the levels."""

    __slots__ = ("best_asks", "best_bids", "scale")

    def __init__(self, best_bids: list[int], best_asks: list[int], scale: int) -> None:
        #: the best prices of each row in ticks; 0 for an empty side
        self.best_bids = best_bids
        self.best_asks = best_asks
        #: ticks per unit of the quote currency
        self.scale = scale

    def levels(self, row: int) -> tuple[Levels, Levels]:
        """Return the bids and asks of a row."""
        raise NotImplementedError


class OrderBook:
    """A full snapshot of the best levels. Bids are sorted by descending price, asks by ascending price.

    The levels are stored as integers: ``bid_levels`` and ``ask_levels`` are tuples of (ticks, lots).
    """

    __slots__ = ("_asks", "_bids", "_pair", "_row", "_rows", "_time")

    def __init__(
        self,
        pair: Pair,
        time: Nanos,
        bid_levels: Levels | None,
        ask_levels: Levels | None,
        rows: RecordedBooks | None = None,
        row: int = 0,
    ) -> None:
        """Create a book with the given levels. If the levels are None, the book is row ``row`` of the recorded
        ``rows``.
        """
        self._pair = pair
        self._time = time
        self._bids = bid_levels
        self._asks = ask_levels
        self._rows = rows
        self._row = row

    # -- properties throughout, because all strategies see the same object, and none may change it

    @property
    def pair(self) -> Pair:
        """The book's pair."""
        return self._pair

    @property
    def time(self) -> Nanos:
        """The exchange's timestamp."""
        return self._time

    @property
    def bid_levels(self) -> Levels:
        """Bid levels in (ticks, lots), best first."""
        if self._bids is None:
            return self._build()[0]
        return self._bids

    @property
    def ask_levels(self) -> Levels:
        """Ask levels in (ticks, lots), best first."""
        if self._asks is None:
            return self._build()[1]
        return self._asks

    def _build(self) -> tuple[Levels, Levels]:
        assert self._rows is not None
        levels = self._rows.levels(self._row)
        self._bids, self._asks = levels
        return levels

    @property
    def bids(self) -> tuple[Level, ...]:
        """Bid levels as price and amount, best first."""
        rules = self._pair.rules
        return tuple([Level(rules.price(t), rules.amount(a)) for t, a in self.bid_levels])

    @property
    def asks(self) -> tuple[Level, ...]:
        """Ask levels as price and amount, best first."""
        rules = self._pair.rules
        return tuple([Level(rules.price(t), rules.amount(a)) for t, a in self.ask_levels])

    @property
    def best_bid(self) -> float | None:
        """Highest bid price, or None if there are no bids."""
        rows = self._rows
        if rows is not None:
            return rows.best_bids[self._row] / rows.scale or None
        return self._pair.rules.price(self._bids[0][0]) if self._bids else None

    @property
    def best_ask(self) -> float | None:
        """Lowest ask price, or None if there are no asks."""
        rows = self._rows
        if rows is not None:
            return rows.best_asks[self._row] / rows.scale or None
        return self._pair.rules.price(self._asks[0][0]) if self._asks else None

    def touch(self) -> tuple[int, int]:
        """Return the best bid and the best ask in ticks, with 0 for an empty side."""
        rows = self._rows
        if rows is not None:
            return rows.best_bids[self._row], rows.best_asks[self._row]
        return self._bids[0][0] if self._bids else 0, self._asks[0][0] if self._asks else 0

    def cut(self, depth: int) -> OrderBook:
        """Return the book truncated to at most ``depth`` levels per side."""
        bids, asks = self._bids, self._asks
        if bids is None or asks is None:
            bids, asks = self._build()
        if len(bids) <= depth and len(asks) <= depth:
            return self
        return OrderBook(self._pair, self._time, bids[:depth], asks[:depth])

    def shows(self, levels: tuple[Levels, Levels]) -> bool:
        """Return True if the book's bids and asks equal ``levels``."""
        bids, asks = self._bids, self._asks
        if bids is None or asks is None:
            bids, asks = self._build()
        return levels[0] == bids and levels[1] == asks

    def has_prices(self) -> bool:
        """Return False if the lowest bid price is 0, otherwise True."""
        return self._rows is not None or not self._bids or self._bids[-1][0] > 0

    @property
    def mid(self) -> float | None:
        """Midpoint between the best bid and the best ask, or None if a side is empty."""
        bid, ask = self.touch()
        return (bid + ask) / (2 * int(10**self._pair.rules.price_decimals)) if bid and ask else None

    @property
    def spread_bps(self) -> float | None:
        """Best ask minus best bid, in basis points of the mid, or None if a side is empty."""
        bid, ask = self.touch()
        return 20_000 * (ask - bid) / (ask + bid) if bid and ask else None

    @property
    def exact(self) -> Any:
        """The bids, asks, best_bid, best_ask and mid as Decimals."""
        bids, asks = self._exact(self.bid_levels), self._exact(self.ask_levels)
        best_bid: Decimal | None = bids[0].price if bids else None
        best_ask: Decimal | None = asks[0].price if asks else None
        mid = None if best_bid is None or best_ask is None else (best_bid + best_ask) / 2
        return SimpleNamespace(bids=bids, asks=asks, best_bid=best_bid, best_ask=best_ask, mid=mid)

    def _exact(self, levels: Levels) -> tuple[SimpleNamespace, ...]:
        rules = self._pair.rules
        return tuple([SimpleNamespace(price=rules.exact_price(t), amount=rules.exact_amount(a)) for t, a in levels])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OrderBook):
            return NotImplemented
        return (
            self._pair == other._pair
            and self._time == other._time
            and self.bid_levels == other.bid_levels
            and self.ask_levels == other.ask_levels
        )

    def __hash__(self) -> int:
        return hash((self._pair, self._time, self.bid_levels, self.ask_levels))

    def __repr__(self) -> str:
        return (
            f"OrderBook(pair={self._pair!r}, time={self._time}, bid_levels={self.bid_levels}, "
            f"ask_levels={self.ask_levels})"
        )
