"""A disk behind `botkit.live.ports.Disk` that dies with its process: it refuses dead processes and may lose writes.

The files are real ones in memory (``/dev/shm``), so that everything that reads them works; syncing costs nothing there.
A `SimulatedDisk` is one process's view of them:

* after `die` it takes nothing: not from a ``finally`` that garbage collection runs, not from a half-done step;
* `die` drops what the process had not passed to the system, and with ``power_cut`` also what was appended and never
  synced (recordings, logs); what is replaced atomically is old or new;
* `fail` makes it full, read-only or broken for a while.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botkit.live.disk import RealDisk, RealDurableFiles, RealFiles
from botkit.live.ports import Appending, DurableFile, Lock


class Refused(OSError):
    """A dead process touched its disk."""


class SimulatedDisk(RealDisk):
    """One process's view of its files."""

    def __init__(self, on_write: Callable[[], Callable[[], None] | None] = lambda: None) -> None:
        """``on_write`` is called before every write; the function that it returns is called after the write."""
        super().__init__()
        self.is_dead = False
        #: the error of every write, if the disk fails
        self.error: OSError | None = None
        self.writes = self.refused = 0
        self.files: SimulatedFiles = SimulatedFiles(self)
        self.durable = _DurableFiles(self)
        #: it died of a power cut: the write that it died in may leave a part of itself
        self.tears = False
        self._on_write = on_write
        self._locks: list[Lock] = []
        self._appending: list[_Appending] = []
        self._in_place: list[_InPlace] = []
        self._connections: list[_Connection] = []

    # -- what the simulation calls --------------------------------------------------------------------------------

    def die(self, *, power_cut: bool = False) -> None:
        """Let the process access nothing on the disk from now on, and release its locks as the system does."""
        if self.is_dead:
            return
        self.is_dead = True
        self.tears = power_cut
        for lock in self._locks:
            lock.release()
        for file in self._appending:
            file.die(power_cut=power_cut)

    def close(self) -> None:
        """Release files and connections once the run is over."""
        self.die()
        for file in self._in_place:
            file.close()
        for connection in self._connections:
            sqlite3.Connection.close(connection)

    # -- botkit.live.ports.Disk -----------------------------------------------------------------------------------

    def lock(self, path: Path, note: str) -> Lock | None:
        """Do what the real one does."""
        self.writing()
        found = super().lock(path, note)
        if found is not None:
            self._locks.append(found)
        return found

    def connect(self, path: Path, *, read_only: bool = False) -> sqlite3.Connection:
        """Do what the real one does. The connection also refuses a dead process."""
        self.check()
        disk = self

        class Connection(_Connection):
            owner = disk

        if read_only:
            return sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, factory=Connection
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        found = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Connection)
        # nothing is lost in memory, and a crash of the simulation never falls between two of SQLite's writes
        sqlite3.Connection.execute(found, "PRAGMA synchronous=OFF")
        self._connections.append(found)
        return found

    def remove_folder(self, folder: Path) -> None:
        """Do what the real one does."""
        if not self.is_dead:
            super().remove_folder(folder)

    # -- for its parts --------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise OSError for a dead process."""
        if self.is_dead:
            self.refused += 1
            raise Refused(errno.EIO, "the process is dead")

    def writing(self) -> Callable[[], None] | None:
        """Return a function to call after a write. Raises OSError if the write is impossible."""
        self.check()
        after = self._on_write()
        self.check()  # it may have died of that
        if self.error is not None:
            raise self.error
        self.writes += 1
        return after


class SimulatedFiles(RealFiles):
    """Files of a process that may be dead."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self._disk = disk

    def read(self, path: Path) -> bytes:
        """Do what the real one does."""
        self._disk.check()
        return super().read(path)

    def write(self, path: Path, content: bytes, *, durable: bool = True) -> None:
        """Do what the real one does, without syncing."""
        after = self._disk.writing()
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.new")
        fresh.write_bytes(content)
        fresh.replace(path)
        if after is not None:
            after()

    def append(self, path: Path) -> Appending:
        """Do what the real one does, but lose the buffer with the process."""
        self._disk.check()
        path.parent.mkdir(parents=True, exist_ok=True)
        return _Appending(self._disk, path)

    def names(self, folder: Path) -> list[str]:
        """Do what the real one does."""
        self._disk.check()
        return super().names(folder)

    def remove(self, path: Path) -> None:
        """Do what the real one does."""
        after = self._disk.writing()
        super().remove(path)
        if after is not None:
            after()


class _Appending:
    """An append-only file with a buffer of its own, so that nobody flushes it after the process's death."""

    def __init__(self, disk: SimulatedDisk, path: Path) -> None:
        self._disk = disk
        self._path = path
        self._buffer = bytearray()
        self._synced = path.stat().st_size if path.exists() else 0
        self._number: int | None = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        disk._appending.append(self)

    def write(self, content: bytes, /) -> int:
        self._disk.check()
        self._buffer += content
        if len(self._buffer) > 64 * 1024:
            self.flush()
        return len(content)

    def flush(self) -> None:
        after = self._disk.writing()
        if self._number is None:
            raise ValueError("it is closed")
        if self._buffer:
            os.write(self._number, self._buffer)
            self._buffer.clear()
        if after is not None:
            after()

    def close(self) -> None:
        if self._number is None:
            return
        try:
            self.flush()
        finally:
            self._release()

    def _release(self) -> None:
        number, self._number = self._number, None
        if number is not None:
            os.close(number)

    def die(self, *, power_cut: bool) -> None:
        self._buffer.clear()
        if self._number is not None and power_cut:
            # half of what the system held had reached the disk
            end = os.fstat(self._number).st_size
            os.ftruncate(self._number, self._synced + (end - self._synced) // 2)
        self._release()


class _DurableFiles(RealDurableFiles):
    def __init__(self, disk: SimulatedDisk) -> None:
        self._disk = disk

    def open(self, path: Path) -> DurableFile:
        self._disk.check()
        return _InPlace(self._disk, path)


class _InPlace:
    """A file that is written in place: on return the bytes are there, and a power cut within leaves half of them."""

    def __init__(self, disk: SimulatedDisk, path: Path) -> None:
        self._disk = disk
        self._number: int | None = os.open(path, os.O_RDWR)
        self.size = os.fstat(self._number).st_size
        disk._in_place.append(self)

    def write(self, at: int, content: bytes) -> None:
        if self._number is None:
            raise OSError(errno.EBADF, "it is closed")
        was_dead = self._disk.is_dead
        try:
            after = self._disk.writing()
        except OSError:
            if self._disk.tears and not was_dead:
                os.pwrite(self._number, content[: len(content) // 2], at)
            raise
        os.pwrite(self._number, content, at)
        if after is not None:
            after()

    def close(self) -> None:
        number, self._number = self._number, None
        if number is not None:
            os.close(number)


class _Connection(sqlite3.Connection):
    """An SQLite connection of a process that may be dead. Each of botkit's commits lies within one call."""

    owner: SimulatedDisk
    _after: Callable[[], None] | None = None

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        self._check()
        if sql.startswith("BEGIN"):
            self._after = self._writing()
        found = super().execute(sql, *arguments)
        if sql == "COMMIT" and self._after is not None:
            after, self._after = self._after, None
            after()
        return found

    def executemany(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        self._check()
        return super().executemany(sql, *arguments)

    def executescript(self, sql: str) -> sqlite3.Cursor:
        self._check()
        return super().executescript(sql)

    def _check(self) -> None:
        try:
            self.owner.check()
        except OSError as error:
            raise sqlite3.OperationalError(f"disk I/O error: {error}") from error

    def _writing(self) -> Callable[[], None] | None:
        try:
            return self.owner.writing()
        except OSError as error:
            raise sqlite3.OperationalError(f"disk I/O error: {error}") from error

    def close(self) -> None:
        if not self.owner.is_dead:
            super().close()
