"""The shared windows of a run that is replayed: what was leased stands in the recording."""

from __future__ import annotations

from collections.abc import Collection

from botkit.engine.router.leased import LeasedWindows, SlotNews
from botkit.model.clock import Nanos
from botkit.model.limits import LimitTable


def replayed_windows(table: LimitTable, pools: Collection[str]) -> LeasedWindows:
    """The shared windows of a run that is replayed, those of ``pools``. They report to nobody."""
    return LeasedWindows(table, _ignore, endpoints=[e for e, row in table.endpoints.items() if row.pool in pools])


def _ignore(pool: str, what: SlotNews, key: int, arrives_by: Nanos) -> None:
    """What came of it is in the recording."""
