"""The next books of one pair, prepared at once."""

from __future__ import annotations

import numpy as np

from botkit.model.clock import NS_PER_MS, Nanos
from botkit.model.columns import IntArray
from botkit.model.order_book import OrderBook
from botkit.model.pairs import Pair
from botkit.sim.book_rows import BookRows, Side
from botkit.sim.streams import BookStream


class FeedAhead:
    """The next books of one pair, and their publication times."""

    __slots__ = ("_first", "_rows", "books", "further", "laid", "published_by", "times")

    def __init__(
        self,
        pair: Pair,
        stream: BookStream,
        depth: int,
        own: tuple[Side, Side],
        times: list[Nanos],
        rows: IntArray,
    ) -> None:
        """Prepare the books. ``rows`` are indices into the stream; ``own`` are our bids and asks."""
        self.times = times
        self._first = stream.first
        self._rows = rows
        self.laid = BookRows(
            (stream.bid_ticks[rows, :depth], stream.bid_lots[rows, :depth]),
            (stream.ask_ticks[rows, :depth], stream.ask_lots[rows, :depth]),
            own[0],
            own[1],
            depth,
            int(10**pair.rules.price_decimals),
        )
        # in exchange time: the row's timestamp plus the time since the row was received
        stamps = stream.time[rows] + np.array(times) - stream.received[rows]
        #: None where the book is unchanged
        self.books: list[OrderBook | None] = [
            OrderBook(pair, stamp, None, None, self.laid, row)
            for row, stamp in enumerate((stamps - stamps % NS_PER_MS).tolist())
        ]
        #: for each book, the index of the last published book up to and including it, or -1
        self.published_by: list[int] = []
        #: when the next book after these is due; None if no further row is loaded
        self.further: Nanos | None = None

    def row_of(self, index: int) -> int:
        """Return a book's recorded row number."""
        return self._first + int(self._rows[index])

    def drop_unchanged(self, last: OrderBook | None, *, is_cut: bool) -> None:
        """Drop books that equal the previous book; the first book is compared with ``last``. With ``is_cut``, also drop
        all books after an unchanged one.
        """
        same, other = self.laid.are_equal()
        made, published = list(self.books), -1
        for index, book in enumerate(made):
            before = made[index - 1] if index else last
            if index and other[index - 1]:
                is_unchanged = False
            elif index and same[index - 1]:
                is_unchanged = True
            else:
                assert book is not None
                is_unchanged = (
                    before is not None and book.bid_levels == before.bid_levels and book.ask_levels == before.ask_levels
                )
            if is_unchanged:
                self.books[index] = None
            else:
                published = index
            self.published_by.append(published)
            if is_unchanged and is_cut:
                del self.books[index + 1 :], self.times[index + 1 :]
                return

    def find_further(self, stream: BookStream, earliest: Nanos) -> None:
        """Determine when the next book after these is due, no earlier than ``earliest``."""
        at = stream.time_of(self.row_of(len(self.times) - 1) + 1)
        self.further = at if at is None or at > earliest else earliest
