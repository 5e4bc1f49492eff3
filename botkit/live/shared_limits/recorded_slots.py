"""Shared windows in the recording of a run: what others gave or took comes from outside, and is written down.

How many slots are leased at a moment hangs on other processes and on when a message came. A recording has the changes
before each call on the engine; between two calls nothing but the engine itself takes slots, which a replay does too.
"""

from __future__ import annotations

from collections.abc import Collection

from botkit.live.clock import DriverClock
from botkit.live.shared_limits.leases import LeasedPool
from botkit.live.shared_limits.ledger import Message, Reply
from botkit.live.shared_limits.slots import Identity, LedgerUnreachable, SharedLimits
from botkit.model.clock import Nanos
from botkit.model.inputs import SlotsChanged
from botkit.model.limits import LimitTable


class SlotRecord:
    """Notices what became of the shared windows since the last call on the engine."""

    def __init__(self, shared: SharedLimits) -> None:
        self._shared = shared
        self._messages = -1
        self._good = (False, False)
        self._totals: dict[str, int] = {}

    def changed(self) -> SlotsChanged | None:
        """What changed since it was asked last, if anything did."""
        shared = self._shared
        good = shared.leases_are_good()
        if shared.messages == self._messages and good == self._good:
            return None
        self._messages = shared.messages
        moved: dict[str, int] = {}
        for pool in shared.pools:
            total = pool.stock + pool.taken  # what the engine took itself is no news
            before = self._totals.get(pool.name, 0)
            if total != before:
                moved[pool.name] = total - before
                self._totals[pool.name] = total
        if not moved and good == self._good:
            return None
        self._good = good
        return SlotsChanged(moved, good)


class ReplayedLimits(SharedLimits):
    """The shared windows of a run that is replayed. They speak to nobody."""

    def __init__(self, table: LimitTable, pools: Collection[str] | None, clock: DriverClock) -> None:
        """``pools``: the counters that were shared; None: all."""
        super().__init__(
            table,
            _Nobody(),
            identity=Identity(venue="", account=""),
            holder="",
            clock=clock,
            latest_accept_ns=0,
            read_latest_ns=0,
            steady=clock,
        )
        self._shared_pools = None if pools is None else set(pools)
        self._good = (False, False)

    def take_in(self, changed: SlotsChanged) -> None:
        """An entry of the recording."""
        self._good = changed.are_good
        for name, count in changed.moved.items():
            self._pools[name].stock += count

    def leases_are_good(self) -> tuple[bool, bool]:
        """As they were in the run."""
        return self._good

    def changed(self) -> None:
        """There is nobody to tell."""

    def asked(self, pool: LeasedPool) -> None:
        """What came of it is in the recording."""

    def remember(self, pool: LeasedPool, key: int, at: Nanos) -> None:
        """There is nobody to tell again."""


class _Nobody:
    name = "a recording"

    async def call(self, message: Message) -> Reply:
        raise LedgerUnreachable("a replay speaks to nobody")

    async def close(self) -> None:
        pass
