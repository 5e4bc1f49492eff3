"""Moving averages."""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from botkit.engine.indicators.blocks import Blocks, WindowIndicator, from_the_back
from botkit.engine.indicators.indicator import Array, Indicator, check_length, values_to_forget


class SMA(WindowIndicator[float]):
    """Simple moving average of the last ``length`` values. ``history``: ``length`` bars."""

    __slots__ = ("_block", "_front", "_left", "_reference", "_sums")

    def __init__(self, length: int) -> None:
        self.length = self.history = check_length("SMA", length)
        self.reset()

    def __repr__(self) -> str:
        return f"SMA({self.length})"

    def reset(self) -> None:
        """Clear the state."""
        self.value = None
        # filled from the back, so the values run from newest to oldest
        self._block = [0.0] * self.length
        self._left = self.length  # number of unfilled positions in the block
        # sums of the last 0, 1, ... values of the previous block; None if there is no previous block
        self._sums: list[float] | None = None
        self._front = 0.0  # sum of the current block
        self._reference = 0.0

    def step(self, value: float) -> float | None:  # type: ignore[override]
        """Add the next value and return the average, or None until there are ``length`` values."""
        left = self._left - 1
        self._block[left] = value
        if not left:
            return self._turn(value)
        self._left = left
        reference = self._reference
        front = self._front = self._front + (value - reference)
        sums = self._sums
        if sums is None:
            return None
        mean = self.value = reference + (front + sums[left]) / self.length
        return mean

    def _turn(self, value: float) -> float:
        """Make the full current block the previous block."""
        length = self._left = self.length
        sums = self._sums = list(accumulate([v - value for v in self._block], initial=0.0))
        self._front = 0.0
        self._reference = value
        mean = self.value = value + sums[length] / length
        return mean

    def _place(self) -> int:
        return self.length - self._left

    def _block_before(self) -> list[Array] | None:
        return None if self._sums is None else [np.array(self._block[::-1])]

    def _over_blocks(self, arrays: list[Array]) -> Array:
        blocks = Blocks(arrays[0], self.length)
        return blocks.references + blocks.sums(blocks.prefix, blocks.suffix) / self.length

    def _resume(self, block: list[list[float]]) -> None:
        self._block = block[0][::-1]
        self._turn(block[0][-1])


class WMA(WindowIndicator[float]):
    """Linearly weighted average of the last ``length`` values: weight 1 for the oldest, ``length`` for the newest.

    ``history``: ``length`` bars.
    """

    __slots__ = ("_block", "_filled", "_front", "_reference", "_suffix", "_weighted")

    def __init__(self, length: int) -> None:
        self.length = self.history = check_length("WMA", length)
        self.reset()

    def __repr__(self) -> str:
        return f"WMA({self.length})"

    def reset(self) -> None:
        """Clear the state."""
        self.value = None
        self._block = [0.0] * self.length
        # weighted sum: weight 1 for the first value of the suffix, 2 for the next, ...
        self._suffix: list[float] | None = None
        self._filled = 0
        self._front = 0.0  # sum of the current block
        self._weighted = 0.0  # the weighted sum: weight 1 for the first value, 2 for the next, ...
        self._reference = 0.0

    def step(self, value: float) -> float | None:  # type: ignore[override]
        """Add the next value and return the average, or None until there are ``length`` values."""
        place = self._filled
        length = self.length
        self._block[place] = value
        place += 1
        reference = self._reference
        if place == length:
            return self._turn(value)
        self._filled = place
        distance = value - reference
        front = self._front = self._front + distance
        weighted = self._weighted = self._weighted + place * distance
        suffix = self._suffix
        if suffix is None:
            return None
        # `length - place` older values precede this block's values and have lower weights
        total = (length - place) * front + weighted + suffix[place]
        mean = self.value = reference + total / (length * (length + 1) // 2)
        return mean

    def _turn(self, value: float) -> float:
        plain = accumulate([v - value for v in reversed(self._block)], initial=0.0)
        # each prepended value raises the weight of all later ones by one, so the suffixes are sums of sums
        suffix = list(accumulate(plain))
        suffix.reverse()
        self._suffix = suffix
        self._filled = 0
        self._front = self._weighted = 0.0
        self._reference = value
        mean = self.value = value + suffix[0] / (self.length * (self.length + 1) // 2)
        return mean

    def _place(self) -> int:
        return self._filled

    def _block_before(self) -> list[Array] | None:
        return None if self._suffix is None else [np.array(self._block)]

    def _over_blocks(self, arrays: list[Array]) -> Array:
        length = self.length
        blocks = Blocks(arrays[0], length)
        places = np.arange(1.0, length + 1.0)
        prefix = (length - places) * np.cumsum(blocks.prefix, axis=1) + np.cumsum(places * blocks.prefix, axis=1)
        suffix = from_the_back(from_the_back(blocks.suffix))
        return blocks.references + blocks.join(prefix, suffix) / (length * (length + 1) // 2)

    def _resume(self, block: list[list[float]]) -> None:
        self._block = block[0]
        self._turn(block[0][-1])


class EMA(Indicator[float]):
    """Exponential average with weight 2 / (length + 1), starting from the mean of the first ``length`` values.

    ``history``: the bars of the first mean, plus as many bars as it takes for the weight of that mean to fall below
    1e-12: 148 bars for EMA(10). Starting later then changes the value by less than 1e-9 of the price.
    """

    __slots__ = ("_count", "_reference", "_sum", "_weight", "length")

    def __init__(self, length: int) -> None:
        self.length = check_length("EMA", length)
        self._weight = 2.0 / (length + 1.0)
        self.history = length + values_to_forget(1.0 - self._weight)
        self.reset()

    def __repr__(self) -> str:
        return f"EMA({self.length})"

    def reset(self) -> None:
        """Clear the state."""
        self.value = None
        self._count = 0
        # sum of the first values, as distances from the very first value, so that equal prices yield exactly that price
        self._sum = self._reference = 0.0

    def step(self, value: float) -> float | None:  # type: ignore[override]
        """Add the next value and return the average, or None until there are ``length`` values."""
        mean = self.value
        if mean is None:
            return self._begin(value)
        mean = self.value = mean + self._weight * (value - mean)
        return mean

    def _begin(self, value: float) -> float | None:
        if self._count == 0:
            self._reference = value
        self._count += 1
        self._sum += value - self._reference
        if self._count == self.length:
            self.value = self._reference + self._sum / self.length
        return self.value
