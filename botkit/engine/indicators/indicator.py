"""The base class of all indicators. Values can be added one at a time, by bar or by column, with identical results.

    fast = SMA(10)
    fast.update(bar.close)            # or fast.update(bar); None until there are 10 values
    fast.value, fast.ready            # the latest result
    line = fast.extend(closes)        # continues after update: an array of the same length, NaN until ready
    line = SMA(10).over(closes)       # from scratch, without using or changing the indicator's state

Only ``+ - * /`` and ``sqrt`` are used, in a fixed order. Results are therefore bit-identical on any machine, regardless
of how a tape is split. (This also rules out ``sum()``, which adds floats differently since Python 3.12. A compiler must
not fuse multiplications and additions: ``-ffp-contract=off``.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from botkit.model.events import Bar

Array: TypeAlias = npt.NDArray[np.float64]
V = TypeVar("V")

#: A recursive average never forgets old values entirely. It is warmed up until the weight of earlier values falls below
#: this limit, which is three orders of magnitude below the promised 1e-9.
FORGOTTEN = 1e-12


def typical(high: Any, low: Any, close: Any) -> Any:
    """Return the typical price of a bar, (high + low + close) / 3, for floats or arrays."""
    return (high + low + close) / 3.0


#: the values of a bar that an indicator can read
BAR_INPUTS: dict[str, Callable[[Bar], float]] = {
    "open": lambda bar: bar.open,
    "high": lambda bar: bar.high,
    "low": lambda bar: bar.low,
    "close": lambda bar: bar.close,
    "volume": lambda bar: bar.volume,
    "typical": lambda bar: float(typical(bar.high, bar.low, bar.close)),
}


class Indicator(Generic[V]):
    """Base of all indicators. A custom indicator needs ``history``, ``step``, ``reset`` and a repr:

    class Momentum(Indicator[float]):
        pane = "Momentum"

        def __init__(self, length: int) -> None:
            self.history = length + 1
            self.reset()

        def reset(self) -> None:
            self.value = None
            self._closes: deque[float] = deque(maxlen=self.history)

        def step(self, close: float) -> float | None:
            self._closes.append(close)
            if len(self._closes) == self.history:
                self.value = close - self._closes[0]
            return self.value

        def __repr__(self) -> str:
            return f"Momentum({self.history - 1})"
    """

    __slots__ = ("history", "owner", "value")

    #: the bar values that the indicator reads: open, high, low, close, volume or typical; `attach` can override a
    #: single input
    inputs: tuple[str, ...] = ("close",)
    #: the pane in which charts draw the indicator: "price", or the name of another pane
    pane: str = "price"
    #: names of the indicator's values if there are several; they are the fields of ``value``
    fields: tuple[str, ...] = ()

    #: the latest result; None until ready
    value: V | None
    #: number of finished bars that the indicator needs to warm up; constant for each instance
    history: int
    #: the series that feeds the indicator; unset until it is attached
    owner: object

    @property
    def ready(self) -> bool:
        """True once there is a value."""
        return self.value is not None

    def step(self, *values: float) -> V | None:
        """Add one value for each of ``inputs`` and return the new ``value``. A subclass must define this method."""
        raise NotImplementedError(f"{type(self).__name__} has no step method")

    def update(self, *values: float | Bar) -> V | None:
        """Add the next values, in the order of ``inputs``, or the next `Bar`. Returns the new value, or None if not
        ready yet.
        """
        first = values[0] if values else None
        if isinstance(first, Bar):
            if len(values) > 1:
                raise ValueError(f"{self!r} takes one bar at a time, not {len(values)} values")
            return self.step(*[BAR_INPUTS[name](first) for name in self.inputs])
        if len(values) != len(self.inputs):
            raise ValueError(f"{self!r} takes {', '.join(self.inputs)}, or a bar, but got {len(values)} values")
        return self.step(*values)  # type: ignore[arg-type]

    def extend(self, *columns: npt.ArrayLike) -> Any:
        """Add many values at once, one array for each of ``inputs``, oldest first.

        Returns the result after each value: a float array, NaN until ready, or a named tuple of such arrays if there
        are several ``fields``. The results are bit-identical to those of calling `update` for each value.
        """
        return self._gather(self._steps(self._columns(columns)))

    def over(self, *columns: npt.ArrayLike) -> Any:
        """Return the results for complete arrays, starting with the first value. The indicator itself does not
        change.
        """
        fresh = copy(self)
        fresh.reset()
        return fresh.extend(*columns)

    def reset(self) -> None:
        """Clear the state."""
        raise NotImplementedError(f"{type(self).__name__} has no reset method")

    def _columns(self, columns: tuple[npt.ArrayLike, ...]) -> list[Array]:
        if len(columns) != len(self.inputs):
            raise ValueError(f"{self!r} takes {', '.join(self.inputs)}, but got {len(columns)} arrays")
        return columns_of(*columns)

    def _steps(self, columns: list[Array]) -> list[V | None]:
        step = self.step
        if len(columns) == 1:
            return [step(value) for value in columns[0].tolist()]
        return [step(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    def _gather(self, results: list[V | None]) -> Any:
        """Collect individual results into arrays."""
        if not self.fields:
            return np.array([math.nan if result is None else result for result in results], np.float64)
        blank = (math.nan,) * len(self.fields)
        rows = [blank if result is None else result for result in results]
        table = np.array(rows, np.float64).reshape(len(rows), len(self.fields))
        return self._named([table[:, i].copy() for i in range(len(self.fields))])

    def _named(self, arrays: list[Array]) -> Any:
        """Return the arrays of an indicator with several fields as a named tuple."""
        return tuple(arrays)


def check_length(name: str, length: int, what: str = "length") -> int:
    """Validate a length and return it. Raises ValueError naming the indicator if the length is invalid."""
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise ValueError(f"{name} needs a {what} that is a whole number of at least 1, not {length!r}")
    return length


def columns_of(*arrays: npt.ArrayLike) -> list[Array]:
    """Return the arrays as contiguous floats. Raises ValueError unless they are one-dimensional and of equal length."""
    columns = [np.ascontiguousarray(array, np.float64) for array in arrays]
    for column, array in zip(columns, arrays, strict=True):
        if np.ndim(array) != 1 or len(column) != len(columns[0]):
            raise ValueError(
                f"indicators take 1-dimensional arrays of equal length, not shapes {[np.shape(a) for a in arrays]}"
            )
    return columns


def values_to_forget(kept: float) -> int:
    """Return the number of values after which an average's initial value has a negligible weight, if each new value
    keeps the fraction ``kept`` of the previous average.
    """
    return math.ceil(math.log(FORGOTTEN) / math.log(kept)) if kept > 0 else 1
