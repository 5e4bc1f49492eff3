"""The report's first two sentences, its monthly returns, its histogram, and the holdings below the equity chart."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from botkit.backtesting.statistics import sharpe, sharpe_error
from botkit.model.results import BacktestResult, DayRow, Drawdown, Figure
from botkit.report.holdings import Holdings
from botkit.report.html import render
from botkit.report.returns import heat, monthly_returns, trade_histogram
from botkit.report.verdict import sharpe_interval, verdict
from botkit.research.luck.sharpe import standard_error
from tests.report.sample_result import bare_result, sample_result
from tests.report.test_trade_list import made_trades


def with_figures(**figures: Figure) -> BacktestResult:
    base = sample_result(days=3, orders=20)
    return msgspec.structs.replace(base, summary={**base.summary, **figures})


def test_the_verdict_states_profit_benchmark_and_risk() -> None:
    result = with_figures(**{"return": 0.1657, "pnl": 165.75, "buy_and_hold_return": -0.1447, "max_drawdown": 0.1923})
    money, _ = verdict(result)
    assert money == (
        "Earned 165.75 TWD (+16.57 %) in 3 days; buy and hold lost 14.47 %. At its lowest it was 19.23 % below its "
        "peak and has not recovered."
    )
    lost = with_figures(**{"return": -0.02, "pnl": -20.0, "buy_and_hold_return": None, "max_drawdown": 0.03})
    lost = msgspec.structs.replace(lost, drawdown=Drawdown(0.03, 1, 2, 3))
    assert verdict(lost)[0] == (
        "Lost 20.00 TWD (−2.00 %) in 3 days. At its lowest it was 3.00 % below its peak, from which it has recovered."
    )


def test_the_verdict_states_whether_the_result_may_be_due_to_luck() -> None:
    unsure = with_figures(sharpe=1.69, sharpe_error=1.93, round_trips=36, days=91)
    assert verdict(unsure)[1] == (
        "36 trades in 91 full days give a Sharpe ratio of 1.69 with a 95 % interval from −2.09 to 5.47, so it may be "
        "luck."
    )
    sure = with_figures(sharpe=3.0, sharpe_error=0.5, round_trips=400, days=900)
    assert verdict(sure)[1].endswith("from 2.02 to 3.98, so luck alone is unlikely.")
    few = with_figures(sharpe=3.0, sharpe_error=0.5, round_trips=4, days=900)
    assert verdict(few)[1].endswith("with so few trades, all figures based on them are uncertain.")


def test_with_fewer_than_thirty_days_the_verdict_explains_the_missing_sharpe_ratio() -> None:
    short = with_figures(sharpe=None, sharpe_error=None, round_trips=1, days=1)
    assert sharpe_interval(short) is None
    assert verdict(short)[1] == (
        "1 trade and 1 full day: under 30 days there is no Sharpe ratio, and most of the result may be luck."
    )
    assert "±" not in render(short).split("</dl>")[0]


def test_a_run_without_fills_or_prices_still_has_a_verdict() -> None:
    assert verdict(bare_result()) == ["The holdings had no price, so the result cannot be judged."]
    assert verdict(with_figures(**{"return": 0.0, "fills": 0}))[0] == "It did not trade in 3 days."


@given(st.lists(st.floats(-0.2, 0.2), min_size=30, max_size=200).filter(lambda r: float(np.std(r)) > 1e-6))
def test_the_standard_error_of_a_sharpe_ratio_matches_the_value_in_the_luck_tests(returns: list[float]) -> None:
    found = sharpe_error(returns)
    assert sharpe(returns) is not None
    assert found == pytest.approx(standard_error(np.asarray(returns)) * math.sqrt(365), rel=1e-6, abs=1e-9)


def test_the_standard_error_of_a_sharpe_ratio_matches_its_standard_deviation_over_random_runs() -> None:
    chance = random.Random(1)
    runs = [[chance.gauss(0.002, 0.02) for _ in range(250)] for _ in range(400)]
    ratios = [value for run in runs if (value := sharpe(run)) is not None]
    errors = [value for run in runs if (value := sharpe_error(run)) is not None]
    assert np.mean(errors) == pytest.approx(np.std(ratios), rel=0.1)
    assert sharpe_error([0.01] * 29) is None
    assert sharpe_error([0.01] * 40) is None


def test_monthly_returns_compound_to_the_total_return_of_the_run() -> None:
    equity = {
        "2024-11-29": 1_000.0,
        "2024-11-30": 1_100.0,
        "2024-12-01": 1_050.0,
        "2024-12-31": 1_210.0,
        "2025-01-01": 605.0,
    }
    days = [DayRow(date, number, value) for number, (date, value) in enumerate(equity.items())]
    result = msgspec.structs.replace(with_figures(opening_equity=1_000.0), days=days)
    first, second = monthly_returns(result)
    assert (first.year, second.year) == ("2024", "2025")
    assert first.months[:10] == [None] * 10
    assert first.months[10:] == pytest.approx([0.1, 0.1])
    assert first.whole == pytest.approx(0.21)
    assert second.months[0] == second.whole == pytest.approx(-0.5)
    whole = math.prod(1 + month for row in (first, second) for month in row.months if month is not None)
    assert whole == pytest.approx(0.605)
    html = render(result)
    assert "Returns by month" in html
    assert "−50.0 %" in html
    assert heat(0.0) == 0 < heat(0.001) < heat(-0.05) < heat(0.3) == heat(-9.0) <= 45


def test_the_histogram_counts_every_trade_once_and_has_a_bin_edge_at_zero_profit() -> None:
    base = sample_result(days=5, orders=20)
    result = msgspec.structs.replace(base, trades=made_trades(base, 500))
    bars = trade_histogram(result)
    returns = [value for trade in result.trades if (value := trade.return_) is not None]
    assert sum(bar.trades for bar in bars) == 500
    assert any(abs(bar.low) < 1e-12 for bar in bars)
    for before, after in pairwise(bars):
        assert before.high == pytest.approx(after.low)
    inner = bars[len(bars) // 2]
    assert inner.trades == sum(inner.low <= value < inner.high for value in returns)
    outlier = msgspec.structs.replace(result.trades[0], pnl_units=10**15, exit_units=10**15)
    wide = trade_histogram(msgspec.structs.replace(result, trades=[*result.trades, outlier]))
    assert len(wide) <= len(bars) + 1
    assert wide[-1].is_open
    assert trade_histogram(msgspec.structs.replace(result, trades=result.trades[:1])) == []


def test_holdings_match_the_opening_balance_and_every_fill_to_the_unit() -> None:
    result = sample_result(days=3, orders=80)
    fill = result.fills[10]
    found = Holdings({"twd": 10**14, "btc": 5}, result.fills)
    times = np.asarray([fill.time - 1, fill.time], np.int64)
    before, after = found.units_at(fill.pair.quote, times).tolist()
    sign = 1 if fill.side == "buy" else -1
    fee = fill.fee_units if fill.fee_currency == fill.pair.quote else 0
    assert after - before == -sign * fill.value_units - fee
    end = np.asarray([result.end], np.int64)
    bought = sum(
        (1 if f.side == "buy" else -1) * f.pair.rules.base_units(f.lots)
        - (f.fee_units if f.fee_currency == "btc" else 0)
        for f in result.fills
        if f.pair.base == "btc"
    ) - sum(f.fee_units for f in result.fills if f.pair.base != "btc" and f.fee_currency == "btc")
    assert found.units_at("btc", end).tolist() == [5 + bought]
    assert found.units_at("eth", np.asarray([result.start], np.int64)).tolist() == [0]
    assert found.units_at("xrp", end).tolist() == [0]
