"""A strategy's messages reach the user in every mode. If live trading would refuse a call, a backtest refuses it too or
prints a warning.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from botkit.cli.main import main
from tests.cli.first_week import FirstBot
from tests.simulation.terminal import Terminal

Printed = pytest.CaptureFixture[str]

TALKS = """
def on_start(self):
    self.subscribe_bars(self.pair, "1m")
    self.subscribe_bars(self.pair, "5m", on="five")
    self.log.info("quiet start")
    self.log.warning("a spread of %g bp pays nothing", 6.0)

def five(self, bar):
    self.log.info("five at %s", bar.close)

def on_bar(self, bar):
    self.log.warning("bar %s", bar.close)
    if bar.time % 3_600_000_000_000 == 0:
        self.log.error("an hour")
"""


def test_warnings_and_errors_in_a_backtest_are_printed_once_with_level_and_time(
    tmp_path: Path, capsys: Printed
) -> None:
    bot = FirstBot(tmp_path, TALKS, extra="log: {level: info, file: bot.log}\n")
    assert bot.backtest() == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("warning: 2024-01-01T08:00:00.000+08:00 mine: a spread of 6 bp pays nothing")
    assert sum("a spread of" in line for line in lines) == 1
    assert sum("mine: bar 1000" in line for line in lines) == 5  # the other messages are only counted
    assert any(line.startswith("... and 85 more like this: mine: bar #") for line in lines)
    assert any(line.startswith("error: ") and "mine: an hour" in line for line in lines)
    assert not any("quiet start" in line for line in lines)


def test_a_message_from_a_strategy_to_the_user_is_printed_and_recorded_in_a_backtest(
    tmp_path: Path, capsys: Printed
) -> None:
    body = """
    def on_start(self):
        self.subscribe_bars(self.pair, "5m")
        self.count = 0
    def on_bar(self, bar):
        self.count += 1
        if self.count == 2:
            self.notify(f"two bars, now {bar.close:.0f}")
            self.notify("x" * 5_000)
    """
    bot = FirstBot(tmp_path, body, extra="notify: [bell]\n")
    assert bot.backtest() == 0
    said = capsys.readouterr().err
    assert "message: 2024-01-01T08:10:00.000+08:00 mine: two bars, now 1000020\n" in said
    assert "\a" not in said, "a backtest sends nothing"
    rows = [json.loads(line) for line in (bot.out / "decisions.jsonl").read_text().splitlines()]
    notes = [row for row in rows if row["k"] == "notify"]
    assert [(row["t"], row["text"][:30]) for row in notes] == [
        (1_704_067_800_000_000_000, "mine: two bars, now 1000020"),
        (1_704_067_800_000_000_000, "mine: " + "x" * 24),
    ]
    assert len(notes[1]["text"]) < 1_100


def test_log_file_and_log_level_options_work_in_a_backtest(tmp_path: Path) -> None:
    file = tmp_path / "bot.log"
    bot = FirstBot(tmp_path, TALKS, extra="log: {level: info, file: bot.log}\n")
    assert bot.backtest() == 0
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert {row["strategy"] for row in rows} == {"mine"}
    assert sum("five at" in row["message"] for row in rows) >= 17
    assert sum("bar " in row["message"] for row in rows) == 90
    assert rows[1]["at"].startswith("mine.py:")  # the line in the strategy's code, not one in botkit


def test_warnings_and_errors_in_a_run_reach_the_terminal_and_notifiers(
    tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    body = """
    def on_start(self):
        self.subscribe_book(self.pair)
        self.log.warning("a spread of %g bp pays nothing", 6.0)
        self.told = False
    def on_book(self, book):
        if not self.told:
            self.told = True
            self.log.error("the first book")
    """
    bot = FirstBot(tmp_path, body, extra="notify: [bell]\n")
    assert main(["run", str(bot.config), "--duration", "3s", "--plain"]) == 0
    said = capfd.readouterr().err
    assert "warning: mine: a spread of 6 bp pays nothing\n" in said
    assert "error: mine: the first book\n" in said
    assert "\amine (emulator): error: mine: the first book" in said


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_an_invalid_keyword_argument_to_the_log_stops_a_backtest_just_as_it_stops_a_live_bot(
    tmp_path: Path, capsys: Printed, level: str
) -> None:
    call = f'self.log.{level}("x", close=1)'
    bot = FirstBot(tmp_path, f"def on_start(self):\n    self.subscribe_bars(self.pair)\n    {call}")
    assert bot.backtest() == 2
    said = capsys.readouterr().err
    assert (
        f"raised in on_start at {bot.line_of(call)}: TypeError: self.log does not take `close`; include it in" in said
    )


def test_a_log_message_with_mismatched_placeholders_is_printed_with_its_arguments(
    tmp_path: Path, capsys: Printed
) -> None:
    body = 'def on_start(self):\n    self.subscribe_bars(self.pair)\n    self.log.warning("%d bars", "many")'
    assert FirstBot(tmp_path, body).backtest() == 0
    assert "mine: %d bars ('many',)" in capsys.readouterr().err


def test_state_that_cannot_be_saved_for_a_restart_causes_a_warning(tmp_path: Path, capsys: Printed) -> None:
    body = """
    def on_start(self):
        self.subscribe_bars(self.pair)
    def on_bar(self, bar):
        self.state["count"] = 1
        self.state["me"] = self
    """
    assert FirstBot(tmp_path, body).backtest() == 0
    said = capsys.readouterr().err
    assert said.count("self.state of 'mine' would not survive a restart: 'me': Object of type Mine is not JSON") == 1


def test_a_reason_to_skip_that_is_not_text_is_counted_by_its_text(tmp_path: Path, capsys: Printed) -> None:
    body = """
    def on_start(self):
        self.subscribe_bars(self.pair)
    def on_bar(self, bar):
        self.skip(ValueError("too thin"))
        self.skip(5)
    """
    assert FirstBot(tmp_path, body).backtest() == 0
    assert "too thin" in capsys.readouterr().out


def test_a_callback_slow_enough_to_block_a_live_bot_is_reported_with_its_line(tmp_path: Path, capsys: Printed) -> None:
    body = """
    def on_start(self):
        self.subscribe_bars(self.pair)
        self.slept = False
    def on_bar(self, bar):
        if not self.slept:
            self.slept = True
            __import__("time").sleep(0.6)
    """
    bot = FirstBot(tmp_path, body)
    assert bot.backtest() == 0
    said = capsys.readouterr().err
    assert said.count("warning: on_bar took over 0.") == 1
    assert f"at {bot.line_of('sleep(0.6)')}; meanwhile, a live bot is blocked" in said
