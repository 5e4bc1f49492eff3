"""Reasons for not trading are grouped by kind: messages that differ only in the numbers they contain are counted as one
reason.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from botkit.cli.main import main
from botkit.engine.strategy.record import REASONS_MAX, StrategyRecord
from botkit.model.reasons import grouped, kind_of
from tests.cli.first_week import FirstBot
from tests.simulation.terminal import Terminal

Printed = pytest.CaptureFixture[str]

SKIPS = """
def on_start(self):
    self.subscribe_bars(self.pair, "1m")

def on_bar(self, bar):
    self.skip(f"close {bar.close:.2f} is not above {bar.open:,.1f}")
    self.skip("no signal in 5m")
    self.buy(self.pair, amount=1 + bar.volume / 7, price=bar.close)
"""


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("needs 26620210 twd, 1,000,000.5 available", "needs … twd, … available"),
        ("amount -1.5 is 0.05% below", "amount … is …% below"),
        ("no signal in 5m of sma_20 on btc_twd", "no signal in 5m of sma_20 on btc_twd"),
        ("price 1e-05 (at 2.0).", "price … (at …)."),
        ("rank 2", "rank …"),
    ],
)
def test_stand_alone_numbers_are_replaced_with_an_ellipsis(reason: str, kind: str) -> None:
    assert kind_of(reason) == kind


def test_a_kind_with_only_one_wording_keeps_its_numbers() -> None:
    assert grouped({"below 3": 2, "a 1 b": 4, "a 2 b": 5}) == {"a … b": 9, "below 3": 2}


def test_skips_with_too_many_wordings_are_counted_only_by_kind_and_none_is_omitted() -> None:
    record = StrategyRecord("s", 0)
    for number in range(3 * REASONS_MAX):
        record.skip(f"close {number} is low", {})
        record.skip("quiet" if number % 2 else f"spread {number}", {})
    assert sum(record.skips.values()) == 6 * REASONS_MAX
    assert grouped(record.skips) == {
        "close … is low": 3 * REASONS_MAX,
        "spread …": 3 * REASONS_MAX // 2,
        "quiet": 3 * REASONS_MAX // 2,
    }


def test_a_backtest_counts_skip_reasons_by_kind(tmp_path: Path, capsys: Printed) -> None:
    bot = FirstBot(tmp_path, SKIPS)
    assert bot.backtest() == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "90 mine skipped: close … is not above …" in lines
    assert "90 mine skipped: no signal in 5m" in lines
    assert sum(" mine refused: needs " in line for line in lines) == 1
    [row] = json.loads((bot.out / "summary.json").read_text(encoding="utf-8"))["strategies"]
    assert row["skips"] == {"close … is not above …": 90, "no signal in 5m": 90}


def test_the_why_command_shows_one_line_per_kind(
    tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    body = """
    def on_start(self):
        self.subscribe_book(self.pair)
        self.count = 0
    def on_book(self, book):
        self.count += 1
        self.skip(f"book {self.count} tells nothing")
    """
    bot = FirstBot(tmp_path, body)
    assert main(["run", str(bot.config), "--duration", "3s", "--plain"]) == 0
    assert " book … tells nothing)" in capsys.readouterr().out
    assert main(["why", str(bot.config)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "mine:"
    assert lines[1].endswith(" skipped: book … tells nothing")
    assert len(lines) == 2
