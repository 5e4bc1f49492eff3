"""In a real browser, the report draws its charts and nothing is blocked. Skipped without chromium."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from botkit.model.results import BacktestResult
from botkit.report import render
from tests.report.sample_result import bare_result, sample_result

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium to open the page")


def opened(result: BacktestResult, folder: Path) -> tuple[str, str]:
    """Open a page in the browser. Returns (its elements after its scripts ran, its console output)."""
    assert CHROMIUM is not None
    page = folder / "report.html"
    page.write_text(render(result), encoding="utf-8")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=4000",
        "--window-size=1200,900", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, "\n".join(console)


def test_every_chart_is_drawn_and_the_console_stays_empty(tmp_path: Path) -> None:
    dom, console = opened(sample_result(days=5, orders=100), tmp_path)
    assert console == ""
    assert 'data-charts="4"' in dom  # one chart each for equity and strategies, and two for pairs
    assert dom.count("<canvas") >= 4 * 4
    assert re.search(r"buys</?[^>]*>|buys ", dom)
    assert "tradingview.com" in dom


def test_indicators_and_volume_are_on_the_price_chart_in_their_own_panes(tmp_path: Path) -> None:
    result = sample_result(days=5, orders=100)
    dom, console = opened(result, tmp_path)
    assert console == ""
    for title in (
        "Volume BTC",
        "SMA(10)",
        "Bollinger(20, 2) upper",
        "RSI(14)",
        "MACD(12, 26, 9) histogram",
        "spread_bps",
    ):
        assert title in dom
    bare, _ = opened(msgspec.structs.replace(result, indicators=[]), tmp_path)
    assert "SMA(10)" not in re.sub(r"<script.*?</script>", "", bare, flags=re.DOTALL)
    # one pane each for RSI, MACD and spread_bps
    assert dom.count("<canvas") > bare.count("<canvas") + 3


def test_hostile_text_does_not_run(tmp_path: Path) -> None:
    hostile = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    result = sample_result(days=1, orders=5, name=hostile)
    for found in result.indicators:
        found.name = found.pane = hostile
    dom, console = opened(result, tmp_path)
    assert "<title>owned" not in dom
    assert console == ""


def test_a_run_without_prices_draws_nothing_and_says_so(tmp_path: Path) -> None:
    dom, console = opened(bare_result(), tmp_path)
    assert console == ""
    assert "There were no prices to value the holdings." in dom
    assert 'data-charts="0"' in dom
