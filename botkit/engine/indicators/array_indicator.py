"""Wraps any function that maps arrays to arrays as an indicator."""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from botkit.engine.indicators.indicator import BAR_INPUTS, Array, Indicator, check_length


class ArrayIndicator(Indicator[Any]):
    """Wraps any function that maps arrays to arrays, such as a TA-Lib or pandas function, as an indicator.

        rsi = ArrayIndicator(talib.RSI, 100, timeperiod=14)
        atr = ArrayIndicator(talib.ATR, 100, inputs=("high", "low", "close"), timeperiod=14)
        macd = ArrayIndicator(talib.MACD, 200, fields=("line", "signal", "histogram"))
        median = ArrayIndicator(lambda close: pd.Series(close).rolling(15).median(), 15, pane="price")

    ``function`` receives ``options`` and, for each input, a float array of the last ``window`` values, oldest first.
    The last element of its result is the indicator's value (a single number also works). A function that returns
    several arrays needs ``fields`` to name them; ``value`` is then a named tuple. The function is called for every bar,
    so it should be fast. A function with infinite memory, such as an exponential average, receives only the last
    ``window`` values, so choose a long enough window. ``history``: ``window`` bars.

    ``pane`` is the pane in which charts draw the indicator: "price" or another name, by default the function's name.
    """

    __slots__ = ("_buffers", "_count", "_tuple", "fields", "function", "inputs", "options", "pane", "window")

    def __init__(
        self,
        function: Callable[..., Any],
        window: int,
        *,
        inputs: Sequence[str] = ("close",),
        fields: Sequence[str] = (),
        pane: str | None = None,
        **options: Any,
    ) -> None:
        if not callable(function):
            raise ValueError(f"ArrayIndicator needs a function from arrays to arrays, not {function!r}")
        unknown = [name for name in inputs if name not in BAR_INPUTS]
        if isinstance(inputs, str) or not inputs or unknown:
            raise ValueError(
                f"the inputs of an ArrayIndicator must be names such as ('high', 'low'), chosen from "
                f"{', '.join(BAR_INPUTS)}"
            )
        self.function = function
        self.window = self.history = check_length("ArrayIndicator", window, "window")
        self.inputs = tuple(inputs)
        self.fields = tuple(fields)
        self._tuple: Any = namedtuple("Values", self.fields) if self.fields else None
        self.options = options
        self.pane = self._name() if pane is None else pane
        self.reset()

    def _name(self) -> str:
        function = self.function.func if isinstance(self.function, partial) else self.function
        return str(getattr(function, "__name__", type(function).__name__))

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"{self._name()}({self.window}{options})"

    def reset(self) -> None:
        """Clear the state."""
        self.value = None
        # twice the window length, so that the last values are always contiguous and rarely have to be moved
        self._buffers = np.zeros((len(self.inputs), 2 * self.window))
        self._count = 0

    def step(self, *values: float) -> Any:
        """Add the next value of each input. Returns the last element of the function's result, or None if that element
        is NaN.
        """
        buffers, window = self._buffers, self.window
        if self._count == 2 * window:
            buffers[:, : window - 1] = buffers[:, window + 1 :]
            self._count = window - 1
        buffers[:, self._count] = values
        self._count += 1
        if self._count >= window:
            self.value = self._call(buffers[:, self._count - window : self._count])
        return self.value

    def _call(self, rows: npt.NDArray[np.float64]) -> Any:
        # copies, because the function may modify or keep its arguments
        result = self.function(*(row.copy() for row in rows), **self.options)
        if not isinstance(result, tuple):
            result = (result,)
        if len(result) != max(1, len(self.fields)):
            raise ValueError(
                f"the function of {self!r} returned {len(result)} arrays: name them, as in fields=('line', 'signal')"
            )
        values = [_last(part) for part in result]
        if any(math.isnan(value) for value in values):
            return None
        return self._tuple(*values) if self.fields else values[0]

    def _named(self, arrays: list[Array]) -> Any:
        return self._tuple(*arrays)


def _last(result: Any) -> float:
    array = np.asarray(result, np.float64)
    if array.size == 0:
        raise ValueError("the function of an ArrayIndicator returned an empty array")
    return float(array.reshape(-1)[-1])
