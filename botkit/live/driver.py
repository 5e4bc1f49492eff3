"""The driver on wall time: carries events in, requests out, and time forward. It decides nothing.

Everything that came in since the last look is put into the one order of events and given to the engine, a turn each;
what the turns changed is committed to the journal; then what they asked for leaves. There is no task that loops: an
event or a timer schedules the next look, so that from a frame to its order it is one step of the event loop. What an
order need not wait for (figures, the next timer, the recording for a replay) is done once it has left.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from typing import Any

from botkit.engine.turn import Engine
from botkit.live.clock import DriverClock
from botkit.live.journal_rows import JournalError
from botkit.live.persistence import Persistence, client_ids_of
from botkit.live.state_folder import StateFolder
from botkit.live.watchdog import Watchdog
from botkit.model.adapter import Adapter
from botkit.model.clock import NS_PER_MS, NS_PER_S, Nanos
from botkit.model.events import BalanceReport, Candle, Connection, OrderBook, OrderReport, Ticker, Trade, TradeReport
from botkit.model.pairs import Pair
from botkit.model.requests import (
    Answer,
    CancelAll,
    CancelBatch,
    CancelOrder,
    CreateBatch,
    CreateOrder,
    Outcome,
    Request,
)

log = logging.getLogger("botkit.live")

#: the order of events of one moment: answers and account events, ended bars, books, trades, tickers
_RANKS: dict[type, int] = {
    Answer: 0,
    OrderReport: 0,
    TradeReport: 0,
    BalanceReport: 0,
    Connection: 0,
    Candle: 1,
    OrderBook: 2,
    Trade: 3,
    Ticker: 4,
}
#: steps of the event loop from a request to its bytes at the socket: its own task's, and that of aiohttp's writer
_STEPS_TO_SOCKET = 2
#: how long what came in waits for company on its way into the journal, when nothing is sent
_GATHER_S = 0.02
#: market events that wait while the bot is busy; beyond it the oldest books of a pair give way to newer ones
EVENTS_MAX = 20_000


class Driver:
    """Runs one engine over one adapter."""

    def __init__(
        self,
        engine: Engine,
        adapter: Adapter,
        clock: DriverClock,
        persistence: Persistence,
        folder: StateFolder,
        watchdog: Watchdog | None = None,
    ) -> None:
        self.engine = engine
        self.adapter = adapter
        self.clock = clock
        self.folder = folder
        self.started = False
        #: the bug, or the failure of the journal, that ended the bot
        self.fault: BaseException | None = None
        self.journal_fault: str | None = None
        self.ended = asyncio.Event()
        self.turns = 0
        self.dropped_events = 0
        #: why no new order may leave at this moment, if so: one more look before the socket
        self.gate: Callable[[Nanos], str | None] = lambda now: None
        #: told of every event as it is taken in, with its time
        self.observers: list[Callable[[Any, Nanos], None]] = []
        #: called after a look, when the requests are on their way; once where looks follow closely
        self.after_turns: list[Callable[[Nanos], None]] = []
        self._persistence = persistence
        self._watchdog = watchdog
        self._events: list[tuple[int, str, int, Any]] = []
        self._sequence = 0
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: Nanos | None = None
        #: the rest of a look waits until what it sends has left
        self._unfinished = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        # streams may be another bot's too: what this one does and logs is its own, whoever woke it
        self._context = contextvars.copy_context()
        self._journal_retry: Nanos = 0
        self._gathering: asyncio.TimerHandle | None = None

    # -- events in ------------------------------------------------------------------------------------------------

    def sink(self, event: Any) -> None:
        """Take an event in; it is looked at in the next step of the event loop."""
        rank = _RANKS[type(event)]
        if rank == 2 and len(self._events) >= EVENTS_MAX:
            self._drop_old_book(event.pair)
        self._sequence += 1
        self._events.append((rank, "" if rank == 0 else event.pair, self._sequence, event))
        self.wake()

    def _drop_old_book(self, pair: Pair) -> None:
        # a book replaces the one before it, so an old one is what can be missed; a trade or an answer cannot
        for i, (rank, name, _, _) in enumerate(self._events):
            if rank == 2 and name == pair:
                del self._events[i]
                self.dropped_events += 1
                return

    def wake(self) -> None:
        """Look at what is due in the next step of the event loop."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._look, context=self._context)

    def now(self) -> Nanos:
        """The bot's time: never before the last turn's."""
        return max(self.clock.now(), self.engine.now)

    # -- the turns ------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self._scheduled = False
        self._guarded(self._turns)

    def _guarded(self, work: Callable[[], None]) -> None:
        if self.fault is not None:
            return
        if self._watchdog is not None:
            self._watchdog.enter()
        try:
            work()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # an assertion of the engine's: its books are not to be trusted any more, so nothing is sent by it
            log.exception("the bot has met a fault of its own and ends")
            self.fault = error
            self.ended.set()
        finally:
            if self._watchdog is not None:
                self._watchdog.leave()

    def _turns(self) -> None:
        engine = self.engine
        events, self._events = self._events, []
        now = self.now()
        if len(events) > 1:
            events.sort()
        leaving: list[Request] = []
        for rank, _, _, event in events:
            if rank == 0:
                self._persistence.heard()
            # a request of unknown outcome may still arrive: for the next run it is one that was not answered
            if type(event) is Answer and event.outcome is not Outcome.UNKNOWN:
                self._persistence.answered(event.request_id, now)
            for observe in self.observers:
                observe(event, now)
            if self.started:
                leaving += engine.turn(event, now)
                self.turns += 1
            else:
                leaving += self._before_start(event, now)
        if not self.started:
            leaving += engine.attend(now)
        else:
            due = engine.wake_at()
            if due is not None and due <= now:
                self._persistence.heard()  # a day may begin
                leaving += engine.turn(None, now)
                self.turns += 1
        self.dispatch(leaving, now)
        if leaving:
            self._unfinished = True
            self._loop.call_soon(self._finish_after, _STEPS_TO_SOCKET - 1)
        else:
            self._finish()

    def _finish_after(self, steps: int) -> None:
        if steps:
            self._loop.call_soon(self._finish_after, steps - 1)
        elif self._unfinished:  # unless a look came between
            self._guarded(self._finish)

    def _finish(self) -> None:
        """The part of a look that nothing sent has to wait for."""
        self._unfinished = False
        now = self.now()
        for call in self.after_turns:
            call(now)
        self._persistence.settle()
        self._arm(now)

    def _before_start(self, event: Any, now: Nanos) -> list[Request]:
        """Orders are followed before the start; the market is not looked at, and balances are asked for."""
        engine = self.engine
        engine.now = now
        if type(event) is Answer:
            engine.desk.on_answer(event, now)
        elif type(event) is OrderReport:
            engine.desk.on_order_report(event, now)
        elif type(event) is TradeReport:
            engine.desk.on_trade_report(event, now)
        return []

    def start(self) -> None:
        """Run the strategies' ``on_start``. From here on market events reach them."""
        now = self.now()
        self.started = True
        if self._watchdog is not None:
            self._watchdog.enter()
        try:
            leaving = self.engine.start(now)
        finally:
            if self._watchdog is not None:
                self._watchdog.leave()
        self.dispatch(leaving, now)
        self.wake()

    # -- requests out ---------------------------------------------------------------------------------------------

    def dispatch(self, requests: list[Request], now: Nanos) -> None:
        """Commit what the turns changed, then send what they asked for.

        Where nothing is sent the commit waits a little for company: what came in would be read again after a crash,
        while a commit for each answer and each report keeps the next book waiting for the disk.
        """
        if requests:
            self._commit(requests, now)
        elif self._gathering is None and self._persistence.is_dirty and now >= self._journal_retry:
            self._gathering = self._loop.call_later(_GATHER_S, self._guarded, self._commit_gathered)
        for request in requests:
            task = self._loop.create_task(self._carry(request), context=self._context)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _commit(self, requests: list[Request], now: Nanos) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        try:
            self._persistence.commit(requests, now)
            self.journal_fault = None
        except JournalError as error:
            self._journal_failed(error, now)

    def _commit_gathered(self) -> None:
        self._gathering = None
        if self._persistence.is_dirty:
            self._commit([], self.now())

    def _journal_failed(self, error: JournalError, now: Nanos) -> None:
        # no journal, no new orders; cancels go on, since an order that is cancelled needs no record to be safe
        self._journal_retry = now + NS_PER_S
        if self.journal_fault is None:
            log.error("%s; no new orders are sent until it can be written, cancels go on", error)
        self.journal_fault = str(error)

    async def _carry(self, request: Request) -> None:
        create = isinstance(request, (CreateOrder, CreateBatch))
        urgent = isinstance(request, (CancelOrder, CancelBatch, CancelAll))
        held: str | None = None
        if create:
            orders = [self.engine.desk.orders[client_id] for client_id in client_ids_of(request)]
            urgent = all(order.reduces for order in orders)
            held = self._held(urgent)
        if held is not None:
            answer = Answer(request_id=request.id, outcome=Outcome.NOT_SENT, text=held)
        else:
            answer = await self.adapter.send(request, urgent=urgent)
        self.sink(answer)

    def _held(self, reduces: bool) -> str | None:
        """The last gate before the socket: the journal must hold the order, and the latch must not be set."""
        if self.journal_fault is not None:
            return f"not sent: {self.journal_fault}"
        closed = self.gate(self.now())
        if closed is not None:
            return f"not sent: {closed}"
        if not reduces and self.folder.is_halted():
            halt = self.folder.halt()
            return f"not sent: the bot is halted: {halt.reason if halt else ''}"
        return None

    # -- time -----------------------------------------------------------------------------------------------------

    def _arm(self, now: Nanos) -> None:
        engine = self.engine
        due = engine.wake_at() if self.started else _earliest(engine.router.next_due(), engine.desk.next_check())
        if due == self._timer_at and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = due
        if due is not None:
            # the loop's clock may be a little behind ours; coming a millisecond late is better than twice
            wait_s = max(0, due - now) / NS_PER_S / (self.clock.speed or 1.0)
            self._timer = self._loop.call_later(wait_s, self._rang, context=self._context)

    def _rang(self) -> None:
        self._timer, self._timer_at = None, None
        self._look()

    async def wait(self, seconds: float) -> None:
        """Wait for so many seconds of the bot's clock."""
        await asyncio.sleep(seconds / (self.clock.speed or 1.0))

    # -- reads of the driver's own --------------------------------------------------------------------------------

    async def ask(self, make: Callable[[int], Request], endpoint: str, *, timeout_s: float = 30.0) -> Answer:
        """Make a read within the rate limits and wait for its answer."""
        future: asyncio.Future[Answer] = self._loop.create_future()

        def on_answer(answer: Answer, at: Nanos) -> None:
            if not future.done():
                future.set_result(answer)

        self.engine.desk.read(make, on_answer, endpoint=endpoint, owner="(bot)", now=self.now())
        self.wake()
        return await asyncio.wait_for(future, timeout_s)

    async def close(self, grace_s: float = 0.0) -> None:
        """Stop carrying. What is on its way is given ``grace_s`` seconds to be answered, then let go."""
        if self._timer is not None:
            self._timer.cancel()
        tasks = list(self._tasks)
        if tasks and grace_s:
            await asyncio.wait(tasks, timeout=grace_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._scheduled and self.fault is None:
            self._turns()  # answers that have come are written down
        if self._unfinished and self.fault is None:
            self._finish()
        if self._gathering is not None:
            self._gathering.cancel()
            self._guarded(self._commit_gathered)
        if self._timer is not None:
            self._timer.cancel()


def _earliest(a: Nanos | None, b: Nanos | None) -> Nanos | None:
    return a if b is None or (a is not None and a <= b) else b


#: how long after its time a timer may ring, at worst, on an idle machine
TIMER_SLACK_NS = 20 * NS_PER_MS
