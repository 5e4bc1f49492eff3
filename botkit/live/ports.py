"""The ports of a running bot: everything it has from the machine besides sockets and the event loop.

Clock, chance, background work and disk are handed in, so that a test can run a whole bot in virtual time, with seeded
chance and a disk that crashes. The machine's own are in `botkit.live.clock`, `botkit.live.background` and
`botkit.live.disk`; `botkit.live.machine` puts them together. The event loop is a port already: ``asyncio.sleep`` and
``loop.call_later`` are used as they are. No other module of ``live`` reads a clock, draws a number, starts a thread or
touches a file that must survive; tests/test_architecture.py sees to that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType
from typing import Protocol, TypeVar

from botkit.model.clock import Nanos

T = TypeVar("T")


# -- time -------------------------------------------------------------------------------------------------------------


class MachineClock(Protocol):
    """The machine's own time. The bot's, which may run faster, is `botkit.live.clock.DriverClock`."""

    def wall_ns(self) -> Nanos:
        """The time of day, in nanoseconds since the epoch, UTC. Somebody may set it, forward or back."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since some moment. Nobody sets it, and it stands still while the machine sleeps."""
        ...

    def counter_ns(self) -> Nanos:
        """Nanoseconds since the machine started, the same for every process. It goes on while the machine sleeps."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block for so long: for processes without an event loop (`botkit stop`, the guard)."""
        ...


# -- work off the loop ------------------------------------------------------------------------------------------------


class Job(Protocol):
    """Work that was handed to a `Background` and runs once."""

    def is_running(self) -> bool:
        """True until it has ended."""
        ...

    def wait(self) -> None:
        """Block until it has ended."""
        ...


class Repeating(Protocol):
    """Work that is done again and again."""

    def wake(self) -> None:
        """Do it now. Any thread may call this, and it never waits."""
        ...

    def stop(self, wait_s: float) -> None:
        """Do it once more, now, and block until it has ended, for at most ``wait_s``."""
        ...


class Background(Protocol):
    """Runs what may take long beside the event loop."""

    def start(self, name: str, work: Callable[[], None]) -> Job:
        """Do ``work`` once. ``name`` is what a debugger shows."""
        ...

    def repeat(self, name: str, step: Callable[[], float | None]) -> Repeating:
        """Call ``step`` until it returns None; what it returns is how many seconds to wait before the next call."""
        ...

    async def run(self, work: Callable[[], T]) -> T:
        """Do ``work`` and return what it returns, while the loop goes on."""
        ...

    def caller_frame(self) -> Callable[[], FrameType | None]:
        """A function that shows what the thread that called this is doing; None where nothing runs beside it."""
        ...


# -- disk -------------------------------------------------------------------------------------------------------------


class Appending(Protocol):
    """A file that grows. Every method raises OSError where the disk refuses."""

    def write(self, content: bytes, /) -> int:
        """Add bytes at its end."""
        ...

    def flush(self) -> None:
        """Hand what was added to the operating system."""
        ...

    def close(self) -> None:
        """Flush, and let go of it."""
        ...


class Files(Protocol):
    """Files of a bot's folder. Folders come into being with the first file in them. All raise OSError."""

    def read(self, path: Path) -> bytes:
        """All of a file. Raises FileNotFoundError where there is none."""
        ...

    def write(self, path: Path, content: bytes, *, durable: bool = True) -> None:
        """Replace a file, so that a reader, or a crash, finds the old or the new one and never half of it.

        A ``durable`` one has reached the disk on return, and so has its name.
        """
        ...

    def append(self, path: Path) -> Appending:
        """Open a file to add to its end; a missing one begins empty."""
        ...

    def names(self, folder: Path) -> list[str]:
        """What is in a folder, sorted; nothing where there is no such folder."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a file, if there is one."""
        ...

    def identity(self, path: Path) -> tuple[int, int] | None:
        """What tells a file from another one that takes its place; None where there is no file of this name."""
        ...


class Lock(Protocol):
    """A lock that this process holds. The system lets go of it when the process ends, however it ends."""

    def release(self) -> None:
        """Let go of it. Twice does nothing."""
        ...


class Disk(Protocol):
    """Where a bot's folder is."""

    files: Files

    def lock(self, path: Path, note: str) -> Lock | None:
        """Hold a lock file and leave ``note`` in it; None where another process holds it. Raises OSError."""
        ...

    def holder(self, path: Path) -> str | None:
        """The note of the process that holds a lock file, None where nobody does."""
        ...

    def connect(self, path: Path, *, read_only: bool = False) -> sqlite3.Connection:
        """Open an SQLite file, in autocommit mode; without ``read_only`` a missing one is made.

        Raises sqlite3.Error and OSError.
        """
        ...

    def free_bytes(self, path: Path) -> int | None:
        """Room that is left where ``path`` is or would be, None where the system does not tell."""
        ...

    def folder_bytes(self, folder: Path) -> int:
        """What the files of a folder take together; 0 where it cannot be read."""
        ...

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder and all that is in it, as far as the system lets us. Never raises."""
        ...


# -- together ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What one process has from its machine. ``random`` is where chance comes from: client ids, pauses, names."""

    clock: MachineClock
    random: Random
    background: Background
    disk: Disk
    #: memory that the process holds, in bytes; None where the system does not tell
    resident_bytes: Callable[[], int | None]
