"""The books of windows that several processes share: who leases how many slots, and which ones cool down.

Without I/O and without a clock, so that the local broker, its restart from its log, and the tests run the same code;
the script in ``ledger.lua`` does the same inside Redis, and a test holds one against the other.

A turn of the engine cannot wait for an answer from another process, so a process *leases* slots a few at a time before
it needs them. A leased slot counts as taken for everybody from the moment of the lease, which is before the request is
granted; it is given back unused, or cools down for one window from when its answer was read, or is held late when the
outcome is unknown. So the rule that `botkit.engine.router.windows` proves for one process holds for all of them
together. The ages and times in messages are counted when they are sent, and count from when they are read here:
never too short.

A holder that is silent is declared dead. Whatever it had leased may have been sent up to that moment and be on its way,
so it is held as an unknown outcome, and frees itself.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from random import Random
from typing import Literal, TypeAlias

import msgspec

from botkit.engine.router.pacing import LEAST_PACED, Pace
from botkit.engine.router.windows import SlotLog
from botkit.model.clock import NS_PER_US, Nanos
from botkit.model.limits import Scope, WindowLimit

#: a holder that was not heard of for so long is dead
DEAD_AFTER_US = 5_000_000
#: a process whose wants could not be met goes before others while it keeps asking at least so often
WAITER_PATIENCE_US = 150_000
#: what is said when nothing but another holder's answer can bring a slot
UNKNOWN_RETRY_US = 50_000
#: ... and what is said at least to those behind whom others wait
BEHIND_OTHERS_RETRY_US = 5_000


class SharedWindow(msgspec.Struct, frozen=True, array_like=True):
    """One window of one scope. ``key`` names it among all processes; equal keys have equal windows."""

    key: str
    requests: int
    per_s: int
    hold_us: int


class SharedPool(msgspec.Struct, frozen=True, array_like=True):
    """A counter of the exchange as one process sees it: a request takes a slot in every window, or in none.

    ``late_us``: how long after this process was last heard of a request of it may still arrive. ``reserve``: slots
    that stay free for urgent requests.
    """

    name: str
    late_us: int
    reserve: int
    windows: tuple[SharedWindow, ...]


class Report(msgspec.Struct, array_like=True, kw_only=True):
    """What became of a pool's slots since the last message, and what is wanted. ``pool`` is its place in `Join.pools`.

    ``cooled``: microseconds since each answer was read. ``late``, ``occupied``: (key, microseconds until the latest
    arrival) of slots that were leased, and of requests that never were; ``shortened``: the same, of keys known before.
    """

    pool: int
    given_back: int = 0
    cooled: tuple[int, ...] = ()
    late: tuple[tuple[int, int], ...] = ()
    occupied: tuple[tuple[int, int], ...] = ()
    shortened: tuple[tuple[int, int], ...] = ()
    lower: bool = False
    wanted: int = 0
    wanted_urgently: int = 0


class Join(msgspec.Struct, array_like=True, tag=True):
    """A process begins to share. ``known`` is the id of the ledger that it shared before, empty at its start."""

    holder: str
    known: str
    pools: tuple[SharedPool, ...]


class Sync(msgspec.Struct, array_like=True, tag=True):
    """Reports and wants. ``number`` counts up: the same message sent twice is applied once.

    ``jumped``: the ledger's clock ran ahead of this process's, so that nothing it has counted is certain.
    """

    holder: str
    number: int
    reports: tuple[Report, ...] = ()
    jumped: bool = False


class Leave(msgspec.Struct, array_like=True, tag=True):
    """A process ends; what it still leases is on its way.

    Or it is dead, and its successor has read in its journal what it ``sent``: by the pool's name, microseconds until
    the latest arrival of each request, negative once it was answered. Of what it leases the latest of those were sent,
    and the rest was not.
    """

    holder: str
    sent: dict[str, tuple[int, ...]] | None = None


class AskUsage(msgspec.Struct, array_like=True, tag=True):
    """For ``botkit limits --usage``."""


Message: TypeAlias = Join | Sync | Leave | AskUsage


class Reply(msgspec.Struct, array_like=True):
    """``granted``: (pool, slots). ``retry``: (pool, microseconds) for wants that were not met. Times: microseconds."""

    status: Literal["ok", "unknown holder"]
    ledger: str
    time_us: int
    number: int = 0
    granted: tuple[tuple[int, int], ...] = ()
    retry: tuple[tuple[int, int], ...] = ()
    usage: tuple[WindowUsage, ...] = ()
    blocked_us: int = 0


class WindowUsage(msgspec.Struct, array_like=True):
    """One window at one moment: slots leased (unused or on their way), and held in all."""

    key: str
    requests: int
    per_s: int
    leased: int
    held: int
    in_force: int
    holders: int


class Counter(msgspec.Struct, array_like=True):
    """A window in a `Snapshot`: when each slot that is not leased comes free. ``lowered``: (limit in force, when more
    of it comes back) after a 429, empty else."""

    window: SharedWindow
    releases_us: tuple[int, ...]
    blocked_until_us: int
    lowered: tuple[int, ...] = ()


class HolderState(msgspec.Struct, array_like=True):
    """A holder in a `Snapshot`."""

    holder: str
    pools: tuple[SharedPool, ...]
    leased: tuple[int, ...]
    number: int
    reply: Reply


class Snapshot(msgspec.Struct, array_like=True, tag=True):
    """All that a ledger must know after its process was killed."""

    ledger: str
    time_us: int
    counters: tuple[Counter, ...]
    holders: tuple[HolderState, ...]
    distrusted_at_us: int | None = None


class _Window:
    """A shared window: its slots, its pace, and who waits for it."""

    __slots__ = ("blocked_until", "log", "pace", "shared", "waiters")

    def __init__(self, shared: SharedWindow) -> None:
        self.shared = shared
        # the scope is part of the key; which one it is makes no difference here
        self.log = SlotLog(WindowLimit(shared.requests, shared.per_s, Scope.IP))
        self.log.hold = shared.hold_us * NS_PER_US
        self.blocked_until: Nanos = 0
        self.pace: Pace | None = None
        if shared.requests >= LEAST_PACED:
            self.pace = Pace(shared.requests, self.log.window.length, Pace.burst_of(shared.requests))
        self.waiters: dict[str, tuple[Nanos, Nanos]] = {}  # holder -> (since when, last asked)

    def free(self, now: Nanos) -> int:
        return self.log.free(now) if now >= self.blocked_until else 0

    def open_at(self, now: Nanos, needed: int, is_urgent: bool) -> Nanos | None:
        at = self.log.open_at(now, needed)
        if at is None:
            return None
        if not is_urgent and self.pace is not None:
            at = max(at, self.pace.earliest)
        return max(at, self.blocked_until)

    def owed_before(self, holder: str, now: Nanos) -> int:
        """How many others have waited longer than ``holder`` and still ask."""
        if not self.waiters:
            return 0
        own = self.waits_since(holder, now)
        patience = WAITER_PATIENCE_US * NS_PER_US
        return sum(
            since < own and asked + patience > now for name, (since, asked) in self.waiters.items() if name != holder
        )

    def waits_since(self, holder: str, now: Nanos) -> Nanos:
        """Since when ``holder`` has kept asking in vain."""
        since, asked = self.waiters.get(holder, (now, now))
        return since if asked + WAITER_PATIENCE_US * NS_PER_US > now else now


class _Holder:
    """A process that shares."""

    __slots__ = ("heard", "leased", "number", "pools", "reply", "windows")

    def __init__(self, pools: tuple[SharedPool, ...], windows: list[list[_Window]], now: Nanos) -> None:
        self.pools = pools
        self.windows = windows
        self.leased = [0] * len(pools)
        self.heard = now
        self.number = 0
        self.reply: Reply | None = None


class Ledger:
    """Slots of shared windows. Times are nanoseconds of a clock that never jumps; calls come in their order."""

    def __init__(self, ledger: str) -> None:
        self.id = ledger
        self._windows: dict[str, _Window] = {}
        self._holders: dict[str, _Holder] = {}
        self._keys: dict[tuple[str, int], int] = {}  # (holder, its key) -> key in the logs
        self._expiry: list[tuple[Nanos, tuple[str, int]]] = []  # when a key is of no use any more
        self._next_key = 0
        self._distrusted_at: Nanos | None = None

    @property
    def holders(self) -> int:
        """Processes that share at the last time given."""
        return len(self._holders)

    def apply(self, message: Message, now: Nanos) -> Reply:
        """Carry a message out. The caller has ended who was `silent`."""
        while self._expiry and self._expiry[0][0] <= now:
            self._keys.pop(heapq.heappop(self._expiry)[1], None)
        if isinstance(message, Sync):
            return self._sync(message, now)
        if isinstance(message, Join):
            return self._join(message, now)
        if isinstance(message, Leave):
            if message.holder in self._holders:
                self._end(message.holder, now, message.sent)
            return self._reply(now)
        return msgspec.structs.replace(self._reply(now), usage=self._usage(now))

    def block(self, now: Nanos) -> None:
        """Nothing that was counted is certain: let every window, known or not, pass once before a slot is leased."""
        self._distrusted_at = now
        for window in self._windows.values():
            window.blocked_until = max(window.blocked_until, now + window.log.hold)

    def keep_alive(self, now: Nanos) -> None:
        """Nobody could be heard until ``now``: silence before it proves nothing."""
        for holder in self._holders.values():
            holder.heard = now

    # -- messages -----------------------------------------------------------------------------------------------------

    def _join(self, message: Join, now: Nanos) -> Reply:
        windows = [[self._window(shared) for shared in pool.windows] for pool in message.pools]
        if message.holder in self._holders:
            self._end(message.holder, now)
        self._holders[message.holder] = _Holder(message.pools, windows, now)
        if message.known not in ("", self.id):
            # the ledger that this process knew is lost, and with it what processes that are gone had sent
            for pool in windows:
                for window in pool:
                    window.blocked_until = max(window.blocked_until, now + window.log.hold)
        return self._reply(now)

    def _window(self, shared: SharedWindow) -> _Window:
        window = self._windows.get(shared.key)
        if window is None:
            window = self._windows[shared.key] = _Window(shared)
            if self._distrusted_at is not None:
                window.blocked_until = self._distrusted_at + window.log.hold
        return window

    def _sync(self, message: Sync, now: Nanos) -> Reply:
        holder = self._holders.get(message.holder)
        if holder is None:
            return self._reply(now, "unknown holder")
        holder.heard = now
        if message.number == holder.number and holder.reply is not None:
            return holder.reply
        if self._contradicts(holder, message):
            # it knows of leases that were lost here, or the reverse: held as sent, and let it join anew
            self._end(message.holder, now)
            return self._reply(now, "unknown holder")
        if message.jumped:
            self.block(now)
        for report in message.reports:
            self._report(message.holder, holder, report, now)
        granted = []
        retry: list[tuple[int, int]] = []
        for report in message.reports:
            urgent = self._grant(message.holder, holder, report.pool, report.wanted_urgently, now, is_urgent=True)
            plain = self._grant(message.holder, holder, report.pool, report.wanted, now, is_urgent=False)
            if urgent + plain:
                granted.append((report.pool, urgent + plain))
            self._note_wait(message.holder, holder, report, urgent, plain, retry, now)
        blocked = max((w.blocked_until for ws in holder.windows for w in ws), default=0) - now
        reply = Reply(
            status="ok",
            ledger=self.id,
            time_us=now // NS_PER_US,
            number=message.number,
            granted=tuple(granted),
            retry=tuple(retry),
            blocked_us=max(0, blocked // NS_PER_US),
        )
        holder.number = message.number
        holder.reply = reply
        return reply

    @staticmethod
    def _contradicts(holder: _Holder, message: Sync) -> bool:
        if message.number <= holder.number:
            return True
        return any(
            report.given_back + len(report.cooled) + len(report.late) > holder.leased[report.pool]
            for report in message.reports
        )

    def _report(self, name: str, holder: _Holder, report: Report, now: Nanos) -> None:
        holder.leased[report.pool] -= report.given_back + len(report.cooled) + len(report.late)
        # the oldest first: a log cools in the order of time
        cooled = sorted(report.cooled, reverse=True)
        for window in holder.windows[report.pool]:
            log = window.log
            for _ in range(report.given_back):
                log.give_back()
            for age_us in cooled:
                log.release(now - age_us * NS_PER_US)
            for key, in_us in report.late:
                log.hold_late(self._key(name, key, now, in_us, log.hold), now + in_us * NS_PER_US)
            for key, in_us in report.occupied:
                log.cool_down(self._key(name, key, now, in_us, log.hold), now + in_us * NS_PER_US)
            for key, in_us in report.shortened:
                known = self._keys.get((name, key))
                if known is not None:
                    log.shorten(known, now + in_us * NS_PER_US)
            if report.lower:
                log.free(now)  # what time has given back of an earlier lowering comes first
                log.lower(now)

    def _grant(self, name: str, holder: _Holder, pool: int, wanted: int, now: Nanos, *, is_urgent: bool) -> int:
        windows = holder.windows[pool]
        kept = 0 if is_urgent else holder.pools[pool].reserve
        kept += max((window.owed_before(name, now) for window in windows), default=0) if wanted else 0
        granted = 0
        while granted < wanted:
            least = 1 << 60
            for window in windows:
                free = window.free(now)
                if free <= kept or (not is_urgent and window.pace is not None and window.pace.earliest > now):
                    break
                least = min(least, free)
            else:
                for window in windows:
                    window.log.take()
                    if not is_urgent and window.pace is not None:
                        window.pace.sent(now, least - kept - 1, window.log.next_release(now))
                granted += 1
                continue
            break
        holder.leased[pool] += granted
        return granted

    def _note_wait(
        self,
        name: str,
        holder: _Holder,
        report: Report,
        urgent: int,
        plain: int,
        retry: list[tuple[int, int]],
        now: Nanos,
    ) -> None:
        """Who got something waits from now on; who got nothing waits on, and is told when to come again."""
        windows = holder.windows[report.pool]
        misses_urgent = urgent < report.wanted_urgently
        if not misses_urgent and plain >= report.wanted:
            for window in windows:
                window.waiters.pop(name, None)
            return
        for window in windows:
            since = now if urgent + plain else window.waits_since(name, now)
            window.waiters[name] = (since, now)
        needed = 1 if misses_urgent else 1 + holder.pools[report.pool].reserve
        times = [window.open_at(now, needed, misses_urgent) for window in windows]
        known = [at for at in times if at is not None]
        in_us = UNKNOWN_RETRY_US
        if len(known) == len(times):
            # the microsecond after: a message that comes a moment too early comes in vain
            in_us = math.ceil((max(known) - now) / NS_PER_US) + 1
        if any(window.owed_before(name, now) for window in windows):
            in_us = max(in_us, BEHIND_OTHERS_RETRY_US)
        retry.append((report.pool, in_us))

    # -- ends ---------------------------------------------------------------------------------------------------------

    def silent(self, now: Nanos) -> list[str]:
        """Holders that were not heard of for too long: their `Leave` is due."""
        limit = now - DEAD_AFTER_US * NS_PER_US
        return [name for name, holder in self._holders.items() if holder.heard < limit]

    def _end(self, name: str, now: Nanos, sent: dict[str, tuple[int, ...]] | None = None) -> None:
        """What ``name`` leases may have been sent until now, and be on its way, unless what was ``sent`` is known."""
        holder = self._holders.pop(name)
        for pool, windows, leased in zip(holder.pools, holder.windows, holder.leased, strict=True):
            late_us: Sequence[int] = (pool.late_us,) * leased
            if sent is not None:
                # which of them this ledger was told of as answered, nobody knows: the latest were not
                late_us = sorted(sent.get(pool.name, ()), reverse=True)[:leased]
            for window in windows:
                window.waiters.pop(name, None)
                for in_us in late_us:
                    window.log.hold_late(self._fresh_key(), now + in_us * NS_PER_US)
                for _ in range(leased - len(late_us)):
                    window.log.give_back()

    def _fresh_key(self) -> int:
        self._next_key += 1
        return self._next_key

    def _key(self, holder: str, key: int, now: Nanos, in_us: int, hold: Nanos) -> int:
        known = self._keys.get((holder, key))
        if known is None:
            known = self._keys[holder, key] = self._fresh_key()
            heapq.heappush(self._expiry, (now + in_us * NS_PER_US + hold, (holder, key)))
        return known

    # -- what it tells ------------------------------------------------------------------------------------------------

    def _reply(self, now: Nanos, status: Literal["ok", "unknown holder"] = "ok") -> Reply:
        return Reply(status=status, ledger=self.id, time_us=now // NS_PER_US)

    def _usage(self, now: Nanos) -> tuple[WindowUsage, ...]:
        leased: dict[str, int] = {}
        sharing: dict[str, int] = {}
        for holder in self._holders.values():
            for windows, count in zip(holder.windows, holder.leased, strict=True):
                for window in windows:
                    leased[window.shared.key] = leased.get(window.shared.key, 0) + count
                    sharing[window.shared.key] = sharing.get(window.shared.key, 0) + 1
        return tuple(
            WindowUsage(
                key=key,
                requests=window.shared.requests,
                per_s=window.shared.per_s,
                leased=leased.get(key, 0),
                held=window.log.held(now),
                in_force=window.log.limit,
                holders=sharing.get(key, 0),
            )
            for key, window in self._windows.items()
        )

    def is_idle(self, now: Nanos) -> bool:
        """True when nobody shares and every window is empty."""
        return not self._holders and not any(window.log.held(now) for window in self._windows.values())

    def snapshot(self, now: Nanos) -> Snapshot:
        """All that must outlive the process. Paces begin anew."""
        counters = []
        for window in self._windows.values():
            releases = tuple(-(-at // NS_PER_US) for at in window.log.releases(now))
            lowered = window.log.lowered  # after `releases`: time may have given a part of the limit back
            counters.append(
                Counter(
                    window=window.shared,
                    releases_us=releases,
                    blocked_until_us=window.blocked_until // NS_PER_US,
                    lowered=() if lowered is None else (lowered[0], -(-lowered[1] // NS_PER_US)),
                )
            )
        holders = [
            HolderState(name, holder.pools, tuple(holder.leased), holder.number, holder.reply or self._reply(now))
            for name, holder in self._holders.items()
        ]
        distrusted = None if self._distrusted_at is None else self._distrusted_at // NS_PER_US
        return Snapshot(self.id, now // NS_PER_US, tuple(counters), tuple(holders), distrusted)

    @classmethod
    def restored(cls, snapshot: Snapshot) -> Ledger:
        """The ledger of a snapshot."""
        ledger = cls(snapshot.ledger)
        if snapshot.distrusted_at_us is not None:
            ledger._distrusted_at = snapshot.distrusted_at_us * NS_PER_US
        now = snapshot.time_us * NS_PER_US
        for state in snapshot.holders:
            windows = [[ledger._window(shared) for shared in pool.windows] for pool in state.pools]
            holder = ledger._holders[state.holder] = _Holder(state.pools, windows, now)
            holder.number, holder.reply = state.number, state.reply
            holder.leased = list(state.leased)
            for pool, leased in zip(windows, state.leased, strict=True):
                for window in pool:
                    for _ in range(leased):
                        window.log.take()
        # after the leases: what cools down beside them may, after redeclarations, exceed the limit
        for counter in snapshot.counters:
            window = ledger._window(counter.window)
            window.blocked_until = counter.blocked_until_us * NS_PER_US
            if counter.lowered:
                window.log.lowered = (counter.lowered[0], counter.lowered[1] * NS_PER_US)
            for at_us in counter.releases_us:
                window.log.cool_down(ledger._fresh_key(), at_us * NS_PER_US - window.log.hold)
        return ledger


def new_ledger_id(random: Random) -> str:
    """A name by which a process notices that another ledger answers than before."""
    return f"{random.getrandbits(64):016x}"
