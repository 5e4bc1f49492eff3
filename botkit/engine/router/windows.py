"""One rate-limit window as an object over time: which of its slots are taken, and when the next one is free.

The rule: **a slot is held from the moment a request is granted until its answer has been read plus one window.**
Take the latest arrival that any server window of that length counts. Every other arrival of that window came less
than one window earlier, so its answer, which came after its arrival, was read less than one window before; its slot
is therefore still held at the grant of the latest one. Held slots never exceed the limit, hence neither do the
arrivals of any server window: sliding, fixed (any phase) or bucket counting, whatever the network does.

Rejected: a log stamped at send, a leaky or token bucket, GCRA. Each lets requests bunch up on their way, and counted at
the server up to twice the limit arrived in one window. Rejected as well: an allowance for "usual" latency below the
limit, which wastes slots on calm days and is exceeded on others.
"""

from __future__ import annotations

import heapq
from collections import deque

from botkit.model.clock import NS_PER_MS, Nanos
from botkit.model.limits import Scope, WindowLimit

#: how far the exchange's clock may run apart from ours within a window, in parts per million
CLOCK_DRIFT_PPM = 100
#: what is added to every window for clocks that tick in milliseconds, ours and the exchange's
CLOCK_GRAIN_NS = 2 * NS_PER_MS
#: a 429 lowers the limit to four fifths, never below a quarter of the documented one ...
LOWER_NUMERATOR, LOWER_DENOMINATOR, LEAST_DIVISOR = 4, 5, 4
#: ... and every window that passes then gives a twentieth of the documented limit back
RESTORE_DIVISOR = 20


def hold_ns(length: Nanos) -> Nanos:
    """How long a slot stays taken after the answer was read: the window, clock drift and clock grain."""
    return length + length * CLOCK_DRIFT_PPM // 1_000_000 + CLOCK_GRAIN_NS


class SlotLog:
    """A window's slots in memory. Calls come in the order of time; every operation is O(log n) or better, amortised."""

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
        # answers are read in the order of time and each cools equally long, so these are ascending without sorting
        self._cooling: deque[Nanos] = deque()
        # (until, key) of slots held longer; an entry that is no longer in _late_until with that time is void
        self._late: list[tuple[Nanos, int]] = []
        self._late_until: dict[int, Nanos] = {}

    @property
    def limit(self) -> int:
        """Slots in force now: the documented limit, or less for a while after a 429."""
        return self._limit

    def free(self, now: Nanos) -> int:
        """Slots that may be taken at ``now``. Negative when the limit was lowered below what is held."""
        cooling = self._cooling
        while cooling and cooling[0] <= now:
            cooling.popleft()
        if self._late:
            self._expire_late(now)
        if self._restore_at is not None:
            self._restore(now)
        return self._limit - self._in_flight - len(cooling) - len(self._late_until)

    def held(self, now: Nanos) -> int:
        """Slots taken at ``now``."""
        free = self.free(now)  # first: time may have given a part of the limit back
        return self._limit - free

    def take(self) -> None:
        """Take one slot; `free` has just said that there is one."""
        self._in_flight += 1
        taken = self._in_flight + len(self._cooling) + len(self._late_until)
        if taken > self.peak:
            self.peak = taken
            assert taken <= self.window.requests, f"{taken} slots of {self.window} taken"

    def release(self, now: Nanos) -> None:
        """The answer was read at ``now``: the slot cools down for one window."""
        assert self._in_flight > 0
        self._in_flight -= 1
        until = now + self.hold
        cooling = self._cooling
        # a clock that was set back holds slots longer, never shorter
        cooling.append(until if not cooling or until >= cooling[-1] else cooling[-1])

    def give_back(self) -> None:
        """No byte of the request was written: its slot is free at once."""
        assert self._in_flight > 0
        self._in_flight -= 1

    def hold_late(self, key: int, arrives_by: Nanos) -> None:
        """The request on its way may arrive until ``arrives_by``: its slot is held for one window more, as ``key``."""
        assert self._in_flight > 0
        self._in_flight -= 1
        self.cool_down(key, arrives_by)

    def cool_down(self, key: int, arrives_by: Nanos) -> None:
        """Count a request of an earlier run, which arrived or may arrive until ``arrives_by``, for one window more."""
        assert key not in self._late_until, key
        until = arrives_by + self.hold
        self._late_until[key] = until
        heapq.heappush(self._late, (until, key))

    def shorten(self, key: int, arrives_by: Nanos) -> None:
        """What is held late under ``key`` is known to arrive no later than ``arrives_by``. Unknown keys are ignored."""
        held = self._late_until.get(key)
        until = arrives_by + self.hold
        if held is not None and until < held:
            self._late_until[key] = until
            heapq.heappush(self._late, (until, key))

    def open_at(self, now: Nanos, needed: int) -> Nanos | None:
        """The earliest time from ``now`` at which ``needed`` slots are free; None: only an answer can bring it."""
        missing = needed - self.free(now)
        if missing <= 0:
            return now
        cooling = self._cooling
        if not self._late and self._restore_at is None:
            return cooling[missing - 1] if missing <= len(cooling) else None
        return self._open_among_late(missing)

    def next_release(self, now: Nanos) -> Nanos:
        """When the next slot comes free, as far as can be told; slots on their way count as answered at ``now``."""
        cooling = self._cooling
        first = cooling[0] if cooling else now + self.hold
        if self._late and self._late[0][0] < first:
            first = self._late[0][0]
        return first if first > now else now

    def releases(self, now: Nanos) -> tuple[Nanos, ...]:
        """When each of the slots that are not on their way comes free, ascending."""
        self.free(now)
        return tuple(heapq.merge(self._cooling, sorted(self._late_until.values())))

    def lower(self, now: Nanos) -> None:
        """A 429 proved that somebody else counts into this window: use four fifths until time has given it back."""
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
        """`open_at` where slots are held late or the limit was lowered; looks at no more than the window's slots."""
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
