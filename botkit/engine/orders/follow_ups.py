"""Reads orders whose pushed reports are overdue, and ends orders that have outlived their ``expire_s``.

The account streams push what happens to an order. A push may be lost or late, so whatever should follow within a second
(the end of a cancelled order, the executions that a report shows) is otherwise read. The reads go through the router
like all other requests.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from botkit.engine.agenda import Agenda
from botkit.engine.orders.by_ids import OrdersByIds
from botkit.engine.orders.reads import LISTED_MAX, Reads
from botkit.engine.orders.table import OrderTable
from botkit.engine.router.router import Router
from botkit.model.clock import NS_PER_MS, NS_PER_S, Nanos
from botkit.model.events import OrderReport, TradeReport
from botkit.model.orders import FINAL_STATES, Order, OrderState
from botkit.model.pairs import Pair
from botkit.model.requests import Answer, Ending, GetOrder, ListTrades

#: how long to wait for the pushed result of a cancel or a fill before the order is read (order protocol)
READ_AFTER: Final[Nanos] = 1 * NS_PER_S
#: the delay before the n-th read is n times `READ_AFTER`, up to this factor
_READ_LATEST = 30


class ReadResults(Protocol):
    """Takes the results of the reads: the order desk."""

    def apply(self, order: Order, report: OrderReport, now: Nanos) -> None:
        """Process the row of an order that was read."""

    def on_listed_trades(self, order: Order, reports: tuple[TradeReport, ...], now: Nanos) -> None:
        """Process all executions that the exchange lists for an order."""

    def expire(self, order: Order, now: Nanos) -> None:
        """End an order whose ``expire_s`` is over."""

    def finish(self, order: Order, state: OrderState, now: Nanos, reason: str = "") -> None:
        """Move an order to a final state."""


class FollowUps:
    """Orders to look at again, each at its time."""

    def __init__(
        self,
        *,
        table: OrderTable,
        reads: Reads,
        router: Router,
        agenda: Agenda,
        results: ReadResults,
        alarm: Callable[[str], None],
    ) -> None:
        """``alarm`` tells the user of executions that cannot be read."""
        self._orders = table.by_client_id
        self._reads = reads
        self._router = router
        self._results = results
        self._alarm = alarm
        #: client ids of orders with executions that cannot be read, which the user has been told
        self._told: set[int] = set()
        #: lots executed according to a report, by client id; exceeds the order's own figure until the executions arrive
        self.shown_lots: dict[int, int] = {}
        #: orders that must be read, until a read succeeds
        self.unread: set[int] = set()
        self._reading: set[int] = set()
        #: number of reads that returned no result, by client id
        self._in_vain: dict[int, int] = {}
        self._due: list[tuple[Nanos, int, int]] = []
        self._sequence = 0
        self._by_ids = OrdersByIds(reads)
        self._slot = agenda.slot("orders", self._next, self._check)

    # -- when to look ---------------------------------------------------------------------------------------------

    def at(self, order: Order, due: Nanos) -> None:
        """Look at an order at the given time."""
        self._sequence += 1
        waiting, slot = self._due, self._slot
        heapq.heappush(waiting, (due, self._sequence, order.client_id))
        if waiting[0][0] != slot.due or not slot.is_known:
            slot.set_in_turn(waiting[0][0])

    def shown(self, order: Order, lots: int, now: Nanos) -> None:
        """Note that a report shows executions that are not booked yet. They arrive separately; those still missing
        after one second are read.
        """
        if lots > self.shown_lots.get(order.client_id, 0):
            self.shown_lots[order.client_id] = lots
            self.at(order, now + READ_AFTER)

    def forget(self, order: Order) -> None:
        """Stop following an order that has become final."""
        client_id = order.client_id
        if self.shown_lots:
            self.shown_lots.pop(client_id, None)
        if self._in_vain:
            self._in_vain.pop(client_id, None)
        if self.unread:
            self.unread.discard(client_id)
        if self._told:
            self._told.discard(client_id)
        if self._due and self._due[0][2] == client_id:
            self._drop_final()

    def _next(self) -> Nanos | None:
        return self._due[0][0] if self._due else None

    def _drop_final(self) -> None:
        """Remove final orders from the head of the queue."""
        waiting, orders = self._due, self._orders
        while waiting:
            order = orders.get(waiting[0][2])
            if order is not None and order.state not in FINAL_STATES:
                break
            heapq.heappop(waiting)
        due = waiting[0][0] if waiting else None
        if due != self._slot.due or not self._slot.is_known:
            self._slot.set_in_turn(due)

    def _check(self, now: Nanos) -> None:
        while self._due and self._due[0][0] <= now:
            _, _, client_id = heapq.heappop(self._due)
            order = self._orders.get(client_id)
            if order is None or order.state in FINAL_STATES:
                continue
            if order.expires is not None and now >= order.expires and not order.cancel_requested:
                self._results.expire(order, now)
            elif order.order_id and (
                order.cancel_requested
                or client_id in self.unread
                or self.shown_lots.get(client_id, 0) > order.executed_lots
            ):
                self._read_order(order, now)

    def is_unread(self, order: Order) -> bool:
        """Return True while an order is being read, no read of it has succeeded yet, or executions shown in a report
        are missing.
        """
        client_id = order.client_id
        return (
            client_id in self._reading
            or client_id in self.unread
            or self.shown_lots.get(client_id, 0) > order.executed_lots
        )

    # -- reads ----------------------------------------------------------------------------------------------------

    def look_at(self, orders: Iterable[Order], now: Nanos) -> None:
        """Read orders, and any unbooked executions that the reads reveal.

        Many orders in one pair are read in a single listing if the exchange can filter by ids.
        """
        by_pair: dict[Pair, list[Order]] = {}
        for order in orders:
            if order.order_id and order.state not in FINAL_STATES and order.client_id not in self._reading:
                by_pair.setdefault(order.pair, []).append(order)
        for pair, group in by_pair.items():
            if self._by_ids.pays(len(group)):
                self._list_orders(pair, group, now)
            else:
                for order in group:
                    self._read_order(order, now)

    def look_soon(self, orders: Iterable[Order], now: Nanos) -> None:
        """Read each of the orders whose final report does not arrive within one second."""
        for order in orders:
            if order.state not in FINAL_STATES:
                self.unread.add(order.client_id)
                self.at(order, now + READ_AFTER)

    def look_once_answered(self, orders: Iterable[Order]) -> None:
        """Read each of the orders whose final report does not arrive within one second of its create's answer."""
        self.unread.update([order.client_id for order in orders])

    def _list_orders(self, pair: Pair, orders: list[Order], now: Nanos) -> None:
        self._reading.update(order.client_id for order in orders)

        def on_rows(rows: Mapping[str, OrderReport] | None, at: Nanos) -> None:
            for order in orders:
                self._reading.discard(order.client_id)
                report = rows.get(order.order_id) if rows is not None else None
                if order.state in FINAL_STATES:
                    continue
                if report is not None and _matches(order, report):
                    self._on_report(order, report, at)
                else:
                    self._read_order(order, at)

        self._by_ids.read(pair, [order.order_id for order in orders], on_rows, now)

    def _read_order(self, order: Order, now: Nanos) -> None:
        if order.client_id in self._reading:
            return
        self._reading.add(order.client_id)
        pair, order_id = order.pair, order.order_id

        def on_order(answer: Answer, at: Nanos) -> None:
            self._reading.discard(order.client_id)
            if order.state in FINAL_STATES:
                return
            if answer.outcome is Ending.OK and isinstance(answer.body, tuple) and answer.body:
                report = answer.body[0]
                assert isinstance(report, OrderReport)
                self.unread.discard(order.client_id)
                self._on_report(order, report, at)
            else:
                self.unread.add(order.client_id)
                self._read_again(order, at)

        self._reads.read(
            lambda i: GetOrder(id=i, pair=pair, order_id=order_id),
            on_order,
            endpoint=GetOrder.endpoint,
            owner=order.strategy,
            now=now,
        )

    def _on_report(self, order: Order, report: OrderReport, now: Nanos) -> None:
        """Process the result of a read. If executions are missing, read them; if the order is live despite its cancel,
        cancel it again.
        """
        self._results.apply(order, report, now)
        if order.state in FINAL_STATES:
            return
        if report.executed_lots > order.executed_lots:
            self._read_trades(order, now)
        elif order.cancel_requested and report.state not in FINAL_STATES:
            self._router.cancel(order, now)  # the order is still live despite its cancel

    def _read_again(self, order: Order, now: Nanos) -> None:
        """Read again, after a second and then at growing intervals, so that executions missing from a listing do not
        cost many requests.
        """
        count = self._in_vain[order.client_id] = self._in_vain.get(order.client_id, 0) + 1
        self.at(order, now + READ_AFTER * min(count, _READ_LATEST))

    def _read_trades(self, order: Order, now: Nanos, end: Nanos | None = None) -> None:
        """Read an order's executions up to ``end``. If the listing is full and executions are still missing, continue
        backward from its oldest row.
        """
        pair, order_id = order.pair, order.order_id
        self._reading.add(order.client_id)

        def on_trades(answer: Answer, at: Nanos) -> None:
            self._reading.discard(order.client_id)
            rows: tuple[TradeReport, ...] = ()
            if answer.outcome is Ending.OK and isinstance(answer.body, tuple):
                rows = answer.body  # type: ignore[assignment]
                self._results.on_listed_trades(order, rows, at)
            if order.state in FINAL_STATES:
                return
            oldest = min(row.time for row in rows) + NS_PER_MS if len(rows) >= LISTED_MAX else None
            if oldest is None or self.shown_lots.get(order.client_id, 0) <= order.executed_lots:
                self._read_again(order, at)
            elif end is None or oldest < end:
                self._read_trades(order, at, oldest)
            else:
                self._cannot_list(order)
                self._read_again(order, at)

        self._reads.read(
            lambda i: ListTrades(id=i, pair=pair, order_id=order_id, end=end, limit=LISTED_MAX),
            on_trades,
            endpoint=ListTrades.endpoint,
            owner=order.strategy,
            now=now,
        )

    def _cannot_list(self, order: Order) -> None:
        """Tell the user, once for each order, that a single millisecond has more rows than fit in a listing."""
        if order.client_id in self._told:
            return
        self._told.add(order.client_id)
        missing = order.pair.rules.amount_text(self.shown_lots[order.client_id] - order.executed_lots)
        self._alarm(
            f"order {order.order_id} has more than {LISTED_MAX:,} executions within one millisecond, and the exchange "
            f"lists no more: {missing} {order.pair.base} that it executed in {order.pair} are not booked, so the "
            f"position of {order.strategy} is wrong by as much. Compare it with the exchange's, and stop the bot"
        )


def _matches(order: Order, report: OrderReport) -> bool:
    return report.pair == order.pair and report.client_id in (None, order.client_id)
