"""Several processes with real routers and shared limits, a ledger and a venue, all in virtual time.

The event loop's clock jumps to the next due event, so minutes pass in an instant and every run is reproducible. The
link to the ledger loses messages and responses, processes die, and the ledger is killed and restored from its snapshot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import msgspec

from botkit.engine.router.router import Router
from botkit.live.limits.leases import Identity, Predecessor, SharedLimits
from botkit.live.limits.ledger import SlotLedger
from botkit.live.limits.protocol import LedgerReply, LedgerUnreachable, Message
from botkit.model.clock import NS_PER_MS, NS_PER_S
from botkit.model.inputs import SentBefore
from botkit.model.limits import LimitTable, SlotsChanged
from botkit.model.requests import Ending, Request
from tests.router_world import order, resting

#: longer than the silence after which a process is declared dead, so that some requests in flight arrive after that
LATEST_ACCEPT_NS = 8 * NS_PER_S
TIMEOUT_NS = NS_PER_S


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop without sockets whose clock advances only to the next due event."""

    def __init__(self) -> None:
        super().__init__()
        self.virtual_s = 1000.0
        # coarser than the clocks' nanoseconds, so that a task waiting until a given nanosecond wakes up only after it
        self._clock_resolution = 1e-10
        selector = self._selector  # type: ignore[attr-defined]
        look = selector.select

        def select(timeout: float | None = None) -> Any:
            if timeout:
                self.virtual_s += timeout
            assert timeout is not None, "nothing is due any more, so the world would wait for ever"
            return look(0)

        selector.select = select

    def time(self) -> float:
        return self.virtual_s


class LoopClock:
    """A driver's clock that returns the event loop's time."""

    speed = 1.0

    def __init__(self, loop: VirtualLoop, offset_ns: int = 0) -> None:
        self._loop, self._offset_ns = loop, offset_ns

    def now(self) -> int:
        return self._offset_ns + round(self._loop.virtual_s * NS_PER_S)

    def drift_ns(self) -> int:
        return 0


def run_virtually(main: Callable[[VirtualLoop], Coroutine[Any, Any, None]]) -> None:
    """Run ``main`` in virtual time."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(main(loop))
        leftover = asyncio.all_tasks(loop)
        for task in leftover:
            task.cancel()
        if leftover:
            loop.run_until_complete(asyncio.gather(*leftover, return_exceptions=True))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


class Server:
    """The ledger's server process."""

    def __init__(self, clock: LoopClock) -> None:
        self.clock = clock
        self.ledger = SlotLedger("first")
        self.is_up = True

    def apply(self, message: Message) -> LedgerReply:
        return self.ledger.apply(message, self.clock.now())

    def kill(self) -> None:
        self.is_up = False

    def come_back(self) -> None:
        """Restart the ledger from its saved state."""
        self.ledger = msgspec.msgpack.decode(msgspec.msgpack.encode(self.ledger), type=SlotLedger)
        self.ledger.keep_alive(self.clock.now())
        self.is_up = True

    def lose(self) -> None:
        """Discard the ledger's state."""
        self.ledger = SlotLedger(f"after {self.clock.now()}")
        self.ledger.lose(self.clock.now())


class LossyLink:
    """A link to the ledger that loses messages and responses."""

    name = "the ledger"

    def __init__(self, server: Server, random: Random, lost: float) -> None:
        self._server, self._random, self._lost = server, random, lost
        self.is_cut = False

    async def call(self, message: Message) -> LedgerReply:
        await asyncio.sleep(self._random.uniform(0.0001, 0.004))
        if self.is_cut or not self._server.is_up or self._random.random() < self._lost:
            await asyncio.sleep(0.05)
            raise LedgerUnreachable("the message was lost")
        reply = self._server.apply(message)
        await asyncio.sleep(self._random.uniform(0.0001, 0.004))
        if self._random.random() < self._lost:
            await asyncio.sleep(0.05)
            raise LedgerUnreachable("the answer was lost")
        return reply

    async def close(self) -> None:
        pass


class Process:
    """A bot: a router, its shared windows and its requests in flight."""

    def __init__(
        self,
        name: str,
        table: LimitTable,
        server: Server,
        loop: VirtualLoop,
        arrivals: dict[str, list[int]],
        *,
        seed: int,
        lost: float = 0.0,
        unknown: float = 0.0,
        account: str = "one",
        heard_after_s: float = 0.0,
    ) -> None:
        """``heard_after_s`` is the delay until a lease change reaches the router."""
        self.name = name
        self._heard_after_s = heard_after_s
        self.link = LossyLink(server, Random(f"{seed} {name} link"), lost)
        self.notices: list[tuple[str, bool]] = []
        self.sent: list[tuple[int, str]] = []
        self.journal: dict[int, SentBefore] = {}
        self._identity = ("", "")
        self._random = Random(f"{seed} {name}")
        self._unknown = unknown
        self._loop = loop
        # the bot's clock may differ from the ledger's
        self._clock = LoopClock(loop, offset_ns=10**18)
        self._arrivals = arrivals
        self._venue = LoopClock(loop)
        self._wake: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_alive = True
        self.journal_fails = False
        self._next_id = 0
        self.shared = SharedLimits(
            table,
            self.link,
            identity=Identity(venue="v", account=account),
            holder=name,
            clock=self._clock,
            latest_accept_ns=LATEST_ACCEPT_NS,
            read_latest_ns=LATEST_ACCEPT_NS,
            request_timeout_ns=TIMEOUT_NS,
            on_change=self._slots_changed,
            on_notice=lambda text, good: self.notices.append((text, good)),
        )
        self.router = Router(
            table,
            latest_accept_ns=LATEST_ACCEPT_NS,
            read_latest_ns=LATEST_ACCEPT_NS,
            batching=False,
            leased=self.shared.leased,
        )

    async def start(self, *, patience_s: float = 10.0, heir_of: Process | None = None) -> None:
        """Join the ledger. The successor of a dead process also reports the requests sent by that process."""
        self.shared.on_join = self._joined
        await self.shared.start(patience_s)
        if heir_of is not None:
            ledger, holder = heir_of._identity
            sent = list(heir_of.journal.values())
            await self.shared.succeed(Predecessor(ledger=ledger, holder=holder, sent=sent))
            self.router.cool_down(sent, self._clock.now())
            self.pump()

    def _joined(self, ledger: str, holder: str) -> bool:
        if self.journal_fails:
            return False
        self._identity = (ledger, holder)
        return True

    def create(self, count: int = 1, *, reduces: bool = False) -> None:
        for _ in range(count):
            self._next_id += 1
            self.router.create(order(self._next_id, self.name, reduces=reduces), self._clock.now())
        self.pump()

    def cancel(self, count: int = 1) -> None:
        for _ in range(count):
            self._next_id += 1
            self.router.cancel(resting(self._next_id, self.name), self._clock.now())
        self.pump()

    def die(self) -> None:
        """Die as if killed with kill -9. Requests in flight still arrive."""
        self.is_alive = False
        if self._wake is not None:
            self._wake.cancel()
        assert self.shared._task is not None
        self.shared._task.cancel()

    def _slots_changed(self, change: SlotsChanged) -> None:
        if self._heard_after_s:
            self._loop.call_later(self._heard_after_s, self._hear, change)
        else:
            self._hear(change)

    def _hear(self, change: SlotsChanged) -> None:
        self.router.slots_changed(change)
        self.pump()

    def pump(self) -> None:
        if not self.is_alive:
            return
        now = self._clock.now()
        while (due := self.router.next_due()) is not None and due <= now:
            for request in self.router.due(now).requests:
                self.sent.append((self._venue.now(), request.endpoint))
                if not self.journal_fails:
                    self.journal[request.id] = SentBefore(endpoint=request.endpoint, sent=now)
                task = self._loop.create_task(self._carry(request))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if due is not None:
            self._wake = self._loop.call_later((due - now) / NS_PER_S, self.pump)

    async def _carry(self, request: Request) -> None:
        arrived = self._arrivals.setdefault(request.endpoint, [])
        if self._random.random() < self._unknown:
            await asyncio.sleep(TIMEOUT_NS / NS_PER_S)
            if self.is_alive:
                self.router.answered(request.id, self._clock.now(), Ending.UNKNOWN)
                self.pump()
            if self._random.random() < 0.8:
                await asyncio.sleep(self._random.uniform(0.2, 1) * LATEST_ACCEPT_NS / NS_PER_S)
                arrived.append(self._venue.now())
            return
        await asyncio.sleep(self._random.randint(1, 80) * NS_PER_MS / NS_PER_S)
        if not self.is_alive and self._random.random() < 0.8:
            await asyncio.sleep(self._random.uniform(0.5, 1) * LATEST_ACCEPT_NS / NS_PER_S)
        arrived.append(self._venue.now())
        await asyncio.sleep(self._random.randint(1, 80) * NS_PER_MS / NS_PER_S)
        if self.is_alive:
            now = self._clock.now()
            if request.id in self.journal:
                self.journal[request.id] = msgspec.structs.replace(self.journal[request.id], answered=now)
            self.router.answered(request.id, now, Ending.OK)
            self.pump()
