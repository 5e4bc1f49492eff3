"""A terminal in virtual time: commands run sequentially on one virtual loop, while servers keep running on that loop.

    def test_...(terminal: Terminal) -> None:
        emulator = terminal.serve(make_emulator(emulator_options()))
        assert main(["run", str(config), "--rest", emulator.rest, "--ws", emulator.ws, "--duration", "1s"]) == 0

While a terminal is open, ``asyncio.run`` and ``asyncio.Runner`` use its loop. Each command is a separate process, and
its tasks end with the command. Servers started by the test keep running. Time does not advance between two commands,
but the loop continues while a command blocks to wait for a bot (``commands.ask``). The limits broker also runs on the
loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from io import BytesIO
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, TypeVar
from unittest import mock

import aiohttp

from botkit.live import bot_run, market_access
from botkit.live.disk import REAL_DISK
from botkit.live.limits.broker import FOLDER_VARIABLE, Broker, BrokerFolder
from tests.simulation.loop import Process, in_process
from tests.simulation.machine import MachineLoop

T = TypeVar("T")
Served = TypeVar("Served")


class Terminal:
    """A terminal, used as a context manager. ``broker`` is the folder of the limits broker."""

    def __init__(self, broker: Path, *, limit_s: float = 36_000.0) -> None:
        self._broker = BrokerFolder(broker)
        self._limit_s = limit_s
        self._places = contextlib.ExitStack()
        self._servers = contextlib.AsyncExitStack()
        self.loop: TerminalLoop

    def __enter__(self) -> Terminal:
        self.loop = TerminalLoop(limit_s=self._limit_s)
        self._places.callback(self.loop.close)
        self._places.enter_context(mock.patch.dict(os.environ, {FOLDER_VARIABLE: str(self._broker.path)}))
        for owner, name, replacement in (
            (asyncio, "run", self.command),
            (asyncio, "Runner", partial(_Runner, self)),
            (market_access, "build_opener", partial(_Opener, self)),
            # a simulated process has no garbage collector of its own, and objects frozen by this process would be
            # traversed again
            (bot_run, "quiet_collector", contextlib.nullcontext),
        ):
            self._places.enter_context(mock.patch.object(owner, name, replacement))
        self.begin(self._serve_broker())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._places:
            self.loop.run_until_complete(self._servers.aclose())
            self._cancel(asyncio.all_tasks(self.loop))

    def serve(self, server: contextlib.AbstractAsyncContextManager[Served]) -> Served:
        """Start a server that stays up until the terminal is closed."""
        return self.loop.run_until_complete(self._servers.enter_async_context(server))

    def begin(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        """Start a task that runs alongside the commands until the terminal is closed."""
        return self.loop.create_task(work)

    def signal(self, number: int) -> None:
        """Send a signal to the running command. Raises KeyError if the command does not handle it."""
        self.loop.signals[number]()

    def command(self, main: Coroutine[Any, Any, T], **_: Any) -> T:
        """Run a coroutine as ``asyncio.run`` does, in a separate simulated process."""
        process = Process("command")
        try:
            return self.loop.run_until_complete(self.loop.create_task(main, context=in_process(process)))
        finally:
            self._cancel(process.tasks)
            self.loop.signals.clear()

    def _cancel(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        left = [task for task in tasks if not task.done()]

        async def end() -> None:
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

        self.loop.run_until_complete(end())

    async def _serve_broker(self) -> None:
        while True:  # a broker exits when it is idle, and the next command starts another one
            clock = self.loop.machine_clock
            await Broker(self._broker, REAL_DISK.files, clock.counter_ns, Random(1), "the only boot").serve()


class TerminalLoop(MachineLoop):
    """A virtual loop used by several commands in turn."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        #: the handler that the command has installed for each signal
        self.signals: dict[int, Callable[[], object]] = {}

    def add_signal_handler(self, sig: int, callback: Callable[..., object], *args: Any) -> None:
        """Store the handler instead of installing it in the test process."""
        self.signals[sig] = lambda: callback(*args)

    def remove_signal_handler(self, sig: int) -> bool:
        """Remove a stored handler. Return True if there was one."""
        return self.signals.pop(sig, None) is not None

    def sleep_in_thread(self, seconds: float) -> None:
        """Sleep as a virtual loop does. This loop continues while a command without its own loop blocks."""
        if self.is_running() or threading.current_thread() is not threading.main_thread():
            super().sleep_in_thread(seconds)
        else:
            self.run_until_complete(asyncio.sleep(seconds))


class _Opener:
    """A blocking URL opener, as created by ``urllib.request``."""

    def __init__(self, terminal: Terminal, *handlers: object) -> None:
        self._terminal = terminal

    def open(self, url: str, timeout: float) -> BytesIO:
        async def read() -> bytes:
            limit = aiohttp.ClientTimeout(total=timeout)
            async with aiohttp.ClientSession(timeout=limit) as session, session.get(url) as answer:
                return await answer.read()

        try:
            return BytesIO(self._terminal.command(read()))
        except aiohttp.ClientError as error:
            raise OSError(str(error)) from error


class _Runner:
    """Implements `asyncio.Runner` on the terminal's loop."""

    def __init__(self, terminal: Terminal, **_: Any) -> None:
        self._terminal = terminal

    def __enter__(self) -> _Runner:
        return self

    def __exit__(self, *ending: object) -> None:
        pass

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        return self._terminal.command(main)
