"""The circular shift: the same path of positions, met by the market at other times.

A path that knows something about the market loses it when shifted; one that earned by being invested while prices rose
does not. It keeps how long and how often positions are held, which drawing random entries would not.
"""

from __future__ import annotations

import numpy as np

from botkit.research.luck.bootstrap import Floats

__all__ = ["shift_test"]


def shift_test(positions: Floats, changes: Floats, *, runs: int = 200, seed: int = 0) -> float | None:
    """Return the p-value of a path of positions, (k + 1) / (runs + 1) for k shifts that earn at least as much.

    ``positions[i]`` is held while the price changes by ``changes[i]``; for several pairs the last axis is the pair.
    None if the path is too short to be shifted ``runs`` ways, or never changes.
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
