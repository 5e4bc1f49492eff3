"""A bot's share of the ledger: its leased slots, its reports about them, and the messages to and from the ledger.

The router takes slots from `SharedLimits.leased`. If it runs out of slots, the shortage is recorded here, more slots
are requested from the ledger, and ``on_change`` delivers a `SlotsChanged`.

If the ledger is unreachable, leases expire after `LEASE`, before the ledger would presume this process dead. After that
only cancels continue, for up to `OFFLINE`. They use slots that every process keeps in stock for this purpose.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence

import msgspec

from botkit.engine.router.flights import LONGEST_WAIT_NS
from botkit.engine.router.leased import LeasedPools, SlotNews
from botkit.live.clock import DriverClock
from botkit.live.limits.lease import Lease
from botkit.live.limits.protocol import (
    AskUsage,
    Join,
    Leave,
    LedgerReply,
    LedgerUnreachable,
    Link,
    SharedPool,
    SharedWindow,
    Sync,
    WindowUsage,
)
from botkit.model.clock import NS_PER_MS, NS_PER_S, Nanos
from botkit.model.inputs import SentBefore
from botkit.model.limits import LimitTable, Scope, SlotsChanged

#: how long leases stay valid after the last message that got a reply; must be shorter than `ledger.DEAD_AFTER`
LEASE: Nanos = 3 * NS_PER_S
#: Like `LEASE`, but for cancels in stock. The ledger cannot distinguish a dead process from an unreachable one, so it
#: keeps a dead process's cancels reserved for this much longer. If this were more than a few minutes, a bot that
#: crashes and restarts repeatedly would use up the cancels.
OFFLINE: Nanos = 180 * NS_PER_S
#: the maximum interval between messages to the ledger
HEARTBEAT: Nanos = NS_PER_S
#: the router's leases are extended only when they can be extended by at least this much
EXTENSION: Nanos = NS_PER_S // 2
#: how long reports are collected before they are sent; each slot is held that much longer, which is 0.03 % of a minute
GATHER: Nanos = 20 * NS_PER_MS
#: the minimum interval between messages
LEAST_GAP: Nanos = NS_PER_MS
#: delays between attempts to reach the ledger
FIRST_RETRY: Nanos = 20 * NS_PER_MS
LONGEST_RETRY: Nanos = NS_PER_S
#: how long `stop` waits for a message in flight
STOP_S = 4.0
#: the first key for requests that were in flight when this process had to rejoin; must differ from all request ids
_FIRST_DECLARED = 1 << 40


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Identifies the windows that a process uses. ``venue`` is the exchange's host. ``account`` is a name that is
    unique to the account.

    ``address`` identifies this machine's IP address as the exchange sees it. Processes with equal ``address`` values
    share an IP address.
    """

    venue: str
    account: str
    address: str = "shared"


class Predecessor(msgspec.Struct, frozen=True, kw_only=True):
    """A process that is known to be dead: its ledger, its holder name, and all requests that it sent after joining."""

    ledger: str
    holder: str
    sent: Sequence[SentBefore]


class SharedLimits:
    """Windows shared with other processes. Create a ``Router(leased=shared.leased)``, then call `start`, and `stop` at
    the end.

    ``on_change(change)`` is called in the event loop when the router's slots have changed. Pass the change to
    ``router.slots_changed`` and run a turn. ``on_notice(text, good)`` reports that the ledger is unreachable, or
    reachable again.
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
        gather: Nanos = GATHER,
        on_change: Callable[[SlotsChanged], None] | None = None,
        on_notice: Callable[[str, bool], None] = lambda text, good: None,
        endpoints: Collection[str] | None = None,
        keeps_stock: bool = True,
    ) -> None:
        """``holder`` must be unique in the ledger. ``request_timeout_ns`` is the maximum wait for a response.

        ``gather`` is how long reports are collected before they are sent, or 0 if messages cost nothing. If
        ``endpoints`` is given, only the counters of these endpoints are shared, and all others are private to this
        process. ``keeps_stock`` is False for a short-lived process, which leases no slots ahead. ``clock`` must run at
        the same speed as the ledger's clock.
        """
        self.leased = LeasedPools(table, self._heard, endpoints=endpoints)
        self.on_change = on_change or self.leased.apply
        self.on_notice = on_notice
        #: called with every (ledger, holder) pair under which this process joins; returns whether a successor will be
        #: able to find the pair
        self.on_join: Callable[[str, str], bool] = lambda ledger, holder: True
        self._table = table
        self._link = link
        self._identity = identity
        self._name = holder
        self._clock = clock
        #: durations that depend on the machine (messages, pauses, leases) must not depend on the clock's speed
        self._speed = clock.speed
        self._gather = gather
        self._leases: dict[str, Lease] = {}
        for name, pool in self.leased.pools.items():
            endpoint = next(row for row in table.endpoints.values() if row.pool == name)
            late = request_timeout_ns + (read_latest_ns if endpoint.method == "GET" else latest_accept_ns)
            self._leases[name] = Lease(pool, endpoint, late=late, keeps_stock=keeps_stock)
        self._next_declared = _FIRST_DECLARED
        self._joins = 0
        self._holder = ""
        self._ledger = ""  # the id of the last ledger joined
        self._number = 0
        self._unanswered: Sync | None = None
        self._change = self.leased.change
        self._heard_at: Nanos = -(1 << 62)  # when the last message that got a reply was sent
        self._sent_at: Nanos = 0
        self._opens_at: Nanos = 0
        self._dirty_since: Nanos | None = None
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_lost = self._is_stopping = self._is_disowned = False
        self._is_known = False  # a successor will know this holder and report its requests
        self._knows_earlier = False  # the ledger already counts earlier runs' requests

    # -- for the driver -----------------------------------------------------------------------------------------------

    async def start(self, patience_s: float = 10.0, *, waits_for_opening: bool = True) -> None:
        """Join the ledger and wait until it is open. After a ledger has been lost, every window stays closed for a
        while.

        Raises LedgerUnreachable, with a remedy, if the ledger does not answer within ``patience_s``.
        """
        assert self._task is None
        deadline = self._clock.now() + self._here(int(patience_s * NS_PER_S))
        pause = FIRST_RETRY
        while True:
            try:
                await self._join()
                await self._sync()
                break
            except LedgerUnreachable as error:
                if self._clock.now() + self._here(pause) > deadline:
                    raise LedgerUnreachable(
                        f"{self.name} cannot be reached ({error}), so this bot cannot share the rate limits with"
                        " other processes; start it, or, if this is the only bot, set `limits: {ledger: none}` in its "
                        "configuration"
                    ) from None
                await asyncio.sleep(pause / NS_PER_S)
                pause = min(2 * pause, LONGEST_RETRY)
        self._task = asyncio.create_task(self._run(), name="botkit shared limits")
        wait = self._opens_at - self._clock.now()
        if wait > 0 and waits_for_opening:
            self.on_notice(
                f"{self.name} has just started or has lost its state; requests are held for {wait / NS_PER_S:.0f} s, "
                f"until earlier requests no longer count",
                False,
            )
            await asyncio.sleep(wait / NS_PER_S / self._speed)

    async def succeed(self, before: Predecessor) -> None:
        """Report a dead process's requests, so that the ledger need not assume that all of its leases were used."""
        if before.ledger == self._ledger:
            with contextlib.suppress(LedgerUnreachable):
                await self._link.call(Leave(before.holder, self._sent_by(before.sent)))
                self._knows_earlier = True

    def disown(self) -> None:
        """Mark the journal as incomplete, so that a successor does not rely on its record of sent requests.

        This process changes its name in the ledger to one that the journal does not contain. If it then dies, the
        ledger treats all of its leases as used.
        """
        if self._is_known:
            self._is_disowned = True
            self._wake.set()

    async def stop(self) -> None:
        """Return unused slots and leave the ledger. The router must not send any more requests."""
        if self._task is not None:
            # request the shutdown instead of cancelling the task: a library below the link may swallow a cancellation,
            # as redis-py does
            self._is_stopping = True
            self._wake.set()
            _, late = await asyncio.wait({self._task}, timeout=STOP_S)
            for task in late:
                task.cancel()
            self._task = None
        if self._ledger:
            for lease in self._leases.values():
                lease.stock_wanted = 0
                lease.wants = lease.wants_urgently = False
                lease.keep_stock(0)
            self._publish(self._clock.now())
            self.leased.apply(self._change)  # not applied in a turn, because no more turns are run
            with contextlib.suppress(LedgerUnreachable):
                if self._unanswered is not None:
                    await self._sync()
                await self._sync()
                await self._link.call(Leave(self._holder))
        await self._link.close()

    @property
    def name(self) -> str:
        """The name of the ledger as shown to users."""
        return self._link.name

    @property
    def is_reachable(self) -> bool:
        """True while leases can be renewed. Otherwise only cancels continue."""
        return self._clock.now() < self._heard_at + self._here(LEASE)

    async def usage(self) -> Sequence[WindowUsage]:
        """Return the usage of every shared window, summed over all processes. Raises LedgerUnreachable."""
        return (await self._link.call(AskUsage())).usage

    # -- reports from the router -------------------------------------------------------------------------------------

    def _heard(self, pool: str, what: SlotNews, key: int, by: Nanos) -> None:
        lease, now = self._leases[pool], self._clock.now()
        if what is SlotNews.WANTED or what is SlotNews.WANTED_URGENTLY:
            self._want(lease, now, is_urgent=what is SlotNews.WANTED_URGENTLY)
            return
        if what is SlotNews.TAKEN:
            if lease.stock >= lease.stock_wanted:
                return
        elif what is SlotNews.ANSWERED:
            # not the turn's time, which is slightly older
            lease.end(now, [(0, now)])
        elif what is SlotNews.UNSENT:
            lease.end(now, [])
        elif what is SlotNews.UNKNOWN:
            lease.end(now, [(key, by)])
            lease.remember(key, by, now)
        elif what is SlotNews.EARLIER:
            lease.remember(key, by, now)
            if not self._knows_earlier:
                lease.arrivals.append((key, by))
        elif what is SlotNews.RESOLVED:
            if lease.late_until.get(key, by) <= by:
                return  # no window counts the request any more, or the ledger already counts it
            lease.remember(key, by, now)
            lease.arrivals.append((key, by))
        else:
            lease.lower = True
        if self._dirty_since is None:
            self._dirty_since = now
            # wake up a little later, so that granted requests are sent first
            asyncio.get_running_loop().call_later(self._gather / NS_PER_S, self._wake.set)

    def _want(self, lease: Lease, now: Nanos, *, is_urgent: bool) -> None:
        if self._is_stopping:
            return
        if not is_urgent:
            lease.wants = True
        elif not lease.wants_urgently:
            lease.wants_urgently = True
            lease.retry_at = 0  # the retry time was set for non-urgent requests
        if now - lease.granted_at < self._here(5 * GATHER):
            lease.ahead = min(lease.ahead_max, lease.ahead * 2)
        lease.asked_at = now
        if lease.retry_at <= now:
            self._wake.set()

    # -- slots for the router ------------------------------------------------------------------------------------

    def _publish(self, now: Nanos) -> None:
        """Send changed slots to the router."""
        leased = {name: lease.told for name, lease in self._leases.items()}
        until = self._heard_at + self._here(LEASE)
        if leased != self._change.leased or until > self._change.until + self._here(EXTENSION):
            cancels = self._heard_at + self._here(OFFLINE)
            self._change = SlotsChanged(self._change.number + 1, leased, until, cancels)
            self.on_change(self._change)

    @property
    def _is_heard(self) -> bool:
        """True if the router has received the last published change."""
        return self.leased.change.number == self._change.number

    def _here(self, machine_ns: Nanos) -> Nanos:
        """Convert a duration from machine time to the bot's time, which may run faster."""
        return int(machine_ns * self._speed)

    # -- the conversation ---------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        pause = FIRST_RETRY
        while not self._is_stopping:
            now = self._clock.now()
            at = now if self._unanswered is not None or self._is_disowned else self._next_sync(now)
            if at > now:
                self._wake.clear()
                # do not use wait_for, which in Python 3.11 loses a cancellation that coincides with the event
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout((at - now) / NS_PER_S / self._speed):
                        await self._wake.wait()
                continue
            try:
                if self._is_disowned and self._unanswered is None:
                    await self._rename()
                else:
                    await self._sync()
            except LedgerUnreachable as error:
                self._tell_lost(error)
                await asyncio.sleep(pause / NS_PER_S)
                pause = min(2 * pause, LONGEST_RETRY)
            else:
                pause = FIRST_RETRY
                self._tell_found()

    def _next_sync(self, now: Nanos) -> Nanos:
        at = self._sent_at + self._here(HEARTBEAT)
        if self._dirty_since is not None:
            at = min(at, self._dirty_since + self._here(self._gather))
        for lease in self._leases.values():
            if lease.wants_slots:
                at = min(at, lease.retry_at)
            elif lease.stock > lease.stock_wanted:
                at = min(at, lease.idle_at)
        return max(at, self._sent_at + self._here(LEAST_GAP))

    async def _rename(self) -> None:
        """Change the holder's name, and keep its leases.

        Joining again under another name would hold another slot for each request in flight, for as long as it may still
        arrive. On a failing disk, whose every second write succeeds, that closed small windows to all bots for more
        than a minute.
        """
        # the same name again if the reply was lost
        name = self._holder_after(self._joins + 1)
        reply = await self._link.call(Join(name, self._ledger, self._shared_pools(), self._holder))
        if reply.status == "unknown holder":
            await self._join()
            return
        self._joins += 1
        self._holder = name
        # The journal is not told the new name, even once it can be written: it lacks some requests of these leases.
        self._is_disowned = self._is_known = False

    async def _join(self) -> None:
        """Join the ledger as a new process, and declare the requests in flight."""
        for lease in self._leases.values():
            lease.keep_stock(0)
        now = self._clock.now()
        self._publish(now)
        if not self._is_heard:
            raise LedgerUnreachable("the slots leased from the previous ledger may no longer be used")
        self._joins += 1
        self._holder = self._holder_after(self._joins)
        self._unanswered = None
        for lease in self._leases.values():
            self._next_declared = lease.declare(now, self._next_declared)
        reply = await self._link.call(Join(self._holder, self._ledger, self._shared_pools()))
        if reply.ledger != self._ledger:
            self._knows_earlier = False
        self._ledger = reply.ledger
        self._number = 0
        self._heard_at = now
        self._is_known = self.on_join(self._ledger, self._holder)

    def _holder_after(self, joins: int) -> str:
        return f"{self._name}#{joins}"

    def _shared_pools(self) -> tuple[SharedPool, ...]:
        return tuple(self._shared(lease) for lease in self._leases.values())

    def _shared(self, lease: Lease) -> SharedPool:
        pool, who = lease.pool, self._identity
        windows = tuple(
            SharedWindow(
                f"{who.venue}|{window.scope.value}={who.address if window.scope is Scope.IP else who.account}"
                f"|{pool.name}|{window.requests}/{window.per_s}s",
                window.requests,
                window.per_s,
            )
            for window in lease.windows
        )
        late = lease.late + (self._here(OFFLINE) if pool.is_for_cancels else 0)
        return SharedPool(pool.name, late, lease.reserve, windows)

    async def _sync(self) -> None:
        """Send reports and requests for slots, or resend an unanswered message."""
        now = self._clock.now()
        message = self._unanswered
        if message is None:
            self._dirty_since = None
            message = self._unanswered = self._message(now)
        self._sent_at = now
        reply = await self._link.call(message)
        self._unanswered = None
        if reply.status == "unknown holder":
            await self._join()
            return
        self._heard_at = now
        self._take_in(reply)

    def _message(self, now: Nanos) -> Sync:
        leases = list(self._leases.values())
        for lease in leases:
            if lease.stock > lease.stock_wanted and lease.idle_at <= now:
                lease.keep_stock(lease.stock_wanted)
                lease.ahead = 1
        self._publish(now)
        if self._is_heard:
            for lease in leases:
                lease.return_unused()
        reports = [lease.report(place, now) for place, lease in enumerate(leases)]
        self._number += 1
        return Sync(self._holder, self._number, tuple(report for report in reports if report is not None))

    def _take_in(self, reply: LedgerReply) -> None:
        now = self._clock.now()
        leases = list(self._leases.values())
        for place, wait in reply.retry:
            leases[place].retry_at = now + wait
        for place, count in reply.granted:
            leases[place].grant(count, now)
        for lease in leases:
            if lease.stock > 0:
                lease.wants = lease.wants_urgently = False
        # only reads matter: a bot cannot start without them, whereas orders wait in the router
        needed = [wait for place, wait in reply.closed if leases[place].is_read]
        self._opens_at = now + max(needed, default=0)
        self._publish(now)

    def _sent_by(self, requests: Sequence[SentBefore]) -> dict[str, tuple[Nanos, ...]]:
        """Return, for each pool, the time until each request's latest possible arrival."""
        now = self._clock.now()
        found: dict[str, list[Nanos]] = {name: [] for name in self._leases}
        for request in requests:
            lease = self._leases.get(self._table.endpoints[request.endpoint].pool)
            if lease is not None:
                # if a clock was set back, slots are held longer than necessary, never shorter
                wait = min(0, (request.answered or request.sent + LONGEST_WAIT_NS) - now)
                found[lease.pool.name].append(wait + (lease.late if request.answered is None else 0))
        most = {name: max(w.requests for w in lease.windows) for name, lease in self._leases.items()}
        return {name: tuple(sorted(waits, reverse=True)[: most[name]]) for name, waits in found.items()}

    # -- messages to the user ------------------------------------------------------------------------------------------

    def _tell_lost(self, error: LedgerUnreachable) -> None:
        if not self._is_lost and not self.is_reachable:
            self._is_lost = True
            self.on_notice(
                f"{self.name} is unreachable ({error}); only cancels are sent, for at most "
                f"{OFFLINE // (60 * NS_PER_S)} minutes; retrying every second",
                False,
            )

    def _tell_found(self) -> None:
        if self._is_lost:
            self._is_lost = False
            self.on_notice(f"{self.name} answers again", True)
