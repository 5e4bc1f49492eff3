"""All dates that a user enters are interpreted in a single time zone, and data from an emulator is marked synthetic."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from botkit.assembly.emulator import emulator_options, make_emulator
from botkit.cli.main import main
from botkit.tape.manifest import read_manifest
from tests.cli.first_week import FirstBot
from tests.simulation.terminal import Terminal

Printed = pytest.CaptureFixture[str]
BODY = 'def on_start(self):\n    self.subscribe_bars(self.pair, "1m")'


def test_a_span_outside_the_data_is_reported_in_the_time_zone_used_on_the_command_line(
    tmp_path: Path, capsys: Printed
) -> None:
    bot = FirstBot(tmp_path, BODY)
    assert bot.backtest("--from", "2023-02-01", "--to", "2023-02-01") == 2
    said = capsys.readouterr().err
    assert "2023-02-01T00:00:00.000+08:00 to 2023-02-02T00:00:00.000+08:00, but the data for btc_twd" in said
    assert "2024-01-01T08:00:00.000+08:00" in said
    assert "Z" not in said


def test_the_start_of_the_synthetic_market_uses_the_configured_time_zone(tmp_path: Path, capsys: Printed) -> None:
    out = tmp_path / "tape"
    common = ["data", "synthetic", "--out", str(out), "--start", "2025-01-01", "--days", "1", "--hours", "0"]
    assert main(common) == 0
    capsys.readouterr()
    assert main(["data", "info", str(out), "--json"]) == 0
    begins = {stream["start"] for stream in json.loads(capsys.readouterr().out)["streams"]}
    assert begins == {(1_735_689_600 - 8 * 3600 + 60) * 10**9}


def test_an_unknown_time_zone_is_refused(tmp_path: Path, capsys: Printed) -> None:
    assert main(["data", "synthetic", "--out", str(tmp_path), "--timezone", "Taipeh"]) == 2
    assert "'Taipeh' is not a time zone" in capsys.readouterr().err


def test_the_sort_and_timezone_options_work_on_the_command_line_and_in_the_configuration(
    tmp_path: Path, capsys: Printed
) -> None:
    bot = FirstBot(tmp_path, BODY)
    lines = (tmp_path / "candles.csv").read_text(encoding="utf-8").splitlines()
    newest_first = "\n".join([lines[0], *reversed(lines[1:])]) + "\n"
    (tmp_path / "candles.csv").write_text(newest_first, encoding="utf-8")
    assert bot.backtest() == 2
    assert "the rows run from newest to oldest" in capsys.readouterr().err
    text = bot.config.read_text(encoding="utf-8")
    bot.config.write_text(text.replace("resolution: 1m}", "resolution: 1m, sort: true}"), encoding="utf-8")
    assert bot.backtest() == 0
    command = ["data", "import", str(tmp_path / "candles.csv"), "--pair", "btc_twd", "--out", str(tmp_path / "tape")]
    assert main(command) == 2
    assert main([*command, "--sort", "--timezone", "UTC"]) == 0
    assert read_manifest(tmp_path / "tape").command.endswith("--timezone UTC --sort")


def test_data_recorded_or_downloaded_from_an_emulator_is_marked_as_synthetic(
    tmp_path: Path, terminal: Terminal, capsys: Printed
) -> None:
    emulator = terminal.serve(make_emulator(emulator_options()))
    where = ["--rest", emulator.rest]
    recorded, downloaded = tmp_path / "recorded", tmp_path / "downloaded"
    record = ["record", "--pairs", "btc_twd", "--duration", "3s", *where, "--ws", emulator.ws]
    assert main([*record, "--out", str(recorded)]) == 0
    assert main(["download", "btc_twd", *where, "--from", "2020-01-01", "--out", str(downloaded)]) == 0
    assert read_manifest(recorded).synthetic
    assert read_manifest(downloaded).synthetic
