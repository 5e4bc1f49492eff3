"""Routes: each exchange counter's windows, pace and pause, and the fastest way to clear a backlog."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from botkit.engine.router.leased import LeasedPool, LeasedPools, SlotNews
from botkit.engine.router.pacing import LEAST_PACED, Pace, PauseAfter429
from botkit.engine.router.windows import SlotLog
from botkit.model.clock import NS_PER_MS, NS_PER_S, Nanos
from botkit.model.limits import LimitTable, Scope, WindowLimit
from botkit.model.orders import Order, OrderType

#: maximum orders in one POST /orders/batch (API documentation)
BATCH_MAX = 10
#: maximum orders in one PUT /orders. The documentation states no limit; ours keeps the request body below 2 kB
CANCEL_BATCH_MAX = 50
#: with at least this many cancels by one strategy, a single PUT replaces individual cancels even if slots are free,
#: because one response then saves fifty slots
CANCELS_FOR_A_BATCH = 3
#: a batch justifies its slot if single creates would take longer than this for the same orders ...
BATCH_GAIN_NS = 200 * NS_PER_MS
#: ... and even for one order if no single create can be sent within a second
LONE_BATCH_GAIN_NS = NS_PER_S
#: slots reserved for urgent requests: a fraction of the create window that leaves 99.5 % of the limit to others ...
CREATE_RESERVE_DIVISOR = 600
#: ... and a larger fraction of read windows, where the order protocol looks up orders whose outcome is unknown
READ_RESERVE_DIVISOR = 20

_BATCH_TYPES = (OrderType.LIMIT, OrderType.MARKET)


class Route:
    """One counter of the exchange (a pool) with its windows. A request takes a slot in all of them or in none.

    If other processes share the counter, a request also takes a slot ``leased`` from their ledger. The windows stay in
    use: they show the usage, and ensure that this process cannot exceed a limit even if the ledger fails.
    """

    __slots__ = ("interval", "leased", "least_hold", "name", "pace", "pause", "paused", "refused", "reserve", "windows")

    def __init__(
        self,
        name: str,
        windows: Sequence[SlotLog],
        *,
        reserve: int,
        random: Random,
        leased: LeasedPool | None = None,
    ) -> None:
        assert windows, name
        self.name = name
        self.windows = tuple(windows)
        self.leased = leased
        tightest = max(windows, key=lambda w: w.window.length // w.window.requests).window
        least = min(w.window.requests for w in windows)
        self.reserve = reserve if least > reserve else 0
        self.interval = tightest.length // tightest.requests
        #: a response that is read now frees no slot until this much time has passed
        self.least_hold = min(w.hold for w in windows)
        self.pace: Pace | None = None
        if least >= LEAST_PACED:
            burst = min(Pace.burst_of(w.window.requests) for w in windows)
            self.pace = Pace(tightest.requests, tightest.length, burst)
        self.pause = PauseAfter429(self.interval, max(w.window.length for w in windows), random)
        self.paused = False  # True from the start of a pause until its end has been detected
        self.refused = 0

    def is_open(self, now: Nanos, urgent: bool) -> bool:
        """Return True if `take` would succeed."""
        if self.paused and not self._passes_pause(now, urgent):
            return False
        if not urgent and self.pace is not None and self.pace.earliest > now:
            return False
        if self.leased is not None and self.leased.free(now) <= 0:
            return False
        kept = 0 if urgent else self.reserve
        return all(window.free(now) > kept for window in self.windows)

    def take(self, now: Nanos, urgent: bool) -> bool:
        """Take a slot in every window if the request may be sent at ``now``. Returns False if the request must wait."""
        pace = self.pace
        if self.paused and not self._passes_pause(now, urgent):
            return False
        if not urgent and pace is not None and pace.earliest > now:
            return False
        leased = self.leased
        if leased is not None and leased.free(now) <= 0:
            return False
        kept = 0 if urgent else self.reserve
        windows = self.windows
        if len(windows) == 1:
            # the ledger determines how leased slots are spread over time
            least = windows[0].take_beyond(kept, now, pace if leased is None and not urgent else None)
            if least <= kept:
                return False
        else:
            least = min([window.free(now) for window in windows])
            if least <= kept:
                return False
            for window in windows:
                window.take()
            if not urgent and pace is not None and leased is None:
                pace.sent(now, least - kept - 1, windows[0].next_release(now))
        if leased is not None:
            leased.take()
            if not urgent and pace is not None:
                pace.sent(now, least - kept - 1, now)
        if urgent and self.paused:
            self.pause.sent_urgent(now)
        return True

    def open_at(self, now: Nanos, urgent: bool) -> Nanos | None:
        """Return the earliest time, not before ``now``, at which `take` would succeed, or None if this first requires a
        response or a lease.
        """
        if self.leased is not None and self.leased.free(now) <= 0:
            self.leased.want(is_urgent=urgent)
            return None
        at = now
        if not urgent and self.pace is not None and self.pace.earliest > at:
            at = self.pace.earliest
        if self.paused:
            at = max(at, self.pause.open_at(urgent))
        needed = 1 if urgent else 1 + self.reserve
        for window in self.windows:
            free_at = window.open_at(now, needed)
            if free_at is None:
                return None
            if free_at > at:
                at = free_at
        return at

    def rate_limited(self, granted: Nanos, now: Nanos) -> bool:
        """Pause and lower the limit, because a request granted at ``granted`` got a 429 at ``now``. Returns True if
        this 429 is a new event.
        """
        self.refused += 1
        if not self.pause.refused(granted, now):
            return False
        self.paused = True
        for window in self.windows:
            window.lower(now)
        if self.leased is not None:
            self.leased.tell(SlotNews.REFUSED)
        return True

    def _passes_pause(self, now: Nanos, urgent: bool) -> bool:
        if now >= self.pause.until:
            self.paused = False
            return True
        return urgent and self.pause.open_at(True) <= now


def make_routes(table: LimitTable, random: Random, leased: LeasedPools | None) -> dict[str, Route]:
    """Return a route for every endpoint in the table. Endpoints that share a pool share the route."""
    shared = {} if leased is None else leased.pools
    pools: dict[str, Route] = {}
    routes: dict[str, Route] = {}
    for endpoint, limit in table.endpoints.items():
        route = pools.get(limit.pool)
        if route is None:
            windows = [SlotLog(window, scopes) for window, scopes in _merged(limit.windows)]
            least = min(w.requests for w in limit.windows)
            reserve = reserve_of(limit.method, endpoint, least)
            route = Route(limit.pool, windows, reserve=reserve, random=random, leased=shared.get(limit.pool))
            pools[limit.pool] = route
        assert {w.window for w in route.windows} == {w for w, _ in _merged(limit.windows)}, (
            f"{endpoint} shares the counter {limit.pool} but has different windows"
        )
        routes[endpoint] = route
    return routes


def _merged(windows: Sequence[WindowLimit]) -> list[tuple[WindowLimit, tuple[Scope, ...]]]:
    """Merge windows of equal size but different scope, because a router serves one account at one IP address.

    Each request would take a slot in each of them, so their slot logs would be identical.
    """
    merged: dict[tuple[int, int], tuple[WindowLimit, tuple[Scope, ...]]] = {}
    for window in windows:
        key = (window.requests, window.per_s)
        first, scopes = merged.get(key, (window, ()))
        merged[key] = (first, (*scopes, window.scope))
    return list(merged.values())


def reserve_of(method: str, endpoint: str, least: int) -> int:
    """Compute the number of slots in a pool to reserve for urgent requests. ``endpoint`` is the pool's first endpoint,
    and ``least`` is the number of slots in its smallest window.

    Cancels need no reserve, because no other requests share their windows.
    """
    if endpoint == "create_order":
        return least // CREATE_RESERVE_DIVISOR
    if method == "GET" and least > 1:
        return max(1, least // READ_RESERVE_DIVISOR)
    return 0


def is_batchable(order: Order) -> bool:
    """Return True for an order that may be part of a batch: LIMIT or MARKET, and not risk-reducing.

    One bad item may cause all ten items to be refused, and an exit must not fail because of another order.
    """
    return not order.reduces and order.type in _BATCH_TYPES


def batch_is_worth_it(size: int, waiting: int, single_at: Nanos | None, interval: Nanos, at: Nanos) -> bool:
    """Return True if a batch of ``size`` sent at ``at`` would clear the backlog early enough to justify its slot.

    ``waiting`` is the number of queued creates. The next single create may be sent at ``single_at`` (None: unknown),
    and then one every ``interval``.
    """
    if size == 0:
        return False
    if single_at is None:
        return True
    blocked = single_at - at
    if size == 1:
        return blocked > LONE_BATCH_GAIN_NS
    return blocked + (waiting - 1) * interval > BATCH_GAIN_NS
