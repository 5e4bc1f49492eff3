"""White's reality check (2000): could the best of all that was tried be luck?

The best mean return of all looks is compared with what the best reaches when each look's mean is taken away and days
are resampled. Looks that resemble each other count for less than their number, since they move together.
"""

from __future__ import annotations

import math

import numpy as np

from botkit.research.luck.bootstrap import BLOCKS_LEAST, Floats, resampled_days

__all__ = ["reality_check"]

_CELLS_MOST = 20_000_000  # resampled figures in memory at once


def reality_check(returns: Floats, *, mean_block: float, samples: int = 1_000, seed: int = 0) -> float | None:
    """Return the p-value of "no look has a mean above 0" for (days, looks) daily returns.

    None with under `BLOCKS_LEAST` blocks of data.
    """
    days, looks = returns.shape
    assert looks > 0, looks
    if days / mean_block < BLOCKS_LEAST:
        return None
    best = math.sqrt(days) * float(returns.mean(axis=0).max())
    centred = returns - returns.mean(axis=0)
    drawn = resampled_days(days, mean_block, samples, seed)
    # how often each day was drawn: the mean of a sample is a product of matrices then
    counts = np.zeros((samples, days))
    np.add.at(counts, (np.arange(samples)[:, None], drawn), 1.0)
    at_once = max(1, _CELLS_MOST // samples)
    highest = np.full(samples, -np.inf)
    for first in range(0, looks, at_once):
        means = counts @ centred[:, first : first + at_once] / days
        highest = np.maximum(highest, means.max(axis=1))
    reached = int((math.sqrt(days) * highest >= best).sum())
    return (reached + 1) / (samples + 1)
