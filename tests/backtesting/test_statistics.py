"""Statistics of daily returns, recomputed with numpy and pandas, and compared with quantstats where both use the same
definition.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from botkit.backtesting import statistics as own
from botkit.model.results import DayRow


def drawn(days: int, seed: int) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(0.001, 0.03) if chance.random() > 0.2 else 0.0 for _ in range(days)]


RETURNS = [drawn(days, seed) for days, seed in [(30, 1), (31, 2), (365, 3), (1_000, 4)]]


def series(returns: list[float]) -> pd.Series:
    return pd.Series(returns, index=pd.date_range("2024-01-01", periods=len(returns), freq="D"))


@pytest.mark.parametrize("returns", RETURNS)
def test_every_statistic_matches_its_definition(returns: list[float]) -> None:
    values = np.array(returns)
    assert own.cagr(returns) == pytest.approx(np.prod(1 + values) ** (365 / len(values)) - 1)
    assert own.volatility(returns) == pytest.approx(values.std(ddof=1) * np.sqrt(365))
    assert own.sharpe(returns) == pytest.approx(values.mean() / values.std(ddof=1) * np.sqrt(365))
    downside = np.sqrt((np.minimum(values, 0) ** 2).mean())
    assert own.sortino(returns) == pytest.approx(values.mean() / downside * np.sqrt(365))
    limit = np.quantile(values, 0.05)
    assert own.value_at_risk(returns) == pytest.approx(limit)
    assert own.conditional_value_at_risk(returns) == pytest.approx(values[values <= limit].mean())
    assert own.calmar(returns, 0.25) == pytest.approx(own.cagr(returns) / 0.25)


def test_monthly_returns_compound_the_daily_ones() -> None:
    returns = RETURNS[2]
    days = [
        DayRow(date=moment.strftime("%Y-%m-%d"), end=0, equity=1.0, return_=value)
        for moment, value in series(returns).items()
    ]
    days.insert(0, DayRow(date="2023-12-31", end=0, equity=1.0))  # the first day is partial
    expected = (1 + series(returns)).groupby(lambda moment: moment.strftime("%Y-%m")).prod() - 1
    assert own.monthly_returns(days) == pytest.approx(expected.to_dict())


def test_with_fewer_than_thirty_returns_there_are_no_statistics() -> None:
    for figure in (own.cagr, own.volatility, own.sharpe, own.sortino, own.value_at_risk, own.conditional_value_at_risk):
        assert figure(RETURNS[0]) is not None
        assert figure(RETURNS[0][1:]) is None
    assert own.calmar(RETURNS[0][1:], 0.1) is None


def test_a_statistic_that_cannot_be_computed_is_none() -> None:
    assert own.sharpe([0.01] * 40) is None
    assert own.sortino([0.01] * 40) is None
    assert own.cagr([0.1] * 39 + [-1.0]) is None
    assert own.cagr([20.0] * 40) is None  # the result would overflow a float
    assert own.calmar([0.01] * 40, 0.0) is None
    assert own.calmar([0.01] * 40, None) is None


# quantstats uses different definitions in two cases. Its value at risk (and, by default, its conditional value at risk)
# assumes normally distributed returns. Its drawdowns use daily closes, while ours use every row.
@pytest.mark.parametrize("returns", RETURNS[1:])
@pytest.mark.filterwarnings("ignore")
def test_statistics_agree_with_quantstats_where_both_use_the_same_definition(returns: list[float]) -> None:
    stats = pytest.importorskip("quantstats").stats
    given = series(returns)
    assert own.volatility(returns) == pytest.approx(float(stats.volatility(given, periods=365)))
    assert own.sharpe(returns) == pytest.approx(float(stats.sharpe(given, periods=365)))
    assert own.sortino(returns) == pytest.approx(float(stats.sortino(given, periods=365)))
    days = [DayRow(date=f"{moment:%Y-%m-%d}", end=0, equity=1.0, return_=value) for moment, value in given.items()]
    monthly = stats.monthly_returns(given, eoy=False)
    table = {f"{year}-{month:02}": v for year, row in monthly.iterrows() for month, v in enumerate(row, start=1)}
    assert own.monthly_returns(days) == pytest.approx({key: table[key] for key in own.monthly_returns(days)})
    assert own.cagr(returns) == pytest.approx(float(stats.cagr(given, periods=365)))
    daily_fall = -float(stats.max_drawdown(given))
    assert own.calmar(returns, daily_fall) == pytest.approx(float(stats.calmar(given, periods=365)))
    assert own.conditional_value_at_risk(returns) == pytest.approx(float(stats.cvar(given, method="historical")))


def test_every_metric_of_a_run_has_a_definition() -> None:
    text = Path(own.__file__).with_name("metrics.py").read_text(encoding="utf-8")
    documented = text.partition('"""\n\nfrom')[0]
    for name in ("expectancy", "average_trade", "best_trade", "worst_trade", "calmar", "var_95", "longest_drawdown_s"):
        assert f"``{name}``" in documented
