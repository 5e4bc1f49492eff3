"""Fills against recorded books and trades, and between our accounts.

`ASSUMPTIONS` lists the assumptions made here; those about the queue are in `botkit.sim.fills`.
"""

from __future__ import annotations

from botkit.model.clock import Nanos
from botkit.model.extension import QueueModel
from botkit.model.money import UNIT
from botkit.model.orders import MARKET, STOP_LIMIT, Condition
from botkit.sim.fills import WHOLE
from botkit.sim.ledger import Ledger
from botkit.sim.market import VenueMarket
from botkit.sim.order import CANCELLED, FILLED, OPEN, POST_ONLY_CANCELLED, VenueOrder
from botkit.sim.venue_event import VenueEvent

#: an unlimited level, because candles and trades do not show how many lots rested at a price
ENDLESS = WHOLE
#: marks a price whose amount has not yet been shown in any snapshot
UNSEEN = WHOLE

BOOK_ASSUMPTIONS = (
    "Market orders, crossing orders and triggered stops take from the recorded levels on arrival; "
    "other participants do not react.",
    "They match against the levels that trades since that snapshot have left: a buyer's trade proves that the asks "
    "below its "
    "price are gone and takes its amount from those at its price; a seller's trade does the same to the bids, and "
    "a trade whose side is unknown, to both. The next snapshot resets this.",
    "The amount that our orders take from a recorded level stays taken until that level changes in the recording; "
    "otherwise our orders do not move the market.",
    "An order better than the best recorded price, or between recorded levels, has nothing ahead; beyond the recorded "
    "depth it is behind the entire level as first recorded.",
    "One recorded trade's amount is shared by our orders by price, then time; every fill is capped by the trade's"
    " amount or by the opposite amount shown.",
    "The part of a market order that the recorded book cannot fill is cancelled; no depth beyond the recording is "
    "assumed.",
    "Our own taker executions are published as public trades and count as the last price until the next recorded one.",
)
TRADE_ASSUMPTIONS = (
    "Trades without books: a market order fills completely at the first trade after its arrival, at that trade's "
    "price plus slippage; whether that amount was available is unknown.",
    "Trades without books: a limit order better than the last price by at least a tick is a taker and fills at trades"
    " at or better than its limit, by their amounts, at their prices plus slippage, never beyond its limit; any other"
    " limit order rests and is filled by trades beyond its price (at its price only under the optimistic assumption).",
)
STOP_ASSUMPTION = (
    "Stops watch the last trade price (on candles a bar's high and low); one whose condition is met on arrival triggers"
    " at once. Untriggered stops lock their funds and count towards the open-order limit."
)


class Matcher:
    """Matches orders against one pair's market. ``slippage_e8`` is a fraction in units of 1e-8."""

    def __init__(self, ledger: Ledger, queue: QueueModel, slippage_e8: int) -> None:
        self.ledger = ledger
        self.queue = queue
        self.slippage_e8 = slippage_e8

    # -- prices ---------------------------------------------------------------------------------------------------

    def slipped(self, order: VenueOrder, ticks: int) -> int:
        """Return a taker's price after slippage, rounded to a tick to the taker's disadvantage, but never beyond the
        limit price.
        """
        slippage = self.slippage_e8
        if order.is_buy:
            price = -(-ticks * (UNIT + slippage) // UNIT)  # rounded up
            return price if order.type is MARKET else min(price, order.price_ticks)
        price = max(ticks * (UNIT - slippage) // UNIT, 1)
        return price if order.type is MARKET else max(price, order.price_ticks)

    @staticmethod
    def meets(order: VenueOrder, ticks: int) -> bool:
        """Return True if the order may trade at this price on the opposite side."""
        if order.type is MARKET:
            return True
        return ticks <= order.price_ticks if order.is_buy else ticks >= order.price_ticks

    # -- arrival --------------------------------------------------------------------------------------------------

    def enter(self, order: VenueOrder, market: VenueMarket, event: VenueEvent) -> None:
        """Process an order that has arrived or has been triggered, on any tape."""
        self.enter_on_trades(order, market, event)

    def enter_on_trades(self, order: VenueOrder, market: VenueMarket, event: VenueEvent) -> None:
        """Process an order that has arrived (or has been triggered) on a tape with books, or with only trades."""
        row = -1
        levels: list[tuple[int, int]] = []
        is_limit, books = order.type is not MARKET, market.books
        if books is not None:
            row = market.book_row(event.time)
            # the remaining levels never start at a better price than the recorded levels
            if row >= 0 and (not is_limit or self.meets(order, books.best(row, bids=not order.is_buy))):
                levels = market.levels_left(row, event.time, event.trade_row, bids=not order.is_buy)
        last = None if books is not None or not is_limit else market.last_ticks(event.time)
        # a price equal to the last price does not cross, because it is unknown whether any order rested there
        crosses_last = last is not None and (order.price_ticks > last if order.is_buy else order.price_ticks < last)
        if order.new.post_only and is_limit and order.type is not STOP_LIMIT:
            others = market.sells if order.is_buy else market.buys
            if (
                crosses_last
                or (levels and self.meets(order, levels[0][0]))
                or (others and self.meets(order, others[0].price_ticks))
            ):
                self.ledger.close(order, event, POST_ONLY_CANCELLED)
                return
        if books is None and (not is_limit or crosses_last):
            if is_limit and (market.sells if order.is_buy else market.buys):
                self.take(order, market, event, [], -1)
            if order.remaining_lots or order.is_market_buy:
                market.waiting.append(order)
            return
        if levels or (market.sells if order.is_buy else market.buys):
            self.take(order, market, event, levels, row)
        if not is_limit:
            self.finish(order, event)
        elif order.remaining_lots:
            # the order rests in the book, behind the amount at its price in the current snapshot
            shown, price = UNSEEN, order.price_ticks
            if row >= 0:
                assert books is not None
                recorded = books.lots_at(row, price, bids=order.is_buy)
                if recorded is not None:
                    order.is_placed = True
                    shown = market.net_lots(row, price, recorded, bids=order.is_buy) if recorded else 0
            order.ahead = order.joined_behind = self.queue.on_arrival(shown)
            order.book_row = row
            market.rest(order)

    def take(
        self, order: VenueOrder, market: VenueMarket, event: VenueEvent, levels: list[tuple[int, int]], row: int
    ) -> None:
        """Take from recorded levels (net, best first) and from our accounts' resting orders, in price-time order.

        At each price, the recorded amount ahead of a resting order is taken first, and the rest of the level last.
        """
        others = market.sells if order.is_buy else market.buys
        sign = 1 if order.is_buy else -1
        # the limit, signed so that higher is worse for this order; the order never trades beyond the limit
        reach = WHOLE if order.type is MARKET else sign * order.price_ticks
        index = 0
        left = levels[0][1] if levels else 0
        while order.remaining_lots or order.is_market_buy:
            level = levels[index][0] if index < len(levels) else None
            other = others[0] if others else None
            if other is not None and level is not None and other.price_ticks == level:
                self.settle(other, market, row)
            if other is not None and (
                level is None
                or sign * other.price_ticks < sign * level
                or (other.price_ticks == level and other.ahead <= 0)
            ):
                if sign * other.price_ticks > reach:
                    return
                lots = min(other.remaining_lots, self._wanted(order, other.price_ticks))
                if not lots:
                    return
                self._trade(order, other, market, event, lots)
                continue
            if level is None or sign * level > reach:
                return
            available = left if other is None or other.price_ticks != level else min(left, other.ahead)
            if order.is_market_buy:
                wanted = order.pair.rules.lots_for_value(level, order.spend_units)
            else:
                wanted = order.remaining_lots
            lots = available if available < wanted else wanted
            if not lots:
                return
            self.ledger.fill(order, level, lots, event, is_maker=False)
            if row >= 0:
                market.take(row, level, lots, bids=not order.is_buy)
                market.print(order.new.side, level, lots, event.time)
                market.changed = True
                for standing in others:
                    if standing.price_ticks != level:
                        break
                    self.settle(standing, market, row)
                    standing.ahead = max(standing.ahead - lots, 0)
            if available == ENDLESS:
                return  # nothing left to fill
            left -= lots
            if not left:
                index += 1
                left = levels[index][1] if index < len(levels) else 0

    def _trade(self, taker: VenueOrder, maker: VenueOrder, market: VenueMarket, event: VenueEvent, lots: int) -> None:
        ledger = self.ledger
        ticks = maker.price_ticks
        ledger.fill(taker, ticks, lots, event, is_maker=False, meets_market=False)
        ledger.fill(maker, ticks, lots, event, is_maker=True, meets_market=False, is_second=True)
        market.print(taker.new.side, ticks, lots, event.time)
        market.changed = True
        if not maker.remaining_lots:
            (market.buys if maker.is_buy else market.sells).remove(maker)

    @staticmethod
    def _wanted(order: VenueOrder, ticks: int) -> int:
        if order.is_market_buy:
            return order.pair.rules.lots_for_value(ticks, order.spend_units)
        return order.remaining_lots

    def finish(self, order: VenueOrder, event: VenueEvent) -> None:
        """Finish a market order. A market buy is complete if the amount left to spend does not cover one lot at the
        last price paid.
        """
        if order.is_market_buy:
            trades = order.account.trades
            rules = order.pair.rules
            if order.executed_lots and not rules.lots_for_value(trades[-1].price_ticks, order.spend_units):
                self.ledger.close(order, event, FILLED)
                return
        elif not order.remaining_lots:
            return
        self.ledger.close(order, event, CANCELLED)

    # -- the queue ------------------------------------------------------------------------------------------------

    def settle(self, order: VenueOrder, market: VenueMarket, row: int) -> None:
        """Update the amount ahead of an order using the snapshots since the last update."""
        if order.book_row >= row or market.books is None:
            return
        shown_lots = market.books.shown(order.book_row, row, order.price_ticks, bids=order.is_buy)
        order.book_row = row
        queue = self.queue
        for shown in shown_lots:
            if shown == order.shown_lots or shown < 0:
                continue
            order.shown_lots = shown
            if order.is_placed:
                order.ahead = queue.on_snapshot(order.ahead, shown)
            else:
                order.is_placed = True
                order.ahead = order.joined_behind = queue.on_arrival(shown)

    def settle_all(self, market: VenueMarket, now: Nanos) -> None:
        """Update every order to the current snapshot, before older rows are dropped."""
        market.settle(now)
        if market.books is not None:
            row = market.books.current
            for order in market.buys + market.sells:
                self.settle(order, market, row)

    # -- recorded rows --------------------------------------------------------------------------------------------

    def on_book(self, market: VenueMarket, row: int, event: VenueEvent) -> None:
        """Process a snapshot. Fill each resting order whose price has been reached by the opposite side, up to the
        amount that the snapshot shows at that price or better.
        """
        for is_buy in (True, False):
            orders = market.buys if is_buy else market.sells
            if not orders:
                continue
            levels = market.net_levels(row, bids=not is_buy)
            best = levels[0][0] if levels else None
            for order in orders:
                if best is None or not self.meets(order, best):
                    break
                shown = sum(lots for ticks, lots in levels if self.meets(order, ticks))
                lots = min(self.queue.on_cross(shown), order.remaining_lots)
                if lots <= 0:
                    continue
                self.ledger.fill(order, order.price_ticks, lots, event, is_maker=True)
                market.changed = True
                levels = self._take_shown(market, row, levels, min(lots, shown), bids=not is_buy)
        market.drop_finished()

    def _take_shown(
        self, market: VenueMarket, row: int, levels: list[tuple[int, int]], lots: int, *, bids: bool
    ) -> list[tuple[int, int]]:
        left = []
        for ticks, net in levels:
            part = min(net, lots)
            if part:
                market.take(row, ticks, part, bids=bids)
                lots -= part
            if net > part:
                left.append((ticks, net - part))
        return left

    def on_trade(self, market: VenueMarket, row: int, event: VenueEvent) -> None:
        """Process a public trade: fill orders that are waiting for a trade, advance queues, fill orders whose price was
        traded through, and trigger stops.
        """
        trades = market.trades
        assert trades is not None
        index = row - trades.first
        ticks, lots, side = (int(trades.ticks[index]), int(trades.lots[index]), int(trades.side[index]))
        if market.waiting:
            lots = self._take_trade(market, ticks, lots, event)
        if market.buys and ticks <= market.buys[0].price_ticks:
            lots = self._work(market, market.buys, ticks, lots, event, may_be_at=side <= 0)
        if market.sells and ticks >= market.sells[0].price_ticks:
            self._work(market, market.sells, ticks, lots, event, may_be_at=side >= 0)
        if event.news and (market.buys or market.sells):  # no news means that no resting order was filled
            market.drop_finished()
        if market.stops:
            self.trigger(market, ticks, ticks, event)

    def _work(
        self,
        market: VenueMarket,
        orders: list[VenueOrder],
        ticks: int,
        lots: int,
        event: VenueEvent,
        *,
        may_be_at: bool,
    ) -> int:
        """Allocate a trade to resting orders in price-time order. Return the remaining lots."""
        queue = self.queue
        book_row = market.book_row(event.time)
        for order in orders:
            if ticks > order.price_ticks if order.is_buy else ticks < order.price_ticks:
                break
            if order.price_ticks != ticks:
                order.ahead, order.is_placed, order.book_row = 0, True, book_row
                allowed = queue.on_through(lots)
            elif may_be_at:
                self.settle(order, market, book_row)
                order.ahead, allowed = queue.on_trade(order.ahead, lots)
            else:
                break
            fill = min(allowed, order.remaining_lots)
            if fill > 0:
                self.ledger.fill(order, order.price_ticks, fill, event, is_maker=True)
                market.changed = True
                lots = max(lots - fill, 0)
        return lots

    def _take_trade(self, market: VenueMarket, ticks: int, lots: int, event: VenueEvent) -> int:
        """On trade-only tapes, fill waiting taker orders from a trade. Return the remaining lots."""
        waiting, market.waiting = market.waiting, []
        for order in waiting:
            if order.type is MARKET:
                self.take(order, market, event, [(self.slipped(order, ticks), ENDLESS)], -1)
                self.finish(order, event)
            elif self.meets(order, ticks) and lots:
                before = order.remaining_lots
                self.take(order, market, event, [(self.slipped(order, ticks), lots)], -1)
                # also subtract amounts bought from our own accounts: this is pessimistic, but the trade cannot be split
                lots = max(lots - before + order.remaining_lots, 0)
                if order.remaining_lots:
                    market.waiting.append(order)
            else:
                market.waiting.append(order)
        return lots

    def trigger(
        self, market: VenueMarket, low: int, high: int, event: VenueEvent, arrived_by: Nanos | None = None
    ) -> None:
        """Activate the stops whose condition was met within a price range, if they arrived in time."""
        met = [
            order
            for order in market.stops
            if self.is_met(order, low, high) and (arrived_by is None or order.arrived <= arrived_by)
        ]
        for order in met:
            market.stops.remove(order)
            self.activate(order, market, event)

    def trigger_by_prints(self, market: VenueMarket, event: VenueEvent) -> None:
        """Trigger the stops reached by our own executions, because they are trades like any other. Executions of these
        stops may trigger further stops.
        """
        seen = 0
        while market.stops and len(market.prints) > seen:
            prices = [row.ticks for row in market.prints[seen:]]
            seen = len(market.prints)
            self.trigger(market, min(prices), max(prices), event)

    def activate(self, order: VenueOrder, market: VenueMarket, event: VenueEvent) -> None:
        """Convert a stop to a limit order now."""
        order.state = OPEN
        order.updated = event.time
        event.of(order)
        self.enter(order, market, event)

    @staticmethod
    def is_met(order: VenueOrder, low: int, high: int) -> bool:
        """Return True if a stop's condition is met at the high or at the low."""
        new = order.new
        return high >= new.stop_ticks if new.condition is Condition.AT_LEAST else low <= new.stop_ticks
