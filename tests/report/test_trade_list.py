"""The trade list: its values match the run, and a reader can sort and filter the list, page through it, and show a
trade on its chart.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from botkit.model.results import BacktestResult, ClosedTrade
from botkit.report.chart_data import local_ms
from botkit.report.html import render
from botkit.report.packing import packed
from botkit.report.trade_list import trade_columns
from botkit.report.wording import zone_of
from tests.report.browser import Browser
from tests.report.sample_result import pair, sample_result
from tests.report.test_browser import open_report

HOUR = 3600 * 10**9


def made_trades(base: BacktestResult, number: int) -> list[ClosedTrade]:
    """Return trades in three markets, ordered by exit. One trade is a loop through three pairs."""
    chance = random.Random(3)
    bitcoin, ether = (candles.pair for candles in base.prices)
    tether = pair("usdt_twd", 3)
    lasted = base.end - base.start
    trades = []
    for i in range(number):
        closed = base.start + 3 * HOUR + (lasted - 4 * HOUR) * i // number
        won = chance.uniform(-0.02, 0.025)
        is_loop = i % 5 == 4
        entry = 50_000_00000000
        profit = round(entry * won)
        pairs = (bitcoin, ether, tether) if is_loop else (bitcoin if i % 2 else ether,)
        trades.append(
            ClosedTrade(
                strategy="sma_btc" if i % 3 else "maker_eth",
                pairs=pairs,
                kind="loop" if is_loop else "long" if i % 4 else "short",
                currency="twd",
                opened=closed - chance.randrange(1_000_000, 2 * HOUR),
                closed=closed,
                units=entry if is_loop else 50_000_00000000 // (2_750_000 if i % 2 else 72_500),
                entry_units=entry,
                exit_units=entry + profit,
                fee_units=100_00000000,
                pnl_units=profit,
                pnl=profit / 1e8,
                entry_tag=("breakout", "", "rebound")[i % 3],
                exit_reason=("signal", "stop_loss", "take_profit")[i % 3],
                client_id=i,
                mae=None if is_loop else -0.01,
                mfe=None if is_loop else 0.02,
            )
        )
    return trades


@pytest.fixture(scope="module")
def result() -> BacktestResult:
    base = sample_result(days=2, orders=60)
    return msgspec.structs.replace(base, trades=made_trades(base, 120))


@pytest.fixture
def page(browser: Browser, result: BacktestResult, tmp_path: Path) -> Browser:
    open_report(browser, result, tmp_path)
    return browser


def column(browser: Browser, title: str) -> list[str]:
    """Return the cell texts of a column on the current page."""
    return list(
        browser.run(
            f"(() => {{ const t = document.querySelector('#trade-list table'); const at = [...t.tHead.rows[0].cells]"
            f".findIndex((c) => c.textContent.startsWith({title!r}));"
            " return [...t.tBodies[0].rows].map((r) => r.cells[at].textContent); })()"
        )
    )


def header(title: str) -> str:
    return (
        f"[...document.querySelectorAll('#trade-list thead button')].find((b) => b.textContent.startsWith({title!r}))"
    )


def choose(browser: Browser, label: str, option: str) -> None:
    browser.run(
        "(() => { const labels = [...document.querySelectorAll('.filters label')];"
        f" const list = labels.find((x) => x.textContent.startsWith({label!r})).querySelector('select');"
        f" list.value = [...list.options].find((o) => o.textContent === {option!r}).value;"
        " list.dispatchEvent(new Event('change', { bubbles: true })); })()"
    )


def number(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-").replace("+", "").removesuffix(" %"))


def status(browser: Browser) -> str:
    return browser.texts("#trade-list [role=status]")[0]


def test_every_trade_is_in_the_list_and_reachable_by_paging(page: Browser, result: BacktestResult) -> None:
    seen: list[str] = []
    while True:
        seen += column(page, "P&L")
        following = "document.querySelector('.pager button[aria-label=\"Next page\"]')"
        if page.run(f"{following}.disabled"):
            break
        page.click(following)
    # the most recent exit comes first
    assert [number(text) for text in seen] == pytest.approx([t.pnl for t in result.trades[::-1]], abs=0.0051)
    assert page.texts(".pager .place") == ["101 to 120 of 120"]
    won = sum(t.pnl > 0 for t in result.trades) / len(result.trades)
    total = sum(t.pnl for t in result.trades)
    assert status(page) == f"120 trades, {won * 100:.1f} % won, {total:+,.2f} TWD".replace("-", "−")


def test_a_click_on_a_column_header_sorts_the_list_and_shows_the_direction(
    page: Browser, result: BacktestResult
) -> None:
    page.click(header("P&L"))
    best = sorted((t.pnl for t in result.trades), reverse=True)
    assert [number(text) for text in column(page, "P&L")] == pytest.approx(best[:25], abs=0.0051)
    state = f"{header('P&L')}.closest('th').getAttribute('aria-sort')"
    assert page.run(state) == "descending"
    page.click(header("P&L"))
    assert [number(text) for text in column(page, "P&L")] == pytest.approx(best[::-1][:25], abs=0.0051)
    assert page.run(state) == "ascending"
    assert (
        page.run("document.querySelectorAll('#trade-list th[aria-sort=none]').length")
        == len(page.texts("#trade-list thead th")) - 1
    )


def test_trades_without_a_value_are_sorted_last_in_both_directions(page: Browser) -> None:
    for _ in range(2):
        page.click(header("Worst"))
        assert "–" not in column(page, "Worst")
    page.click("document.querySelector('.pager button[aria-label=\"Last page\"]')")
    assert set(column(page, "Worst")) == {"–"}


def test_combined_filters_leave_only_trades_that_match_all_filters(page: Browser, result: BacktestResult) -> None:
    choose(page, "Exit by", "stop loss")
    choose(page, "Pair", "ETH/TWD")
    choose(page, "Result", "won")
    kept = [t for t in result.trades if t.exit_reason == "stop_loss" and t.pair_text == "eth_twd" and t.pnl > 0]
    assert kept
    assert status(page).startswith(f"{len(kept)} trades, 100.0 % won")
    assert set(column(page, "Exit by")) == {"stop loss"}
    assert sum(number(text) for text in column(page, "P&L")) == pytest.approx(sum(t.pnl for t in kept), abs=0.2)


def test_a_text_search_finds_trades_by_tag(page: Browser, result: BacktestResult) -> None:
    page.click("document.querySelector('#trade-list input')")
    page.type("BREAK")
    assert status(page).startswith(f"{sum(t.entry_tag == 'breakout' for t in result.trades)} trades")
    page.run("document.querySelector('#trade-list input').select()")
    page.type("nothing at all")
    assert page.texts("#trade-list tbody") == ["No trade matches."]
    assert status(page) == "0 trades"


def test_a_click_on_a_trade_shows_its_entry_and_exit_on_the_chart(page: Browser, result: BacktestResult) -> None:
    choose(page, "Pair", "ETH/TWD")
    page.click("document.querySelectorAll('#trade-list tbody tr')[2].cells[2]")
    page.settle()
    shown = [t for t in result.trades if t.pair_text == "eth_twd"][::-1][2]
    (note,) = page.texts(".chosen-trade:not([hidden])")
    zone = zone_of(result.timezone)
    assert note.startswith("ETH/TWD: ")
    assert f"{abs(shown.pnl):,.2f}" in note
    panels = "[...document.querySelectorAll('#prices .panel')]"
    at = page.run(f"{panels}.findIndex((p) => p.querySelector('.chosen-trade:not([hidden])'))")
    assert at == [str(c.pair) for c in result.prices].index("eth_twd")
    # the chart is visible, and its time axis covers the trade
    top, bottom = page.run(
        f"(() => {{ const b = {panels}[{at}].querySelector('.chart').getBoundingClientRect();"
        " return [b.top, b.bottom]; })()"
    )
    assert top < 900
    assert bottom > 0
    first, last = crosshair_ends(page, f"{panels}[{at}].querySelector('.chart')")
    assert first <= moment(local_ms(shown.opened, zone)) <= last
    assert first <= moment(local_ms(shown.closed, zone)) <= last
    page.press("Enter")  # the back button has the focus
    assert page.texts(".chosen-trade:not([hidden])") == []
    assert page.run("document.activeElement.closest('tr').dataset.row") == str(result.trades.index(shown))


def moment(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%d %H:%M")


def crosshair_ends(page: Browser, chart: str) -> tuple[str, str]:
    """Return the times that the crosshair shows at the left and right ends of a chart."""
    x, y, width = page.run(f"(() => {{ const b = {chart}.getBoundingClientRect(); return [b.x, b.y, b.width]; }})()")
    found = []
    for at in (3, width - 120):
        page.move(x + at, y + 50)
        page.settle()
        clock = page.run(f"{chart}.previousElementSibling.querySelector('.clock').textContent")
        found.append(str(clock).removesuffix(" +08:00"))
    return found[0][:16], found[1][-16:]


def test_a_loop_shows_all_its_pairs_and_the_amounts_spent_and_received(page: Browser, result: BacktestResult) -> None:
    choose(page, "Side", "loop")
    loop = [t for t in result.trades if t.kind == "loop"][-1]
    assert column(page, "Pair")[0] == "BTC/TWD › ETH/TWD › USDT/TWD"
    assert column(page, "Entry")[0] == "50,000.00 TWD"
    assert column(page, "Exit")[0] == f"{loop.exit_units / 1e8:,.2f} TWD"
    assert column(page, "Amount")[0] == "–"
    page.click("document.querySelector('#trade-list tbody button')")
    page.settle()
    assert page.texts(".chosen-trade:not([hidden])")[0].startswith(
        "BTC/TWD › ETH/TWD › USDT/TWD: loop, 50,000.00 TWD to"
    )
    assert page.console == []


def test_keys_sort_the_list_navigate_it_and_open_a_trade(page: Browser, result: BacktestResult) -> None:
    page.run(f"{header('Return')}.focus()")
    page.press("Enter")
    assert page.run(f"{header('Return')}.closest('th').getAttribute('aria-sort')") == "descending"
    best = sorted(range(120), key=lambda i: -cast("float", result.trades[i].return_))
    page.run("document.querySelector('#trade-list tbody button').focus()")
    focused = "document.activeElement.closest('tr').dataset.row"
    page.press("ArrowDown")
    assert page.run(focused) == str(best[1])
    page.press("PageDown")
    assert page.run(focused) == str(best[26])
    page.press("ArrowUp")
    page.press("ArrowUp")
    assert page.run(focused) == str(best[24])
    page.press("Enter")
    assert len(page.texts(".chosen-trade:not([hidden])")) == 1


def test_packed_columns_contain_every_value(result: BacktestResult) -> None:
    data: dict[str, Any] = trade_columns(result, partial(local_ms, zone=zone_of(result.timezone)))
    entry = closed = 0
    for i, trade in enumerate(result.trades):
        entry, closed = entry + data["entry"][i], closed + data["closed"][i]
        rules = trade.pairs[0].rules
        if trade.kind == "loop":
            assert (entry, entry + data["exit"][i]) == (trade.entry_units, trade.exit_units)
        else:
            assert entry == pytest.approx(trade.entry_units / trade.units * 10**rules.price_decimals, abs=0.5)
        assert closed == trade.closed // 10**6 + 8 * 3_600_000
        assert abs(closed - data["held"][i] - trade.opened // 10**6 - 8 * 3_600_000) == 0
        assert data["markets"][data["market"][i]]["name"] == trade.pair_text
        assert data["tags"][data["tag"][i]] == trade.entry_tag
        assert data["return"][i] == round(cast("float", trade.return_) * 1e4)


def test_a_hundred_thousand_trades_can_be_sorted_while_only_one_page_is_in_the_document(
    browser: Browser, tmp_path: Path
) -> None:
    base = sample_result(days=20, orders=10)
    many = msgspec.structs.replace(base, trades=made_trades(base, 100_000))
    assert len(packed(trade_columns(many, partial(local_ms, zone=zone_of(base.timezone))))) < 3_000_000
    open_report(browser, many, tmp_path)
    browser.click(header("P&L"))
    assert number(column(browser, "P&L")[0]) == pytest.approx(max(t.pnl for t in many.trades), abs=0.0051)
    assert browser.run("document.querySelectorAll('#trade-list tbody tr').length") == 25
    assert browser.texts(".pager .place") == ["1 to 25 of 100,000"]


def test_a_run_without_trades_has_no_trade_list() -> None:
    assert 'id="trade-list"' not in render(msgspec.structs.replace(sample_result(days=1, orders=4), trades=[]))


def test_sales_of_allocated_coins_are_listed_but_not_counted(
    browser: Browser, tmp_path: Path, result: BacktestResult
) -> None:
    given = [msgspec.structs.replace(t, is_given=i < 20) for i, t in enumerate(result.trades)]
    open_report(browser, msgspec.structs.replace(result, trades=given), tmp_path)
    assert status(browser).startswith("100 trades, ")
    assert status(browser).endswith("; 20 sales of coins that were handed over")
    choose(browser, "Side", "handed over")
    assert browser.texts(".pager .place") == ["1 to 20 of 20"]
