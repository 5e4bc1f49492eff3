"""A test world for the router: orders, limit tables, and a venue in virtual time that only records arrivals.

The venue is independent of the router. It timestamps each request on arrival, and three counting methods are applied to
the timestamps afterward.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from random import Random

from botkit.engine.router.reports import Due
from botkit.engine.router.router import Router
from botkit.model.clock import NS_PER_MS, NS_PER_S
from botkit.model.limits import EndpointLimit, LimitTable, Scope, WindowLimit
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import Order, OrderType, Side
from botkit.model.pairs import Pair, PairRules
from botkit.model.requests import CreateBatch, Ending, GetBalances, ListOpenOrders, Request

START = 1_700_000_000 * NS_PER_S
PAIR = Pair(
    "btc_twd",
    PairRules(
        price_decimals=0,
        amount_decimals=8,
        display_decimals=4,
        least_lots=10_000,
        most_lots=10**16,
        least_spend_units=190 * 10**8,
        open_orders_max=200,
    ),
)


def order(client_id: int, strategy: str = "greedy", **fields: object) -> Order:
    """Return a small limit buy. ``fields`` overrides its default fields."""
    given: dict[str, object] = {
        "client_id": client_id,
        "strategy": strategy,
        "pair": PAIR,
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "created": START,
        "price_ticks": 1_000_000,
        "amount_lots": 20_000,
        **fields,
    }
    return Order(OrderSpec(**given))  # type: ignore[arg-type]


def resting(client_id: int, strategy: str = "greedy") -> Order:
    """Return an order with an exchange order ID, so that it can be cancelled."""
    placed = order(client_id, strategy)
    placed.order_id = f"70{client_id}"
    return placed


def table(**limits: tuple[int, int]) -> LimitTable:
    """Return a limits table with the documented values. ``create_order=(5, 1)`` overrides an endpoint or a pool."""
    figures: dict[str, tuple[str, str, tuple[int, int]]] = {
        "create_order": ("POST", "create_order", (1200, 60)),
        "create_batch": ("POST", "create_batch", (90, 60)),
        "cancel_order": ("DELETE", "cancel_order", (900, 60)),
        "cancel_batch": ("PUT", "cancel_batch", (2, 1)),
        "cancel_all": ("DELETE", "cancel_all", (1, 1)),
        "open_orders": ("GET", "open_orders", (5, 1)),
        "balance": ("GET", "private", (600, 60)),
        "all_orders": ("GET", "private", (600, 60)),
        "order_book": ("GET", "public", (600, 60)),
    }
    endpoints = {}
    for name, (method, pool, usual) in figures.items():
        requests, per_s = limits.get(pool, usual)
        scopes = (Scope.IP,) if name in ("cancel_batch", "order_book") else (Scope.IP, Scope.ACCOUNT)
        endpoints[name] = EndpointLimit(
            endpoint=name,
            method=method,
            path="",
            private=pool != "public",
            pool=pool,
            windows=tuple(WindowLimit(requests, per_s, scope) for scope in scopes),
        )
    return LimitTable(endpoints=endpoints)


def make_balances(request_id: int) -> Request:
    """Build a read request in the pool ``private``."""
    return GetBalances(id=request_id)


def make_open_orders(request_id: int) -> Request:
    """Build a read request that has a separate counter."""
    return ListOpenOrders(id=request_id)


# -- three ways of counting at the venue --------------------------------------------------------------------------


def most_in_sliding_window(arrivals: Iterable[int], length: int) -> int:
    """Return the maximum number of arrivals in any half-open window (t - length, t]."""
    times = sorted(arrivals)
    most = first = 0
    for last, time in enumerate(times):
        while times[first] <= time - length:
            first += 1
        most = max(most, last - first + 1)
    return most


def most_in_fixed_window(arrivals: Iterable[int], length: int, phase: int) -> int:
    """Return the maximum number of arrivals in any of the windows [phase + k * length, phase + (k + 1) * length)."""
    counts: dict[int, int] = {}
    for time in arrivals:
        bucket = (time - phase) // length
        counts[bucket] = counts.get(bucket, 0) + 1
    return max(counts.values(), default=0)


def most_in_bucket(arrivals: Iterable[int], limit: int, length: int) -> float:
    """Return the highest level of a leaky bucket that every arrival raises by one and that drains at limit/length."""
    level, before, most = 0, 0, 0  # level in units of 1/length, for exact arithmetic
    for time in sorted(arrivals):
        level = max(0, level - (time - before) * limit) + length
        before = time
        most = max(most, level)
    return most / length


# -- a network and a clock that the test controls ----------------------------------------------------------


class World:
    """Delivers requests to the venue and answers to the router, each after a random delay of 1 to ``jitter_ms``
    milliseconds.
    """

    def __init__(self, router: Router, *, seed: int = 1, jitter_ms: int = 80) -> None:
        self.router = router
        self.now = START
        self.arrivals: dict[str, list[int]] = {}
        self.orders_arrived: list[int] = []  # arrival time, once for each order in a batch
        self.granted: dict[int, int] = {}  # client id -> time of the grant
        self.requests = 0
        self.wakes = 0
        self.idle_wakes = 0
        self.expired: list[Order] = []
        self._random = Random(seed)
        self._jitter_ms = jitter_ms
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, time: int, deed: Callable[[], None]) -> None:
        """Schedule a call to ``deed`` at ``time``."""
        self._count += 1
        heapq.heappush(self._events, (time, self._count, deed))

    def run(self, until: int | None = None) -> None:
        """Process all events and wake-ups in chronological order until none are left, or until ``until``."""
        while True:
            wake = self.router.next_due()
            event = self._events[0][0] if self._events else None
            times = [time for time in (wake, event) if time is not None]
            if not times or (until is not None and min(times) > until):
                return
            self.now = max(self.now, min(times))
            was_woken = wake is not None and (event is None or wake < event)
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            due = self.router.due(self.now)
            self.expired += due.expired
            if was_woken:
                self.wakes += 1
                self.idle_wakes += not (due.requests or due.expired or due.dropped)
            self._carry(due)

    def _carry(self, due: Due) -> None:
        for request in due.requests:
            self.requests += 1
            arrival = self.now + self._random.randint(1, self._jitter_ms) * NS_PER_MS
            answer = arrival + self._random.randint(1, self._jitter_ms) * NS_PER_MS
            self.arrivals.setdefault(request.endpoint, []).append(arrival)
            for client_id in client_ids(request):
                self.granted[client_id] = self.now
                self.orders_arrived.append(arrival)
            self.at(answer, lambda id=request.id: self.router.answered(id, self.now, Ending.OK))  # type: ignore[misc]


def client_ids(request: Request) -> Sequence[int]:
    """Return the client IDs of the orders that a request creates."""
    if isinstance(request, CreateBatch):
        return [new.client_id for new in request.orders]
    if request.endpoint == "create_order":
        return [request.order.client_id]  # type: ignore[union-attr]
    return []


def exceeded(arrivals: dict[str, list[int]], limits: LimitTable) -> list[str]:
    """Return every window that was exceeded under any of the three counting methods."""
    pools: dict[str, list[int]] = {}
    for endpoint, times in arrivals.items():
        pools.setdefault(limits[endpoint].pool, []).extend(times)
    wrong = []
    for endpoint in limits.endpoints.values():
        times = pools.get(endpoint.pool, [])
        for window in endpoint.windows:
            counts: dict[str, float] = {"sliding": most_in_sliding_window(times, window.length)}
            for share in range(7):
                phase = window.length * share // 7
                counts[f"fixed+{share}/7"] = most_in_fixed_window(times, window.length, phase)
            counts["bucket"] = most_in_bucket(times, window.requests, window.length)
            wrong += [f"{endpoint.pool}: {n} by {rule}" for rule, n in counts.items() if n > window.requests]
    return wrong
