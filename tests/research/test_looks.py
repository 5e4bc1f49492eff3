"""The ledger of looks counts every distinct configuration tried on a market."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from botkit.cli.main import main
from botkit.research.looks import Look, LookLedger, LooksError, Market, content_hash, distinct, returns_matrix

DAY = 86_400 * 10**9
SMA = Market.of(["sma_cross"], ["btc_twd", "eth_twd"], is_synthetic=False)


def look(**changes: Any) -> Look:
    plain = Look(
        code="c1",
        config="f1",
        params={"sma.fast": 5},
        start=0,
        end=10 * DAY,
        noted=1,
        command="optimize",
        first_day=0,
        returns=(0.01, math.nan, -0.02),
        trades=40,
    )
    return msgspec.structs.replace(plain, **changes)


@pytest.fixture
def ledger(tmp_path: Path) -> LookLedger:
    return LookLedger(tmp_path / "state")


def test_a_look_is_read_back_as_recorded(ledger: LookLedger) -> None:
    assert ledger.note(SMA, [look()]) == 1
    (found,) = ledger.looks(SMA, 0, DAY)
    assert repr(found) == repr(look())


def test_identical_looks_are_counted_once(ledger: LookLedger) -> None:
    ledger.note(SMA, [look()])
    assert ledger.note(SMA, [look(noted=2, command="backtest")]) == 0
    assert len(ledger.looks(SMA, 0, DAY)) == 1


@pytest.mark.parametrize("change", [{"code": "c2"}, {"config": "f2"}, {"params": {"sma.fast": 6}}])
def test_a_look_with_different_code_configuration_or_parameters_is_a_new_look(
    ledger: LookLedger, change: dict[str, Any]
) -> None:
    ledger.note(SMA, [look()])
    assert ledger.note(SMA, [look(**change)]) == 1
    assert len(distinct(ledger.looks(SMA, 0, DAY))) == 2


def test_a_look_with_a_longer_tape_is_not_counted_as_a_new_look(ledger: LookLedger) -> None:
    ledger.note(SMA, [look(), look(end=20 * DAY)])
    (kept,) = distinct(ledger.looks(SMA, 0, DAY))
    assert kept.end == 20 * DAY


def test_a_look_in_several_windows_is_one_look_at_all_of_their_days(ledger: LookLedger) -> None:
    rolling = [
        look(start=0, end=3 * DAY, first_day=0, returns=(0.1, 0.2, math.nan)),
        look(start=2 * DAY, end=5 * DAY, first_day=2, returns=(0.3, 0.4, 0.5)),
        look(start=7 * DAY, end=8 * DAY, first_day=7, returns=(0.8,)),
    ]
    ledger.note(SMA, rolling)
    [found] = distinct(ledger.looks(SMA, 0, 9 * DAY))
    assert (found.start, found.end, found.first_day) == (0, 8 * DAY, 0)
    assert found.returns == pytest.approx((0.1, 0.2, 0.3, 0.4, 0.5, math.nan, math.nan, 0.8), nan_ok=True)


def test_of_two_spans_the_longer_gives_a_day_its_return(ledger: LookLedger) -> None:
    ledger.note(
        SMA,
        [look(end=2 * DAY, returns=(0.1, 0.2)), look(end=3 * DAY, returns=(0.3, 0.4, 0.5)), look(end=DAY, returns=())],
    )
    [found] = distinct(ledger.looks(SMA, 0, 9 * DAY))
    assert found.returns == (0.3, 0.4, 0.5)


def test_a_verdict_counts_the_looks_that_overlap_its_span(ledger: LookLedger) -> None:
    ledger.note(SMA, [look()])
    assert len(ledger.looks(SMA, 9 * DAY, 30 * DAY)) == 1
    assert ledger.looks(SMA, 10 * DAY, 30 * DAY) == []


@pytest.mark.parametrize(
    "other",
    [
        Market.of(["rsi"], ["btc_twd", "eth_twd"], is_synthetic=False),
        Market.of(["sma_cross"], ["btc_twd"], is_synthetic=False),
        Market.of(["sma_cross"], ["btc_twd", "eth_twd"], is_synthetic=True),
    ],
)
def test_looks_on_different_markets_are_separate(ledger: LookLedger, other: Market) -> None:
    ledger.note(SMA, [look()])
    assert ledger.looks(other, 0, DAY) == []


def test_the_order_of_pairs_does_not_matter() -> None:
    assert Market.of(["sma_cross"], ["eth_twd", "btc_twd"], is_synthetic=False) == SMA


def test_returns_of_several_looks_are_aligned_by_day() -> None:
    looks = [look(), look(first_day=2, returns=(0.5, 0.6, 0.7))]
    assert returns_matrix(looks, 1, 3).tolist() == [[0.0, 0.0], [-0.02, 0.5], [0.0, 0.6]]


def test_reading_the_ledger_creates_no_files(ledger: LookLedger) -> None:
    assert ledger.looks(SMA, 0, DAY) == []
    assert ledger.markets() == []
    assert not ledger.path.parent.exists()


def test_the_ledger_lists_the_looks_of_each_market(ledger: LookLedger) -> None:
    ledger.note(SMA, [look(), look(code="c2", end=12 * DAY)])
    assert ledger.markets() == [(SMA, 2, 0, 12 * DAY)]


def test_a_damaged_ledger_is_named_in_the_error(ledger: LookLedger) -> None:
    ledger.path.parent.mkdir()
    ledger.path.write_bytes(b"no database" * 100)
    with pytest.raises(LooksError, match=r"looks\.sqlite: the ledger of looks cannot be used"):
        ledger.note(SMA, [look()])


def test_a_ledger_from_a_newer_version_is_not_used(ledger: LookLedger) -> None:
    ledger.note(SMA, [look()])
    with closing(sqlite3.connect(ledger.path)) as db, db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(LooksError, match="written by a newer botkit"):
        ledger.looks(SMA, 0, DAY)


def test_identical_contents_have_identical_hashes() -> None:
    assert content_hash({"a": 1, "b": [2]}) == content_hash({"b": [2], "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 2})


def test_the_trials_command_lists_the_recorded_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path))
    assert main(["trials"]) == 0
    assert "nothing has been tried yet" in capsys.readouterr().out
    LookLedger(tmp_path).note(SMA, [look(), look(code="c2")])
    assert main(["trials"]) == 0
    assert "sma_cross  btc_twd eth_twd  recorded  1970-01-01  1970-01-11      2" in capsys.readouterr().out
    assert main(["trials", "--json"]) == 0
    assert '"looks": 2' in capsys.readouterr().out
