"""Any function from arrays to arrays as an indicator."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from botkit.engine.indicators.rolling import Array
from botkit.engine.indicators.standard import Indicator, check_length, columns_of


class ArrayIndicator(Indicator[float | tuple[float, ...]]):
    """Makes an indicator of any function from arrays to arrays, such as those of TA-Lib or pandas.

        rsi = ArrayIndicator(talib.RSI, 100, timeperiod=14)
        atr = ArrayIndicator(talib.ATR, 100, inputs=3, timeperiod=14)
        median = ArrayIndicator(lambda close: pd.Series(close).rolling(15).median(), 15)

    ``function`` gets ``inputs`` float arrays of the last ``window`` values, oldest first, and ``options``; the last
    element of what it returns is the value (of each array where it returns a tuple; a single number will do). It is
    called at every update, so it should be quick. A function that remembers more than a window, such as an
    exponential average, gives what it gives for those ``window`` values: choose the window long enough.

    ``over`` calls it for every window too, for equal results; where those do not matter, calling the function itself
    on the whole array is quicker.
    """

    __slots__ = ("_buffers", "_count", "function", "inputs", "options", "window")

    def __init__(self, function: Callable[..., Any], window: int, *, inputs: int = 1, **options: Any) -> None:
        if not callable(function):
            raise ValueError(f"ArrayIndicator needs a function from arrays to arrays, not {function!r}")
        self.function = function
        self.window = check_length("ArrayIndicator", window, "window")
        self.inputs = check_length("ArrayIndicator", inputs, "number of inputs")
        self.options = options
        self.value = None
        # twice the window, so that the last ones always stand in one piece, and moving them is rare
        self._buffers = np.zeros((inputs, 2 * window))
        self._count = 0

    def update(self, *values: float) -> float | tuple[float, ...] | None:
        """Take in the next value of each input; the function's last result, None while that is NaN."""
        if len(values) != self.inputs:
            raise ValueError(f"this indicator takes {self.inputs} values at a time, not {len(values)}")
        buffers, window = self._buffers, self.window
        if self._count == 2 * window:
            buffers[:, : window - 1] = buffers[:, window + 1 :]
            self._count = window - 1
        buffers[:, self._count] = values
        self._count += 1
        if self._count >= window:
            self.value = self._call(buffers[:, self._count - window : self._count])
        return self.value

    def _call(self, rows: npt.NDArray[np.float64]) -> float | tuple[float, ...] | None:
        # copies: the function may write into what it gets, or keep it
        result = self.function(*(row.copy() for row in rows), **self.options)
        if isinstance(result, tuple):
            values = tuple(_last(part) for part in result)
            return None if any(math.isnan(value) for value in values) else values
        value = _last(result)
        return None if math.isnan(value) else value

    def over(self, *arrays: npt.ArrayLike) -> Array | tuple[Array, ...]:
        """The results over arrays, NaN until ready; a tuple of arrays where the function returns a tuple."""
        if len(arrays) != self.inputs:
            raise ValueError(f"this indicator takes {self.inputs} arrays, not {len(arrays)}")
        columns = np.array(columns_of(*arrays))
        count = columns.shape[1]
        results = [self._call(columns[:, stop - self.window : stop]) for stop in range(self.window, count + 1)]
        width = next((len(result) for result in results if isinstance(result, tuple)), None)
        blank: Any = math.nan if width is None else (math.nan,) * width
        rows = [blank] * (count - len(results)) + [blank if result is None else result for result in results]
        table = np.array(rows, np.float64)
        return table if width is None else tuple(table[:, i].copy() for i in range(width))


def _last(result: Any) -> float:
    array = np.asarray(result, np.float64)
    if array.size == 0:
        raise ValueError("the function of an ArrayIndicator returned an empty array")
    return float(array.reshape(-1)[-1])
