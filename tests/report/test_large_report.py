"""A large report stays small, opens quickly, and shows the tape's original candles when the user zooms in."""

from __future__ import annotations

import re
from bisect import bisect_left
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from botkit.model.results import BacktestResult
from botkit.report.chart_data import CANDLES_MAX
from botkit.report.html import render
from tests.report.browser import Browser
from tests.report.large_run import MINUTE, large_run
from tests.report.test_browser import open_page
from tests.report.test_crosshair import MOMENT, nanos, number, read_across

ZONE_NS = 8 * 3_600 * 10**9  # the sample's time zone is Taipei


@pytest.fixture(scope="module")
def quarter() -> BacktestResult:
    return large_run(132_480, 100_000)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, quarter: BacktestResult) -> Path:
    """Write a report on three months of minute candles, and return its path."""
    path = tmp_path_factory.mktemp("large") / "report.html"
    path.write_text(render(quarter), encoding="utf-8")
    return path


def test_a_report_on_three_months_of_minute_candles_with_many_fills_is_under_three_megabytes(page: Path) -> None:
    assert page.stat().st_size < 3_000_000


def test_a_report_on_a_million_candles_is_under_eight_megabytes() -> None:
    assert CANDLES_MAX >= 1_000_000
    assert len(render(large_run(1_000_000, 200)).encode()) < 8_000_000


def test_a_report_on_three_months_of_minute_candles_opens_with_under_two_seconds_of_cpu_time(
    browser: Browser, page: Path
) -> None:
    before = browser.cpu_s()
    open_page(browser, page)
    browser.settle()
    assert browser.cpu_s() - before < 2


def test_zooming_in_shows_the_original_candles_of_the_tape(
    browser: Browser, page: Path, quarter: BacktestResult
) -> None:
    prices = quarter.prices[0]
    open_page(browser, page)
    step = "Number(document.querySelector('#prices .chart').dataset.step)"
    assert browser.run(step) > 1
    times = [fill.time for fill in quarter.fills]
    seen = set()
    for _ in range(14):
        browser.click("document.querySelector('#prices [aria-label=\"Zoom in\"]')")
        browser.settle()
        seen.add(browser.run(step))
    browser.until(f"{step} === 1")
    rows: dict[str, int] = {}
    for moment, said in read_across(browser, "#prices .chart", step=11, least=5):
        begin, end = re.findall(MOMENT, moment)
        rows[begin] = row = _row(begin, prices.times)
        assert end == _text(prices.times[row] + MINUTE)
        shown = [number(text) for text in re.findall(r"[OHLC] (\S+)", said[""])]
        assert shown == [prices.open[row], prices.high[row], prices.low[row], prices.close[row]]
        assert number(said["Volume BTC"]) == pytest.approx(prices.volume[row], rel=1e-3)
        fills = quarter.fills[bisect_left(times, prices.times[row]) : bisect_left(times, prices.times[row] + MINUTE)]
        bought = [fill for fill in fills if fill.side == "buy"]
        assert said["buys"].split(" ")[0] == (str(len(bought)) if bought else "–")
    assert len(rows) >= 5
    browser.click("document.querySelector('#prices [aria-label=\"Show all\"]')")
    browser.until(f"{step} > 1")
    assert browser.console == []


def test_merged_candles_show_the_time_span_that_they_cover(
    browser: Browser, page: Path, quarter: BacktestResult
) -> None:
    prices = quarter.prices[0]
    open_page(browser, page)
    joined: Any = browser.run("Number(document.querySelector('#prices .chart').dataset.step)")
    for moment, said in read_across(browser, "#prices .chart", step=60, least=10):
        begin, end = (_row(text, [*prices.times, prices.times[-1] + MINUTE]) for text in re.findall(MOMENT, moment))
        assert 0 < end - begin <= joined
        shown = [number(text) for text in re.findall(r"[OHLC] (\S+)", said[""])]
        inside = slice(begin, end)
        assert shown == [
            prices.open[begin], max(prices.high[inside]), min(prices.low[inside]), prices.close[end - 1],
        ]  # fmt: skip


def _row(text: str, times: list[int]) -> int:
    return times.index(nanos(text))


def _text(time: int) -> str:
    return datetime.fromtimestamp((time + ZONE_NS) / 1e9, UTC).strftime("%Y-%m-%d %H:%M")
