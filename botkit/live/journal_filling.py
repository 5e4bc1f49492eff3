"""Copies commits from the journal's log into SQLite, in the background or when this process needs to read SQLite."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from botkit.live.journal_faults import unusable
from botkit.live.journal_log import JournalLog, Place, segment_path, segments_of
from botkit.live.journal_rows import JournalError
from botkit.live.journal_tables import Operation, RowWriter
from botkit.live.ports import Background, Disk, Repeating
from botkit.model.clock import NS_PER_HOUR, Nanos

log = logging.getLogger("botkit.live")

#: key in ``meta`` for the log position up to which commits have been copied into the tables
PLACE = "log"
#: how often pending commits are copied into SQLite
_FILL_S = 0.25
_AGAIN_S = 0.5
_IDLE_S = 3_600.0
#: how long `close` waits for the thread that copies commits
_END_S = 10.0
#: number of commits to copy in one transaction; a reader in this process may have to wait for it
_AT_ONCE = 500
#: how long sends are kept, which is far longer than any of the exchange's windows
_SENDS_KEPT: Nanos = 2 * NS_PER_HOUR
_DROP_UNFILLED = """DELETE FROM orders WHERE client_id IN (
  SELECT client_id FROM orders WHERE updated < ? AND final = 1 AND executed_lots = '0' LIMIT ?)"""
_DROPPED_AT_ONCE = 1_000


class Filling:
    """Copies commits from the log into SQLite, in order."""

    def __init__(self, db: sqlite3.Connection, path: Path, disk: Disk, background: Background, log: JournalLog) -> None:
        self._db = db
        self._path = path
        self._disk = disk
        self._background = background
        self._log = log
        #: ensures that only one thread at a time uses the connection
        self._mutex = background.mutex()
        self._writer = RowWriter()
        #: commits not yet copied, as (operations, the log position after the commit)
        self._waiting: deque[tuple[list[Operation], Place]] = deque()
        self._oldest = log.place.segment
        self._identity = disk.files.identity(path)
        self._repeating: Repeating | None = None
        self._is_idle = False
        self._has_ended = False
        self._to_prune: tuple[Nanos, Nanos] | None = None
        #: why the latest copy into SQLite failed; the copy is retried
        self.fault: JournalError | None = None

    @property
    def waiting(self) -> int:
        """The number of commits that are not in SQLite yet."""
        return len(self._waiting)

    def take(self, operations: list[Operation], behind: Place) -> None:
        """Queue a commit that is already in the log. Nothing is written to SQLite yet."""
        self._waiting.append((operations, behind))

    def beside(self) -> None:
        """Wake the background job that fills SQLite, and return immediately. Call this when nothing urgent is
        pending.
        """
        if self._repeating is None and not self._has_ended:
            self._repeating = self._background.repeat("journal", self._step)
        elif self._is_idle and (self._waiting or self._to_prune is not None):
            self._is_idle = False
            assert self._repeating is not None
            self._repeating.wake()

    def _step(self) -> float | None:
        if self._has_ended:
            return None
        self._is_idle = True  # set before the check, so that a commit after the check wakes the job again
        if not self._waiting and self._to_prune is None:
            return _IDLE_S
        self._is_idle = False
        try:
            with self._mutex:
                self._fill()
        except JournalError as error:
            self.fault = error
            return _AGAIN_S
        with contextlib.suppress(OSError):  # the next commit that needs a segment will report this error
            self._log.make_ahead()
        with contextlib.suppress(JournalError):
            if self._to_prune is not None and not self.prune(*self._to_prune):
                self._to_prune = None
        return _FILL_S

    @contextlib.contextmanager
    def filled(self) -> Iterator[None]:
        """Fill SQLite completely, and block other users of the connection until the ``with`` block ends. Raises
        JournalError.
        """
        with self._mutex:
            while self._fill():
                pass
            yield

    def _fill(self) -> bool:
        # access by index, because another thread may append at the same time, which would invalidate an iterator
        batch = [self._waiting[i] for i in range(min(len(self._waiting), _AT_ONCE))]
        if not batch:
            return False
        behind = batch[-1][1]
        is_last = behind.segment > self._oldest  # once this batch is synced, older segments may be deleted
        try:
            synced(self._db, is_last)
            with transaction(self._db):
                for operations, _ in batch:
                    self._writer.write(self._db, operations)
                put(self._db, PLACE, text_of(behind))
            if is_last and self._disk.files.identity(self._path) == self._identity:
                remove_segments(self._path, self._disk, range(self._oldest, behind.segment))
                self._oldest = behind.segment
        except (sqlite3.Error, OSError) as error:
            raise unusable(self._path, "written", error, self._disk) from None
        except (ValueError, TypeError, OverflowError) as error:
            raise JournalError(f"the journal {self._path} cannot be written: {error}") from None
        for _ in batch:
            self._waiting.popleft()
        self.fault = None
        return True

    def rewrite(self, change: Callable[[sqlite3.Connection], None]) -> None:
        """Change rows in place, after all commits so far, in one transaction that no crash can undo once this returns.
        Raises JournalError, in which case nothing has changed.
        """
        # filled first, so that no later start copies rows from the log as they were before the change
        with self.filled():
            try:
                synced(self._db, True)
                with transaction(self._db):
                    change(self._db)
            except (sqlite3.Error, OSError) as error:
                raise unusable(self._path, "written", error, self._disk) from None

    def prune_beside(self, now: Nanos, unfilled_before: Nanos) -> None:
        """Run `prune` in the background until it is done."""
        self._to_prune = now, unfilled_before
        self.beside()

    def prune(self, now: Nanos, unfilled_before: Nanos) -> bool:
        """Delete sends that no rate-limit window counts any more, and orders that became final before
        ``unfilled_before`` without a fill. A market maker produces a gigabyte of such orders in a few days. Fills and
        their orders are kept.

        Each call deletes only a little, so that other users of the connection do not wait long. Returns True if there
        may be more to delete. Raises JournalError.
        """
        with self.filled():
            try:
                self._db.execute("DELETE FROM sends WHERE sent < ?", (now - _SENDS_KEPT,))
                dropped = self._db.execute(_DROP_UNFILLED, (unfilled_before, _DROPPED_AT_ONCE)).rowcount
            except (sqlite3.Error, OSError) as error:
                raise unusable(self._path, "written", error, self._disk) from None
        return dropped == _DROPPED_AT_ONCE

    def end(self) -> None:
        """Fill SQLite completely, so that journal.sqlite contains all commits after a clean shutdown. If the disk
        cannot be written to, the remaining commits stay in the log for the next start. A second call does nothing.
        """
        if self._has_ended:
            return
        self._has_ended = True
        if self._repeating is not None:
            self._repeating.stop(_END_S)
        place = self._log.place
        closed = Place(place.log, place.segment + 1, 0, place.number, is_open=False)
        try:
            with self.filled():
                synced(self._db, True)
                with transaction(self._db):
                    put(self._db, PLACE, text_of(closed))
            self._log.close()
            remove_segments(self._path, self._disk, segments_of(self._path, self._disk.files))
        except (JournalError, sqlite3.Error, OSError) as error:
            log.warning("%s was not updated: %s; the next start will update it from its log", self._path, error)
            self._log.close()


def put(db: sqlite3.Connection, key: str, value: str | int) -> None:
    """Write a document within the caller's transaction."""
    RowWriter().write(db, [("meta", (key, value))])


def text_of(place: Place) -> str:
    """Encode a log position as the text that SQLite stores."""
    return msgspec.json.encode(place).decode()


def synced(db: sqlite3.Connection, is_synced: bool) -> None:
    """Set whether later SQLite transactions return only after their data has reached the disk."""
    db.execute(f"PRAGMA synchronous={'FULL' if is_synced else 'NORMAL'}")


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Run the block in one transaction. Either all of its changes take effect, or none do."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def remove_segments(path: Path, disk: Disk, segments: Iterable[int]) -> None:
    """Remove segments whose contents have been completely copied into SQLite. If a segment cannot be removed now, the
    next start removes it.
    """
    with contextlib.suppress(OSError):
        for segment in segments:
            disk.files.remove(segment_path(path, segment))
