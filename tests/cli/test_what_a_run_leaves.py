"""After a run, `status` and the log file report what happened during the run, and the exported files can be compared
with those of a backtest.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from botkit.cli.main import main
from tests.cli.first_week import FirstBot
from tests.simulation.terminal import Terminal

BODY = """
size: float = param(0.001, gt=0, live=True)

def on_start(self):
    self.subscribe_bars(self.pair, "1m")
    self.set_timer(every_s=5)
    self.count = 0

def on_timer(self, timer):
    self.count += 1
    if self.last_price(self.pair) is None:
        return
    if self.count % 3:
        self.market_buy(self.pair, spend=5_000)
    else:
        self.buy(self.pair, amount=self.size, price=self.last_price(self.pair) * 0.5, tag="far, far")

def on_bar(self, bar):
    if self.count % 2:
        self.market_buy(self.pair, spend=5_000)
"""

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def ran(tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> FirstBot:
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))
    bot = FirstBot(tmp_path, BODY, extra="log: {file: bot.log, level: debug}\n")
    bot.write("log: {file: bot.log, level: debug}\n", balances="{twd: 1000000}")
    assert main(["run", str(bot.config), "--duration", "3s", "--plain"]) == 0
    capsys.readouterr()
    return bot


def test_status_shows_balances_and_parameters_but_no_connections_with_times_in_the_bots_time_zone(
    ran: FirstBot, capsys: Printed
) -> None:
    assert main(["status", str(ran.config)]) == 3
    text = capsys.readouterr().out
    assert re.search(r"not running, ended \(duration\) at 20\d\d-\d\d-\d\dT[\d:.]+\+08:00; mode emulator", text)
    figure = r"[+−]?[\d,]+\.\d{2,8} twd"
    assert re.search(f"^  equity {figure}(, today {figure})?, this run {figure}, in all {figure}$", text, re.M)
    assert re.search(r"^  mine btc_twd since its first start: realised [+−]?\d", text, re.M)
    assert re.search(r"^  balance 0\.\d+ btc", text, re.M)
    assert re.search(r"^  balance [\d,]+\.\d+ twd", text, re.M)
    assert "  mine has pair=btc_twd, n=0, size=0.001" in text.replace("size=0.001, n=0", "n=0, size=0.001")
    assert "streams:" not in text, "an ended bot has no connections"
    assert "  limit " not in text
    assert not re.search(r"\dZ\b", text), "no time in another zone"
    status = json.loads((next(ran.folder.rglob("status.json"))).read_text())
    assert status["since"] > 0


def test_the_log_contains_starts_stops_connections_orders_and_fills(ran: FirstBot) -> None:
    rows = [json.loads(line) for line in (ran.folder / "bot.log").read_text().splitlines()]
    said = {(row["level"], row["message"].split(":")[0].split(" (")[0]) for row in rows}
    assert {("info", "started"), ("info", "stopping"), ("info", "ended"), ("info", "fill")} <= said
    streams = [row for row in rows if row["message"].startswith("the stream ") and "connected" in row["message"]]
    assert streams
    orders = [row["message"] for row in rows if re.match(r"order \d+ of mine: ", row["message"])]
    assert any(", open, executed 0" in text for text in orders)
    assert any(", filled, executed 0." in text for text in orders)
    assert any(", cancelled, executed 0" in text for text in orders), "at the stop"
    assert all(row["level"] == "debug" for row in rows if row["message"].startswith("order "))


def test_exported_files_have_the_same_columns_and_formats_as_those_of_a_backtest(
    ran: FirstBot, capsys: Printed
) -> None:
    assert main(["journal", str(ran.config), "--export", "csv", "--out", str(ran.folder / "journal")]) == 0
    assert ran.backtest() == 0
    capsys.readouterr()
    for name in ("orders", "fills"):
        run = list(csv.DictReader((ran.folder / "journal" / f"{name}.csv").read_text(encoding="utf-8").splitlines()))
        backtest = list(csv.DictReader((ran.out / f"{name}.csv").read_text(encoding="utf-8").splitlines()))
        assert run
        assert backtest
        more = {"value_twd", "fee_twd"} if name == "fills" else set()
        assert [column for column in backtest[0] if column not in more] == list(run[0])
        for column in run[0]:
            forms = [{re.sub(r"\d+", "0", row[column]) for row in rows} - {""} for rows in (run, backtest)]
            if column in ("state", "reason", "order_id", "tag", "liquidity", "type"):
                continue
            assert forms[0] <= forms[1] or forms[0] & forms[1] or not forms[1], (column, *forms)


def test_an_export_replaces_no_file_unless_told_to(ran: FirstBot, capsys: Printed) -> None:
    out = ran.folder / "mine"
    out.mkdir()
    (out / "fills.csv").write_text("my own file")
    export = ["journal", str(ran.config), "--export", "csv", "--out", str(out)]
    assert main(export) == 2
    assert f"{out / 'fills.csv'} already exists; choose another folder with --out, or pass --force" in (
        capsys.readouterr().err
    )
    assert [path.name for path in out.iterdir()] == ["fills.csv"]
    assert (out / "fills.csv").read_text() == "my own file"
    assert main([*export, "--force"]) == 0
    assert (out / "fills.csv").read_text().startswith("time,")


def test_an_order_whose_outcome_is_unknown_is_listed_once(ran: FirstBot, capsys: Printed) -> None:
    assert main(["journal", str(ran.config), "--last", "0"]) == 0
    assert "open:" not in capsys.readouterr().out, "all ended"


def test_data_info_shows_its_time_zone_and_starts_the_candle_span_at_the_first_open(
    tmp_path: Path, capsys: Printed
) -> None:
    out = tmp_path / "tape"
    common = ["data", "synthetic", "--out", str(out), "--start", "2025-01-01", "--days", "1", "--hours", "0"]
    assert main(common) == 0
    capsys.readouterr()
    assert main(["data", "info", str(out), "--pair", "btc_twd"]) == 0
    text = capsys.readouterr().out
    assert "from (Asia/Taipei)" in text
    assert "2025-01-01 00:00" in text
    assert main(["data", "info", str(out), "--pair", "btc_twd", "--timezone", "UTC"]) == 0
    text = capsys.readouterr().out
    assert "from (UTC)" in text
    assert "2024-12-31 16:00" in text
