"""Runs background work (`botkit.live.ports.Background`) on threads or, in a simulation, on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FrameType
from typing import TypeVar

from botkit.live.ports import Job, Repeating

T = TypeVar("T")


class Threads:
    """Runs each job on its own thread. These threads do not keep the process alive. Each thread runs in its caller's
    context, so its log lines are attributed to the caller's bot.
    """

    def start(self, name: str, work: Callable[[], None]) -> Job:
        """Run ``work`` once, on its own thread."""
        return _Once(name, work)

    def repeat(self, name: str, step: Callable[[], float | None]) -> Repeating:
        """Call ``step`` on its own thread until it returns None."""
        return _Loop(name, step)

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` on one of asyncio's threads."""
        return await asyncio.to_thread(work)

    def mutex(self) -> AbstractContextManager[object]:
        """Return a lock."""
        return threading.Lock()

    def caller_frame(self) -> Callable[[], FrameType | None]:
        """Return a function that other threads can call to get the current frame of the thread that called this
        method.
        """
        ident = threading.get_ident()
        return lambda: sys._current_frames().get(ident)


class _Once:
    def __init__(self, name: str, work: Callable[[], None]) -> None:
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(work,), name=f"botkit {name}", daemon=True)
        self._thread.start()

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def wait(self) -> None:
        self._thread.join()


class _Loop:
    def __init__(self, name: str, step: Callable[[], float | None]) -> None:
        self._step = step
        self._woken = threading.Event()
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._run,), name=f"botkit {name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (wait_s := self._step()) is not None:
            self._woken.wait(wait_s)
            self._woken.clear()  # the next step sees every change made before this line

    def wake(self) -> None:
        self._woken.set()

    def stop(self, wait_s: float) -> None:
        self._woken.set()
        self._thread.join(wait_s)


class OnLoop:
    """Runs all work on the running event loop, one job after another, because threads cannot run on virtual time."""

    def start(self, name: str, work: Callable[[], None]) -> Job:
        """Run ``work`` immediately."""
        work()
        return _Done()

    def repeat(self, name: str, step: Callable[[], float | None]) -> Repeating:
        """Call ``step`` from the event loop until it returns None."""
        return _OnTimer(asyncio.get_running_loop(), step)

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` immediately."""
        return work()

    def mutex(self) -> AbstractContextManager[object]:
        """Return a lock that does nothing, because there are no other threads."""
        return contextlib.nullcontext()

    def caller_frame(self) -> Callable[[], FrameType | None]:
        """Return None, because there is no other thread that could watch the loop."""
        return lambda: None


class _Done:
    def is_running(self) -> bool:
        return False

    def wait(self) -> None:
        return None


class _OnTimer:
    def __init__(self, loop: asyncio.AbstractEventLoop, step: Callable[[], float | None]) -> None:
        self._loop = loop
        self._step = step
        self._has_ended = False
        self._handle: asyncio.Handle = loop.call_soon(self._go)

    def _go(self) -> None:
        wait_s = self._step()
        if wait_s is None:
            self._has_ended = True
        else:
            self._handle = self._loop.call_later(wait_s, self._go)

    def wake(self) -> None:
        if not self._has_ended:
            self._handle.cancel()
            self._handle = self._loop.call_soon(self._go)

    def stop(self, wait_s: float) -> None:
        self._handle.cancel()
        if not self._has_ended:
            self._has_ended = True
            self._step()


THREADS = Threads()
