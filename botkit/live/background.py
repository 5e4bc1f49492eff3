"""Work beside the event loop (`botkit.live.ports.Background`): on threads, or for a simulation on the loop itself."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

from botkit.live.ports import Job, Repeating

T = TypeVar("T")


class Threads:
    """A thread for each piece of work. None of them keeps the process alive, and each works in the context of whoever
    started it, so that what it logs is that bot's."""

    def start(self, name: str, work: Callable[[], None]) -> Job:
        """Do ``work`` once, on a thread of its own."""
        return _Once(name, work)

    def repeat(self, name: str, step: Callable[[], float | None]) -> Repeating:
        """Call ``step`` on a thread of its own until it returns None."""
        return _Loop(name, step)

    async def run(self, work: Callable[[], T]) -> T:
        """Do ``work`` on one of asyncio's threads."""
        return await asyncio.to_thread(work)

    def caller_frame(self) -> Callable[[], FrameType | None]:
        """What the calling thread does, for other threads to see."""
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
            self._woken.clear()  # what came before this is seen by the step that follows

    def wake(self) -> None:
        self._woken.set()

    def stop(self, wait_s: float) -> None:
        self._woken.set()
        self._thread.join(wait_s)


class OnLoop:
    """All of it on the running event loop, one piece after the other: with virtual time no thread may run beside it."""

    def start(self, name: str, work: Callable[[], None]) -> Job:
        """Do ``work`` at once."""
        work()
        return _Done()

    def repeat(self, name: str, step: Callable[[], float | None]) -> Repeating:
        """Call ``step`` in steps of the loop until it returns None."""
        return _OnTimer(asyncio.get_running_loop(), step)

    async def run(self, work: Callable[[], T]) -> T:
        """Do ``work`` at once."""
        return work()

    def caller_frame(self) -> Callable[[], FrameType | None]:
        """Nothing runs beside the loop, so nobody can look."""
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
