"""Publishes a pair's books: the recorded books minus the amounts taken by our orders, plus our resting orders."""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter

import numpy as np

from botkit.model.clock import NS_PER_MS, Nanos
from botkit.model.columns import IntArray
from botkit.model.order_book import Levels, OrderBook
from botkit.sim.book_rows import lay_over
from botkit.sim.feed_ahead import FeedAhead
from botkit.sim.market import VenueMarket
from botkit.sim.streams import BookStream

#: (ticks, lots) of a resting order
_level_of = attrgetter("price_ticks", "remaining_lots")


def compose(market: VenueMarket, row: int, depth: int, *, own: bool = True) -> tuple[Levels, Levels]:
    """Return (bids, asks): the recorded levels minus the amounts taken by our orders, plus our resting orders."""
    return lay_over(
        market.net_levels(row, bids=True, depth=depth),
        market.net_levels(row, bids=False, depth=depth),
        list(map(_level_of, market.buys)) if own else [],
        list(map(_level_of, market.sells)) if own else [],
        depth,
    )


class BookFeed:
    """Publishes the books of one pair as the stream would: on change, at most once per ``cadence``.

    Rows recorded from the wire (``is_wire``) keep their receipt times, since the exchange has already spaced them. Only
    our own changes between these rows wait for the cadence.

    Amounts are exact in the first frame and rounded to the nearest unit of amountPrecision in later ones.
    """

    def __init__(self, market: VenueMarket, depth: int, cadence: Nanos, now: Nanos, *, is_wire: bool = False) -> None:
        self.market = market
        self.depth = depth
        self._cadence = cadence
        self._is_wire = is_wire
        self._last: OrderBook | None = None  # the last published book, after rounding
        self._last_at: Nanos | None = None
        self._row = -1
        #: the earliest time at which a book may be due, and the earliest time at which our own change may be published
        self.due: Nanos | None = None
        self.open_at: Nanos = 0
        #: the time since which our part of the book has differed from the last published book
        self.changed_at: Nanos | None = now
        self._unit = market.display_unit
        self.look()

    def note_change(self, now: Nanos) -> None:
        """Record that our part of the book changed."""
        if self.changed_at is None:
            self.changed_at = now
            self.look()

    def deepen(self, depth: int, now: Nanos) -> None:
        """Increase the depth if necessary."""
        if depth > self.depth:
            self.depth = depth
            self.note_change(now)

    def look(self) -> None:
        """Update ``due`` after a change, or after rows were loaded."""
        books = self.market.books
        if books is None:
            return
        changed = self.changed_at
        next_row = max(self._row + 1, books.first)
        row_at = books.time_of(next_row)
        if self._row < 0 and self._last_at is None:
            # before the first recorded row there is no book to publish
            changed = None if row_at is None else max(row_at, changed or row_at)
        elif row_at is not None and (changed is None or row_at < changed) and not self._is_wire:
            changed = row_at
        if changed is not None and self._last_at is not None:
            changed = max(changed, self._last_at + self._cadence)
        if self._is_wire and row_at is not None and (changed is None or row_at < changed):
            changed = row_at
        self.due = changed

    def publish(self, now: Nanos) -> OrderBook | None:
        """Return the book at ``now``, or None if there is no change to publish."""
        self.changed_at = None
        book = self._book(now)
        self.look()
        return book

    def _book(self, now: Nanos) -> OrderBook | None:
        market = self.market
        row = market.book_row(now)
        if row < 0:
            return None
        self._row = row
        if market.is_stale(row, now):
            # our part has changed, but republishing the stale recorded levels would make them appear current
            return None
        books = market.books
        is_plain = books is not None and not (market.buys or market.sells or market.taken)
        if is_plain and books is not None:  # the book contains none of our orders
            depth = self.depth
            composed: tuple[Levels, Levels] = (
                tuple(books.levels(row, bids=True, depth=depth)),
                tuple(books.levels(row, bids=False, depth=depth)),
            )
        else:
            composed = compose(market, row, self.depth)
        # recorded amounts are multiples of the display unit, and so are most of our orders
        is_exact = self._is_exact()
        rounded = composed if is_exact else (self._rounded(composed[0]), self._rounded(composed[1]))
        last = self._last
        if last is not None and last.shows(rounded):
            return None  # rounding an amount that was exact in the first frame does not count as a change
        book = self._last = book_event(market, row, rounded, now)
        self._last_at = now
        self.open_at = now + self._cadence
        return book_event(market, row, composed, now) if last is None else book

    def _is_exact(self) -> bool:
        """Return True if rounding the book's amounts would change none of them."""
        market = self.market
        if self._unit == 1:
            return True
        if not market.is_in_units or market.taken:
            return False
        for orders in (market.buys, market.sells):
            for order in orders:
                if order.remaining_lots % self._unit:
                    return False
        return True

    # -- many books at once --------------------------------------------------------------------------------------------

    def ahead(self, most: int) -> FeedAhead | None:
        """Prepare up to ``most`` of the next books, as they will be published if our orders do not change. Return None
        if a change to our orders must be published first, or if no further book is loaded.
        """
        market, books, last_at = self.market, self.market.books, self._last_at
        if books is None or last_at is None or self.changed_at is not None or market.taken or not self._is_exact():
            return None
        if market.is_older_than(self._cadence) or not market.is_regular:
            return None  # some books may not be publishable, or may be implausible
        index = self._row + 1 - books.first
        if not 0 <= index < books.held:
            return None
        times, rows = self._spaced(books, index, most, last_at)
        is_thinned = not times
        if is_thinned:
            times, rows = self._thinned(books, index, most, last_at)
        ahead = FeedAhead(
            market.pair,
            books,
            self.depth,
            (list(map(_level_of, market.buys)), list(map(_level_of, market.sells))),
            times,
            rows,
        )
        # on a thinned tape, a book that follows an unchanged book may be published sooner
        ahead.drop_unchanged(self._last, is_cut=is_thinned and not self._is_wire)
        latest = ahead.published_by[-1]
        since = ahead.times[latest] if latest >= 0 else last_at
        ahead.find_further(books, since + (0 if self._is_wire else self._cadence))
        return ahead

    def _spaced(self, books: BookStream, index: int, most: int, last_at: Nanos) -> tuple[list[Nanos], IntArray]:
        """Return the next rows that are published at their receipt times, together with these times. Stop at the first
        row that follows the previous row too soon.
        """
        received = books.received[index : index + most + 1]
        gap = 1 if self._is_wire else self._cadence
        if not self._is_wire and received[0] < last_at + gap:
            return [], received[:0]
        is_close = np.diff(received) < gap
        count = int(is_close.argmax()) if is_close.any() else min(len(received), most)
        return received[:count].tolist(), np.arange(index, index + count)

    def _thinned(self, books: BookStream, index: int, most: int, last_at: Nanos) -> tuple[list[Nanos], IntArray]:
        """Return the times at which books may be published, and for each time the newest row."""
        axis, held = books.received.data, books.held
        times: list[Nanos] = []
        rows: list[int] = []
        while len(times) < most and index < held:
            due: Nanos = axis[index]
            if not self._is_wire and due < last_at + self._cadence:
                due = last_at + self._cadence
            row = index
            if row + 1 < held and axis[row + 1] <= due:
                row = bisect_right(axis, due, row + 2, held) - 1
            times.append(due)
            rows.append(row)
            index, last_at = row + 1, due
        return times, np.array(rows)

    def published(self, ahead: FeedAhead, index: int) -> None:
        """Record that the prepared books up to ``index`` were published."""
        self._row = ahead.row_of(index)
        latest = ahead.published_by[index]
        if latest >= 0:
            self._last, self._last_at = ahead.books[latest], ahead.times[latest]
            self.open_at = ahead.times[latest] + self._cadence
        self.look()

    def _rounded(self, levels: Levels) -> Levels:
        unit = self._unit
        half = unit // 2
        # the rest of a level may round to zero, which clients interpret as a removed level
        return tuple([(ticks, (lots + half) // unit * unit) for ticks, lots in levels if lots >= unit - half])


def book_event(market: VenueMarket, row: int, levels: tuple[Levels, Levels], now: Nanos) -> OrderBook:
    """Return the composed book as an event. The event's time is in exchange time: the row's timestamp plus the time
    since the row was received.
    """
    books = market.books
    if books is None or row < 0:
        return OrderBook(market.pair, now, levels[0], levels[1])
    index = row - books.first
    time = int(books.time[index]) + now - int(books.received[index])
    return OrderBook(market.pair, time - time % NS_PER_MS, levels[0], levels[1])
