"""The router's windows where other processes count into them too: slots are leased ahead from a shared ledger.

`SharedLimits` is the `SlotSource` of the router and the one that talks to the ledger (`ledger.py` beside it holds the
rule). Its `Slots` answer at once, from what was leased; when they cannot, the want is noted, the ledger is asked, and
``on_change`` tells the driver to let the engine try again.

When the ledger cannot be reached, leases run out after `LEASE_NS`, before the ledger would declare this process dead;
after that only cancels go on, from slots that every process keeps in stock for that, for `OFFLINE_NS`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

import msgspec

from botkit.engine.router.router import LONGEST_WAIT_NS
from botkit.engine.router.routes import reserve_of
from botkit.engine.router.windows import SlotLog, Slots
from botkit.errors import BotkitError
from botkit.live.clock import DriverClock, SteadyClock
from botkit.live.shared_limits.leases import LeasedPool
from botkit.live.shared_limits.ledger import (
    AskUsage,
    Join,
    Leave,
    Message,
    Reply,
    SharedPool,
    SharedWindow,
    Sync,
    WindowUsage,
)
from botkit.model.clock import NS_PER_MS, NS_PER_S, NS_PER_US, Nanos
from botkit.model.inputs import SentBefore
from botkit.model.limits import LimitTable, Scope, WindowLimit

#: leases are good for so long after the last message that was answered; `ledger.DEAD_AFTER_US` is longer
LEASE_NS = 3 * NS_PER_S
#: cancels in stock are good for so long after it. The ledger cannot tell a dead process from one that it does not hear,
#: so it holds a dead one's cancels that much longer: not more than minutes, or a bot that crashes and is started again
#: and again uses the cancels up
OFFLINE_NS = 180 * NS_PER_S
#: the ledger hears of this process at least so often
HEARTBEAT_NS = NS_PER_S
#: reports wait so long for company; a slot is held that much longer, 0.03 % of a minute
GATHER_NS = 20 * NS_PER_MS
#: however much is wanted, messages are so far apart
LEAST_GAP_NS = NS_PER_MS
#: a ledger whose clock ran ahead of ours by more than this between two messages was set forward
JUMP_NS = NS_PER_S
#: pauses between attempts to reach the ledger
FIRST_RETRY_NS, LONGEST_RETRY_NS = 20 * NS_PER_MS, NS_PER_S
#: at the end, the message that is on its way has so long
STOP_S = 4.0
#: unknown outcomes that are remembered before old ones are looked for
REMEMBERED_MAX = 4096
#: keys of slots that were on their way when this process had to join again; apart from request ids
_FIRST_DECLARED = 1 << 40


class LedgerUnreachable(BotkitError):
    """The shared ledger does not answer. Nothing but cancels is sent until it does."""


class Link(Protocol):
    """The way to a ledger."""

    #: what a user reads, such as ``the limits broker of this machine``
    name: str

    async def call(self, message: Message) -> Reply:
        """Carry a message there and its answer back. Raises LedgerUnreachable; the ledger may have applied it."""
        ...

    async def close(self) -> None:
        """Drop the connection."""
        ...


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Whose windows a process counts into. ``venue`` is the exchange's host, ``account`` a name of the account alone.

    ``address`` names the IP address by which the exchange sees this machine; processes that give the same share it.
    """

    venue: str
    account: str
    address: str = "shared"


class Predecessor(msgspec.Struct, frozen=True, kw_only=True):
    """A process that is dead for certain: as whom it shared which ledger, and all that it sent after it had joined."""

    ledger: str
    holder: str
    sent: Sequence[SentBefore]


class SharedSlots:
    """`Slots` of a shared window. The first window of a pool speaks for all: a request takes a slot in each.

    A log of this process's own use stands behind it: it tells the usage, and no fault of the ledger makes this process
    alone exceed a limit.
    """

    __slots__ = ("_limits", "_log", "_pool", "_speaks", "hold", "scopes", "window")

    def __init__(
        self, limits: SharedLimits, pool: LeasedPool, window: WindowLimit, scopes: tuple[Scope, ...], speaks: bool
    ) -> None:
        self.window = window
        self.scopes = scopes
        self._log = SlotLog(window, scopes)
        self.hold = self._log.hold
        self._limits = limits
        self._pool = pool
        self._speaks = speaks

    @property
    def peak(self) -> int:
        """The most slots that this process held at once."""
        return self._log.peak

    @property
    def limit(self) -> int:
        """Slots in force."""
        return self._log.limit

    def free(self, now: Nanos) -> int:
        """Slots that may be taken at ``now``; the pool's reserve is kept at the ledger and thus not here."""
        stock = self._limits.usable(self._pool)
        return min(stock + self._pool.reserve, self._log.free(now)) if stock > 0 else 0

    def take(self) -> None:
        """Take a leased slot."""
        self._log.take()
        if self._speaks:
            pool = self._pool
            pool.stock -= 1
            pool.taken += 1
            pool.in_flight += 1
            if pool.stock < pool.standing:
                self._limits.changed()

    def release(self, now: Nanos) -> None:
        """The answer was read at ``now``."""
        self._log.release(now)
        if self._speaks:
            # not at ``now``, which the driver read a little earlier
            self._pool.ended(self._limits.steady_now())
            self._limits.changed()

    def give_back(self) -> None:
        """Nothing was sent: the slot is in stock again."""
        self._log.give_back()
        if self._speaks:
            pool = self._pool
            pool.taken -= 1
            if pool.in_flight:
                pool.in_flight -= 1
                pool.stock += 1
                pool.granted_at = self._limits.steady_now()
            else:
                # it was leased before this process had to join again; the ledger holds it as sent until now
                pool.shortened.append((pool.declared.pop(), self._limits.steady_now()))
            self._limits.changed()

    def hold_late(self, key: int, arrives_by: Nanos) -> None:
        """The outcome is unknown."""
        self._log.hold_late(key, arrives_by)
        if self._speaks:
            at = self._limits.to_steady(arrives_by)
            pool = self._pool
            if pool.in_flight:
                pool.in_flight -= 1
                pool.late.append((key, at))
            else:
                pool.shortened.append((pool.declared.pop(), self._limits.steady_now()))
                pool.occupied.append((key, at))
            self._limits.remember(pool, key, at)

    def cool_down(self, key: int, arrives_by: Nanos) -> None:
        """Count a request of an earlier run."""
        self._log.cool_down(key, arrives_by)
        if self._speaks:
            at = self._limits.to_steady(arrives_by)
            if not self._limits.knows_earlier:
                self._pool.occupied.append((key, at))
            self._limits.remember(self._pool, key, at)

    def shorten(self, key: int, arrives_by: Nanos) -> None:
        """What is late arrives no later than ``arrives_by``."""
        self._log.shorten(key, arrives_by)
        if self._speaks:
            at = self._limits.to_steady(arrives_by)
            self._pool.shortened.append((key, at))
            self._limits.remember(self._pool, key, at)

    def open_at(self, now: Nanos, needed: int) -> Nanos | None:
        """``now`` when slots are in stock; else None, and the ledger is asked: ``on_change`` follows."""
        if self._limits.usable(self._pool) > 0:
            return self._log.open_at(now, needed)
        if self._speaks:
            pool = self._pool
            if pool.always_urgent or needed <= pool.reserve:
                if not pool.needs_urgent:
                    pool.retry_at = 0  # what was said to others of this process does not hold for the urgent
                pool.needs_urgent = True
            else:
                pool.needs_plain = True
            self._limits.asked(pool)
        return None

    def next_release(self, now: Nanos) -> Nanos:
        """At once: how leased slots are spread over time is the ledger's affair."""
        return now

    def held(self, now: Nanos) -> int:
        """Slots that this process holds."""
        return self._log.held(now)

    def releases(self, now: Nanos) -> tuple[Nanos, ...]:
        """When this process's slots come free."""
        return self._log.releases(now)

    def lower(self, now: Nanos) -> None:
        """A 429: everybody uses less for a while."""
        self._log.lower(now)
        if self._speaks:
            self._pool.lower = True
            self._limits.changed()


class SharedLimits:
    """Windows shared with other processes: ``Router(slots=shared.slots)``, then `start`, and `stop` at the end.

    ``on_change()`` is called, in the event loop, when slots have come: call ``router.slots_changed()`` and run a turn.
    ``on_notice(text, good)`` tells the user that the ledger is out of reach, or there again.
    """

    def __init__(
        self,
        table: LimitTable,
        link: Link,
        *,
        identity: Identity,
        holder: str,
        clock: DriverClock,
        latest_accept_ns: Nanos,
        read_latest_ns: Nanos,
        request_timeout_ns: Nanos = 10 * NS_PER_S,
        gather_ns: Nanos = GATHER_NS,
        on_change: Callable[[], None] = lambda: None,
        on_notice: Callable[[str, bool], None] = lambda text, good: None,
        steady: DriverClock | None = None,
        endpoints: Collection[str] | None = None,
        keeps_stock: bool = True,
    ) -> None:
        """``holder`` is unique in the ledger. ``request_timeout_ns``: the longest wait for an answer.

        ``gather_ns``: how long reports wait for company; nothing where a message costs nothing.

        ``steady`` counts leases; without it a counter of the machine does, which nobody sets.

        ``endpoints``: the counters of these alone are shared, and all others are this process's own. ``keeps_stock``:
        a process that lives for seconds leases nothing ahead.

        ``clock`` must run as fast as the ledger's and as ``steady``. Other processes have the machine's time alone; a
        ledger in this process may live by an emulator's.
        """
        speed = 1.0 if steady is None else steady.speed
        assert clock.speed == speed, f"a clock at {clock.speed}x cannot share windows with a ledger at {speed}x"
        self.on_change = on_change
        self.on_notice = on_notice
        self._table = table
        self._shared_pools = None if endpoints is None else {table.endpoints[name].pool for name in endpoints}
        self._keeps_stock = keeps_stock
        self._link = link
        self._identity = identity
        self._name = holder
        self._clock = clock
        self._steady: DriverClock = steady or SteadyClock()
        #: what is about this machine (messages, pauses, leases) takes as long on it however fast the clock runs
        self._speed = speed
        self._gather_ns = gather_ns
        self._latest_ns = {False: latest_accept_ns + request_timeout_ns, True: read_latest_ns + request_timeout_ns}
        self._pools: dict[str, LeasedPool] = {}
        self._remembered: dict[tuple[str, int], Nanos] = {}  # (pool, key) -> latest arrival of what is late
        self._next_declared = _FIRST_DECLARED
        self._joins = 0
        self._holder = ""
        self._ledger = ""  # the id of the ledger that was joined last
        self._number = 0
        self._unanswered: Sync | None = None
        self._heard_at: Nanos = -(1 << 62)  # when the last message that was answered was sent
        self._sent_at: Nanos = 0
        self._ledger_time: tuple[int, Nanos] | None = None  # (its time in us, our time when that message was sent)
        self._jumped = False
        self._blocked_until: Nanos = 0
        self._dirty_since: Nanos | None = None
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_lost = False
        self._is_stopping = False
        self._is_disowned = False
        #: how often anything but the router may have changed what is in stock
        self.messages = 0
        #: the ledger counts what earlier runs sent: it need not be told again
        self.knows_earlier = False
        #: told of every (ledger, holder) as which this process joins
        self.on_join: Callable[[str, str], None] = lambda ledger, holder: None

    # -- for the router -----------------------------------------------------------------------------------------------

    def slots(self, pool: str, window: WindowLimit, scopes: tuple[Scope, ...]) -> Slots:
        """The `SlotSource`."""
        if self._shared_pools is not None and pool not in self._shared_pools:
            return SlotLog(window, scopes)
        known = self._pools.get(pool)
        speaks = known is None
        if known is None:
            first, limit = next((e, row) for e, row in self._table.endpoints.items() if row.pool == pool)
            least = min(w.requests for w in limit.windows)
            known = self._pools[pool] = LeasedPool(
                pool,
                reserve=reserve_of(limit.method, first, least),
                always_urgent=limit.method in ("DELETE", "PUT"),
                late_ns=self._latest_ns[limit.method == "GET"],
            )
        known.add_window(window, scopes)
        if not self._keeps_stock:
            known.standing = 0
        return SharedSlots(self, known, window, scopes, speaks)

    def steady_now(self) -> Nanos:
        """The time in which leases are counted: nobody sets it, and it goes on while the machine sleeps."""
        return self._steady.now()

    def to_steady(self, time: Nanos) -> Nanos:
        """A time of the driver's clock."""
        return self._steady.now() + time - self._clock.now()

    def usable(self, pool: LeasedPool) -> int:
        """Slots of ``pool`` in stock whose lease is good."""
        return pool.stock if pool.stock and self.leases_are_good()[pool.always_urgent] else 0

    def leases_are_good(self) -> tuple[bool, bool]:
        """(Slots in stock may be used, those for cancels may)."""
        age = self._steady.now() - self._heard_at
        return age < LEASE_NS * self._speed, age < OFFLINE_NS * self._speed

    @property
    def pools(self) -> Iterable[LeasedPool]:
        """The counters that are shared."""
        return self._pools.values()

    def changed(self) -> None:
        """Something is to be reported; it may wait for company."""
        if self._dirty_since is None:
            self._dirty_since = self._steady.now()
            # not at once: what was granted leaves first
            asyncio.get_running_loop().call_later(self._gather_ns / NS_PER_S, self._wake.set)

    def asked(self, pool: LeasedPool) -> None:
        """The router wants more than is in stock."""
        now = self._steady.now()
        if now - pool.granted_at < 5 * GATHER_NS * self._speed:
            pool.ahead = min(pool.ahead_max, pool.ahead * 2)
        pool.asked_at = now
        if pool.retry_at <= now:
            self._wake.set()

    def remember(self, pool: LeasedPool, key: int, at: Nanos) -> None:
        """What is late must be said again should the ledger be lost."""
        self._remembered[pool.name, key] = at
        if len(self._remembered) > REMEMBERED_MAX:
            self._forget_old()
        self.changed()

    # -- for the driver -----------------------------------------------------------------------------------------------

    async def start(self, patience_s: float = 10.0, *, waits_for_opening: bool = True) -> None:
        """Join the ledger and wait until it is open: one that was restarted lets every window pass once.

        Raises LedgerUnreachable, with its remedy, when it does not answer in ``patience_s``.
        """
        assert self._task is None
        deadline = self._steady.now() + int(patience_s * NS_PER_S * self._speed)
        pause = FIRST_RETRY_NS
        while True:
            try:
                await self._join()
                await self._sync()
                break
            except LedgerUnreachable as error:
                if self._steady.now() + pause * self._speed > deadline:
                    raise LedgerUnreachable(
                        f"{self.name} cannot be reached ({error}), and without it the rate limits cannot be kept"
                        " together with other processes; mend it, or share with nobody: `limits: {ledger: none}` in"
                        " the configuration"
                    ) from None
                await asyncio.sleep(pause / NS_PER_S)
                pause = min(2 * pause, LONGEST_RETRY_NS)
        self._task = asyncio.create_task(self._run(), name="botkit shared limits")
        wait_ns = self._blocked_until - self._steady.now()
        if wait_ns > 0 and waits_for_opening:
            self.on_notice(
                f"{self._link.name} is new or was restarted: it opens in {wait_ns / NS_PER_S:.0f} s, when what was"
                " sent before cannot count any more",
                False,
            )
            await asyncio.sleep(wait_ns / NS_PER_S / self._speed)

    async def succeed(self, before: Predecessor) -> None:
        """Say what a dead process sent, so that its leases are not held for all that it might have sent."""
        if before.ledger != self._ledger:
            return
        with contextlib.suppress(LedgerUnreachable):
            await self._link.call(Leave(before.holder, self._sent_by(before.sent)))
            self.knows_earlier = True

    def _sent_by(self, requests: Sequence[SentBefore]) -> dict[str, tuple[int, ...]]:
        now = self._clock.now()
        found: dict[str, list[int]] = {name: [] for name in self._pools}
        for request in requests:
            pool = self._pools.get(self._table.endpoints[request.endpoint].pool)
            if pool is not None:
                # a clock that was set back holds slots longer, never shorter
                ns = min(0, (request.answered or request.sent + LONGEST_WAIT_NS) - now)
                ns += pool.late_ns if request.answered is None else 0
                found[pool.name].append(-(-ns // NS_PER_US))
        most = {name: max(window.requests for window, _ in pool.windows) for name, pool in self._pools.items()}
        return {name: tuple(sorted(late, reverse=True)[: most[name]]) for name, late in found.items()}

    def disown(self) -> None:
        """The journal is no longer complete: what was and will be sent is not to be read in it by a successor."""
        self._is_disowned = True
        self._wake.set()

    async def stop(self) -> None:
        """Give back what is unused and leave."""
        if self._task is not None:
            # asked to end, not cancelled: what lies below the link may swallow a cancellation, as redis-py does
            self._is_stopping = True
            self._wake.set()
            _, late = await asyncio.wait({self._task}, timeout=STOP_S)
            for task in late:
                task.cancel()
            self._task = None
        if not self._ledger:
            await self._link.close()  # it never joined
            return
        for pool in self._pools.values():
            pool.given_back += pool.stock
            pool.stock = pool.standing = 0
            pool.needs_plain = pool.needs_urgent = False
        with contextlib.suppress(LedgerUnreachable):
            if self._unanswered is not None:
                await self._sync()
            await self._sync()
            await self._link.call(Leave(self._holder))
        await self._link.close()

    @property
    def name(self) -> str:
        """What a user calls the ledger."""
        return self._link.name

    @property
    def is_reachable(self) -> bool:
        """False while leases cannot be renewed, so that only cancels go on."""
        return self._steady.now() - self._heard_at < LEASE_NS * self._speed

    async def usage(self) -> Sequence[WindowUsage]:
        """Every shared window, the use of all processes together. Raises LedgerUnreachable."""
        return (await self._link.call(AskUsage())).usage

    # -- the conversation ---------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        pause = FIRST_RETRY_NS
        while not self._is_stopping:
            now = self._steady.now()
            at = now if self._unanswered is not None else self._next_sync(now)
            if at > now:
                self._wake.clear()
                # not wait_for, which in Python 3.11 loses a cancellation that comes together with the event
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout((at - now) / NS_PER_S / self._speed):
                        await self._wake.wait()
                continue
            try:
                if self._is_disowned:
                    await self._link.call(Leave(self._holder))
                    await self._join()
                    self._is_disowned = False
                await self._sync()
            except LedgerUnreachable as error:
                self._tell_lost(error)
                await asyncio.sleep(pause / NS_PER_S)
                pause = min(2 * pause, LONGEST_RETRY_NS)
            else:
                pause = FIRST_RETRY_NS
                self._tell_found()

    def _next_sync(self, now: Nanos) -> Nanos:
        at = self._sent_at + int(HEARTBEAT_NS * self._speed)
        if self._dirty_since is not None:
            at = min(at, self._dirty_since + int(self._gather_ns * self._speed))
        for pool in self._pools.values():
            if pool.wants:
                at = min(at, pool.retry_at)
            elif pool.stock > pool.standing:
                at = min(at, pool.idle_at())
        return max(at, self._sent_at + int(LEAST_GAP_NS * self._speed))

    async def _join(self) -> None:
        """Join as a process that the ledger has not seen; what is on its way is declared anew."""
        self.messages += 1
        self._joins += 1
        self._holder = f"{self._name}#{self._joins}"
        self._unanswered = None
        now = self._steady.now()
        self._forget_old()
        for pool in self._pools.values():
            self._declare(pool, now)
        pools = tuple(self._shared(pool) for pool in self._pools.values())
        reply = await self._link.call(Join(self._holder, self._ledger, pools))
        self._ledger = reply.ledger
        self._number = 0
        self._ledger_time = None
        self._heard_at = now
        self.on_join(self._ledger, self._holder)

    def _forget_old(self) -> None:
        """What is late no more need not be said again."""
        now = self._steady.now()
        hold = {name: max(w.length for w, _ in pool.windows) * 2 for name, pool in self._pools.items()}
        self._remembered = {(n, k): at for (n, k), at in self._remembered.items() if at + hold[n] > now}

    def _declare(self, pool: LeasedPool, now: Nanos) -> None:
        # what was reported but not answered for, or not reported yet, is in the hands of the ledger as of a dead
        # process: its leases are held as sent. Only what this process still may send or hears of later is new.
        pool.stock = pool.given_back = 0
        pool.cooled, pool.late, pool.shortened = [], [], []
        pool.occupied = [(key, at) for (name, key), at in self._remembered.items() if name == pool.name]
        flying = pool.in_flight + len(pool.declared)
        pool.in_flight = 0
        pool.declared = list(range(self._next_declared, self._next_declared + flying))
        self._next_declared += flying
        pool.occupied += [(key, now + pool.late_ns) for key in pool.declared]
        pool.retry_at = 0

    def _shared(self, pool: LeasedPool) -> SharedPool:
        windows = []
        for window, scopes in pool.windows:
            for scope in scopes:
                who = self._identity.address if scope is Scope.IP else self._identity.account
                key = f"{self._identity.venue}|{scope.value}={who}|{pool.name}|{window.requests}/{window.per_s}s"
                hold = SlotLog(window).hold
                windows.append(SharedWindow(key, window.requests, window.per_s, -(-hold // NS_PER_US)))
        late = pool.late_ns + (OFFLINE_NS if pool.always_urgent else 0)
        return SharedPool(pool.name, late // NS_PER_US, pool.reserve, tuple(windows))

    async def _sync(self) -> None:
        """Say what happened and ask for what is wanted. Repeats a message that was not answered."""
        self.messages += 1
        now = self._steady.now()
        message = self._unanswered
        if message is None:
            self._dirty_since = None
            reports = []
            for place, pool in enumerate(self._pools.values()):
                pool.return_idle(now)
                report = pool.report(place, now)
                if report is not None:
                    reports.append(report)
            self._number += 1
            message = self._unanswered = Sync(self._holder, self._number, tuple(reports), self._jumped)
            self._jumped = False
        else:
            self._ledger_time = None  # the answer may be the one that was made, and lost, back then
        self._sent_at = now
        reply = await self._link.call(message)
        self._unanswered = None
        if reply.status == "unknown holder":
            await self._join()
            return
        had_leases = self.is_reachable
        self._heard_at = now
        self._take_in(reply, now, is_news=not had_leases)

    def _take_in(self, reply: Reply, sent_at: Nanos, *, is_news: bool) -> None:
        self.messages += 1
        now = self._steady.now()
        if self._ledger_time is not None:
            its_us, ours = self._ledger_time
            ahead = (reply.time_us - its_us) * NS_PER_US - (now - ours)
            if ahead > JUMP_NS:
                self._distrust(reply)
                self._ledger_time = (reply.time_us, sent_at)
                return
        self._ledger_time = (reply.time_us, sent_at)
        self._blocked_until = now + reply.blocked_us * NS_PER_US
        pools = list(self._pools.values())
        for place, in_us in reply.retry:
            pools[place].retry_at = now + in_us * NS_PER_US
        for place, count in reply.granted:
            pool = pools[place]
            pool.stock += count
            pool.granted_at = now
        for pool in pools:
            if pool.stock and (pool.needs_plain or pool.needs_urgent):
                pool.needs_plain = pool.needs_urgent = False
                is_news = True
        if is_news:
            self.on_change()

    def _distrust(self, reply: Reply) -> None:
        """The ledger's clock was set forward: slots may have come free too early. Use none until all have run out."""
        self._jumped = True
        pools = list(self._pools.values())
        for place, count in reply.granted:
            pools[place].stock += count
        for pool in pools:
            pool.given_back += pool.stock
            pool.stock = 0
        self.changed()
        self.on_notice(f"the clock of {self._link.name} was set forward; requests wait for one window", False)

    # -- what the user is told ----------------------------------------------------------------------------------------

    def _tell_lost(self, error: LedgerUnreachable) -> None:
        if not self._is_lost and not self.is_reachable:
            self._is_lost = True
            self.on_notice(
                f"{self._link.name} is out of reach ({error}); nothing but cancels is sent, and those for"
                f" {OFFLINE_NS // (60 * NS_PER_S)} minutes at most; it is tried again every second",
                False,
            )

    def _tell_found(self) -> None:
        if self._is_lost:
            self._is_lost = False
            self.on_notice(f"{self._link.name} answers again", True)
            self.on_change()
