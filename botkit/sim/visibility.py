"""When our orders can first be seen in public data, which limits how far a bot may run ahead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from botkit.model.clock import Nanos
from botkit.model.orders import BUY, LIMIT, STOP_LIMIT
from botkit.model.requests import CreateBatch, CreateOrder
from botkit.sim.book_feed import BookFeed
from botkit.sim.delays import Arrival
from botkit.sim.market import VenueMarket


def first_shown(
    at: Nanos,
    busy: Iterable[VenueMarket],
    arrivals: Iterable[Arrival],
    markets: Mapping[str, VenueMarket],
    feeds: Iterable[BookFeed],
) -> Nanos | None:
    """Return the earliest time, from ``at`` on, at which our orders can appear in public data, or None if no pending
    event will show them.

    A book shows our orders at its next publication. A trade shows an order that takes liquidity: one that arrives on a
    tape with books and is not post-only, a triggered stop, or one of our orders that matches another.
    """
    earliest: Nanos | None = None
    buys = sells = False
    for market in busy:
        if market.stops:
            return at
        if market.books is None:
            buys = buys or bool(market.buys)
            sells = sells or bool(market.sells)
            for order in market.waiting:
                buys, sells = buys or order.is_buy, sells or not order.is_buy
    for arrives, _, _, request, _, _ in arrivals:
        if type(request) is CreateOrder:
            new = request.order
            met = markets.get(new.pair)
            if met is None or met.books is None:
                buys, sells = buys or new.side is BUY, sells or new.side is not BUY
                may_take = new.type is STOP_LIMIT
            else:
                may_take = not (new.post_only and new.type is LIMIT)
        else:
            may_take = type(request) is CreateBatch
        if may_take and (earliest is None or arrives < earliest):
            earliest = arrives
    if buys and sells:
        return at
    for feed in feeds:
        shows = max(at, feed.open_at)
        if feed.due is not None and feed.due < shows:
            shows = feed.due
        if earliest is None or shows < earliest:
            earliest = shows
    return earliest
