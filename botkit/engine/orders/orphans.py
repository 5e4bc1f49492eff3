"""Cancels orders from an earlier run whose strategies are no longer configured."""

from __future__ import annotations

from collections.abc import Sequence

from botkit.engine.orders.reads import Reads
from botkit.engine.outcome import Outbox
from botkit.engine.outcome_parts import Reply
from botkit.engine.router.router import Priority
from botkit.model.clock import Nanos
from botkit.model.events import OrderReport
from botkit.model.orders import Order
from botkit.model.requests import Answer, CancelOrder, Ending, ListOpenOrders

_OWNER = "(orphans)"


class Orphans:
    """Lists the open orders, and then cancels the orphans among them one by one."""

    def __init__(self, orders: Sequence[Order], reads: Reads, outbox: Outbox, now: Nanos) -> None:
        self._ids = {order.client_id for order in orders}
        self._known = {order.order_id for order in orders if order.order_id}
        self._reads = reads
        self._outbox = outbox
        self._left: list[OrderReport] = []
        reads.read(
            lambda i: ListOpenOrders(id=i), self._on_listed, endpoint=ListOpenOrders.endpoint, owner=_OWNER, now=now
        )

    def _on_listed(self, answer: Answer, now: Nanos) -> None:
        if answer.outcome is not Ending.OK or not isinstance(answer.body, tuple):
            self._end(f"the open orders cannot be fetched: {answer.text or answer.outcome.value}")
            return
        rows = [row for row in answer.body if isinstance(row, OrderReport)]
        self._left = [row for row in rows if row.order_id in self._known or row.client_id in self._ids]
        self._next(now)

    def _next(self, now: Nanos) -> None:
        if not self._left:
            self._end(None)
            return
        row = self._left.pop()

        def on_cancelled(answer: Answer, at: Nanos) -> None:
            if answer.outcome is Ending.OK:
                self._next(at)
            else:
                self._end(f"order {row.order_id} could not be cancelled: {answer.text or answer.outcome.value}")

        self._reads.read(
            lambda i: CancelOrder(id=i, pair=row.pair, order_id=row.order_id),
            on_cancelled,
            endpoint=CancelOrder.endpoint,
            owner=_OWNER,
            now=now,
            priority=Priority.CANCEL,
        )

    def _end(self, refusal: str | None) -> None:
        self._outbox.orphans_done(Reply(tuple(self._ids), refusal))
