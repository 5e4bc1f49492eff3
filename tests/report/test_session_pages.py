"""The pages of a live session in a browser: its report and its audit. These tests are skipped if chromium is
missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from botkit.assembly.session_result import session_result
from botkit.cli.main import main
from tests.live.test_audit import STRATEGY
from tests.report.browser import CHROMIUM, Browser, Chromium
from tests.report.test_crosshair import nanos, number, read_across
from tests.simulation.terminal import Terminal

Row = dict[str, Any]
SECOND = 10**9

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium")

PLOTTING = STRATEGY.replace("self.set_timer(every_s=20)", "self.set_timer(every_s=20)\n{attached}").replace(
    "        self.cancel_all()\n", "        self.cancel_all()\n        self.plot('bid', book.best_bid, pane='price')\n"
)


@pytest.fixture
def session(tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run a bot on the emulator for 8 minutes, and return the run's folder."""
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugins").mkdir()
    attached = "        bars = self.subscribe_bars(self.pair, '1m')\n        bars.attach(SMA(2))"
    (tmp_path / "plugins" / "mixed.py").write_text(
        PLOTTING.format(attached=attached).replace("import Pair,", "import SMA, Pair,")
    )
    (tmp_path / "mixed.yaml").write_text(
        "name: mixed\nplugins: [plugins]\n"
        "strategies:\n  - {name: m, use: mixed, params: {pair: btc_usdt}, capital: {usdt: 50000, btc: 1}}\n"
        "emulator: {balances: {usdt: 50000, btc: 1}, speed: 1}\n"
    )
    assert main(["run", "mixed.yaml", "--plain", "--duration", "8m"]) == 0
    return tmp_path / "state" / "mixed" / "emulator" / "inside" / "runs" / "1"


@pytest.fixture
def page(chromium: Chromium) -> Iterator[Browser]:
    browser = Browser(chromium, width=1200, height=1600)
    yield browser
    browser.close()


def fills_of(run: Path) -> list[Row]:
    rows = [json.loads(line) for line in (run / "decisions.jsonl").read_text().splitlines()]
    sides = {row["c"]: row["side"] for row in rows if row["k"] == "intent"}
    return [{**row, "side": sides[row["c"]]} for row in rows if row["k"] == "fill"]


def test_a_session_uses_the_backtest_report_page_and_its_figures_match_its_fills(
    session: Path, page: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(session), "--json"]) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    report = Path(document["session"]["page"])
    assert report == Path("out/mixed/emulator-1/report.html").resolve()
    page.open(report)
    assert page.texts(".brand") == ["botkit emulator session"]
    status = json.loads((session.parent.parent / "status.json").read_text())
    summary = json.loads((report.parent / "summary.json").read_text())
    assert summary["final_equity"] == pytest.approx(status["equity"])
    assert summary["pnl"] == pytest.approx(status["pnl"])
    assert (summary["fills"], summary["orders"]) == (status["fills"], status["orders"])
    assert "Latencies" in page.texts("h2")

    fills = fills_of(session)
    titles = page.texts("#prices .legend b")
    assert len(titles) > 5
    seen = 0
    for moment, items in read_across(page, "#prices .chart"):
        begin, end = (nanos(text) for text in moment.split(" to "))
        assert {"SMA(2)", "bid"} <= set(items), "attached indicators and plots are drawn"
        for title, side in (("buys", "buy"), ("sells", "sell")):
            inside = [fill for fill in fills if fill["side"] == side and begin <= fill["t"] < end]
            if not inside:
                assert items[title] == "–"
                continue
            seen += 1
            found = re.fullmatch(r"([\d,]+) \(([\d.,]+) at ([\d.,]+)\)", items[title])
            assert found is not None, items[title]
            lots = sum(fill["lots"] for fill in inside)
            value = sum(fill["lots"] * fill["price"] for fill in inside)
            assert number(found[1]) == len(inside)
            assert number(found[2]) == pytest.approx(lots / 1e8)
            assert number(found[3]) == pytest.approx(value / lots / 100, abs=0.01)
    assert seen
    assert page.console == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []


def test_a_session_report_keeps_its_figures_after_a_strategy_change_and_states_which_data_is_omitted(
    session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def reported() -> tuple[Row, str]:
        assert main(["report", str(session), "--json"]) == 0
        document = json.loads(capsys.readouterr().out.splitlines()[-1])
        report = Path(document["session"]["page"])
        return json.loads((report.parent / "summary.json").read_text()), report.read_text()

    before, _ = reported()
    strategy = tmp_path / "plugins" / "mixed.py"
    strategy.write_text(strategy.read_text().replace("draw < 0.2", "draw < 0.3"))
    after, text = reported()
    assert "the session cannot be replayed from decision" in text
    assert "Indicators and plots have one value a minute" in text
    differing = {key for key in before if before[key] != after[key]}
    assert differing <= {"events", "events_per_second", "warnings"}
    assert {line.name for line in session_result(session).indicators} == {"SMA(2)", "bid"}, "as the session wrote them"

    strategy.unlink()
    assert main(["report", str(session)]) == 0
    assert re.search(r"^  no page: ", capsys.readouterr().out, re.M)


def test_an_audit_lists_and_draws_the_real_and_simulated_side_of_every_fill(
    session: Path, page: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["audit", str(session), "--json"])
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    [run], [audit] = document["runs"], document["pages"]
    page.open(Path(audit))
    pairs = run["pairs"]
    assert page.texts("#pairs [role=status]")[0].startswith(f"{len(pairs)} fills, money ")
    totals = dict(
        page.run(
            "[...document.querySelectorAll('#prices .legend b')]"
            ".map((b) => [b.previousSibling.textContent.trim(), b.textContent])"
        )
    )
    assert number(totals["buys"]) + number(totals["sells"]) == run["configured"]["real_fills"]
    simulated = number(totals["simulated buys"]) + number(totals["simulated sells"])
    assert simulated == run["configured"]["simulated_fills"]

    sides = (("buys", "real", "buy"), ("sells", "real", "sell"), ("simulated buys", "simulated", "buy"))
    for moment, items in read_across(page, "#prices .chart"):
        begin, end = (nanos(text) for text in moment.split(" to "))
        for title, leg, side in sides:
            inside = [p for p in pairs if p[leg] and p["side"] == side and begin <= p[leg]["time"] < end]
            found = re.fullmatch(r"[\d,]+ \(([\d.,]+) at ([\d.,]+)\)", items[title])
            assert (found is not None) == bool(inside), (moment, items, inside)
            if found is not None:
                amount = sum(p["amount"] for p in inside)
                assert number(found[1]) == pytest.approx(amount)
                value = sum(p["amount"] * p[leg]["price"] for p in inside)
                assert number(found[2]) == pytest.approx(value / amount, abs=0.01)

    page.click("[...document.querySelectorAll('#pairs thead button')].find((b) => b.textContent === 'Money')")
    shown = [number(text.replace("−", "-").lstrip("+")) for text in page.texts("#pairs tbody td:last-child")]
    assert shown == sorted(shown, reverse=True)
    assert shown[0] == pytest.approx(max(p["money"] for p in pairs), abs=0.01)
    page.click("document.querySelector('#pairs tbody button')")
    page.until("!document.querySelector('.chosen-trade').hidden")
    assert page.console == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
