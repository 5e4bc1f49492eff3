"""The report file is complete and small, executes no foreign scripts, and loads no other files."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import numpy as np
import pytest

from botkit.model.extension import ReportSection
from botkit.model.results import SYNTHETIC, BacktestResult, Caution, Curve, IndicatorLine, PriceCandles
from botkit.report.chart_data import (
    LINES_MAX,
    ascending,
    charts,
    equity_chart,
    hold_at,
    local_ms,
    marks,
    points_in_force,
    thin,
    with_quiet_fills,
)
from botkit.report.html import render
from botkit.report.packing import deltas, packed, unpacked
from botkit.report.tables import fee_lines, reasons
from botkit.report.wording import milliseconds, money, percent, ratio, span, zone_of
from tests.report.sample_result import bare_result, pair, sample_result

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&"


class Page(HTMLParser):
    """Collects the elements with their attributes, and the text of each script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self._inside = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text.append(data)

    def has(self, tag: str, **attributes: str) -> bool:
        return any(t == tag and attributes.items() <= a.items() for t, a in self.elements)


def policy_of(page: Page) -> dict[str, list[str]]:
    (content,) = [a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert content is not None
    return {name: sources for name, *sources in (part.split() for part in content.split(";"))}


@pytest.fixture(scope="module")
def result() -> BacktestResult:
    return sample_result(days=3, orders=120)


@pytest.fixture(scope="module")
def html(result: BacktestResult) -> str:
    return render(result)


def hostile_result() -> BacktestResult:
    plain = sample_result(days=1, orders=20, name=HOSTILE)
    return msgspec.structs.replace(
        plain,
        config_text=HOSTILE,
        currency=HOSTILE,
        timezone=HOSTILE,
        assumptions=[HOSTILE],
        dust=[HOSTILE],
        versions={HOSTILE: HOSTILE},
        warnings=[msgspec.structs.replace(plain.warnings[0], text=HOSTILE)],
        data=msgspec.structs.replace(plain.data, path=HOSTILE, source=HOSTILE, kinds={HOSTILE: HOSTILE}),
        strategies=[
            msgspec.structs.replace(row, name=HOSTILE, use=HOSTILE, stopped=HOSTILE, skips={HOSTILE: 1})
            for row in plain.strategies
        ],
        strategy_equity={HOSTILE + str(i): c for i, c in enumerate(plain.strategy_equity.values())},
        fills=[msgspec.structs.replace(f, tag=HOSTILE, strategy=HOSTILE, fee_currency=HOSTILE) for f in plain.fills],
        orders=[msgspec.structs.replace(o, reason=HOSTILE, state=HOSTILE) for o in plain.orders],
        trades=[
            msgspec.structs.replace(t, entry_tag=HOSTILE, exit_tag=HOSTILE, exit_reason=HOSTILE, strategy=HOSTILE)
            for t in plain.trades
        ],
        groups={title: {HOSTILE: next(iter(found.values()))} for title, found in plain.groups.items()},
    )  # fmt: skip


def test_the_report_page_shows_every_part_of_the_run(html: str) -> None:
    titles = [
        "Equity, drawdown and holdings", "Profit and loss by strategy", "Price, indicators, fills and trades", "Trades",
        "How the trades did", "Strategies",
        "Why it did not trade",
        "Three queue assumptions", "Fees", "Rate limits", "Fills", "Orders", "What this run assumes",
        "Data and configuration",
    ]  # fmt: skip
    for title in titles:
        assert f"<h2>{title}" in html, title
    text = " ".join(Page(html).text)
    for piece in ("create_order", "42 %", "spread of 2.1 bps is below the break-even of 40 bps", "12", "Synthetic data",
                  "slippage is 0", "Our orders do not move the market.", "9f2c" * 16, "botkit 0.1.0"):  # fmt: skip
        assert piece in text, piece


def test_the_page_loads_no_external_resources(html: str) -> None:
    page = Page(html)
    for tag, attributes in page.elements:
        for name in ("src", "srcset", "data", "poster", "background", "action", "formaction", "xlink:href"):
            assert name not in attributes, (tag, attributes)
        if tag in ("link", "image", "use"):
            assert (attributes.get("href") or "").startswith("data:"), attributes
        assert tag not in ("iframe", "object", "embed", "base", "form", "img"), tag
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = policy_of(page)
    assert policy["default-src"] == ["'none'"]
    assert policy["img-src"] == ["data:"]
    assert "http" not in str(policy)


def test_only_the_pages_own_scripts_are_allowed_to_run(html: str) -> None:
    page = Page(html)
    data, *code = page.scripts
    assert isinstance(unpacked(data), dict)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in code]
    assert len(code) == 2
    assert policy_of(page)["script-src"] == [f"'sha256-{digest}'" for digest in digests]


def test_a_hostile_name_is_inert_wherever_it_appears() -> None:
    html = render(hostile_result())
    page = Page(html)
    assert [a.get("type") for t, a in page.elements if t == "script"] == ["text/plain", None, None]
    assert not page.has("img")
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    data: Any = unpacked(page.scripts[0])
    assert data["strategies"][0]["name"].startswith(HOSTILE)
    assert data["trades"]["tags"] == [HOSTILE]
    assert html.count(HOSTILE) == 0


def test_embedded_data_cannot_close_its_element_and_stays_unchanged() -> None:
    data = {"name": "</script><!-- & \u2028", "values": [1, -2.5, None]}
    text = packed(data)
    assert not set(text) & set("<>&'\"\\ ")
    assert unpacked(text) == data
    for hidden in ([float("nan")], {"a": [1, {"b": [float("inf")]}]}):
        with pytest.raises(ValueError, match="JSON compliant"):
            packed(hidden)


def test_the_report_of_a_run_with_many_fills_stays_below_the_size_limit() -> None:
    busy = sample_result(days=60, orders=3_000)
    busy = msgspec.structs.replace(
        busy,
        fills=busy.fills * 12,
        prices=busy.prices * 6,
        strategy_equity={f"strategy {i}": c for i in range(10) for c in busy.strategy_equity.values()},
    )
    assert len(render(busy).encode()) < 1_500_000


def test_the_synthetic_banner_appears_only_for_synthetic_data(html: str) -> None:
    assert Page(html).has("div", **{"class": "synthetic"})
    assert not Page(render(sample_result(days=1, orders=1, synthetic=False))).has("div", **{"class": "synthetic"})


def test_the_banner_replaces_the_warning_about_synthetic_data(result: BacktestResult) -> None:
    cautious = msgspec.structs.replace(result, warnings=[Caution(SYNTHETIC), *result.warnings])
    assert SYNTHETIC not in render(cautious)
    recorded = msgspec.structs.replace(cautious, data=msgspec.structs.replace(cautious.data, synthetic=False))
    assert SYNTHETIC in render(recorded)


def test_serious_warnings_are_listed_first_and_shown_in_red(result: BacktestResult) -> None:
    turned = msgspec.structs.replace(result, warnings=result.warnings[::-1])
    classes = [a["class"] for t, a in Page(render(turned)).elements if t == "p" and "warning" in (a.get("class") or "")]
    assert classes == ["warning grave", "warning", "warning"]  # the last script is for outdated browsers


def test_a_run_without_events_still_has_a_report() -> None:
    html = render(bare_result())
    for sentence in ("No order was filled.", "No order was placed.", "Nothing was skipped", "No order had to wait"):
        assert sentence in html


def test_sections_from_plugins_are_added_unchanged(result: BacktestResult) -> None:
    html = render(result, [ReportSection("Heat <map>", "<table id='heat'></table>")])
    assert "<h2>Heat &lt;map&gt;</h2>" in html
    assert "<table id='heat'></table>" in html


def test_the_page_contains_the_notice_required_by_the_chart_librarys_license(html: str) -> None:
    assert Page(html).has("a", href="https://www.tradingview.com/")
    assert "TradingView Lightweight Charts" in html


def test_fills_within_one_candle_are_merged_into_one_marker(result: BacktestResult) -> None:
    data: dict[str, Any] = charts(result, zone_of(result.timezone))
    for chart in data["prices"]:
        own = [f for f in result.fills if f.pair == chart["pair"]]
        marks = chart["marks"]
        assert sum(marks["fills"]) == len(own)
        assert sum(marks["lots"]) == sum(f.lots for f in own)
        highs, lows = prices_of(chart)
        row, closes = 0, np.cumsum(chart["c"])
        for step, above in zip(marks["row"], marks["price"], strict=True):
            row += step
            average = (closes[row] + above) / 10 ** chart["decimals"]
            assert 0 <= row < len(chart["o"])
            # the made-up fills have prices within the range of their minute
            assert lows[row] * 0.99 <= average <= highs[row] * 1.01


def prices_of(chart: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Return the highs and lows of a chart's candles, as unpacked by the page."""
    highs, lows, close = [], [], 0
    for i, step in enumerate(chart["c"]):
        opened, close = chart["o"][i] + close, close + step
        highs.append((max(opened, close) + chart["h"][i]) / 10 ** chart["decimals"])
        lows.append((min(opened, close) - chart["l"][i]) / 10 ** chart["decimals"])
    return highs, lows


def test_every_fill_is_in_the_candle_that_covers_its_time() -> None:
    second = 10**9
    base = sample_result(days=1, orders=40)
    fill = next(f for f in base.fills if f.pair == "btc_twd")
    candles = PriceCandles(fill.pair, second, [100 * second, 105 * second], *[[7.0, 9.0]] * 3, [8.0, 10.0], [1.0, 2.0])
    fills = [msgspec.structs.replace(fill, time=at * second // 10) for at in (995, 1_005, 1_032, 1_038, 1_050, 1_070)]
    found = with_quiet_fills(candles, fills, second)
    assert [time // second for time in found.times] == [99, 100, 103, 105, 107]
    assert list(found.close) == [7.0, 8.0, 8.0, 10.0, 10.0]
    assert list(found.open) == [7.0, 7.0, 8.0, 9.0, 10.0]
    assert list(found.volume) == [0.0, 1.0, 0.0, 2.0, 0.0]
    rows = np.cumsum(marks(found, fills)["row"]).tolist()
    assert sorted(set(rows)) == [0, 1, 2, 3, 4]
    assert with_quiet_fills(candles, fills[1:2], second) is candles
    # a one-minute candle stored in a one-second bucket covers its entire minute
    assert with_quiet_fills(candles, fills[1:3], 60 * second) is candles


def test_candles_are_packed_without_loss(result: BacktestResult) -> None:
    data: dict[str, Any] = charts(result, zone_of(result.timezone))
    for chart, candles in zip(data["prices"], result.prices, strict=True):
        highs, lows = prices_of(chart)
        assert len(highs) == len(candles.times)  # every fill falls in a minute with a candle
        tick = 10.0 ** -chart["decimals"]
        assert highs == pytest.approx(candles.high, abs=tick / 2)
        assert lows == pytest.approx(candles.low, abs=tick / 2)


def test_a_line_uses_the_last_value_within_each_candle() -> None:
    candles = PriceCandles(pair(), 60, [600, 660, 780], *[[1.0, 1.0, 1.0]] * 4)
    found = IndicatorLine("btc_twd", "s", "SMA(2)", "price", [599, 600, 659, 660, 779, 839, 840], [1, 2, 3, 4, 5, 6, 7])
    # no candle starts at 779, so the value there is the last known value in the previous candle
    assert [found.values[point] for point in points_in_force(candles, found).tolist()] == [3, 5, 6]
    assert not len(points_in_force(PriceCandles(pair(), 60, [], [], [], [], []), found))
    late = IndicatorLine("btc_twd", "s", "SMA(2)", "price", [780], [1.5])
    assert points_in_force(candles, late).tolist() == [-1, -1, 0]


def test_buy_and_hold_uses_a_candle_only_after_its_end() -> None:
    start, second = 1_735_660_800 * 10**9, 10**9
    # one-minute candles, stored in one-second buckets
    candles = PriceCandles(pair(), second, [start, start + 60 * second], *[[100.0, 110.0]] * 3, [110.0, 121.0])
    plain = sample_result(days=1, orders=1)
    run = msgspec.structs.replace(
        plain,
        prices=[candles],
        summary={**plain.summary, "opening_equity": 1_000.0},
        data=msgspec.structs.replace(plain.data, kinds={"btc_twd": "candles 1m"}),
        end=start + 120 * second,
    )
    times = start + np.asarray([0, 30, 59, 60, 119, 120]) * second
    assert hold_at(run, times) == ([1_000.0, 1_000.0, 1_000.0, 1_100.0, 1_100.0, 1_210.0], True)
    wide = msgspec.structs.replace(candles, width=60 * second)
    books = msgspec.structs.replace(plain.data, kinds={"btc_twd": "books and trades"})
    values, is_exact = hold_at(msgspec.structs.replace(run, prices=[wide], data=books), times)
    assert not is_exact
    assert values == pytest.approx([1_000.0, 1_050.0, 1_098.33, 1_100.0, 1_208.17, 1_210.0], abs=0.01)
    assert hold_at(plain, times)[0] is None


def test_a_constant_equity_curve_is_drawn_to_the_end_of_the_chart_like_buy_and_hold() -> None:
    start, minute = 1_735_660_800 * 10**9, 60 * 10**9
    times = [start + minute * n for n in range(5)]
    candles = PriceCandles(pair(), minute, times, *[[100.0, 110.0, 120.0, 130.0, 140.0]] * 4)
    plain = sample_result(days=1, orders=1)
    run = msgspec.structs.replace(
        plain,
        start=start,
        end=start + 5 * minute,
        equity=Curve([start, start + minute], [1_000.0, 1_000.0]),
        prices=[candles],
        fills=[],
        opening={"twd": 1_000 * 10**8},
        summary={**plain.summary, "opening_equity": 1_000.0},
        data=msgspec.structs.replace(plain.data, kinds={"btc_twd": "candles 1m"}),
    )
    chart = equity_chart(run, zone_of("UTC"))
    assert np.cumsum(chart["t"]).tolist() == [(start + minute * n) // 10**6 for n in range(6)]
    assert chart["v"] == [1_000.0] * 6
    assert chart["hold"][-1] == 1_400.0
    assert chart["fall"] == [0.0] * 6


def test_the_chart_of_a_pair_has_volume_and_lines(result: BacktestResult) -> None:
    data: dict[str, Any] = charts(result, zone_of(result.timezone))
    bitcoin, ether = data["prices"]
    assert [line["name"] for line in bitcoin["lines"]][:4] == [
        "sma_btc: SMA(10)", "sma_btc: SMA(30)", "sma_btc: Bollinger(20, 2) lower", "sma_btc: Bollinger(20, 2) middle",
    ]  # fmt: skip
    assert {line["pane"] for line in bitcoin["lines"]} == {"price", "RSI", "MACD", "volume", "spread_bps"}
    assert len({line["group"] for line in bitcoin["lines"] if "Bollinger" in line["name"]}) == 1
    for line in bitcoin["lines"]:
        assert line["first"] + len(line["v"]) == len(bitcoin["o"])
    assert ether["lines"] == []
    volumes = [digits * 10.0**power for digits, power in zip(ether["volume"], ether["volume_power"], strict=True)]
    assert sum(volumes) == pytest.approx(sum(result.prices[1].volume), rel=1e-3)


def test_a_chart_limits_its_number_of_lines_and_states_how_many_it_omits(result: BacktestResult) -> None:
    busy = msgspec.structs.replace(result, indicators=result.indicators[:1] * 50)
    data: dict[str, Any] = charts(busy, zone_of(result.timezone))
    assert len(data["prices"][0]["lines"]) == LINES_MAX
    assert data["prices"][0]["left_out"] == 50 - LINES_MAX


def test_chart_times_are_local_and_ascending(result: BacktestResult) -> None:
    data: dict[str, Any] = charts(result, zone_of("Asia/Taipei"))
    assert data["equity"]["t"][0] == result.equity.times[0] // 10**6 + 8 * 3_600_000
    assert all(step > 0 for step in data["equity"]["t"][1:])
    assert local_ms(10**9, zone_of("Nowhere/Land")) == 1_000


def test_the_last_of_several_points_with_equal_timestamps_is_kept() -> None:
    rows = ascending([1, 1, 2, 5, 4, 5, 6])
    assert rows == [1, 2, 5, 6]
    assert deltas([1, 2, 5, 6]) == [1, 1, 3, 1]


def test_downsampling_keeps_the_endpoints_and_the_extremes(result: BacktestResult) -> None:
    curve = result.equity
    few = thin(curve, 100)
    assert len(few.times) <= 100
    assert (few.times[0], few.times[-1]) == (curve.times[0], curve.times[-1])
    assert (min(few.values), max(few.values)) == (min(curve.values), max(curve.values))


def test_fees_are_summed_by_pair_and_liquidity(result: BacktestResult) -> None:
    lines = fee_lines(result.fills)
    assert [(line.pair, line.liquidity) for line in lines] == [("btc_twd", "taker"), ("eth_twd", "maker")]
    assert sum(line.fee for line in lines) == pytest.approx(result.summary["fees"])
    assert lines[0].rate == pytest.approx(0.002, rel=1e-3)


def test_reasons_are_sorted_by_frequency_and_refusals_are_not_counted_twice(result: BacktestResult) -> None:
    found = reasons(result.strategies, result.orders)
    assert [r.times for r in found] == sorted((r.times for r in found), reverse=True)
    assert sum(r.times for r in found if r.kind == "refused") == 18
    uncounted = [msgspec.structs.replace(row, refusals={}) for row in result.strategies]
    refused = sum(o.state == "refused" for o in result.orders)
    assert refused
    assert sum(r.times for r in reasons(uncounted, result.orders) if r.kind == "refused") == refused


def test_numbers_are_formatted_for_readers() -> None:
    assert money(-1234567.891) == "−1,234,567.89"
    assert money(0.00001234) == "0.00001234"
    assert money(5.5, True) == "+5.5000"
    assert money(None) == "–"
    assert percent(0.12345, True) == "+12.35 %"
    assert percent(-0.000001, True) == "0.00 %"
    assert money(-1e-12) == "0.00"
    assert ratio(-0.001) == "0.00"
    assert milliseconds(1_840) == "1.8 s"
    assert span(31 * 86_400 * 10**9) == "31 days"
    assert span(200 * 60 * 10**9) == "3 h 20 min"


def test_every_date_includes_its_utc_offset() -> None:
    result = sample_result()
    page = render(result)
    assert f"({result.timezone}, UTC+08:00, " in page
    assert "<th>Time +08:00</th>" in page
    assert re.search(r"<td>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d</td>", page)


def test_each_date_includes_its_own_utc_offset_if_the_clocks_change_during_the_run() -> None:
    result = sample_result()
    result.timezone = "Europe/Berlin"
    result.end = result.start + 365 * 86_400 * 10**9
    page = render(result)
    assert "(Europe/Berlin, UTC+01:00 / UTC+02:00, " in page
    assert "<th>Time</th>" in page
    assert re.search(r"<td>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0[12]:00</td>", page)
