"""The router: requests wait here until the exchange's documented limits allow them to be sent.

The router holds a slot from the grant of a request until one window after its response was read;
`botkit.engine.router.windows` explains why a limit can therefore never be exceeded. The router sends cancels and exits
first, alternates between strategies, and batches a backlog. It has no clock: a driver calls `Router.next_due` to find
out when its next call is due.

This module is the counter at which the engine asks, with the express lane that nearly all orders take. Behind it are
`backlog` (what waits for a slot), `sending` (which of it leaves, alone or in a batch), `flights` (requests in flight
and the slots that they hold), and `routes` and `windows` (the limits themselves). Every order passes through the
express lane, so its few lines stay together here and call none of the other modules except to build the request.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterable
from operator import itemgetter
from random import Random
from typing import Final, TypeAlias

from botkit.engine.agenda import Changes
from botkit.engine.router.backlog import Backlog
from botkit.engine.router.figures import EndpointFigures, alarm_of, router_use, usage_of
from botkit.engine.router.flights import CANCEL, READ, Flights
from botkit.engine.router.leased import LeasedPools, SlotNews
from botkit.engine.router.reports import DroppedRead, Due, LimitAlarm, Usage
from botkit.engine.router.routes import CANCELS_FOR_A_BATCH, make_routes
from botkit.engine.router.sending import BacklogSender
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.inputs import SentBefore
from botkit.model.limits import LimitTable, SlotsChanged
from botkit.model.orders import FINAL_STATES, Order
from botkit.model.requests import Ending, Request
from botkit.model.results import RouterUse

#: time after an abort during which the exchange may still act on a read
READ_LATEST_NS = 60 * NS_PER_S
#: the maximum number of uncollected alarms to keep; the newest is last
ALARMS_MAX = 256
#: the maximum number of orders that may skip the queues at the same time
EXPRESS_MAX = 20


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


# globals, because reading an enum member from its class costs much more (`botkit.model.orders`)
_OK: Final = Ending.OK
_REFUSED: Final = Ending.REFUSED

#: an order that skips the queues: its rank (cancels first, then orders that reduce a position), the order, and the
#: start of its wait
_Express: TypeAlias = tuple[int, Order, Nanos]
_CANCELS: Final = 0
_REDUCES: Final = 1
_CREATES: Final = 2
_rank = itemgetter(0)


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
        self._queue_max = queue_max
        self._express_max = min(EXPRESS_MAX, queue_max)
        self._leased = leased
        self._routes = make_routes(table, Random(seed), leased)
        self._pools = {route.name: route for route in self._routes.values()}
        self._figures = {endpoint: EndpointFigures() for endpoint in table.endpoints}
        self._create_route = self._routes["create_order"]
        self._cancel_route = self._routes["cancel_order"]

        self._now: Nanos = 0
        #: orders placed or cancelled by one strategy while nothing was waiting: (rank, order, start of the wait).
        #: Nearly all of them are sent in the same turn and therefore skip the queues
        self.express: list[_Express] = []
        self._cancelling: set[int] = set()  # client ids whose cancel is queued or in flight; never iterated
        self._flights = Flights(
            table, self._routes, self._figures,
            first_request_id=first_request_id, latest_accept_ns=latest_accept_ns, read_latest_ns=read_latest_ns,
        )  # fmt: skip
        self._backlog = Backlog(self._pools)
        batching = batching and "create_batch" in table.endpoints and "cancel_batch" in table.endpoints
        self._sender = BacklogSender(
            self._backlog, self._flights, self._routes, self._figures, self._cancelling, batching=batching
        )
        #: number of waiting items other than express orders; copied from the backlog whenever that changes, because a
        #: property would cost several calls for every order
        self.queued = 0
        #: reads that will not be sent, to be reported by the next `due`
        self.dropped: list[DroppedRead] = []
        self.alarms: deque[LimitAlarm] = deque(maxlen=ALARMS_MAX)
        self._next: Nanos | None = None
        self._next_is_known = False
        self._on_change: Callable[[], None] = _nobody_listens
        self._changes = Changes()

    def take_listener(self, on_change: Callable[[], None], changes: Changes) -> None:
        """Register ``on_change`` to be called whenever `next_due` may have changed. For express orders, only
        ``changes`` is incremented, because the engine calls `due` at the end of the turn anyway.
        """
        self._on_change = on_change
        self._changes = changes

    def _changed(self) -> None:
        """Follow a change of the backlog or of the slots, after which `next_due` may have another result."""
        self.queued = self._backlog.count
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
        return order.client_id in self._backlog.creates_by_id

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
        self._backlog.add_create(order, now)
        self._changed()
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
        if client_id in self._backlog.creates_by_id:
            self._backlog.withdraw_create(order)
            self._changed()
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
            self._backlog.add_cancel(order, now)
            self._changed()
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
                    self._backlog.add_create(new, now)
                    self._changed()
                return True
        if not self._backlog.replace_create(old, new, now):
            return False
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
        ticket = self._flights.next_id()
        if self.queued >= self._queue_max:
            self._figures[endpoint].dropped += 1
            self.dropped.append(DroppedRead(ticket, endpoint, owner, "the router's queue is full"))
            self._on_change()
            return ticket
        self._queue_express()
        self._backlog.add_read(
            ticket, owner, make,
            endpoint=endpoint, route=self._routes[endpoint], since=now, deadline=deadline,
            rank=Priority.CANCEL if urgent else priority, is_urgent=urgent,
        )  # fmt: skip
        self._changed()
        return ticket

    def forget_read(self, ticket: int) -> bool:
        """Remove a queued read. Returns False if it was already sent or dropped."""
        if not self._backlog.withdraw_read(ticket):
            return False
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
            self._sender.send(due, now)
            self._changed()
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
                    requests.append(self._flights.cancel(order, since, now))
                else:
                    break
            elif (order.expires is None or order.expires > now) and self._create_route.take(now, order.reduces):
                requests.append(self._flights.create(order, since, now))
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
            self._next = self._sender.soonest(self._now)
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
        flight = self._flights.in_air.pop(request_id)
        route, _, kind, client_ids = flight
        if kind is CANCEL:
            self._cancelling.difference_update(client_ids)
        if outcome is _OK or outcome is _REFUSED or (responded and kind is READ and outcome is Ending.UNKNOWN):
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
        if self._flights.end_without_response(request_id, flight, outcome, now):
            self.alarms.append(alarm_of(route, now))

    def resolved(self, client_id: int, now: Nanos) -> None:
        """Record that an order whose outcome was unknown has been found or proved absent, so its create cannot arrive
        after ``now``.
        """
        self._now = now
        if self._flights.resolved(client_id, now):
            self._changed()

    def cool_down(self, sends: Iterable[SentBefore], now: Nanos) -> None:
        """Count the requests that the previous run's journal records as sent. Call this method at a restart, before
        anything is sent.
        """
        self._now = now
        for sent in sends:
            self._flights.sent_before(sent, now)
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

    # -- the way from the express lane to the queues ---------------------------------------------------------------

    def _queue_express(self) -> None:
        """Move the express orders into the queues, because other requests are waiting or because the express orders
        themselves must wait.
        """
        if self.express:
            express, self.express = self.express, []
            for rank, order, since in express:
                if rank == _CANCELS:
                    self._backlog.add_cancel(order, since)
                else:
                    self._backlog.add_create(order, since)
            self._changed()
