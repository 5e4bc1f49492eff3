"""The values of a window indicator over an entire block of recorded rows, computed in one pass by a copy of the
indicator.

In a quiet span the upcoming rows are known, and computing a window over columns takes a tenth of the time needed to
compute it row by row. Only values up to the row that the run has reached are ever returned. The indicator itself is not
updated during the span; those rows are added to it when the span ends.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from botkit.engine.indicators.blocks import WindowIndicator
from botkit.engine.indicators.indicator import Array

#: stands in `Ahead.other` before the first question. Not the `Ahead` itself: such a cycle would keep every block of a
#: backtest in memory, where garbage is hardly ever collected
_NOBODY = object()


class Passing(Protocol):
    """A block of rows that a run is processing; the first ``done`` rows have been processed."""

    done: int


class Ahead:
    """An indicator's values over a block, starting at row ``begin``.

    ``columns`` are the indicator's inputs in these rows, and ``times`` are the times of the rows. ``before`` and
    ``now`` are the values at the last two rows before ``begin``, and ``results`` are the values after each row.
    ``advanced`` is the copy of the indicator that computed them.
    """

    __slots__ = ("_crossed", "advanced", "begin", "block", "columns", "down", "line", "other", "times", "up", "values")

    def __init__(
        self,
        block: Passing,
        begin: int,
        *,
        times: npt.NDArray[np.int64],
        columns: list[Array],
        before: float | None,
        now: float | None,
        results: Array,
        advanced: WindowIndicator[Any],
    ) -> None:
        self.advanced = advanced
        self.block = block
        self.begin = begin
        self.times = times
        self.columns = columns
        #: the values at ``before``, at ``now``, and after each row; nan until ready
        self.line = np.concatenate(([np.nan if value is None else value for value in (before, now)], results))
        #: the values of `line`, None until ready; empty until `list_values` is called
        self.values: list[Any] = []
        #: the rows after which this line has crossed the line or level ``other`` upward and downward, counted as in
        #: ``block.done``; a strategy asks once or twice a row, nearly always for the same one
        self.other: object = _NOBODY
        self.up: frozenset[int] = frozenset()
        self.down: frozenset[int] = frozenset()
        self._crossed: dict[object, tuple[frozenset[int], frozenset[int]]] = {}

    def list_values(self) -> list[Any]:
        """List the values. A strategy that only asks for crossings never needs them."""
        values = self.values = [None if value != value else value for value in self.line.tolist()]
        return values

    def at_both(self) -> tuple[Any, Any]:
        """Return the values at the row that the run has reached and at the previous row."""
        values, at = self.values, self.block.done - self.begin
        if values:
            return values[at + 1], values[at]
        now, before = self.line.item(at + 1), self.line.item(at)
        return None if now != now else now, None if before != before else before

    def cross(self, other: object, its: Array | float) -> None:
        """Find where this line crosses ``other``, whose values are ``its``: those of `line`, or one level."""
        found = self._crossed.get(other)
        if found is None:
            own = self.line
            before, now = (its, its) if isinstance(its, (int, float)) else (its[:-1], its[1:])
            up = (own[:-1] <= before) & (own[1:] > now)
            down = (own[:-1] >= before) & (own[1:] < now)
            found = self._crossed[other] = self._rows(up), self._rows(down)
        self.other = other
        self.up, self.down = found

    def _rows(self, is_so: npt.NDArray[np.bool_]) -> frozenset[int]:
        return frozenset((np.flatnonzero(is_so) + self.begin).tolist())
