"""The router: requests wait here until the exchange's documented limits allow them to be sent.

The router holds a slot from the grant of a request until one window after its response was read;
`botkit.engine.router.windows` explains why a limit can therefore never be exceeded. The router sends cancels and exits
first, alternates between strategies, and batches a backlog. It has no clock: a driver calls `Router.next_due` to find
out when its next call is due.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterable
from operator import itemgetter
from random import Random
from typing import Final, TypeAlias

from botkit.engine.agenda import Changes
from botkit.engine.router.figures import EndpointFigures, router_use, usage_of
from botkit.engine.router.leased import LeasedPools, SlotNews
from botkit.engine.router.queue import Deadlines, FairQueue, WaitingOrder, WaitingRead
from botkit.engine.router.reports import DroppedRead, Due, LimitAlarm, Usage
from botkit.engine.router.routes import (
    BATCH_MAX,
    CANCEL_BATCH_MAX,
    CANCELS_FOR_A_BATCH,
    Route,
    batch_is_worth_it,
    is_batchable,
    make_routes,
)
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.inputs import SentBefore
from botkit.model.limits import LimitTable, SlotsChanged
from botkit.model.orders import FINAL_STATES, Order
from botkit.model.requests import CancelBatch, CancelOrder, CreateBatch, CreateOrder, Ending, Request
from botkit.model.results import RouterUse

#: time after an abort during which the exchange may still act on a read
READ_LATEST_NS = 60 * NS_PER_S
#: the maximum wait for a response
LONGEST_WAIT_NS = 60 * NS_PER_S
#: the maximum number of uncollected alarms to keep; the newest is last
ALARMS_MAX = 256
#: the maximum number of orders that may skip the queues at the same time
EXPRESS_MAX = 20
#: later than any time
_NEVER: Nanos = 1 << 62


class Priority(enum.IntEnum):
    """The order in which reads are sent when slots are scarce. Creates wait in separate queues, by strategy."""

    CANCEL = 0
    PRIVATE_READ = 1
    PUBLIC_READ = 2


class Withdrawal(enum.Enum):
    """The result of a request to cancel an order."""

    WITHDRAWN = "withdrawn"  # the create was still queued, so create and cancel are dropped and nothing is sent
    QUEUED = "queued"  # the cancel is sent as soon as it has a slot
    DUPLICATE = "duplicate"  # a cancel is already queued or in flight


class _Kind(enum.Enum):
    CREATE = 0
    CANCEL = 1
    READ = 2


# globals, because reading an enum member from its class costs much more (`botkit.model.orders`)
_CREATE: Final = _Kind.CREATE
_CANCEL: Final = _Kind.CANCEL
_READ: Final = _Kind.READ
_OK: Final = Ending.OK
_REFUSED: Final = Ending.REFUSED

#: an order that skips the queues: its rank (cancels first, then orders that reduce a position), the order, and the
#: start of its wait
_Express: TypeAlias = tuple[int, Order, Nanos]
_CANCELS: Final = 0
_REDUCES: Final = 1
_CREATES: Final = 2
_rank = itemgetter(0)
#: a request in flight: its route, grant time, kind and client ids
_Flight: TypeAlias = tuple[Route, Nanos, _Kind, tuple[int, ...]]


def _nobody_listens() -> None:
    pass


class Router:
    """The queue and the rate-limit windows of one bot: one account at one IP address.

    Times are nanoseconds from a monotonic clock, because a clock that is set forward would free slots early. The router
    reads orders but never changes them; only the engine does. The same sequence of calls always yields the same
    requests.
    """

    def __init__(
        self,
        table: LimitTable,
        *,
        latest_accept_ns: int,
        read_latest_ns: int = READ_LATEST_NS,
        queue_max: int = 100_000,
        batching: bool = True,
        seed: int = 0,
        first_request_id: int = 1,
        leased: LeasedPools | None = None,
    ) -> None:
        """``latest_accept_ns`` is the time after an abort during which the exchange may still act on an order request.

        ``leased`` are the counters shared with other processes. ``seed`` seeds the jitter of the pause after a 429.
        """
        self._table = table
        self._latest_accept_ns = latest_accept_ns
        self._read_latest_ns = read_latest_ns
        self._queue_max = queue_max
        self._express_max = min(EXPRESS_MAX, queue_max)
        self._batching = batching and "create_batch" in table.endpoints and "cancel_batch" in table.endpoints
        self._leased = leased
        self._routes = make_routes(table, Random(seed), leased)
        self._pools = {route.name: route for route in self._routes.values()}
        self._ranks = {name: rank for rank, name in enumerate(self._pools)}
        self._figures = {endpoint: EndpointFigures() for endpoint in table.endpoints}
        self._create_route = self._routes["create_order"]
        self._cancel_route = self._routes["cancel_order"]
        self._create_batch_route = self._routes["create_batch"] if self._batching else self._create_route
        self._cancel_batch_route = self._routes["cancel_batch"] if self._batching else self._cancel_route
        self._create_figures = self._figures["create_order"]
        self._cancel_figures = self._figures["cancel_order"]

        self._now: Nanos = 0
        self._next_id = first_request_id
        self._next_key = 0  # keys of waiting items count up, so they reflect the order of arrival
        self._old_key = 0  # keys of an earlier run's slots count down, so that they differ from request ids
        #: orders placed or cancelled by one strategy while nothing was waiting: (rank, order, start of the wait).
        #: Nearly all of them are sent in the same turn and therefore skip the queues
        self.express: list[_Express] = []
        #: number of waiting items other than express orders
        self.queued = 0
        self._cancels: FairQueue[WaitingOrder] = FairQueue()
        self._reduces: FairQueue[WaitingOrder] = FairQueue()
        self._creates: FairQueue[WaitingOrder] = FairQueue()
        # waiting reads, by counter and class, in the order in which the classes are served
        self._lanes: list[tuple[tuple[int, int], Route, bool, FairQueue[WaitingRead]]] = []
        self._deadlines = Deadlines()
        self._waiting: dict[int, WaitingOrder] = {}  # creates by client id
        self._waiting_reads: dict[int, WaitingRead] = {}  # waiting reads by ticket
        self._cancelling: set[int] = set()  # client ids whose cancel is queued or in flight; never iterated
        self._flights: dict[int, _Flight] = {}
        # by client id, for each order whose outcome is unknown: the route and key of the slot that is held longer
        self._unknown: dict[int, tuple[Route, int]] = {}
        #: reads that will not be sent, to be reported by the next `due`
        self.dropped: list[DroppedRead] = []
        self._next: Nanos | None = None
        self._next_is_known = False
        self.alarms: deque[LimitAlarm] = deque(maxlen=ALARMS_MAX)
        self._on_change: Callable[[], None] = _nobody_listens
        self._changes = Changes()

    def take_listener(self, on_change: Callable[[], None], changes: Changes) -> None:
        """Register ``on_change`` to be called whenever `next_due` may have changed. For express orders, only
        ``changes`` is incremented, because the engine calls `due` at the end of the turn anyway.
        """
        self._on_change = on_change
        self._changes = changes

    def _changed(self) -> None:
        self._next_is_known = False
        self._on_change()

    # -- requests from the engine --------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Number of creates, cancels and reads that are waiting."""
        return self.queued + len(self.express)

    def is_waiting(self, order: Order) -> bool:
        """Return True while the create of ``order`` is queued."""
        for rank, waiting, _ in self.express:
            if waiting is order:
                return rank != _CANCELS
        return order.client_id in self._waiting

    def create(self, order: Order, now: Nanos) -> str | None:
        """Queue ``order`` until it gets a slot. Returns the reason why it cannot be queued, or None."""
        self._now = now
        express = self.express
        # usually nothing is waiting, except for other orders that this strategy placed in this turn
        if not self.queued and (
            not express or (express[0][1].strategy == order.strategy and len(express) < self._express_max)
        ):
            express.append((_REDUCES if order.reduces else _CREATES, order, now))
            self._changes.count += 1
            return None
        self._queue_express()
        if self.queued >= self._queue_max:
            return f"the router's queue is full: {self.queued:,} requests wait for the exchange's rate limits"
        self._queue_create(order, now)
        return None

    def cancel(self, order: Order, now: Nanos) -> Withdrawal:
        """Cancel ``order``, which is still queued or has an order id. A cancel is never refused, because the number of
        cancels is limited by the number of orders.
        """
        self._now = now
        client_id = order.client_id
        express = self.express
        for place, (rank, waiting, _) in enumerate(express):
            if waiting is order and rank != _CANCELS:
                del express[place]
                self._on_change()
                return Withdrawal.WITHDRAWN
        item = self._waiting.get(client_id)
        if item is not None:
            self._remove_create(item)
            return Withdrawal.WITHDRAWN
        if client_id in self._cancelling:
            return Withdrawal.DUPLICATE
        assert order.order_id, f"{order!r} neither waits here nor has an order id"
        self._cancelling.add(client_id)
        if not self.queued and (
            not express or (express[0][1].strategy == order.strategy and len(express) < self._express_max)
        ):
            express.append((_CANCELS, order, now))
            self._changes.count += 1
        else:
            self._queue_express()
            self._queue_cancel(order, now)
        return Withdrawal.QUEUED

    def replace_waiting(self, old: Order, new: Order, now: Nanos) -> bool:
        """Replace ``old`` with ``new`` in the queue. Returns False if ``old`` is no longer queued.

        If both have the same strategy and class, ``new`` keeps the position of ``old``. Otherwise ``new`` is added at
        the end of its strategy's queue.
        """
        self._now = now
        for place, (rank, waiting, _) in enumerate(self.express):
            if waiting is old and rank != _CANCELS:
                if (new.strategy, new.reduces) == (old.strategy, old.reduces):
                    self.express[place] = (rank, new, now)
                else:
                    del self.express[place]
                    self._queue_express()
                    self._queue_create(new, now)
                return True
        item = self._waiting.get(old.client_id)
        if item is None:
            return False
        if (new.strategy, new.reduces, is_batchable(new)) != (item.owner, item.order.reduces, item.batchable):
            self._remove_create(item)
            self._queue_create(new, now)
            return True
        del self._waiting[old.client_id]
        self._waiting[new.client_id] = item
        self._deadlines.forget(item)
        item.order, item.since, item.deadline = new, now, new.expires
        self._deadlines.add(item)
        self._changed()
        return True

    def read(
        self,
        make: Callable[[int], Request],
        *,
        endpoint: str,
        owner: str,
        priority: Priority,
        now: Nanos,
        deadline: Nanos | None = None,
        urgent: bool = False,
    ) -> int:
        """Queue a read, or any other single request, until it gets a slot. Returns its ticket, which is also its
        request id.

        ``make(request_id)`` builds the request when it may be sent. ``urgent`` requests (look-ups of orders whose
        outcome is unknown) go first, without pacing, and may use the reserve. After ``deadline``, or if the queue is
        full, the request is dropped and reported in `Due`.
        """
        self._now = now
        ticket = self._next_id
        self._next_id = ticket + 1
        if self.queued >= self._queue_max:
            self._figures[endpoint].dropped += 1
            self.dropped.append(DroppedRead(ticket, endpoint, owner, "the router's queue is full"))
            self._on_change()
            return ticket
        self._queue_express()
        lane = self._lane(self._routes[endpoint], priority, urgent)
        item = WaitingRead(ticket, owner, now, deadline, make, endpoint, lane)
        lane.push(item)
        self._waiting_reads[ticket] = item
        self._deadlines.add(item)
        self.queued += 1
        self._changed()
        return ticket

    def forget_read(self, ticket: int) -> bool:
        """Remove a queued read. Returns False if it was already sent or dropped."""
        item = self._waiting_reads.pop(ticket, None)
        if item is None:
            return False
        item.lane.remove(item)
        self._deadlines.forget(item)
        self.queued -= 1
        self._changed()
        return True

    # -- sending due requests -------------------------------------------------------------------------------------

    def due(self, now: Nanos) -> Due:
        """Return the requests to send at ``now``, in order, with ids assigned and slots taken."""
        self._now = now
        due = Due([], [], [])
        if self.express:
            due.requests = self.send_express(now)
            if not self.queued and not self.dropped:
                return due
        self._on_change()
        if self.dropped:
            due.dropped, self.dropped = self.dropped, due.dropped
        if self.queued and not (self._next_is_known and (self._next is None or self._next > now)):
            self._changed()
            self._drop_late(due, now)
            if self._cancels.count:
                self._send_cancels(due.requests, now)
            if self._reduces.count:
                self._send_singles(self._reduces, due.requests, now, urgent=True)
            if self._creates.count:
                self._send_singles(self._creates, due.requests, now, urgent=False)
                if self._batching and self._creates.count:
                    self._send_batches(due.requests, now)
            if self._waiting_reads:
                self._send_reads(due.requests, now)
        return due

    def send_express(self, now: Nanos) -> list[Request]:
        """Return the requests from ``express`` that may be sent at ``now``, in the order in which the queues would send
        them. All other express orders are queued, for `due`.
        """
        self._now = now
        requests: list[Request] = []
        express = self.express
        if len(express) > 1:
            if len(express) >= CANCELS_FOR_A_BATCH:
                cancels = [order for rank, order, _ in express if rank == _CANCELS]
                if len(cancels) >= CANCELS_FOR_A_BATCH:
                    self._queue_express()
                    return requests
            express.sort(key=_rank)
        while express:
            rank, order, since = express[0]
            if rank == _CANCELS:
                if order.state in FINAL_STATES:
                    self._cancelling.discard(order.client_id)
                elif self._cancel_route.take(now, True):
                    requests.append(self._cancel_request(order, since, now))
                else:
                    break
            elif (order.expires is None or order.expires > now) and self._create_route.take(now, order.reduces):
                requests.append(self._create_request(order, since, now))
            else:
                break
            del express[0]
        if express:
            self._queue_express()
        return requests

    def next_due(self) -> Nanos | None:
        """Return the time at which `due` would next return something, or None if nothing is waiting or only a response
        can free a slot.

        The result is valid until any other method is called. Requests added since the last `due` may be tried
        immediately.
        """
        if self.express or self.dropped:
            return self._now
        if not self.queued:
            return None
        if not self._next_is_known:
            self._next = self._soonest()
            self._next_is_known = True
        return self._next

    def slots_changed(self, change: SlotsChanged) -> None:
        """Apply a change in the leased slots of shared windows. Call `next_due` again afterwards."""
        assert self._leased is not None, "this router shares no limits"
        self._leased.apply(change)
        self._changed()

    # -- outcomes ----------------------------------------------------------------------------------------------------

    def answered(self, request_id: int, now: Nanos, outcome: Ending, *, responded: bool = False) -> None:
        """Record that the wait for a request's response ended at ``now``, because the response was read or the bot
        stopped waiting.

        ``responded`` is True if there was any response, even one that leaves the request's outcome open. A read that
        got a response has either reached the exchange already or never will.

        Raises KeyError for a request that is not in flight, because freeing a slot twice would break the limit.
        """
        self._now = now
        route, granted, kind, client_ids = self._flights.pop(request_id)
        if kind is _CANCEL:
            self._cancelling.difference_update(client_ids)
        if outcome is _OK or outcome is _REFUSED or (responded and kind is _READ and outcome is Ending.UNKNOWN):
            for window in route.windows:
                window.release(now)
            if route.leased is not None:
                route.leased.tell(SlotNews.ANSWERED)
            # if anything is waiting (usually nothing is), this slot becomes free one window from now, so requests due
            # earlier are not affected
            if self.queued and (self._next is None or self._next > now + route.least_hold):
                self._changed()
            return
        self._changed()
        if outcome is Ending.NOT_SENT:
            for window in route.windows:
                window.give_back()
            if route.leased is not None:
                route.leased.tell(SlotNews.UNSENT)
        elif outcome is Ending.RATE_LIMITED:
            for window in route.windows:
                window.release(now)
            if route.leased is not None:
                route.leased.tell(SlotNews.ANSWERED)
            if route.rate_limited(granted, now):
                self._alarm(route, now)
        else:
            late = self._read_latest_ns if kind is _READ else self._latest_accept_ns
            for window in route.windows:
                window.hold_late(request_id, now + late)
            if route.leased is not None:
                route.leased.tell(SlotNews.UNKNOWN, request_id, now + late)
            if kind is _CREATE:
                for client_id in client_ids:
                    self._unknown[client_id] = (route, request_id)

    def resolved(self, client_id: int, now: Nanos) -> None:
        """Record that an order whose outcome was unknown has been found or proved absent, so its create cannot arrive
        after ``now``.
        """
        self._now = now
        held = self._unknown.pop(client_id, None)
        if held is not None:
            route, key = held
            for window in route.windows:
                window.shorten(key, now)
            if route.leased is not None:
                route.leased.tell(SlotNews.RESOLVED, key, now)
            self._changed()

    def cool_down(self, sends: Iterable[SentBefore], now: Nanos) -> None:
        """Count the requests that the previous run's journal records as sent. Call this method at a restart, before
        anything is sent.
        """
        self._now = now
        for sent in sends:
            route = self._routes[sent.endpoint]
            is_read = self._table[sent.endpoint].method == "GET"
            # no response was journaled, so the wait ended with a timeout or a crash, no later than now
            late = self._read_latest_ns if is_read else self._latest_accept_ns
            given_up = min(now, sent.sent + LONGEST_WAIT_NS)
            arrives_by = sent.answered if sent.answered is not None else given_up + late
            key = self._old_key = self._old_key - 1
            for window in route.windows:
                if arrives_by + window.hold > now:
                    window.cool_down(key, arrives_by)
            if route.leased is not None and any(arrives_by + window.hold > now for window in route.windows):
                route.leased.tell(SlotNews.EARLIER, key, arrives_by)
            if sent.answered is None:
                for client_id in sent.client_ids:
                    self._unknown[client_id] = (route, key)
        self._changed()

    # -- reports --------------------------------------------------------------------------------------------------

    def paused_until(self, endpoint: str) -> Nanos | None:
        """Return the time at which the pause after a 429 at ``endpoint`` ends, or None if there is no pause. The result
        is as of the most recent time passed to the router.
        """
        pause = self._routes[endpoint].pause
        return pause.until if pause.until > self._now else None

    def take_alarms(self) -> list[LimitAlarm]:
        """Return the alarms since the last call, oldest first."""
        alarms = list(self.alarms)
        self.alarms.clear()
        return alarms

    def usage(self, now: Nanos) -> list[Usage]:
        """Return the limit, held slots, peak and 429s of every window and scope."""
        return usage_of(self._pools.values(), now)

    def statistics(self) -> RouterUse:
        """Return the numbers of requests, waits, batches and drops so far."""
        return router_use(self._table, self._routes, self._figures)

    # -- queues -----------------------------------------------------------------------------------------------------

    def _queue_express(self) -> None:
        """Move the express orders into the queues, because other requests are waiting or because the express orders
        themselves must wait.
        """
        if self.express:
            express, self.express = self.express, []
            for rank, order, since in express:
                if rank == _CANCELS:
                    self._queue_cancel(order, since)
                else:
                    self._queue_create(order, since)

    def _queue_create(self, order: Order, since: Nanos) -> None:
        self._next_key += 1
        item = WaitingOrder(self._next_key, order, since, is_cancel=False, batchable=is_batchable(order))
        (self._reduces if order.reduces else self._creates).push(item)
        self._waiting[order.client_id] = item
        if item.deadline is not None:
            self._deadlines.add(item)
        self.queued += 1
        self._changed()

    def _queue_cancel(self, order: Order, since: Nanos) -> None:
        self._next_key += 1
        self._cancels.push(WaitingOrder(self._next_key, order, since, is_cancel=True, batchable=True))
        self.queued += 1
        self._changed()

    def _remove_create(self, item: WaitingOrder) -> None:
        del self._waiting[item.order.client_id]
        (self._reduces if item.order.reduces else self._creates).remove(item)
        self._deadlines.forget(item)
        self.queued -= 1
        self._changed()

    def _lane(self, route: Route, priority: Priority, urgent: bool) -> FairQueue[WaitingRead]:
        rank = (Priority.CANCEL if urgent else priority, self._ranks[route.name])
        for known, _, is_urgent, lane in self._lanes:
            if known == rank and is_urgent == urgent:
                return lane
        lane = FairQueue[WaitingRead]()
        self._lanes.append((rank, route, urgent, lane))
        self._lanes.sort(key=lambda entry: entry[0])
        return lane

    # -- sending ----------------------------------------------------------------------------------------------------

    def _create_request(self, order: Order, since: Nanos, now: Nanos) -> CreateOrder:
        request_id = self._next_id
        self._next_id = request_id + 1
        self._flights[request_id] = (self._create_route, now, _CREATE, (order.client_id,))
        figures = self._create_figures
        figures.requests += 1
        if now > since:
            figures.waits.add(now - since)
        return CreateOrder(id=request_id, order=order.spec, timestamp=now)

    def _cancel_request(self, order: Order, since: Nanos, now: Nanos) -> CancelOrder:
        request_id = self._next_id
        self._next_id = request_id + 1
        self._flights[request_id] = (self._cancel_route, now, _CANCEL, (order.client_id,))
        figures = self._cancel_figures
        figures.requests += 1
        if now > since:
            figures.waits.add(now - since)
        return CancelOrder(id=request_id, pair=order.pair, order_id=order.order_id, client_id=order.client_id)

    def _drop_late(self, due: Due, now: Nanos) -> None:
        for item in self._deadlines.pop_passed(now):
            self.queued -= 1
            if isinstance(item, WaitingRead):
                del self._waiting_reads[item.key]
                item.lane.remove(item)
                self._figures[item.endpoint].dropped += 1
                due.dropped.append(DroppedRead(item.key, item.endpoint, item.owner, "waited past its deadline"))
            else:
                assert isinstance(item, WaitingOrder)
                del self._waiting[item.order.client_id]
                (self._reduces if item.order.reduces else self._creates).remove(item)
                self._create_figures.dropped += 1
                due.expired.append(item.order)

    def _send_cancels(self, requests: list[Request], now: Nanos) -> None:
        cancels, single, batch = self._cancels, self._cancel_route, self._cancel_batch_route
        while cancels.count:
            # the order was filled or cancelled in the meantime, so no slot is wasted on it
            if cancels.peek().order.is_final:
                self.queued -= 1
                self._cancelling.discard(cancels.pop().order.client_id)
                continue
            owner, size = cancels.longest_batch(CANCEL_BATCH_MAX)
            if self._batching and size >= CANCELS_FOR_A_BATCH and batch.is_open(now, True):
                self._send_cancel_batch(owner, requests, now)
            elif single.take(now, True):
                item = cancels.pop()
                self.queued -= 1
                requests.append(self._cancel_request(item.order, item.since, now))
            elif self._batching and batch.is_open(now, True):
                self._send_cancel_batch(owner, requests, now)
            else:
                return

    def _send_cancel_batch(self, owner: str, requests: list[Request], now: Nanos) -> None:
        items = []
        for item in self._cancels.pop_batch(owner, CANCEL_BATCH_MAX):
            self.queued -= 1
            if item.order.is_final:
                self._cancelling.discard(item.order.client_id)
            else:
                items.append(item)
        if not items:
            return
        taken = self._cancel_batch_route.take(now, True)
        assert taken
        client_ids = tuple(item.order.client_id for item in items)
        request_id = self._begin_batch("cancel_batch", self._cancel_batch_route, _CANCEL, items, client_ids, now)
        orders = tuple((item.order.pair, item.order.order_id) for item in items)
        requests.append(CancelBatch(id=request_id, orders=orders, client_ids=client_ids))

    def _send_singles(
        self, queue: FairQueue[WaitingOrder], requests: list[Request], now: Nanos, *, urgent: bool
    ) -> None:
        route = self._create_route
        while queue.count and route.take(now, urgent):
            item = queue.pop()
            self._leave(item)
            requests.append(self._create_request(item.order, item.since, now))

    def _send_batches(self, requests: list[Request], now: Nanos) -> None:
        """Send batches for the creates that could not be sent one by one at ``now``."""
        creates, single, batch = self._creates, self._create_route, self._create_batch_route
        while creates.count and batch.is_open(now, False):
            owner, size = creates.longest_batch(BATCH_MAX)
            if not batch_is_worth_it(size, creates.count, single.open_at(now, False), single.interval, now):
                return
            taken = batch.take(now, False)
            assert taken
            items = creates.pop_batch(owner, BATCH_MAX)
            for item in items:
                self._leave(item)
            client_ids = tuple(item.order.client_id for item in items)
            request_id = self._begin_batch("create_batch", batch, _CREATE, items, client_ids, now)
            orders = tuple(item.order.spec for item in items)
            requests.append(CreateBatch(id=request_id, orders=orders, timestamp=now))

    def _begin_batch(
        self,
        endpoint: str,
        route: Route,
        kind: _Kind,
        items: list[WaitingOrder],
        client_ids: tuple[int, ...],
        now: Nanos,
    ) -> int:
        request_id = self._next_id
        self._next_id = request_id + 1
        self._flights[request_id] = (route, now, kind, client_ids)
        figures = self._figures[endpoint]
        figures.requests += 1
        figures.batched += len(items)
        for item in items:
            if now > item.since:
                figures.waits.add(now - item.since)
        return request_id

    def _leave(self, item: WaitingOrder) -> None:
        """Remove a popped create from the other indexes."""
        self.queued -= 1
        del self._waiting[item.order.client_id]
        if item.deadline is not None:
            self._deadlines.forget(item)

    def _send_reads(self, requests: list[Request], now: Nanos) -> None:
        for _, route, urgent, lane in self._lanes:
            while lane.count and route.take(now, urgent):
                item = lane.pop()
                self.queued -= 1
                del self._waiting_reads[item.key]
                self._deadlines.forget(item)
                self._flights[item.key] = (route, now, _READ, ())
                figures = self._figures[item.endpoint]
                figures.requests += 1
                if now > item.since:
                    figures.waits.add(now - item.since)
                requests.append(item.make(item.key))

    def _soonest(self) -> Nanos | None:
        """Return the earliest time at which a queued item may be due; the core of `next_due`."""
        now = self._now
        soonest = self._deadlines.next() or _NEVER
        if self._cancels.count:
            soonest = min(soonest, self._cancel_route.open_at(now, True) or _NEVER)
            if self._batching:
                soonest = min(soonest, self._cancel_batch_route.open_at(now, True) or _NEVER)
        if self._reduces.count:
            soonest = min(soonest, self._create_route.open_at(now, True) or _NEVER)
        waiting = self._creates.count
        if waiting:
            single_at = self._create_route.open_at(now, False)
            if single_at is not None and single_at < soonest:
                soonest = single_at
            if self._batching and soonest > now:
                at = self._create_batch_route.open_at(now, False)
                if at is not None and at < soonest:
                    size = self._creates.longest_batch(BATCH_MAX)[1]
                    if batch_is_worth_it(size, waiting, single_at, self._create_route.interval, at):
                        soonest = at
        for _, route, urgent, lane in self._lanes:
            if lane.count:
                soonest = min(soonest, route.open_at(now, urgent) or _NEVER)
        if soonest == _NEVER:
            return None
        return soonest if soonest > now else now

    def _alarm(self, route: Route, now: Nanos) -> None:
        limits = tuple(window.limit for window in route.windows)
        until = route.pause.until
        self.alarms.append(
            LimitAlarm(
                pool=route.name,
                at=now,
                until=until,
                limits=limits,
                text=(
                    f"429 at {route.name}: another program is using this account or IP address, or the limits table "
                    f"is wrong; closed for {(until - now) / NS_PER_S:.1f} s except to urgent requests, then at most"
                    f" {', '.join(str(n) for n in limits)} per window until it has recovered"
                ),
            )
        )
