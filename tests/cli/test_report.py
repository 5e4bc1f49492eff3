"""The command ``botkit report``, which prints the results of a bot's sessions and backtests."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from botkit.cli.main import main
from botkit.cli.report import _session_lines
from tests.cli.first_week import FirstBot
from tests.simulation.terminal import Terminal

Printed = pytest.CaptureFixture[str]
BODY = """
def on_start(self):
    self.subscribe_bars(self.pair, "1m")
    self.set_timer(every_s=10)
    self.count = 0
def on_timer(self, timer):
    if self.last_price(self.pair) is None:
        return
    self.count += 1
    if self.count % 5 == 1:
        self.market_buy(self.pair, spend=5_000)
    elif self.count % 5 == 3 and self.position(self.pair).sellable:
        self.market_sell(self.pair, amount=0.001)
"""


@pytest.fixture
def bot(tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> FirstBot:
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return FirstBot(tmp_path, BODY)


def test_the_report_command_suggests_a_command_for_a_configuration_without_runs(bot: FirstBot, capsys: Printed) -> None:
    assert main(["report", str(bot.config)]) == 2
    assert "mine has neither run nor been backtested; try `botkit backtest" in capsys.readouterr().err


def test_a_session_and_a_backtest_are_reported_with_metrics_in_a_single_time_zone(
    bot: FirstBot, capsys: Printed
) -> None:
    bot.write(balances="{twd: 1000000}")
    assert main(["run", str(bot.config), "--duration", "5s", "--plain"]) == 0
    assert main(["backtest", str(bot.config), "--json", "--no-readings"]) == 0
    capsys.readouterr()
    assert main(["report", str(bot.config)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^session .*runs/1, mode emulator at 60x$", text, re.M)
    assert re.search(
        r"^  mine btc_twd:\n    bought 0\.\d+ btc for [\d,]+\.\d\d twd, on average at [\d,]+; 0 % maker$", text, re.M
    )
    assert re.search(r"^    fees [\d.,]+", text, re.M)
    assert re.search(r"^    20\d\d-[\d:T.-]+\+08:00 mine: (bought|sold) 0\.\d+ btc at [\d,]+ twd, taker$", text, re.M)
    assert re.search(r"^backtest out/mine/1$", text, re.M)
    assert re.search(r"^  2024-01-01T[\d:.]+\+08:00 to 2024-01-01T[\d:.]+\+08:00$", text, re.M)
    assert re.search(r"^  report: .*report\.html$", text, re.M)
    assert not re.search(r"\dZ\b|-0\.00\b", text), "one time zone, and no negative zero"

    assert main(["report", str(bot.config), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    session = found["session"]
    [traded] = session["traded"]
    assert traded["bought"]["fills"] + traded["sold"]["fills"] == session["fills"] == found["status"]["fills"]
    assert sum(session["states"].values()) == session["orders"] == found["status"]["orders"]
    run = Path(session["run"])
    rows = [json.loads(line) for line in (run / "decisions.jsonl").read_text().splitlines()]
    fills = [row for row in rows if row["k"] == "fill"]
    sides = {row["c"]: row["side"] for row in rows if row["k"] == "intent"}
    bought = [row for row in fills if sides[row["c"]] == "buy"]
    assert traded["bought"]["amount"] == pytest.approx(sum(row["lots"] for row in bought) / 1e8)
    assert traded["bought"]["value"] == pytest.approx(sum(row["lots"] / 1e8 * row["price"] for row in bought))

    for folder, first in ((run, "session "), (bot.folder / "out" / "mine" / "1", "backtest ")):
        assert main(["report", str(folder)]) == 0
        assert capsys.readouterr().out.startswith(first)


def test_orders_that_were_never_sent_are_not_among_a_sessions_orders_and_their_reasons_are_grouped(
    bot: FirstBot, capsys: Printed
) -> None:
    bot.write(balances="{twd: 12000}")  # enough for two purchases; the others are refused
    assert main(["run", str(bot.config), "--duration", "8s", "--plain"]) == 0
    capsys.readouterr()
    assert main(["report", str(bot.config), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    session, status = found["session"], found["status"]
    assert status["refused"] > 1
    assert session["orders"] == status["orders"] == sum(session["states"].values()) - session["states"]["refused"]
    session["states"] = {"filled": 2, "not_sent": 1, "refused": 3}
    session["reasons"] = {"needs 5000 twd, 3 available": 1, "needs 5000 twd, 12 available": 1, "halted": 1}
    lines = _session_lines(session)
    assert re.fullmatch(r"  [\d,]+ orders? \(2 filled\), [\d,]+ fills?, 3 refused, 1 not sent", lines[2])
    assert [line for line in lines if " refused: " in line] == [
        "  2 refused: needs … twd, … available",
        "  1 refused: halted",
    ]


def test_a_folder_without_a_run_is_refused(bot: FirstBot, capsys: Printed) -> None:
    assert main(["report", str(bot.folder)]) == 2
    assert "contains no recorded run" in capsys.readouterr().err
