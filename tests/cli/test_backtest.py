"""The command ``botkit backtest``: its options, its files, and its standard output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from botkit.cli.main import main
from botkit.model.results import SUMMARY_KEYS
from tests.backtest_world import ROOT, write_candles, write_config

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


@pytest.fixture
def config(tmp_path: Path) -> Path:
    candles = write_candles(tmp_path / "candles.csv", [30_000.0 + 2 * abs(i % 60 - 30) for i in range(3_000)])
    return write_config(
        tmp_path,
        f"{{path: {candles}, pair: btc_usdt, kind: candles, resolution: 1m}}",
        plugins=ROOT / "strategies",
        use="sma_cross",
        params="{pair: btc_usdt, fast: 3, slow: 7}",
        balances='{usdt: "1000000"}',
    )


def summary_of(capsys: pytest.CaptureFixture[str], config: Path, out: Path, *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["backtest", str(config), "--out", str(out), "--json", *arguments]) == 0
    printed = capsys.readouterr().out
    summary: dict[str, Any] = json.loads(printed)
    return summary


def test_the_json_option_prints_a_single_object_with_every_metric(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    summary = summary_of(capsys, config, out)
    assert set(SUMMARY_KEYS) <= summary.keys()
    assert summary["fills"] > 90
    assert summary["final_equity"] == pytest.approx(1_000_000 + summary["pnl"])
    assert {path.name for path in out.iterdir()} == FILES
    assert json.loads((out / "summary.json").read_text(encoding="utf-8")) == summary
    assert len((out / "fills.csv").read_text(encoding="utf-8").splitlines()) == summary["fills"] + 1
    assert len((out / "orders.csv").read_text(encoding="utf-8").splitlines()) == summary["orders"] + 1
    assert (out / "report.html").stat().st_size < 1_500_000


def test_without_the_json_option_a_summary_and_the_report_path_are_printed(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backtest", str(config), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert "Final equity" in printed.out
    assert "report.html" in printed.out.replace("\n", "")
    assert printed.err == ""  # no progress bar if standard error is not a terminal


def test_the_from_and_to_options_limit_the_run(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = summary_of(capsys, config, tmp_path / "a")
    # times are in the configuration's time zone (Asia/Taipei), in which the data starts at 08:00 on 2024-01-01
    part = summary_of(capsys, config, tmp_path / "b", "--from", "2024-01-01T12:00", "--to", "2024-01-01T20:00")
    assert part["end_ns"] - part["start_ns"] == 8 * 3_600 * 10**9
    assert part["events"] < whole["events"]
    day = summary_of(capsys, config, tmp_path / "c", "--to", "2024-01-01")  # a date includes the entire day
    assert day["end_ns"] == day["start_ns"] + 16 * 3_600 * 10**9


def test_bars_before_the_from_date_warm_up_the_strategy(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary_of(capsys, config, tmp_path / "a", "--from", "2024-01-01T12:30")
    first = (tmp_path / "a" / "orders.csv").read_text(encoding="utf-8").splitlines()[1]
    assert first.startswith("2024-01-01T12:34:00.000+08:00"), (
        "seven bars from 12:30 on would be too late for this crossing"
    )


def test_the_set_option_overrides_a_parameter_by_strategy_name(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = summary_of(capsys, config, tmp_path / "a")
    slower = summary_of(capsys, config, tmp_path / "b", "--set", "s.fast=20", "--set", "s.slow=60")
    assert slower["journal_sha256"] != plain["journal_sha256"]
    assert "fast: 20" in (tmp_path / "b" / "config.yaml").read_text(encoding="utf-8")
    free = summary_of(capsys, config, tmp_path / "c", "--set", "backtest.fees.taker=0")
    assert free["fees"] == 0
    assert free["final_equity"] > plain["final_equity"]


def test_the_seed_and_data_options_override_the_configuration(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = summary_of(capsys, config, tmp_path / "a")
    seeded = summary_of(capsys, config, tmp_path / "b", "--seed", "9")
    assert (plain["seed"], seeded["seed"]) == (0, 9)
    assert plain["journal_sha256"] != seeded["journal_sha256"], "client ids start at another number"
    assert plain["final_equity"] == seeded["final_equity"]
    other = write_candles(tmp_path / "btc_usdt-1m.csv", [100.0 + i / 100 for i in range(500)])
    text = config.read_text(encoding="utf-8")
    assert str(other) not in text
    with_data = summary_of(capsys, config, tmp_path / "c", "--data", str(other))
    assert with_data["end_ns"] - with_data["start_ns"] == 500 * 60 * 10**9 + 1
    assert with_data["buy_and_hold_return"] == pytest.approx(4.99 / 100, rel=1e-3)


def test_a_backtest_does_not_import_pandas_or_a_web_client(config: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from botkit.cli.main import main\n"
        f"assert main(['backtest', {str(config)!r}, '--out', {str(tmp_path / 'o')!r}, '--json']) == 0\n"
        "heavy = {'pandas', 'aiohttp'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--from", "yesterday"], "--from: 'yesterday' is not a time"),
        (["--to", "2024-13-01"], "--to: '2024-13-01' is not a time"),
        (["--data", "/nowhere/at/all"], "there is no such file or folder"),
        (["--out", "FILE/below"], "cannot be created"),
    ],
)
def test_an_error_about_an_invalid_option_names_the_option(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    (tmp_path / "file").write_text("")
    given = [option.replace("FILE", str(tmp_path / "file")) for option in options]
    assert main(["backtest", str(config), "--out", str(tmp_path / "out"), *given]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert says in printed.err
    assert options[0] in printed.err
    assert "Traceback" not in printed.err


def test_prices_with_too_many_decimals_are_rounded_with_a_printed_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_candles(tmp_path / "fine.csv", [100 + i % 7 for i in range(200)])
    data.write_text(data.read_text(encoding="utf-8").replace(".00", ".0051"), encoding="utf-8")
    config = write_config(
        tmp_path,
        f"{{path: {data}, pair: btc_usdt, kind: candles, resolution: 1m}}",
        plugins=ROOT / "strategies",
        use="sma_cross",
    )
    told = " ".join(summary_of(capsys, config, tmp_path / "out")["warnings"])
    assert "fine.csv" in told
    assert "more decimals than btc_usdt allows (2) and were rounded to the nearest" in told


@pytest.mark.parametrize(
    ("notify", "words"),
    [
        ("{use: smoke}", "no notifier named `smoke`"),
        ("{use: telegram, token: a, chat: 5, usr: 6}", "did you mean `user`?"),
    ],
)
def test_a_notifier_that_a_run_would_refuse_is_named_by_a_backtest(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], notify: str, words: str
) -> None:
    config.write_text(config.read_text() + f"\nnotify: [{notify}]\n")
    line = len(config.read_text().splitlines())
    assert main(["backtest", str(config), "--out", str(tmp_path / "out"), "--no-readings"]) == 0
    (said,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith("warning: ")]
    assert said.startswith(f"warning: {config}:{line}: ")
    assert words in said
    assert said.endswith("(a backtest sends nothing, but `botkit run` would refuse this)")
