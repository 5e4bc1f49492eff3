"""The journal keeps all committed data. If its file is unusable, the cause is reported."""

from __future__ import annotations

import errno
import itertools
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.live.disk import RealDisk
from botkit.live.journal import ID_BLOCK, ID_MAX, SCHEMA, Journal
from botkit.live.journal_rows import JournalError, order_of, order_row
from botkit.live.journal_tables import SEALED
from botkit.live.persistence import without_locks
from botkit.model.events import Fill
from botkit.model.orders import Condition, Order, OrderSpec, OrderState, OrderType, Side
from botkit.model.pairs import Pair
from tests.live.world import LimitedDisk
from tests.sim.venue import BTC, PAIRS

BIG = 10**16


def order(**fields: object) -> Order:
    given: dict[str, object] = {
        "client_id": 7, "strategy": "s", "pair": BTC, "side": Side.BUY, "type": OrderType.LIMIT, "created": 5,
        "price_ticks": 100, "amount_lots": 10,
    }  # fmt: skip
    made = Order(OrderSpec(**{**given, **fields}))  # type: ignore[arg-type]
    made.sent = 6
    return made


@st.composite
def orders(draw: st.DrawFn) -> Order:
    made = order(
        client_id=draw(st.integers(1, ID_MAX)),
        side=draw(st.sampled_from(Side)),
        type=draw(st.sampled_from(OrderType)),
        price_ticks=draw(st.integers(0, 10**12)),
        amount_lots=draw(st.integers(0, BIG * 1000)),
        spend_units=draw(st.integers(0, BIG * 1000)),
        stop_ticks=draw(st.integers(0, 10**12)),
        condition=draw(st.sampled_from([None, *Condition])),
        post_only=draw(st.booleans()),
        expires=draw(st.none() | st.integers(0, 2**62)),
        max_slippage_pct=draw(st.none() | st.floats(0, 100)),
        tag=draw(st.text(max_size=20).filter(lambda t: "\x00" not in t and t.isprintable())),
        reduces=draw(st.booleans()),
    )
    made.state = draw(st.sampled_from(OrderState))
    made.order_id = draw(st.sampled_from(["", "123", "SL-9"]))
    made.executed_lots = draw(st.integers(0, BIG * 1000))
    made.executed_units = draw(st.integers(0, BIG * 1000))
    made.cancel_requested = draw(st.booleans())
    made.updated = draw(st.integers(0, 2**62))
    return made


@given(st.lists(orders(), max_size=8, unique_by=lambda o: o.client_id))
@settings(deadline=None, max_examples=30)
def test_every_order_is_read_back_as_written(tmp_path_factory: pytest.TempPathFactory, rows: list[Order]) -> None:
    path = tmp_path_factory.mktemp("j") / "journal.sqlite"
    journal = Journal.open(path)
    journal.commit(orders=rows)
    journal.close()
    again = Journal.open(path)
    found = {o.client_id: order_row(o) for o in again.orders(PAIRS, since=0)}  # type: ignore[arg-type]
    assert found == {o.client_id: order_row(o) for o in rows}
    again.close()


def test_a_commit_is_written_completely_or_not_at_all(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j.sqlite")
    bad = order(client_id=8)
    bad.reason = object()  # type: ignore[assignment]
    with pytest.raises(JournalError):
        journal.commit(orders=[order(), bad])
    assert journal.order_rows() == []
    journal.commit(orders=[order()])
    assert len(journal.order_rows()) == 1
    journal.close()


def test_an_unwritable_journal_is_reported(tmp_path: Path) -> None:
    disk = LimitedDisk()
    journal = Journal.open(tmp_path / "j.sqlite", disk=disk)
    with disk.read_only(), pytest.raises(JournalError, match=r"cannot be written: .*Read-only file system"):
        journal.commit(orders=[order()])
    journal.commit(orders=[order(client_id=8)])
    journal.close()
    again = Journal.open(tmp_path / "j.sqlite")
    assert [row["client_id"] for row in again.order_rows()] == [8]
    again.close()


class Refusing:
    """A connection that fails with a given SQLite error code."""

    def __init__(self, code: int, words: str) -> None:
        self.error = sqlite3.OperationalError(words)
        self.error.sqlite_errorcode = code

    def execute(self, *arguments: object) -> None:
        raise self.error

    def close(self) -> None:
        pass


class RefusingDisk(RealDisk):
    def __init__(self, code: int, words: str, free: int | None) -> None:
        super().__init__()
        self.connection: Any = Refusing(code, words)
        self.free = free

    def connect(self, path: Path, *, read_only: bool = False) -> sqlite3.Connection:
        found: sqlite3.Connection = self.connection
        return found

    def free_bytes(self, path: Path) -> int | None:
        return self.free


@pytest.mark.parametrize(
    ("code", "words", "free", "says"),
    [
        (
            sqlite3.SQLITE_FULL,
            "database or disk is full",
            None,
            "the disk is full. The journal is intact; free some space",
        ),
        (
            sqlite3.SQLITE_IOERR_WRITE,
            "disk I/O error",
            4_096,
            "the disk is full. The journal is intact; free some space",
        ),
        (sqlite3.SQLITE_IOERR_WRITE, "disk I/O error", 10**9, "cannot be opened: disk I/O error"),
        (sqlite3.SQLITE_READONLY, "attempt to write a readonly database", 10**9, "cannot be opened: attempt to"),
        (sqlite3.SQLITE_CORRUPT, "database disk image is malformed", 10**9, "is damaged"),
        (sqlite3.SQLITE_ERROR, "duplicate column name", 10**9, "is damaged"),
    ],
)
def test_only_a_damaged_journal_is_reported_as_damaged(
    code: int, words: str, free: int | None, says: str, tmp_path: Path
) -> None:
    with pytest.raises(JournalError) as caught:
        Journal.open(tmp_path / "j.sqlite", disk=RefusingDisk(code, words, free))
    assert says in str(caught.value)
    assert ("To start over, move it elsewhere" in str(caught.value)) == (says == "is damaged")


def test_a_disk_that_fills_up_while_the_bot_is_running_is_reported_as_full(tmp_path: Path) -> None:
    disk = LimitedDisk()
    journal = Journal.open(tmp_path / "j.sqlite", disk=disk)
    disk.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for write in (lambda: journal.commit(orders=[order()]), lambda: journal.note("halt", "x", 1)):
        with pytest.raises(JournalError, match="cannot be written: the disk is full"):
            write()
    disk.error = None
    journal.close()


def test_the_error_for_a_damaged_file_suggests_a_fix(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(JournalError, match="To start over, move it elsewhere"):
        Journal.open(path)


def test_a_journal_with_an_unknown_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    Journal.open(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(JournalError, match="schema 99"):
        Journal.open(path)


def test_a_journal_whose_first_start_died_before_writing_it_is_read_as_none_and_written_at_the_next(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.executescript("PRAGMA journal_mode=WAL; VACUUM")
    with pytest.raises(JournalError, match=r"there is no journal in .* yet: the bot's first start ended before"):
        Journal.open(path, read_only=True)
    Journal.open(path).close()
    Journal.open(path, read_only=True).close()


def test_a_journal_with_the_previous_schema_is_readable_and_upgraded_at_the_next_start(
    tmp_path: Path,
) -> None:
    path = tmp_path / "j.sqlite"
    journal = Journal.open(path)
    journal.commit(orders=[order()])
    journal.close()
    db = sqlite3.connect(path)
    for table in SEALED:
        db.execute(f"ALTER TABLE {table} DROP COLUMN crc")
    db.execute("CREATE TABLE equity (time INTEGER PRIMARY KEY, currency TEXT, units TEXT)")
    db.execute("INSERT INTO equity VALUES (1, 'twd', '5')")
    db.execute("PRAGMA user_version=2")
    db.commit()
    db.close()
    reading = Journal.open(path, read_only=True)  # as `botkit journal` does while an older bot runs
    assert [row["client_id"] for row in reading.order_rows()] == [7]
    reading.close()
    again = Journal.open(path)
    assert [row["client_id"] for row in again.order_rows()] == [7]
    assert again._db.execute("SELECT name FROM sqlite_master WHERE name = 'equity'").fetchall() == []
    assert again._db.execute("PRAGMA user_version").fetchone() == (SCHEMA,)
    again.close()


def test_client_ids_are_reserved_in_blocks_and_never_reused(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    seen = []
    for _ in range(3):
        journal = Journal.open(path)
        first, until = journal.lease_ids(Random(1))
        seen.append(first)
        assert until - first == ID_BLOCK
        journal.close()
    assert all(after - before >= ID_BLOCK for before, after in itertools.pairwise(seen))


def test_client_ids_never_reach_the_id_used_by_the_exchanges_tools(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j.sqlite")
    assert journal.lease_ids(Random(1), after=ID_MAX - 10)[0] == 1
    journal.close()


def test_an_orders_fills_are_read_back_in_order(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j.sqlite")
    made = order(amount_lots=BIG)
    fills = []
    for executed in (9, 10, 100):
        fills.append(
            Fill(
                order=made, pair=BTC, side=Side.BUY, time=1, price_ticks=5, lots=1, value_units=1, fee_units=0,
                fee_currency="btc", is_maker=True, executed_lots=executed,
            )
        )  # fmt: skip
    journal.commit(fills=[(fill, 3) for fill in reversed(fills)])
    assert [row.executed_lots for row in journal.fills(7)] == [9, 10, 100]
    journal.close()


def test_old_unfilled_orders_are_deleted_in_small_steps_but_filled_orders_are_kept(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.sqlite")
    rows = [order(client_id=i) for i in range(1, 2_505)]
    for made in rows:
        made.state, made.updated = OrderState.CANCELLED, 10
    filled, standing, late = rows[-3:]
    filled.executed_lots = 3
    standing.state = OrderState.OPEN
    late.updated = 20
    journal.commit(orders=rows)
    assert journal.filling.prune(0, 20)
    assert journal.filling.prune(0, 20)
    assert len(journal.orders(PAIRS, since=0)) == 504  # type: ignore[arg-type]
    assert not journal.filling.prune(0, 20)
    assert [o.client_id for o in journal.orders(PAIRS, since=0)] == [o.client_id for o in (filled, standing, late)]  # type: ignore[arg-type]
    assert not journal.filling.prune(0, 20)
    journal.close()


def test_a_restored_portfolio_does_not_contain_order_locks() -> None:
    state = {
        "ledger": {"parts": {"(pool)": {"usdt": [70, 30, 1, 0]}}, "unassigned": {}, "locks": {"5": 30}},
        "positions": {"s": {"btc_usdt": [10, 100, 0, 4, 0]}},
        "day": None,
    }
    clean = without_locks(state)
    assert clean["ledger"]["parts"]["(pool)"]["usdt"] == [100, 0, 0, 0]
    assert clean["ledger"]["locks"] == {}
    assert clean["positions"]["s"]["btc_usdt"] == [10, 100, 0, 0, 0]
    assert state["ledger"]["locks"] == {"5": 30}


def test_an_order_in_a_delisted_pair_raises_an_error_that_names_the_pair() -> None:
    row = dict(zip(("client_id", "pair"), (7, "gone_usdt"), strict=True))
    with pytest.raises(JournalError, match="gone_usdt"):
        order_of(row, {"btc_usdt": Pair("btc_usdt", BTC.rules)})


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_the_state_folder_is_accessible_only_to_its_owner(tmp_path: Path) -> None:
    from botkit.live.state_folder import StateFolder

    folder = StateFolder(tmp_path / "state")
    folder.lock()
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0
    folder.unlock()
