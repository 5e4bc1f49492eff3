"""The exchange's output in total order, by the time at which the bot receives it.

At equal times answers and account events come first, then books, then trades, by pair.
"""

from __future__ import annotations

import functools
import heapq
import itertools
from collections.abc import Callable, Sequence
from typing import TypeAlias

from botkit.model.clock import NS_PER_MS, NS_PER_S, Nanos
from botkit.model.events import BalanceReport, OrderBook, OrderReport, Trade, TradeReport
from botkit.model.pairs import Pair
from botkit.sim.bounds import NEVER_DOWN, NEVER_UP
from botkit.sim.market import VenueMarket
from botkit.sim.order import VenueOrder
from botkit.sim.publication import AccountEvent, Levels, Publication

#: the ranks of the kernel's output in the total order; 1 is for finished bars, which the driver creates
ACCOUNT_EVENTS, BOOKS, TRADES = 0, 2, 3


def in_one(before: tuple[AccountEvent, ...], after: tuple[AccountEvent, ...]) -> tuple[AccountEvent, ...]:
    """Merge the effects of two matches at one moment, keeping the later state of each order and balance."""
    executions: list[AccountEvent] = []
    orders: dict[str, OrderReport] = {}
    balances: dict[str, tuple[int, int]] = {}
    for event in before + after:
        if isinstance(event, TradeReport):
            executions.append(event)
        elif isinstance(event, OrderReport):
            orders[event.order_id] = event
        else:
            balances.update(event.balances)
    return (*executions, *orders.values(), *((BalanceReport(balances),) if balances else ()))


#: when they become known, their kind, the pair (of public ones), the delivery's number, and the events
_Delivery: TypeAlias = tuple[Nanos, int, str, int, list[Publication]]


class Deliveries:
    """The events that are on their way to the bots."""

    def __init__(self) -> None:
        #: a heap, whose first event becomes known next
        self.due: list[_Delivery] = []
        #: adds events that become known at one time, in order
        self.put: Callable[[_Delivery], None] = functools.partial(heapq.heappush, self.due)
        #: numbers the deliveries, so that those with the same time, kind and pair keep their order
        self.number: Callable[[], int] = itertools.count().__next__

    def until(self, to: Nanos, taken: Sequence[Publication] = ()) -> list[Publication]:
        """Remove all events known by ``to`` and return them in order, after those that were ``taken`` before."""
        due = self.due
        result: list[Publication] = [*taken]
        while due and due[0][0] <= to:
            for told in heapq.heappop(due)[4]:
                last = result[-1] if result else None
                if (
                    last is not None
                    and isinstance(told.event, tuple)
                    and isinstance(last.event, tuple)
                    and (last.at, last.account) == (told.at, told.account)
                ):
                    result[-1] = Publication(told.at, told.account, in_one(last.event, told.event), told.acted)
                else:
                    result.append(told)
        return result


def compose(market: VenueMarket, row: int, depth: int, *, own: bool = True) -> tuple[Levels, Levels]:
    """Return (bids, asks): the recorded levels less our orders' takes, with our resting orders among them.

    An order that the recorded opposite side has reached is omitted: the queue model may leave it unfilled, but no
    exchange shows a crossed book.
    """
    bids = market.net_levels(row, bids=True, depth=depth)
    asks = market.net_levels(row, bids=False, depth=depth)
    best_bid, best_ask = (bids[0][0] if bids else NEVER_DOWN), (asks[0][0] if asks else NEVER_UP)
    if own and market.buys:
        _lay_over(bids, market.buys, 1, best_ask)
    if own and market.sells:
        _lay_over(asks, market.sells, -1, best_bid)
    return tuple(bids[:depth]), tuple(asks[:depth])


def _lay_over(levels: list[tuple[int, int]], orders: Sequence[VenueOrder], sign: int, opposite: int) -> None:
    """Add the orders of one side that the ``opposite`` best has not reached to its levels, both best first. ``sign`` is
    that of a side whose better prices are higher.
    """
    place = 0
    for order in orders:
        price = order.price_ticks
        if sign * price >= sign * opposite:
            continue
        while place < len(levels) and sign * levels[place][0] > sign * price:
            place += 1
        if place < len(levels) and levels[place][0] == price:
            levels[place] = (price, levels[place][1] + order.remaining_lots)
        else:
            levels.insert(place, (price, order.remaining_lots))


class BookFeed:
    """Publishes the books of one pair as the stream would: on change, at most once per ``cadence``.

    Rows recorded from the wire (``is_wire``) keep their receive times, since the exchange has already spaced them. Only
    our own changes between them wait for the cadence.
    Amounts are exact in the first frame and rounded to the nearest unit of amountPrecision in later ones.
    """

    def __init__(self, market: VenueMarket, depth: int, cadence: Nanos, now: Nanos, *, is_wire: bool = False) -> None:
        self.market = market
        self.depth = depth
        self._cadence = cadence
        self._is_wire = is_wire
        self._last: tuple[Levels, Levels] | None = None  # the last book published, as rounded
        self._last_at: Nanos | None = None
        self._row = -1
        #: when there may be something to publish, and the earliest time at which our own change may be published
        self.due: Nanos | None = None
        self.open_at: Nanos = 0
        self._changed_at: Nanos | None = now
        self._unit = market.display_unit
        self.look()

    def note_change(self, now: Nanos) -> None:
        """Record that our part of the book changed."""
        if self._changed_at is None:
            self._changed_at = now
            self.look()

    def deepen(self, depth: int, now: Nanos) -> None:
        """Increase the depth if needed."""
        if depth > self.depth:
            self.depth = depth
            self.note_change(now)

    def look(self) -> None:
        """Update ``due`` after a change, and after rows were loaded."""
        books = self.market.books
        if books is None:
            return
        changed = self._changed_at
        next_row = max(self._row + 1, books.first)
        row_at = books.time_of(next_row)
        if self._row < 0 and self._last_at is None:
            # there is nothing to show before the first recorded row
            changed = None if row_at is None else max(row_at, changed or row_at)
        elif row_at is not None and (changed is None or row_at < changed) and not self._is_wire:
            changed = row_at
        if changed is not None and self._last_at is not None:
            changed = max(changed, self._last_at + self._cadence)
        if self._is_wire and row_at is not None and (changed is None or row_at < changed):
            changed = row_at
        self.due = changed

    def publish(self, now: Nanos) -> OrderBook | None:
        """Return the book at ``now``, or None if it is unchanged."""
        self._changed_at = None
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
            return None  # our own part has changed, but publishing the rest again would make it look fresh
        books = market.books
        is_plain = books is not None and not (market.buys or market.sells or market.taken)
        if is_plain and books is not None:  # none of our orders are in it
            depth = self.depth
            composed: tuple[Levels, Levels] = (
                tuple(books.levels(row, bids=True, depth=depth)),
                tuple(books.levels(row, bids=False, depth=depth)),
            )
        else:
            composed = compose(market, row, self.depth)
        # recorded amounts are in units, and usually those of our orders are, too
        is_exact = self._unit == 1 or (market.is_in_units and not market.taken and self._is_in_units(market))
        rounded = composed if is_exact else (self._rounded(composed[0]), self._rounded(composed[1]))
        is_first = self._last is None
        if rounded == self._last:
            return None  # rounding an amount that was exact in the first frame is not a change
        self._last = rounded
        self._last_at = now
        self.open_at = now + self._cadence
        return book_event(market, row, composed if is_first else rounded, now)

    def _is_in_units(self, market: VenueMarket) -> bool:
        for orders in (market.buys, market.sells):
            for order in orders:
                if order.remaining_lots % self._unit:
                    return False
        return True

    def _rounded(self, levels: Levels) -> Levels:
        unit = self._unit
        half = unit // 2
        # the rest of a level may round to zero, which readers of the wire interpret as a missing level
        return tuple([(ticks, (lots + half) // unit * unit) for ticks, lots in levels if lots >= unit - half])


def book_event(market: VenueMarket, row: int, levels: tuple[Levels, Levels], now: Nanos) -> OrderBook:
    """Return the composed book as an event. Its time is the exchange's: the row's timestamp plus the time since."""
    books = market.books
    if books is None or row < 0:
        return OrderBook(market.pair, now, levels[0], levels[1])
    index = row - books.first
    time = int(books.time[index]) + now - int(books.received[index])
    return OrderBook(market.pair, time - time % NS_PER_MS, levels[0], levels[1])


def prints_of(market: VenueMarket, pair: Pair, now: Nanos) -> list[Trade]:
    """Remove and return our executions as public trades. Trades carry whole seconds on the wire."""
    rules = pair.rules
    second = now - now % NS_PER_S
    trades = [Trade(pair, second, rules.price(p.ticks), rules.amount(p.lots), p.side) for p in market.prints]
    market.prints.clear()
    return trades
