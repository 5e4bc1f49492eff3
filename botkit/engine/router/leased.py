"""Windows that are shared with other processes, as the router sees them: slots on lease from a ledger.

What they answer follows from the last `SlotsChanged` and from what the router took; they read no clock. What becomes of
a slot is reported through one function to whoever keeps the leases (`botkit.live.limits.leases`).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection
from typing import TypeAlias

from botkit.engine.router.routes import reserve_of
from botkit.engine.router.windows import SlotLog, Slots
from botkit.model.clock import Nanos
from botkit.model.limits import LimitTable, Scope, SlotsChanged, WindowLimit


class SlotNews(enum.Enum):
    """What happened to a slot, or to a pool."""

    TAKEN = "taken"
    UNSENT = "unsent"  # nothing was sent
    ANSWERED = "answered"  # just now
    UNKNOWN = "unknown"  # the request may arrive until a time
    RESOLVED = "resolved"  # it arrives no later than a time
    EARLIER = "earlier"  # the same of a request of an earlier run
    REFUSED = "refused"  # a 429
    WANTED = "wanted"  # more than are leased
    WANTED_URGENTLY = "wanted urgently"


#: (pool, what, key of a request whose outcome was unknown, its latest arrival by the bot's clock)
ReportSlot: TypeAlias = Callable[[str, SlotNews, int, Nanos], None]


class LeasedPool:
    """A counter of the exchange: the slots leased of it and those that the router took, both since the start."""

    __slots__ = ("is_for_cancels", "leased", "name", "reserve", "taken", "until", "windows")

    def __init__(self, name: str, *, is_for_cancels: bool, reserve: int) -> None:
        self.name = name
        self.is_for_cancels = is_for_cancels
        self.reserve = reserve
        self.windows: list[tuple[WindowLimit, tuple[Scope, ...]]] = []
        self.leased = self.taken = 0
        self.until: Nanos = 0

    def free(self, now: Nanos) -> int:
        """Slots that may be taken at ``now``."""
        return self.leased - self.taken if now < self.until else 0


class LeasedWindows:
    """A `SlotSource` of leased slots: ``Router(slots=leased)``, and `apply` each change."""

    def __init__(self, table: LimitTable, report: ReportSlot, *, endpoints: Collection[str] | None = None) -> None:
        """``endpoints``: only their counters are shared; all others are this process's own."""
        self._table = table
        self._report = report
        self._shared = None if endpoints is None else {table.endpoints[name].pool for name in endpoints}
        self.pools: dict[str, LeasedPool] = {}
        #: the change that was applied last
        self.change = SlotsChanged(number=0, leased={}, until=0, cancels_until=0)

    def __call__(self, pool: str, window: WindowLimit, scopes: tuple[Scope, ...]) -> Slots:
        """The slots of one window of a pool."""
        if self._shared is not None and pool not in self._shared:
            return SlotLog(window, scopes)
        known = self.pools.get(pool)
        is_first = known is None
        if known is None:
            endpoint, limit = next((e, row) for e, row in self._table.endpoints.items() if row.pool == pool)
            known = self.pools[pool] = LeasedPool(
                pool,
                is_for_cancels=limit.method in ("DELETE", "PUT"),
                reserve=reserve_of(limit.method, endpoint, min(w.requests for w in limit.windows)),
            )
        known.windows.append((window, scopes))
        return _LeasedSlots(known, window, scopes, self._report if is_first else None)

    def apply(self, change: SlotsChanged) -> None:
        """Slots were leased or went back, or their leases were renewed."""
        self.change = change
        for name, pool in self.pools.items():
            pool.leased = max(change.leased.get(name, 0), pool.taken)
            pool.until = change.cancels_until if pool.is_for_cancels else change.until


class _LeasedSlots:
    """`Slots` of a leased window.

    A log of this process's own use stands behind the leases: it tells the usage, and no fault of the ledger makes this
    process alone exceed a limit.
    """

    __slots__ = ("_log", "_pool", "_report", "hold", "scopes", "window")

    def __init__(
        self, pool: LeasedPool, window: WindowLimit, scopes: tuple[Scope, ...], report: ReportSlot | None
    ) -> None:
        """``report`` is None for all windows of a pool but the first: a request takes a slot in each."""
        self.window = window
        self.scopes = scopes
        self._log = SlotLog(window, scopes)
        self.hold = self._log.hold
        self._pool = pool
        self._report = report

    @property
    def peak(self) -> int:
        """The most slots that this process held at once."""
        return self._log.peak

    @property
    def limit(self) -> int:
        """Slots in force."""
        return self._log.limit

    def free(self, now: Nanos) -> int:
        """Slots that may be taken. The ledger keeps the pool's reserve, so it is not kept here as well."""
        leased = self._pool.free(now)
        return min(leased + self._pool.reserve, self._log.free(now)) if leased > 0 else 0

    def take(self) -> None:
        """Take a leased slot."""
        self._log.take()
        if self._report is not None:
            self._pool.taken += 1
            self._report(self._pool.name, SlotNews.TAKEN, 0, 0)

    def release(self, now: Nanos) -> None:
        """The answer was read."""
        self._log.release(now)
        self._tell(SlotNews.ANSWERED)

    def give_back(self) -> None:
        """Nothing was sent. The slot goes back to the ledger, which may lease it again at once."""
        self._log.give_back()
        self._tell(SlotNews.UNSENT)

    def hold_late(self, key: int, arrives_by: Nanos) -> None:
        """The outcome is unknown."""
        self._log.hold_late(key, arrives_by)
        self._tell(SlotNews.UNKNOWN, key, arrives_by)

    def cool_down(self, key: int, arrives_by: Nanos) -> None:
        """Count a request of an earlier run."""
        self._log.cool_down(key, arrives_by)
        self._tell(SlotNews.EARLIER, key, arrives_by)

    def shorten(self, key: int, arrives_by: Nanos) -> None:
        """What is late arrives no later than ``arrives_by``."""
        self._log.shorten(key, arrives_by)
        self._tell(SlotNews.RESOLVED, key, arrives_by)

    def lower(self, now: Nanos) -> None:
        """A 429: everybody uses less for a while."""
        self._log.lower(now)
        self._tell(SlotNews.REFUSED)

    def open_at(self, now: Nanos, needed: int) -> Nanos | None:
        """When slots are free, if some are leased; else None, and the ledger is asked for some."""
        if self._pool.free(now) > 0:
            return self._log.open_at(now, needed)
        is_urgent = self._pool.is_for_cancels or needed <= self._pool.reserve
        self._tell(SlotNews.WANTED_URGENTLY if is_urgent else SlotNews.WANTED)
        return None

    def next_release(self, now: Nanos) -> Nanos:
        """At once: how leased slots are spread over time is the ledger's affair."""
        return now

    def held(self, now: Nanos) -> int:
        """Slots that this process holds."""
        return self._log.held(now)

    def releases(self, now: Nanos) -> tuple[Nanos, ...]:
        """When this process's slots come free."""
        return self._log.releases(now)

    def _tell(self, what: SlotNews, key: int = 0, arrives_by: Nanos = 0) -> None:
        if self._report is not None:
            self._report(self._pool.name, what, key, arrives_by)
