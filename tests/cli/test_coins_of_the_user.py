"""Runs the unmodified template on an account that contains the user's own coins. These coins must never be sold, in any
mode or after any restart.

The template closes its position as soon as a bar ends above the average. If it treated the user's coins as its own, it
would sell them within minutes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from botkit.cli.main import main
from botkit.emulator import DEFAULT_ACCOUNT, Emulator, EmulatorOptions
from botkit.project.project import Project
from tests.backtest_world import write_candles
from tests.simulation.terminal import Terminal

UNIT = 10**8
COIN = 5 * UNIT // 100
BALANCES = '{usdt: "10000", btc: "0.05"}'
#: one minute of market time takes half a second, and the strategy needs 20 bars of history plus one new bar
SPEED, SECONDS = 120, 6


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """Create a new project, and return the path of its configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))
    assert main(["new", "strategy", "dip"]) == 0
    capsys.readouterr()
    return tmp_path / "configs" / "dip.yaml"


#: the user's coins are worth more than the template's limit for a single order
WIDE = ("--set=risk.max_order_value={usdt: 10000}",)
HANDED_OVER = f"--set=strategies.0.capital={BALANCES}"


def ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[dict[str, Any], str]:
    """Run a command, and return its summary and its standard error."""
    code = main([*arguments, "--json"])
    output = capsys.readouterr()
    assert code == 0, output.err
    return json.loads(output.out), output.err


def check_that_no_coin_was_sold(summary: dict[str, Any]) -> None:
    assert summary["unassigned"] == {"btc": "0.05"}
    assert float(summary["owned"]["dip"].get("btc", 0)) >= 0
    held = summary["positions"]["dip btc_usdt"]
    assert held >= 0
    assert held == pytest.approx(float(summary["owned"]["dip"].get("btc", 0)))


def test_a_backtest_does_not_sell_the_users_coins(
    template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # the price rises, so every bar ends above the average, and the template would close any position that it owned
    tape = write_candles(tmp_path / "candles.csv", [20_000.0 + 10 * i for i in range(90)])
    data = f'--set=backtest.data=[{{path: "{tape.as_posix()}", pair: btc_usdt, kind: candles, resolution: 1m}}]'
    common = ["backtest", str(template), data, "--out", str(tmp_path / "out")]
    summary, _ = ran(capsys, *common, f"--set=backtest.balances={BALANCES}")
    assert (summary["fills"], summary["final_equity"], summary["unassigned"]) == (0, 10_000, {"btc": "0.05"})
    assert main([*common, f"--set=backtest.balances={BALANCES}"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "dip owns 10000 usdt; not used: 0.05 btc (owned by no strategy)" in told
    assert 'add `capital: {btc: "0.05", usdt: "10000"}` to dip' in told
    assert "Unassigned 0.05 BTC" in told
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Belongs to no strategy and is in no figure: 0.05 BTC" in page

    summary, _ = ran(capsys, *common, f"--set=backtest.balances={BALANCES}", HANDED_OVER)
    assert summary["fills"] == 1, "coins that were assigned are sold"
    assert summary["unassigned"] == {}
    assert summary["opening_equity"] == pytest.approx(10_000 + 0.05 * 20_000, rel=1e-3)


def test_a_run_on_the_embedded_emulator_does_not_sell_the_users_coins(
    template: Path, terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", str(template), "--duration", f"{SECONDS}s", "--speed", str(SPEED), *WIDE]
    summary, _ = ran(capsys, *run, f"--set=backtest.balances={BALANCES}")
    assert summary["strategies"]["dip"]["skips"], "the strategy received bars"
    check_that_no_coin_was_sold(summary)
    summary, _ = ran(capsys, *run, f"--set=backtest.balances={BALANCES}", HANDED_OVER)
    assert summary["fills"] >= 1, "coins that were assigned are sold within the same time"
    assert summary["owned"]["dip"].get("btc", "0") != "0.05"


@pytest.fixture
def elsewhere(template: Path, terminal: Terminal) -> Emulator:
    facts = Project.load(template).facts
    options = EmulatorOptions(balances={"usdt": 10_000 * UNIT, "btc": COIN}, speed=SPEED, seed=3, history_days=0.05)
    return terminal.serve(Emulator(facts, options))


def test_a_restart_on_another_emulator_does_not_sell_the_users_coins_even_without_the_journal(
    template: Path, elsewhere: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    account = DEFAULT_ACCOUNT
    text = template.read_text() + (
        f"emulator:\n  account: {{email: {account.email}, key: {account.key}, secret: {account.secret}}}\n"
    )
    template.write_text(text)
    template.chmod(0o600)
    run = ["run", str(template), "--rest", elsewhere.rest, "--ws", elsewhere.ws, "--plain", *WIDE]
    for _ in range(2):
        assert main([*run, "--duration", f"{SECONDS / 2}s"]) == 0
        said = capsys.readouterr()
        assert "dip owns 10000 usdt" in said.out or "not used: 0.05 btc" in said.out
        assert f"`botkit capital add {template} dip btc=0.05 --cost PRICE`" in said.out
        summary = json.loads(_status(template, capsys))
        check_that_no_coin_was_sold(summary)

    # without the journal, the account's coins are not owned by any strategy
    for path in (tmp_path / "state" / "dip").rglob("journal.sqlite*"):
        path.unlink()
    assert main([*run, "--duration", f"{SECONDS / 2}s"]) == 0
    capsys.readouterr()
    summary = json.loads(_status(template, capsys))
    assert float(summary["unassigned"]["btc"]) >= 0.05
    assert summary["positions"]["dip btc_usdt"] >= 0

    # then the user assigns the coins to a named strategy, with their cost
    amount = summary["unassigned"]["btc"]
    assert main(["capital", "add", str(template), "dip", f"btc={amount}", "--cost", "50000"]) == 0
    assert f"dip was given {amount} btc" in capsys.readouterr().out


def _status(config: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["status", str(config), "--json"]) == 3  # the bot is no longer running
    return capsys.readouterr().out


def test_paper_trading_does_not_sell_the_users_coins(
    template: Path, elsewhere: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    summary, _ = ran(
        capsys,
        *("run", str(template), "--mode", "paper", "--rest", elsewhere.rest, "--ws", elsewhere.ws),
        *("--duration", f"{SECONDS}s", f"--set=backtest.balances={BALANCES}", "--set=limits.ledger=none", *WIDE),
    )
    assert summary["strategies"]["dip"]["skips"], "the strategy received bars"
    check_that_no_coin_was_sold(summary)
