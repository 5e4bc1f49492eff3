"""Quotes: a strategy states which orders should rest, and the engine computes and sends the difference.

A quote is identified by (strategy, pair, tag). Whenever a quote is stated, or one of its orders becomes final, its
orders are compared with its levels, from the touch outward:

* orders within the tolerance of a level's price are kept, oldest first, until they make up the level's amount;
* other orders are cancelled, and nothing is placed on their side until the cancels are complete, because until then the
  old orders still lock their money and may still fill;
* the missing amount of a level is placed, if it meets the pair's minimum;
* while the outcome of an order in the pair is unknown, nothing is placed, because that order is assumed to be resting;
* while the pair is closed, nothing is placed, and once it is open again, everything that is missing is;
* an order that was refused, or cancelled by post-only, is not retried until the strategy restates the quote, because
  an identical order would meet the same book;
* resting orders from an earlier run rejoin the quote once it is stated, because otherwise a restart would place all
  orders twice;
* the pair's cap on open orders is used for the levels nearest to the touch; levels blocked by the cap or by
  an order whose outcome is unknown are retried when an order in the pair changes state.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from botkit.engine.agenda import BotClock, Changes
from botkit.engine.orders.closed_pairs import ClosedPairs
from botkit.engine.orders.desk import OrderDesk
from botkit.engine.orders.entry import OrderEntry, tag_text
from botkit.engine.risk.review import RiskDesk
from botkit.engine.strategy.record import StrategyRecord
from botkit.model.money import Number, steps_of
from botkit.model.orders import BUY, FINAL_STATES, SELL, Order, OrderState, Side
from botkit.model.pairs import Pair, PairRules

_Level = tuple[int, int]  # ticks, lots
_Place = tuple[Side, int, int]  # side, ticks, lots
#: final states after which an identical order is not retried automatically; an order proved absent is never resubmitted
_NOT_AGAIN = frozenset({OrderState.POST_ONLY_CANCELLED, OrderState.REJECTED, OrderState.NOT_SENT, OrderState.ABSENT})


class _Quote:
    """One quote and its orders."""

    __slots__ = (
        "entry",
        "given_up",
        "is_clear_cut",
        "is_due",
        "orders",
        "pair",
        "post_only",
        "record",
        "tag",
        "tolerance_bps",
        "wanted",
    )

    def __init__(self, record: StrategyRecord, entry: OrderEntry, pair: Pair, tag: str) -> None:
        self.record = record
        self.entry = entry
        self.pair = pair
        self.tag = tag
        self.post_only = True
        self.tolerance_bps = 0.0
        self.wanted: dict[Side, list[_Level]] = {BUY: [], SELL: []}
        #: True if no order can fit two levels, so that a second comparison yields the same result
        self.is_clear_cut = True
        #: True if the quote must be compared with its orders at the end of the turn
        self.is_due = False
        self.orders: dict[int, Order] = {}
        #: (side, ticks) of orders refused since the quote was last stated
        self.given_up: set[tuple[Side, int]] = set()


class Quoter:
    """All of the bot's quotes. Runs at the end of a turn, after all callbacks."""

    def __init__(
        self, *, clock: BotClock, changes: Changes, desk: OrderDesk, risk: RiskDesk, closed: ClosedPairs
    ) -> None:
        self._clock = clock
        self._changes = changes
        self._desk = desk
        #: number of open orders by pair, and the pairs that have an order whose outcome is unknown
        self._open = risk.open_by_pair
        self._unknown = desk.resolution.blocked
        self._closed = closed.reasons
        #: every quote, by strategy, pair and tag; if there are no quotes, final orders need no handling here
        self.quotes: dict[tuple[str, str, str], _Quote] = {}
        self._owner: dict[int, _Quote] = {}
        #: orders from an earlier run whose quote has not been stated again yet
        self._left: dict[tuple[str, str, str], list[Order]] = {}
        #: the quotes to process at the end of this turn, in order; those marked as due are compared with their orders
        self.dirty: dict[_Quote, None] = {}
        #: True if one of the quotes in ``dirty`` is due
        self.has_due = False
        #: quotes with orders missing because of the cap, an order whose outcome is unknown, or a closed pair
        self._short: dict[_Quote, None] = {}

    def restore(self, order: Order) -> None:
        """Restore a live order that an earlier run placed for a quote."""
        assert order.is_quote, order
        self._left.setdefault((order.strategy, str(order.pair), order.tag), []).append(order)

    def want(
        self,
        record: StrategyRecord,
        entry: OrderEntry,
        pair: Pair,
        bids: Sequence[tuple[Number, Number]],
        asks: Sequence[tuple[Number, Number]],
        post_only: bool,
        tolerance_bps: float,
        tag: str,
    ) -> None:
        """State the orders that should rest. Levels too small for the pair are skipped and counted; a quote with a bid
        at or above an ask is ignored and counted, because the bid and the ask would trade with each other.
        """
        if type(tag) is not str:
            tag = tag_text(tag)
        wanted: dict[Side, list[_Level]] = {BUY: [], SELL: []}
        if not isinstance(bids, tuple) or bids:
            wanted[BUY] = _levels(record, pair.rules, bids, BUY)
        if not isinstance(asks, tuple) or asks:
            wanted[SELL] = _levels(record, pair.rules, asks, SELL)
        if wanted[BUY] and wanted[SELL] and wanted[BUY][0][0] >= wanted[SELL][0][0]:
            record.skip("quote: a bid at or above an ask", {})
            return
        key = (record.name, str(pair), tag)
        quote = self.quotes.get(key)
        is_new = quote is None
        if quote is None:
            quote = self.quotes[key] = _Quote(record, entry, pair, tag)
            for order in self._left.pop(key, ()):
                if not order.is_final:
                    quote.orders[order.client_id] = order
                    self._owner[order.client_id] = quote
        if (
            wanted == quote.wanted
            and (post_only, tolerance_bps) == (quote.post_only, quote.tolerance_bps)
            and not quote.given_up
            and quote not in self._short
            and not is_new
            and self._stands(quote)
        ):
            # the quote's orders were compared with these levels when they last changed, but the quote keeps its
            # position in the processing order in case one of its orders becomes final now
            self.dirty[quote] = None
            self._changes.count += 1
            return
        quote.post_only = post_only
        quote.tolerance_bps = tolerance_bps
        quote.wanted = wanted
        quote.is_clear_cut = True
        for levels in wanted.values():
            if len(levels) > 1 and not _are_apart(levels, tolerance_bps):
                quote.is_clear_cut = False
        quote.given_up.clear()
        # `_mark`, written out here and in `order_changed`, which run for every quote and every order
        quote.is_due = self.has_due = True
        self.dirty[quote] = None
        self._changes.count += 1

    def _mark(self, quote: _Quote) -> None:
        """Have a quote compared with its orders at the end of the turn."""
        quote.is_due = self.has_due = True
        self.dirty[quote] = None
        self._changes.count += 1

    def order_changed(self, order: Order) -> None:
        """Handle an order's new state. For a quote's order, only a final state matters here; `filled` handles fills."""
        if self._short:
            for short in [quote for quote in self._short if quote.pair == order.pair]:
                self._mark(short)
        quote = self._owner.get(order.client_id)
        if quote is None:
            return
        if order.state in FINAL_STATES:
            del self._owner[order.client_id]
            quote.orders.pop(order.client_id, None)
            # an order that was held back because another order's outcome was unknown is retried once the outcome is
            # known
            if order.state in _NOT_AGAIN and order.pair not in self._unknown:
                quote.given_up.add((order.side, order.price_ticks))
        elif self._stands(quote):
            # the quote keeps its position in case another of its orders becomes final now
            self.dirty[quote] = None
            return
        quote.is_due = self.has_due = True
        self.dirty[quote] = None
        self._changes.count += 1

    def _stands(self, quote: _Quote) -> bool:
        """Return True if another comparison would yield the same result, because no order fits two levels and the cap
        leaves room for all levels.
        """
        room = quote.pair.rules.open_orders_max - self._open.get(quote.pair, 0)
        return quote.is_clear_cut and len(quote.wanted[BUY]) + len(quote.wanted[SELL]) <= room + len(quote.orders)

    def filled(self, order: Order) -> None:
        """Mark a quote as due, because one of its orders was at least partly filled and the resting amount is now less
        than the quoted amount.
        """
        quote = self._owner.get(order.client_id)
        if quote is not None:
            self._mark(quote)

    def reopened(self, pair: Pair) -> None:
        """Place what is missing in a pair that is open again, including what was rejected or refused before."""
        for quote in self.quotes.values():
            if quote.pair == pair:
                quote.given_up.clear()
                self._mark(quote)

    def drop(self, record: StrategyRecord) -> None:
        """Forget the quotes of a stopped strategy; the engine cancels its orders."""
        for key in [key for key in self.quotes if key[0] == record.name]:
            quote = self.quotes.pop(key)
            self.dirty.pop(quote, None)
            self._short.pop(quote, None)
            for client_id in quote.orders:
                self._owner.pop(client_id, None)

    def settle(self) -> None:
        """Compare the changed quotes with their orders and send the difference."""
        while self.dirty:
            quote = next(iter(self.dirty))
            del self.dirty[quote]
            if not (quote.is_due and quote.record.active):
                continue
            quote.is_due = False
            pair, wanted = quote.pair, quote.wanted
            room = pair.rules.open_orders_max - self._open.get(pair, 0) + len(quote.orders)
            if len(wanted[BUY]) + len(wanted[SELL]) > room:
                wanted = _nearest(quote, room)
            if self._short:
                self._short.pop(quote, None)
            bids: list[Order] = []
            asks: list[Order] = []
            for order in quote.orders.values():
                (bids if order.side is BUY else asks).append(order)
            missing: list[_Place] = []
            for side, orders in ((BUY, bids), (SELL, asks)):
                # nothing is placed while a cancelled order may still fill
                is_ending = len(orders) == 1 and orders[0].cancel_requested
                if is_ending:
                    continue
                for ticks, lots in self._missing(quote, wanted[side], orders) if orders else wanted[side]:
                    if not quote.given_up or (side, ticks) not in quote.given_up:
                        missing.append((side, ticks, lots))
            if wanted is not quote.wanted:
                self._short[quote] = None
            if missing:
                self._place(quote, missing)
        self.has_due = False

    def _missing(self, quote: _Quote, levels: list[_Level], resting: list[Order]) -> list[_Level]:
        """Cancel the orders of a side that fit no level, and return the levels to place in addition to the remaining
        orders.
        """
        desk = self._desk
        keep, places = _difference(quote, levels, resting)
        is_waiting = False
        for order in resting:
            # a fully filled order becomes final without a cancel; the exchange would refuse a cancel, and the request
            # would still count toward the rate limit
            if order.client_id not in keep and not order.cancel_requested and order.executed_lots < order.amount_lots:
                desk.cancel(order, self._clock.now)
            # the cancel of a queued order takes effect immediately and removes the order from the quote
            if order.cancel_requested and order.client_id in quote.orders:
                is_waiting = True
        return [] if is_waiting else places

    def _place(self, quote: _Quote, missing: list[_Place]) -> None:
        """Place the missing orders, unless the cap, an order whose outcome is unknown or a closed pair prevents it."""
        pair = quote.pair
        room = pair.rules.open_orders_max - self._open.get(pair, 0)
        if len(missing) > room or pair in self._unknown or pair in self._closed:
            # the quote waits until an order in the pair changes state, or the pair is open again
            self._short[quote] = None
            if pair in self._unknown or pair in self._closed:
                return
        # nearest to the touch first, alternating sides, so that a small cap still quotes both sides
        if len(missing) > 1:
            missing.sort(key=lambda row: _distance(quote, row))
        for side, ticks, lots in missing[: max(0, room)]:
            order = quote.entry.own_limit(pair, side, lots, ticks, quote.tag, post_only=quote.post_only, is_quote=True)
            if order.state in FINAL_STATES:
                quote.given_up.add((side, ticks))
            else:
                quote.orders[order.client_id] = order
                self._owner[order.client_id] = quote


def _levels(
    record: StrategyRecord, rules: PairRules, levels: Sequence[tuple[Number, Number]], side: Side
) -> list[_Level]:
    """Convert levels to ticks and lots: one level per price, from the touch outward, without levels that are too
    small.
    """
    at: dict[int, int] = {}
    for level in levels:
        try:
            price, amount = level
        except (TypeError, ValueError):
            name = "bids" if side is BUY else "asks"
            raise TypeError(
                f"{name} is a list of (price, amount), such as {name}=[(100, 0.5)], not of {level!r}"
            ) from None
        ticks = steps_of(price, rules.price_decimals, up=side is SELL, what="price")
        lots = steps_of(amount, rules.amount_decimals, up=False, what="amount")
        at[ticks] = at.get(ticks, 0) + lots - lots % rules.amount_step
    result = []
    for ticks, lots in at.items():
        if ticks <= 0 or lots < rules.least_lots:
            record.skip(f"quote: a level below the minimum of {rules.amount_text(rules.least_lots)}", {})
        else:
            result.append((ticks, min(lots, rules.most_lots)))
    if len(result) > 1:
        result.sort(reverse=side is BUY)
    return result


def _are_apart(levels: list[_Level], tolerance_bps: float) -> bool:
    """Return True if no level of a side is within another level's tolerance."""
    prices = sorted(ticks for ticks, _ in levels)
    return all(above - below > above * tolerance_bps / 10_000 for below, above in pairwise(prices))


def _nearest(quote: _Quote, most: int) -> dict[Side, list[_Level]]:
    """Return the levels that fit under the cap: those nearest to the touch, alternating sides."""
    rows = [(side, ticks, lots) for side, levels in quote.wanted.items() for ticks, lots in levels]
    rows.sort(key=lambda row: _distance(quote, row))
    nearest: dict[Side, list[_Level]] = {BUY: [], SELL: []}
    for side, ticks, lots in rows[: max(0, most)]:
        nearest[side].append((ticks, lots))
    return nearest


def _difference(quote: _Quote, wanted: list[_Level], resting: list[Order]) -> tuple[set[int], list[_Level]]:
    """Return (client ids of orders that may stay, levels to place) for one side."""
    keep: set[int] = set()
    places: list[_Level] = []
    least = quote.pair.rules.least_lots
    for ticks, lots in wanted:
        slack = ticks * quote.tolerance_bps / 10_000
        have = 0
        for order in resting:
            if order.client_id in keep or order.cancel_requested or abs(order.price_ticks - ticks) > slack:
                continue
            # an excess below the minimum order size does not justify losing queue priority
            remaining = order.amount_lots - order.executed_lots
            if have + remaining < lots + least:
                have += remaining
                keep.add(order.client_id)
        if lots - have >= least:
            places.append((ticks, lots - have))
    return keep, places


def _distance(quote: _Quote, row: tuple[Side, int, int]) -> tuple[int, int]:
    side, ticks, _ = row
    best = quote.wanted[side][0][0]
    return abs(ticks - best), 0 if side is BUY else 1
