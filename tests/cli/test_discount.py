"""The option to pay fees in BITO has no effect if the account holds no BITO or if no BITO price is available. In either
case a warning is printed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from botkit.cli.main import main
from tests.cli.first_week import FirstBot
from tests.simulation.terminal import Terminal

Printed = pytest.CaptureFixture[str]
BODY = 'def on_start(self):\n    self.subscribe_bars(self.pair, "1m")'
FEES = "  fees: {rank: 0, bito: true}\n"


def said(capsys: Printed) -> str:
    printed = capsys.readouterr()
    return " ".join((printed.out + printed.err).split())


def test_a_backtest_without_bito_warns(tmp_path: Path, capsys: Printed) -> None:
    bot = FirstBot(tmp_path, BODY, extra=FEES)
    assert bot.backtest() == 0
    assert "! fees: {bito: true} has no effect: the account holds no BITO" in said(capsys)


def test_a_backtest_without_a_bito_price_warns(tmp_path: Path, capsys: Printed) -> None:
    bot = FirstBot(tmp_path, BODY)
    bot.write(FEES, balances="{twd: 1000000, bito: 1000}")
    assert bot.backtest() == 0  # coins that no strategy owns need no price
    assert "! fees: {bito: true} has no effect: the data has no prices for bito_twd" in said(capsys)


def test_without_the_option_no_warning_is_printed(tmp_path: Path, capsys: Printed) -> None:
    bot = FirstBot(tmp_path, BODY, extra="  fees: {rank: 0}\n")
    assert bot.backtest() == 0
    assert "bito" not in said(capsys).lower()


def test_a_run_without_bito_warns(
    tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    bot = FirstBot(tmp_path, BODY, extra=FEES)
    assert main(["run", str(bot.config), "--duration", "1s", "--plain"]) == 0
    assert "warning: fees: {bito: true} has no effect: the account holds no BITO" in said(capsys)
