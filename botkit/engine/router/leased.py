"""The router's side of counters that are shared with other processes: slots leased from a ledger.

The number of free slots follows from the last `SlotsChanged` and the slots that the router has taken; this module reads
no clock. The outcome of each slot is reported through a single function. In a running bot, `botkit.live.limits.leases`
receives the reports.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection
from typing import TypeAlias

from botkit.model.clock import Nanos
from botkit.model.limits import LimitTable, SlotsChanged


class SlotNews(enum.Enum):
    """The kinds of reports about a slot or a pool."""

    TAKEN = "taken"
    UNSENT = "unsent"  # no byte of the request was sent
    ANSWERED = "answered"  # the request has arrived by now
    UNKNOWN = "unknown"  # the request may still arrive, up to a given time
    RESOLVED = "resolved"  # the request will arrive by a given time at the latest
    EARLIER = "earlier"  # like RESOLVED, but for a request from an earlier run
    REFUSED = "refused"  # the exchange responded with 429
    WANTED = "wanted"  # more slots are needed than are leased
    WANTED_URGENTLY = "wanted urgently"


#: (pool, news, key of a request whose outcome is unknown, its latest arrival by the bot's clock)
ReportSlot: TypeAlias = Callable[[str, SlotNews, int, Nanos], None]


class LeasedPool:
    """A shared counter: the numbers of slots leased and slots taken by the router since the start."""

    __slots__ = ("_report", "is_for_cancels", "leased", "name", "taken", "until")

    def __init__(self, name: str, report: ReportSlot, *, is_for_cancels: bool) -> None:
        self.name = name
        self.is_for_cancels = is_for_cancels
        self.leased = self.taken = 0
        self.until: Nanos = 0
        self._report = report

    def free(self, now: Nanos) -> int:
        """Return the number of slots that may be taken at ``now``."""
        return self.leased - self.taken if now < self.until else 0

    def take(self) -> None:
        """Take one slot."""
        self.taken += 1
        self._report(self.name, SlotNews.TAKEN, 0, 0)

    def want(self, *, is_urgent: bool) -> None:
        """Request more slots. They are granted through a `SlotsChanged`."""
        is_urgent = is_urgent or self.is_for_cancels
        self._report(self.name, SlotNews.WANTED_URGENTLY if is_urgent else SlotNews.WANTED, 0, 0)

    def tell(self, what: SlotNews, key: int = 0, arrives_by: Nanos = 0) -> None:
        """Report the outcome of a taken slot, which ends its lease."""
        self._report(self.name, what, key, arrives_by)


class LeasedPools:
    """The shared counters of a router, passed as ``Router(leased=...)``. `Router.slots_changed` passes each change on
    to them.
    """

    def __init__(self, table: LimitTable, report: ReportSlot, *, endpoints: Collection[str] | None = None) -> None:
        """Share only the counters of ``endpoints``. All other counters are used only by this process."""
        self.pools: dict[str, LeasedPool] = {}
        #: the latest lease change that was applied
        self.change = SlotsChanged(number=0, leased={}, until=0, cancels_until=0)
        shared = {table.endpoints[name].pool for name in (table.endpoints if endpoints is None else endpoints)}
        for limit in table.endpoints.values():
            if limit.pool in shared and limit.pool not in self.pools:
                is_for_cancels = limit.method in ("DELETE", "PUT")
                self.pools[limit.pool] = LeasedPool(limit.pool, report, is_for_cancels=is_for_cancels)

    def apply(self, change: SlotsChanged) -> None:
        """Apply newly leased, returned or renewed slots."""
        self.change = change
        for name, pool in self.pools.items():
            pool.leased = max(change.leased.get(name, 0), pool.taken)
            pool.until = change.cancels_until if pool.is_for_cancels else change.until
