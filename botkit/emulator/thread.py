"""An emulator in its own thread, for tests, and for programs whose event loop is missing or short-lived."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, TypeVar

from botkit.emulator.clock import EmulatorClock
from botkit.emulator.options import EmulatorAccount
from botkit.emulator.server import Emulator

T = TypeVar("T")


class EmulatorThread:
    """Starts an emulator in a thread: ``with EmulatorThread(make_emulator) as emulator: emulator.rest``.

    ``make`` is called in that thread. The emulator must not be used from other threads; use `call` to run a function on
    it.
    """

    def __init__(self, make: Callable[[], Emulator]) -> None:
        self._make = make
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready: concurrent.futures.Future[Emulator] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, name="botkit emulator", daemon=True)
        self._emulator: Emulator | None = None

    def __enter__(self) -> EmulatorThread:
        self._thread.start()
        self._emulator = self._ready.result(timeout=60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=30)

    def _run(self) -> None:
        async def serve() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            try:
                async with self._make() as emulator:
                    self._ready.set_result(emulator)
                    await self._stop.wait()
            except BaseException as error:
                if self._ready.done():
                    raise
                self._ready.set_exception(error)

        asyncio.run(serve())

    def call(self, work: Callable[[Emulator], T | Awaitable[T]], timeout_s: float = 30.0) -> T:
        """Run ``work`` (a function or coroutine function that takes the emulator) in the emulator's thread and return
        the result.
        """
        assert self._loop is not None

        async def there() -> Any:
            found = work(self._running)
            return await found if inspect.isawaitable(found) else found

        result: T = asyncio.run_coroutine_threadsafe(there(), self._loop).result(timeout_s)
        return result

    @property
    def _running(self) -> Emulator:
        assert self._emulator is not None, "the emulator is not started; use `with`"
        return self._emulator

    @property
    def rest(self) -> str:
        """The base address for REST."""
        return self._running.rest

    @property
    def ws(self) -> str:
        """The base address for streams."""
        return self._running.ws

    @property
    def clock(self) -> EmulatorClock:
        """The exchange's time; reading it is safe from any thread."""
        return self._running.clock

    @property
    def account(self) -> EmulatorAccount:
        """The first account."""
        return next(iter(self._running.venue.accounts.values()))
