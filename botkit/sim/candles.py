"""Fills on candle-only tapes.

A bar has four prices and a volume but does not show their sequence, so every ambiguity is resolved pessimistically.
"""

from __future__ import annotations

from botkit.model.clock import Nanos
from botkit.model.orders import LIMIT, MARKET
from botkit.sim.market import VenueMarket
from botkit.sim.matching import ENDLESS, Matcher
from botkit.sim.order import POST_ONLY_CANCELLED, VenueOrder
from botkit.sim.streams import CandleStream
from botkit.sim.venue_event import VenueEvent

CANDLE_ASSUMPTIONS = (
    "Candles: a market order fills completely at the open of the bar that contains its arrival if it was sent no "
    "later than that open, otherwise at the next open, plus adverse slippage; whether that amount was available is "
    "unknown.",
    "Candles: a limit order that is already marketable at this open is a taker, filled completely at the open plus "
    "slippage, never beyond its limit (POST_ONLY: cancelled with status 6).",
    "Candles: a resting order fills only when a bar that starts at or after its arrival trades strictly through its "
    "price; it fills at its own price, and the fill is reported at the bar's end. Our orders share at most that bar's "
    "volume in order of arrival.",
    "Candles: nothing fills in a bar without volume; a stop that a bar's high or low triggers is executed from the "
    "bar's end on.",
)

#: a fill of more than 1/LARGE of its bar's volume is flagged
LARGE = 10


class CandleMatcher(Matcher):
    """A `Matcher` with bars as the market. ``large_fills`` counts fills at an open that exceed a tenth of the bar's
    volume.
    """

    large_fills = 0

    def enter_on_candles(self, order: VenueOrder, market: VenueMarket, event: VenueEvent) -> None:
        """Process an order at its open: now if the open has passed, otherwise later."""
        candles = market.candles
        assert candles is not None
        candles.position(event.time)
        self._find_open(order, candles)
        if 0 <= order.opens_at <= event.time:
            self._work_open(order, market, event)
        else:
            market.waiting.append(order)

    def opens_at(self, market: VenueMarket) -> Nanos | None:
        """Return the earliest time at which a waiting order can be processed, or None."""
        candles = market.candles
        assert candles is not None
        earliest: Nanos | None = None
        for order in market.waiting:
            if order.opens_at < 0:
                self._find_open(order, candles)
                if order.opens_at < 0:
                    continue
            if earliest is None or order.opens_at < earliest:
                earliest = order.opens_at
        return earliest

    @staticmethod
    def _find_open(order: VenueOrder, candles: CandleStream) -> None:
        found = candles.first_open(order.sent, order.arrived)
        if found is not None:
            start, order.open_ticks, order.bar_lots = found
            order.opens_at = order.arrived if order.arrived > start else start

    def on_opens(self, market: VenueMarket, now: Nanos) -> VenueEvent | None:
        """Process the orders whose open has been reached. Returns the resulting event, or None if no order was due."""
        event = None
        for order in list(market.waiting):
            if 0 <= order.opens_at <= now:
                if event is None:
                    event = VenueEvent(now)
                market.waiting.remove(order)
                self._work_open(order, market, event)
        return event

    def _work_open(self, order: VenueOrder, market: VenueMarket, event: VenueEvent) -> None:
        ticks, limit = order.open_ticks, order.price_ticks
        meets = order.type is MARKET or (ticks <= limit if order.is_buy else ticks >= limit)
        others = market.sells if order.is_buy else market.buys
        if (
            order.new.post_only
            and order.type is LIMIT
            and (meets or (others and self.meets(order, others[0].price_ticks)))
        ):
            self.ledger.close(order, event, POST_ONLY_CANCELLED)
            return
        if meets or others:
            self.take(order, market, event, [(self.slipped(order, ticks), ENDLESS)] if meets else [], -1)
        if meets and order.executed_lots * LARGE > order.bar_lots:
            self.large_fills += 1
        if order.type is MARKET:
            self.finish(order, event)
        elif order.remaining_lots:
            market.rest(order)

    def on_bar(self, market: VenueMarket, row: int, event: VenueEvent) -> None:
        """Process a completed bar: fill the orders whose prices it traded through, then trigger stops."""
        candles = market.candles
        assert candles is not None
        index = row - candles.first
        start, left = int(candles.time[index]), int(candles.lots[index])
        low, high = int(candles.low[index]), int(candles.high[index])
        assert left > 0, row  # the search skips empty bars
        through = [order for order in market.buys if low < order.price_ticks and order.arrived <= start]
        through += [order for order in market.sells if high > order.price_ticks and order.arrived <= start]
        through.sort(key=lambda order: order.rank)
        for order in through:
            lots = min(left, order.remaining_lots)
            if not lots:
                break
            self.ledger.fill(order, order.price_ticks, lots, event, is_maker=True)
            market.changed = True
            left -= lots
        market.drop_finished()
        if market.stops:
            self.trigger(market, low, high, event, arrived_by=start)

    def activate(self, order: VenueOrder, market: VenueMarket, event: VenueEvent) -> None:
        """Process a triggered stop as if it had been sent when the trigger became known."""
        if market.candles is not None:
            order.sent = order.arrived = event.time
            order.opens_at = -1
        super().activate(order, market, event)

    def enter(self, order: VenueOrder, market: VenueMarket, event: VenueEvent) -> None:
        """Process an order that has arrived or has been triggered, on any tape."""
        if market.candles is None:
            self.enter_on_trades(order, market, event)
        else:
            self.enter_on_candles(order, market, event)
