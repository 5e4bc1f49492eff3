"""The values of a window indicator over a whole block of recorded rows, computed at once by a copy of it.

In a quiet span the rows to come are known, and a window over columns costs a tenth of the same window row by row. Only
the values up to the row that the run has reached are ever returned. The indicator itself stays behind, and is fed those
rows when the span ends.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from botkit.engine.indicators.indicator import Array


class Passing(Protocol):
    """A block of rows that a run is passing; the first ``done`` of them have passed."""

    done: int


class Ahead:
    """An indicator's values over a block, from row ``begin`` on.

    ``columns`` are its inputs in these rows and ``times`` the rows' times; ``before`` and ``now`` are its values at the
    last two rows before them, and ``results`` those after each of them.
    """

    __slots__ = ("_line", "begin", "block", "columns", "crossings", "times", "values")

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
    ) -> None:
        self.block = block
        self.begin = begin
        self.times = times
        self.columns = columns
        self._line = np.concatenate(([np.nan if value is None else value for value in (before, now)], results))
        #: ``before``, ``now``, and the value after each row; None until ready
        self.values: list[Any] = [None if value != value else value for value in self._line.tolist()]
        #: by the other line: whether it crossed that one upwards and downwards, at ``now`` and after each row
        self.crossings: dict[object, tuple[list[bool], list[bool]]] = {}

    def at_both(self) -> tuple[Any, Any]:
        """Return the value at the row that the run has reached, and at the one before it."""
        at = self.block.done - self.begin
        return self.values[at + 1], self.values[at]

    def cross(self, other: object, ahead: Ahead) -> tuple[list[bool], list[bool]]:
        """Find where it crosses ``other``, whose values are ``ahead``."""
        assert ahead.block is self.block and ahead.begin == self.begin, "lines of one series begin at one row"  # noqa: PT018
        own, its = self._line, ahead._line
        up = (own[:-1] <= its[:-1]) & (own[1:] > its[1:])
        down = (own[:-1] >= its[:-1]) & (own[1:] < its[1:])
        found = self.crossings[other] = up.tolist(), down.tolist()
        return found
