"""The circular-shift test, which applies the same position path to the market at other times.

If a path's timing shows skill, the shifted path earns less. If the path made money only because it was invested while
prices rose, shifting makes no difference. Unlike random entries, shifting preserves how long and how often positions
are held.
"""

from __future__ import annotations

import numpy as np

from botkit.research.luck.bootstrap import Floats

__all__ = ["shift_test"]


def shift_test(positions: Floats, changes: Floats, *, runs: int = 200, seed: int = 0) -> float | None:
    """Return the p-value of a position path: (k + 1) / (runs + 1), where k is the number of shifts that earn at least
    as much as the path.

    ``positions[i]`` is held while the price changes by ``changes[i]``. For several pairs, the last axis is the pair.
    Returns None if the path never changes, or is too short for ``runs`` different shifts.
    """
    assert positions.shape == changes.shape, (positions.shape, changes.shape)
    count = len(positions)
    if count <= runs or bool((positions == positions[0]).all()):
        return None
    random = np.random.default_rng(seed)
    shifts = random.choice(np.arange(1, count), size=runs, replace=False)
    earned = float((positions * changes).sum())
    reached = sum(float((np.roll(positions, shift, axis=0) * changes).sum()) >= earned for shift in shifts)
    return (reached + 1) / (runs + 1)
