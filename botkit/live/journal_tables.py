"""The journal's SQLite tables, and the code that stores a commit's operations in them.

An operation is (name, values): ``order``, ``fill``, ``send``, ``answered``, ``meta``, ``note``, ``parameter``,
``reason``, ``let_go``. The log contains the operations unchanged. Replaying operations that were already applied, in
their original order, leaves the tables unchanged. Rows that a restart relies on have a checksum, because SQLite does
not detect a flipped bit in a cell.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from botkit.live.journal_rows import FIELD_DEFAULTS, ORDER_FIELDS

SCHEMA = 4
#: older schemas that can still be read; the bot's next start upgrades them
READABLE = (2, 3, SCHEMA)

_ORDERS = """
  client_id INTEGER PRIMARY KEY, strategy TEXT, pair TEXT, side TEXT, type TEXT, price_ticks INTEGER, amount_lots TEXT,
  spend_units TEXT, stop_ticks INTEGER, condition TEXT, post_only INTEGER, expires INTEGER, max_slippage_pct REAL,
  tag TEXT, reduces INTEGER, created INTEGER, sent INTEGER, updated INTEGER, state TEXT, reason TEXT, order_id TEXT,
  executed_lots TEXT, executed_units TEXT, fee_units TEXT, cancel_requested INTEGER, final INTEGER,
  is_quote INTEGER DEFAULT 0, crc INTEGER"""
_FILLS = """
  client_id INTEGER, executed_lots TEXT, time INTEGER, strategy TEXT, pair TEXT, side TEXT, price_ticks INTEGER,
  lots TEXT, value_units TEXT, fee_units TEXT, fee_currency TEXT, is_maker INTEGER, order_id TEXT, crc INTEGER,
  PRIMARY KEY (client_id, executed_lots)"""
_SENDS = """
  run INTEGER, id INTEGER, endpoint TEXT, sent INTEGER, answered INTEGER, client_ids TEXT, crc INTEGER,
  PRIMARY KEY (run, id)"""
_META = "key TEXT PRIMARY KEY, value, crc INTEGER"
_PARAMETERS = "id INTEGER PRIMARY KEY, time INTEGER, strategy TEXT, name TEXT, value TEXT, crc INTEGER"
_REASONS = "time INTEGER, strategy TEXT, kind TEXT, reason TEXT, count INTEGER"
_NOTES = "id INTEGER PRIMARY KEY, time INTEGER, kind TEXT, text TEXT"
_TABLES = f"""
CREATE TABLE meta ({_META}) WITHOUT ROWID;
CREATE TABLE orders ({_ORDERS});
CREATE INDEX open_orders ON orders (final) WHERE final = 0;
CREATE INDEX orders_updated ON orders (updated);
CREATE TABLE fills ({_FILLS}) WITHOUT ROWID;
CREATE INDEX fills_time ON fills (time);
CREATE TABLE sends ({_SENDS}) WITHOUT ROWID;
CREATE TABLE parameters ({_PARAMETERS});
CREATE TABLE reasons ({_REASONS});
CREATE INDEX reasons_time ON reasons (time);
CREATE TABLE notes ({_NOTES});
"""
# Amounts and money are text, because 1e16 lots times a price can exceed 2^63, the limit of SQLite's integers.

#: the data that each table's row checksums cover: (the user's word for a row, its key, its columns). The time of a
#: request's response is not covered, because it is written later and losing it does no harm.
SEALED: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "orders": ("order", "client_id", ORDER_FIELDS),
    "fills": (
        "fill of order",
        "client_id",
        (
            *("client_id", "executed_lots", "time", "strategy", "pair", "side", "price_ticks", "lots", "value_units"),
            *("fee_units", "fee_currency", "is_maker", "order_id"),
        ),
    ),
    "sends": ("request", "id", ("run", "id", "endpoint", "sent", "client_ids")),
    "meta": ("document", "key", ("key", "value")),
    "parameters": ("parameter", "name", ("time", "strategy", "name", "value")),
}

#: the statements that upgrade each older schema to the next
_MIGRATIONS = {
    1: ("ALTER TABLE orders ADD COLUMN is_quote INTEGER DEFAULT 0",),
    2: ("DROP TABLE IF EXISTS equity",),  # this table was never read, and it grew by one row per minute
    # from this version on, rows have checksums and the journal has a log, which an older botkit would not read
    3: tuple(f"ALTER TABLE {table} ADD COLUMN crc INTEGER" for table in SEALED),
}

_pack = msgspec.msgpack.Encoder().encode
#: a REAL column returns a float even if an integer was stored
_SLIPPAGE = ORDER_FIELDS.index("max_slippage_pct")

Operation = tuple[str, Sequence[Any]]


def checksum(values: Sequence[Any]) -> int:
    """Return the checksum of a row's sealed values."""
    return zlib.crc32(_pack(values))


def upgrade(db: sqlite3.Connection, version: int) -> None:
    """Upgrade the tables from ``version`` (0: an empty file) to `SCHEMA`, within the caller's transaction."""
    if version == 0:
        for statement in _TABLES.split(";"):
            db.execute(statement)
    for step in range(version or SCHEMA, SCHEMA):
        for statement in _MIGRATIONS[step]:
            db.execute(statement)
    if 0 < version < 4:
        for table, (_, _, columns) in SEALED.items():
            _seal(db, table, columns)
    db.execute(f"PRAGMA user_version={SCHEMA}")


def _seal(db: sqlite3.Connection, table: str, columns: tuple[str, ...]) -> None:
    keys = {"fills": ("client_id", "executed_lots"), "sends": ("run", "id"), "meta": ("key",)}.get(table, ("rowid",))
    names, where = ", ".join((*keys, *columns)), " AND ".join(f"{key} = ?" for key in keys)
    for row in db.execute(f"SELECT {names} FROM {table}").fetchall():
        db.execute(f"UPDATE {table} SET crc = ? WHERE {where}", (checksum(row[len(keys) :]), *row[: len(keys)]))


class RowWriter:
    """Writes operations to the tables, or to tables of the same shape with ``prefix`` before their names."""

    def __init__(self, prefix: str = "") -> None:
        #: True if existing rows may be in either of two tables
        self._is_over = bool(prefix)

        def put(table: str, *columns: str) -> str:
            marks = ", ".join("?" * len(columns))
            return f"INSERT OR REPLACE INTO {prefix}{table} ({', '.join(columns)}) VALUES ({marks})"

        self._put_order = put("orders", *ORDER_FIELDS, "crc")
        self._put_fill = put("fills", *SEALED["fills"][2], "crc")
        self._put_send = put("sends", *SEALED["sends"][2], "crc", "answered")
        self._put_meta = put("meta", "key", "value", "crc")
        self._put_parameter = put("parameters", *SEALED["parameters"][2], "crc")
        self._put_reason = put("reasons", "time", "strategy", "kind", "reason", "count")
        self._put_note = put("notes", "time", "kind", "text")

    def write(
        self, db: sqlite3.Connection, operations: Iterable[Operation], order_fields: tuple[str, ...] = ORDER_FIELDS
    ) -> None:
        """Write the operations of one commit. ``order_fields`` names the fields of an order's values. Raises
        sqlite3.Error, and ValueError for an unknown operation.
        """
        for name, values in operations:
            if name == "order":
                self._order(db, values if order_fields == ORDER_FIELDS else _by_name(values, order_fields))
            elif name == "fill":
                db.execute(self._put_fill, (*values, checksum(values)))
            elif name == "send":
                db.execute(self._put_send, (*values, checksum(values), None))
            elif name == "answered":
                self._answered(db, *values)
            elif name == "meta":
                db.execute(self._put_meta, (*values, checksum(values)))
            elif name == "note":
                db.execute(self._put_note, values)
            elif name == "parameter":
                db.execute(self._put_parameter, (*values, checksum(values)))
            elif name == "reason":
                db.execute(self._put_reason, values)
            elif name == "let_go":
                self._let_go(db, *values)
            else:
                raise ValueError(f"{name!r} is not a journal operation")

    def _order(self, db: sqlite3.Connection, values: Sequence[Any]) -> None:
        if type(values[_SLIPPAGE]) is int:
            values = (*values[:_SLIPPAGE], float(values[_SLIPPAGE]), *values[_SLIPPAGE + 1 :])
        db.execute(self._put_order, (*values, checksum(values)))

    def _answered(self, db: sqlite3.Connection, time: int, run: int, number: int) -> None:
        if not self._is_over:  # the row's checksum does not cover ``answered``
            db.execute("UPDATE sends SET answered = ? WHERE run = ? AND id = ?", (time, run, number))
            return
        columns = (*SEALED["sends"][2], "crc")
        row = db.execute(f"SELECT {', '.join(columns)} FROM sends WHERE run = ? AND id = ?", (run, number)).fetchone()
        if row is not None:  # the row may have been pruned
            db.execute(self._put_send, (*row, time))

    def _let_go(self, db: sqlite3.Connection, client_id: int, reason: str) -> None:
        row = db.execute(f"SELECT {', '.join(ORDER_FIELDS)} FROM orders WHERE client_id = ?", (client_id,)).fetchone()
        if row is not None:
            changed = {**dict(zip(ORDER_FIELDS, row, strict=True)), "state": "absent", "final": 1, "reason": reason}
            self._order(db, tuple(changed.values()))


def _by_name(values: Sequence[Any], names: tuple[str, ...]) -> tuple[Any, ...]:
    """Convert an order's values that another version of botkit wrote, with the fields ``names``, to a row. Missing
    fields get their defaults.
    """
    given = dict(zip(names, values, strict=True))
    return tuple(given.get(name, FIELD_DEFAULTS.get(name)) for name in ORDER_FIELDS)


def whole_rows(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[tuple[Any, ...], bool]]:
    """Yield each row without its last column (the checksum), and whether the row is intact."""
    for *values, crc in rows:
        yield tuple(values), crc == checksum(values)


# -- reading a log on top of the tables ------------------------------------------------------------------------------

#: each table with its columns and the key by which a newer row replaces an older one
_LAID_OVER = (
    ("orders", _ORDERS, "client_id"),
    ("fills", _FILLS, "client_id || ' ' || executed_lots"),
    ("sends", _SENDS, "run || ' ' || id"),
    ("meta", _META, "key"),
    ("parameters", _PARAMETERS, ""),
    ("reasons", _REASONS, ""),
    ("notes", _NOTES, ""),
)
#: the table that each operation changes
_CHANGED = {
    "order": "orders", "let_go": "orders", "fill": "fills", "send": "sends", "answered": "sends", "meta": "meta",
    "parameter": "parameters", "reason": "reasons", "note": "notes",
}  # fmt: skip


def lay_over(db: sqlite3.Connection, commits: Sequence[tuple[Sequence[Operation], tuple[str, ...]]]) -> None:
    """Make ``commits`` (operations, order fields) visible on a read-only connection as if they were in the tables.

    The commits are written to temporary tables. Temporary views with the names of the real tables combine old and new
    rows. Tables that the commits do not change stay as they are.
    """
    changed = {_CHANGED.get(name) for operations, _ in commits for name, _ in operations}
    for table, columns, key in _LAID_OVER:
        if table not in changed:
            continue
        db.execute(f"CREATE TEMP TABLE new_{table} ({columns})")
        names = ", ".join(row[1] for row in db.execute(f"PRAGMA main.table_info({table})"))
        older = f"WHERE {key} NOT IN (SELECT {key} FROM new_{table})" if key else ""
        newer = names
        if names.startswith("id,"):  # the new table numbers its rows from 1
            newer = names.replace("id,", f"id + (SELECT IFNULL(MAX(id), 0) FROM main.{table}) AS id,", 1)
        db.execute(
            f"CREATE TEMP VIEW {table} AS SELECT {names} FROM main.{table} {older} "
            f"UNION ALL SELECT {newer} FROM new_{table}"
        )
    writer = RowWriter("new_")
    for operations, order_fields in commits:
        writer.write(db, operations, order_fields)
