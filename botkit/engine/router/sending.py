"""Sending the backlog: which waiting items become requests now, alone or in a batch, and when the next one may.

Invariant: an item leaves the backlog only together with the slots it needs (`Route.take`), unless it is late or has
become pointless. Cancels go first, then orders that reduce a position, then all other creates, then reads by class, so
that an item never takes a slot that an earlier class in the same counter could use.
"""

from __future__ import annotations

from botkit.engine.router.backlog import Backlog
from botkit.engine.router.figures import EndpointFigures
from botkit.engine.router.flights import Flights
from botkit.engine.router.queue import FairQueue, WaitingOrder, WaitingRead
from botkit.engine.router.reports import DroppedRead, Due
from botkit.engine.router.routes import BATCH_MAX, CANCEL_BATCH_MAX, CANCELS_FOR_A_BATCH, Route, batch_is_worth_it
from botkit.model.clock import Nanos
from botkit.model.requests import Request

#: later than any time
_NEVER: Nanos = 1 << 62


class BacklogSender:
    """Moves items from the backlog to the flights. Decides what is sent one by one and what in a batch."""

    __slots__ = (
        "_backlog", "_batching", "_cancel", "_cancel_batch", "_cancelling", "_create", "_create_batch", "_figures",
        "_flights",
    )  # fmt: skip

    def __init__(
        self,
        backlog: Backlog,
        flights: Flights,
        routes: dict[str, Route],
        figures: dict[str, EndpointFigures],
        cancelling: set[int],
        *,
        batching: bool,
    ) -> None:
        """``cancelling`` is the router's set of orders with a cancel queued or in flight. A cancel that is dropped here
        leaves it.
        """
        self._backlog = backlog
        self._flights = flights
        self._figures = figures
        self._cancelling = cancelling
        self._batching = batching
        self._create = routes["create_order"]
        self._cancel = routes["cancel_order"]
        self._create_batch = routes["create_batch"] if batching else self._create
        self._cancel_batch = routes["cancel_batch"] if batching else self._cancel

    def send(self, due: Due, now: Nanos) -> None:
        """Add everything that leaves the backlog at ``now`` to ``due``."""
        backlog = self._backlog
        self._drop_late(due, now)
        if backlog.cancels.count:
            self._send_cancels(due.requests, now)
        if backlog.reduces.count:
            self._send_singles(backlog.reduces, due.requests, now, urgent=True)
        if backlog.creates.count:
            self._send_singles(backlog.creates, due.requests, now, urgent=False)
            if self._batching and backlog.creates.count:
                self._send_batches(due.requests, now)
        if backlog.has_reads():
            self._send_reads(due.requests, now)

    def soonest(self, now: Nanos) -> Nanos | None:
        """Return the earliest time, not before ``now``, at which `send` may add something, or None if only a response
        or a lease can free a slot.
        """
        backlog = self._backlog
        soonest = backlog.next_deadline() or _NEVER
        if backlog.cancels.count:
            soonest = min(soonest, self._cancel.open_at(now, True) or _NEVER)
            if self._batching:
                soonest = min(soonest, self._cancel_batch.open_at(now, True) or _NEVER)
        if backlog.reduces.count:
            soonest = min(soonest, self._create.open_at(now, True) or _NEVER)
        if backlog.creates.count:
            soonest = self._soonest_create(soonest, now)
        for lane in backlog.lanes:
            if lane.queue.count:
                soonest = min(soonest, lane.route.open_at(now, lane.is_urgent) or _NEVER)
        if soonest == _NEVER:
            return None
        return soonest if soonest > now else now

    def _soonest_create(self, soonest: Nanos, now: Nanos) -> Nanos:
        """Return when the first create that reduces nothing may leave, or ``soonest`` if that is earlier."""
        single_at = self._create.open_at(now, False)
        if single_at is not None and single_at < soonest:
            soonest = single_at
        if self._batching and soonest > now:
            at = self._create_batch.open_at(now, False)
            if at is not None and at < soonest:
                creates = self._backlog.creates
                size = creates.longest_batch(BATCH_MAX)[1]
                if batch_is_worth_it(size, creates.count, single_at, self._create.interval, at):
                    soonest = at
        return soonest

    def _drop_late(self, due: Due, now: Nanos) -> None:
        for item in self._backlog.take_late(now):
            if isinstance(item, WaitingRead):
                self._figures[item.endpoint].dropped += 1
                due.dropped.append(DroppedRead(item.ticket, item.endpoint, item.owner, "waited past its deadline"))
            else:
                assert isinstance(item, WaitingOrder)
                self._flights.create_figures.dropped += 1
                due.expired.append(item.order)

    # -- cancels --------------------------------------------------------------------------------------------------

    def _send_cancels(self, requests: list[Request], now: Nanos) -> None:
        cancels, single, batch = self._backlog.cancels, self._cancel, self._cancel_batch
        while cancels.count:
            # the order was filled or cancelled in the meantime, so no slot is wasted on it
            if cancels.peek().order.is_final:
                self._cancelling.discard(cancels.pop().order.client_id)
                continue
            owner, size = cancels.longest_batch(CANCEL_BATCH_MAX)
            if self._batching and size >= CANCELS_FOR_A_BATCH and batch.is_open(now, True):
                self._send_cancel_batch(owner, requests, now)
            elif single.take(now, True):
                item = cancels.pop()
                requests.append(self._flights.cancel(item.order, item.since, now))
            elif self._batching and batch.is_open(now, True):
                self._send_cancel_batch(owner, requests, now)
            else:
                return

    def _send_cancel_batch(self, owner: str, requests: list[Request], now: Nanos) -> None:
        items = []
        for item in self._backlog.cancels.pop_batch(owner, CANCEL_BATCH_MAX):
            if item.order.is_final:
                self._cancelling.discard(item.order.client_id)
            else:
                items.append(item)
        if not items:
            return
        taken = self._cancel_batch.take(now, True)
        assert taken
        requests.append(self._flights.cancel_batch(items, now))

    # -- creates --------------------------------------------------------------------------------------------------

    def _send_singles(
        self, queue: FairQueue[WaitingOrder], requests: list[Request], now: Nanos, *, urgent: bool
    ) -> None:
        backlog, flights, route = self._backlog, self._flights, self._create
        while queue.count and route.take(now, urgent):
            item = backlog.take_create(queue)
            requests.append(flights.create(item.order, item.since, now))

    def _send_batches(self, requests: list[Request], now: Nanos) -> None:
        """Send batches for the creates that could not be sent one by one at ``now``."""
        creates, single, batch = self._backlog.creates, self._create, self._create_batch
        while creates.count and batch.is_open(now, False):
            owner, size = creates.longest_batch(BATCH_MAX)
            if not batch_is_worth_it(size, creates.count, single.open_at(now, False), single.interval, now):
                return
            taken = batch.take(now, False)
            assert taken
            requests.append(self._flights.create_batch(self._backlog.take_create_batch(owner), now))

    # -- reads ----------------------------------------------------------------------------------------------------

    def _send_reads(self, requests: list[Request], now: Nanos) -> None:
        for lane in self._backlog.lanes:
            while lane.queue.count and lane.route.take(now, lane.is_urgent):
                item = self._backlog.take_read(lane)
                requests.append(self._flights.read(item, lane.route, now))
