"""Substitutes for the machine on the virtual loop: for the ports of the bot and the emulator, and for libraries without
ports.

`ports` returns the ports of `botkit.live.ports`. `on_virtual_time` replaces the machine where botkit and aiohttp use it
directly without ports, so that tests written for the real loop run unchanged. tests/test_architecture.py ensures that
there are only a few such places: live/clock.py, live/background.py, live/machine.py, exchange/machine.py,
emulator/clock.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import random
from collections.abc import Callable, Iterator
from email.utils import formatdate
from types import FrameType
from typing import Any, TypeVar
from unittest import mock

import aiohappyeyeballs
import aiohttp.connector
import aiohttp.web_response

import botkit.emulator.clock
import botkit.exchange.bitopro.sign
import botkit.exchange.machine
import botkit.live.background
import botkit.live.clock
import botkit.live.machine
import botkit.project.connect
from botkit.live.disk import REAL_DISK
from botkit.live.ports import Background, Disk, Job, Machine, Repeating
from botkit.model.clock import NS_PER_S, Nanos
from tests.simulation.loop import VirtualLoop

T = TypeVar("T")

#: the time of day at which every virtual loop starts: 2026-03-02 09:00:00 UTC, a Monday
BEGAN_NS: Nanos = 1_772_442_000 * NS_PER_S
#: the machine's uptime at that time of day
_UP_NS: Nanos = 5_000 * NS_PER_S


class VirtualClock:
    """Implements the clock of a machine (`botkit.live.ports.MachineClock`) and of the emulator
    (`botkit.emulator.clock.MachineTime`).

    ``skew_ns`` changes only the time of day. ``slept_ns`` is the time for which the machine was suspended, in addition
    to the loop's time. ``frozen_ns`` is the suspended time that is part of the loop's time.
    """

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.skew_ns: Nanos = 0
        self.slept_ns: Nanos = 0
        self.frozen_ns: Nanos = 0

    def wall_ns(self) -> Nanos:
        """Return the nanoseconds since the epoch."""
        return BEGAN_NS + self.skew_ns + self.slept_ns + round(self._loop._now * NS_PER_S)

    def monotonic_ns(self) -> Nanos:
        """Return the loop's time in nanoseconds, without suspensions."""
        return round(self._loop._now * NS_PER_S) - self.frozen_ns

    def monotonic_s(self) -> float:
        """Return the loop's time in seconds, without suspensions."""
        return self._loop.time() - self.frozen_ns / NS_PER_S

    def counter_ns(self) -> Nanos:
        """Return the nanoseconds since boot, including suspensions."""
        return _UP_NS + self.slept_ns + round(self._loop._now * NS_PER_S)

    def sleep(self, seconds: float) -> None:
        """Block a thread of ``asyncio.to_thread``. Raises RuntimeError on the loop itself, because no other code could
        run in the meantime.
        """
        self._loop.sleep_in_thread(seconds)


class VirtualThreads:
    """Background work (`botkit.live.ports.Background`) that runs on the loop, after a short delay."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def start(self, name: str, work: Callable[[], None]) -> Job:
        """Run ``work`` after a short delay."""
        return _Once(self._loop, work)

    def repeat(self, name: str, step: Callable[[], float | None]) -> Repeating:
        """Call ``step`` on the loop repeatedly until it returns None.

        The watchdog's steps are not run: they detect long turns, but on this loop they could run only between turns.
        """
        return _NoSteps() if name == "watchdog" else _Steps(self._loop, step)

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` after a short delay."""
        context = contextvars.copy_context()
        return await self._loop.run_soon(lambda: context.run(work))

    def mutex(self) -> contextlib.AbstractContextManager[object]:
        """Return a lock that does nothing, because there are no other threads."""
        return contextlib.nullcontext()

    def caller_frame(self) -> Callable[[], FrameType | None]:
        """Return a function that returns None, because there is no other thread that could inspect a frame."""
        return lambda: None


class _Once:
    def __init__(self, loop: VirtualLoop, work: Callable[[], None]) -> None:
        self._work = work
        self._context = contextvars.copy_context()
        self._has_begun = False
        loop.call_later(loop.thread_s(), self.wait)

    def is_running(self) -> bool:
        return not self._has_begun

    def wait(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._context.run(self._work)


class _Steps:
    def __init__(self, loop: VirtualLoop, step: Callable[[], float | None]) -> None:
        self._loop = loop
        self._step = step
        self._context = contextvars.copy_context()
        self._has_ended = False
        self._handle: asyncio.Handle = loop.call_later(loop.thread_s(), self._go)

    def _go(self) -> None:
        wait_s = self._context.run(self._step)
        if wait_s is None:
            self._has_ended = True
        else:
            self._handle = self._loop.call_later(wait_s + self._loop.thread_s(), self._go)

    def wake(self) -> None:
        if not self._has_ended:
            self._handle.cancel()
            self._handle = self._loop.call_later(self._loop.thread_s(), self._go)

    def stop(self, wait_s: float) -> None:
        self._handle.cancel()
        if not self._has_ended:
            self._has_ended = True
            self._context.run(self._step)


class _NoSteps:
    def wake(self) -> None:
        """Do nothing, because no thread sleeps."""

    def stop(self, wait_s: float) -> None:
        """Do nothing, because no thread runs."""


def ports(
    loop: VirtualLoop, *, seed: object = None, disk: Disk = REAL_DISK, clock: VirtualClock | None = None
) -> Machine:
    """Return a machine that uses the event loop's clock. Its random numbers depend on ``seed`` (default: the loop's
    seed).
    """
    background: Background = VirtualThreads(loop)
    return Machine(
        clock=clock or VirtualClock(loop),
        random=random.Random(f"machine {loop.seed if seed is None else seed}"),
        background=background,
        disk=disk,
        resident_bytes=lambda: None,
    )


# -- for code that was given no machine -------------------------------------------------------------------------------


@contextlib.contextmanager
def on_virtual_time(loop: VirtualLoop) -> Iterator[VirtualClock]:
    """Make botkit and aiohttp use the loop's time, threads, random numbers and connections until the block exits."""
    clock, threads = VirtualClock(loop), VirtualThreads(loop)
    drawn = random.Random(f"drawn {loop.seed}")
    begun = random.getstate()
    random.seed(f"global {loop.seed}")

    def made(seed: object = None) -> random.Random:
        return random.Random(drawn.getrandbits(64) if seed is None else seed)

    async def start_connection(addr_infos: Any, *, loop: Any = None, **options: Any) -> Any:
        host, port = addr_infos[0][4][:2]
        return await asyncio.get_running_loop().network.dial(host, port)  # type: ignore[attr-defined]

    replaced: list[tuple[Any, str, Any]] = [
        *((botkit.live.clock.RealClock, name, staticmethod(getattr(clock, name)))
          for name in ("wall_ns", "monotonic_s", "counter_ns", "sleep")),
        *((botkit.live.background.Threads, name, staticmethod(getattr(threads, name)))
          for name in ("start", "repeat", "run", "caller_frame")),
        *((botkit.emulator.clock.MachineTime, name, staticmethod(getattr(clock, name)))
          for name in ("wall_ns", "monotonic_ns")),
        (botkit.live.machine, "Random", made),
        (botkit.live.machine, "SystemRandom", made),
        (botkit.project.connect, "Random", made),
        (botkit.exchange.machine.SystemClock, "now", staticmethod(clock.wall_ns)),
        (botkit.exchange.machine, "Random", made),
        # reset the nonces, which never decrease within a process, because every loop starts at the same time of day
        (botkit.exchange.bitopro.sign, "_nonces", botkit.exchange.bitopro.sign._LastNonces()),
        (aiohttp.connector, "monotonic", clock.monotonic_s),
        # aiohttp adds a Date header to responses without one
        (aiohttp.web_response, "rfc822_formatted_time", lambda: formatdate(clock.wall_ns() // NS_PER_S, usegmt=True)),
        # aiohttp connects through raw sockets, which the virtual loop does not have
        (aiohappyeyeballs, "start_connection", start_connection),
    ]  # fmt: skip
    with contextlib.ExitStack() as stack:
        stack.callback(random.setstate, begun)
        for owner, name, replacement in replaced:
            stack.enter_context(mock.patch.object(owner, name, replacement))
        yield clock


class MachineLoop(VirtualLoop):
    """A virtual loop that replaces the machine until it is closed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._places = contextlib.ExitStack()
        #: the clock that botkit reads while the loop is open
        self.machine_clock = self._places.enter_context(on_virtual_time(self))

    def close(self) -> None:
        """Close the loop and restore the real machine."""
        super().close()
        self._places.close()
