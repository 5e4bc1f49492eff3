"""Traces an order's path through the live code: ``python tests/benchmarks/live_trace.py``.

A real bot trades against the emulator. The trace counts calls of Python functions under ``botkit/`` (`sys.setprofile`,
"call" events; a coroutine counts each time it resumes). It starts with the event loop step that reads a WebSocket
message, and ends with the system call that hands the order's bytes to the socket. The emulator runs in a separate
thread, which is not traced. Unrelated event loop work in between (a timer, another frame) only adds calls, so the
smallest count over several orders is used. The number of calls does not depend on the machine, so a test can enforce a
maximum (tests/live/test_live_trace.py). A frame of trades repeats recent trades, and each listed trade accounts for
five calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import botkit
from botkit.emulator import Emulator, EmulatorOptions
from botkit.engine.strategy.base import Strategy
from botkit.exchange.bitopro.stream import Stream
from botkit.live.notices import Notices
from botkit.live.starting import start
from botkit.model.clock import NS_PER_S
from botkit.project.project import Project
from tests.live.world import CONFIG, UNIT, World

PACKAGE = str(Path(botkit.__file__).parent) + "/"
#: the callback that places the order: on_book after a frame with a book, on_trade after a frame with trades
LIVES = ("on_book", "on_trade")
#: number of orders to trace; the shortest path is used
ORDERS = 8
SPEED = 5.0
#: time between an order and its cancel, by the emulator's clock; long enough for each order to finish before the next
#: one starts
APART_NS = 1 * NS_PER_S
STRATEGY = """
from botkit import Pair, Strategy, hookimpl

class Quick(Strategy):
    pair: Pair

    def on_start(self):
        self.acted = self.now
        if {on_book}:
            self.subscribe_book(self.pair, depth=5)
        else:
            self.subscribe_trades(self.pair)

    def on_book(self, book):
        self.look(book.best_bid)

    def on_trade(self, trade):
        self.look(trade.price)

    def look(self, price):
        if self.now - self.acted < {apart_ns}:
            return
        self.acted = self.now
        if self.open_orders():
            self.cancel_all()
        else:
            self.buy(self.pair, amount=0.001, price=round(price / 2))

@hookimpl
def botkit_register_strategies(register):
    register("puppet", Quick)
"""


class Way(NamedTuple):
    """An order's path from a WebSocket message to the order's bytes."""

    name: str
    calls: int
    #: the files in the order of their first call, with the number of calls into each file
    files: dict[str, int]


class _Tracer:
    """Records the calls in each step of the event loop, and keeps those on an order's path."""

    def __init__(self) -> None:
        self.ways: list[list[CodeType]] = []
        self._step: list[CodeType] = []  # calls in this step
        self._way: list[CodeType] | None = None  # calls in all steps since the last message was read
        self._is_ordered = False
        self._events = 0  # events received since that message
        self._before_step = 0  # events received before this step
        self._text, self._order = Stream._frame.__code__, Strategy.buy.__code__
        self._run = asyncio.Handle._run.__code__

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call":
            if code is self._run:
                self._end_step()
            elif code.co_filename.startswith(PACKAGE):
                self._step.append(code)
                if code is self._order and self._text in self._step:  # this step's own message
                    self._is_ordered, self._way = True, []
                    self._events -= self._before_step
                elif code is self._order and self._way is not None:
                    self._is_ordered = True
            elif code.co_name in LIVES:
                self._events += 1
        elif event == "c_call" and self._is_ordered and argument.__name__ in ("send", "sendmsg"):
            self._end_step()
            assert self._way is not None
            if self._events == 1:  # one message may contain many trades
                self.ways.append(self._way)
            self._way, self._is_ordered = None, False

    def _end_step(self) -> None:
        step, self._step = self._step, []
        self._before_step = self._events
        if self._text in step and (not self._is_ordered or self._way is None):
            self._way, self._events, self._before_step = step, 0, 0
        elif self._way is not None:
            self._way += step


class _EmulatorThread:
    """An emulator in a thread with its own event loop."""

    def __init__(self, facts: Any) -> None:
        self._facts = facts
        self._is_open = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        options = EmulatorOptions(
            balances={"usdt": 100_000 * UNIT, "btc": UNIT}, speed=SPEED, seed=3, history_days=0.02
        )
        async with Emulator(self._facts, options) as self.emulator:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            self._is_open.set()
            await self._stop.wait()

    async def __aenter__(self) -> Emulator:
        self._thread.start()
        await asyncio.to_thread(self._is_open.wait)
        return self.emulator

    async def __aexit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        await asyncio.to_thread(self._thread.join)


@contextlib.asynccontextmanager
async def _trading(folder: Path, life: str) -> AsyncIterator[None]:
    """Run a bot that repeatedly places and cancels an order until the block exits."""
    (folder / "plugins").mkdir(parents=True)
    strategy = STRATEGY.format(on_book=life == "on_book", apart_ns=APART_NS)
    (folder / "plugins" / "quick.py").write_text(strategy, encoding="utf-8")
    config = folder / "world.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    async with _EmulatorThread(Project.load(config).facts) as emulator:
        bot = await start(World(folder, emulator, config, SPEED).parts(), Notices())
        try:
            yield
        finally:
            await bot.driver.close()
            await bot.close()


async def way(folder: Path, life: str) -> Way:
    """Return the shortest path among several orders."""
    tracer = _Tracer()
    async with _trading(folder, life), asyncio.timeout(60):
        sys.setprofile(tracer)
        try:
            while len(tracer.ways) < ORDERS:
                await asyncio.sleep(0.01)
        finally:
            sys.setprofile(None)
    shortest = min(tracer.ways, key=len)
    files = Counter(code.co_filename.removeprefix(PACKAGE) for code in shortest)
    return Way(life, len(shortest), dict(files))  # a Counter preserves insertion order


async def ways(folder: Path) -> list[Way]:
    """Trace every kind of order path."""
    return [await way(folder / life, life) for life in LIVES]


def main() -> None:
    """Print the files in order, with the number of calls into each file."""
    with tempfile.TemporaryDirectory() as folder:
        for one in asyncio.run(ways(Path(folder))):
            print(f"\norder sent in {one.name}: {one.calls} calls in {len(one.files)} files")
            for file, calls in one.files.items():
                print(f"{calls:>6}  {file}")


if __name__ == "__main__":
    main()
