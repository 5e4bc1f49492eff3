"""White's reality check (2000), which tests whether the best of all looks could be due to luck.

The best mean return of all looks is compared with the best mean in resampled days, after subtracting each look's mean
from its returns. Similar looks carry less weight than their number would suggest, because their returns are correlated.
"""

from __future__ import annotations

import math

import numpy as np

from botkit.research.luck.bootstrap import BLOCKS_LEAST, Floats, resampled_days

__all__ = ["reality_check"]

_CELLS_MOST = 20_000_000  # the maximum number of resampled values in memory at once


def reality_check(returns: Floats, *, mean_block: float, samples: int = 1_000, seed: int = 0) -> float | None:
    """Return the p-value of "no look has a mean above 0". ``returns`` has the shape (days, looks).

    Returns None if the data has fewer than `BLOCKS_LEAST` blocks.
    """
    days, looks = returns.shape
    assert looks > 0, looks
    if days / mean_block < BLOCKS_LEAST:
        return None
    best = math.sqrt(days) * float(returns.mean(axis=0).max())
    centred = returns - returns.mean(axis=0)
    drawn = resampled_days(days, mean_block, samples, seed)
    # how many times each day was drawn, so that a single matrix product computes the means of all samples
    counts = np.zeros((samples, days))
    np.add.at(counts, (np.arange(samples)[:, None], drawn), 1.0)
    at_once = max(1, _CELLS_MOST // samples)
    highest = np.full(samples, -np.inf)
    for first in range(0, looks, at_once):
        means = counts @ centred[:, first : first + at_once] / days
        highest = np.maximum(highest, means.max(axis=1))
    reached = int((math.sqrt(days) * highest >= best).sum())
    return (reached + 1) / (samples + 1)
