"""The slots that a bot has leased for one counter, and what it has yet to report about them to the ledger."""

from __future__ import annotations

from botkit.engine.router.leased import LeasedPool
from botkit.engine.router.routes import reserve_of
from botkit.engine.router.windows import hold_ns
from botkit.live.limits.protocol import Report
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.limits import EndpointLimit

#: slots beyond the stock are returned if no slot was needed for this long
IDLE: Nanos = NS_PER_S
#: number of cancels to keep in stock: the size of the window divided by the first number, but at most the second number
CANCEL_STOCK_DIVISOR, CANCEL_STOCK_MAX = 45, 20
#: for windows of at least this size, each process keeps one slot in stock, so that a single order need not wait for the
#: ledger
LEAST_STOCKED = 100
#: number of slots to lease ahead: the size of the window divided by the first number, but at most the second number
AHEAD_DIVISOR, AHEAD_MAX = 64, 32
#: number of unknown outcomes per pool to remember before old ones are purged
REMEMBERED_MAX = 1024


class Lease:
    """This process's leases for one counter, and its pending reports. All times are on the bot's clock."""

    def __init__(self, pool: LeasedPool, endpoint: EndpointLimit, *, late: Nanos, keeps_stock: bool) -> None:
        """``endpoint`` is the first of the endpoints that share the counter."""
        self.pool = pool
        self.windows = endpoint.windows
        self.is_read = endpoint.method == "GET"
        self.late = late
        least = min(window.requests for window in self.windows)
        self.reserve = reserve_of(endpoint.method, endpoint.endpoint, least)
        self.stock_wanted = 0
        if keeps_stock and pool.is_for_cancels:
            self.stock_wanted = min(CANCEL_STOCK_MAX, least // CANCEL_STOCK_DIVISOR)
        elif keeps_stock and least >= LEAST_STOCKED:
            self.stock_wanted = 1
        self.hold = max(hold_ns(window.length) for window in self.windows)
        self.ahead_max = max(1, min(AHEAD_MAX, least // AHEAD_DIVISOR))
        self.ahead = 1
        self.granted = 0  # slots leased since the start, minus those returned unused
        self.told = 0  # number of these slots that the router may use
        self.ended = 0  # requests that took a slot and are no longer in flight
        self.declared: list[int] = []  # keys of requests in flight since this process rejoined
        self.wants = self.wants_urgently = False  # True while more slots are needed
        self.asked_at: Nanos = 0
        self.granted_at: Nanos = 0
        self.retry_at: Nanos = 0
        self.returned = 0
        self.arrivals: list[tuple[int, Nanos]] = []
        self.lower = False
        self.late_until: dict[int, Nanos] = {}  # the latest possible arrival time of each request, by key

    @property
    def stock(self) -> int:
        """The number of slots that are leased and unused."""
        return self.told - self.pool.taken

    @property
    def wants_slots(self) -> bool:
        """True if more slots are needed."""
        return self.wants or self.wants_urgently or self.stock < self.stock_wanted

    @property
    def idle_at(self) -> Nanos:
        """The time at which to return unused slots."""
        return max(self.asked_at, self.granted_at) + IDLE

    def keep_stock(self, count: int) -> None:
        """Withdraw all but ``count`` unused slots from the router. `return_unused` returns them to the ledger once the
        router has been informed of the withdrawal.
        """
        self.told = min(self.told, self.pool.taken + count)

    def return_unused(self) -> None:
        """Return unused slots to the ledger. Call this only after the router has been informed of the current number of
        slots (``told``).
        """
        self.told = max(self.told, self.pool.taken)
        self.returned += self.granted - self.told
        self.granted = self.told

    def grant(self, count: int, now: Nanos) -> None:
        """Add granted slots."""
        self.granted += count
        self.told += count
        self.granted_at = now

    def end(self, now: Nanos, arrivals: list[tuple[int, Nanos]]) -> None:
        """Record that a request is no longer in flight. ``arrivals`` lists the entries that the ledger must count for
        the request from now on.
        """
        self.ended += 1
        if self.declared:
            # the slot was declared, not leased; a declared request has arrived by now, or it is counted under a
            # different key
            self.arrivals.append((self.declared.pop(), now))
            self.arrivals += [(key, by) for key, by in arrivals if key]
        else:
            self.returned += 1
            self.arrivals += arrivals

    def remember(self, key: int, by: Nanos, now: Nanos) -> None:
        """Remember a request that may still arrive, so that it can be declared again if the ledger is lost."""
        self.late_until[key] = by
        if len(self.late_until) > REMEMBERED_MAX:
            self.forget_old(now)

    def forget_old(self, now: Nanos) -> None:
        """Forget requests that no window counts any more."""
        self.late_until = {key: by for key, by in self.late_until.items() if by + self.hold > now}

    def declare(self, now: Nanos, first_key: int) -> int:
        """Forget the leases and report the requests in flight to a ledger that has no record of them.

        The ledger attributes earlier reports to a dead process. Return the next free key.
        """
        self.granted = self.told = self.pool.taken
        self.returned, self.retry_at = 0, 0
        self.forget_old(now)
        self.declared = list(range(first_key, first_key + self.pool.taken - self.ended))
        self.arrivals = [*self.late_until.items(), *((key, now + self.late) for key in self.declared)]
        return first_key + len(self.declared)

    def report(self, place: int, now: Nanos) -> Report | None:
        """Return the reports and slot requests for the ledger, or None if there is nothing to send."""
        wanted = urgent = 0
        if self.wants_slots and self.retry_at <= now:
            want = max(self.stock_wanted, self.ahead if self.wants or self.wants_urgently else 0) - self.stock
            if self.wants_urgently or self.pool.is_for_cancels:
                urgent = max(0, want)
            else:
                wanted = max(0, want)
        if not (self.returned or self.arrivals or self.lower or wanted or urgent):
            return None
        report = Report(
            pool=place,
            returned=self.returned,
            arrivals=tuple((key, by - now) for key, by in self.arrivals),
            lower=self.lower,
            wanted=wanted,
            wanted_urgently=urgent,
        )
        self.returned, self.arrivals, self.lower = 0, [], False
        return report
