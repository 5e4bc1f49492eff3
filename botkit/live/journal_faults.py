"""Explains in one sentence what is wrong with a journal: a problem with its disk, or with the journal itself."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from botkit.live.journal_rows import JournalError
from botkit.live.ports import Disk

#: SQLite errors after which the file may be intact, because the disk is full, broken or read-only, or the file has
#: another owner
_DISK_CODES = frozenset(
    (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
    )
)
#: with less free space than this, a failed write is attributed to a full disk; it is enough for a page, SQLite's index,
#: and a margin
_ROOM_NEEDED = 256 * 1024


def is_the_disks_fault(error: sqlite3.Error | OSError) -> bool:
    """Return whether the disk is at fault, in which case the file may be intact."""
    return isinstance(error, OSError) or getattr(error, "sqlite_errorcode", 0) & 0xFF in _DISK_CODES


def unusable(path: Path, verb: str, error: sqlite3.Error | OSError, disk: Disk) -> JournalError:
    """Return an error that explains why a journal could not be opened, read or written (``verb``), and what to do about
    it.

    SQLite reports a full disk as an I/O error if there is no room for the index of its write-ahead log.
    """
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    is_full = code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    if not is_full and code == sqlite3.SQLITE_IOERR:
        free = disk.free_bytes(path)
        is_full = free is not None and free < _ROOM_NEEDED
    if is_full:
        return JournalError(
            f"the journal {path} cannot be {verb}: the disk is full. The journal is intact; free some space"
        )
    return JournalError(f"the journal {path} cannot be {verb}: {error}")


def failed(path: Path, verb: str, error: sqlite3.Error | OSError, disk: Disk) -> JournalError:
    """Return an error that explains why SQLite could not open or read a journal: a disk problem, or damage."""
    return unusable(path, verb, error, disk) if is_the_disks_fault(error) else damaged(path, error)


def commits_lost(path: Path, what: str) -> str:
    """Return an error text for a journal that is readable up to a point after which commits are missing."""
    return f"the journal {path} has lost its latest commits ({what})"


def damaged(path: Path, what: object) -> JournalError:
    """Return an error for a journal that must no longer be used. The error states what to do."""
    return JournalError(
        f"the journal {path} is damaged ({what}). To start over, move it elsewhere, together with the files next to it "
        f"that start with its name. Its orders will then be shown as foreign, so check your open orders first"
    )
