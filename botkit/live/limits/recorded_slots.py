"""The shared windows of a replayed run, whose leases come from the recording."""

from __future__ import annotations

from collections.abc import Collection

from botkit.engine.router.leased import LeasedPools, SlotNews
from botkit.model.clock import Nanos
from botkit.model.limits import LimitTable


def replayed_pools(table: LimitTable, pools: Collection[str]) -> LeasedPools:
    """Return the shared counters of a replayed run. They do not report to a ledger."""
    return LeasedPools(table, _ignore, endpoints=[e for e, row in table.endpoints.items() if row.pool in pools])


def _ignore(pool: str, what: SlotNews, key: int, arrives_by: Nanos) -> None:
    """Do nothing, because the results are in the recording."""
