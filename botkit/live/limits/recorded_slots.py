"""Shared windows in the recording of a run: each `SlotsChanged`, before the call on the engine that first sees it."""

from __future__ import annotations

from collections.abc import Callable, Collection

from botkit.engine.router.leased import LeasedPools, SlotNews
from botkit.model.clock import Nanos
from botkit.model.limits import LimitTable

#: the entry of a recording
SLOTS = "slots"


class SlotRecord:
    """Notices what became of the shared windows since the last call on the engine."""

    def __init__(self, leased: LeasedPools) -> None:
        self._leased = leased
        self._written = leased.change

    def write(self, write: Callable[..., None]) -> None:
        """Write an entry where there is news."""
        if self._leased.change is not self._written:
            self._written = self._leased.change
            write(SLOTS, self._written)


def replayed_pools(table: LimitTable, pools: Collection[str]) -> LeasedPools:
    """The shared counters of a run that is replayed. They report to nobody."""
    return LeasedPools(table, _ignore, endpoints=[e for e, row in table.endpoints.items() if row.pool in pools])


def _ignore(pool: str, what: SlotNews, key: int, arrives_by: Nanos) -> None:
    """What came of it is in the recording."""
