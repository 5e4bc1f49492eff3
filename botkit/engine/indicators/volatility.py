"""Volatility indicators, which measure the size of price swings."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from botkit.engine.indicators.blocks import Blocks, WindowIndicator
from botkit.engine.indicators.indicator import Array, Indicator, check_length, values_to_forget

T = TypeVar("T")


class Bands(NamedTuple, Generic[T]):
    """The value of `Bollinger`, in quote currency.

    ``middle`` is the mean of the window. ``lower`` and ``upper`` are an equal number of standard deviations below and
    above the mean.
    """

    lower: T
    middle: T
    upper: T


class Bollinger(WindowIndicator[Bands[float]]):
    """Bollinger bands: the mean of the last ``length`` values, and bands ``width`` standard deviations above and below
    it. Each value is a `Bands`.

    The standard deviation is that of the window itself (divided by length, not length - 1), as on most charts.
    ``history``: ``length`` bars.
    """

    __slots__ = ("_block", "_filled", "_front", "_reference", "_squares", "_suffix", "_suffix_squares", "width")
    fields = Bands._fields

    def __init__(self, length: int = 20, width: float = 2.0) -> None:
        self.length = self.history = check_length("Bollinger", length)
        if isinstance(width, bool) or not isinstance(width, (int, float)) or not 0 < width < math.inf:
            raise ValueError(f"Bollinger needs a width above 0 in standard deviations, not {width!r}")
        self.width = float(width)
        self.reset()

    def __repr__(self) -> str:
        return f"Bollinger({self.length}, {self.width:g})"

    def reset(self) -> None:
        """Clear the state."""
        self.value = None
        self._block = [0.0] * self.length
        self._suffix: list[float] = []  # sums of the previous block; empty if there is no previous block
        self._suffix_squares: list[float] = []
        self._filled = 0
        self._front = self._squares = 0.0
        self._reference = 0.0

    def step(self, value: float) -> Bands[float] | None:  # type: ignore[override]
        """Add the next value and return the bands, or None until there are ``length`` values."""
        place = self._filled
        self._block[place] = value
        place += 1
        if place == self.length:
            return self._turn(value)
        self._filled = place
        distance = value - self._reference
        self._front += distance
        self._squares += distance * distance
        if not self._suffix:
            return None
        return self._bands(self._front + self._suffix[place], self._squares + self._suffix_squares[place])

    def _turn(self, value: float) -> Bands[float]:
        distances = [v - value for v in reversed(self._block)]
        self._suffix = list(accumulate(distances, initial=0.0))
        self._suffix_squares = list(accumulate([d * d for d in distances], initial=0.0))
        self._suffix.reverse()
        self._suffix_squares.reverse()
        self._filled = 0
        self._front = self._squares = 0.0
        self._reference = value
        return self._bands(self._suffix[0], self._suffix_squares[0])

    def _bands(self, total: float, squares: float) -> Bands[float]:
        length = self.length
        middle = self._reference + total / length
        # numerical cancellation is harmless here, because the reference lies in the window: the sum of squares is at
        # most length + 1 times the sum of squared deviations
        variance = (squares - total * total / length) / length
        reach = self.width * math.sqrt(variance) if variance > 0.0 else 0.0
        bands = self.value = Bands(middle - reach, middle, middle + reach)
        return bands

    def _named(self, arrays: list[Array]) -> Any:
        return Bands(*arrays)

    def _place(self) -> int:
        return self._filled

    def _block_before(self) -> list[Array] | None:
        return [np.array(self._block)] if self._suffix else None

    def _over_blocks(self, arrays: list[Array]) -> Bands[Array]:
        length = self.length
        blocks = Blocks(arrays[0], length)
        totals = blocks.sums(blocks.prefix, blocks.suffix)
        squares = blocks.sums(blocks.prefix * blocks.prefix, blocks.suffix * blocks.suffix)
        middle = blocks.references + totals / length
        variance = (squares - totals * totals / length) / length
        reach = self.width * np.sqrt(np.maximum(variance, 0.0))
        return Bands(middle - reach, middle, middle + reach)

    def _resume(self, block: list[list[float]]) -> None:
        self._block = block[0]
        self._turn(block[0][-1])


class ATR(Indicator[float]):
    """Wilder's average true range, in quote currency. The first bar has no previous close, so its range is high minus
    low.

    Reads high, low and close. Ready after ``length`` bars; the first average is a plain mean. ``history``: those bars,
    plus as many as it takes for the weight of the first average to fall below 1e-12: 387 bars for ATR(14).
    """

    __slots__ = ("_count", "_last", "_mean", "length")
    inputs = ("high", "low", "close")
    pane = "ATR"

    def __init__(self, length: int = 14) -> None:
        self.length = check_length("ATR", length)
        self.history = length + values_to_forget((length - 1) / length)
        self.reset()

    def __repr__(self) -> str:
        return f"ATR({self.length})"

    def reset(self) -> None:
        """Clear the state."""
        self.value = None
        self._count = 0
        self._mean = 0.0  # the sum of the ranges until ready
        self._last: float | None = None  # close of the previous bar

    def step(self, high: float, low: float, close: float) -> float | None:  # type: ignore[override]
        """Add the next bar and return the average, or None until there are ``length`` bars."""
        last = self._last
        self._last = close
        if last is not None:  # equals max(high - low, |high - last|, |low - last|) for a bar with low <= high
            high = max(high, last)
            low = min(low, last)
        length = self.length
        if self.value is not None:
            mean = self._mean = self.value = (self._mean * (length - 1) + (high - low)) / length
            return mean
        self._count += 1
        self._mean += high - low
        if self._count == length:
            self._mean = self.value = self._mean / length
        return self.value
