"""The stationary bootstrap (Politis and Romano 1994): days drawn in blocks of random length.

Drawing single days would destroy the dependence between consecutive days; blocks preserve it. All series are drawn with
the same blocks, so the correlation between the series is preserved as well.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["BLOCKS_LEAST", "Floats", "block_days", "interval", "mean_of", "mean_test", "resampled_days"]

Floats = npt.NDArray[np.float64]

#: if the data has fewer blocks than this, resampling is meaningless
BLOCKS_LEAST = 20
_DAY_S = 86_400.0


def block_days(lookback_s: float, holding_s: float) -> float:
    """Return the mean block length in days: the maximum of one day, the longest lookback and the median holding period.

    Returns within a lookback or a holding period are not independent.
    """
    return max(1.0, lookback_s / _DAY_S, holding_s / _DAY_S)


def resampled_days(count: int, mean_block: float, samples: int, seed: int) -> npt.NDArray[np.int64]:
    """Return ``samples`` rows of ``count`` day numbers, drawn in blocks of geometrically distributed length with the
    given mean.

    A block that reaches the last day wraps around to the first day.
    """
    assert count > 0, count
    assert mean_block >= 1, mean_block
    random = np.random.default_rng(seed)
    begins = random.random((samples, count)) < 1.0 / mean_block
    begins[:, 0] = True
    starts = random.integers(0, count, (samples, count))
    days = np.arange(count)
    # for each day, the position at which its block started
    began_at = np.maximum.accumulate(np.where(begins, days, 0), axis=1)
    first = np.take_along_axis(starts, began_at, axis=1)
    return np.asarray((first + days - began_at) % count, dtype=np.int64)


def interval(
    returns: Floats,
    statistic: Callable[[Floats], Floats],
    *,
    mean_block: float,
    level: float = 0.95,
    samples: int = 2_000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Return the two-sided confidence interval of a statistic of daily returns, or None if the data has fewer than
    `BLOCKS_LEAST` blocks.

    ``statistic`` takes an array of shape (samples, days) and returns one value per row.
    """
    if len(returns) / mean_block < BLOCKS_LEAST:
        return None
    drawn = statistic(returns[resampled_days(len(returns), mean_block, samples, seed)])
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_of(rows: Floats) -> Floats:
    """Return the mean of each row."""
    return np.asarray(rows.mean(axis=-1))


def mean_test(returns: Floats, *, mean_block: float, samples: int = 2_000, seed: int = 0) -> float | None:
    """Return the p-value of "the mean is not above 0", or None if the data has fewer than `BLOCKS_LEAST` blocks."""
    if len(returns) < 2 or len(returns) / mean_block < BLOCKS_LEAST:
        return None
    mean = returns.mean()
    drawn = mean_of((returns - mean)[resampled_days(len(returns), mean_block, samples, seed)])
    return (int((drawn >= mean).sum()) + 1) / (samples + 1)
