"""Drives an engine in real time. The driver passes inputs to the engine, sends its requests, and advances time. It
makes no decisions itself.

Each pass sorts all events that arrived since the last pass into the total order of events and runs one engine turn for
each. It then commits the changes to the journal and sends the requests. There is no looping task. An event or a timer
schedules the next pass, and a market event that arrives alone is processed within its own event-loop step. Work that an
order need not wait for (figures, the next timer, the recording for a replay) is done after the order has been sent.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

import msgspec

from botkit.engine.engine import Engine
from botkit.engine.outcome import Outcome
from botkit.engine.outcome_parts import Reply
from botkit.errors import BotkitError
from botkit.live.clock import DriverClock
from botkit.live.journal_rows import JournalError
from botkit.live.persistence import Persistence
from botkit.live.recording import Recording
from botkit.live.state_folder import JOURNAL_HALT, StateFolder
from botkit.live.watchdog import Watchdog
from botkit.model.adapter import Adapter
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import OrderReport
from botkit.model.inputs import ACCOUNT_EVENTS, AccountEvents, Input, JournalFailed
from botkit.model.moment import rank
from botkit.model.pairs import Pair
from botkit.model.requests import (
    Answer,
    CancelAll,
    CancelBatch,
    CancelOrder,
    CreateBatch,
    CreateOrder,
    Ending,
    GetBook,
    GetCandles,
    GetPairs,
    Request,
)

log = logging.getLogger("botkit.live")

_CANCELS = (CancelOrder, CancelBatch, CancelAll)
_WRITES = (*_CANCELS, CreateOrder, CreateBatch)
#: requests that need no key
_PUBLIC = (GetBook, GetCandles, GetPairs)
#: how long a commit waits for more inputs when there is nothing to send
_GATHER_S = 0.02
#: interval between attempts to write a journal that cannot be written
_RETRY_S = 1.0
_WRITTEN_AGAIN = "it could not be written for a while; only cancels were sent meanwhile"
#: maximum number of events to queue while the bot is busy; beyond this limit, a new book replaces the oldest queued
#: book of its pair
EVENTS_MAX = 20_000
_BOOKS = 2


class Listener(Protocol):
    """Observes inputs and outcomes. Implemented by the running bot."""

    def went_in(self, given: Input, now: Nanos) -> None:
        """Record that an input is about to be processed."""
        ...

    def came_out(self, out: Outcome, now: Nanos) -> None:
        """Process the results of a turn. The driver clears the outcome afterwards."""
        ...

    def looked(self, now: Nanos) -> None:
        """Do periodic work after a pass, once its requests have been handed over for sending. Called once for several
        passes in quick succession.
        """
        ...


class LiveDriver:
    """Runs one engine with one adapter."""

    def __init__(
        self,
        engine: Engine,
        adapter: Adapter,
        clock: DriverClock,
        persistence: Persistence,
        recording: Recording,
        folder: StateFolder,
        *,
        listener: Listener,
        gate: Callable[[Nanos], str | None],
        watchdog: Watchdog | None = None,
    ) -> None:
        """``gate`` performs the last check before a request is written to the socket. It returns the reason why no new
        order may be sent at a given time, or None.
        """
        self.engine = engine
        self.adapter = adapter
        self.clock = clock
        self.folder = folder
        #: the bug or journal failure that stopped the bot
        self.fault: BaseException | None = None
        self.journal_fault: str | None = None
        #: the reason why no more requests that need the account's key may be sent
        self.key_refusal: str | None = None
        self.ended = asyncio.Event()
        self.turns = 0
        self.dropped_events = 0
        self._is_ending = self._is_closed = False
        self._listener = listener
        self._gate = gate
        self._persistence = persistence
        self._recording = recording
        self._watchdog = watchdog
        self._out = Outcome()
        self._events: list[tuple[int, str, int, Any]] = []
        self._sequence = 0
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: Nanos | None = None
        #: True while the rest of a pass waits for its requests to be sent, or for the end of an event's own step
        self._unfinished = False
        #: True during a pass
        self._is_within = False
        #: the time of the last turn
        self._turned_at: Nanos = engine.view.now
        #: reads whose outcome is unknown although some response arrived, so they cannot reach the exchange later
        self._responded: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        #: what asyncio's own loop runs next; None for another kind of loop, which keeps this to itself
        self._ready = getattr(self._loop, "_ready", None)
        # Streams may be shared with other bots, so another bot's event can wake this driver. It must still act and log
        # in its own context.
        self._context = contextvars.copy_context()
        self._gathering: asyncio.TimerHandle | None = None

    # -- inputs ---------------------------------------------------------------------------------------------------

    def sink(self, event: Any) -> None:
        """Queue an event for the next event-loop step. A market event is processed at once if nothing else would run
        before that step.

        Those that follow it in the same step do wait, because the end of its pass is then ready to run. They have
        arrived together, and must share a commit, or a busy bot would fall behind.
        """
        ranked = rank(event)
        if ranked == _BOOKS and len(self._events) >= EVENTS_MAX:
            self._drop_old_book(event.pair)
        self._sequence += 1
        self._events.append((ranked, "" if ranked == 0 else event.pair, self._sequence, event))
        if ranked == 0 or self._is_within or self._ready is None or self._ready:
            self.wake()
        else:
            self._scheduled = self._unfinished = True
            self._context.copy().run(self._look)

    def _drop_old_book(self, pair: Pair) -> None:
        # a newer book replaces an older one, so books can be dropped; trades and responses cannot
        for i, (ranked, name, _, _) in enumerate(self._events):
            if ranked == _BOOKS and name == pair:
                del self._events[i]
                self.dropped_events += 1
                return

    def soon(self, call: Callable[[], None]) -> None:
        """Call a function once the current turn is over."""
        self._loop.call_soon(call, context=self._context)

    def wake(self) -> None:
        """Schedule a pass in the next event-loop step."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._look, context=self._context)

    def now(self) -> Nanos:
        """Return the bot's time, which is never earlier than the last turn's time."""
        return max(self.clock.now(), self._turned_at)

    # -- the turns ------------------------------------------------------------------------------------------------

    def say(self, given: Input) -> Reply:
        """Pass a stage or a command to the engine immediately, send the resulting requests, and return the reply.

        Raises ConfigError if a stage does not match the configuration.
        """
        replies: list[Reply] = []
        errors: list[Exception] = []

        def work() -> None:
            try:
                now = self.now()
                requests: list[Request] = []
                replies.append(self._turn(given, now, requests) or Reply())
                self._dispatch(requests, now)
            except BotkitError as error:
                errors.append(error)

        self._guarded(work)
        if errors:
            raise errors[0]
        self.wake()
        if replies:
            return replies[0]
        return Reply(
            refusal="the bot has stopped" if self.fault is None else f"the bot hit an internal error: {self.fault!r}"
        )

    def _turn(self, given: Input | None, now: Nanos, requests: list[Request]) -> Reply | None:
        """Run one turn of the engine: record the input, process it, and pass the outcome to the listener."""
        if given is not None:
            self._listener.went_in(given, now)
        self._recording.write(now, given)
        out = self._out
        self._turned_at = now
        try:
            if given is None:
                self.engine.turn(None, now, out)
            else:
                self.engine.turns((given,), now, out)
            self.turns += 1
            requests += out.requests
            self._persistence.take(out, now)
            self._listener.came_out(out, now)
            return out.reply
        finally:
            out.clear()

    def _look(self) -> None:
        self._scheduled = False
        self._guarded(self._turns)

    def _guarded(self, work: Callable[[], None]) -> None:
        if self.fault is not None or self._is_closed:
            return
        if self._watchdog is not None:
            self._watchdog.enter()
        was_within, self._is_within = self._is_within, True
        try:
            work()
        except BaseException as error:
            # BaseException, because an interrupt that reaches the loop would leave orders open: Ctrl-C is a signal to
            # the loop, so this one was raised by a plugin's code, such as a risk rule's
            #
            # after a failed assertion in the engine, its books can no longer be trusted, so the bot sends nothing more
            log.exception("the bot hit an internal error and is stopping")
            self.fault = error
            self.ended.set()
        finally:
            self._is_within = was_within
            if self._watchdog is not None:
                self._watchdog.leave()

    def _turns(self) -> None:
        now = self.now()
        requests: list[Request] = []
        for given in self._drained():
            # a request whose outcome is unknown may still arrive at the exchange, so the next run must count it as
            # unanswered
            if type(given) is Answer and (given.outcome is not Ending.UNKNOWN or given.request_id in self._responded):
                self._responded.discard(given.request_id)
                self._persistence.answered(given.request_id, now)
            self._turn(given, now, requests)
        due = self.engine.wake_at()
        if due is not None and due <= now:
            money = self.engine.view.money
            day = money.day
            self._turn(None, now, requests)
            if money.day != day:
                self._persistence.heard()
        self._dispatch(requests, now)
        if requests or self._unfinished:
            self._unfinished = True
            self._loop.call_soon(self._finish_after)  # lets each task take its first step, which may write a request
        else:
            self._finish()

    def _drained(self) -> list[Input]:
        """Return the queued inputs in the total order of events. Consecutive account events are merged into one
        input.
        """
        events, self._events = self._events, []
        if len(events) > 1:
            events.sort()
        if events and events[0][0] == 0:
            self._persistence.heard()
        inputs: list[Input] = []
        account: list[Any] = []
        for _, _, _, event in events:
            if isinstance(event, ACCOUNT_EVENTS):
                account.append(event)
                continue
            if account:
                inputs.append(AccountEvents(tuple(account)))
                account = []
            inputs.append(event)
        if account:
            inputs.append(AccountEvents(tuple(account)))
        return inputs

    def _finish_after(self) -> None:
        if self._unfinished:  # False if another pass has run in between
            self._guarded(self._finish)

    def _finish(self) -> None:
        """Do the part of a pass that requests do not have to wait for."""
        self._unfinished = False
        now = self.now()
        self._listener.looked(now)
        self._recording.settle()
        self._persistence.settle()
        self._arm(now)

    # -- requests out ---------------------------------------------------------------------------------------------

    def _dispatch(self, requests: list[Request], now: Nanos) -> None:
        """Commit the changes made by the turns, then send their requests.

        If there is nothing to send, the commit waits briefly for further changes. Otherwise every response and report
        would cause a commit, and processing of the next book would have to wait for the disk. After a crash, these
        inputs are simply read from the exchange again.
        """
        if requests:
            self._commit(requests, now)
        elif self._gathering is None and self._persistence.is_dirty:
            self._gathering = self._loop.call_later(_GATHER_S, self._guarded, self._commit_gathered)
        for request in requests:
            sent = self._send(request)
            if sent is not None:
                task = self._loop.create_task(self._carry(request, sent), context=self._context)
                self._tasks.add(task)
                task.add_done_callback(partial(self._carried, request.id, sent))

    def _commit(self, requests: list[Request], now: Nanos) -> None:
        # even without changes, a commit tests whether the journal can be written
        notes = [] if self.journal_fault is None else [("journal", _WRITTEN_AGAIN, now)]
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        try:
            self._persistence.commit(requests, now, notes)
        except JournalError as error:
            self._journal_failed(error, now)
        else:
            if self.journal_fault is not None:
                self.journal_fault = None
                self.sink(JournalFailed(None))

    def _commit_gathered(self) -> None:
        self._gathering = None
        if self._persistence.is_dirty or self.journal_fault is not None:
            self._commit([], self.now())
            self._persistence.settle()

    def _journal_failed(self, error: JournalError, now: Nanos) -> None:
        # Without a journal, no new orders are sent. Cancels continue, because a cancel is safe even if it is not
        # journaled. With new orders blocked, no order would show that the journal is writable again, so a timer retries
        # the write.
        self._gathering = self._loop.call_later(
            _RETRY_S / (self.clock.speed or 1.0), self._guarded, self._commit_gathered
        )
        if self.journal_fault is None:
            log.error("%s; no new orders are sent until it can be written, but cancels continue", error)
            self.sink(JournalFailed(str(error)))
        self.journal_fault = str(error)

    def _carried(self, request_id: int, sent: Coroutine[Any, Any, Answer], task: asyncio.Task[None]) -> None:
        """Handle the completion of a request's task. If the task failed, the engine gets an answer with an unknown
        outcome, because an order without an answer would wait forever.
        """
        self._tasks.discard(task)
        sent.close()  # `sent` never started if the task was cancelled before its first step
        if self._is_ending:
            return  # the next run treats unanswered requests as unknown and looks them up
        if task.cancelled():
            self._unclear(request_id, "its request was cancelled within the bot")
        elif (error := task.exception()) is not None:
            self._broke(request_id, error)

    def _broke(self, request_id: int, error: BaseException) -> None:
        log.error("a request failed with an internal error", exc_info=error)
        self._unclear(request_id, f"its request failed with an internal error: {error!r}")

    def _unclear(self, request_id: int, why: str) -> None:
        self.sink(Answer(request_id=request_id, outcome=Ending.UNKNOWN, text=why))

    def _send(self, request: Request) -> Coroutine[Any, Any, Answer] | None:
        """Send a request unless a check holds it back, and return a coroutine that returns its answer. An adapter with
        an open connection writes the request before its `send` returns.
        """
        held, urgent = None, isinstance(request, _CANCELS)
        if isinstance(request, CreateOrder):
            urgent = request.order.reduces
            held = self._held(urgent)
        elif isinstance(request, CreateBatch):
            urgent = all(order.reduces for order in request.orders)
            held = self._held(urgent)
        if self.key_refusal is not None and not isinstance(request, _PUBLIC):
            held = f"not sent: {self.key_refusal}"
        if held is not None:
            self.sink(Answer(request_id=request.id, outcome=Ending.NOT_SENT, text=held))
            return None
        try:
            return self.adapter.send(request, urgent=urgent)
        except Exception as error:
            self._broke(request.id, error)
            return None

    async def _carry(self, request: Request, sent: Coroutine[Any, Any, Answer]) -> None:
        answer = await sent
        if answer.outcome is Ending.UNKNOWN and answer.status and not isinstance(request, _WRITES):
            self._responded.add(request.id)
        if answer.outcome is Ending.UNKNOWN and isinstance(answer.body, tuple):
            # An incomplete listing is news of the orders in it, like a pushed row, but proves nothing about any other
            # order. The engine therefore never sees it as a listing.
            for row in answer.body:
                if isinstance(row, OrderReport):
                    self.sink(row)
            answer = msgspec.structs.replace(answer, body=None)
        self.sink(answer)

    def _held(self, reduces: bool) -> str | None:
        """Return the reason why a request must not be sent, or None. This is the last check before the socket: the
        order must be in the journal, and the latch must not be set.
        """
        if self.journal_fault is not None:
            return f"not sent: {self.journal_fault}"
        closed = self._gate(self.clock.now())
        if closed is not None:
            return f"not sent: {closed}"
        if self.folder.is_halted():
            halt = self.folder.halt()
            # if the bot's books are outdated, an order may seem to reduce a position that was closed long ago
            if not reduces or (halt is not None and halt.kind == JOURNAL_HALT):
                return f"not sent: the bot is halted: {halt.reason if halt else ''}"
        return None

    # -- time -----------------------------------------------------------------------------------------------------

    def _arm(self, now: Nanos) -> None:
        due = self.engine.wake_at()
        if due == self._timer_at and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = due
        if due is not None:
            # the loop's clock may run slightly behind ours; a turn that is a millisecond late costs less than an extra
            # turn
            wait_s = max(0, due - now) / NS_PER_S / (self.clock.speed or 1.0)
            self._timer = self._loop.call_later(wait_s, self._rang, context=self._context)

    def _rang(self) -> None:
        self._timer, self._timer_at = None, None
        self._look()

    async def wait(self, seconds: float) -> None:
        """Sleep for a number of seconds on the bot's clock."""
        await asyncio.sleep(seconds / (self.clock.speed or 1.0))

    async def close(self, grace_s: float = 0.0) -> None:
        """Stop permanently. Wait up to ``grace_s`` seconds for responses to requests in flight before abandoning these
        requests.
        """
        if self._timer is not None:
            self._timer.cancel()
        self._is_ending = True
        if self._tasks and grace_s:
            await asyncio.wait(list(self._tasks), timeout=grace_s)
        await self._let_go()
        if self._scheduled and self.fault is None:
            self._guarded(self._turns)  # journal the responses that have arrived
        if self._unfinished and self.fault is None:
            self._guarded(self._finish)
        if self._gathering is not None:
            self._gathering.cancel()
            self._guarded(self._commit_gathered)
        if self._gathering is not None:
            self._gathering.cancel()
        # the journal and the connections are closed next, so ignore all further events
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._let_go()

    async def _let_go(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
