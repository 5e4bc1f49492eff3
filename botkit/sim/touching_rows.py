"""Works off the recorded rows that touch our orders: each row's fills, what follows from them, and the news of them."""

from __future__ import annotations

from collections.abc import Callable

from botkit.model.clock import Nanos
from botkit.sim.account_news import AccountNews
from botkit.sim.candles import CandleMatcher
from botkit.sim.market import VenueMarket
from botkit.sim.public_news import PublicNews
from botkit.sim.streams import BookStream, CandleStream, TradeStream
from botkit.sim.touches import Touches
from botkit.sim.venue_event import VenueEvent


class TouchingRows:
    """Gives the rows of one moment to the matcher. Each method returns whether anything happened."""

    def __init__(self, touches: Touches, matcher: CandleMatcher, public: PublicNews, accounts: AccountNews) -> None:
        self._touches = touches
        self._matcher = matcher
        self._public = public
        self._accounts = accounts

    def bars_and_books(self, now: Nanos) -> bool:
        """Process the rows that come before the trades with the same timestamp: the bars of all pairs, then the
        books.
        """
        happened = False
        busy, matcher = list(self._touches.busy.values()), self._matcher
        for market in busy:
            if market.candles is None:
                continue
            happened |= self.process(market, market.candles, matcher.on_bar, now)
            event = matcher.on_opens(market, now) if market.waiting else None
            if event is not None:
                self._public.follow(market, event)
                self._touches.search(market, now)
                if event.news:
                    self._accounts.tell(event)
                    happened = True
        for market in busy:
            if market.books is not None:
                happened |= self.process(market, market.books, matcher.on_book, now)
        return happened

    def process(
        self,
        market: VenueMarket,
        stream: BookStream | TradeStream | CandleStream,
        work: Callable[[VenueMarket, int, VenueEvent], None],
        now: Nanos,
    ) -> bool:
        """Process a stream's rows up to ``now`` with the matcher's method for this kind of row."""
        happened = False
        while True:
            touch = stream.next_touch(now)
            if touch is None or touch > now:
                return happened
            row = stream.touch_row
            event = VenueEvent(now, trade_row=row if stream is market.trades else None)
            work(market, row, event)
            stream.scanned, stream.touch_row = row + 1, -1  # the search continues after this row
            if market.prints or (market.changed and self._public.feeds):
                self._public.follow(market, event)
            self._touches.search(market, now, row + 1 if stream is market.trades else None)
            self._accounts.tell(event)
            happened = True
            if stream.is_idle:
                return True
