"""Daily Sharpe ratios, and the portion of a ratio that comes from choosing the best of many looks.

Bailey and López de Prado, "The Sharpe Ratio Efficient Frontier" (2012) and "The Deflated Sharpe Ratio" (2014). All
ratios here are daily. The annual ratio is ``sqrt(365)`` times as large.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from botkit.backtesting.statistics import ratio_error
from botkit.research.luck.bootstrap import Floats

__all__ = ["days_needed", "deflated", "expected_best", "of_days", "probabilistic", "standard_error", "variance_by_luck"]

_NORMAL = NormalDist()
_EULER = 0.5772156649015329


def of_days(returns: Floats) -> Floats:
    """Return the Sharpe ratio of each row of (samples, days). The ratio is 0 if the returns do not vary."""
    spread = returns.std(axis=-1, ddof=1)
    mean = returns.mean(axis=-1)
    return np.where(spread > 0, mean / np.where(spread > 0, spread, 1.0), 0.0)


def standard_error(returns: Floats) -> float:
    """Return the standard error of one series' ratio, based on the skew and kurtosis of its returns. Requires at least
    two days.
    """
    assert len(returns) >= 2, len(returns)
    return ratio_error(returns.tolist(), float(of_days(returns)))


def probabilistic(returns: Floats, benchmark: float = 0.0) -> float:
    """Return the probability that the true ratio exceeds ``benchmark``, given a series of returns."""
    error = standard_error(returns)
    if error in (0.0, math.inf):
        return 0.5
    return _NORMAL.cdf((float(of_days(returns)) - benchmark) / error)


def variance_by_luck(ratios: Floats, days: int) -> float:
    """Return the variance of the ratios of looks without skill, estimated from the observed ratios over ``days`` days.

    The variance for independent looks is about 1 / days. The ratios of similar looks vary less, which the observed
    ratios reflect. Ratios may also vary more because some looks are genuinely worse, for example due to excessive fees.
    That does not make the best look luckier, so the variance is capped at that of independent looks.
    """
    assert days >= 2, days
    return min(float(np.var(ratios)), 1.0 / (days - 1))


def expected_best(looks: int, variance: float) -> float:
    """Return the expected ratio of the best of ``looks`` looks, assuming that no look has any skill and that the
    variance of the ratios is ``variance``.
    """
    assert looks >= 1, looks
    if looks == 1:
        return 0.0
    high = _NORMAL.inv_cdf(1 - 1 / looks)
    higher = _NORMAL.inv_cdf(1 - 1 / (looks * math.e))
    return math.sqrt(variance) * ((1 - _EULER) * high + _EULER * higher)


def deflated(returns: Floats, looks: int, variance: float) -> float:
    """Return the probability that the true ratio exceeds the ratio that the best of ``looks`` looks would achieve by
    luck.
    """
    return probabilistic(returns, expected_best(looks, variance))


def days_needed(annual: float, level: float = 0.95, power: float = 0.8) -> int:
    """Return the number of days after which a strategy with this annual ratio is significant at ``level`` with
    probability ``power``.
    """
    daily = annual / math.sqrt(365)
    seen = _NORMAL.inv_cdf(level) + _NORMAL.inv_cdf(power)
    return math.ceil((seen / daily) ** 2 * (1 + daily**2 / 2)) + 1
