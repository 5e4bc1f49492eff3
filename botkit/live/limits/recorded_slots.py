"""Shared windows in the recording of a run: each `SlotsChanged`, before the call on the engine that first sees it."""

from __future__ import annotations

from collections.abc import Callable, Collection

from botkit.engine.router.leased import LeasedWindows, SlotNews
from botkit.model.clock import Nanos
from botkit.model.limits import LimitTable

#: the entry of a recording
SLOTS = "slots"


class SlotRecord:
    """Notices what became of the shared windows since the last call on the engine."""

    def __init__(self, windows: LeasedWindows) -> None:
        self._windows = windows
        self._written = windows.change

    def write(self, write: Callable[..., None]) -> None:
        """Write an entry where there is news."""
        if self._windows.change is not self._written:
            self._written = self._windows.change
            write(SLOTS, self._written)


def replayed_windows(table: LimitTable, pools: Collection[str]) -> LeasedWindows:
    """The shared windows of a run that is replayed, those of ``pools``. They report to nobody."""
    return LeasedWindows(table, _ignore, endpoints=[e for e, row in table.endpoints.items() if row.pool in pools])


def _ignore(pool: str, what: SlotNews, key: int, arrives_by: Nanos) -> None:
    """What came of it is in the recording."""
