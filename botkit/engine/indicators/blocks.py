"""Moving windows whose sums are computed in blocks. Single values and columns use the same order of operations.

The values are split into blocks of the window's length. A window consists of the end of one block and the start of the
next, so its sum is a suffix sum (computed backward, once per block) plus a prefix sum (one addition per value). The
terms are distances from a reference: the last value of the previous block, which also lies inside the window. Sums of
similar prices then have almost no rounding error, and equal prices sum to zero. At the end of a block, the window is
the block itself, with the block's own last value as the reference.

A sum updated by adding the new value and subtracting the old one would drift, and the rounding error of one huge value
would remain forever. Here a window of equal prices yields exactly that price, so two averages of a flat market never
"cross".
"""

from __future__ import annotations

from copy import copy
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from botkit.engine.indicators.indicator import Array, Indicator

V = TypeVar("V")

#: with at least this many complete blocks, and this many values in them, numpy is faster despite its fixed cost
_BLOCKS_MIN, _VALUES_MIN = 2, 64


class WindowIndicator(Indicator[V]):
    """An indicator over blocks of ``length`` values that can process complete blocks at once.

    A subclass provides its position in the block (`_place`), the columns of the previous block (`_block_before`), the
    results for arrays that start at a block boundary (`_over_blocks`), and a method that restores its state from a
    block (`_resume`).
    """

    __slots__ = ("length",)
    length: int

    def adopt(self, other: Self) -> None:
        """Continue from the state of ``other``, a fork that is not used any more."""
        for kind in type(self).__mro__:
            for name in getattr(kind, "__slots__", ()):
                if not name.startswith("__") and hasattr(other, name):
                    setattr(self, name, getattr(other, name))
        if hasattr(self, "__dict__"):  # a subclass may have attributes of its own
            self.__dict__.update(other.__dict__)

    def fork(self) -> Self:
        """Return a copy that continues from the current state. All state consists of numbers and lists."""
        other = copy(self)
        for kind in type(self).__mro__:
            for name in getattr(kind, "__slots__", ()):
                value = getattr(self, name, None)
                if isinstance(value, list):
                    setattr(other, name, value.copy())
        return other

    def extend(self, *columns: npt.ArrayLike) -> Any:
        """Add many values, as `Indicator.extend` does, using numpy for complete blocks."""
        arrays = self._columns(columns)
        length, count = self.length, len(arrays[0])
        head = min(count, -self._place() % length)
        blocks = (count - head) // length
        if blocks < _BLOCKS_MIN or blocks * length < _VALUES_MIN:
            return self._gather(self._steps(arrays))
        stop = head + blocks * length
        parts = [self._gather(self._steps([array[:head] for array in arrays]))]
        parts.append(self._whole_blocks([array[head:stop] for array in arrays]))
        parts.append(self._gather(self._steps([array[stop:] for array in arrays])))
        if not self.fields:
            return np.concatenate(parts)
        return self._named([np.concatenate(pieces) for pieces in zip(*parts, strict=True)])

    def _whole_blocks(self, arrays: list[Array]) -> Any:
        before = self._block_before()
        if before is None:
            results = self._over_blocks(arrays)
        else:  # the previous block is included again, because the first windows overlap it
            joined = [np.concatenate((old, new)) for old, new in zip(before, arrays, strict=True)]
            results = self._over_blocks(joined)
            cut = self.length
            results = self._named([part[cut:] for part in results]) if self.fields else results[cut:]
        self._resume([array[-self.length :].tolist() for array in arrays])
        return results

    def _place(self) -> int:
        """Return the number of values in the current block so far."""
        raise NotImplementedError

    def _block_before(self) -> list[Array] | None:
        """Return the columns of the last complete block, oldest first, or None before the first block is complete."""
        raise NotImplementedError

    def _over_blocks(self, arrays: list[Array]) -> Any:
        """Compute the results for arrays of complete blocks; NaN until ready."""
        raise NotImplementedError

    def _resume(self, block: list[list[float]]) -> None:
        """Set the state as if the block's values had been added one by one."""
        raise NotImplementedError


class Blocks:
    """An array split into blocks: the references, and the distances from them for prefix and suffix sums."""

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
        """Combine the blocks' prefix and suffix sums into window sums; NaN until the first full window."""
        joined = prefix.copy()
        joined[1:, :-1] += suffix[:-1, 1:]
        joined[:, -1] = suffix[:, 0]
        sums: Array = joined.reshape(-1)[: self.count]
        sums[: self.length - 1] = np.nan
        return sums

    def sums(self, prefix: Array, suffix: Array) -> Array:
        """Compute the window sums of the values in two block arrays."""
        return self.join(np.cumsum(prefix, axis=1), from_the_back(suffix))


def from_the_back(blocks: Array) -> Array:
    """Compute the suffix sums of each row."""
    return np.cumsum(blocks[:, ::-1], axis=1)[:, ::-1]
