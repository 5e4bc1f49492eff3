"""Which recorded rows can touch our orders, and when the next of them comes.

Only markets with open orders are searched. A market's search starts over when its orders' prices change; otherwise it
goes on where it stopped.
"""

from __future__ import annotations

from botkit.model.clock import Nanos
from botkit.sim.bounds import NEVER_DOWN, NEVER_UP, NO_BOUNDS, Bounds
from botkit.sim.candles import CandleMatcher
from botkit.sim.market import VenueMarket


class Touches:
    """Searches the recorded rows of all markets with open orders."""

    def __init__(self, matcher: CandleMatcher) -> None:
        self._matcher = matcher
        #: markets with open orders, sorted by pair name
        self.busy: dict[str, VenueMarket] = {}

    def search(self, market: VenueMarket, now: Nanos, trades_from: int | None = None) -> None:
        """Search for rows after ``now`` (and trades from ``trades_from`` on) that can touch a market's orders."""
        buys, sells = market.buys, market.sells
        if not (buys or sells or market.stops or market.waiting):
            if market.pair in self.busy:
                del self.busy[market.pair]
                market.searched = NO_BOUNDS
                for stream in (market.candles, market.trades, market.books):
                    if stream is not None:
                        stream.bounds, stream.is_idle = NO_BOUNDS, True
            return
        busy = self.busy
        if market.pair not in busy:
            busy[market.pair] = market
            if len(busy) > 1:
                in_order = sorted(busy.items())
                busy.clear()
                busy.update(in_order)
        buy = buys[0].price_ticks if buys else NEVER_DOWN
        sell = sells[0].price_ticks if sells else NEVER_UP
        bounds = market.bounds(buy, sell) if market.stops or market.waiting else Bounds(buy, sell)
        if bounds == market.searched:
            return
        market.searched = bounds
        if market.candles is not None:
            market.candles.watch(bounds, now)
        else:
            if market.trades is not None:
                if trades_from is None and market.before_trades:
                    trades_from = market.trade_position(now)
                market.trades.watch(bounds, now, trades_from)
            if market.books is not None:
                market.books.watch(bounds.of_book() if market.stops or market.waiting else bounds, now)

    def next_touch(self, until: Nanos | None) -> Nanos | None:
        """Return when the recorded market may next touch an order. If that is after ``until``, any time after ``until``
        may be returned.
        """
        earliest: Nanos | None = None
        for market in self.busy.values():
            if market.candles is not None:
                touch = market.candles.next_touch(until)
                other = self._matcher.opens_at(market) if market.waiting else None
            else:
                touch = market.books.next_touch(until) if market.books is not None else None
                other = market.trades.next_touch(until) if market.trades is not None else None
            if touch is not None and (earliest is None or touch < earliest):
                earliest = touch
            if other is not None and (earliest is None or other < earliest):
                earliest = other
        return earliest
