"""Measures how a strategy's limit orders ranked in the book: time at the best price, lots ahead, and number filled.

* at best: the fraction of the run during which the strategy's best bid (or ask) was equal to or better than the
  recorded best bid (or ask).
* ahead: the lots already resting at an order's price when the order joined the queue, counted under the run's
  queue assumption.
"""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Iterable, Sequence

import numpy as np

from botkit.backtesting.downsample import TimeArray
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.columns import BookColumns
from botkit.model.orders import FINAL_STATES, OrderType
from botkit.model.pairs import Pair
from botkit.model.results import RestRow
from botkit.sim.order import VenueOrder

#: placeholder prices for an empty side; they can never be the best bid or ask
_NO_BID, _NO_ASK = -1, 1 << 62


class AtBest:
    """One strategy's limit orders in one pair, compared with the recorded books in a second pass over the data."""

    def __init__(self, strategy: str, pair: Pair, orders: Sequence[VenueOrder], start: Nanos, end: Nanos) -> None:
        self.strategy = strategy
        self.pair = pair
        self._orders = orders
        self._start, self._end = start, end
        self._steps = {is_buy: _best_over_time(orders, end, is_buy=is_buy) for is_buy in (True, False)}
        self._spent = {True: 0, False: 0}
        self._last: tuple[Nanos, int, int] | None = None

    def see(self, columns: BookColumns) -> None:
        """Process the books in a slice. Each book is valid until the next one."""
        bids = np.where(columns.bid_lots[:, 0] > 0, columns.bid_ticks[:, 0], _NO_BID)
        asks = np.where(columns.ask_lots[:, 0] > 0, columns.ask_ticks[:, 0], _NO_ASK)
        if not len(bids):
            return
        times = columns.received
        if self._last is not None:
            before, bid, ask = self._last
            times = np.concatenate(([before], times))
            bids, asks = np.concatenate(([bid], bids)), np.concatenate(([ask], asks))
        self._count(times, bids, asks)
        self._last = int(times[-1]), int(bids[-1]), int(asks[-1])

    def row(self) -> RestRow:
        """Return the figures. Call this after all books have been processed."""
        if self._last is not None:
            at, bid, ask = self._last
            self._count(np.array([at, max(at, self._end)]), np.array([bid, bid]), np.array([ask, ask]))
        span = self._end - self._start
        rested = [order for order in self._orders if order.joined_behind is not None]
        behind = [order.joined_behind for order in rested if order.joined_behind is not None and order.is_placed]
        return RestRow(
            strategy=self.strategy,
            pair=self.pair,
            orders=len(rested),
            filled=sum(order.executed_lots > 0 for order in rested),
            at_best_bid=self._spent[True] / span if span else 0.0,
            at_best_ask=self._spent[False] / span if span else 0.0,
            ahead_median=self.pair.rules.amount(round(statistics.median(behind))) if behind else None,
            rested_median_s=statistics.median(_ended(order, self._end) - order.arrived for order in rested) / NS_PER_S
            if rested
            else None,
        )

    def _count(self, times: TimeArray, bids: TimeArray, asks: TimeArray) -> None:
        for is_buy, best in ((True, bids), (False, asks)):
            changes, own = self._steps[is_buy]
            # between two consecutive timestamps, neither the book nor our best price changes
            inside = changes[(changes > times[0]) & (changes < times[-1])]
            moments = np.union1d(times, inside)
            ours = own[np.searchsorted(changes, moments, side="right")]
            theirs = best[np.searchsorted(times, moments, side="right") - 1]
            is_best = (ours != (_NO_BID if is_buy else _NO_ASK)) & ((ours >= theirs) if is_buy else (ours <= theirs))
            self._spent[is_buy] += int(np.diff(moments)[is_best[:-1]].sum())


def _ended(order: VenueOrder, end: Nanos) -> Nanos:
    return order.updated if order.state in FINAL_STATES else max(end, order.arrived)


def _best_over_time(orders: Iterable[VenueOrder], end: Nanos, *, is_buy: bool) -> tuple[TimeArray, TimeArray]:
    """Return the times at which our best price changed, and our best prices: the price before the first change,
    followed by the price after each change.
    """
    sign = -1 if is_buy else 1
    events = sorted(
        (time, is_new, order.price_ticks, order.rank)
        for order in orders
        if order.is_buy is is_buy and order.joined_behind is not None
        for time, is_new in ((order.arrived, 1), (_ended(order, end), 0))
    )
    nobody = _NO_BID if is_buy else _NO_ASK
    open_now: set[int] = set()
    queue: list[tuple[int, int]] = []
    times: list[Nanos] = []
    prices = [nobody]
    for time, is_new, ticks, rank in events:
        if is_new:
            open_now.add(rank)
            heapq.heappush(queue, (sign * ticks, rank))
        else:
            open_now.discard(rank)
        while queue and queue[0][1] not in open_now:
            heapq.heappop(queue)
        best = sign * queue[0][0] if queue else nobody
        if best != prices[-1]:
            times.append(time)
            prices.append(best)
    return np.asarray(times, np.int64), np.asarray(prices, np.int64)


def watched(orders: Iterable[VenueOrder], start: Nanos, end: Nanos) -> list[AtBest]:
    """Group an account's limit orders by strategy and pair."""
    grouped: dict[tuple[str, Pair], list[VenueOrder]] = {}
    for order in orders:
        if order.new.type is OrderType.LIMIT:
            grouped.setdefault((order.new.strategy, order.pair), []).append(order)
    return [AtBest(strategy, pair, own, start, end) for (strategy, pair), own in grouped.items()]
