"""Runs a bot in lockstep with an emulator whose clock it controls. The bot makes the decisions of a backtest, but over
real HTTP and WebSocket connections.

The driver has the emulator advance to the next delivery, reads exactly the announced responses and frames, and runs the
turns in the order and at the times reported by the emulator. Nothing depends on the speed of the sockets, so the
decisions match those of a backtest on the same tape, line by line (tests/parity).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import aiohttp
import msgspec

from botkit.engine.engine import Engine
from botkit.engine.market.watch import BOOK_DEPTH
from botkit.engine.outcome import Outcome
from botkit.engine.outcome_parts import HistoryWanted
from botkit.errors import BotkitError
from botkit.exchange.bitopro import translate
from botkit.exchange.bitopro.adapter import BitoProAdapter
from botkit.exchange.bitopro.stream import NewTrades, Received, StreamChange
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import Connection, ConnectionState
from botkit.model.inputs import AccountEvents, Begin, History, Input, Restore, Stop
from botkit.model.moment import FIRST, KIND_RANKS
from botkit.model.pairs import Pair
from botkit.model.requests import Answer, Request

#: maximum time until an announced frame or response arrives, in machine time
_PATIENCE_S = 120.0
_STREAM_RANKS = {"order_book": KIND_RANKS["books"], "trades": KIND_RANKS["trades"], "ticker": KIND_RANKS["tickers"]}
#: how long to wait for responses after the end, as in a backtest
DRAIN: Nanos = 10 * NS_PER_S


class HeldClock:
    """The bot's clock in lockstep mode. It always shows the same time as the emulator's clock."""

    speed = 1.0

    def __init__(self, start: Nanos) -> None:
        self.time = start

    def now(self) -> Nanos:
        """Return the time in nanoseconds since the epoch, UTC."""
        return self.time

    def drift_ns(self) -> Nanos:
        """Return 0, because the time does not follow the machine's."""
        return 0


class LockstepError(BotkitError):
    """The emulator is not in lockstep, or an announced delivery did not arrive."""


class LockstepResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a lockstep run. ``answers`` and ``frames`` count the messages read from the sockets.
    ``split_bursts`` counts the timestamps at which the trades of one pair needed several frames.
    """

    start: Nanos
    end: Nanos
    decisions: int
    sha256: str
    answers: int
    frames: int
    split_bursts: int


class _Told(msgspec.Struct):
    """A delivery that the emulator announced."""

    at: Nanos
    kind: str
    stream: str = ""
    event_id: str = ""
    pair: str = ""
    request: int = 0
    #: the match's sequence number, shared by all its frames; 0 for a single frame
    group: int = 0


def _first(told: _Told) -> tuple[Nanos, int]:
    """Return the sort key of a delivery. As in a backtest, the effects of an order precede later-ranked events with an
    equal timestamp.
    """
    return told.at, FIRST if told.kind == "answer" else _STREAM_RANKS.get(told.stream, FIRST)


class _Step(msgspec.Struct):
    now: Nanos
    received: int
    delivered: list[_Told]


class Lockstep:
    """Runs one engine with one emulator. ``control`` is the emulator's address up to ``/_emulator``."""

    def __init__(
        self,
        engine: Engine,
        adapter: BitoProAdapter,
        control: str,
        clock: HeldClock,
        history: Callable[[Sequence[HistoryWanted], Nanos], History],
    ) -> None:
        """``history`` returns the bars that series need from before a given time."""
        self.engine = engine
        self._history = history
        self._out = Outcome()
        self.adapter = adapter
        self.clock = clock
        self.frames = 0
        self.answers = 0
        self.split_bursts = 0
        self._trades_told: dict[str, tuple[Nanos, int]] = {}  # by pair: latest timestamp, frame count
        self._control = control
        self._session: aiohttp.ClientSession | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._frames: dict[str, list[Any]] = {}
        self._arrived = asyncio.Condition()
        self._requests: dict[int, asyncio.Task[Answer]] = {}  # by request id at the emulator
        self._received = 0
        self._is_unsettled = False  # True if the exchange has received requests but not acted on them yet
        self._connected = 0
        self._broken = ""
        self._told: deque[_Told] = deque()

    # -- life -----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect to the control interface and the exchange."""
        self._session = aiohttp.ClientSession(trust_env=False)
        await self.adapter.open()

    async def close(self) -> None:
        """Close all connections."""
        for task in [*self._tasks, *self._requests.values()]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._requests.values(), return_exceptions=True)
        await self.adapter.close()
        if self._session is not None:
            await self._session.close()

    async def _post(self, verb: str, **body: Any) -> bytes:
        assert self._session is not None
        url = f"{self._control}/_emulator/{verb}"
        async with self._session.post(url, data=msgspec.json.encode(body)) as response:
            content = await response.read()
            if response.status != 200:
                raise LockstepError(f"{verb}: {content.decode(errors='replace').strip()}")
            return content

    async def _step(self, until: Nanos, *, whole: bool = False) -> _Step:
        self._is_unsettled = False
        found = msgspec.json.decode(
            await self._post("step", until=until, requests=self._received, whole=whole), type=_Step
        )
        self.clock.time = found.now
        return found

    # -- running --------------------------------------------------------------------------------------------------

    async def run(
        self, balances: Mapping[str, int], begin: Nanos, start: Nanos, end: Nanos, priced: Iterable[str] = ()
    ) -> None:
        """Begin at ``begin``, trade from ``start`` to ``end``, and stop, as a backtest over that period does.

        The run follows the strategies' subscriptions and the trades of ``priced`` pairs, which are needed for
        valuation.
        """
        await self._step(start - 1, whole=True)
        self.clock.time = start
        wanted = self._begin(balances, begin)
        depths: dict[str, int] = {m.pair: m.book_depth or BOOK_DEPTH for m in self.engine.view.markets()}
        await self._listen(depths, [pair for pair in priced if pair not in depths])
        # the initial frames of the streams date from before the start
        await self._turn(self._history(wanted, start), start)
        await self._carry(end)
        now = max(end, self.engine.view.now)
        await self._turn(Stop(), now)
        await self._carry(now + DRAIN)

    def _begin(self, balances: Mapping[str, int], at: Nanos) -> list[HistoryWanted]:
        out = self._out
        self.engine.turn(Restore(balances=balances), at, out)
        self.engine.turn(Begin(), at, out)
        wanted = list(out.history)
        out.clear()
        return wanted

    async def _turn(self, given: Input | None, now: Nanos) -> None:
        """Run one turn and send its requests. Series to which the turn newly subscribes get their history
        immediately.
        """
        out = self._out
        self.engine.turn(given, now, out)
        requests, wanted = list(out.requests), list(out.history)
        out.clear()
        await self._send(requests)
        if wanted:
            await self._turn(self._history(wanted, now), now)

    async def _carry(self, until: Nanos) -> None:
        engine = self.engine
        while True:
            while self._told:
                if self._is_trades(self._told[0]):
                    await self._settle()
                await self._take(self._told.popleft())
            wake = engine.wake_at()
            target = until if wake is None or wake > until else max(wake, self.clock.time)
            step = await self._step(target)
            if step.delivered:
                self._told.extend(step.delivered)
                continue
            wake = engine.wake_at()
            if wake is not None and wake <= step.now and wake <= until:
                await self._turn(None, max(wake, engine.view.now))
            elif step.now >= until:
                return

    async def _take(self, told: _Told) -> None:
        now = told.at
        if told.kind == "answer":
            task = self._requests.pop(told.request, None)
            if task is None:
                raise LockstepError(f"the emulator answered request {told.request}, which this bot did not make")
            self.answers += 1
            await self._turn(await asyncio.wait_for(task, _PATIENCE_S), now)
            return
        events = await self._frame(told)
        if told.stream == "trades":
            self._count_burst(told)
        if told.stream not in self.adapter.account_streams:
            for event in events:
                await self._turn(event, now)
                if self._is_trades(told):
                    await self._settle_before(told)
            return
        # the account frames of one match form one input, as in a backtest
        while told.group and self._told and self._told[0].group == told.group:
            events = [*events, *await self._frame(self._told.popleft())]
        if events:
            await self._turn(AccountEvents(tuple(events)), now)

    def _count_burst(self, told: _Told) -> None:
        at, frames = self._trades_told.get(told.pair, (0, 0))
        frames = frames + 1 if at == told.at else 1
        self._trades_told[told.pair] = (told.at, frames)
        self.split_bursts += frames == 2

    async def _frame(self, told: _Told) -> list[Any]:
        if told.event_id not in self._frames and not self._broken:
            try:
                async with self._arrived, asyncio.timeout(_PATIENCE_S):
                    await self._arrived.wait_for(lambda: told.event_id in self._frames or self._broken)
            except TimeoutError:
                raise LockstepError(f"a frame of {told.stream} was announced but did not arrive") from None
        if self._broken:
            raise LockstepError(self._broken)
        self.frames += 1
        return self._frames.pop(told.event_id)

    async def _send(self, requests: Sequence[Request]) -> None:
        """Send requests one after another, so that the exchange receives them in the bot's order."""
        for request in requests:
            task = asyncio.ensure_future(self.adapter.send(request))
            self._received += 1
            self._requests[self._received] = task
            # returns once the request has been received; its effects are delayed until `_settle`
            await self._post("step", until=self.clock.time, requests=self._received, more=True)
            self._is_unsettled = True

    @staticmethod
    def _is_trades(told: _Told) -> bool:
        return told.stream == "trades"

    async def _settle(self) -> None:
        """Have the emulator process the immediate effects of the requests sent so far, and insert these effects into
        the pending deliveries in order.

        As in a backtest, this is done once all responses, account events and books with the same timestamp have been
        processed, and after each trade.
        """
        if self._is_unsettled:
            self._is_unsettled = False
            body = await self._post("step", until=self.clock.time, requests=self._received, still=True)
            self._told.extend(msgspec.json.decode(body, type=_Step).delivered)
            self._told = deque(sorted(self._told, key=_first))

    async def _settle_before(self, told: _Told) -> None:
        """Process all immediate effects of the orders sent in response to a trade, before the rest of that trade's
        frame.
        """
        while self._is_unsettled:
            await self._settle()
            while self._told and _first(self._told[0]) < _first(told):
                await self._take(self._told.popleft())

    # -- streams --------------------------------------------------------------------------------------------------

    async def _listen(self, books: Mapping[str, int], priced: Sequence[str]) -> None:
        pairs = [self.adapter.known_pairs[name] for name in [*books, *priced]]
        wanted: list[tuple[str, dict[str, int | None]]] = [
            (stream_id, {}) for stream_id in self.adapter.account_streams
        ]
        wanted += [
            ("order_book", dict(books)),
            ("trades", {str(p): None for p in pairs}),
        ]
        for stream_id, of in wanted:
            self._tasks.append(asyncio.ensure_future(self._follow(stream_id, of, pairs)))
        async with self._arrived:
            await asyncio.wait_for(
                self._arrived.wait_for(lambda: self._connected == len(wanted) or self._broken), timeout=_PATIENCE_S
            )
        if self._broken:
            raise LockstepError(self._broken)
        # the first frames of each stream were also announced, so read all of them before time advances
        step = await self._step(self.clock.time)
        for told in step.delivered:
            await self._frame(told)

    async def _follow(self, stream_id: str, of: dict[str, int | None], pairs: Sequence[Pair]) -> None:
        stream = self.adapter.client.stream(
            stream_id,
            of,
            trade_key=lambda pair, row: translate.rounded_trade_key(row, self.adapter.known_pairs[pair]),
            resynchronise=False,
        )
        async with stream:
            async for received in stream:
                item = received.item
                if isinstance(item, StreamChange):
                    async with self._arrived:
                        if item.state is ConnectionState.CONNECTED:
                            self._connected += 1
                        else:
                            # the stream's frames are lost, so the order of events can no longer be determined
                            self._broken = f"the stream {stream_id} was lost: {item.detail}"
                        self._arrived.notify_all()
                    continue
                event_id = _event_id(received)
                if event_id is None:
                    continue
                events = list(self.adapter.events(stream_id, received, pairs))
                async with self._arrived:
                    for event in events:
                        if isinstance(event, Connection) and event.state is ConnectionState.STALE:
                            self._broken = f"the stream {stream_id} sent data that cannot be read: {event.detail}"
                    self._frames[event_id] = events
                    self._arrived.notify_all()


def _event_id(received: Received) -> str | None:
    item: Any = received.item
    if isinstance(item, NewTrades):
        return item.frame.event_id
    found: str | None = getattr(item, "event_id", None)
    return found
