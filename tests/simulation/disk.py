"""A disk behind `botkit.live.ports.Disk` that dies with its process: it refuses calls from dead processes and may lose
writes.

The files are real files in memory (``/dev/shm``), so that all code that reads them works; syncing costs nothing there.
A `SimulatedDisk` is one process's view of the files:

* after `die`, it accepts no calls, not even from a ``finally`` run by garbage collection or from a half-finished step;
* `die` drops data that the process had not passed to the system. With ``power_cut``, it also drops data that had not
  reached the disk: part of the data appended but not synced, any sectors of an in-place write, SQLite transactions
  since the last sync, and replaced files that were not synced (whose contents become old, new or empty).

A `Medium` is the disk that the processes share. It may be full, read-only or failing for a while (`Medium.trouble`).
"""

from __future__ import annotations

import errno
import io
import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from botkit.live.disk import RealDisk, RealDurableFiles, RealFiles, RealPulses
from botkit.live.ports import Appending, DurableFile, Lock
from botkit.model.clock import Nanos

#: unit of an in-place write: a power cut may leave only some of the sectors in a write
_SECTOR = 512
#: number of recently replaced files that a power cut may leave old, new or empty
_UNSYNCED_MAX = 6
#: SQLite's codes for disk errors
_SQLITE_CODES = {
    errno.ENOSPC: (sqlite3.SQLITE_FULL, "database or disk is full"),
    errno.EROFS: (sqlite3.SQLITE_READONLY, "attempt to write a readonly database"),
    errno.EIO: (sqlite3.SQLITE_IOERR, "disk I/O error"),
}


class Refused(OSError):
    """A dead process tried to use its disk."""


class Medium:
    """The disk shared by all processes on a machine.

    ``trouble`` is its current fault: "disk_full" (writes within existing files and heartbeats still work), "disk_tight"
    (only files of up to ``room`` bytes fit), "disk_read_only", or "disk_failing" (some writes fail, possibly after a
    partial write).
    """

    def __init__(self, seed: object = 0) -> None:
        self.trouble = ""
        self.room = 0
        #: by fault class: how many writes each disk fault refused, and how many losses power cuts caused
        self.struck: Counter[str] = Counter()
        self.chance = Random(f"medium {seed}")
        #: for each SQLite file, the size of its write-ahead log after each transaction that a power cut could still
        #: lose, oldest first
        self.transactions: dict[Path, list[int]] = {}
        #: files that were replaced without a sync, newest last, with their previous contents
        self.unsynced: dict[Path, bytes | None] = {}

    def refusal(self, kind: str, size: int = 0) -> OSError | None:
        """Return the error that a write of the given kind ("file", "append", "in place", "sqlite", "remove", "beat")
        raises, or None.
        """
        trouble, number = self.trouble, 0
        if not trouble:
            return None
        if trouble == "disk_read_only":
            number = errno.EROFS
        elif trouble == "disk_failing" and self.chance.random() < 0.5:
            number = errno.EIO
        elif trouble == "disk_full":
            number = errno.ENOSPC if kind in ("file", "append", "sqlite") else 0
        elif trouble == "disk_tight":
            number = errno.ENOSPC if kind == "file" and size > self.room else 0
        if not number:
            return None
        self.struck[trouble] += 1
        return OSError(number, os.strerror(number))

    # -- a power cut ----------------------------------------------------------------------------------------------

    def tear(self, number: int, at: int, content: bytes) -> None:
        """Write only a random selection of the sectors of an in-place write."""
        written, count = 0, 0
        place = 0
        while place < len(content):
            end = min(len(content), (at + place) // _SECTOR * _SECTOR + _SECTOR - at)
            count += 1
            if self.chance.random() < 0.5:
                os.pwrite(number, content[place:end], at + place)
                written += 1
            place = end
        if count == 1 and not written:  # within one sector: nothing, or only its first bytes
            part = self.chance.randrange(len(content))
            os.pwrite(number, content[:part], at)
            written, count = int(part > 0), 2
        self.struck["disk_torn"] += 0 < written < count

    def leave_sqlite(self, *, power_cut: bool) -> None:
        """Detach a dead process's SQLite connections from their files, as if the system had closed them. A power cut
        loses transactions that were not synced.
        """
        for path, ends in self.transactions.items():
            log = path.with_name(f"{path.name}-wal")
            if not path.exists() or not log.exists():
                continue
            kept = self.chance.choice(ends) if power_cut else log.stat().st_size
            self.struck["disk_lost_sqlite"] += kept < ends[-1]
            replace(path, path.read_bytes())
            replace(log, log.read_bytes()[:kept])
            path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
            if power_cut:
                self.transactions[path] = [kept]

    def was_put_back(self, path: Path) -> None:
        """Forget which transactions of a database were synced, because somebody has put another one in its place."""
        self.transactions.pop(path, None)

    def lose_unsynced(self) -> None:
        """Leave each file that was replaced without a sync in a randomly chosen state: old, new or empty."""
        for path, before in self.unsynced.items():
            draw = self.chance.random()
            if draw < 0.5 or not path.exists():
                continue
            if draw < 0.75 and before is not None:
                path.write_bytes(before)
            else:
                path.write_bytes(b"")
            self.struck["disk_lost_file"] += 1
        self.unsynced.clear()


def replace(path: Path, content: bytes) -> None:
    """Give a file new content and a new inode. A process that has the old file open keeps the old file."""
    fresh = path.with_name(f"{path.name}.replacing")
    fresh.write_bytes(content)
    fresh.replace(path)


class SimulatedDisk(RealDisk):
    """One process's view of the shared files."""

    def __init__(
        self, on_write: Callable[[], Callable[[], None] | None] = lambda: None, medium: Medium | None = None
    ) -> None:
        """``on_write`` is called before every write and returns a function that is called after the write."""
        super().__init__()
        self.is_dead = False
        self.medium = medium or Medium()
        self.writes = self.refused = 0
        self.pulses = _Pulses(self)
        self.files: SimulatedFiles = SimulatedFiles(self)
        self.durable = _DurableFiles(self)
        #: True if the process died in a power cut, which may leave a write half finished
        self.tears = False
        self._on_write = on_write
        self._locks: list[Lock] = []
        self._appending: list[_Appending] = []
        self._in_place: list[_InPlace] = []
        self._connections: list[_Connection] = []

    # -- what the simulation calls --------------------------------------------------------------------------------

    def die(self, *, power_cut: bool = False) -> None:
        """End the process's access to the disk and release its locks, as the system does."""
        if self.is_dead:
            return
        self.is_dead = True
        self.tears = power_cut
        for lock in self._locks:
            lock.release()
        for file in self._appending:
            file.die(power_cut=power_cut)
        self.medium.leave_sqlite(power_cut=power_cut)
        if power_cut:
            self.medium.lose_unsynced()

    def close(self) -> None:
        """Release files and connections after the run."""
        self.die()
        for file in self._in_place:
            file.close()
        for connection in self._connections:
            sqlite3.Connection.close(connection)

    # -- botkit.live.ports.Disk -----------------------------------------------------------------------------------

    def lock(self, path: Path, note: str) -> Lock | None:
        """Lock as the real disk does."""
        self.writing("lock")
        found = super().lock(path, note)
        if found is not None:
            self._locks.append(found)
        return found

    def connect(self, path: Path, *, read_only: bool = False) -> sqlite3.Connection:
        """Connect as the real disk does. The connection also refuses calls from a dead process."""
        self.check()
        if read_only:
            reader = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, factory=_Connection
            )
            reader.owner = self
            return reader
        path.parent.mkdir(parents=True, exist_ok=True)
        found = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=_Connection)
        found.owner = self
        # files in memory need no sync, and a simulated crash never occurs between two writes by SQLite
        sqlite3.Connection.execute(found, "PRAGMA synchronous=OFF")
        # without checkpoints, the write-ahead log only grows, and its tail can be cut off
        sqlite3.Connection.execute(found, "PRAGMA wal_autocheckpoint=0")
        found.log = path.with_name(f"{path.name}-wal")
        self.medium.transactions.setdefault(path, [found.logged()])
        self._connections.append(found)
        return found

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder as the real disk does."""
        if not self.is_dead:
            super().remove_folder(folder)

    # -- for its parts --------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise OSError if the process is dead."""
        if self.is_dead:
            self.refused += 1
            raise Refused(errno.EIO, "the process is dead")

    def writing(self, kind: str, size: int = 0) -> Callable[[], None] | None:
        """Check that a write is possible, and return a function to call after the write. Raises OSError if the write is
        impossible.
        """
        self.check()
        after = self._on_write()
        self.check()  # the process may have died during on_write
        error = self.medium.refusal(kind, size)
        if error is not None:
            raise error
        self.writes += 1
        return after


class SimulatedFiles(RealFiles):
    """Files of a process that may be dead."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self._disk = disk

    def read(self, path: Path) -> bytes:
        """Read as the real files do."""
        self._disk.check()
        return super().read(path)

    def write(self, path: Path, content: bytes, *, durable: bool = True) -> None:
        """Write as the real files do, but without syncing."""
        after = self._disk.writing("file", len(content))
        if not durable:
            self._remember(path)
        else:
            self._disk.medium.unsynced.pop(path, None)
        fresh = f"{path}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        try:
            number = os.open(fresh, flags, 0o600)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            number = os.open(fresh, flags, 0o600)
        os.write(number, content)
        os.close(number)
        os.replace(fresh, path)  # noqa: PTH105  a path object would take as long as the calls
        if after is not None:
            after()

    def _remember(self, path: Path) -> None:
        unsynced = self._disk.medium.unsynced
        try:
            unsynced[path] = path.read_bytes()
        except FileNotFoundError:
            unsynced[path] = None
        if len(unsynced) > _UNSYNCED_MAX:
            del unsynced[next(iter(unsynced))]

    def append(self, path: Path) -> Appending:
        """Append as the real files do, but lose the buffer when the process dies."""
        self._disk.check()
        path.parent.mkdir(parents=True, exist_ok=True)
        return _Appending(self._disk, path)

    def names(self, folder: Path) -> list[str]:
        """List names as the real files do."""
        self._disk.check()
        return super().names(folder)

    def remove(self, path: Path) -> None:
        """Remove a file as the real files do."""
        after = self._disk.writing("remove")
        self._disk.medium.unsynced.pop(path, None)
        super().remove(path)
        if after is not None:
            after()


class _Appending:
    """An append-only file with its own buffer, which can no longer be flushed once its process is dead."""

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
        if len(self._buffer) > io.DEFAULT_BUFFER_SIZE:
            self.flush()
        return len(content)

    def flush(self) -> None:
        after = self._disk.writing("append" if self._buffer else "flush")
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
            # part of the data buffered by the system had already reached the disk
            end = os.fstat(self._number).st_size
            os.ftruncate(self._number, self._synced + self._disk.medium.chance.randint(0, end - self._synced))
        self._release()


class _DurableFiles(RealDurableFiles):
    def __init__(self, disk: SimulatedDisk) -> None:
        self._disk = disk

    def open(self, path: Path) -> DurableFile:
        self._disk.check()
        return _InPlace(self._disk, path)


class _InPlace:
    """A file for in-place writes. A write is complete when the call returns. If power is cut during a write, any part
    of it may have been written.
    """

    def __init__(self, disk: SimulatedDisk, path: Path) -> None:
        self._disk = disk
        self._number: int | None = os.open(path, os.O_RDWR)
        self.size = os.fstat(self._number).st_size
        disk._in_place.append(self)

    def write(self, at: int, content: bytes) -> None:
        if self._number is None:
            raise OSError(errno.EBADF, "it is closed")
        was_dead, medium = self._disk.is_dead, self._disk.medium
        try:
            after = self._disk.writing("in place", len(content))
        except OSError:
            if self._disk.tears and not was_dead:
                medium.tear(self._number, at, content)
            elif not self._disk.is_dead and medium.trouble == "disk_failing":
                os.pwrite(self._number, content[: medium.chance.choice((0, len(content) // 2, len(content)))], at)
            raise
        os.pwrite(self._number, content, at)
        if after is not None:
            after()

    def close(self) -> None:
        number, self._number = self._number, None
        if number is not None:
            os.close(number)


class _Connection(sqlite3.Connection):
    """An SQLite connection of a process that may be dead. Each botkit commit is a single call."""

    owner: SimulatedDisk
    #: its write-ahead log; None for a reader
    log: Path | None = None
    _after: Callable[[], None] | None = None
    _is_synced = True

    def logged(self) -> int:
        """Return the size of SQLite's write-ahead log."""
        assert self.log is not None
        try:
            return self.log.stat().st_size
        except FileNotFoundError:
            return 0

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        self._check()
        if sql.startswith("PRAGMA synchronous="):
            self._is_synced = sql.endswith("FULL")
            return self.cursor()
        is_alone = sql.startswith(("DELETE", "PRAGMA journal_mode")) and not self.in_transaction
        if self.log is not None and (sql.startswith("BEGIN") or is_alone):
            self._after = self._writing()
        found = super().execute(sql, *arguments)
        if sql == "COMMIT" or is_alone:
            self._committed()
        return found

    def _committed(self) -> None:
        if self.log is not None:
            ends = self.owner.medium.transactions.setdefault(self.log.with_name(self.log.name[: -len("-wal")]), [])
            if self._is_synced:
                ends.clear()
            ends.append(self.logged())
        after, self._after = self._after, None
        if after is not None:
            after()

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
            return self.owner.writing("sqlite")
        except Refused as error:
            raise sqlite3.OperationalError(f"disk I/O error: {error}") from error
        except OSError as error:
            code, text = _SQLITE_CODES[error.errno or errno.EIO]
            failure = sqlite3.OperationalError(text)
            failure.sqlite_errorcode = code  # type: ignore[misc]
            raise failure from error

    def close(self) -> None:
        if self.owner.is_dead:
            return
        super().close()
        # when the last connection closes, SQLite copies its entire log into the database file
        if self.log is not None and not self.log.exists():
            self.owner.medium.transactions[self.log.with_name(self.log.name[: -len("-wal")])] = [0]


class _Pulses(RealPulses):
    def __init__(self, disk: SimulatedDisk) -> None:
        self._disk = disk

    def beat(self, path: Path, time: Nanos) -> None:
        self._disk.writing("beat")
        super().beat(path, time)
