"""Implements the machine's disk (`botkit.live.ports.Disk`): atomic files, locks, SQLite."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Collection
from io import FileIO
from pathlib import Path
from typing import IO

from botkit.live.ports import Appending, DurableFile, DurableFiles, Files, Lock, Pulses
from botkit.model.clock import Nanos

#: how long SQLite waits for other processes to finish (`botkit status`, a checkpoint)
_BUSY_S = 5
#: the unit of direct writes: a multiple of every common disk block size
_BLOCK = 4_096
#: the names of temporary files: the target's name and the writer's process id
_UNFINISHED = re.compile(r"(.+)\.\d+\.new")


class RealFiles:
    """The files of the operating system."""

    def read(self, path: Path) -> bytes:
        """Return the complete content of a file."""
        return path.read_bytes()

    def write(self, path: Path, content: bytes, *, durable: bool = True) -> None:
        """Write a temporary file and rename it to the target."""
        fresh = f"{path}.{os.getpid()}.new"  # `remove_unfinished` knows this form
        try:
            with _created(fresh) as file:
                file.write(content)
                if durable:
                    file.flush()
                    _sync(file.fileno())
            os.replace(fresh, path)  # noqa: PTH105  several times a second, as above
        except OSError:
            with contextlib.suppress(OSError):  # a partial file is useless and takes up space on a full disk
                Path(fresh).unlink(missing_ok=True)
            raise
        if durable:
            _sync_folder(path.parent)

    def append(self, path: Path) -> Appending:
        """Open a file for appending."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")

    def names(self, folder: Path) -> list[str]:
        """Return the sorted names of the files in a folder."""
        try:
            return sorted(os.listdir(folder))  # noqa: PTH208  five times a second
        except (FileNotFoundError, NotADirectoryError):
            return []

    def remove(self, path: Path) -> None:
        """Remove a file if it exists."""
        path.unlink(missing_ok=True)

    def identity(self, path: Path) -> tuple[int, int] | None:
        """Return the file's device and inode."""
        try:
            found = os.stat(path)  # noqa: PTH116  before every order
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_dev, found.st_ino


class RealPulses:
    """Stores heartbeats as modification times. A heartbeat changes only the file's metadata, so it works even on a full
    disk.
    """

    def beat(self, path: Path, time: Nanos) -> None:
        """Set the file's modification time."""
        os.utime(path, ns=(time, time))

    def last(self, path: Path) -> Nanos | None:
        """Return the file's modification time."""
        try:
            return path.stat().st_mtime_ns
        except FileNotFoundError:
            return None


class RealDurableFiles:
    """Unbuffered files that are written in place, at any offset."""

    def open(self, path: Path) -> DurableFile:
        """Open a file."""
        return _InPlace(path)


class _InPlace:
    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b", buffering=0)
        self._number = self._file.fileno()
        self.size = os.fstat(self._number).st_size
        self._blocks = _blocks_of(path, self.size)

    def write(self, at: int, content: bytes) -> None:
        assert at + len(content) <= self.size, "a file that is written in place never grows"
        if self._blocks is not None:
            if self._blocks.write(at, content):
                return
            self._blocks.close()
            self._blocks = None
        written = _write_at(self._file, at, content)
        while written < len(content):
            written += _write_at(self._file, at + written, content[written:])
        _sync_data(self._number)

    def close(self) -> None:
        self._file.close()
        if self._blocks is not None:
            self._blocks.close()


class _Blocks:
    """Writes the blocks of a file directly to the disk. This takes a third less processor time than a write to the page
    cache followed by a sync. Speed matters here, because orders wait for the write.

    A write rewrites whole blocks from a copy of the file in memory. The bytes before ``at`` do not change, so a torn
    write cannot damage it.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._number = os.open(path, os.O_RDWR | os.O_DIRECT | os.O_DSYNC | os.O_CLOEXEC)
        self._memory = mmap.mmap(-1, size)  # direct writes need memory that is aligned to pages
        self._memory[:] = path.read_bytes()
        self._view = memoryview(self._memory)

    def write(self, at: int, content: bytes) -> bool:
        """Write at an offset and return True once the bytes have reached the disk. Return False if this file system
        cannot write directly. Raises OSError.
        """
        end = at + len(content)
        self._view[at:end] = content
        begin, end = at - at % _BLOCK, end + -end % _BLOCK
        try:
            return os.pwrite(self._number, self._view[begin:end], begin) == end - begin
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return False

    def close(self) -> None:
        if self._number >= 0:
            os.close(self._number)
            self._number = -1
            self._view.release()
            self._memory.close()


def _blocks_of(path: Path, size: int) -> _Blocks | None:
    """Return a file's blocks, or None if they cannot be written directly."""
    if sys.platform != "linux" or not size or size % _BLOCK:
        return None
    try:
        return _Blocks(path, size)
    except OSError:
        return None


def _write_at(file: FileIO, at: int, content: bytes) -> int:
    if os.name == "posix":
        return os.pwrite(file.fileno(), content, at)
    file.seek(at)  # pragma: no cover
    return file.write(content)  # pragma: no cover


def _sync(number: int) -> None:
    """Wait until a file's content, size and times have reached the disk itself, not just its cache."""
    if sys.platform == "darwin":  # pragma: no cover
        import fcntl

        with contextlib.suppress(OSError):  # network file systems do not support this
            fcntl.fcntl(number, fcntl.F_FULLFSYNC)
            return
    os.fsync(number)  # on Windows this calls FlushFileBuffers


def _sync_data(number: int) -> None:
    """Sync a file whose size has not changed. Unlike `_sync`, this need not write the file's metadata."""
    if sys.platform == "linux":
        os.fdatasync(number)
    else:  # pragma: no cover
        _sync(number)


def _created(path: str) -> IO[bytes]:
    """Open a new file for writing, in a folder that need not exist yet."""
    try:
        return open(path, "wb", opener=_for_its_owner)
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return open(path, "wb", opener=_for_its_owner)


def _for_its_owner(path: str, flags: int) -> int:
    """Open a file with permissions that allow only its owner to read it."""
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    """Sync a folder. After a power failure, a renamed file keeps its new name only if its folder has also been
    synced.
    """
    if os.name != "posix":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems cannot sync folders
            os.fsync(number)
    finally:
        os.close(number)


class _Held:
    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def release(self) -> None:
        self._file.close()


class RealDisk:
    """The file system of this machine."""

    def __init__(self) -> None:
        self.files: Files = RealFiles()
        self.pulses: Pulses = RealPulses()
        self.durable: DurableFiles = RealDurableFiles()

    def lock(self, path: Path, note: str) -> Lock | None:
        """Lock a file without waiting. Creates the file's folder, which only the owner can access."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.name == "posix":
            path.parent.chmod(0o700)
        file = path.open("a+", encoding="ascii")
        try:
            if not _try_lock(file):
                file.close()
                return None
            # Windows locks the first byte, and other processes cannot read a locked byte
            file.truncate(0)
            file.write(f" {note}\n")
            file.flush()
        except BaseException:
            with contextlib.suppress(OSError):  # closing repeats the flush, which may fail again
                file.close()
            raise
        return _Held(file)

    def holder(self, path: Path) -> str | None:
        """Return the note that the lock's holder left in the lock file."""
        try:
            file = _open_lock(path)
        except OSError:
            return None
        with file:
            if not _is_locked(file):
                return None
            file.seek(1)
            return file.read().strip()

    def connect(self, path: Path, *, read_only: bool = False) -> sqlite3.Connection:
        """Open an SQLite file."""
        if read_only:
            return sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S, isolation_level=None
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        return sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)

    def free_bytes(self, path: Path) -> int | None:
        """Return the free space available to this user."""
        try:
            return shutil.disk_usage(next(p for p in (path, *path.absolute().parents) if p.exists())).free
        except (OSError, StopIteration):
            return None

    def folder_bytes(self, folder: Path) -> int:
        """Return the total size of the files in a folder."""
        with contextlib.suppress(OSError):
            return sum(entry.stat().st_size for entry in os.scandir(folder))
        return 0

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder and as much of its contents as possible."""
        shutil.rmtree(folder, ignore_errors=True)


def remove_unfinished(files: Files, folder: Path, own: Collection[str]) -> None:
    """Remove the temporary files of processes that were killed while they wrote a file into this folder.

    ``own`` contains the first words of the names of the files that only the holder of the folder's lock writes, such as
    ``journal`` for ``journal.sqlite-log-2``. The caller holds that lock, so their writers are gone. Other processes may
    still be writing all other files.
    """
    with contextlib.suppress(OSError):  # a disk that fails is reported by the first write that matters
        for name in files.names(folder):
            found = _UNFINISHED.fullmatch(name)
            if found is not None and found[1].split(".")[0] in own:
                files.remove(folder / name)


def _open_lock(path: Path) -> IO[str]:
    try:
        return path.open("r+", encoding="ascii")  # network file systems lock only writable files
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        return path.open("r", encoding="ascii")


def _try_lock(file: IO[str]) -> bool:
    """Lock a file without waiting. The operating system releases the lock whenever the process exits, even after a
    crash.
    """
    if os.name == "posix":
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
    import msvcrt  # pragma: no cover

    file.seek(0)  # pragma: no cover
    with contextlib.suppress(OSError):  # pragma: no cover
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        return True
    return False  # pragma: no cover


def _is_locked(file: IO[str]) -> bool:
    """Return whether another process holds the lock. Two processes may look at the same time: neither takes the other
    for the holder.
    """
    if os.name == "posix":
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # released when the file is closed
        except OSError:
            return True
        return False
    try:  # pragma: no cover
        os.read(file.fileno(), 1)  # Windows refuses to read a byte that another handle has locked
    except PermissionError:  # pragma: no cover
        return True
    return False  # pragma: no cover


REAL_DISK = RealDisk()
