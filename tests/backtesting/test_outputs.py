"""The output folder has exactly the expected contents, is written completely or not at all, and never overwrites a
user's own files.
"""

from __future__ import annotations

import csv
import io
import json
import time
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from botkit.backtesting.outputs import (
    RunFolder,
    _times,
    equity_csv,
    fills_csv,
    orders_csv,
    summary_json,
    trades_csv,
    write_outputs,
)
from botkit.errors import ConfigError
from botkit.model.clock import format_time
from botkit.model.results import BacktestResult, Benchmark, Curve
from tests.report.sample_result import bare_result, sample_result

FILES = {
    "summary.json",
    "orders.csv",
    "fills.csv",
    "trades.csv",
    "equity.csv",
    "daily.csv",
    "report.html",
    "config.yaml",
    "decisions.jsonl",
}


@pytest.fixture(scope="module")
def result() -> BacktestResult:
    return sample_result(days=2, orders=60)


def write(out: Path, result: BacktestResult) -> None:
    with RunFolder(out) as run:
        write_outputs(run.path, result, report_html="<html>", config_yaml="name: x\n", decisions=b'{"a":1}\n')


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_run_writes_exactly_the_expected_files(tmp_path: Path, result: BacktestResult) -> None:
    write(tmp_path / "deep" / "out", result)
    assert {p.name for p in (tmp_path / "deep" / "out").iterdir()} == FILES
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["out"]
    assert (tmp_path / "deep" / "out" / "decisions.jsonl").read_bytes() == b'{"a":1}\n'


def test_decisions_can_be_passed_as_a_file_or_written_directly(tmp_path: Path, result: BacktestResult) -> None:
    grown = tmp_path / "grown.jsonl"
    grown.write_bytes(b"1\n")
    with RunFolder(tmp_path / "a") as run:
        write_outputs(run.path, result, report_html="", config_yaml="", decisions=grown)
    assert (tmp_path / "a" / "decisions.jsonl").read_bytes() == b"1\n"
    assert not grown.exists()
    with RunFolder(tmp_path / "b") as run:
        (run.path / "decisions.jsonl").write_bytes(b"2\n")
        write_outputs(run.path, result, report_html="", config_yaml="")
    assert (tmp_path / "b" / "decisions.jsonl").read_bytes() == b"2\n"


def test_a_failed_run_leaves_no_partial_files_and_keeps_the_previous_run(
    tmp_path: Path, result: BacktestResult
) -> None:
    def fail(out: Path) -> None:
        with RunFolder(out) as run:
            (run.path / "summary.json").write_text("half")
            raise RuntimeError("the tape ends in the middle of a row")

    with pytest.raises(RuntimeError):
        fail(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "out", result)
    before = (tmp_path / "out" / "summary.json").read_bytes()
    with pytest.raises(RuntimeError):
        fail(tmp_path / "out")
    assert (tmp_path / "out" / "summary.json").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_previous_run_is_replaced_completely(tmp_path: Path, result: BacktestResult) -> None:
    write(tmp_path / "out", result)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    write(tmp_path / "out", bare_result())
    assert {p.name for p in (tmp_path / "out").iterdir()} == FILES
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["name"] == "idle"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_is_not_a_run_is_refused_before_the_run_starts(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(ConfigError, match="are not part of a backtest"):
        RunFolder(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "summary.json").write_text('{"somebody": "else"}')
    with pytest.raises(ConfigError, match="are not part of a backtest"):
        RunFolder(tmp_path / "other")
    with pytest.raises(ConfigError, match="not a folder"):
        RunFolder(tmp_path / "thesis.doc")


def test_files_that_appear_during_the_run_are_kept(tmp_path: Path, result: BacktestResult) -> None:
    out = tmp_path / "out"

    def run_while_somebody_writes() -> None:
        with RunFolder(out) as run:
            out.mkdir()
            (out / "thesis.doc").write_text("years of work")
            write_outputs(run.path, result, report_html="", config_yaml="", decisions=b"")

    with pytest.raises(ConfigError):
        run_while_somebody_writes()
    assert (out / "thesis.doc").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_empty_output_folder_is_accepted(tmp_path: Path, result: BacktestResult) -> None:
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", result)
    assert {p.name for p in (tmp_path / "out").iterdir()} == FILES


def test_fills_are_written_with_exact_values(result: BacktestResult) -> None:
    rows = read(fills_csv(result.fills, "twd"))
    assert len(rows) == len(result.fills)
    for row, fill in zip(rows, result.fills, strict=True):
        rules = fill.pair.rules
        assert Decimal(row["price"]) == rules.exact_price(fill.price_ticks)
        assert Decimal(row["amount"]) == rules.exact_amount(fill.lots)
        assert Decimal(row["value"]) == Decimal(fill.value_units).scaleb(-8)
        assert Decimal(row["fee"]) == Decimal(fill.fee_units).scaleb(-8)
        assert "e" not in (row["price"] + row["amount"] + row["value"] + row["fee"]).lower()
        assert int(row["time_ns"]) == fill.time
    assert rows[0]["time"].endswith("Z")
    assert rows[0]["liquidity"] in ("maker", "taker")


def test_values_beyond_64_bits_and_negative_values_are_written_exactly(result: BacktestResult) -> None:
    huge = msgspec.structs.replace(result.fills[0], value_units=10**25 + 1, fee_units=-5)
    (row,) = read(fills_csv([huge], "twd"))
    assert (row["value"], row["fee"]) == ("100000000000000000.00000001", "-0.00000005")


def test_missing_order_fields_are_left_empty(result: BacktestResult) -> None:
    replace, row = msgspec.structs.replace, result.orders[0]
    spec = replace(row.spec, price_ticks=0, amount_lots=0, spend_units=5 * 10**8)
    market = replace(row, spec=spec, sent=0, reason='says "no", twice')
    first, second = read(orders_csv([market, result.orders[1]]))
    assert (first["price"], first["amount"], first["spend"], first["queue_ms"]) == ("", "", "5.00000000", "")
    assert first["reason"] == 'says "no", twice'
    assert second["price"] != ""


def test_line_endings_are_identical_on_every_operating_system(tmp_path: Path, result: BacktestResult) -> None:
    write(tmp_path / "out", result)
    for name in ("orders.csv", "fills.csv", "equity.csv", "summary.json"):
        data = (tmp_path / "out" / name).read_bytes()
        assert b"\r" not in data
        assert data.endswith(b"\n")


def test_equity_has_a_column_for_each_strategy(result: BacktestResult) -> None:
    rows = read(equity_csv(result))
    assert len(rows) == len(result.equity.times)
    assert list(rows[0]) == ["time", "time_ns", "equity", "drawdown", "sma_btc", "maker_eth"]
    assert float(rows[-1]["equity"]) == pytest.approx(result.equity.values[-1])
    assert float(rows[-1]["sma_btc"]) == pytest.approx(result.strategy_equity["sma_btc"].values[-1])
    assert min(float(r["drawdown"]) for r in rows) == 0.0


def test_a_run_without_trades_writes_only_header_rows() -> None:
    bare = bare_result()
    assert read(fills_csv(bare.fills, "twd")) == []
    assert read(orders_csv(bare.orders)) == []
    assert read(equity_csv(bare)) == []
    assert json.loads(summary_json(bare))["return"] is None


def test_the_summary_refuses_to_write_nan(result: BacktestResult) -> None:
    broken = msgspec.structs.replace(result, summary=result.summary | {"sharpe": float("nan")})
    with pytest.raises(ValueError, match="JSON compliant"):
        summary_json(broken)


def test_forty_thousand_fills_are_written_quickly() -> None:
    big = sample_result(days=1, orders=500)
    fills = (big.fills * 100)[:39_000]
    began = time.process_time()
    fills_csv(fills, "twd")
    assert time.process_time() - began < 1.5  # 0.25 to 0.30 s measured on two busy cores


def test_trade_values_are_exact_and_missing_fields_are_empty(result: BacktestResult) -> None:
    (row,) = read(trades_csv(result.trades, "twd"))
    assert (row["amount"], row["profit"], row["pnl_twd"]) == ("0.10000000", "9180.00000000", "9180.00000000")
    assert (row["entry_tag"], row["exit_reason"], row["given"]) == ("breakout, up", "take_profit", "false")
    assert float(row["return"]) == pytest.approx(9_180 / 200_000)
    loop = msgspec.structs.replace(result.trades[0], kind="loop", mae=None, mfe=None, entry_tag="=cmd()")
    (row,) = read(trades_csv([loop], "twd"))
    assert (row["mae"], row["mfe"]) == ("", "")
    assert not row["entry_tag"].startswith("=")
    assert read(trades_csv([], "twd")) == []


def test_the_benchmark_has_a_column_in_the_equity_and_days_files(result: BacktestResult) -> None:
    held = msgspec.structs.replace(
        result,
        benchmark=Benchmark(
            name="buy-and-hold", equity=Curve(result.equity.times[1:2], [5.0]), days=[], return_=0.1, max_drawdown=0.2,
            sharpe=None,
        ),
    )  # fmt: skip
    rows = read(equity_csv(held))
    assert [row["buy-and-hold"] for row in rows[:3]] == ["", "5.00000000", "5.00000000"]
    assert json.loads(summary_json(held))["benchmark"]["return"] == 0.1
    assert json.loads(summary_json(result))["benchmark"] is None


@pytest.mark.parametrize("zone", ["Asia/Taipei", "UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_csv_timestamps_are_in_the_runs_time_zone_and_include_the_offset(zone: str) -> None:
    start = 1_735_689_599_999_999_999
    # irregular timestamps that span both daylight saving changes of a year
    times = [start + step * 6_543_210_987_654 for step in range(5_000)]
    texts = _times(times, ZoneInfo(zone))
    assert texts == [format_time(time, ZoneInfo(zone)) for time in times]
    assert _times([], ZoneInfo(zone)) == []
