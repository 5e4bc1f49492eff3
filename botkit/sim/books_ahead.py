"""The next books that the exchange will publish if our orders do not change.

Between requests and matches, every book is determined by the recorded rows and our unchanged orders. Therefore many
books can be prepared at once, and a driver passes them to the bot without advancing the exchange for each one.
"""

from __future__ import annotations

from collections.abc import Sequence

from botkit.model.clock import Nanos
from botkit.model.published_books import PublishedBooks
from botkit.sim.book_feed import BookFeed
from botkit.sim.feed_ahead import FeedAhead

#: the initial and maximum number of books to prepare per pair; the number grows while the bot processes all of them
_FIRST, _MOST, _GROWTH = 8, 512, 4


class BooksAhead:
    """Prepares books for all feeds, and advances the feeds once the bot has processed the books."""

    def __init__(self) -> None:
        self._count = _FIRST
        #: the last prepared books, and how many of them are marked as published in their feeds
        self.books: PublishedBooks | None = None
        self._noted = 0
        self._sources: list[tuple[BookFeed, FeedAhead, int]] = []

    def drop(self) -> None:
        """Discard the prepared books, because another event will happen first."""
        self.books = None
        self._count = _FIRST

    def next(self) -> PublishedBooks | None:
        """Return the prepared books, or None if there are none left."""
        books = self.books
        return books if books is not None and books.done < len(books.times) else None

    def is_latest(self) -> bool:
        """Return True if the bot has received no other event since the last book that it processed."""
        return self.books is not None and self.books.is_latest

    def prepare(self, feeds: Sequence[BookFeed]) -> PublishedBooks | None:
        """Prepare the next books, unless a change to our orders must be published first."""
        self.books = None
        found: list[tuple[BookFeed, FeedAhead]] = []
        further: Nanos | None = None
        for feed in feeds:
            ahead = feed.ahead(self._count)
            if ahead is not None:
                found.append((feed, ahead))
                if ahead.further is not None and (further is None or ahead.further < further):
                    further = ahead.further
            elif feed.due is not None:
                return None
        if not found:
            return None
        self._count = min(self._count * _GROWTH, _MOST)
        self._noted = 0
        self.books = self._merged(found, further)
        return self.books

    def _merged(self, found: Sequence[tuple[BookFeed, FeedAhead]], further: Nanos | None) -> PublishedBooks:
        if len(found) == 1:
            feed, ahead = found[0]
            count = len(ahead.times)
            self._sources = [(feed, ahead, index) for index in range(count)]
            bids, asks = ahead.laid.best_bids, ahead.laid.best_asks
            pairs = [feed.market.pair] * count
            return PublishedBooks(ahead.times, ahead.books, pairs, bids, asks, feed.depth, further)
        # simultaneous books are ordered by pair, which is also the order of the feeds
        rows = sorted(
            (at, place, index)
            for place, (_, ahead) in enumerate(found)
            for index, at in enumerate(ahead.times)
            if further is None or at < further
        )
        self._sources = sources = [(*found[place], index) for _, place, index in rows]
        return PublishedBooks(
            [at for at, _, _ in rows],
            [ahead.books[index] for _, ahead, index in sources],
            [feed.market.pair for feed, _, _ in sources],
            [ahead.laid.best_bids[index] for _, ahead, index in sources],
            [ahead.laid.best_asks[index] for _, ahead, index in sources],
            max(feed.depth for feed, _ in found),
            further,
        )

    def note_taken(self) -> Nanos | None:
        """Mark the books that the bot has processed as published. Return the time of the last one, or None if there are
        none.
        """
        books = self.books
        if books is None or books.done == self._noted:
            return None
        latest: dict[int, tuple[BookFeed, FeedAhead, int]] = {}
        for source in self._sources[self._noted : books.done]:
            latest[id(source[0])] = source
        for feed, ahead, index in latest.values():
            feed.published(ahead, index)
        self._noted = books.done
        return books.times[books.done - 1]
