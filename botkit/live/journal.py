"""The journal: everything that a bot must recover after a crash, in one SQLite file.

Every turn that sends something is committed before the first byte leaves: its orders (state SENDING), their slots, the
books and the strategies' own state. WAL with synchronous=FULL, so that a commit survives a power cut; the median cost
is 0.15 ms. It never contains secrets.
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from botkit.live.background import THREADS
from botkit.live.disk import REAL_DISK
from botkit.live.journal_rows import ORDER_FIELDS, JournalError, fill_row, order_of, order_row
from botkit.live.ports import Background, Disk, Job
from botkit.model.clock import NS_PER_HOUR, Nanos
from botkit.model.events import Fill
from botkit.model.inputs import SentBefore
from botkit.model.orders import Order
from botkit.model.pairs import Pair

SCHEMA = 3
#: older schemas that can still be read; the bot's next start upgrades them
_READABLE = (2, SCHEMA)
#: client ids are reserved on disk in blocks of this size; a crash skips the rest of a block
ID_BLOCK = 1_000
#: the exchange's own tools put this client id on every order, so it is never used
ID_MAX = 2_147_483_646
#: how long sends are kept: far longer than any window of the exchange
_SENDS_KEPT: Nanos = 2 * NS_PER_HOUR
#: Final orders are remembered this long, also across restarts, to recognise late reports: four times as long as the
#: exchange may still act on a request. A busy bot sends 1,200 orders a minute of 2 kB each.
REMEMBERED: Nanos = NS_PER_HOUR

#: The write-ahead log is moved into the main file after this many commits, in the background. A busy bot keeps
#: committing meanwhile, so the log cannot restart; a commit that finds this many pages (20 MB) does the small rest.
_CHECKPOINT_COMMITS = 200
_CHECKPOINT_PAGES = 5_000

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE orders (
  client_id INTEGER PRIMARY KEY, strategy TEXT, pair TEXT, side TEXT, type TEXT, price_ticks INTEGER, amount_lots TEXT,
  spend_units TEXT, stop_ticks INTEGER, condition TEXT, post_only INTEGER, expires INTEGER, max_slippage_pct REAL,
  tag TEXT, reduces INTEGER, created INTEGER, sent INTEGER, updated INTEGER, state TEXT, reason TEXT, order_id TEXT,
  executed_lots TEXT, executed_units TEXT, fee_units TEXT, cancel_requested INTEGER, final INTEGER,
  is_quote INTEGER DEFAULT 0);
CREATE INDEX open_orders ON orders (final) WHERE final = 0;
CREATE INDEX orders_updated ON orders (updated);
CREATE TABLE fills (
  client_id INTEGER, executed_lots TEXT, time INTEGER, strategy TEXT, pair TEXT, side TEXT, price_ticks INTEGER,
  lots TEXT, value_units TEXT, fee_units TEXT, fee_currency TEXT, is_maker INTEGER, order_id TEXT,
  PRIMARY KEY (client_id, executed_lots)) WITHOUT ROWID;
CREATE INDEX fills_time ON fills (time);
CREATE TABLE sends (
  run INTEGER, id INTEGER, endpoint TEXT, sent INTEGER, answered INTEGER, client_ids TEXT,
  PRIMARY KEY (run, id)) WITHOUT ROWID;
CREATE TABLE parameters (id INTEGER PRIMARY KEY, time INTEGER, strategy TEXT, name TEXT, value TEXT);
CREATE TABLE reasons (time INTEGER, strategy TEXT, kind TEXT, reason TEXT, count INTEGER);
CREATE INDEX reasons_time ON reasons (time);
CREATE TABLE notes (id INTEGER PRIMARY KEY, time INTEGER, kind TEXT, text TEXT);
"""
#: the statements that upgrade each older schema to the next
_MIGRATIONS = {
    1: ("ALTER TABLE orders ADD COLUMN is_quote INTEGER DEFAULT 0",),
    2: ("DROP TABLE IF EXISTS equity",),  # it got a row a minute that nothing ever read
}
# Amounts and money are text: SQLite's integers end at 2^63, and 1e16 lots times a price does not.

_COLUMNS = ", ".join(ORDER_FIELDS)
_PUT_ORDER = f"INSERT OR REPLACE INTO orders ({_COLUMNS}) VALUES ({', '.join('?' * len(ORDER_FIELDS))})"
_PUT_FILL = "INSERT OR REPLACE INTO fills VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
_PUT_SEND = "INSERT OR REPLACE INTO sends VALUES (?,?,?,?,NULL,?)"
_PUT_ANSWERED = "UPDATE sends SET answered = ? WHERE run = ? AND id = ?"
_PUT_META = "INSERT OR REPLACE INTO meta VALUES (?,?)"
_DROP_UNFILLED = """DELETE FROM orders WHERE client_id IN (
  SELECT client_id FROM orders WHERE updated < ? AND final = 1 AND executed_lots = '0' LIMIT ?)"""
_DROPPED_AT_ONCE = 1_000
#: of a count of client ids; a longer one is damage
_DIGITS_MAX = 12
_PUT_NOTE = "INSERT INTO notes (time, kind, text) VALUES (?,?,?)"


#: SQLite errors where the file may be intact but the disk is full, broken, read-only or owned by another user
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
#: with less free space than this, a failed write is blamed on a full disk: a page, the log's index, and a margin
_ROOM_NEEDED = 256 * 1024


def _is_the_disks_fault(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DISK_CODES


def _unusable(path: Path, verb: str, error: sqlite3.Error | OSError, disk: Disk) -> str:
    """Why a journal could not be opened or written, and what to do. SQLite reports a full disk as an I/O error if it
    hits the index of the log.
    """
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    is_full = code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    if not is_full and code == sqlite3.SQLITE_IOERR:
        free = disk.free_bytes(path)
        is_full = free is not None and free < _ROOM_NEEDED
    if is_full:
        return f"the journal {path} cannot be {verb}: the disk is full. The journal is whole; make room"
    return f"the journal {path} cannot be {verb}: {error}"


def _upgrade(version: int) -> list[str]:
    """The statements that bring a journal from ``version`` (0: an empty file) to `SCHEMA`."""
    if version == 0:
        return [statement for statement in _TABLES.split(";") if statement.strip()]
    return [statement for step in range(version, SCHEMA) for statement in _MIGRATIONS[step]]


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """The newest client id and time in a journal, and up to where ids were reserved: by itself, and by the count that
    is kept beside it."""

    last_id: int | None
    last_time: Nanos
    reserved: int
    counted: int


class FillRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One journaled fill, as plain integers and text."""

    client_id: int
    executed_lots: int
    time: Nanos
    strategy: str
    pair: str
    side: str
    price_ticks: int
    lots: int
    value_units: int
    fee_units: int
    fee_currency: str
    is_maker: bool
    order_id: str


class Journal:
    """One bot's journal file. Created by `open`; used from one thread."""

    def __init__(self, connection: sqlite3.Connection, path: Path, disk: Disk, background: Background) -> None:
        self._db = connection
        self.path = path
        self.disk = disk
        #: there was no file: it begins with this run
        self.is_new = False
        self.run = 0
        self.commits = 0
        self._background = background
        self._moved_at = 0
        self._mover: Job | None = None

    @classmethod
    def open(
        cls, path: Path, *, read_only: bool = False, disk: Disk = REAL_DISK, background: Background = THREADS
    ) -> Journal:
        """Open or create the journal. Raises JournalError saying what is wrong with the file and what to do.

        ``background`` moves the write-ahead log into the file now and then.
        """
        try:
            is_new = disk.files.identity(path) is None
            if read_only and is_new:
                raise JournalError(f"there is no journal {path}; this bot has never run in this mode")
            db = disk.connect(path, read_only=read_only)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(_unusable(path, "opened", error, disk)) from None
        journal = cls(db, path, disk, background)
        journal.is_new = is_new
        try:
            journal._prepare(read_only)
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                db.close()
            if _is_the_disks_fault(error):
                raise JournalError(_unusable(path, "opened", error, disk)) from None
            raise JournalError(
                f"the journal {path} is damaged ({error}). Move it away to start over: orders that it knew will then "
                "be shown as foreign, so look at your open orders first"
            ) from None
        except JournalError:
            db.close()
            raise
        return journal

    def _prepare(self, read_only: bool) -> None:
        db = self._db
        if not read_only:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        check = db.execute("PRAGMA quick_check").fetchone()[0]
        if check != "ok":
            raise sqlite3.DatabaseError(check)
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if not read_only and 0 <= version < SCHEMA:
            with self._transaction():
                for statement in _upgrade(version):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version={SCHEMA}")
        elif version not in _READABLE:
            raise JournalError(
                f"the journal {self.path} has schema {version}, and this botkit reads {SCHEMA}; "
                "run it with the botkit that wrote it, or move the file away"
            )
        if not read_only:
            self.run = int(self.meta("run") or 0) + 1
            self.put_meta({"run": self.run})

    def close(self) -> None:
        """Close the file. Closing twice does nothing."""
        if self._mover is not None:
            self._mover.wait()
        self._db.close()

    def checkpoint_beside(self) -> None:
        """Periodically move commits into the main file, in the background: this takes several confirmed writes, and an
        order would have to wait for them inside a commit.
        """
        is_moving = self._mover is not None and self._mover.is_running()
        if self.commits - self._moved_at >= _CHECKPOINT_COMMITS and not is_moving:
            self._moved_at = self.commits
            self._mover = self._background.start("checkpoint", self._checkpoint)

    def _checkpoint(self) -> None:
        """Runs without the GIL while the disk works. What cannot be moved now is retried after the next commits."""
        with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(self.disk.connect(self.path)) as db:
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # -- what is written ------------------------------------------------------------------------------------------

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
        """Write one turn atomically. ``sends`` are (request id, endpoint, time, client ids); ``states`` are
        documents under names; ``notes`` are (kind, text, time). Raises JournalError."""
        db, run = self._db, self.run
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                for order in orders:
                    db.execute(_PUT_ORDER, order_row(order))
                for fill, now in fills:
                    db.execute(_PUT_FILL, fill_row(fill, now))
                for request_id, endpoint, now, ids in sends:
                    db.execute(_PUT_SEND, (run, request_id, endpoint, now, ",".join(map(str, ids))))
                for request_id, now in answered:
                    db.execute(_PUT_ANSWERED, (now, run, request_id))
                for name, document in states:
                    db.execute(_PUT_META, (name, document))
                for kind, text, now in notes:
                    db.execute(_PUT_NOTE, (now, kind, text))
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        except (sqlite3.Error, OSError) as error:
            raise JournalError(_unusable(self.path, "written", error, self.disk)) from None
        self.commits += 1

    def put_meta(self, values: dict[str, Any]) -> None:
        """Write documents under names at once. Raises JournalError."""
        self.commit(states=list(values.items()))

    def note(self, kind: str, text: str, now: Nanos) -> None:
        """Record something that the user may ask for later: a halt, a difference, a fault."""
        self._execute(_PUT_NOTE, (now, kind, text))

    def let_go(self, client_ids: Iterable[int], reason: str) -> None:
        """End the orders of a departed strategy: this bot no longer follows them."""
        for client_id in client_ids:
            self._execute(
                "UPDATE orders SET state = 'absent', final = 1, reason = ? WHERE client_id = ?", (reason, client_id)
            )

    def parameter(self, strategy: str, name: str, value: Any, now: Nanos) -> None:
        """Record a parameter set at run time."""
        document = msgspec.json.encode(value).decode()
        self._execute(
            "INSERT INTO parameters (time, strategy, name, value) VALUES (?,?,?,?)", (now, strategy, name, document)
        )

    def reasons(self, now: Nanos, rows: Iterable[tuple[str, str, str, int]]) -> None:
        """Add (strategy, kind, reason, count) for trades not made since the last call."""
        for row in rows:
            self._execute("INSERT INTO reasons VALUES (?,?,?,?,?)", (now, *row))

    def prune(self, now: Nanos, unfilled_before: Nanos) -> bool:
        """Drop sends that no window counts any more, and orders that ended ``unfilled_before`` without a fill: a market
        maker produces a gigabyte of them in a few days. True if there may be more to drop: it works in small steps,
        since it blocks everything else. Orders with fills, and the fills, stay.
        """
        self._execute("DELETE FROM sends WHERE sent < ?", (now - _SENDS_KEPT,))
        return self._execute(_DROP_UNFILLED, (unfilled_before, _DROPPED_AT_ONCE)) == _DROPPED_AT_ONCE

    def _execute(self, statement: str, values: Sequence[Any]) -> int:
        try:
            return self._db.execute(statement, values).rowcount
        except (sqlite3.Error, OSError) as error:
            raise JournalError(_unusable(self.path, "written", error, self.disk)) from None

    # -- what is read ---------------------------------------------------------------------------------------------

    def meta(self, key: str) -> Any:
        """A document by name, or None."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def orders(self, pairs: dict[str, Pair], *, since: Nanos | None = None) -> list[Order]:
        """The orders that are not final, and with ``since`` also those changed since then, oldest first."""
        where, values = ("final = 0", ()) if since is None else ("final = 0 OR updated >= ?", (since,))
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM orders WHERE {where} ORDER BY created, client_id", values)
        return [order_of(dict(zip(ORDER_FIELDS, row, strict=True)), pairs) for row in rows]

    def order_rows(self) -> list[dict[str, Any]]:
        """Every order as plain columns, oldest first."""
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM orders ORDER BY created, client_id")
        return [dict(zip(ORDER_FIELDS, row, strict=True)) for row in rows]

    def fills(self, client_id: int | None = None) -> list[FillRecord]:
        """Every fill in order of booking, or those of one order."""
        where, values = ("", ()) if client_id is None else ("WHERE client_id = ?", (client_id,))
        rows = self._db.execute(f"SELECT * FROM fills {where} ORDER BY time, client_id, length(executed_lots)", values)
        return [
            FillRecord(
                client_id=row[0],
                executed_lots=int(row[1]),
                time=row[2],
                strategy=row[3],
                pair=row[4],
                side=row[5],
                price_ticks=row[6],
                lots=int(row[7]),
                value_units=int(row[8]),
                fee_units=int(row[9]),
                fee_currency=row[10],
                is_maker=bool(row[11]),
                order_id=row[12],
            )
            for row in rows
        ]

    def sends_since(self, time: Nanos, *, run: int = 0) -> list[SentBefore]:
        """Requests of earlier runs, or of runs from ``run`` on, that a window may still count."""
        rows = self._db.execute(
            "SELECT endpoint, sent, answered, client_ids FROM sends WHERE sent >= ? AND run >= ? AND run < ? "
            "ORDER BY sent",
            (time, run, self.run or ID_MAX),
        )
        return [
            SentBefore(
                endpoint=endpoint,
                sent=sent,
                answered=answered,
                client_ids=tuple(int(i) for i in ids.split(",")) if ids else (),
            )
            for endpoint, sent, answered, ids in rows
        ]

    def parameters(self) -> list[tuple[str, str, Any]]:
        """(strategy, name, value) of every parameter set at run time, in order."""
        rows = self._db.execute("SELECT strategy, name, value FROM parameters ORDER BY id")
        return [(strategy, name, msgspec.json.decode(value)) for strategy, name, value in rows]

    def reasons_since(self, since: Nanos) -> list[tuple[str, str, str, int]]:
        """(strategy, kind, reason, count) since a time, the most frequent first."""
        rows = self._db.execute(
            "SELECT strategy, kind, reason, SUM(count) FROM reasons WHERE time >= ? GROUP BY strategy, kind, reason "
            "ORDER BY strategy, SUM(count) DESC",
            (since,),
        )
        return list(rows)

    def notes(self, since: Nanos = 0) -> list[tuple[Nanos, str, str]]:
        """(time, kind, text) of every note."""
        return list(self._db.execute("SELECT time, kind, text FROM notes WHERE time >= ? ORDER BY id", (since,)))

    # -- client ids -----------------------------------------------------------------------------------------------

    def lease_ids(self, random: Random, *, after: int | None = None) -> tuple[int, int]:
        """Reserve a block of client ids on disk: (first, one past the last). A new journal starts at a random number,
        so that a lost journal's ids are not reused; ``after`` is the bot's current position.

        The counter is also kept in a separate file: a journal restored from a backup is behind, and two orders with one
        id could not be told apart. Raises JournalError.
        """
        reserved = max(int(self.meta("client_ids") or 0), self._counted())
        if after is not None:
            first = after
        elif reserved:
            # if the whole folder was restored from a backup, this skips past used ids with 99 % probability
            first = reserved + ID_BLOCK * random.randrange(100)
        else:
            first = random.randrange(1, ID_MAX // 2)
        if first >= ID_MAX - ID_BLOCK:
            first = 1
        # the journal first: a count in the file that the journal does not have shows that it lost commits
        self.put_meta({"client_ids": first + ID_BLOCK})
        try:
            self.disk.files.write(self._counter, str(first + ID_BLOCK).encode())
        except OSError as error:
            raise JournalError(f"{self._counter} cannot be written: {error}") from None
        return first, first + ID_BLOCK

    def reach(self) -> Reach:
        """How far what it knows goes (`botkit.live.journal_losses`)."""
        last_id, *times = self._db.execute(
            "SELECT (SELECT MAX(client_id) FROM orders), (SELECT MAX(updated) FROM orders), "
            "(SELECT MAX(sent) FROM sends)"
        ).fetchone()
        return Reach(
            last_id=last_id,
            last_time=max((time for time in times if time is not None), default=0),
            reserved=int(self.meta("client_ids") or 0),
            counted=self._counted(),
        )

    @property
    def _counter(self) -> Path:
        return self.path.with_name("client_ids")

    def _counted(self) -> int:
        try:
            text = self.disk.files.read(self._counter).decode("ascii").strip()
        except (OSError, ValueError):
            return 0
        return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX else 0
