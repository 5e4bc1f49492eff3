"""The commands ``botkit data`` import, info, check, spread and synthetic, called with arguments as a user would type
them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from botkit.cli.main import main

BUNDLED = Path(__file__).parents[2] / "backtest_data"
HEADER = "timestamp,open,high,low,close,volume\n"
CANDLES = HEADER + "".join(f"{1735689600 + 60 * i},10,11,9,10,1\n" for i in range(5))

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    def call(*arguments: object) -> tuple[int, str, str]:
        code = main(["data", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "candles.csv"
    path.write_text(CANDLES)
    return path


def as_json(result: tuple[int, str, str]) -> Any:
    assert result[2] == ""
    return json.loads(result[1])


def test_a_csv_file_is_imported_as_a_tape_and_more_rows_can_be_added(run: Run, file: Path, tmp_path: Path) -> None:
    code, out, _ = run("import", file, "--pair", "btc_usdt", "--out", "tape")
    assert code == 0
    assert "btc_usdt candles 1m: 5 rows added to tape" in out
    later = tmp_path / "later.csv"
    later.write_text(HEADER + "".join(f"{1735689600 + 60 * i},10,11,9,10,1\n" for i in range(5, 9)))
    assert run("import", later, "--pair", "btc_usdt", "--resolution", "1m", "--out", "tape")[0] == 0
    described = as_json(run("info", "tape", "--json"))
    assert described["streams"][0]["rows"] == 9
    assert described["streams"][0]["gaps"] == 0
    assert described["command"] == "botkit data import candles.csv --pair btc_usdt"
    assert run("check", "tape")[0] == 0


def test_importing_rows_already_on_the_tape_is_refused_and_nothing_changes(
    run: Run, file: Path, tmp_path: Path
) -> None:
    run("import", file, "--pair", "btc_usdt", "--out", "tape")
    before = {p: p.read_bytes() for p in (tmp_path / "tape").rglob("*") if p.is_file()}
    code, _, err = run("import", file, "--pair", "btc_usdt", "--out", "tape")
    assert code == 2
    assert "already has btc_usdt candles" in err
    assert {p: p.read_bytes() for p in (tmp_path / "tape").rglob("*") if p.is_file()} == before


def test_a_mistake_prints_a_helpful_one_line_error_and_creates_no_tape(run: Run, file: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (("import", file, "--out", "t"), "does not name its pair"),
        (("import", file, "--pair", "btc_usd", "--out", "t"), "did you mean btc_usdt"),
        (("import", file, "--pair", "btc_usdt", "--resolution", "5m", "--out", "t"), "rows are 60 s apart"),
        (("import", file, "--pair", "btc_usdt", "--kind", "tapes", "--out", "t"), "no such format"),
        (("import", tmp_path / "none.csv", "--pair", "btc_usdt", "--out", "t"), "does not exist"),
        (("info", tmp_path / "none"), "does not exist"),
        (("spread", file, "--pair", "btc_usdt"), "has no books for btc_usdt"),
        (("spread", BUNDLED, "--size", "1_000"), "is not a plain decimal"),
        (("synthetic", "--out", "t", "--start", "soon"), "is not a time"),
    ):
        code, out, err = run(*arguments)
        assert (code, out) == (2, ""), arguments
        assert message in err
        assert "Traceback" not in err
    assert not (tmp_path / "t").exists()


def test_data_check_lists_findings_and_exits_with_code_1(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "candles.csv"
    lines = CANDLES.splitlines(keepends=True)
    path.write_text("".join([*lines[:3], lines[2], *lines[4:]]))
    code, out, _ = run("check", path, "--pair", "btc_usdt")
    assert code == 1
    assert "1 duplicate candles were skipped" in out
    assert "candles are missing before this row, 1 row," in out
    verdict = as_json(run("check", path, "--pair", "btc_usdt", "--json"))
    assert verdict["good"] is False
    assert len(verdict["findings"]) == 2
    path.write_text(HEADER + "1735689600,10,9,11,10,1\n")
    code, out, _ = run("check", path, "--pair", "btc_usdt", "--resolution", "1m")
    assert code == 1
    assert "candles.csv:2: the high is below the low" in out


def test_data_check_exits_with_code_0_for_a_valid_file_and_ignores_notes(run: Run, file: Path) -> None:
    file.write_text(CANDLES.replace("11,9,10", "11,9.001,10"))
    code, out, _ = run("check", file, "--pair", "btc_usdt")
    assert code == 0
    assert "OK; 5 rows in 1 stream" in out
    assert "note: 5 prices had more decimals than btc_usdt allows (2)" in out


def test_duplicate_candles_are_skipped_if_requested(run: Run, file: Path) -> None:
    file.write_text(CANDLES + CANDLES.splitlines()[-1] + "\n")
    assert "a second candle" in run("import", file, "--pair", "btc_usdt", "--out", "t")[2]
    code, out, _ = run("import", file, "--pair", "btc_usdt", "--out", "t", "--drop-doubled")
    assert code == 0
    assert "note: 1 duplicate candles were skipped" in out


def test_trade_and_candle_files_are_distinguished_by_their_header(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    path.write_text("time,price,amount,side\n1735689600,10,1,buy\n1735689601,10,1,sell\n")
    assert as_json(run("import", path, "--pair", "btc_twd", "--out", "t", "--json"))["imported"] == {
        "btc_twd trades": 2
    }


def test_every_command_labels_a_synthetic_tape_as_synthetic(run: Run) -> None:
    code, out, err = run("synthetic", "--out", "market", "--seed", "5", "--days", "1", "--hours", "1")
    assert (code, err) == (0, "")
    assert "market: synthetic, seed 5" in out
    again = as_json(run("synthetic", "--out", "market", "--seed", "5", "--days", "1", "--hours", "1", "--json"))
    assert again["content_sha256"] in out
    assert "synthetic: yes: generated, not recorded" in run("info", "market")[1]
    assert "synthetic data: measure your own recordings" in run("spread", "market", "--pair", "btc_usdt")[1]
    assert "(synthetic market)" in run("check", "market")[1]
    assert as_json(run("info", "market", "--json"))["synthetic"] is True
    assert (
        as_json(run("info", "market", "--json"))["command"]
        == "botkit data synthetic --out market --seed 5 --days 1 --hours 1"
    )


def test_the_spread_command_suggests_a_slippage_value(run: Run) -> None:
    code, out, _ = run("spread", BUNDLED, "--pair", "btc_usdt")
    assert code == 0
    assert 'slippage: "0.00015"' in out
    described = as_json(run("spread", BUNDLED, "--pair", "eth_twd", "--size", "10000", "--json"))
    (pair,) = described["pairs"]
    assert pair["pair"] == "eth_twd"
    assert pair["costs"][0]["value"] == 10000
    assert float(pair["slippage"]) > 0.001


def test_the_info_and_check_commands_can_be_limited_to_one_pair(run: Run) -> None:
    streams = as_json(run("info", BUNDLED, "--pair", "eth_twd", "--json"))["streams"]
    assert {row["pair"] for row in streams} == {"eth_twd"}


def frames_file(path: Path, lists: list[list[int]]) -> Path:
    """Write TRADE frames one second apart. Each trade is represented by a number."""
    lines = []
    for i, numbers in enumerate(lists):
        rows = [{"timestamp": 1735689600 + n, "price": str(100 + n), "amount": "1", "isBuyer": True} for n in numbers]
        frame = {"event": "TRADE", "timestamp": 1735689600000, "pair": "BTC_USDT", "data": rows}
        lines.append(json.dumps({"received": 1735689600000 + 1000 * i, "frame": frame}))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_all_frames_are_imported_and_gaps_between_trade_lists_are_marked(run: Run, tmp_path: Path) -> None:
    singles = frames_file(tmp_path / "s.frames.jsonl", [[1], [2], [2], [3]])
    assert "btc_usdt trades: 4 rows" in run("import", singles, "--out", "singles")[1]
    lists = frames_file(tmp_path / "l.frames.jsonl", [[], [2, 1], [3, 2, 1], [9, 8, 7], [10, 9, 8, 7]])
    code, out, _ = run("import", lists, "--out", "lists")
    assert code == 0
    assert "btc_usdt trades: 7 rows added to lists, 1 gap" in out
    assert as_json(run("info", "lists", "--json"))["streams"][0]["gaps"] == 1
    for place in ("lists", lists):
        code, out, _ = run("check", place)
        assert code == 0
        assert "note: btc_usdt trades: 1 gap in which rows may be missing, of 1.0 s from 2025-01-01T00:00:02" in out
