"""The live page shows a running bot in a real browser. These tests are skipped if chromium is missing."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botkit.live.notifications.minutes import MINUTES
from tests.page.pages import PageBrowser, Started, gain, run_bot, write_bot
from tests.waiting import wait_for

#: the number of panes in the price chart: each pane has four canvases, and the time scale has fewer
PANES = "[...document.querySelectorAll('#price tr')].filter((e) => e.querySelectorAll('canvas').length === 4).length"

#: the charts' times are as if the zone were UTC
TAIPEI_S = 8 * 3600


def test_the_page_shows_price_fills_orders_balances_limits_reasons_and_parameters(
    browser: PageBrowser, address: str
) -> None:
    browser.visit(address)
    browser.wait_for_text("#name", "shown")
    browser.wait_for_text("#lead", "running")
    browser.wait_for_text("#orders", "far")
    browser.wait_for_text("#orders", "buy")
    browser.wait_for_text("#positions", "BTC/USDT")
    browser.wait_for_text("#balances", "USDT")
    browser.wait_for_text("#limits", "create order (account)")
    browser.wait_for_text("#why", "the spread is too wide")
    browser.wait_for_text("#parameters", "mood")
    browser.wait_for_text("#events", "b sold 0.01 BTC at")
    browser.wait_for_text("#money", "In all")
    capital = _equity_less_profit(browser)
    assert capital > 50_000, "the strategy's 50,000 USDT, and its coin"
    browser.wait_for_change("#money")
    assert _equity_less_profit(browser) == capital, "what the bot earned is the change of its equity"
    browser.until("document.querySelectorAll('#price canvas').length > 0")
    browser.wait_for_text("#price-section .legend", "buys")
    for line in ("SMA(2)", "middle", "books"):
        browser.wait_for_text("#price-section .legend", line)
    browser.until(f"{PANES} === 2")
    assert browser.console == []
    host = urlsplit(address).netloc
    assert {urlsplit(asked).netloc for asked in browser.requests if not asked.startswith("data:")} <= {host, ""}


def _equity_less_profit(browser: PageBrowser) -> Decimal:
    """Return the bot's opening equity, computed from the equity and profit currently shown on the page."""
    shown = browser.text("#money").replace(",", "").replace("\N{MINUS SIGN}", "-")
    found = re.search(r"Equity\s+([\d.]+)USDT.*In all\s+([-+]?[\d.]+)USDT", shown, re.DOTALL)
    assert found is not None, shown
    return Decimal(found[1]) - Decimal(found[2])


def test_the_token_is_removed_from_the_address(browser: PageBrowser, address: str) -> None:
    browser.visit(address)
    assert browser.run("location.hash") == ""
    assert browser.run("sessionStorage.getItem('botkit-token')") == urlsplit(address).fragment.removeprefix("token=")
    assert browser.run("document.cookie") == ""
    assert browser.run("localStorage.length") == 0


def test_gains_are_green_on_the_english_page(browser: PageBrowser, address: str) -> None:
    browser.visit(address)
    assert not gain(browser)
    assert browser.text("#up") == "Green up"


def test_a_page_opened_again_later_has_every_minute_of_the_run(tmp_path: Path, browser: PageBrowser) -> None:
    """The state from the end of the first visit holds an unfinished minute that is long over."""
    config = write_bot(tmp_path)
    with run_bot(tmp_path / "state", [config], "--speed", "60") as started:
        address = started.line("page at ")
        browser.visit(address)
        wait_for(lambda: browser.drawn("Candlestick"))
        folder = tmp_path / "state" / "shown" / "emulator" / "inside"
        [run] = (folder / "runs").iterdir()

        def shown() -> list[list[Any]]:
            minutes: list[list[Any]] = json.loads((folder / "page.json").read_text())["minutes"]
            return minutes

        wait_for(shown)  # candles from before the run are drawn earlier, and nobody writes the state for no viewer
        browser.visit("about:blank#", ready=False)

        def minutes() -> list[int]:
            rows = map(json.loads, (run / MINUTES).read_text().splitlines())
            return [row[1] for row in rows if row[0] == "btc_usdt"]

        wait_for(lambda: minutes() and minutes()[-1] >= int(shown()[0][1]) + 180)
        written = minutes()
        browser.visit(address)
        wait_for(lambda: browser.drawn("Candlestick"))
        drawn = [row["time"] - TAIPEI_S for row in browser.drawn("Candlestick")]
        assert drawn[: len(written)] == written


def test_capital_that_is_moved_is_told_and_is_no_gain_on_the_equity_curve(tmp_path: Path, browser: PageBrowser) -> None:
    config = write_bot(tmp_path)
    with run_bot(tmp_path / "state", [config], "--speed", "60", "--lang", "zh-TW") as started:
        browser.visit(started.line("page at "))
        wait_for(lambda: len(browser.drawn("Area")) > 2)
        assert browser.run("document.getElementById('equity-note').hidden")
        with Started(tmp_path / "state", "capital", "add", str(config), "b", "usdt=45000") as adding:
            adding.line("b was given")
        moved = len(browser.drawn("Area"))
        wait_for(lambda: len(browser.drawn("Area")) > moved + 2)
        browser.wait_for_text(
            "#events", "b 的資金變動 +45000 usdt（命令列），由 50000 usdt, 1 btc 變為 95000 usdt, 1 btc"
        )
        browser.wait_for_text("#equity-note", "移動過資金")
        values = [row["value"] for row in browser.drawn("Area")]
        assert max(values) - min(values) < 22_500
        assert min(values) > 150_000, "the curve is that of the capital that the bot has now"
        wait_for(lambda: "95000 usdt, 1 btc" in started.said)
    run = tmp_path / "state" / "shown" / "emulator" / "inside" / "runs" / "1"
    with Started(tmp_path / "state", "report", str(run), "--lang", "zh-TW") as reporting:
        wait_for(lambda: "report.html" in reporting.said)
    [report] = tmp_path.glob("out/*/emulator-1/report.html")
    browser.open(report)
    assert "實跑期間移動過資金（b +45000 usdt），這不是損益" in browser.run("document.body.textContent")
    curve = [row["value"] for row in browser.drawn("Area")]
    assert curve
    assert max(curve) - min(curve) < 22_500


def test_fees_that_the_figures_lack_are_named_beside_them(browser: PageBrowser, tmp_path: Path) -> None:
    with run_bot(tmp_path / "state", [write_bot(tmp_path)], "--duration", "4s") as started:
        started.line("stopping")
    folder = tmp_path / "state" / "shown" / "emulator" / "inside"
    for path in (folder / "page.json", folder / "status.json"):
        document = json.loads(path.read_text())
        document.get("status", document)["unvalued_fees"] = {"bito": "1234.5"}
        path.write_text(json.dumps(document))
    with Started(tmp_path / "state", "page", "--page-port", "0") as server:
        browser.visit(server.line("page at "))
        browser.wait_for_text("#alerts", "fees of 1,234.5 BITO are in no profit, equity or loss limit")
    assert browser.console == []
