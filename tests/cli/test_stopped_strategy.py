"""A stopped strategy is the first item reported at the end of a run, by `status`, by `why` and on the screen."""

from __future__ import annotations

import io
import json
from datetime import UTC
from pathlib import Path

import pytest
from rich.console import Console

from botkit.cli.main import main
from botkit.live.notifications.picture import Picture, PictureStrategy
from botkit.live.notifications.view import line_of, screen_of
from tests.cli.first_week import FirstBot
from tests.simulation.terminal import Terminal

FAILS = """
def on_start(self):
    self.subscribe_book(self.pair)

def on_book(self, book):
    raise ZeroDivisionError("boom")
"""

Printed = pytest.CaptureFixture[str]


def test_run_status_and_why_report_a_stopped_strategy_first_and_run_exits_with_code_1(
    tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    bot = FirstBot(tmp_path, FAILS)
    assert main(["run", str(bot.config), "--duration", "3s", "--plain"]) == 1
    printed = capsys.readouterr().out.splitlines()
    stopped = "STOPPED: mine: ZeroDivisionError: boom in on_book"
    figures = next(i for i, line in enumerate(printed) if line.startswith("mine: 0 orders"))
    assert printed[figures - 1] == stopped

    assert main(["status", str(bot.config)]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == stopped
    assert lines.count(stopped) == 1
    main(["status", str(bot.config), "--json"])
    assert json.loads(capsys.readouterr().out)["stopped"] == {"mine": "ZeroDivisionError: boom in on_book"}

    assert main(["why", str(bot.config)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == stopped
    main(["why", str(bot.config), "--json"])
    assert json.loads(capsys.readouterr().out)["stopped"] == {"mine": "ZeroDivisionError: boom in on_book"}


def picture(*strategies: PictureStrategy, halted: str | None = None) -> Picture:
    return Picture(
        name="mine", mode="live", time=0, uptime_s=1.0, halted=halted, faults=(), currency="twd", equity=1.0,
        profit=0.0, prices=(), positions=(), orders=(), strategies=strategies, limits=(), lost_streams=(),
        connected_streams=1,
        unknown_orders=0, foreign_orders=0, events=1, turns=1, waiting=0, rate_limited=0,
    )  # fmt: skip


def test_the_screen_and_the_status_line_show_a_stopped_strategy_first() -> None:
    row = PictureStrategy(
        name="s", state="stopped", orders=0, fills=0, skips=0, refusals=0, why_not="boom", stopped="boom in on_bar"
    )
    console = Console(file=io.StringIO(), width=80)
    console.print(screen_of(picture(row), [], UTC))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[1].startswith("STOPPED: s: boom in on_bar")
    assert line_of(picture(row)).startswith("STOPPED: s: boom in on_bar")
