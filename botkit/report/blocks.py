"""Reads long columns in blocks: each array over a million candles would take 8 MB."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from botkit.report.packing import BLOCK_ROWS, Column, joined_column, narrow

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


def blocks_of(rows: int, block_rows: int = BLOCK_ROWS) -> list[slice]:
    """Return slices that cut a column into blocks."""
    return [slice(begin, min(begin + block_rows, rows)) for begin in range(0, rows, block_rows)]


def deltas_in_blocks(blocks: Iterable[IntArray]) -> Column:
    """Return the same column as `botkit.report.packing.deltas` of all blocks together."""
    found: list[npt.NDArray[np.integer[Any]]] = []
    before = 0
    for block in blocks:
        found.append(narrow(np.diff(block, prepend=np.int64(before))))
        before = int(block[-1])
    return joined_column(found)


class LongList:
    """A column that is computed in blocks. Integers are kept in narrow arrays, other numbers in lists."""

    def __init__(self) -> None:
        self._blocks: list[npt.NDArray[np.integer[Any]] | list[Any]] = []

    def extend(self, values: list[Any]) -> None:
        """Append a block."""
        block: npt.NDArray[np.integer[Any]] | list[Any] = values
        if set(map(type, values)) == {int}:
            with contextlib.suppress(OverflowError):
                block = narrow(np.array(values, np.int64))
        self._blocks.append(block)

    def column(self) -> Column | list[Any]:
        """Return the column, as a list unless all values are integers."""
        arrays = [block for block in self._blocks if not isinstance(block, list)]
        if len(arrays) == len(self._blocks):
            return joined_column(arrays) if arrays else []
        return [value for block in self._blocks for value in (block if isinstance(block, list) else block.tolist())]


def rows_until(times: Sequence[int], at: IntArray) -> IntArray:
    """Return, for each entry in ``at``, the number of ``times`` up to and including it. Times are ascending."""
    found = np.zeros(len(at), np.int64)
    for cut in blocks_of(len(times)):
        block = np.asarray(times[cut], np.int64)
        found[at > block[-1]] = cut.stop
        inside = np.flatnonzero((at >= block[0]) & (at <= block[-1]))
        found[inside] = cut.start + np.searchsorted(block, at[inside], side="right")
    return found


def picked(values: Sequence[float], rows: IntArray) -> FloatArray:
    """Return the values at ``rows``."""
    found = np.empty(len(rows))
    for cut in blocks_of(len(values)):
        inside = np.flatnonzero((rows >= cut.start) & (rows < cut.stop))
        if len(inside):
            found[inside] = np.asarray(values[cut], float)[rows[inside] - cut.start]
    return found
