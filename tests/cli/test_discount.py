"""The option to pay fees in BITO has no effect in a backtest if the account holds no BITO or if no BITO price is
available, and such fees are in no figure if no pair values BITO. In each case a warning is printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from botkit.cli.main import main
from botkit.exchange.bitopro import facts
from botkit.model.pairs import Pair
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


def test_a_check_tells_of_fees_beforehand(tmp_path: Path, capsys: Printed) -> None:
    bot = FirstBot(tmp_path, BODY, extra=FEES)
    assert main(["config", "check", str(bot.config), "--mode", "backtest"]) == 0
    assert "warning: fees: {bito: true} has no effect: the account holds no BITO" in said(capsys)
    bot.write(FEES, balances="{twd: 1000000, bito: 1000}")
    assert main(["config", "check", str(bot.config), "--mode", "backtest"]) == 0
    assert "warning: fees: {bito: true} has no effect: the data has no prices for bito_twd" in said(capsys)
    assert main(["config", "check", str(bot.config), "--mode", "emulator"]) == 0
    assert "warning" not in said(capsys), "the emulator has a price of BITO"


def test_a_check_warns_if_the_exchange_has_no_pair_that_values_bito(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    every = facts.packaged_pairs
    monkeypatch.setattr(facts, "packaged_pairs", lambda step: _without_bito(every(step)))
    bot = FirstBot(tmp_path, BODY)
    for mode in ("emulator", "paper"):
        assert main(["config", "check", str(bot.config), "--mode", mode]) == 0
        assert "warning: fees in BITO would be in no profit, equity or loss limit" in said(capsys)


def _without_bito(pairs: Mapping[str, Pair]) -> Mapping[str, Pair]:
    return {name: pair for name, pair in pairs.items() if pair.base != "bito"}


def test_strategies_may_own_the_bito_that_pays_their_fees(tmp_path: Path, capsys: Printed) -> None:
    bot = FirstBot(tmp_path, BODY)
    bot.write("", balances="{twd: 1000000, bito: 1000}")
    text = bot.config.read_text().replace("- use:", "- capital: {twd: 1000, bito: 10}\n    use:", 1)
    bot.config.write_text(text)
    assert main(["config", "check", str(bot.config)]) == 2
    assert "bito is in no pair of this bot, so it cannot be capital" in said(capsys)
    bot.config.write_text(text + "live: {fees: {rank: 0, bito: true}}\n")
    assert main(["config", "check", str(bot.config)]) == 0
