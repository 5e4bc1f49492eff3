"""The bot's own resting orders are drawn as lines on the price chart, and the crosshair can be moved by keyboard."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

import botkit
from botkit.model.order_spec import OrderType
from botkit.model.results import BacktestResult, OrderRow
from botkit.report.chart_data import with_quiet_fills
from botkit.report.html import render
from botkit.report.resting import RESTING_MAX, longest, rested
from tests.report.browser import Browser
from tests.report.test_browser import open_report
from tests.report.test_crosshair import MOMENT, nanos, number, read_across

ROOT = Path(__file__).parent.parent.parent
PRICE = "#prices .chart"


@pytest.fixture(scope="module")
def made() -> BacktestResult:
    """Return a run of the bundled market maker over ten minutes of order books."""
    config = ROOT / "configs" / "market_maker.yaml"
    return botkit.backtest(config, start="2025-04-03T07:00", end="2025-04-03T07:10", readings=False).run


def resting_in(result: BacktestResult, side: str, begin: int, end: int) -> list[int]:
    """Return the prices of the orders on one side that rested at any time within a span, computed from the order
    rows.
    """
    makers = {fill.client_id for fill in result.fills if fill.is_maker}
    prices = []
    for row in result.orders:
        spec = row.spec
        if spec.side.value != side or spec.type is not OrderType.LIMIT or not row.sent:
            continue
        if row.state == "filled" and spec.client_id not in makers:
            continue
        if row.state in ("filled", "cancelled") and row.sent < end and row.updated > begin:
            prices.append(spec.price_ticks)
    return prices


def test_orders_shown_at_the_crosshair_were_resting_at_the_crosshairs_time(
    browser: Browser, tmp_path: Path, made: BacktestResult
) -> None:
    open_report(browser, made, tmp_path)
    seen = {"own bids": 0, "own asks": 0}
    for moment, said in read_across(browser, PRICE, step=17, least=20):
        begin, end = (nanos(text) for text in re.findall(MOMENT, moment))
        for title, side, best in (("own bids", "buy", max), ("own asks", "sell", min)):
            prices = resting_in(made, side, begin, end)
            if not prices:
                assert said[title] == "–", moment
                continue
            seen[title] += 1
            count, price = said[title].split(" at ")
            assert int(count) == len(prices), moment
            assert number(price) == pytest.approx(best(prices) / 100, abs=1e-9), moment
    assert min(seen.values()) > 10


def pixels(browser: Browser, colour: str) -> int:
    """Count the pixels of the price chart that have a given theme color. The color is given as a CSS variable."""
    return int(
        browser.run(
            f"""(() => {{
              const probe = document.createElement('canvas').getContext('2d');
              probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('{colour}');
              probe.fillRect(0, 0, 1, 1);
              const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
              let found = 0;
              for (const canvas of document.querySelectorAll('{PRICE} canvas')) {{
                if (!canvas.width) continue;
                const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
                for (let i = 0; i < data.length; i += 4)
                  if (data[i + 3] > 100 && Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 12) found++;
              }}
              return found;
            }})()"""  # noqa: E501
        )
    )


def test_lines_for_resting_orders_are_drawn(browser: Browser, tmp_path: Path, made: BacktestResult) -> None:
    quiet = msgspec.structs.replace(made, fills=[], trades=[])
    open_report(browser, quiet, tmp_path)
    browser.settle()
    drawn = pixels(browser, "--buy"), pixels(browser, "--sell")
    open_report(browser, msgspec.structs.replace(quiet, orders=[]), tmp_path)
    browser.settle()
    assert min(drawn) > 500
    assert (pixels(browser, "--buy"), pixels(browser, "--sell")) == (0, 0)


def test_orders_that_filled_immediately_or_never_arrived_have_no_line(made: BacktestResult) -> None:
    row = next(row for row in made.orders if row.state == "filled")
    took = msgspec.structs.replace(made, fills=[msgspec.structs.replace(f, is_maker=False) for f in made.fills])
    assert row in rested(made)
    assert row not in rested(took)
    for state in ("refused", "rejected", "post_only_cancelled", "not_sent", "absent"):
        changed = msgspec.structs.replace(made, orders=[msgspec.structs.replace(row, state=state)])
        assert rested(changed) == []


def test_only_the_longest_resting_orders_are_drawn_and_the_page_states_the_limit(made: BacktestResult) -> None:
    def lasting(number: int) -> OrderRow:
        return msgspec.structs.replace(made.orders[0], sent=10**9, updated=10**9 + number, state="cancelled")

    rows = [lasting(number) for number in (5, 1, 3, 9)]
    assert longest(rows, 0, 2) == [rows[0], rows[3]]
    many = msgspec.structs.replace(made, orders=[lasting(number) for number in range(RESTING_MAX + 1)], fills=[])
    assert f"Of {RESTING_MAX + 1:,} orders that rested, the {RESTING_MAX:,} that rested longest are drawn." in render(
        many
    )
    assert "rested longest are drawn" not in render(made)


def said(browser: Browser) -> tuple[str, str]:
    """Return the time in the price chart's legend, and the legend's first value."""
    return (
        browser.run(f"document.querySelector('{PRICE}').previousElementSibling.querySelector('.clock').textContent"),
        browser.run(f"document.querySelector('{PRICE}').previousElementSibling.querySelector('b').textContent"),
    )


def test_the_crosshair_can_be_moved_by_keyboard(browser: Browser, tmp_path: Path, made: BacktestResult) -> None:
    open_report(browser, made, tmp_path)
    browser.run(f"document.querySelector('{PRICE}').focus()")
    candles = made.prices[0]
    rows = []
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowLeft", "End"):
        browser.press(key)
        browser.settle()
        moment, figures = said(browser)
        begin = nanos(re.findall(MOMENT, moment)[0])
        row = candles.times.index(begin)
        rows.append(row)
        assert number(re.findall(r"C (\S+)", figures)[0]) == candles.close[row]
    assert rows == [0, 1, 2, 1, len(candles.times) - 1]
    assert "own bids" in browser.run(
        f"document.querySelector('{PRICE}').parentNode.querySelector('.unseen').textContent"
    )
    browser.press("Escape")
    browser.settle()
    assert said(browser)[0] == ""


def test_the_visible_range_follows_the_crosshair_when_it_leaves_the_view(
    browser: Browser, tmp_path: Path, made: BacktestResult
) -> None:
    open_report(browser, made, tmp_path)
    browser.run(f"document.querySelector('{PRICE}').focus()")
    for key in ("+", "+", "+", "+", "Home"):
        browser.press(key)
        browser.settle()
    first = nanos(re.findall(MOMENT, said(browser)[0])[0])
    for _ in range(3):
        browser.press("ArrowLeft")
        browser.settle()
    times = with_quiet_fills(made.prices[0], made.fills, made.prices[0].width).times
    assert nanos(re.findall(MOMENT, said(browser)[0])[0]) == times[times.index(first) - 3]
    assert browser.console == []
