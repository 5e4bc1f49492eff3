"""Bots that die at a chosen point. Each is forked from a process that has already loaded all modules.

    python -m tests.live.killed_bot        reads one `Life` per line as JSON; prints its process ID, then its exit code

A forked process does not need to import modules again, so hundreds of bots can die in a minute. A bot kills itself with
SIGKILL when it reaches its phase for the count-th time: nothing is flushed and no ``finally`` runs, but data in the
kernel's socket buffers is still sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from botkit.exchange.bitopro.adapter import BitoProAdapter
from botkit.live import disk, journal_filling, journal_log
from botkit.live.driver import LiveDriver
from botkit.live.journal import Journal
from botkit.model.events import TradeReport
from botkit.model.requests import CancelBatch, CancelOrder, CreateBatch, CreateOrder

BEFORE_ROW = "before the journal row"
NOT_SENT = "journal row, not yet sent"
NOT_ANSWERED = "sent, not yet answered"
SEVERAL = "several creates on their way"
BATCH = "a batch on its way"
NOT_TAKEN_IN = "answer not yet taken in"
CANCEL = "cancel on its way"
FILL = "fill not yet journaled"
TORN = "journal row half written"
FILLING = "SQLite half filled from the log"
FILLED = "SQLite filled, its log not yet deleted"
SIGTERM = "SIGTERM in the middle of a submit"
#: the phases in which a bot kills itself; in the last phase, it is instead stopped cleanly at the worst possible time
INSIDE = (
    *(BEFORE_ROW, TORN, NOT_SENT, NOT_ANSWERED, SEVERAL, BATCH, NOT_TAKEN_IN, CANCEL, FILL, FILLING, FILLED),
    SIGTERM,
)
#: small, so that a log segment is deleted every few orders
_SEGMENT_BYTES = 8 * 1024
#: the longest response delay of the emulator
ANSWER_DELAY_S = 0.06
_SEVERAL = 3
_CREATES = ("create_order", "create_batch")
_LOADED = ("botkit.cli.run", "botkit.assembly.operations", "botkit.assembly.outputs", "aiohttp", "numpy", "uvloop")


class Life(msgspec.Struct, kw_only=True):
    """One run of a bot: the phase in which it dies, its command line, and the file for its output."""

    phase: str
    count: int
    seed: int
    arguments: list[str]
    environ: dict[str, str]
    told: str


def die() -> None:
    """Die immediately, without output or cleanup."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_within(seconds: float) -> None:
    """Die after ``seconds``."""
    asyncio.get_running_loop().call_later(seconds, die)


class Blow:
    """Kills the bot when it reaches ``phase`` for the ``count``-th time."""

    def __init__(self, phase: str, count: int, random: Random) -> None:
        self._phase = phase
        self._left = count
        self._random = random
        self._creates = 0  # creates in flight
        self._fills = 0  # fills received but not yet journaled
        self._tears = False  # tear the next write to the log

    def _reached(self, phase: str, then: Callable[[], None] = die) -> None:
        if phase == self._phase:
            self._left -= 1
            if self._left == 0:
                then()

    def _soon(self) -> None:
        """Die at a random time between the sending of the first byte and roughly the arrival of the response."""
        die_within(self._random.uniform(0, ANSWER_DELAY_S))

    def arm(self) -> None:
        """Patch the bot so that it dies at the chosen point."""
        commit, send, sink = Journal.commit, BitoProAdapter.send, LiveDriver.sink
        blow = self

        def commit_or_die(self: Journal, **written: Any) -> None:
            written["sends"] = list(written.get("sends", ()))
            if any(endpoint in _CREATES for _, endpoint, *_ in written["sends"]):
                blow._reached(BEFORE_ROW)
                blow._reached(TORN, lambda: setattr(blow, "_tears", True))
            if blow._fills:
                blow._reached(FILL)
            commit(self, **written)
            blow._fills = 0

        def send_or_die(self: BitoProAdapter, request: Any, **options: Any) -> Any:
            creates = isinstance(request, (CreateOrder, CreateBatch))
            blow._before(request)
            blow._creates += creates
            return answered(creates, send(self, request, **options))

        async def answered(creates: bool, sent: Any) -> Any:
            try:
                answer = await sent
            finally:
                blow._creates -= creates
            if creates:
                blow._reached(NOT_TAKEN_IN)
            return answer

        def sink_or_die(self: LiveDriver, event: Any) -> None:
            if type(event) is TradeReport:
                blow._fills += 1
            sink(self, event)

        put, remove_segments = journal_filling.put, journal_filling.remove_segments
        write_in_place = disk._InPlace.write

        def put_or_die(db: Any, key: str, value: Any) -> None:
            blow._reached(FILLING)
            put(db, key, value)

        def remove_or_die(*arguments: Any) -> None:
            blow._reached(FILLED)
            remove_segments(*arguments)

        def write_or_die(self: disk._InPlace, at: int, content: bytes) -> None:
            if blow._tears:
                write_in_place(self, at, content[: blow._random.randrange(len(content))])
                die()
            write_in_place(self, at, content)

        disk._InPlace.write = write_or_die  # type: ignore[method-assign]
        journal_filling.put = put_or_die
        journal_filling.remove_segments = remove_or_die
        journal_log.SEGMENT_BYTES = journal_log._SMALL_BYTES = _SEGMENT_BYTES
        Journal.commit = commit_or_die  # type: ignore[method-assign]
        BitoProAdapter.send = send_or_die  # type: ignore[method-assign]
        LiveDriver.sink = sink_or_die  # type: ignore[method-assign]

    def _before(self, request: Any) -> None:
        if isinstance(request, (CreateOrder, CreateBatch)):
            self._reached(NOT_SENT)
            self._reached(NOT_ANSWERED, self._soon)
            self._reached(SIGTERM, lambda: os.kill(os.getpid(), signal.SIGTERM))
            if self._creates >= _SEVERAL - 1:
                self._reached(SEVERAL, self._soon)
        if isinstance(request, (CancelOrder, CancelBatch)):
            self._reached(CANCEL, self._soon)
        if isinstance(request, (CreateBatch, CancelBatch)):
            self._reached(BATCH, self._soon)


def live(life: Life) -> int:
    """Run the bot. Return its exit code if it was not killed."""
    told = os.open(life.told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, wanted in ((nothing, 0), (told, 1), (told, 2)):
        os.dup2(descriptor, wanted)
    os.environ.update(life.environ)
    Blow(life.phase, life.count, Random(life.seed)).arm()
    from botkit.cli.main import main

    return main(life.arguments)


def serve() -> None:
    """Fork a bot for each line of input."""
    for name in _LOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()
    for line in sys.stdin:
        life = msgspec.json.decode(line, type=Life)
        child = os.fork()
        if child == 0:
            code = 70
            try:
                code = live(life)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
