"""The journal's read queries. A row that has changed since it was written is reported as damage and never returned."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from botkit.live.journal_faults import damaged, failed
from botkit.live.journal_rows import ORDER_FIELDS, order_of
from botkit.live.journal_tables import SEALED, checksum
from botkit.live.ports import Disk
from botkit.model.clock import Nanos
from botkit.model.inputs import SentBefore
from botkit.model.orders import Order
from botkit.model.pairs import Pair

#: the exchange's own tools use this client id for every order, so botkit never uses it
ID_MAX = 2_147_483_646
#: client ids are reserved on disk in blocks of this size; after a crash, the rest of a block is skipped
ID_BLOCK = 1_000
#: exceptions that can occur when a damaged cell is read
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, msgspec.MsgspecError)


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """The first and last client id in a journal, its latest timestamp, and the end of the reserved client ids according
    to the journal and according to the counter file next to it.
    """

    first_id: int | None
    last_id: int | None
    #: all order ids from one id block before the last id onward, in ascending order
    latest_ids: tuple[int, ...]
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


def counter_of(path: Path) -> Path:
    """Return the file that counts the client ids of the journal at ``path``."""
    return path.with_name("client_ids")


def counted(counter: Path, disk: Disk) -> int:
    """Return the number of the next block of client ids, or 0 if the file does not tell."""
    try:
        text = disk.files.read(counter).decode("ascii").strip()
    except (OSError, ValueError):
        return 0
    # a bot's count cannot be larger, so ignore this value
    return int(text) if text.isdigit() and len(text) <= len(str(ID_MAX)) and int(text) <= ID_MAX else 0


class JournalReading:
    """The journal's queries. Each query takes every commit into account and may raise JournalError."""

    def __init__(self, connection: sqlite3.Connection, path: Path, disk: Disk) -> None:
        self._db = connection
        self.path = path
        self.disk = disk
        self.run = 0
        #: a description of the unreadable part; everything else can be read
        self.damage: str | None = None
        #: rows of older schemas have no checksum
        self._is_sealed = True

    def _ask(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(statement, values).fetchall()
        except (sqlite3.Error, OSError) as error:
            raise failed(self.path, "read", error, self.disk) from None
        except (OverflowError, UnicodeError) as error:  # raised if a cell is not text
            raise damaged(self.path, error) from None

    def _sealed(
        self, table: str, rest: str = "", values: Sequence[Any] = (), beside: tuple[str, ...] = ()
    ) -> Iterator[tuple[tuple[Any, ...], str | None]]:
        """Yield (values, problem) for each row. The values are those of the sealed columns, followed by those of the
        columns in ``beside``. The problem is None if the row has not changed since it was written.
        """
        called, key, columns = SEALED[table]
        names = (*columns, *beside, "crc" if self._is_sealed else "NULL")
        at, count = columns.index(key), len(columns)
        for row in self._ask(f"SELECT {', '.join(names)} FROM {table} {rest}", values):
            is_whole = not self._is_sealed or row[-1] == checksum(row[:count])
            yield row[:-1], None if is_whole else f"{called} {row[at]} has changed since it was written"

    def _whole(
        self, table: str, rest: str = "", values: Sequence[Any] = (), beside: tuple[str, ...] = ()
    ) -> Iterator[tuple[Any, ...]]:
        for row, wrong in self._sealed(table, rest, values, beside):
            if wrong is not None:
                raise damaged(self.path, wrong)
            yield row

    @contextlib.contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """Convert errors caused by unreadable content within the block into a JournalError that reports damage."""
        try:
            yield
        except _UNREADABLE as error:
            raise damaged(self.path, f"{what} cannot be read: {type(error).__name__} {error}") from None

    # -- documents ------------------------------------------------------------------------------------------------

    def meta(self, key: str) -> Any:
        """Return a document by name, or None."""
        rows = list(self._whole("meta", "WHERE key = ?", (key,)))
        return rows[0][1] if rows else None

    def document(self, key: str) -> Any:
        """Return a JSON document by name, decoded, or None."""
        text = self.meta(key)
        with self.reading(f"document {key}"):
            return json.loads(text) if text else None

    def parameters(self) -> list[tuple[Nanos, str, str, Any]]:
        """Return (time, strategy, name, value) for every parameter set at run time, in the order in which they were
        set.
        """
        rows = self._whole("parameters", "ORDER BY id")
        with self.reading("a parameter"):
            return [(time, strategy, name, msgspec.json.decode(value)) for time, strategy, name, value in rows]

    # -- orders and fills -----------------------------------------------------------------------------------------

    def orders(self, pairs: dict[str, Pair], *, since: Nanos | None = None) -> list[Order]:
        """Return the orders that are not final, oldest first. With ``since``, also return orders changed since that
        time.
        """
        where, values = ("final = 0", ()) if since is None else ("final = 0 OR updated >= ?", (since,))
        found = []
        for row in self._whole("orders", f"WHERE {where} ORDER BY created, client_id", values):
            with self.reading(f"order {row[0]}"):
                found.append(order_of(dict(zip(ORDER_FIELDS, row, strict=True)), pairs))
        return found

    def order_rows(self) -> list[dict[str, Any]]:
        """Return every intact order as plain columns, oldest first.

        The result is for display and for cancelling open orders. Damaged rows are left out and reported in ``damage``.
        """
        found = []
        for row, wrong in self._sealed("orders", "ORDER BY created, client_id"):
            if wrong is None:
                found.append(dict(zip(ORDER_FIELDS, row, strict=True)))
            elif self.damage is None:
                self.damage = str(damaged(self.path, wrong))
        return found

    def fills(self, client_id: int | None = None, *, since: Nanos | None = None) -> list[FillRecord]:
        """Return every fill, the fills of one order, or the fills since a given time, in booking order."""
        where, values = ("", ()) if client_id is None else ("WHERE client_id = ?", (client_id,))
        if since is not None:
            where, values = "WHERE time >= ?", (since,)
        found = []
        for row in self._whole("fills", f"{where} ORDER BY time, client_id, length(executed_lots)", values):
            with self.reading(f"fill of order {row[0]}"):
                found.append(
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
                )
        return found

    def sends_since(self, time: Nanos, *, run: int = 0) -> list[SentBefore]:
        """Return the requests from earlier runs, or from all runs since ``run``, that a window may still count."""
        rows = self._whole(
            "sends",
            "WHERE sent >= ? AND run >= ? AND run < ? ORDER BY sent",
            (time, run, self.run or ID_MAX),
            beside=("answered",),
        )
        with self.reading("a request"):
            return [
                SentBefore(
                    endpoint=endpoint,
                    sent=sent,
                    answered=answered,
                    client_ids=tuple(int(i) for i in ids.split(",")) if ids else (),
                )
                for _, _, endpoint, sent, ids, answered in rows
            ]

    # -- for display ---------------------------------------------------------------------------------------------

    def reasons_since(self, since: Nanos) -> list[tuple[str, str, str, int]]:
        """Return (strategy, kind, reason, count) since a given time, most frequent first."""
        return self._ask(
            "SELECT strategy, kind, reason, SUM(count) FROM reasons WHERE time >= ? GROUP BY strategy, kind, reason "
            "ORDER BY strategy, SUM(count) DESC",
            (since,),
        )

    def notes(self, since: Nanos = 0) -> list[tuple[Nanos, str, str]]:
        """Return (time, kind, text) for every note."""
        return self._ask("SELECT time, kind, text FROM notes WHERE time >= ? ORDER BY id", (since,))

    # -- client ids -----------------------------------------------------------------------------------------------

    def reach(self) -> Reach:
        """Return the range of client ids and times in the journal (`botkit.live.journal_losses`)."""
        [(first_id, last_id, *times)] = self._ask(
            "SELECT (SELECT MIN(client_id) FROM orders), (SELECT MAX(client_id) FROM orders), "
            "(SELECT MAX(updated) FROM orders), (SELECT MAX(sent) FROM sends)"
        )
        with self.reading("the newest order"):
            return Reach(
                first_id=None if first_id is None else int(first_id),
                last_id=None if last_id is None else int(last_id),
                latest_ids=() if last_id is None else self._ids_since(int(last_id) - ID_BLOCK),
                last_time=max((int(time) for time in times if time is not None), default=0),
                reserved=self._number("client_ids"),
                counted=self._counted(),
            )

    def _ids_since(self, first_id: int) -> tuple[int, ...]:
        rows = self._ask("SELECT client_id FROM orders WHERE client_id >= ? ORDER BY client_id", (first_id,))
        return tuple(client_id for (client_id,) in rows)

    def _number(self, key: str) -> int:
        found = self.meta(key)
        with self.reading(f"document {key}"):
            return int(found or 0)

    @property
    def _counter(self) -> Path:
        return counter_of(self.path)

    def _counted(self) -> int:
        return counted(self._counter, self.disk)
