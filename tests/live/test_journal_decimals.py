"""The journal follows a changed precision: its rows are converted completely or not at all, and readers use the
decimals in which they were written.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from botkit.live.journal import LARGEST_INTEGER, Journal
from botkit.live.journal_decimals import DECIMALS, decimals_of, follow_decimals, pairs_of_journal
from botkit.live.journal_rows import JournalError
from botkit.live.panic import OwnOrders, own_orders
from botkit.model.events import Fill, OrderReport
from botkit.model.orders import Order, OrderSpec, OrderState, OrderType, Side
from botkit.model.pairs import Pair
from tests.live.world import LimitedDisk
from tests.sim.venue import BITO, BTC, PAIRS
from tests.simulation.disk import Medium, SimulatedDisk

NOW = 10**18


def with_decimals(price: int, amount: int, pair: Pair = BTC) -> dict[str, Pair]:
    """Return all pairs, one of which has other decimals."""
    rules = msgspec.structs.replace(pair.rules, price_decimals=price, amount_decimals=amount)
    return {**PAIRS, str(pair): Pair(str(pair), rules)}


def order(client_id: int, pair: Pair = BTC, executed: int = 0, **fields: Any) -> Order:
    given: dict[str, Any] = {
        "strategy": "s", "side": Side.BUY, "type": OrderType.LIMIT, "created": client_id, "price_ticks": 5_000_050,
        "amount_lots": 1_000_000,
    }  # fmt: skip
    made = Order(OrderSpec(client_id=client_id, pair=pair, **{**given, **fields}))
    made.sent, made.state, made.executed_lots = 6, OrderState.OPEN, executed
    return made


def fill(of: Order, lots: int, executed: int, ticks: int | None = None) -> tuple[Fill, int]:
    price = of.price_ticks if ticks is None else ticks
    made = Fill(
        order=of, pair=of.pair, side=of.side, time=executed, price_ticks=price, lots=lots, value_units=777,
        fee_units=3, fee_currency="btc", is_maker=True, executed_lots=executed,
    )  # fmt: skip
    return made, executed


def untold(of: Fill) -> bytes:
    names = ("time", "price_ticks", "lots", "value_units", "fee_units", "fee_currency", "is_maker", "executed_lots")
    row = {"client_id": of.order.client_id} | {name: getattr(of, name) for name in names}
    return json.dumps({"state": {"price_ticks": 1}, "timers": {}, "best": {}, "untold": [row]}).encode()


def written(path: Path, **options: Any) -> Journal:
    """Return a journal that counts in the decimals of `PAIRS`, with an order of two fills and one of another pair."""
    journal = Journal.open(path / "journal.sqlite", **options)
    assert follow_decimals(journal, PAIRS, NOW) is None
    one = order(7, stop_ticks=4_000_000, executed=400_000)
    fills = [fill(one, 100_000, 100_000), fill(one, 300_000, 400_000, 5_000_000)]
    journal.commit(
        orders=[one, order(8, BITO, 200)],
        fills=[*fills, fill(order(8, BITO), 200, 200)],
        states=[("strategy:s", untold(fills[1][0]))],
    )
    return journal


def figures(journal: Journal, pairs: dict[str, Pair]) -> dict[str, Any]:
    """Return what the journal contains in money, in any ticks and lots."""
    rules = {name: pair.rules for name, pair in pairs_of_journal(journal, pairs).items()}
    kept = journal.document("strategy:s")
    [told] = kept["untold"]
    return {
        "orders": [
            (o.client_id, o.exact.price, o.exact.stop_price, o.exact.amount, o.exact.executed, o.state)
            for o in journal.orders(pairs_of_journal(journal, pairs))
        ],
        "fills": [
            (
                row.client_id,
                rules[row.pair].exact_price(row.price_ticks),
                rules[row.pair].exact_amount(row.lots),
                rules[row.pair].exact_amount(row.executed_lots),
                (row.value_units, row.fee_units, row.time),
            )
            for row in journal.fills()
        ],
        "untold": (
            rules["btc_usdt"].exact_price(told["price_ticks"]),
            rules["btc_usdt"].exact_amount(told["lots"]),
            rules["btc_usdt"].exact_amount(told["executed_lots"]),
            told["value_units"],
        ),
        "state": kept["state"],
    }


@pytest.mark.parametrize("decimals", [(3, 8), (2, 6), (1, 6), (4, 5), (1, 8)])
def test_what_fits_the_new_ticks_and_lots_is_worth_the_same(tmp_path: Path, decimals: tuple[int, int]) -> None:
    journal = written(tmp_path)
    before, pairs = figures(journal, PAIRS), with_decimals(*decimals)
    said = follow_decimals(journal, pairs, NOW)
    assert said is not None
    assert "rounded" not in said
    assert decimals_of(journal)["btc_usdt"] == decimals
    assert figures(journal, pairs) == before
    [one, other] = journal.orders(pairs)
    assert (one.price_ticks, other.price_ticks) == (50_000_5 * 10 ** decimals[0] // 10, 5_000_050)
    journal.close()
    again = Journal.open(tmp_path / "journal.sqlite")
    assert again.damage is None
    assert figures(again, pairs) == before
    changes = again._db.total_changes
    assert follow_decimals(again, pairs, NOW) is None, "it is converted once"
    assert again._db.total_changes == changes
    assert follow_decimals(again, PAIRS, NOW) is not None
    assert figures(again, PAIRS) == before
    again.close()


def test_the_user_is_told_once_which_pair_changed_and_how(tmp_path: Path) -> None:
    journal = written(tmp_path)
    said = follow_decimals(journal, with_decimals(1, 6), NOW)
    assert said == (
        "the exchange has changed the precision of btc_usdt (quotePrecision from 2 to 1 and basePrecision from 8 to 6) "
        "since the last run: the journal's prices and amounts are now counted in the new ticks and lots"
    )
    assert journal.notes() == [(NOW, "precision", said)]
    journal.close()


def test_a_pair_that_the_bot_never_traded_is_not_worth_a_message(tmp_path: Path) -> None:
    journal = written(tmp_path)
    assert follow_decimals(journal, with_decimals(3, 8, PAIRS["usdt_twd"]), NOW) is None
    assert decimals_of(journal)["usdt_twd"] == (3, 8)
    assert journal.notes() == []
    journal.close()


def test_figures_that_do_not_fit_are_rounded_half_up_and_never_to_nothing(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.sqlite")
    follow_decimals(journal, PAIRS, NOW)
    figures = [(150, 250), (149, 249), (1, 1), (0, 0)]
    orders = [order(n, price_ticks=ticks, amount_lots=lots) for n, (ticks, lots) in enumerate(figures, 1)]
    journal.commit(orders=orders)
    said = follow_decimals(journal, with_decimals(0, 6), NOW)
    assert said is not None
    assert said.endswith("and those of btc_usdt that do not fit are rounded")
    found = journal.orders(with_decimals(0, 6))
    assert [(o.price_ticks, o.amount_lots) for o in found] == [(2, 3), (1, 2), (1, 1), (0, 0)]
    journal.close()


def test_rounding_loses_no_fill(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.sqlite")
    follow_decimals(journal, PAIRS, NOW)
    one = order(7, amount_lots=30, executed=30)
    journal.commit(orders=[one], fills=[fill(one, 10, 10), fill(one, 10, 20), fill(one, 10, 30)])
    pairs = with_decimals(2, 6)
    follow_decimals(journal, pairs, NOW)
    found = journal.fills()
    assert [(row.executed_lots, row.lots, row.value_units) for row in found] == [(1, 1, 777), (2, 1, 777), (3, 1, 777)]
    [again] = journal.orders(pairs)
    assert (again.executed_lots, again.amount_lots) == (3, 3), "never more executed than ordered"
    journal.close()


def test_a_price_beyond_the_largest_integer_does_not_prevent_a_start(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.sqlite")
    follow_decimals(journal, PAIRS, NOW)
    journal.commit(orders=[order(7, price_ticks=LARGEST_INTEGER - 1)])
    follow_decimals(journal, with_decimals(8, 8), NOW)
    assert journal.order_rows()[0]["price_ticks"] == LARGEST_INTEGER
    journal.close()


def test_every_order_of_a_large_journal_is_converted(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.sqlite")
    follow_decimals(journal, PAIRS, NOW)
    journal.commit(orders=[order(n, BTC if n % 7 else BITO) for n in range(1, 7_000)])
    pairs = with_decimals(3, 8)
    follow_decimals(journal, pairs, NOW)
    assert {str(o.exact.price) for o in journal.orders(pairs) if o.pair == BTC} == {"50000.500"}
    assert {str(o.exact.price) for o in journal.orders(pairs) if o.pair == BITO} == {"50000.50"}
    journal.close()


def test_a_journal_without_the_document_gets_it_and_keeps_its_rows(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.sqlite")
    journal.commit(orders=[order(7)])
    assert decimals_of(journal) == {}
    pairs = with_decimals(3, 8)
    assert follow_decimals(journal, pairs, NOW) is None
    assert decimals_of(journal)["btc_usdt"] == (3, 8)
    assert journal.orders(pairs)[0].price_ticks == 5_000_050
    journal.close()


def test_the_decimals_of_a_pair_that_is_not_listed_are_kept(tmp_path: Path) -> None:
    journal = written(tmp_path)
    before = figures(journal, PAIRS)
    others = {name: pair for name, pair in PAIRS.items() if name != "btc_usdt"}
    follow_decimals(journal, others, NOW)
    assert figures(journal, others) == before, "it can still be read"
    assert follow_decimals(journal, with_decimals(1, 6), NOW) is not None, "it is listed again, with other decimals"
    assert figures(journal, with_decimals(1, 6)) == before
    journal.close()


def test_readers_use_the_decimals_in_which_the_rows_were_written(tmp_path: Path) -> None:
    (tmp_path / "same").mkdir()
    same = written(tmp_path / "same")
    before = figures(same, PAIRS)
    same.close()
    journal = written(tmp_path)
    reader = Journal.open(tmp_path / "journal.sqlite", read_only=True)
    assert reader.read_over, "the rows are only in the log"
    assert figures(reader, with_decimals(0, 4)) == before
    follow_decimals(journal, with_decimals(1, 6), NOW)
    journal.put_meta({"x": "1"})
    assert figures(reader, PAIRS) == before, "a reader sees the document and the rows of one moment"
    reader.close()
    later = Journal.open(tmp_path / "journal.sqlite", read_only=True)
    assert later.read_over
    assert figures(later, PAIRS) == before
    later.close()
    journal.close()


def test_a_row_that_was_damaged_stays_damaged(tmp_path: Path) -> None:
    journal = written(tmp_path)
    journal.close()
    journal = Journal.open(tmp_path / "journal.sqlite")
    journal._db.execute("UPDATE fills SET lots = '999' WHERE executed_lots = '100000' AND client_id = 7")
    journal._db.execute("UPDATE orders SET price_ticks = 1 WHERE client_id = 7")
    journal._db.execute("UPDATE meta SET value = replace(value, '777', '778') WHERE key = 'strategy:s'")
    follow_decimals(journal, with_decimals(3, 8), NOW)
    assert [row["client_id"] for row in journal.order_rows()] == [8]
    with pytest.raises(JournalError, match="fill of order 7 has changed"):
        journal.fills()
    with pytest.raises(JournalError, match="document strategy:s has changed"):
        journal.document("strategy:s")
    assert len(journal._db.execute("SELECT * FROM fills WHERE client_id = 7").fetchall()) == 2
    journal.close()


def test_a_fill_does_not_replace_a_damaged_one(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.sqlite")
    follow_decimals(journal, with_decimals(2, 7), NOW)
    one = order(7, executed=100)
    journal.commit(orders=[one], fills=[fill(one, 10, 10), fill(one, 90, 100)])
    journal.fills()
    journal._db.execute("UPDATE fills SET lots = '91' WHERE executed_lots = '100'")
    follow_decimals(journal, with_decimals(2, 8), NOW)  # the key of the first fill becomes 100
    rows = journal._db.execute("SELECT executed_lots, lots FROM fills").fetchall()
    assert sorted(rows) == [("100", "91"), ("101", "101")]
    journal.close()


def interrupted_at(journal: Journal, step: int) -> Callable[[str], None]:
    """Return a trace callback that fails when SQLite runs its statement number ``step``."""
    counter = itertools.count()

    def trace(statement: str) -> None:
        if next(counter) == step:
            journal._db.interrupt()

    return trace


def test_a_failure_at_any_statement_leaves_all_or_nothing(tmp_path: Path) -> None:
    before, pairs, failures = None, with_decimals(1, 6), 0
    for step in itertools.count():
        folder = tmp_path / str(step)
        folder.mkdir()
        journal = written(folder)
        before = before or figures(journal, PAIRS)
        journal._db.set_trace_callback(interrupted_at(journal, step))
        has_failed = False
        try:
            follow_decimals(journal, pairs, NOW)
        except JournalError:
            has_failed, failures = True, failures + 1
        journal._db.set_trace_callback(None)
        assert decimals_of(journal)["btc_usdt"] == ((2, 8) if has_failed else (1, 6))
        assert figures(journal, pairs) == before
        journal.close()
        if not has_failed and step > 20:
            break
    assert failures > 10


def test_a_process_killed_at_any_statement_leaves_all_or_nothing(tmp_path: Path) -> None:
    pairs, folder = with_decimals(1, 6), tmp_path / "state"
    folder.mkdir()
    journal = written(folder)
    copies: list[Path] = []

    def trace(statement: str) -> None:  # a copy of the files is what a process that is killed now would leave
        copies.append(tmp_path / str(len(copies)))
        shutil.copytree(folder, copies[-1])

    journal._db.set_trace_callback(trace)
    follow_decimals(journal, pairs, NOW)
    journal._db.set_trace_callback(None)
    trace("")
    before = figures(journal, pairs)
    journal.close()
    found = []
    for copy in copies:
        left = Journal.open(copy / "journal.sqlite")
        assert left.damage is None
        found.append(decimals_of(left)["btc_usdt"])
        assert figures(left, pairs) == before
        follow_decimals(left, pairs, NOW)
        assert figures(left, pairs) == before
        assert left.orders(pairs)[0].price_ticks == 500_005
        left.close()
    assert len(found) > 20
    assert found == sorted(found, reverse=True)
    assert (found[0], found[-1]) == ((2, 8), (1, 6))


def test_a_power_cut_leaves_all_or_nothing(tmp_path: Path) -> None:
    pairs, is_new, worth = with_decimals(1, 6), [], None
    for seed in range(40):
        folder, medium = tmp_path / str(seed), Medium(seed)
        folder.mkdir()
        disk = SimulatedDisk(medium=medium)
        journal = written(folder, disk=disk)
        worth = worth or figures(journal, PAIRS)
        commits = seed % 4
        if commits:
            follow_decimals(journal, pairs, NOW)
        for number in range(1, commits):
            journal.commit(orders=[order(100 + number, pairs["btc_usdt"], price_ticks=500_005)])
            journal.orders(pairs)  # copies it into SQLite
        disk.die(power_cut=True)
        left = Journal.open(folder / "journal.sqlite", disk=SimulatedDisk(medium=medium))
        assert left.damage is None
        is_new.append(decimals_of(left).get("btc_usdt") == (1, 6))
        assert is_new[-1] == bool(commits), "what has returned is on the disk"
        follow_decimals(left, pairs, NOW)
        after = figures(left, pairs)
        assert [row[:2] for row in after["orders"][2:]] == [
            (100 + number, Decimal("50000.5")) for number in range(1, commits)
        ]
        after["orders"] = after["orders"][:2]
        assert after == worth
        left.close()
    assert set(is_new) == {True, False}


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    disk = LimitedDisk()
    journal = written(tmp_path, disk=disk)
    before = figures(journal, PAIRS)
    with disk.read_only(), pytest.raises(JournalError, match="cannot be written"):
        follow_decimals(journal, with_decimals(1, 6), NOW)
    assert figures(journal, PAIRS) == before
    assert decimals_of(journal)["btc_usdt"] == (2, 8)
    journal.close()


def report(pair: Pair, price: str, client_id: int = 7) -> OrderReport:
    ticks = int(Decimal(price).scaleb(pair.rules.price_decimals))
    return OrderReport(
        pair=pair, order_id="x", client_id=client_id, side=Side.BUY, type=OrderType.LIMIT, state=OrderState.OPEN,
        price_ticks=ticks, original_lots=1, executed_lots=0, executed_units=0, created=1, updated=1,
    )  # fmt: skip


def test_a_panic_recognises_an_order_by_its_price_in_other_ticks(tmp_path: Path) -> None:
    journal = written(tmp_path)
    own = own_orders(journal)
    for decimals in (1, 2, 5):
        pair = with_decimals(decimals, 8)["btc_usdt"]
        assert report(pair, "50000.5") in own
        assert report(pair, "50000.4") not in own
        assert report(pair, "50000.5", client_id=9) not in own
    journal._db.execute("UPDATE meta SET value = '{}' WHERE key = ?", (DECIMALS,))
    assert report(BTC, "50000.5") in own_orders(journal), "without the document, by its ticks"
    assert "document decimals has changed" in str(journal.damage)
    assert report(with_decimals(3, 8)["btc_usdt"], "5000.05") in OwnOrders(journal.order_rows())
    journal.close()
