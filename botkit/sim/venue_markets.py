"""The markets of all pairs: what the tape shows of each, and the candles of its past trades."""

from __future__ import annotations

from collections.abc import Mapping

from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.order_book import OrderBook
from botkit.model.pairs import Pair
from botkit.sim.book_feed import book_event, compose
from botkit.sim.history import CandleHistory
from botkit.sim.market import VenueMarket


class VenueMarkets:
    """Every pair's market, created when it is first needed. Takers ignore recorded levels older than
    ``max_book_age_s``.
    """

    def __init__(self, pairs: Mapping[str, Pair], max_book_age_s: int | None) -> None:
        self.pairs = dict(pairs)
        self._max_book_age: Nanos | None = None if max_book_age_s is None else max_book_age_s * NS_PER_S
        self.by_name: dict[str, VenueMarket] = {}
        #: sorted by pair name, which determines the order of simultaneous events
        self.sorted: list[VenueMarket] = []
        self._histories: dict[str, CandleHistory] = {}

    def of(self, name: str) -> VenueMarket:
        """Return the market of a pair. Raises KeyError for an unknown pair."""
        market = self.by_name.get(name)
        if market is None:
            market = self.by_name[name] = VenueMarket(self.pairs[name], max_book_age_ns=self._max_book_age)
            self.sorted = [self.by_name[key] for key in sorted(self.by_name)]
        return market

    def last_ticks(self, name: str, now: Nanos) -> int | None:
        """Return a pair's last traded price, or None before the first trade."""
        market = self.by_name.get(name)
        return None if market is None else market.last_ticks(now)

    def book(self, pair: Pair, depth: int, now: Nanos, *, own: bool = True) -> OrderBook:
        """Return the exact book: the recorded levels minus the amounts taken by our orders, plus our resting orders if
        ``own`` is set.
        """
        market = self.of(pair)
        row = market.book_row(now)
        return book_event(market, row, compose(market, row, depth, own=own), now)

    def candles(self, market: VenueMarket, now: Nanos) -> CandleHistory:
        """Return the candles of a market's past trades. Trades that were dropped since the last call are missing."""
        history = self._histories.get(market.pair)
        if history is None:
            history = self._histories[market.pair] = CandleHistory(market.pair)
        if market.trades is not None:
            history.absorb(market.trades, market.trades.position(now))
        return history
