"""The shared windows of a run that is replayed: what was leased stands in the recording."""

from __future__ import annotations

from collections.abc import Collection

from botkit.engine.router.leased import LeasedPools, SlotNews
from botkit.model.clock import Nanos
from botkit.model.limits import LimitTable


def replayed_pools(table: LimitTable, pools: Collection[str]) -> LeasedPools:
    """The shared counters of a run that is replayed. They report to nobody."""
    return LeasedPools(table, _ignore, endpoints=[e for e, row in table.endpoints.items() if row.pool in pools])


def _ignore(pool: str, what: SlotNews, key: int, arrives_by: Nanos) -> None:
    """What came of it is in the recording."""
