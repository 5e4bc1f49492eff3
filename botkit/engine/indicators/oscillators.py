"""Oscillators, which measure the speed and direction of price moves."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

from botkit.engine.indicators.indicator import Array, Indicator, check_length, values_to_forget
from botkit.engine.indicators.moving_averages import EMA

T = TypeVar("T")


class RSI(Indicator[float]):
    """Wilder's relative strength index, 0 to 100; 50 if no price has moved.

    Ready after ``length`` changes, that is, length + 1 values; the first averages are plain means. ``history``: those
    values, plus as many bars as it takes for the weight of the first averages to fall below 1e-12: 388 bars for
    RSI(14). Starting later then changes the index by less than 1e-9, unless price moves shrink a hundredfold in the
    meantime.
    """

    __slots__ = ("_count", "_gain", "_last", "_loss", "length")
    pane = "RSI"

    def __init__(self, length: int = 14) -> None:
        self.length = check_length("RSI", length)
        self.history = length + 1 + values_to_forget((length - 1) / length)
        self.reset()

    def __repr__(self) -> str:
        return f"RSI({self.length})"

    def reset(self) -> None:
        """Clear the state."""
        self.value = None
        self._count = 0  # number of changes so far, up to length
        self._gain = self._loss = 0.0  # sums until ready, then averages
        self._last: float | None = None

    def step(self, value: float) -> float | None:  # type: ignore[override]
        """Add the next value and return the index, or None until there are length + 1 values."""
        last = self._last
        self._last = value
        if last is None:
            return None
        change = value - last
        gain, loss = (change, 0.0) if change > 0.0 else (0.0, -change)
        length = self.length
        if self.value is not None:
            gain = self._gain = (self._gain * (length - 1) + gain) / length
            loss = self._loss = (self._loss * (length - 1) + loss) / length
        else:
            self._count += 1
            self._gain += gain
            self._loss += loss
            if self._count < length:
                return None
            gain = self._gain = self._gain / length
            loss = self._loss = self._loss / length
        both = gain + loss
        # divide first, because 100.0 * gain / gain can exceed 100
        index = self.value = 100.0 * (gain / both) if both else 50.0
        return index


class Macd(NamedTuple, Generic[T]):
    """The value of `MACD`, in quote currency.

    ``line`` is the fast average minus the slow average, ``signal`` the average of the line, and ``histogram`` the line
    minus the signal.
    """

    line: T
    signal: T
    histogram: T


class MACD(Indicator[Macd[float]]):
    """Moving average convergence/divergence based on exponential averages. Each value is a `Macd`: line, signal and
    histogram.

    Each average starts from the plain mean of its own first values. Ready after slow + signal - 1 values. ``history``:
    the sum of the bars needed by the slow average and by the signal.
    """

    __slots__ = ("_fast", "_signal", "_slow", "fast", "signal", "slow")
    pane = "MACD"
    fields = Macd._fields

    def __init__(self, fast: int = 12, slow: int = 26, signal: int = 9) -> None:
        self.fast = check_length("MACD", fast, "fast length")
        self.slow = check_length("MACD", slow, "slow length")
        self.signal = check_length("MACD", signal, "signal length")
        if fast >= slow:
            raise ValueError(f"MACD needs a fast length below the slow length, not {fast} and {slow}")
        self.reset()
        self.history = self._slow.history + self._signal.history

    def __repr__(self) -> str:
        return f"MACD({self.fast}, {self.slow}, {self.signal})"

    def reset(self) -> None:
        """Clear the state."""
        self.value = None
        self._fast, self._slow, self._signal = EMA(self.fast), EMA(self.slow), EMA(self.signal)

    def step(self, value: float) -> Macd[float] | None:  # type: ignore[override]
        """Add the next value and return line, signal and histogram, or None until all three are known."""
        fast = self._fast.step(value)
        slow = self._slow.step(value)
        if slow is None or fast is None:
            return None
        line = fast - slow
        signal = self._signal.step(line)
        if signal is None:
            return None
        result = self.value = Macd(line, signal, line - signal)
        return result

    def _named(self, arrays: list[Array]) -> Any:
        return Macd(*arrays)
