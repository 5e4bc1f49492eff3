"""Statistics of daily returns. Statistics that cannot be computed are None, never NaN or infinity.

Returns are computed for full calendar days, including flat days. The risk-free rate is assumed to be 0. A year has 365
days, because the market never closes. With fewer than `RETURNS_LEAST` returns every statistic is None, because its
value would be mostly noise.

* ``cagr``: the compound annual return: (product of (1 + r)) ^ (365 / n) - 1.
* ``volatility``: standard deviation (n - 1) x sqrt(365).
* ``sharpe``: mean / standard deviation (n - 1) x sqrt(365). None if all returns are equal.
* ``sharpe_error``: the standard error of ``sharpe``, from the skew and kurtosis of the returns (Lo 2002; Bailey and
  Lopez de Prado 2012): sqrt((1 - skew x s + (kurtosis - 1) / 4 x s^2) / (n - 1)) x sqrt(365), with s = sharpe /
  sqrt(365). The 95 % interval is ``sharpe`` plus or minus 1.96 standard errors. The formula assumes that days are
  independent.
* ``sortino``: mean / downside deviation x sqrt(365). The downside deviation is the root of the mean over all days of
  min(r, 0)^2. None without a losing day.
* ``calmar``: cagr / the deepest drawdown of the equity, computed over every row. None without a drawdown.
* ``var``: the 5 % quantile of returns, interpolated linearly; one day in twenty is worse.
* ``cvar``: the mean of the returns at or below ``var``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from botkit.model.results import DayRow

DAYS_A_YEAR = 365  # the market never closes
RETURNS_LEAST = 30  # with fewer daily returns, the ratios are mostly noise
#: the fraction of days that are worse than the value at risk
TAIL = 0.05


def sharpe(returns: Sequence[float]) -> float | None:
    """Return mean / standard deviation (n - 1) of daily returns x sqrt(365). Returns None with fewer than 30 returns,
    or if all returns are equal.
    """
    if len(returns) < RETURNS_LEAST:
        return None
    deviation = _deviation(returns)
    # returns that should be equal differ only by rounding errors, so their Sharpe ratio would be meaningless
    return finite(_mean(returns) / deviation * math.sqrt(DAYS_A_YEAR)) if deviation > 1e-12 else None


def sharpe_error(returns: Sequence[float]) -> float | None:
    """Return the standard error of `sharpe`, annualized in the same way, or None if there is no Sharpe ratio."""
    annual = sharpe(returns)
    if annual is None:
        return None
    return finite(ratio_error(returns, annual / math.sqrt(DAYS_A_YEAR)) * math.sqrt(DAYS_A_YEAR))


def ratio_error(returns: Sequence[float], ratio: float) -> float:
    """Return the standard error of a daily Sharpe ratio, computed from the skew and kurtosis of the returns. The error
    is infinite if all returns are equal. Requires at least two returns.
    """
    count, mean = len(returns), _mean(returns)
    spread = math.sqrt(math.fsum((r - mean) ** 2 for r in returns) / count)
    if spread == 0:
        return math.inf
    skew = math.fsum(((r - mean) / spread) ** 3 for r in returns) / count
    kurtosis = math.fsum(((r - mean) / spread) ** 4 for r in returns) / count
    variance = 1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2
    return math.sqrt(max(variance, 0.0) / (count - 1))


def sortino(returns: Sequence[float]) -> float | None:
    """Return mean / downside deviation of daily returns x sqrt(365), or None with fewer than 30 returns or without a
    losing day.
    """
    if len(returns) < RETURNS_LEAST:
        return None
    downside = math.sqrt(math.fsum(min(r, 0.0) ** 2 for r in returns) / len(returns))
    return finite(_mean(returns) / downside * math.sqrt(DAYS_A_YEAR)) if downside > 1e-12 else None


def volatility(returns: Sequence[float]) -> float | None:
    """Return the standard deviation (n - 1) of daily returns x sqrt(365), or None with fewer than 30 returns."""
    return finite(_deviation(returns) * math.sqrt(DAYS_A_YEAR)) if len(returns) >= RETURNS_LEAST else None


def cagr(returns: Sequence[float]) -> float | None:
    """Return the compound annual return of daily returns as a fraction. Returns None with fewer than 30 returns, or if
    all money was lost.
    """
    if len(returns) < RETURNS_LEAST or any(r <= -1 for r in returns):
        return None
    growth = math.fsum(math.log1p(r) for r in returns) * DAYS_A_YEAR / len(returns)
    return finite(math.expm1(growth)) if growth < 700 else None


def calmar(returns: Sequence[float], max_drawdown: float | None) -> float | None:
    """Return ``cagr`` / the deepest drawdown, or None with fewer than 30 returns or without a drawdown."""
    growth = cagr(returns)
    return finite(growth / max_drawdown) if growth is not None and max_drawdown else None


def value_at_risk(returns: Sequence[float]) -> float | None:
    """Return the 5 % quantile of daily returns (a loss is negative), or None with fewer than 30 returns."""
    if len(returns) < RETURNS_LEAST:
        return None
    ordered = sorted(returns)
    place = TAIL * (len(ordered) - 1)
    below = int(place)
    return ordered[below] + (place - below) * (ordered[below + 1] - ordered[below])


def conditional_value_at_risk(returns: Sequence[float]) -> float | None:
    """Return the mean of the daily returns at or below `value_at_risk`, or None with fewer than 30 returns."""
    limit = value_at_risk(returns)
    return None if limit is None else _mean([r for r in returns if r <= limit])


def monthly_returns(days: Sequence[DayRow]) -> dict[str, float]:
    """Return each calendar month's compounded return, keyed by month such as ``2025-01``. Partial first and last days
    have no return.
    """
    growth: dict[str, float] = {}
    for day in days:
        if day.return_ is not None:
            month = day.date[:7]
            growth[month] = growth.get(month, 1.0) * (1 + day.return_)
    return {month: value - 1 for month, value in growth.items()}


def missing_ratios(returns: Sequence[float]) -> str | None:
    """Return the reason why a run has no ratios, or None if it has ratios."""
    count = len(returns)
    if count >= RETURNS_LEAST:
        return None
    return f"{count} daily {'return' if count == 1 else 'returns'}; a ratio needs at least {RETURNS_LEAST}"


def finite(value: float | None) -> float | None:
    """Return the value, or None if the value is missing, infinite or NaN."""
    return value if value is not None and math.isfinite(value) else None


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _deviation(values: Sequence[float]) -> float:
    mean = _mean(values)
    return math.sqrt(math.fsum((r - mean) ** 2 for r in values) / (len(values) - 1))
