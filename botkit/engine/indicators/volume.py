"""Volume-weighted price indicators."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from botkit.engine.indicators.blocks import Blocks, WindowIndicator
from botkit.engine.indicators.indicator import Array, check_length


class VWAP(WindowIndicator[float]):
    """Volume-weighted average price of the last ``length`` rows or, without a length, of all rows since `reset`.

    Reads a price and a volume. When given a bar, it uses the typical price (high + low + close) / 3 and the bar's
    volume. If there were no trades, the value is the latest price. ``history``: ``length`` bars, or none without a
    length, since the strategy then decides where the average starts.
    """

    __slots__ = ("_block", "_filled", "_reference", "_suffix", "_value", "_volume", "is_cumulative")
    inputs = ("typical", "volume")

    def __init__(self, length: int | None = None) -> None:
        self.is_cumulative = length is None
        # a cumulative VWAP has no blocks
        self.length = 0 if length is None else check_length("VWAP", length)
        self.history = self.length
        self.reset()

    def __repr__(self) -> str:
        return "VWAP()" if self.is_cumulative else f"VWAP({self.length})"

    def reset(self) -> None:
        """Start a new average, for example at the start of a session."""
        self.value = None
        self._block = [(0.0, 0.0)] * self.length
        self._suffix: list[tuple[float, float]] = []
        self._filled = 0
        self._value = self._volume = 0.0  # sums over the block: distance from the reference times volume, and volume
        self._reference = 0.0

    def step(self, price: float, volume: float) -> float | None:  # type: ignore[override]
        """Add the next row and return the average, or None until there are ``length`` rows."""
        place = self._filled
        if self.is_cumulative:
            if place == 0:
                self._reference = price
                self._filled = 1
            self._value += (price - self._reference) * volume
            self._volume += volume
            return self._average(price, self._value, self._volume)
        self._block[place] = (price, volume)
        place += 1
        if place == self.length:
            return self._turn(price)
        self._filled = place
        self._value += (price - self._reference) * volume
        self._volume += volume
        if not self._suffix:
            return None
        value, amount = self._suffix[place]
        return self._average(price, self._value + value, self._volume + amount)

    def _turn(self, price: float) -> float:
        block = self._block[::-1]
        values = accumulate([(p - price) * v for p, v in block], initial=0.0)
        self._suffix = list(zip(values, accumulate([v for _, v in block], initial=0.0), strict=True))
        self._suffix.reverse()
        self._filled = 0
        self._value = self._volume = 0.0
        self._reference = price
        return self._average(price, *self._suffix[0])

    def _average(self, price: float, value: float, volume: float) -> float:
        average = self.value = self._reference + value / volume if volume else price
        return average

    def extend(self, *columns: npt.ArrayLike) -> Any:
        """Add many rows, as `Indicator.extend` does, using numpy."""
        if not self.is_cumulative:
            return super().extend(*columns)
        prices, volumes = self._columns(columns)
        if not len(prices):
            return prices
        if self._filled == 0:
            self._reference = float(prices[0])
            self._filled = 1
        distances = np.concatenate(([self._value], (prices - self._reference) * volumes))
        values = np.cumsum(distances)[1:]
        amounts = np.cumsum(np.concatenate(([self._volume], volumes)))[1:]
        results = _averages(prices, self._reference, values, amounts)
        self._value, self._volume, self.value = float(values[-1]), float(amounts[-1]), float(results[-1])
        return results

    def _place(self) -> int:
        return self._filled

    def _block_before(self) -> list[Array] | None:
        return list(np.array(self._block).T) if self._suffix else None

    def _over_blocks(self, arrays: list[Array]) -> Array:
        prices, volumes = arrays
        blocks = Blocks(prices, self.length)
        by_block = volumes.reshape(blocks.prefix.shape)
        values = blocks.sums(blocks.prefix * by_block, blocks.suffix * by_block)
        return _averages(prices, blocks.references, values, blocks.sums(by_block, by_block))

    def _resume(self, block: list[list[float]]) -> None:
        self._block = list(zip(*block, strict=True))
        self._turn(block[0][-1])


def _averages(prices: Array, references: Any, values: Array, amounts: Array) -> Array:
    traded = np.where(amounts == 0.0, 1.0, amounts)
    return np.where(amounts == 0.0, prices, references + values / traded)
