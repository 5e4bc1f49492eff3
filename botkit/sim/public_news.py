"""What everyone is told: the books of the pairs that are published, and our executions as public trades."""

from __future__ import annotations

from botkit.model.clock import Nanos
from botkit.sim.book_feed import BookFeed
from botkit.sim.books_ahead import BooksAhead
from botkit.sim.candles import CandleMatcher
from botkit.sim.market import VenueMarket
from botkit.sim.publication import Publication
from botkit.sim.publish import BOOKS, TRADES, Deliveries, prints_of
from botkit.sim.venue_event import VenueEvent


class PublicNews:
    """Publishes books, at most one per pair and ``cadence``, and our trades. ``ahead`` holds books that were prepared
    on the assumption that no other book comes first.
    """

    def __init__(self, outbox: Deliveries, matcher: CandleMatcher, ahead: BooksAhead, cadence: Nanos) -> None:
        self._outbox = outbox
        self._matcher = matcher
        self._ahead = ahead
        self._cadence = cadence
        #: sorted by pair name
        self.feeds: dict[str, BookFeed] = {}

    def open_feed(self, market: VenueMarket, depth: int, now: Nanos, *, is_wire: bool) -> None:
        """From now on, publish a market's books, or publish more levels of them."""
        feeds = self.feeds
        feed = feeds.get(market.pair)
        if feed is not None:
            feed.deepen(depth, now)
            return
        market.changed = False  # without a feed, this flag was never cleared
        feeds[market.pair] = BookFeed(market, depth, self._cadence, now, is_wire=is_wire)
        in_order = sorted(feeds.items())
        feeds.clear()
        feeds.update(in_order)

    def publish_due(self, now: Nanos) -> bool:
        """Publish the books that are due. Return whether any were published."""
        published = False
        for name, feed in self.feeds.items():
            if feed.due is not None and feed.due <= now:
                book = feed.publish(now)
                self._ahead.drop()
                if book is not None:
                    self._outbox.put((now, BOOKS, name, self._outbox.number(), [Publication(now, None, book)]))
                    published = True
        return published

    def follow(self, market: VenueMarket, event: VenueEvent) -> None:
        """Publish our public trades in a changed market. These trades may trigger stops.

        Callers skip this if there is neither a trade nor a change that a feed would publish.
        """
        now = event.time
        if market.stops and market.prints:
            self._matcher.trigger_by_prints(market, event)
        if market.changed:
            market.changed = False
            feed = self.feeds.get(market.pair)
            if feed is not None and feed.changed_at is None:
                feed.note_change(now)
        if market.prints:
            prints = [Publication(now, None, trade) for trade in prints_of(market, market.pair, now)]
            self._outbox.put((now, TRADES, market.pair, self._outbox.number(), prints))
