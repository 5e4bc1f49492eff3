"""The journal stores all data that a bot must recover after a crash. It consists of a log and an SQLite file that is
filled from the log.

Every turn that sends a request is committed before the first byte is sent: its orders (state SENDING), their slots, the
books and the strategies' own state. A commit is one record in the log (`botkit.live.journal_log`). The record is
synced, so it survives a power failure. Soon afterward, the commit is copied into SQLite, from which all readers read.
The journal never contains secrets.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from botkit.live.background import THREADS
from botkit.live.disk import REAL_DISK
from botkit.live.journal_faults import commits_lost, failed, unusable
from botkit.live.journal_filling import PLACE, Filling, put, remove_segments, synced, text_of, transaction
from botkit.live.journal_log import JournalLog, Place, Tail, make_segment, read_tail, segment_path, segments_of
from botkit.live.journal_reading import ID_BLOCK, ID_MAX, FillRecord, JournalReading, Reach
from botkit.live.journal_rows import ORDER_FIELDS, JournalError, fill_row, order_row
from botkit.live.journal_tables import READABLE, SCHEMA, Operation, RowWriter, lay_over, upgrade
from botkit.live.ports import Background, Disk
from botkit.model.clock import NS_PER_HOUR, Nanos
from botkit.model.events import Fill
from botkit.model.orders import Order

__all__ = [
    "DAMAGE",
    "ID_BLOCK",
    "ID_MAX",
    "LARGEST_INTEGER",
    "REMEMBERED",
    "SCHEMA",
    "SKIPPED_MAX",
    "FillRecord",
    "Journal",
    "Reach",
    "remove_journal",
]

#: a start skips a random number of blocks, fewer than this, so that a folder restored from a backup rarely reuses an id
_BLOCKS_SKIPPED = 100
#: the maximum distance from the previously reserved ids to the end of the block reserved at a start
SKIPPED_MAX = ID_BLOCK * (_BLOCKS_SKIPPED + 1)
#: how long final orders are remembered, even across restarts, to recognise late reports: four times as long as the
#: exchange may still act on a request. A busy bot sends 1,200 orders of 2 kB each per minute.
REMEMBERED: Nanos = NS_PER_HOUR

#: a reader of a running bot's log retries if a segment was deleted while it was reading
_LOOKS = 5
#: the largest integer that a table can hold; larger figures are stored as text
LARGEST_INTEGER = 2**63 - 1
_PRICE, _STOP = ORDER_FIELDS.index("price_ticks"), ORDER_FIELDS.index("stop_ticks")
#: key in ``meta`` for damage that has not been reported to the user yet
DAMAGE = "damage"

_pack = msgspec.msgpack.Encoder().encode
_operations = msgspec.msgpack.Decoder(list[tuple[str, list[Any]]]).decode


class Journal(JournalReading):
    """One bot's journal, opened with `Journal.open`. One thread uses it while another thread fills SQLite."""

    def __init__(self, connection: sqlite3.Connection, path: Path, disk: Disk, background: Background) -> None:
        super().__init__(connection, path, disk)
        #: True if the file did not exist, so the journal starts with this run
        self.is_new = False
        self._background = background
        #: the log that is being written; None for a reader
        self.log: JournalLog | None = None
        self.filling: Filling | None = None
        #: the number of commits that a reader found only in the log
        self.read_over = 0
        self._reserved = 0

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        read_only: bool = False,
        disk: Disk = REAL_DISK,
        background: Background = THREADS,
        random: Random | None = None,
    ) -> Journal:
        """Open or create the journal. Raises JournalError, which explains what is wrong with the file and how to fix
        it.

        ``background`` runs the job that fills SQLite. ``random`` generates the name of a new log, so that different
        logs can be distinguished.
        """
        try:
            is_new = disk.files.identity(path) is None
            if read_only and is_new:
                raise JournalError(f"there is no journal {path}; this bot has never run in this mode")
            db = disk.connect(path, read_only=read_only)
        except (sqlite3.Error, OSError) as error:
            raise unusable(path, "opened", error, disk) from None
        try:
            journal = cls(db, path, disk, background)
            journal.is_new = is_new
            journal._prepare(read_only, random)
        except (sqlite3.Error, OSError) as error:
            with contextlib.suppress(sqlite3.Error):
                db.close()
            raise failed(path, "opened", error, disk) from None
        except BaseException:
            db.close()
            raise
        return journal

    # -- opening --------------------------------------------------------------------------------------------------

    def _prepare(self, read_only: bool, random: Random | None) -> None:
        db = self._db
        if not read_only:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA fullfsync=1")  # needed on macOS, where a plain sync only reaches the drive's cache
            db.execute("PRAGMA checkpoint_fullfsync=1")
        check = db.execute("PRAGMA quick_check").fetchone()[0]
        if check != "ok":
            raise sqlite3.DatabaseError(check)
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if read_only and version == 0:
            raise JournalError(
                f"there is no journal in {self.path} yet: the bot's first start ended before it was written; start the "
                f"bot again"
            )
        if version not in READABLE if read_only else not 0 <= version <= SCHEMA:
            raise JournalError(
                f"the journal {self.path} has schema {version}, but this botkit reads {SCHEMA}; use the botkit "
                f"version that wrote it, or move the file elsewhere"
            )
        self._is_sealed = version == SCHEMA
        if not read_only:
            self._recover(version, random)
        elif version == SCHEMA:
            self._read_over_the_log()

    def _read_over_the_log(self) -> None:
        """Load the commits that are in the log but not yet in SQLite, from a consistent snapshot."""
        self._db.execute("PRAGMA temp_store=MEMORY")
        tail = Tail([])
        for _ in range(_LOOKS):
            self._db.execute("BEGIN")
            place = self._place()
            tail = Tail([]) if place is None else read_tail(self.path, self.disk.files, place)
            if tail.damage is None:
                break
            self._db.execute("ROLLBACK")
        if tail.damage is not None:
            self.damage = commits_lost(self.path, tail.damage)
        self.read_over = len(tail.records)
        if tail.records:
            with self.reading("a commit of its log"):
                lay_over(self._db, [(_operations(record.body), record.order_fields) for record in tail.records])

    def _recover(self, version: int, random: Random | None) -> None:
        """Copy the rest of the log into SQLite and start a new log segment."""
        db, files = self._db, self.disk.files
        place = self._place() if version == SCHEMA else None
        found = segments_of(self.path, files)
        if place is not None:
            tail = read_tail(self.path, files, place)
            end = tail.records[-1].end if tail.records else place
        else:
            # the segments are left over because the journal was moved away without its log, or because it was restored
            # from a backup made before it had a log
            tail = Tail([])
            if any(files.read(segment_path(self.path, segment)).strip(b"\0") for segment in found):
                tail.damage = f"its log {segment_path(self.path, found[0]).name} belongs to another journal"
            if tail.damage is not None and version == 0:
                raise JournalError(
                    f"there is a log next to {self.path} ({segment_path(self.path, found[0]).name} ...), but not the "
                    "journal that it belongs to: restore the journal, or move the log elsewhere too"
                )
            end = Place(f"{(random or _chance()).getrandbits(64):016x}", 0, 0, 1)
        # After a clean shutdown, start the next segment. A copy of the files made at the shutdown then still matches
        # this log.
        due = end.segment if end.segment and not end.offset else end.segment + 1
        begin = Place(end.log, max([due, *(segment + 1 for segment in found)]), 0, end.number)
        if tail.damage is not None:
            self._set_aside(found)
        make_segment(self.path, files, begin.segment)
        synced(db, True)
        with transaction(db):
            if version < SCHEMA:
                upgrade(db, version)
            writer = RowWriter()
            for record in tail.records:
                with self.reading("a commit of its log"):
                    writer.write(db, _operations(record.body), record.order_fields)
            self._is_sealed = True
            self.damage = self.meta(DAMAGE) or None
            if tail.damage is not None:
                self.damage = commits_lost(self.path, tail.damage)
            self.run = self._number("run") + 1
            put(db, DAMAGE, self.damage or "")
            put(db, "run", self.run)
            put(db, PLACE, text_of(begin))
            self._reserved = self._number("client_ids")
        self.log = JournalLog(self.path, self.disk, begin, self._background.mutex())
        self.filling = Filling(db, self.path, self.disk, self._background, self.log)
        remove_segments(self.path, self.disk, found)

    def _place(self) -> Place | None:
        document = self.document(PLACE)
        with self.reading("the place in its log"):
            return None if document is None else msgspec.convert(document, Place)

    def _set_aside(self, segments: Iterable[int]) -> None:
        """Copy the log's segments to files with other names, because part of the log is unreadable."""
        for segment in segments:
            path, files = segment_path(self.path, segment), self.disk.files
            files.write(path.with_name(path.name.replace("-log-", "-damaged-log-")), files.read(path))

    def close(self) -> None:
        """Copy all commits into SQLite and close the journal. A second call does nothing."""
        if self.filling is not None:
            self.filling.end()
        self._db.close()

    # -- writing --------------------------------------------------------------------------------------------------

    def commit(
        self,
        *,
        orders: Iterable[Order] = (),
        fills: Iterable[tuple[Fill, Nanos]] = (),
        sends: Iterable[tuple[int, str, Nanos, Sequence[int]]] = (),
        answered: Iterable[tuple[int, Nanos]] = (),
        states: Iterable[tuple[str, bytes]] = (),
        notes: Iterable[tuple[str, str, Nanos]] = (),
    ) -> None:
        """Write one commit atomically. ``sends`` are (request id, endpoint, time, client ids). ``states`` are (name,
        document). ``notes`` are (kind, text, time). If JournalError is raised, nothing was written.
        """
        run = self.run
        operations: list[Operation] = []
        for order in orders:
            row = order_row(order)
            if row[_PRICE] > LARGEST_INTEGER or row[_STOP] > LARGEST_INTEGER:
                # checked now, because SQLite is filled only later and could not store it
                raise JournalError(
                    f"the journal {self.path} cannot be written: the price of order {row[0]} is too large"
                )
            operations.append(("order", row))
        # plain loops for speed: an order usually has one row and one send, and even an empty comprehension costs a call
        for fill, now in fills:
            operations.append(("fill", fill_row(fill, now)))
        for number, name, now, ids in sends:
            operations.append(("send", (run, number, name, now, ",".join(map(str, ids)))))
        for number, now in answered:
            operations.append(("answered", (now, run, number)))
        for state in states:
            operations.append(("meta", state))
        for kind, text, now in notes:
            operations.append(("note", (now, kind, text)))
        self._commit(operations)

    def _commit(self, operations: list[Operation]) -> None:
        if not operations:
            return
        if self.log is None or self.filling is None:
            raise JournalError(f"the journal {self.path} was opened read-only")
        if self.filling.fault is not None:  # if SQLite cannot be filled, the log would grow without limit
            raise JournalError(str(self.filling.fault))
        try:
            behind = self.log.append(_pack(operations))
        except OSError as error:
            raise unusable(self.path, "written", error, self.disk) from None
        except (TypeError, ValueError, OverflowError) as error:
            raise JournalError(f"the journal {self.path} cannot be written: {error}") from None
        self.filling.take(operations, behind)

    def put_meta(self, values: dict[str, Any]) -> None:
        """Write named documents immediately. Raises JournalError."""
        self._commit([("meta", item) for item in values.items()])

    def note(self, kind: str, text: str, now: Nanos) -> None:
        """Record a note that the user may look up later, such as a halt, a difference or a fault."""
        self._commit([("note", (now, kind, text))])

    def let_go(self, client_ids: Iterable[int], reason: str) -> None:
        """Stop following orders of a strategy that is no longer configured, which stay open, and mark them as final."""
        self._commit([("let_go", (client_id, reason)) for client_id in client_ids])

    def parameter(
        self, strategy: str, name: str, value: Any, now: Nanos, *, documents: Mapping[str, bytes] | None = None
    ) -> None:
        """Record a parameter set at run time, together with named documents."""
        row = (now, strategy, name, msgspec.json.encode(value).decode())
        self._commit([("parameter", row), *(("meta", item) for item in (documents or {}).items())])

    def reasons(self, now: Nanos, rows: Iterable[tuple[str, str, str, int]]) -> None:
        """Add rows of (strategy, kind, reason, count): the reasons for not trading since the last call."""
        self._commit([("reason", (now, *row)) for row in rows])

    def _ask(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if self.filling is None:  # while the journal is being opened, or in a reader
            return super()._ask(statement, values)
        with self.filling.filled():
            return super()._ask(statement, values)

    # -- client ids -----------------------------------------------------------------------------------------------

    def lease_ids(self, random: Random, *, after: int | None = None) -> tuple[int, int]:
        """Reserve a block of client ids on disk and return (first, one past the last). A new journal starts at a random
        number, so that it does not reuse the ids of a lost journal. ``after`` is the bot's current position.

        The counter is also stored in a separate file. A journal restored from a backup is out of date, and two orders
        with equal ids could not be distinguished. Raises JournalError.
        """
        reserved = max(self._reserved, self._counted())
        if after is not None:
            first = after
        elif reserved:
            # if the entire folder was restored from a backup, this skips the used ids with 99 % probability
            first = reserved + ID_BLOCK * random.randrange(_BLOCKS_SKIPPED)
        else:
            first = random.randrange(1, ID_MAX // 2)
        if first >= ID_MAX - ID_BLOCK:
            first = 1
        # write the journal first: if the count in the file is ever ahead of the journal, the journal has lost commits
        self.put_meta({"client_ids": first + ID_BLOCK})
        self._reserved = first + ID_BLOCK
        try:
            self.disk.files.write(self._counter, str(first + ID_BLOCK).encode())
        except OSError as error:
            raise JournalError(f"{self._counter} cannot be written: {error}") from None
        return first, first + ID_BLOCK


def remove_journal(path: Path, disk: Disk) -> None:
    """Remove a journal and all its files. Raises OSError."""
    for name in disk.files.names(path.parent):
        if name.startswith(path.name):
            disk.files.remove(path.with_name(name))


def _chance() -> Random:
    from botkit.live.machine import secret_random

    return secret_random()
