"""Requests in flight, and the slots held for them.

Invariant: a request has an entry in `Flights.in_air` from the grant of its slots until the wait for its response ends,
and its slots stay held throughout. What happens to them then depends on the outcome: a response holds them for one more
window, a request that was never sent gives them back at once, and a request whose outcome is unknown holds them until
one window after its latest possible arrival. Slots of an order of unknown outcome are held under the order's client id
until it is resolved, which may shorten the hold but never ends it early.
"""

from __future__ import annotations

import enum
from typing import Final, TypeAlias

from botkit.engine.router.figures import EndpointFigures
from botkit.engine.router.leased import SlotNews
from botkit.engine.router.queue import WaitingOrder, WaitingRead
from botkit.engine.router.routes import Route
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.inputs import SentBefore
from botkit.model.limits import LimitTable
from botkit.model.orders import Order
from botkit.model.requests import CancelBatch, CancelOrder, CreateBatch, CreateOrder, Ending, Request

#: the maximum wait for a response
LONGEST_WAIT_NS = 60 * NS_PER_S


class Kind(enum.Enum):
    """What a request does, which decides how long it may still arrive after its response was given up."""

    CREATE = 0
    CANCEL = 1
    READ = 2


# globals, because reading an enum member from its class costs much more (`botkit.model.orders`)
CREATE: Final = Kind.CREATE
CANCEL: Final = Kind.CANCEL
READ: Final = Kind.READ

#: a request in flight: its route, grant time, kind and client ids
Flight: TypeAlias = tuple[Route, Nanos, Kind, tuple[int, ...]]


class Flights:
    """Builds each request when its slots have been taken, and keeps its entry until the wait for its response ends."""

    __slots__ = (
        "_cancel", "_cancel_batch", "_create", "_create_batch", "_earlier_key", "_figures", "_latest_accept_ns",
        "_next_id", "_read_latest_ns", "_routes", "_table", "_unknown", "cancel_figures", "create_figures", "in_air",
    )  # fmt: skip

    def __init__(
        self,
        table: LimitTable,
        routes: dict[str, Route],
        figures: dict[str, EndpointFigures],
        *,
        first_request_id: int,
        latest_accept_ns: int,
        read_latest_ns: int,
    ) -> None:
        self._table = table
        self._routes = routes
        self._figures = figures
        self._create = routes["create_order"]
        self._cancel = routes["cancel_order"]
        self.create_figures = figures["create_order"]
        self.cancel_figures = figures["cancel_order"]
        self._latest_accept_ns = latest_accept_ns
        self._read_latest_ns = read_latest_ns
        self._next_id = first_request_id
        self._earlier_key = 0  # keys of an earlier run's slots count down, so that they differ from request ids
        #: by request id. `Router.answered` removes an entry
        self.in_air: dict[int, Flight] = {}
        # by client id, for each order whose outcome is unknown: the route and key of the slot that is held longer
        self._unknown: dict[int, tuple[Route, int]] = {}

    # -- requests whose slots have just been taken ----------------------------------------------------------------

    def next_id(self) -> int:
        """Return a new request id."""
        request_id = self._next_id
        self._next_id = request_id + 1
        return request_id

    def create(self, order: Order, since: Nanos, now: Nanos) -> CreateOrder:
        """Build the request that places ``order``, which has waited from ``since`` until ``now``."""
        # `next_id` and the two lines after it are repeated here and in `cancel`, which saves calls for every order
        request_id = self._next_id
        self._next_id = request_id + 1
        self.in_air[request_id] = (self._create, now, CREATE, (order.client_id,))
        figures = self.create_figures
        figures.requests += 1
        if now > since:
            figures.waits.add(now - since)
        return CreateOrder(id=request_id, order=order.spec, timestamp=now)

    def cancel(self, order: Order, since: Nanos, now: Nanos) -> CancelOrder:
        """Build the request that cancels ``order``, which has waited from ``since`` until ``now``."""
        request_id = self._next_id
        self._next_id = request_id + 1
        self.in_air[request_id] = (self._cancel, now, CANCEL, (order.client_id,))
        figures = self.cancel_figures
        figures.requests += 1
        if now > since:
            figures.waits.add(now - since)
        return CancelOrder(id=request_id, pair=order.pair, order_id=order.order_id, client_id=order.client_id)

    def create_batch(self, items: list[WaitingOrder], now: Nanos) -> CreateBatch:
        """Build one request that places the orders of ``items``."""
        client_ids = tuple([item.order.client_id for item in items])
        request_id = self._begin_batch("create_batch", CREATE, items, client_ids, now)
        return CreateBatch(id=request_id, orders=tuple([item.order.spec for item in items]), timestamp=now)

    def cancel_batch(self, items: list[WaitingOrder], now: Nanos) -> CancelBatch:
        """Build one request that cancels the orders of ``items``."""
        client_ids = tuple([item.order.client_id for item in items])
        request_id = self._begin_batch("cancel_batch", CANCEL, items, client_ids, now)
        orders = tuple([(item.order.pair, item.order.order_id) for item in items])
        return CancelBatch(id=request_id, orders=orders, client_ids=client_ids)

    def _begin_batch(
        self, endpoint: str, kind: Kind, items: list[WaitingOrder], client_ids: tuple[int, ...], now: Nanos
    ) -> int:
        request_id = self.next_id()
        self.in_air[request_id] = (self._routes[endpoint], now, kind, client_ids)
        figures = self._figures[endpoint]
        figures.requests += 1
        figures.batched += len(items)
        for item in items:
            if now > item.since:
                figures.waits.add(now - item.since)
        return request_id

    def read(self, item: WaitingRead, route: Route, now: Nanos) -> Request:
        """Build a waiting read, whose ticket becomes the request id."""
        self.in_air[item.ticket] = (route, now, READ, ())
        figures = self._figures[item.endpoint]
        figures.requests += 1
        if now > item.since:
            figures.waits.add(now - item.since)
        return item.make(item.ticket)

    # -- what becomes of the slots --------------------------------------------------------------------------------

    def end_without_response(self, request_id: int, flight: Flight, outcome: Ending, now: Nanos) -> bool:
        """Settle the slots of a request that got no response or a 429, and that is no longer in `in_air`. Returns True
        if this is the first 429 of a new event.
        """
        route, granted, kind, client_ids = flight
        if outcome is Ending.NOT_SENT:
            for window in route.windows:
                window.give_back()
            if route.leased is not None:
                route.leased.tell(SlotNews.UNSENT)
            return False
        if outcome is Ending.RATE_LIMITED:
            for window in route.windows:
                window.release(now)
            if route.leased is not None:
                route.leased.tell(SlotNews.ANSWERED)
            return route.rate_limited(granted, now)
        arrives_by = now + (self._read_latest_ns if kind is READ else self._latest_accept_ns)
        for window in route.windows:
            window.hold_late(request_id, arrives_by)
        if route.leased is not None:
            route.leased.tell(SlotNews.UNKNOWN, request_id, arrives_by)
        if kind is CREATE:
            for client_id in client_ids:
                self._unknown[client_id] = (route, request_id)
        return False

    def resolved(self, client_id: int, now: Nanos) -> bool:
        """Shorten the hold of an order whose outcome was unknown, because its create cannot arrive after ``now``.
        Returns False if no slot is held for the order.
        """
        held = self._unknown.pop(client_id, None)
        if held is None:
            return False
        route, key = held
        for window in route.windows:
            window.shorten(key, now)
        if route.leased is not None:
            route.leased.tell(SlotNews.RESOLVED, key, now)
        return True

    def sent_before(self, sent: SentBefore, now: Nanos) -> None:
        """Hold slots for a request that an earlier run sent, as long as it may still count."""
        route = self._routes[sent.endpoint]
        is_read = self._table[sent.endpoint].method == "GET"
        # no response was journaled, so the wait ended with a timeout or a crash, no later than now
        late = self._read_latest_ns if is_read else self._latest_accept_ns
        given_up = min(now, sent.sent + LONGEST_WAIT_NS)
        arrives_by = sent.answered if sent.answered is not None else given_up + late
        key = self._earlier_key = self._earlier_key - 1
        for window in route.windows:
            if arrives_by + window.hold > now:
                window.cool_down(key, arrives_by)
        if route.leased is not None and any(arrives_by + window.hold > now for window in route.windows):
            route.leased.tell(SlotNews.EARLIER, key, arrives_by)
        if sent.answered is None:
            for client_id in sent.client_ids:
                self._unknown[client_id] = (route, key)
