"""The ports of a running bot: everything it uses from the machine besides sockets and the event loop.

Clock, randomness, background work and disk are injected, so that a test can run a whole bot in virtual time, with
seeded randomness and a disk that crashes. The machine's own are in `botkit.live.clock`, `botkit.live.background` and
`botkit.live.disk`; `botkit.live.machine` puts them together. The event loop already is a port: ``asyncio.sleep`` and
``loop.call_later`` are used directly. No other module of ``live`` reads a clock, draws a random number, starts a thread
or touches a file that must survive; tests/test_architecture.py enforces this.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType
from typing import Protocol, TypeVar

from botkit.model.clock import Nanos

T = TypeVar("T")


# -- time -------------------------------------------------------------------------------------------------------------


class MachineClock(Protocol):
    """The machine's own time. The bot's time, which may run faster, is `botkit.live.clock.DriverClock`."""

    def wall_ns(self) -> Nanos:
        """Return the wall time in nanoseconds since the epoch, UTC. It may be set forward or back."""
        ...

    def monotonic_s(self) -> float:
        """Monotonic seconds since an arbitrary start. Never adjusted; stops while the machine sleeps."""
        ...

    def counter_ns(self) -> Nanos:
        """Return nanoseconds since boot, the same for every process. Keeps running while the machine sleeps."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block for some seconds: for processes without an event loop (`botkit stop`, the guard)."""
        ...


# -- work off the loop ------------------------------------------------------------------------------------------------


class Job(Protocol):
    """A one-off job of a `Background`."""

    def is_running(self) -> bool:
        """True until it has ended."""
        ...

    def wait(self) -> None:
        """Block until it has ended."""
        ...


class Repeating(Protocol):
    """A repeating job."""

    def wake(self) -> None:
        """Run it now. Callable from any thread; never waits."""
        ...

    def stop(self, wait_s: float) -> None:
        """Run it once more and block until it has ended, for at most ``wait_s`` seconds."""
        ...


class Background(Protocol):
    """Runs slow work outside the event loop."""

    def start(self, name: str, work: Callable[[], None]) -> Job:
        """Do ``work`` once. ``name`` is what a debugger shows."""
        ...

    def repeat(self, name: str, step: Callable[[], float | None]) -> Repeating:
        """Call ``step`` until it returns None; what it returns is how many seconds to wait before the next call."""
        ...

    async def run(self, work: Callable[[], T]) -> T:
        """Do ``work`` while the loop goes on, and return its result."""
        ...

    def mutex(self) -> AbstractContextManager[object]:
        """Return a non-reentrant lock for one thread at a time."""
        ...

    def caller_frame(self) -> Callable[[], FrameType | None]:
        """Return a function that shows what the calling thread is doing, or None if there are no other threads."""
        ...


# -- disk -------------------------------------------------------------------------------------------------------------


class Appending(Protocol):
    """A file open for appending. Every method raises OSError if the disk fails."""

    def write(self, content: bytes, /) -> int:
        """Append bytes."""
        ...

    def flush(self) -> None:
        """Pass buffered bytes to the operating system."""
        ...

    def close(self) -> None:
        """Flush and close the file."""
        ...


class DurableFile(Protocol):
    """A fixed-size file that is written in place."""

    #: in bytes
    size: int

    def write(self, at: int, content: bytes) -> None:
        """Write at an offset, within the size; on return the bytes have reached the disk.

        Raises OSError; then any part of them may have.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class DurableFiles(Protocol):
    """Files that are written in place. They are created by `Files.write` at their final size."""

    def open(self, path: Path) -> DurableFile:
        """Open an existing file. Raises OSError."""
        ...


class Files(Protocol):
    """Files of a bot's folder. Folders are created with their first file. All methods raise OSError."""

    def read(self, path: Path) -> bytes:
        """Return all of a file. Raises FileNotFoundError if it does not exist."""
        ...

    def write(self, path: Path, content: bytes, *, durable: bool = True) -> None:
        """Replace a file atomically: a reader, or a restart after a crash, finds the old or the new one, never half of
        it.

        If ``durable``, both content and name have reached the disk on return.
        """
        ...

    def append(self, path: Path) -> Appending:
        """Open a file for appending; created if missing."""
        ...

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder, sorted; empty if there is no such folder."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a file, if there is one."""
        ...

    def identity(self, path: Path) -> tuple[int, int] | None:
        """Return an identity that changes if the file is replaced, or None if there is no such file."""
        ...


class Pulses(Protocol):
    """Heartbeats that a process leaves on an existing file for another one. They need no free space."""

    def beat(self, path: Path, time: Nanos) -> None:
        """Stamp the file. Raises OSError if the disk refuses even that, as a read-only one does."""
        ...

    def last(self, path: Path) -> Nanos | None:
        """Return the file's stamp, as precise as the file system keeps it, or None if there is no such file. Raises
        OSError.
        """
        ...


class Lock(Protocol):
    """A lock that this process holds. The system releases it when the process ends, however it ends."""

    def release(self) -> None:
        """Release it. Releasing twice does nothing."""
        ...


class Disk(Protocol):
    """The disk that holds a bot's folder."""

    files: Files
    pulses: Pulses
    durable: DurableFiles

    def lock(self, path: Path, note: str) -> Lock | None:
        """Lock a file and leave ``note`` in it; None if another process holds it. Raises OSError."""
        ...

    def holder(self, path: Path) -> str | None:
        """Return the note of the process that holds a lock file, or None."""
        ...

    def connect(self, path: Path, *, read_only: bool = False) -> sqlite3.Connection:
        """Open an SQLite file in autocommit mode; without ``read_only`` a missing one is created.

        Raises sqlite3.Error and OSError.
        """
        ...

    def free_bytes(self, path: Path) -> int | None:
        """Free space where ``path`` is or would be; None if unknown."""
        ...

    def folder_bytes(self, folder: Path) -> int:
        """Return the total size of a folder's files; 0 if it cannot be read."""
        ...

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder and its contents as far as possible. Never raises."""
        ...


# -- together ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One process's view of its machine. ``random`` is the source of randomness for client ids, pauses and names."""

    clock: MachineClock
    random: Random
    background: Background
    disk: Disk
    #: resident memory of the process in bytes; None if unknown
    resident_bytes: Callable[[], int | None]
