"""Measures how long an order waits for a journal commit, compared with a plain disk sync of the same number of bytes.

    python -m tests.benchmarks.journal_commit [--commits 500] [--rounds 3] [--folder PATH]

Each commit covers a turn with one order: the order's row, its slot, and the strategy's state. ``the disk`` writes the
same number of bytes to a file of the same kind and syncs the file; no durable write can be cheaper. ``SQLite`` is how
the journal worked before it had a log: one synced transaction with the same rows. The three kinds of commit alternate
every few milliseconds, because other load on the machine varies. Before each measurement, a short computation simulates
the work of a turn, because a processor that has just been idle is slow. Meanwhile the journal's thread copies the rows
into SQLite, as in a real bot.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from botkit.live.disk import REAL_DISK
from botkit.live.journal import Journal
from botkit.live.journal_log import JournalLog
from botkit.live.journal_rows import order_row
from botkit.live.journal_tables import RowWriter, upgrade
from botkit.model.orders import Order, OrderSpec, OrderType, Side
from tests.sim.venue import BTC

#: time between consecutive orders from a fast bot
_PAUSE_S = 0.005
_STATE = b'{"state":{"books":12345,"grid":[1,2,3,4,5,6,7,8,9]},"timers":{"often":1764400000000000000},"best":{}}'
_MADE_OF = bytes(range(1, 256)) * 20


def _order(client_id: int) -> Order:
    spec = OrderSpec(
        client_id=client_id,
        pair=BTC,
        side=Side.BUY,
        type=OrderType.LIMIT,
        price_ticks=6_000_000,
        amount_lots=10_000,
        strategy="maker",
        created=1_764_400_000_000_000_000,
        tag="level 3",
    )
    made = Order(spec)
    made.sent = made.updated = spec.created + 1_000_000
    return made


def _turn() -> None:
    for number in range(20):
        order_row(_order(number))
        json.loads(_STATE)
        RowWriter()


def _percentiles(name: str, values: list[float]) -> tuple[float, float]:
    ordered = sorted(values)
    p50, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    print(f"{name:44} p50 {p50:7,.0f} us   p99 {p99:7,.0f} us")
    return p50, p99


def measure(folder: Path, commits: int, rounds: int) -> None:
    """Measure the three kinds of commit, and print their percentiles."""
    journal = Journal.open(folder / "journal.sqlite")
    assert journal.filling is not None
    sizes: list[int] = []
    append = JournalLog.append

    def sized(self: JournalLog, body: bytes) -> object:
        before = self.place
        behind = append(self, body)
        if behind.segment == before.segment:
            sizes.append(behind.offset - before.offset)
        return behind

    JournalLog.append = sized  # type: ignore[assignment,method-assign]
    journal.commit(orders=[_order(1)], sends=[(1, "create_order", 5, (1,))], states=[("strategy:s", _STATE)])
    journal.commit(orders=[_order(2)], sends=[(2, "create_order", 5, (2,))], states=[("strategy:s", _STATE)])
    JournalLog.append = append  # type: ignore[method-assign]
    size = sizes[-1]

    room = (commits * rounds + 1) * size
    REAL_DISK.files.write(folder / "probe", bytes(room))
    probe = REAL_DISK.durable.open(folder / "probe")
    content = (_MADE_OF * (size // len(_MADE_OF) + 1))[:size]

    db = REAL_DISK.connect(folder / "before.sqlite")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA wal_autocheckpoint=5000")
    upgrade(db, 0)
    writer = RowWriter()

    def disk(number: int) -> None:
        started()
        probe.write(number * size, content)

    def log(number: int) -> None:
        order = _order(number + 10)
        started()
        sends = [(number, "create_order", 5, (number + 10,))]
        journal.commit(orders=[order], sends=sends, states=[("strategy:s", _STATE)])

    def sqlite(number: int) -> None:
        order = _order(number + 10)
        started()
        operations = [
            ("order", order_row(order)),
            ("send", (1, number, "create_order", 5, str(number + 10))),
            ("meta", ("strategy:s", _STATE)),
        ]
        db.execute("BEGIN IMMEDIATE")
        writer.write(db, operations)
        db.execute("COMMIT")

    began = 0

    def started() -> None:
        nonlocal began
        began = time.perf_counter_ns()

    ways: dict[str, Callable[[int], None]] = {"disk": disk, "log": log, "sqlite": sqlite}
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(commits * rounds):
        for name, way in ways.items():
            time.sleep(_PAUSE_S)
            _turn()
            way(number)
            took[name].append((time.perf_counter_ns() - began) / 1000)
            if name == "log":
                journal.filling.beside()
    print(f"{commits * rounds} commits of {size:,} bytes each, on {folder}; load {os.getloadavg()[0]:.1f}")
    bare = _percentiles("the disk's own sync of as many bytes", took["disk"])
    log_took = _percentiles("the journal's commit", took["log"])
    before = _percentiles("the same rows in a synced SQLite transaction", took["sqlite"])
    for name, (p50, p99) in (("the journal's commit", log_took), ("SQLite's", before)):
        print(f"{name}: {p50 / bare[0]:.2f} times the disk's at p50, {p99 / bare[1]:.2f} at p99")
    probe.close()
    db.close()
    journal.close()


def main() -> int:
    """Run the measurement in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commits", type=int, default=500, help="of each kind in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: the temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        measure(Path(name), given.commits, given.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
