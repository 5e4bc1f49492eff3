"""An event loop without sockets, threads or wall time. Time advances only when all tasks are waiting.

    loop = VirtualLoop(seed=7)
    loop.run_until_complete(main())

It is asyncio's own `BaseEventLoop` with a different clock and selector: tasks, timers, timeouts, asynchronous
generators and the order of execution work as in asyncio. Where asyncio would sleep until the next timer, the clock
jumps to that timer, so idle hours cost nothing. Connections use `VirtualLoop.network`. The threads of `run_in_executor`
take turns with the loop, so they do not change the order of execution.

Without a seed, callbacks run in asyncio's order. With a seed, the order varies wherever asyncio does not guarantee it,
but always identically for a given seed: ready tasks run in any order, a task's step may be postponed, and timers fire
late, as on a busy machine. Plain callbacks keep their order, as asyncio guarantees.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import heapq
import sys
import threading
import warnings
import weakref
import zlib
from asyncio import events
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar
from random import Random
from types import CoroutineType
from typing import Any, TypeVar

from tests.simulation.network import Network

T = TypeVar("T")

#: virtual seconds per loop iteration, so that a task that spins with ``sleep(0)`` eventually reaches its timeout
ROUND_S = 10e-6
#: after this many consecutive iterations in which work was always ready, the loop is assumed never to wait
ROUNDS_MAX = 2_000_000
#: virtual seconds that tasks get for cleanup once the loop is found to be stuck
_GRACE_S = 60.0
#: duration of work in another thread
_THREAD_S = 0.0002
#: fraction of ready task steps that are postponed to a later iteration
_POSTPONED = 0.15
#: probability that the machine wakes up late, and the maximum delay in seconds
_LATE, _LATE_MAX_S = 0.1, 0.003
#: above this number of timers, cancelled timers are dropped once they make up the majority
_TIMERS_MAX = 256


class Stuck(RuntimeError):
    """No further event is possible, so the loop would wait forever. The message shows where each task is waiting."""


class Process:
    """A simulated process: all code that runs in its context, and the connections opened by this code."""

    def __init__(self, name: str, pid: int = 1) -> None:
        self.name = name
        self.pid = pid
        self.is_dead = False
        #: True while the process is suspended: its code waits until `VirtualLoop.release`
        self.is_held = False
        self.held: list[Any] = []
        self.tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()

    def __repr__(self) -> str:
        return f"<process {self.name}{' (dead)' if self.is_dead else ''}>"


#: the process in which a callback or task runs; None represents the test itself, which never dies
PROCESS: ContextVar[Process | None] = ContextVar("simulated_process", default=None)


class NumberedTask(asyncio.Task[Any]):
    """A task whose hash does not depend on its address, so that code that cancels a set of tasks always does so in the
    same order.
    """

    def __init__(self, coro: Any, *, loop: VirtualLoop, **options: Any) -> None:
        loop.tasks_made += 1
        self._number = loop.tasks_made
        super().__init__(coro, loop=loop, **options)

    def __hash__(self) -> int:
        return self._number


class _Handle(asyncio.Handle):
    """A handle without asyncio's debug mode, which asks the loop again for every handle."""

    __slots__ = ()

    def __init__(self, callback: Callable[..., object], args: Any, loop: VirtualLoop, context: Context | None) -> None:
        self._context = contextvars.copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None


class _Timer(asyncio.TimerHandle):
    """A timer without asyncio's debug mode."""

    __slots__ = ()

    def __init__(
        self, when: float, callback: Callable[..., object], args: Any, loop: VirtualLoop, context: Context | None
    ) -> None:
        self._context = contextvars.copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None
        self._when = when
        self._scheduled = True

    def cancel(self) -> None:
        """Cancel, as asyncio does."""
        if not self._cancelled:
            self._cancelled = True
            self._callback = self._args = None
            if self._scheduled:
                self._loop._timer_cancelled_count += 1


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop described in this module. ``limit_s`` limits the virtual time, so that even a test of a bot that never
    stops will terminate.
    """

    def __init__(self, *, seed: int | None = None, limit_s: float = 3600.0) -> None:
        super().__init__()
        self.seed = seed
        self.rounds = 0
        self.tasks_made = 0
        self._now = 0.0
        self._deadline = limit_s
        self._limit_s = limit_s
        self._busy_rounds = 0
        self._chance = None if seed is None else Random(f"loop {seed}")
        self._main: asyncio.Future[Any] | None = None
        self._stuck: Stuck | None = None
        self._grace = False
        self._any_dead = self._any_held = False
        #: coroutines of dead processes, kept so that garbage collection does not run their ``finally`` blocks
        self._graveyard: list[Any] = []
        self._digest = 0
        self._on_step: list[Callable[[], None]] = []
        self._threads: dict[int, _Turns] = {}
        #: (time, number, timer) as a heap. Tuples are compared in C, and timers of one time fire in their order.
        self._scheduled: list[tuple[float, int, Any]] = []
        self._timers_made = 0
        self.network = Network(self, seed)
        self.set_task_factory(lambda loop, coro, **options: NumberedTask(coro, loop=loop, **options))  # type: ignore[arg-type]

    # -- time -----------------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Return the virtual seconds since the loop was created."""
        return self._now

    @property
    def digest(self) -> int:
        """The checksum of all noted events. It does not depend on memory addresses or PYTHONHASHSEED."""
        return self._digest

    def note(self, what: str) -> None:
        """Include an event at the current time in `digest`."""
        self._digest = zlib.crc32(f"{self._now:.9f} {what}".encode(), self._digest)

    def on_step(self, check: Callable[[], None]) -> None:
        """Call ``check`` after every loop iteration. An exception from it aborts the run."""
        self._on_step.append(check)

    # -- running -----------------------------------------------------------------------------------------------

    def _run_once(self) -> None:
        self.rounds += 1
        self._now += ROUND_S
        timers = self._scheduled
        if len(timers) > _TIMERS_MAX and self._timer_cancelled_count * 2 > len(timers):  # type: ignore[has-type]
            self._drop_cancelled()
            timers = self._scheduled
        while timers and (timers[0][2]._cancelled or (self._any_dead and self._is_dead(timers[0][2]))):
            self._forget(heapq.heappop(timers)[2])
        ready = self._ready  # type: ignore[attr-defined]
        if not ready and not self._stopping:  # type: ignore[attr-defined]
            if not timers:
                self._give_up("nothing is scheduled, so nothing will ever happen again")
                return
            self._wait_until(timers[0][0])
        else:
            self._busy_rounds += 1
            if self._busy_rounds > ROUNDS_MAX:
                self._busy_rounds = 0
                self._give_up(f"for {ROUNDS_MAX} rounds there was always something to do, and no task waited")
                return
        while timers and timers[0][0] <= self._now:
            timer = heapq.heappop(timers)[2]
            timer._scheduled = False
            if timer._cancelled:
                self._timer_cancelled_count -= 1
            else:
                ready.append(timer)
        handles = list(ready)
        ready.clear()
        if self._chance is not None and len(handles) > 1:
            handles = self._shuffled(handles, self._chance)
        for handle in handles:
            if handle._cancelled:
                continue
            if (self._any_dead and self._is_dead(handle)) or (self._any_held and self._is_held(handle)):
                continue
            try:
                handle._context.run(handle._callback, *handle._args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self._tell_failed(handle, error)
        for check in self._on_step:
            check()

    def _tell_failed(self, handle: Any, error: BaseException) -> None:
        """Tell of a callback's exception, in asyncio's words."""
        what = asyncio.format_helpers._format_callback_source(handle._callback, handle._args)  # type: ignore[attr-defined]
        context = {"message": f"Exception in callback {what}", "exception": error, "handle": handle}
        self.call_exception_handler(context)

    def _wait_until(self, when: float) -> None:
        self._busy_rounds = 0
        if when > self._now:
            if self._chance is not None and self._chance.random() < _LATE:
                when += self._chance.random() * _LATE_MAX_S
            self._now = when
        if self._now > self._deadline:
            self._give_up(f"the limit of {self._limit_s:g} virtual seconds is reached")

    def _shuffled(self, handles: list[asyncio.Handle], chance: Random) -> list[asyncio.Handle]:
        """Return the handles with the task steps shuffled among their positions and some steps postponed to a later
        iteration.
        """
        places = [
            i
            for i, handle in enumerate(handles)
            if isinstance(getattr(handle._callback, "__self__", None), asyncio.Task)  # type: ignore[attr-defined]
        ]
        if not places:
            return handles
        steps = [handles[i] for i in places]
        chance.shuffle(steps)
        result: list[asyncio.Handle | None] = list(handles)
        for i, step in zip(places, steps, strict=True):
            if chance.random() < _POSTPONED:
                self._ready.append(step)  # type: ignore[attr-defined]
                result[i] = None
            else:
                result[i] = step
        return [handle for handle in result if handle is not None]

    def _drop_cancelled(self) -> None:
        kept = []
        for entry in self._scheduled:
            if entry[2]._cancelled:
                entry[2]._scheduled = False
            else:
                kept.append(entry)
        heapq.heapify(kept)
        self._scheduled = kept
        self._timer_cancelled_count = 0

    def _forget(self, timer: Any) -> None:
        timer._scheduled = False
        if timer._cancelled:
            self._timer_cancelled_count -= 1

    # -- stuck ----------------------------------------------------------------------------------------------------

    def _give_up(self, why: str) -> None:
        """Let the main task clean up, then raise the error from that task. If even cleanup is impossible, raise the
        error from the loop.
        """
        error = Stuck(f"{why} (at {self._now:.3f} s).\n{self.describe_tasks()}")
        if self._stuck is not None or self._main is None or self._main.done():
            self._deadline = self._now + _GRACE_S  # allow some time for cleanup code
            self._stuck = None
            raise error
        self._stuck = error
        self._deadline = self._now + _GRACE_S
        self._main.cancel("the loop is stuck")

    def run_until_complete(self, future: Any) -> Any:
        """Run the loop until a future is done. Raises Stuck if the future can never complete, or does not complete
        within the limit.
        """
        main = asyncio.ensure_future(future, loop=self)
        if main is not future:
            main._log_destroy_pending = False
        outer, self._main = self._main, main
        try:
            result = super().run_until_complete(main)
        except asyncio.CancelledError as error:
            if self._stuck is not None:
                raise self._take_stuck() from error
            raise
        except Stuck:
            raise
        except BaseException as error:
            if self._stuck is not None:
                raise self._take_stuck() from error
            raise
        finally:
            self._main = outer
        if self._stuck is not None:
            raise self._take_stuck()
        return result

    def _take_stuck(self) -> Stuck:
        assert self._stuck is not None
        error, self._stuck = self._stuck, None
        return error

    def describe_tasks(self) -> str:
        """Return a description of where each unfinished task is waiting, with the innermost frame last."""
        waiting = sorted(
            (task for task in asyncio.all_tasks(self) if not task.done()), key=lambda t: _number(t.get_name())
        )
        lines = [f"{len(waiting)} tasks are not done:"]
        for task in waiting:
            lines.append(f"  {task.get_name()}")
            lines += [f"    {place}" for place in _places(task.get_coro())]
        return "\n".join(lines)

    # -- processes ------------------------------------------------------------------------------------------------

    def kill(self, process: Process, *, silently: bool = False) -> None:
        """Kill a process as kill -9 does: none of its code runs afterward, not even a ``finally``.

        The system closes its connections. With ``silently``, its connections send nothing more, as if the machine had
        been unplugged.
        """
        process.is_dead = True
        self._any_dead = True
        for task in process.tasks:
            asyncio.tasks._unregister_task(task)  # type: ignore[attr-defined]
            self._graveyard.append(task)
        self.network.kill(process, silently=silently)
        self.note(f"kill {process.name}")

    def hold(self, process: Process) -> None:
        """Suspend a process: none of its code runs until `release`, while all other code continues."""
        process.is_held = self._any_held = True
        self.note(f"hold {process.name}")

    def release(self, process: Process, *, frozen_s: float = 0.0) -> None:
        """Resume a process. Timers that became due during the suspension are due now. If the machine's clock was
        stopped for ``frozen_s`` seconds, the timers are due that much later instead.
        """
        held, process.held, process.is_held = process.held, [], False
        self.note(f"release {process.name}")
        if process.is_dead:
            self._graveyard += held
            return
        if frozen_s:
            for i, (when, number, timer) in enumerate(self._scheduled):
                if _process_of(timer) is process:
                    timer._when = when + frozen_s
                    self._scheduled[i] = (timer._when, number, timer)
            heapq.heapify(self._scheduled)
        for handle in held:
            if frozen_s and isinstance(handle, asyncio.TimerHandle) and not handle._cancelled:
                handle._when += frozen_s  # type: ignore[attr-defined]
                self._schedule(handle)
            else:
                self._ready.append(handle)  # type: ignore[attr-defined]
        self.network.read_on(process)

    def _is_held(self, handle: Any) -> bool:
        process = _process_of(handle)
        if process is None or not process.is_held:
            return False
        process.held.append(handle)
        return True

    def _is_dead(self, handle: Any) -> bool:
        process = handle._context.get(PROCESS)
        if process is None or not process.is_dead:
            return False
        self._graveyard.append(handle)
        return True

    def _schedule(self, timer: Any) -> None:
        self._timers_made += 1
        timer._scheduled = True
        heapq.heappush(self._scheduled, (timer._when, self._timers_made, timer))

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:  # type: ignore[override]
        """Call in the next iteration, as asyncio does."""
        if self._closed:  # type: ignore[attr-defined]
            self._check_closed()  # type: ignore[attr-defined]
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call at a time of this loop's clock, as asyncio does."""
        if self._closed:  # type: ignore[attr-defined]
            self._check_closed()  # type: ignore[attr-defined]
        timer = _Timer(when, callback, args, self, context)
        self._schedule(timer)
        return timer

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call after ``delay`` seconds, as asyncio does."""
        if self._closed:  # type: ignore[attr-defined]
            self._check_closed()  # type: ignore[attr-defined]
        timer = _Timer(self._now + delay, callback, args, self, context)
        self._schedule(timer)
        return timer

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """Create a task that belongs to the process whose context the task runs in."""
        task = super().create_task(coro, **options)
        context = options.get("context")
        process = PROCESS.get() if context is None else context.get(PROCESS)
        if process is not None:
            process.tasks.add(task)
        return task

    # -- additional methods of selector loops ---------------------------------------------------------------------

    def _write_to_self(self) -> None:
        """Do nothing, because this loop never sleeps and need not be woken."""

    def close(self) -> None:
        """Close the loop and release dead processes.

        Their ``finally`` blocks run only at this point, because Python provides no way to prevent them from running.
        They can no longer affect the loop, and objects that outlive the loop (such as a disk) must refuse their calls.
        """
        super().close()
        for turns in list(self._threads.values()):
            turns.end()
        self._on_step.clear()
        graveyard, self._graveyard = self._graveyard, []
        for thing in graveyard:
            if isinstance(thing, asyncio.Task):
                thing._log_destroy_pending = False  # type: ignore[attr-defined]
                with contextlib.suppress(BaseException):
                    thing.get_coro().close()  # type: ignore[union-attr]
        if graveyard:
            del thing
            graveyard.clear()
            if gc.isenabled():  # a caller that has disabled garbage collection calls collect() later
                collect()

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Do the work after a short delay, in a thread that takes turns with the loop, so that the two never run at the
        same time.

        The work may block with `sleep_in_thread` while the loop continues.
        """
        return self._work(_Turns(self, func, *args).go_on)

    def run_soon(self, func: Callable[[], T]) -> asyncio.Future[T]:
        """Do the work on the loop itself after a short delay. No thread is used, so the work must never sleep."""

        def whole(future: asyncio.Future[T]) -> None:
            _settle(future, func)

        return self._work(whole)

    def _work(self, begin: Callable[[asyncio.Future[T]], None]) -> asyncio.Future[T]:
        self._check_closed()  # type: ignore[attr-defined]
        future: asyncio.Future[T] = self.create_future()
        self.call_later(self.thread_s(), begin, future)
        return future

    def sleep_in_thread(self, seconds: float) -> None:
        """Block `run_in_executor` work for a number of virtual seconds. Raises RuntimeError on the loop's own
        thread.
        """
        turns = self._threads.get(threading.get_ident())
        if turns is None:
            raise RuntimeError(
                "a blocking sleep stops a virtual loop for good; await asyncio.sleep, use asyncio.to_thread, or stay "
                "on real time"
            )
        turns.sleep(seconds)

    def thread_s(self) -> float:
        """Return the duration of the next piece of work in another thread."""
        return _THREAD_S if self._chance is None else _THREAD_S * (1.0 + 9.0 * self._chance.random() ** 4)

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:  # type: ignore[override]
        """Resolve numeric addresses and the names in `Network.names`."""
        return self.network.getaddrinfo(host, port)

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:  # type: ignore[override]
        """Return a connection over the simulated network."""
        return await self.network.create_connection(protocol_factory, host, port, **options)

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:  # type: ignore[override]
        """Return a server on the simulated network."""
        return await self.network.create_server(protocol_factory, host, port, **options)

    async def create_unix_connection(self, protocol_factory: Any, path: Any = None, **options: Any) -> Any:  # type: ignore[override]
        """Return a connection to a server whose address is a path."""
        return await self.network.create_connection(protocol_factory, f"unix:{path}", 0, **options)

    async def create_unix_server(self, protocol_factory: Any, path: Any = None, **options: Any) -> Any:  # type: ignore[override]
        """Return a server whose address is a path."""
        return await self.network.create_server(protocol_factory, f"unix:{path}", 0, **options)


class _Turns:
    """Runs work in a separate thread. The thread runs while the loop is stopped and sleeps while the loop runs."""

    def __init__(self, loop: VirtualLoop, func: Callable[..., Any], *args: Any) -> None:
        self._loop = loop
        self._func = functools.partial(func, *args)
        self._future: asyncio.Future[Any] | None = None
        self._is_over = False
        self._thread_may, self._loop_may = threading.Semaphore(0), threading.Semaphore(0)

    def go_on(self, future: asyncio.Future[Any] | None = None) -> None:
        """Let the thread run until it sleeps or finishes. The first call passes the ``future`` for the result."""
        if self._is_over:
            return
        if future is None:
            self._thread_may.release()
        else:
            self._future = future
            threading.Thread(target=self._run, name="virtual loop's work", daemon=True).start()
        self._loop_may.acquire()

    def _run(self) -> None:
        self._loop._threads[threading.get_ident()] = self
        assert self._future is not None
        try:
            _settle(self._future, self._func)
        except _Ended:
            pass
        finally:
            del self._loop._threads[threading.get_ident()]
            self._loop_may.release()

    def sleep(self, seconds: float) -> None:
        """Block the thread while the loop continues."""
        self._loop.call_later(seconds, self.go_on)
        self._loop_may.release()
        self._thread_may.acquire()
        if self._is_over:
            raise _Ended

    def end(self) -> None:
        """Make the thread's sleep raise an exception because the loop is closed."""
        self._is_over = True
        self._thread_may.release()
        self._loop_may.acquire()


class _Ended(BaseException):
    """The loop was closed while a thread was sleeping on it."""


def _settle(future: asyncio.Future[Any], func: Callable[[], Any]) -> None:
    try:
        result = func()
    except (SystemExit, KeyboardInterrupt, _Ended):
        raise
    except BaseException as error:
        if not future.cancelled():
            future.set_exception(error)
    else:
        if not future.cancelled():
            future.set_result(result)


def _process_of(handle: Any) -> Process | None:
    return None if handle._context is None else handle._context.get(PROCESS)


def _number(name: str) -> tuple[str, int]:
    head, _, digits = name.rpartition("-")
    return (head, int(digits)) if digits.isdigit() else (name, 0)


def _places(coroutine: Any) -> Iterator[str]:
    while coroutine is not None:
        frame = (
            getattr(coroutine, "cr_frame", None)
            or getattr(coroutine, "gi_frame", None)
            or getattr(coroutine, "ag_frame", None)
        )
        if frame is not None:
            yield f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
        elif not isinstance(coroutine, CoroutineType):
            yield f"on {type(coroutine).__name__}"
        following = getattr(coroutine, "cr_await", None)
        if following is None:
            following = getattr(coroutine, "gi_yieldfrom", None) or getattr(coroutine, "ag_await", None)
        coroutine = following


#: a coroutine of a dead process is closed where it waited, and its clean-up finds the loop closed or waits once more
_OF_THE_DEAD = ("Event loop is closed", "coroutine ignored GeneratorExit")


def collect() -> None:
    """Collect the garbage of dead processes now, so that the expected warnings are suppressed here instead of appearing
    in a later test.
    """
    with quiet_dead():
        gc.collect()


@contextlib.contextmanager
def quiet_dead() -> Iterator[None]:
    """Suppress what Python says of the unfinished work of dead processes while it frees it."""
    hook = sys.unraisablehook

    def tell(found: sys.UnraisableHookArgs) -> None:
        if not (isinstance(found.exc_value, RuntimeError) and str(found.exc_value) in _OF_THE_DEAD):
            hook(found)

    sys.unraisablehook = tell
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
            yield
    finally:
        sys.unraisablehook = hook


def running() -> VirtualLoop:
    """Return the running virtual loop. Raises RuntimeError if there is none."""
    loop = events.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise RuntimeError("this needs a virtual loop: mark the test with `virtual_time`")
    return loop


def in_process(process: Process) -> Context:
    """Return a copy of the current context in which code runs as part of ``process``."""
    context = contextvars.copy_context()
    context.run(PROCESS.set, process)
    return context
