"""Every value under the crosshair matches the fills and the tape. These tests are skipped if chromium is missing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

import botkit
from botkit.assembly.backtest import backtest_into
from botkit.model.results import BacktestResult, FillRow
from tests.report.browser import Browser
from tests.report.sample_result import sample_result
from tests.report.test_browser import open_report
from tests.research.test_backtest_call import ARGUMENTS, Cross, candles
from tests.research_world import write_crossing

NS_PER_MINUTE = 60 * 10**9
ANSWER_NS = 100 * 10**6  # the strategy's equity changes 100 ms after a fill, when the answer arrives
TAIPEI = timezone(timedelta(hours=8))
MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d(?:\.\d{3})?)?"


@pytest.fixture(scope="module")
def tape() -> pd.DataFrame:
    return candles()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> BacktestResult:
    """Return the run as written by the command line, with every candle of the tape."""
    folder = tmp_path_factory.mktemp("crossing")
    result, _, _ = backtest_into(write_crossing(folder), out=folder / "run")
    return result


@pytest.fixture(scope="module")
def result(tape: pd.DataFrame) -> BacktestResult:
    return botkit.backtest(Cross, data=tape, **ARGUMENTS).run


def read_across(browser: Browser, chart: str, step: int = 13, least: int = 41) -> list[tuple[str, dict[str, str]]]:
    """Move the mouse across a chart. For each position, return the legend's time and its texts by title."""
    x, y, width = browser.run(
        f"(() => {{ const e = document.querySelector('{chart}'); e.scrollIntoView({{ block: 'center' }});"
        " const b = e.getBoundingClientRect(); return [b.x, b.y, b.width]; })()"
    )
    read = (
        f"(() => {{ const bar = document.querySelector('{chart}').previousElementSibling;"
        " return [bar.querySelector('.clock').textContent, [...bar.querySelectorAll('b')].map((b) =>"
        " [b.previousSibling.textContent.trim(), b.textContent])]; })()"
    )
    found = []
    for at in range(20, int(width) - 110, step):
        browser.move(x + at, y + 60)
        moment, items = browser.run_painted(read)
        if moment:
            found.append((moment, dict(items)))
    assert len({moment for moment, _ in found}) >= least
    return found


def nanos(text: str) -> int:
    """Convert a time shown on the page, in the run's time zone, to nanoseconds since the epoch."""
    text = text.removesuffix(" +08:00")
    for form in ("%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"):
        try:
            at = datetime.strptime(text, form).replace(tzinfo=TAIPEI)
        except ValueError:
            continue
        return round(at.timestamp() * 1000) * 10**6
    raise ValueError(text)


def number(text: str) -> float:
    found = re.search(r"−?[\d,]+(?:\.\d+)?", text)
    assert found is not None, text
    return float(found[0].replace(",", "").replace("−", "-"))


def held(result: BacktestResult, time: int) -> tuple[float, float]:
    """Return (cash, coins) after the fills up to a given time."""
    money, coins = 10_000.0, 0.0
    for fill in result.fills:
        if fill.time > time:
            break
        sign = 1 if fill.side == "buy" else -1
        amount, value, fee = fill.pair.rules.amount(fill.lots), fill.value_units / 1e8, fill.fee_units / 1e8
        coins += sign * amount - (fee if fill.fee_currency == fill.pair.base else 0)
        money -= sign * value + (fee if fill.fee_currency == fill.pair.quote else 0)
    return money, coins


@pytest.mark.parametrize("whole", [False, True], ids=["sampled", "every candle"])
def test_equity_benchmark_drawdown_and_holdings_match_the_time_under_the_pointer(
    browser: Browser, tmp_path: Path, result: BacktestResult, written: BacktestResult, tape: pd.DataFrame, whole: bool
) -> None:
    result = written if whole else result
    assert result.timezone == "Asia/Taipei"
    ends = tape.index.as_unit("ns").asi8 + NS_PER_MINUTE
    closes, first = tape["close"].to_numpy(), float(tape["open"].iloc[0])
    open_report(browser, result, tmp_path)
    peak_so_far = {}
    peak = 10_000.0
    for at, close in zip(ends.tolist(), closes.tolist(), strict=True):
        money, coins = held(result, at)
        peak = max(peak, money + coins * close)
        peak_so_far[at] = peak
    compared = holding = 0
    for moment, said in read_across(browser, "#equity"):
        time = nanos(moment)
        row = int(ends.searchsorted(time, side="right")) - 1
        price = float(closes[row]) if row >= 0 else first
        possible = [held(result, time), held(result, time - ANSWER_NS)]
        equities = [money + coins * price for money, coins in possible]
        equity = number(said["Equity USDT"])
        assert any(abs(equity - each) < 0.0051 for each in equities), (moment, equity, equities)
        assert any(abs(number(said["BTC"]) - coins) < 1e-8 for _, coins in possible), moment
        shares = [100 - 100 * money / each for (money, _), each in zip(possible, equities, strict=True)]
        assert any(abs(number(said["Not in USDT"]) - share) < 0.0051 for share in shares), moment
        if row >= 0:
            fall = (equity / peak_so_far[int(ends[row])] - 1) * 100
            assert number(said["Drawdown"]) == pytest.approx(fall, abs=0.02), moment
        hold = said["Buy and hold"]
        assert hold.startswith("≈") is not whole
        assert number(hold) == pytest.approx(10_000 * price / first, **({"abs": 0.0051} if whole else {"rel": 0.01})), (
            moment
        )
        compared += 1
        holding += possible[0][1] > 0
    assert compared > 60
    assert holding > 10


def between(fills: Sequence[FillRow], begin: int, end: int, side: str) -> tuple[int, float, float]:
    """Return (number, amount, average price) of the fills on one side within a candle."""
    own = [fill for fill in fills if begin <= fill.time < end and fill.side == side]
    amounts = [fill.pair.rules.amount(fill.lots) for fill in own]
    values = [a * fill.pair.rules.price(fill.price_ticks) for a, fill in zip(amounts, own, strict=True)]
    return len(own), sum(amounts), sum(values) / sum(amounts) if own else 0.0


@pytest.mark.parametrize("whole", [False, True], ids=["sampled", "every candle"])
def test_the_values_and_fills_shown_for_a_candle_match_its_time(
    browser: Browser, tmp_path: Path, result: BacktestResult, written: BacktestResult, tape: pd.DataFrame, whole: bool
) -> None:
    result = written if whole else result
    assert (list(result.prices[0].times) == tape.index.as_unit("ns").asi8.tolist()) is whole
    open_report(browser, result, tmp_path)
    times = tape.index.as_unit("ns").asi8
    bought = 0
    for _ in range(4 if whole else 0):  # zoom in until a pixel covers less than a candle
        browser.click("document.querySelector('#prices [aria-label=\"Zoom in\"]')")
    for moment, said in read_across(browser, "#prices .chart", step=9):
        begin, end = (nanos(text) for text in re.findall(MOMENT, moment))
        rows = tape[(times >= begin) & (times < end)]
        figures = [number(text) for text in re.findall(r"[OHLC] (\S+)", said[""])]
        expected = [rows["open"].iloc[0], rows["high"].max(), rows["low"].min(), rows["close"].iloc[-1]]
        assert figures == pytest.approx(expected, abs=1e-9), moment
        assert number(said["Volume BTC"]) == pytest.approx(rows["volume"].sum(), rel=1e-3)
        for side, title in (("buy", "buys"), ("sell", "sells")):
            count, amount, average = between(result.fills, begin, end, side)
            text = said[title]
            if not count:
                assert text == "–", moment
                continue
            bought += 1
            shown: Any = re.fullmatch(r"([\d,]+) \((\S+) at (\S+)\)", text)
            assert (number(shown[1]), number(shown[2])) == (count, pytest.approx(amount, rel=1e-7)), moment
            assert number(shown[3]) == pytest.approx(average, abs=0.0051), moment
    assert bought >= (1 if whole else 4)


def test_values_between_two_points_of_a_strategys_curve_are_marked_as_approximate(
    browser: Browser, tmp_path: Path
) -> None:
    base = sample_result(days=5, orders=40)
    moved = {
        name: msgspec.structs.replace(curve, times=[time + 7 * 10**9 * i for time in curve.times])
        for i, (name, curve) in enumerate(base.strategy_equity.items())
    }
    open_report(browser, msgspec.structs.replace(base, strategy_equity=moved), tmp_path)
    said = read_across(browser, "#strategies")
    for _, texts in said:
        exact = [text for text in texts.values() if not text.startswith(("≈", "–"))]
        assert len(exact) == 1
