"""The ledger of request slots: the rule by which bots share the exchange's windows, independent of where the ledger is
stored.

The ledger is a plain value with methods, without I/O or a clock. `in_process`, `broker` and `redis` only determine
where the value is stored and which time is passed in.

An engine turn cannot wait for another process. A process therefore *leases* a few slots at a time before it needs them.
A leased slot counts from the moment it is leased, before any request is sent. Later the slot is either returned unused,
or held for one window after the request's response was read or after its latest possible arrival. The guarantee that
`botkit.engine.router.windows` proves for one process therefore applies to all processes combined.

A silent process is presumed dead, and each of its leased slots is counted as a request still in flight.

A new ledger has no record of the requests counted by a lost ledger. Answered requests count for one window. Requests
from dead processes may arrive up to `SharedPool.late` after the loss. A window stays closed for the first of these two
periods. In a large window, at most half of the slots are ever unanswered, so the other half is opened after the first
period. Small windows stay closed for both periods. (If two ledgers are lost within that time, their unanswered requests
may add up to more than half of the slots.)
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from random import Random
from typing import Literal

import msgspec

from botkit.engine.router.pacing import LEAST_PACED, Pace
from botkit.engine.router.windows import (
    LEAST_DIVISOR,
    LOWER_DENOMINATOR,
    LOWER_NUMERATOR,
    RESTORE_DIVISOR,
    hold_ns,
)
from botkit.live.limits.protocol import (
    Join,
    Leave,
    LedgerReply,
    Message,
    Report,
    SharedPool,
    Sync,
    WindowUsage,
)
from botkit.model.clock import NS_PER_MS, NS_PER_S, Nanos

#: how long a process may be silent before it is declared dead
DEAD_AFTER: Nanos = 5 * NS_PER_S
#: a waiting process keeps its priority if it repeats its request at least this often
WAITER_PATIENCE: Nanos = 150 * NS_PER_MS
#: how long to wait before requesting slots again if only a response to another process can free a slot
UNKNOWN_RETRY: Nanos = 50 * NS_PER_MS
#: the minimum wait before asking again if other processes have waited longer
BEHIND_OTHERS_RETRY: Nanos = 5 * NS_PER_MS
#: windows of at least this size never have more than half of their slots unanswered
LEAST_HALVED = 100


class Window(msgspec.Struct, array_like=True):
    """A shared window with its slots, its pace, and the holders waiting for it."""

    requests: int
    per_s: int
    #: the longest time after a process's death during which its requests may still arrive
    late: Nanos = 0
    leased: int = 0
    #: when each slot that is held but not leased becomes free, in ascending order
    held: list[Nanos] = []
    #: release times of slots that may be reported again, keyed by holder and key
    named: dict[str, Nanos] = {}
    #: the current limit, which is lowered for a while after a 429, and the time at which the next part of it is
    #: restored
    in_force: int = 0
    restore_at: Nanos | None = None
    lost_at: Nanos | None = None
    #: the time of the next request if all requests were sent at an even pace, as in `Pace`
    virtual: Nanos = 0
    #: holder -> (waiting since, last asked at)
    waiters: dict[str, tuple[Nanos, Nanos]] = {}
    #: a process that has not asked again within this time is no longer considered waiting
    patience: Nanos = WAITER_PATIENCE

    def __post_init__(self) -> None:
        self.in_force = self.in_force or self.requests

    @property
    def length(self) -> Nanos:
        """The length of the window."""
        return self.per_s * NS_PER_S

    @property
    def hold(self) -> Nanos:
        """How long a slot is held after the response to its request."""
        return hold_ns(self.length)

    @property
    def most_unanswered(self) -> int:
        """The maximum number of slots that may be unanswered at the same time."""
        return self.requests // 2 if self.requests >= LEAST_HALVED else self.requests

    @property
    def earliest(self) -> Nanos:
        """The earliest time of the next lease at an even pace."""
        if self.requests < LEAST_PACED:
            return 0
        return self.virtual - Pace.burst_of(self.requests) * (self.length // self.requests) + 1

    def advance(self, now: Nanos) -> None:
        """Free the slots that have expired."""
        passed = bisect_right(self.held, now)
        if passed:
            del self.held[:passed]
            if self.named:
                self.named = {name: until for name, until in self.named.items() if until > now}
        while self.restore_at is not None and self.restore_at <= now:
            self.in_force = min(self.requests, self.in_force + max(1, self.requests // RESTORE_DIVISOR))
            self.restore_at = self.restore_at + self.length if self.in_force < self.requests else None

    def kept_for_lost(self, now: Nanos) -> int:
        """Return the number of slots reserved for requests that were recorded only in a lost ledger."""
        if self.lost_at is None or now >= self.lost_at + self.late + self.hold:
            return 0
        return self.requests if now < self.lost_at + self.hold else self.most_unanswered

    def closed_until(self, now: Nanos) -> Nanos:
        """Return the time until which this window is closed after a ledger was lost. It is ``now`` or earlier if the
        window is open.
        """
        if self.lost_at is None:
            return now
        halved = self.most_unanswered < self.requests
        return self.lost_at + self.hold + (0 if halved else self.late)

    def free(self, now: Nanos) -> int:
        """Return the number of free slots. The number is negative after a 429, or after lost requests were declared
        again.
        """
        return self.in_force - self.leased - len(self.held) - self.kept_for_lost(now)

    def is_open(self, now: Nanos, *, is_urgent: bool) -> bool:
        """Return whether a free slot may be leased at ``now``."""
        return self.unanswered(now) < self.most_unanswered and (is_urgent or self.earliest <= now)

    def unanswered(self, now: Nanos) -> int:
        """Return the number of slots whose requests may still arrive, including leased slots that are unused."""
        # a slot is held for at most one window after its response
        return self.leased + len(self.held) - bisect_right(self.held, now + self.hold)

    def open_at(self, now: Nanos, needed: int, *, is_urgent: bool) -> Nanos | None:
        """Return the time at which to request ``needed`` slots again, or None if only a response can free them."""
        at = max(now, self.closed_until(now))
        missing = needed - self.free(now)
        if self.unanswered(now) >= self.most_unanswered:
            return None
        if missing > 0 and at == now:
            times = [] if self.restore_at is None else [self.restore_at]
            if missing <= len(self.held):
                times.append(self.held[missing - 1])
            if not times:
                return None
            at = min(times)
        return at if is_urgent else max(at, self.earliest)

    def hold_until(self, until: Nanos, name: str | None = None) -> None:
        """Hold a slot without a lease. If ``name`` already holds a slot, the slot's release time can only move
        earlier.
        """
        if name is not None:
            known = self.named.get(name)
            if known is not None:
                if known <= until:
                    return
                del self.held[bisect_left(self.held, known)]
            self.named[name] = until
        insort(self.held, until)

    def lease(self, now: Nanos, left: int, *, is_urgent: bool) -> None:
        """Lease a slot. ``left`` is the number of slots that remain for requests of the same kind."""
        self.leased += 1
        if not is_urgent and self.requests >= LEAST_PACED:
            # spread the few remaining slots over the time until the next one becomes free
            following = self.held[0] if self.held else now + self.hold
            if self.lost_at is not None and self.kept_for_lost(now):
                following = min(following, self.lost_at + self.late + self.hold)
            step = max(self.length // self.requests, (following - now) // (left + 1))
            self.virtual = max(self.virtual, now) + step

    def lower(self, now: Nanos) -> None:
        """Lower the limit for a while after a 429."""
        least = max(1, self.requests // LEAST_DIVISOR)
        self.in_force = max(least, self.in_force * LOWER_NUMERATOR // LOWER_DENOMINATOR)
        self.restore_at = now + self.length if self.in_force < self.requests else None

    def waits_since(self, holder: str, now: Nanos) -> Nanos:
        """Return the time since which ``holder`` has been waiting for slots."""
        since, asked = self.waiters.get(holder, (now, now))
        return since if asked + self.patience > now else now

    def owed_before(self, holder: str, now: Nanos) -> int:
        """Return the number of other holders that have waited longer than ``holder`` and are still requesting slots."""
        if not self.waiters:
            return 0
        own = self.waits_since(holder, now)
        return sum(
            since < own and asked + self.patience > now
            for name, (since, asked) in self.waiters.items()
            if name != holder
        )


class Holder(msgspec.Struct, array_like=True):
    """A process that uses the ledger: its leases in each pool, the time of its last message, and the reply to that
    message.
    """

    pools: tuple[SharedPool, ...]
    leased: list[int]
    heard: Nanos
    reply: LedgerReply


class SlotLedger(msgspec.Struct, array_like=True):
    """The slots of all shared windows. Times are nanoseconds on a clock that never jumps forward. Steps backward are
    ignored.
    """

    id: str
    dead_after: Nanos = DEAD_AFTER
    now: Nanos = 0
    lost_at: Nanos | None = None
    windows: dict[str, Window] = {}
    holders: dict[str, Holder] = {}
    waiter_patience: Nanos = WAITER_PATIENCE

    def apply(self, message: Message, now: Nanos) -> LedgerReply:
        """Apply a message and return the reply."""
        now = self._advance(now)
        if isinstance(message, Sync):
            return self._sync(message, now)
        if isinstance(message, Join):
            return self._rename(message, now) if message.renames else self._join(message, now)
        if isinstance(message, Leave):
            self._end(message.holder, now, message.sent)
            return self._reply()
        return msgspec.structs.replace(self._reply(), usage=self._usage())

    def lose(self, now: Nanos) -> None:
        """Assume that an earlier ledger was lost, so that requests unknown to this ledger may have been sent until
        ``now``.
        """
        self.lost_at = now = self._advance(now)
        for window in self.windows.values():
            window.lost_at = now

    def keep_alive(self, now: Nanos) -> None:
        """Exclude the time before ``now`` from the holders' silence, because no message could be received during that
        time.
        """
        for holder in self.holders.values():
            holder.heard = max(holder.heard, now)

    # -- messages -----------------------------------------------------------------------------------------------------

    def _advance(self, now: Nanos) -> Nanos:
        self.now = now = max(now, self.now)
        for window in self.windows.values():
            window.advance(now)
        for name in [name for name, holder in self.holders.items() if holder.heard + self.dead_after < now]:
            self._end(name, now)
        return now

    def _join(self, message: Join, now: Nanos) -> LedgerReply:
        self._end(message.holder, now)
        self._forget_unused(now)
        for pool in message.pools:
            for shared in pool.windows:
                window = self.windows.get(shared.key)
                if window is None:
                    window = Window(shared.requests, shared.per_s, lost_at=self.lost_at, patience=self.waiter_patience)
                    self.windows[shared.key] = window
                window.late = max(window.late, pool.late)
                if message.known not in ("", self.id):
                    window.lost_at = now  # the process last used a different ledger, which is lost
        reply = self._reply()
        self.holders[message.holder] = Holder(message.pools, [0] * len(message.pools), now, reply)
        return reply

    def _rename(self, message: Join, now: Nanos) -> LedgerReply:
        before, after = message.renames, message.holder
        holder = self.holders.pop(before, None)
        if holder is None:  # renamed already, by a message whose reply was lost, or presumed dead
            return self._reply("ok" if after in self.holders else "unknown holder")
        holder.heard = now
        self.holders[after] = holder
        for window in self.windows.values():
            if before in window.waiters:
                window.waiters[after] = window.waiters.pop(before)
            for name in [name for name in window.named if name.rpartition(":")[0] == before]:
                window.named[after + name[len(before) :]] = window.named.pop(name)
        return self._reply()

    def _forget_unused(self, now: Nanos) -> None:
        used = {shared.key for holder in self.holders.values() for pool in holder.pools for shared in pool.windows}
        self.windows = {
            key: window
            for key, window in self.windows.items()
            if key in used or window.held or window.restore_at is not None or window.kept_for_lost(now)
        }

    def _sync(self, message: Sync, now: Nanos) -> LedgerReply:
        name = message.holder
        holder = self.holders.get(name)
        if holder is None:
            return self._reply("unknown holder")
        holder.heard = now
        if message.number == holder.reply.number:
            return holder.reply
        if message.number < holder.reply.number or any(r.returned > holder.leased[r.pool] for r in message.reports):
            # the process's leases and this ledger's are inconsistent: treat the leases as requests in flight and let
            # the process rejoin
            self._end(name, now)
            return self._reply("unknown holder")
        for report in message.reports:
            self._take_report(name, holder, report, now)
        granted, retry = [], []
        for report in message.reports:
            urgent = self._grant(name, holder, report.pool, report.wanted_urgently, now, is_urgent=True)
            plain = self._grant(name, holder, report.pool, report.wanted, now, is_urgent=False)
            if urgent + plain:
                granted.append((report.pool, urgent + plain))
            wait = self._note_wait(name, holder, report, urgent, plain, now)
            if wait is not None:
                retry.append((report.pool, wait))
        closed = [
            (place, max(window.closed_until(now) for window in self._windows(pool)) - now)
            for place, pool in enumerate(holder.pools)
        ]
        holder.reply = LedgerReply(
            status="ok",
            ledger=self.id,
            number=message.number,
            granted=tuple(granted),
            retry=tuple(retry),
            closed=tuple((place, wait) for place, wait in closed if wait > 0),
        )
        return holder.reply

    def _take_report(self, name: str, holder: Holder, report: Report, now: Nanos) -> None:
        holder.leased[report.pool] -= report.returned
        for window in self._windows(holder.pools[report.pool]):
            window.leased -= report.returned
            for key, wait in report.arrivals:
                window.hold_until(now + wait + window.hold, f"{name}:{key}" if key else None)
            window.advance(now)
            if report.lower:
                window.lower(now)

    def _grant(self, name: str, holder: Holder, place: int, wanted: int, now: Nanos, *, is_urgent: bool) -> int:
        if not wanted:
            return 0
        windows = self._windows(holder.pools[place])
        kept = max(window.owed_before(name, now) for window in windows)
        if not is_urgent:
            kept += holder.pools[place].reserve
        granted = 0
        while granted < wanted:
            left = min(window.free(now) for window in windows) - kept - 1
            if left < 0 or not all(window.is_open(now, is_urgent=is_urgent) for window in windows):
                break
            for window in windows:
                window.lease(now, left, is_urgent=is_urgent)
            granted += 1
        holder.leased[place] += granted
        return granted

    def _note_wait(
        self, name: str, holder: Holder, report: Report, urgent: int, plain: int, now: Nanos
    ) -> Nanos | None:
        """Update the waiting time, which restarts for a holder that was granted any slots. Return how long to wait
        before the next request, or None if the holder got all the slots that it needs.
        """
        pool = holder.pools[report.pool]
        windows = self._windows(pool)
        misses_urgent = urgent < report.wanted_urgently
        if not misses_urgent and plain >= report.wanted:
            for window in windows:
                window.waiters.pop(name, None)
            return None
        for window in windows:
            window.waiters[name] = (now if urgent + plain else window.waits_since(name, now), now)
        needed = 1 if misses_urgent else 1 + pool.reserve
        times = [window.open_at(now, needed, is_urgent=misses_urgent) for window in windows]
        known = [at for at in times if at is not None]
        wait = max(known) - now if len(known) == len(times) else UNKNOWN_RETRY
        if any(window.owed_before(name, now) for window in windows):
            wait = max(wait, BEHIND_OTHERS_RETRY)
        return max(wait, 1)

    def _end(self, name: str, now: Nanos, sent: dict[str, tuple[Nanos, ...]] | None = None) -> None:
        """Remove the holder ``name``. ``sent`` lists the requests that it sent. Without ``sent``, its leases are
        counted as requests in flight.
        """
        holder = self.holders.pop(name, None)
        if holder is None:
            return
        for pool, leased in zip(holder.pools, holder.leased, strict=True):
            waits = [pool.late] * leased
            if sent is not None:
                # the ledger may already count some of these requests as answered, but not the latest ones
                waits = sorted(sent.get(pool.name, ()), reverse=True)[:leased]
            for window in self._windows(pool):
                window.waiters.pop(name, None)
                window.leased -= leased
                for wait in waits:
                    window.hold_until(now + wait + window.hold)
                window.advance(now)

    def _windows(self, pool: SharedPool) -> list[Window]:
        return [self.windows[shared.key] for shared in pool.windows]

    # -- reports ------------------------------------------------------------------------------------------------------

    def _reply(self, status: Literal["ok", "unknown holder"] = "ok") -> LedgerReply:
        return LedgerReply(status=status, ledger=self.id)

    def _usage(self) -> tuple[WindowUsage, ...]:
        holders = [shared.key for h in self.holders.values() for pool in h.pools for shared in pool.windows]
        return tuple(
            WindowUsage(
                key=key,
                requests=window.requests,
                per_s=window.per_s,
                leased=window.leased,
                held=window.leased + len(window.held),
                in_force=window.in_force,
                holders=holders.count(key),
            )
            for key, window in self.windows.items()
        )


def new_ledger(random: Random) -> SlotLedger:
    """Create an empty ledger with a new id, so that processes can recognise that it is new."""
    return SlotLedger(f"{random.getrandbits(64):016x}")
