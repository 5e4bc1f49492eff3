"""Sums and extremes over rolling windows of an array, in the very order in which they are found step by step.

The values are cut into blocks of the window's length. A window is the end of one block and the beginning of the next,
so its sum is a suffix sum (made once a block, from the back) plus a prefix sum (one addition a value). What is summed
is the distance to a reference, the last value of the block before, which lies inside the window too: prices that
differ little then add up almost without rounding, and equal ones add up to zero. At the last place of a block the
window is the block itself, with its own last value as the reference.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]


class Blocks:
    """An array cut into blocks: distances to the reference, for prefix and for suffix sums, and the references."""

    __slots__ = ("count", "length", "prefix", "references", "suffix")

    def __init__(self, values: Array, length: int) -> None:
        rows = -(-len(values) // length)
        padded = np.zeros(rows * length)
        padded[: len(values)] = values
        blocks = padded.reshape(rows, length)
        last = blocks[:, -1].copy()
        before = np.zeros(rows)
        before[1:] = last[:-1]
        self.count = len(values)
        self.length = length
        self.prefix = blocks - before[:, None]
        self.suffix = blocks - last[:, None]
        references = np.repeat(before, length).reshape(rows, length)
        references[:, -1] = last
        self.references: Array = references.reshape(-1)[: len(values)]

    def join(self, prefix: Array, suffix: Array) -> Array:
        """Prefix and suffix sums by block as sums by window; NaN for the first values, which complete no window."""
        joined = prefix.copy()
        joined[1:, :-1] += suffix[:-1, 1:]
        joined[:, -1] = suffix[:, 0]
        sums: Array = joined.reshape(-1)[: self.count]
        sums[: self.length - 1] = np.nan
        return sums

    def sums(self, prefix: Array, suffix: Array) -> Array:
        """Window sums of what stands in two arrays of blocks."""
        return self.join(np.cumsum(prefix, axis=1), from_the_back(suffix))


def from_the_back(blocks: Array) -> Array:
    """Suffix sums of each row."""
    return np.cumsum(blocks[:, ::-1], axis=1)[:, ::-1]


def rolling_extreme(extreme: np.ufunc, values: Array, length: int) -> Array:
    """Extremes by window, from those of the end of one block and the beginning of the next."""
    rows = -(-len(values) // length)
    padded = np.zeros(rows * length)
    padded[: len(values)] = values
    blocks = padded.reshape(rows, length)
    joined = extreme.accumulate(blocks, axis=1)
    suffix = extreme.accumulate(blocks[:, ::-1], axis=1)[:, ::-1]
    joined[1:, :-1] = extreme(joined[1:, :-1], suffix[:-1, 1:])
    result: Array = joined.reshape(-1)[: len(values)]
    result[: length - 1] = np.nan
    return result
