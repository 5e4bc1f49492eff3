"""In a real browser, the report draws its charts, and none of its content is blocked. These tests are skipped if
chromium is missing.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from botkit.model.results import BacktestResult
from botkit.report.html import render
from tests.report.browser import Browser
from tests.report.sample_result import bare_result, sample_result


def open_report(browser: Browser, result: BacktestResult, folder: Path) -> None:
    """Write a result's report, and open it."""
    page = folder / "report.html"
    page.write_text(render(result), encoding="utf-8")
    open_page(browser, page)


def open_page(browser: Browser, page: Path) -> None:
    """Open a report. Check that the page requests only its own file, and that the console stays empty."""
    browser.open(page)
    assert browser.console == []
    assert [address for address in browser.requests if not address.startswith("data:")] == [page.as_uri()]


def canvases(browser: Browser) -> int:
    return int(browser.run("document.querySelectorAll('canvas').length"))


def test_every_chart_is_drawn_and_the_console_stays_empty(browser: Browser, tmp_path: Path) -> None:
    open_report(browser, sample_result(days=5, orders=100), tmp_path)
    # one chart for equity, one for strategies, and two for pairs
    assert browser.run("document.documentElement.dataset.charts") == "4"
    assert canvases(browser) >= 4 * 4
    assert any("buys" in text for text in browser.texts(".legend"))
    assert browser.run("!!document.querySelector('a[href=\"https://www.tradingview.com/\"]')")


def test_volume_and_indicators_are_on_the_price_chart_or_in_separate_panes(browser: Browser, tmp_path: Path) -> None:
    result = sample_result(days=5, orders=100)
    open_report(browser, result, tmp_path)
    titles = " ".join(browser.texts(".legend"))
    expected = ["Volume BTC", "SMA(10)", "Bollinger(20, 2) upper", "RSI(14)", "MACD(12, 26, 9) histogram", "spread_bps"]
    for title in expected:
        assert title in titles
    with_lines = canvases(browser)
    open_report(browser, msgspec.structs.replace(result, indicators=[]), tmp_path)
    assert "SMA(10)" not in " ".join(browser.texts(".legend"))
    # one pane each for RSI, MACD and spread_bps
    assert with_lines > canvases(browser) + 3


def test_hostile_text_is_not_executed_as_a_script(browser: Browser, tmp_path: Path) -> None:
    hostile = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    result = sample_result(days=1, orders=5, name=hostile)
    for found in result.indicators:
        found.name = found.pane = hostile
    trade = msgspec.structs.replace(result.trades[0], entry_tag=hostile, exit_tag=hostile, strategy=hostile)
    open_report(browser, msgspec.structs.replace(result, trades=[trade], currency=hostile), tmp_path)
    browser.click("document.querySelector('#trade-list tbody button')")
    browser.settle()
    assert browser.run("document.title") == f"{hostile} · backtest"
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert hostile in browser.texts("#trade-list tbody td")[-1]
    assert browser.console == []


def test_a_run_without_prices_has_no_charts_and_the_page_states_the_reason(browser: Browser, tmp_path: Path) -> None:
    open_report(browser, bare_result(), tmp_path)
    assert browser.texts("#equity") == ["There were no prices to value the holdings."]
    assert browser.run("document.documentElement.dataset.charts") == "0"


def test_the_theme_can_be_changed_without_errors(browser: Browser, tmp_path: Path) -> None:
    open_report(browser, sample_result(days=1, orders=20), tmp_path)
    paper = "getComputedStyle(document.body).backgroundColor"
    before = browser.run(paper)
    browser.click("document.getElementById('theme')")
    browser.settle()
    assert browser.run(paper) != before
    assert browser.console == []


def test_the_page_does_not_scroll_sideways_on_a_phone(browser: Browser, tmp_path: Path) -> None:
    open_report(browser, sample_result(days=5, orders=100), tmp_path)
    browser.resize(390, 800)
    assert browser.run("document.documentElement.scrollWidth <= innerWidth && innerWidth === 390")
    browser.resize(1200, 900)
