"""The ports of a running bot: everything that the bot uses from the machine besides sockets and the event loop.

The clock, randomness, background work and the disk are injected. A test can therefore run a complete bot in virtual
time, with seeded randomness and a disk that fails. The machine's own ports are in `botkit.live.clock`,
`botkit.live.background` and `botkit.live.disk`, and `botkit.live.machine` combines them. The event loop is already a
port, so ``asyncio.sleep`` and ``loop.call_later`` are used directly. No other module of ``live`` reads a clock,
generates a random number, starts a thread or touches a file that must survive. tests/test_architecture.py enforces
this.
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
        """Return the time of a monotonic clock, in seconds since an arbitrary start. The value is never adjusted and
        does not advance while the machine sleeps.
        """
        ...

    def counter_ns(self) -> Nanos:
        """Return nanoseconds since boot. The value is the same for every process and keeps advancing while the machine
        sleeps.
        """
        ...

    def sleep(self, seconds: float) -> None:
        """Block for a number of seconds. This is for processes without an event loop (`botkit stop`, the guard)."""
        ...


# -- work off the loop ------------------------------------------------------------------------------------------------


class Job(Protocol):
    """A job that a `Background` runs once."""

    def is_running(self) -> bool:
        """Return True until the job has finished."""
        ...

    def wait(self) -> None:
        """Block until the job has finished."""
        ...


class Repeating(Protocol):
    """A job that a `Background` repeats."""

    def wake(self) -> None:
        """Run the job now. May be called from any thread and does not block."""
        ...

    def stop(self, wait_s: float) -> None:
        """Run the job once more and wait for it to finish, for at most ``wait_s`` seconds."""
        ...


class Background(Protocol):
    """Runs slow work outside the event loop."""

    def start(self, name: str, work: Callable[[], None]) -> Job:
        """Run ``work`` once. ``name`` is shown in debuggers."""
        ...

    def repeat(self, name: str, step: Callable[[], float | None]) -> Repeating:
        """Call ``step`` until it returns None. Any other return value is the number of seconds to wait before the next
        call.
        """
        ...

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` without blocking the loop, and return its result."""
        ...

    def mutex(self) -> AbstractContextManager[object]:
        """Return a non-reentrant lock that only one thread can hold at a time."""
        ...

    def caller_frame(self) -> Callable[[], FrameType | None]:
        """Return a function that returns the current frame of the thread that called this method, or None if there are
        no other threads.
        """
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

    #: the size in bytes
    size: int

    def write(self, at: int, content: bytes) -> None:
        """Write at an offset within the file's size. On return, the bytes have reached the disk. If OSError is raised,
        any part of them may have reached the disk.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class DurableFiles(Protocol):
    """Opens files that are written in place. `Files.write` creates them at their final size."""

    def open(self, path: Path) -> DurableFile:
        """Open an existing file. Raises OSError."""
        ...


class Files(Protocol):
    """The files in a bot's folder. Folders are created with their first file. All methods may raise OSError."""

    def read(self, path: Path) -> bytes:
        """Return the complete content of a file. Raises FileNotFoundError if it does not exist."""
        ...

    def write(self, path: Path, content: bytes, *, durable: bool = True) -> None:
        """Replace a file atomically. A reader, or a restart after a crash, finds either the old or the new content,
        never a mixture.

        If ``durable``, both content and name have reached the disk on return.
        """
        ...

    def append(self, path: Path) -> Appending:
        """Open a file for appending, creating it if it is missing."""
        ...

    def names(self, folder: Path) -> list[str]:
        """Return the sorted names of the files in a folder, or an empty result if the folder does not exist."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a file if it exists."""
        ...

    def identity(self, path: Path) -> tuple[int, int] | None:
        """Return a value that changes if the file is replaced, or None if there is no such file."""
        ...


class Pulses(Protocol):
    """Heartbeats that one process records in an existing file's timestamp for another process to read. They need no
    free disk space.
    """

    def beat(self, path: Path, time: Nanos) -> None:
        """Update the file's timestamp. Raises OSError if the disk does not accept even a timestamp, for example because
        it is read-only.
        """
        ...

    def last(self, path: Path) -> Nanos | None:
        """Return the file's timestamp with the file system's precision, or None if there is no such file. Raises
        OSError.
        """
        ...


class Lock(Protocol):
    """A lock held by this process. The operating system releases the lock whenever the process exits, even after a
    crash.
    """

    def release(self) -> None:
        """Release the lock. A second call does nothing."""
        ...


class Disk(Protocol):
    """The disk that holds a bot's folder."""

    files: Files
    pulses: Pulses
    durable: DurableFiles

    def lock(self, path: Path, note: str) -> Lock | None:
        """Lock a file and write ``note`` into it. Return None if another process holds the lock, or is looking at it at
        this moment (`holder`). Raises OSError.
        """
        ...

    def holder(self, path: Path) -> str | None:
        """Return the note of the process that holds the lock file, or None. Two calls at once do not affect each
        other.
        """
        ...

    def connect(self, path: Path, *, read_only: bool = False) -> sqlite3.Connection:
        """Open an SQLite file in autocommit mode. Without ``read_only``, a missing file is created.

        Raises sqlite3.Error and OSError.
        """
        ...

    def free_bytes(self, path: Path) -> int | None:
        """Return the free space on the disk that holds ``path``, which need not exist, or None if unknown."""
        ...

    def folder_bytes(self, folder: Path) -> int:
        """Return the total size of a folder's files, or 0 if the folder cannot be read."""
        ...

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder and as much of its contents as possible. Never raises an exception."""
        ...


# -- all of it --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A process's view of its machine. ``random`` generates random client ids, pauses and names."""

    clock: MachineClock
    random: Random
    background: Background
    disk: Disk
    #: returns the process's resident memory in bytes; None if unknown
    resident_bytes: Callable[[], int | None]
