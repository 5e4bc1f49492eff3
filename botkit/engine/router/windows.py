"""Tracks the slots of one rate-limit window: which are taken, and when the next becomes free.

The rule: **a slot is held from the moment a request is granted until one window after its response was read.** Consider
any window of that length at the server, and the latest request that arrived in it. Every other request in the window
arrived less than one window before the latest one. Its response was read after its arrival, if at all, so its slot was
still held when the latest request was granted. The number of held slots never exceeds the limit, so the number of
arrivals in any server window never exceeds it either, whether the server uses sliding windows, fixed windows (any
phase) or buckets, and regardless of network behavior.

Rejected: a log of send times, a leaky or token bucket, GCRA. With each of these, requests can bunch up in transit, and
up to twice the limit can arrive in one window at the server. Also rejected: a margin for the usual latency, which
wastes slots on quiet days and is exceeded on busy ones.
"""

from __future__ import annotations

import heapq
from collections import deque

from botkit.engine.router.pacing import Pace
from botkit.model.clock import NS_PER_MS, Nanos
from botkit.model.limits import Scope, WindowLimit

#: the maximum drift between the exchange's clock and ours within a window, in parts per million
CLOCK_DRIFT_PPM = 100
#: added to every window because both clocks, ours and the exchange's, tick in milliseconds
CLOCK_GRAIN_NS = 2 * NS_PER_MS
#: a 429 lowers the limit to four fifths, but never below a quarter of the documented limit ...
LOWER_NUMERATOR, LOWER_DENOMINATOR, LEAST_DIVISOR = 4, 5, 4
#: ... and after that, each full window restores a twentieth of the documented limit
RESTORE_DIVISOR = 20


def hold_ns(length: Nanos) -> Nanos:
    """Return how long a slot stays taken after the response was read: the window plus clock drift and resolution."""
    return length + length * CLOCK_DRIFT_PPM // 1_000_000 + CLOCK_GRAIN_NS


class SlotLog:
    """The slots of one window. Calls must be in chronological order; every operation is amortised O(log n) or
    better.
    """

    __slots__ = (
        "_cooling",
        "_in_flight",
        "_late",
        "_late_until",
        "_limit",
        "_restore_at",
        "hold",
        "peak",
        "scopes",
        "window",
    )

    def __init__(self, window: WindowLimit, scopes: tuple[Scope, ...] | None = None) -> None:
        assert window.requests > 0, window
        self.window = window
        self.scopes = scopes or (window.scope,)
        self.hold = hold_ns(window.length)
        self.peak = 0
        self._limit = window.requests
        self._restore_at: Nanos | None = None
        self._in_flight = 0
        # responses are read in chronological order and all slots cool down for the same duration, so these times are in
        # ascending order without sorting
        self._cooling: deque[Nanos] = deque()
        # (until, key) of slots held longer; an entry is valid only if _late_until has the same time for its key
        self._late: list[tuple[Nanos, int]] = []
        self._late_until: dict[int, Nanos] = {}

    @property
    def limit(self) -> int:
        """The current limit: the documented limit, or less for a while after a 429."""
        return self._limit

    def free(self, now: Nanos) -> int:
        """Return the number of slots that may be taken at ``now``; negative if the limit was lowered below the number
        of held slots.
        """
        cooling = self._cooling
        while cooling and cooling[0] <= now:
            cooling.popleft()
        if self._late:
            self._expire_late(now)
        if self._restore_at is not None:
            self._restore(now)
        return self._limit - self._in_flight - len(cooling) - len(self._late_until)

    def held(self, now: Nanos) -> int:
        """Return the number of slots taken at ``now``."""
        free = self.free(now)  # called first, because part of the limit may have been restored since the last call
        return self._limit - free

    def take_beyond(self, kept: int, now: Nanos, pace: Pace | None) -> int:
        """Return how many slots are free, and take one if there are more than ``kept``. Combines `free`, `take` and a
        call to `Pace.sent` with the time of the `next_release`.
        """
        cooling = self._cooling
        if self._late or self._restore_at is not None:
            free = self.free(now)
        else:
            while cooling and cooling[0] <= now:
                cooling.popleft()
            free = self._limit - self._in_flight - len(cooling)
        if free > kept:
            self._in_flight += 1
            taken = self._limit - free + 1
            if taken > self.peak:
                self.peak = taken
                assert taken <= self.window.requests, f"{taken} slots of {self.window} taken"
            if pace is not None:
                release = cooling[0] if cooling else now + self.hold
                pace.sent(now, free - kept - 1, self.next_release(now) if self._late else release)
        return free

    def take(self) -> None:
        """Take one slot. The caller must check `free` immediately before."""
        self._in_flight += 1
        taken = self._in_flight + len(self._cooling) + len(self._late_until)
        if taken > self.peak:
            self.peak = taken
            assert taken <= self.window.requests, f"{taken} slots of {self.window} taken"

    def release(self, now: Nanos) -> None:
        """Hold a slot for one more window, because its response was read at ``now``."""
        assert self._in_flight > 0
        self._in_flight -= 1
        until = now + self.hold
        cooling = self._cooling
        # if the clock is set back, slots are held longer than necessary, never shorter
        cooling.append(until if not cooling or until >= cooling[-1] else cooling[-1])

    def give_back(self) -> None:
        """Free the slot immediately, because no byte of the request was written."""
        assert self._in_flight > 0
        self._in_flight -= 1

    def hold_late(self, key: int, arrives_by: Nanos) -> None:
        """Hold the slot of a request that may arrive as late as ``arrives_by``. The slot is held under ``key`` for one
        more window after that time.
        """
        assert self._in_flight > 0
        self._in_flight -= 1
        self.cool_down(key, arrives_by)

    def cool_down(self, key: int, arrives_by: Nanos) -> None:
        """Count a request from an earlier run that arrived, or may arrive, by ``arrives_by``. The request is counted
        for one more window after that time.
        """
        assert key not in self._late_until, key
        until = arrives_by + self.hold
        self._late_until[key] = until
        heapq.heappush(self._late, (until, key))

    def shorten(self, key: int, arrives_by: Nanos) -> None:
        """Shorten a late hold: the request with this ``key`` arrives no later than ``arrives_by``. Unknown keys are
        ignored.
        """
        held = self._late_until.get(key)
        until = arrives_by + self.hold
        if held is not None and until < held:
            self._late_until[key] = until
            heapq.heappush(self._late, (until, key))

    def open_at(self, now: Nanos, needed: int) -> Nanos | None:
        """Return the earliest time, not before ``now``, at which ``needed`` slots are free, or None if only a response
        can free them.
        """
        missing = needed - self.free(now)
        if missing <= 0:
            return now
        cooling = self._cooling
        if not self._late and self._restore_at is None:
            return cooling[missing - 1] if missing <= len(cooling) else None
        return self._open_among_late(missing)

    def next_release(self, now: Nanos) -> Nanos:
        """Estimate when the next slot becomes free, assuming that the responses to all requests in flight arrive at
        ``now``.
        """
        cooling = self._cooling
        first = cooling[0] if cooling else now + self.hold
        if self._late and self._late[0][0] < first:
            first = self._late[0][0]
        return first if first > now else now

    def lower(self, now: Nanos) -> None:
        """Lower the limit to four fifths until it recovers, because a 429 proved that another client also uses this
        window.
        """
        documented = self.window.requests
        least = max(1, documented // LEAST_DIVISOR)
        self._limit = max(least, self._limit * LOWER_NUMERATOR // LOWER_DENOMINATOR)
        self._restore_at = now + self.window.length if self._limit < documented else None

    # -- the rare cases ---------------------------------------------------------------------------------------------

    def _expire_late(self, now: Nanos) -> None:
        late, late_until = self._late, self._late_until
        while late:
            until, key = late[0]
            if late_until.get(key) == until:
                if until > now:
                    return
                del late_until[key]
            heapq.heappop(late)

    def _restore(self, now: Nanos) -> None:
        documented, length = self.window.requests, self.window.length
        step = max(1, documented // RESTORE_DIVISOR)
        at = self._restore_at
        while at is not None and at <= now:
            self._limit = min(documented, self._limit + step)
            at = at + length if self._limit < documented else None
        self._restore_at = at

    def _open_among_late(self, missing: int) -> Nanos | None:
        """Compute `open_at` while slots are held longer or the limit is lowered. Examines at most as many entries as
        the window has slots.
        """
        documented, length = self.window.requests, self.window.length
        step = max(1, documented // RESTORE_DIVISOR)
        limit, restore_at = self._limit, self._restore_at
        for until in heapq.merge(self._cooling, sorted(self._late_until.values())):
            while restore_at is not None and restore_at <= until:
                missing -= min(step, documented - limit)
                limit = min(documented, limit + step)
                if missing <= 0:
                    return restore_at
                restore_at = restore_at + length if limit < documented else None
            missing -= 1
            if missing <= 0:
                return until
        while restore_at is not None:
            missing -= min(step, documented - limit)
            limit = min(documented, limit + step)
            if missing <= 0:
                return restore_at
            restore_at = restore_at + length if limit < documented else None
        return None
