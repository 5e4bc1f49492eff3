"""Rolling high and rolling low."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from botkit.engine.indicators.indicator import Array, Indicator, check_length


class _RollingExtreme(Indicator[float]):
    """Base class of `RollingHigh` and `RollingLow`."""

    __slots__ = ("_candidates", "_count", "length")
    _ufunc: np.ufunc

    def __init__(self, length: int) -> None:
        self.length = self.history = check_length(type(self).__name__, length)
        self.reset()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.length})"

    def reset(self) -> None:
        """Clear the state."""
        self.value = None
        # (place, value), including values that may become the extreme once other values leave the window
        self._candidates: deque[tuple[int, float]] = deque()
        self._count = 0

    def _add(self, value: float) -> float | None:
        candidates = self._candidates
        count = self._count
        candidates.append((count, value))
        count = self._count = count + 1
        if candidates[0][0] < count - self.length:
            candidates.popleft()
        if count >= self.length:
            self.value = candidates[0][1]
        return self.value

    def extend(self, *columns: npt.ArrayLike) -> Any:
        """Add many values, as `Indicator.extend` does, using numpy."""
        (values,) = self._columns(columns)
        length, count = self.length, len(values)
        if count < length + 64:  # too few values to justify numpy's fixed cost
            return self._gather(self._steps([values]))
        before = min(self._count, length - 1)
        results = rolling_extreme(self._ufunc, np.concatenate((self._as_values(before), values)), length)[before:]
        # of the earlier values, only the last window is still needed
        self._candidates = deque()
        self._count += count - length
        self._steps([values[count - length :]])
        return results

    def _as_values(self, count: int) -> Array:
        """Return ``count`` values with the same extremes as the last ``count`` actual values."""
        values = np.empty(count)
        first = self._count - count
        start = 0
        for place, value in self._candidates:
            stop = place - first + 1
            if stop > start:
                values[start:stop] = value
                start = stop
        return values


class RollingHigh(_RollingExtreme):
    """The highest of the last ``length`` values (closing prices, unless attached with ``of="high"``).

    ``history``: ``length`` bars.
    """

    __slots__ = ()
    _ufunc = np.maximum

    def step(self, value: float) -> float | None:  # type: ignore[override]
        """Add the next value and return the highest value in the window, or None until there are ``length`` values."""
        candidates = self._candidates
        while candidates and candidates[-1][1] <= value:
            candidates.pop()
        return self._add(value)


class RollingLow(_RollingExtreme):
    """The lowest of the last ``length`` values (closing prices, unless attached with ``of="low"``).

    ``history``: ``length`` bars.
    """

    __slots__ = ()
    _ufunc = np.minimum

    def step(self, value: float) -> float | None:  # type: ignore[override]
        """Add the next value and return the lowest value in the window, or None until there are ``length`` values."""
        candidates = self._candidates
        while candidates and candidates[-1][1] >= value:
            candidates.pop()
        return self._add(value)


def rolling_extreme(extreme: np.ufunc, values: Array, length: int) -> Array:
    """Return the extreme of each window, computed from the end of one block and the start of the next; NaN until the
    first full window.
    """
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
