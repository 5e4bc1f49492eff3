"""Recording and downloading from botkit's own emulator over the network, and backtesting on the result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from botkit.assembly.emulator import emulator_options, make_emulator
from botkit.cli.main import main
from botkit.model.clock import format_time
from tests.simulation.terminal import Terminal

MINUTE = 60 * 10**9


@pytest.fixture
def addresses(terminal: Terminal) -> dict[str, str]:
    emulator = terminal.serve(make_emulator(emulator_options()))
    return {"rest": emulator.rest, "ws": emulator.ws}


def test_a_recording_from_the_emulator_is_a_valid_tape(
    addresses: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tape"
    where = ["--rest", addresses["rest"], "--ws", addresses["ws"]]
    code = main(["record", "--pairs", "btc_twd,btc_usdt", "--out", str(out), "--duration", "6s", "--json", *where])
    told = json.loads(capsys.readouterr().out)
    assert code == 0
    assert told["rows"]["btc_twd books"] >= 2
    assert main(["data", "check", str(out)]) == 0
    described = capsys.readouterr().out
    assert "OK; " in described


def test_candles_are_downloaded_from_the_emulator_and_a_download_can_be_continued(
    addresses: dict[str, str], terminal: Terminal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, now = tmp_path / "tape", terminal.loop.machine_clock.wall_ns()
    begin, middle = (format_time(now // MINUTE * MINUTE - hours * 60 * MINUTE) for hours in (20, 10))
    common = ["btc_twd", "--out", str(out), "--rest", addresses["rest"], "--json"]
    assert main(["download", *common, "--from", begin, "--to", middle]) == 0
    first = json.loads(capsys.readouterr().out)["streams"][0]
    assert 590 <= first["candles"] + first["missing"] <= 600
    assert main(["download", *common]) == 0
    second = json.loads(capsys.readouterr().out)["streams"][0]
    assert second["start"] == first["end"]
    assert second["candles"] > 500
