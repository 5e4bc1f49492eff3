"""Indicators: each usable step by step (``update``) and over an array (``over``), with equal results to the last bit.

    fast = SMA(10)
    value = fast.update(bar.close)        # None until 10 values were seen; also fast.value, fast.ready
    line = SMA(10).over(series.close)     # an array of the same length, NaN until ready

``over`` starts afresh and leaves the indicator's own state alone. Only ``+ - * /`` and ``sqrt`` are used, in one fixed
order, so results are equal on any machine. (That also rules out ``sum()``, which adds floats differently since Python
3.12; and whoever compiles this file must keep the compiler from fusing multiplications and additions:
``-ffp-contract=off``.)

Windows are summed in blocks, not by adding the new value and taking the old one away: that drifts, and one huge value
would leave its rounding error behind for ever. Here every result is a sum over its own window alone, taken relative to
a value inside it. A window of equal prices gives exactly that price, so two averages over a flat market never "cross".
"""

from __future__ import annotations

import math
from collections import deque
from itertools import accumulate
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from botkit.engine.indicators.rolling import Array, Blocks, from_the_back, rolling_extreme

T = TypeVar("T")
V = TypeVar("V")


def check_length(name: str, length: int, what: str = "length") -> int:
    """The length itself, or ValueError that names the indicator."""
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise ValueError(f"{name} needs a whole {what} of at least 1, not {length!r}")
    return length


def columns_of(*arrays: npt.ArrayLike) -> list[Array]:
    """The arrays as contiguous floats; ValueError unless they are 1-dimensional and equally long."""
    columns = [np.ascontiguousarray(array, np.float64) for array in arrays]
    for column, array in zip(columns, arrays, strict=True):
        if np.ndim(array) != 1 or len(column) != len(columns[0]):
            raise ValueError(
                f"indicators take 1-dimensional arrays of equal length, not shapes {[np.shape(a) for a in arrays]}"
            )
    return columns


class Indicator(Generic[V]):
    """What all indicators share. ``value`` is the latest result, None until there are enough values."""

    __slots__ = ("value",)
    value: V | None

    @property
    def ready(self) -> bool:
        """True once there is a value."""
        return self.value is not None


class SMA(Indicator[float]):
    """Simple moving average of the last ``length`` values."""

    __slots__ = ("_block", "_front", "_left", "_reference", "_sums", "length")

    def __init__(self, length: int) -> None:
        self.length = check_length("SMA", length)
        self.value = None
        # filled from the back, so that it reads from the newest value to the oldest
        self._block = [0.0] * length
        self._left = length  # places of the block that wait for a value
        self._sums: list[float] | None = None  # of the last 0, 1, ... values of the block before; None before the first
        self._front = 0.0  # sum of the present block
        self._reference = 0.0

    def update(self, value: float) -> float | None:
        """Take in the next value; the average, or None until ``length`` values were seen."""
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
        """The block is full and becomes the one before."""
        length = self._left = self.length
        sums = self._sums = list(accumulate([v - value for v in self._block], initial=0.0))
        self._front = 0.0
        self._reference = value
        mean = self.value = value + sums[length] / length
        return mean

    def over(self, values: npt.ArrayLike) -> Array:
        """The averages over an array."""
        (array,) = columns_of(values)
        blocks = Blocks(array, self.length)
        return blocks.references + blocks.sums(blocks.prefix, blocks.suffix) / self.length


class WMA(Indicator[float]):
    """Linearly weighted average of the last ``length`` values: weight 1 for the oldest, ``length`` for the newest."""

    __slots__ = ("_block", "_front", "_place", "_reference", "_suffix", "_weighted", "length")

    def __init__(self, length: int) -> None:
        self.length = check_length("WMA", length)
        self.value = None
        self._block = [0.0] * length
        self._suffix: list[float] | None = None  # weighted: 1 for the first value of the suffix, 2 for the next...
        self._place = 0
        self._front = 0.0  # sum of the present block
        self._weighted = 0.0  # the same with weight 1 for its first value, 2 for the next...
        self._reference = 0.0

    def update(self, value: float) -> float | None:
        """Take in the next value; the average, or None until ``length`` values were seen."""
        place = self._place
        length = self.length
        self._block[place] = value
        place += 1
        reference = self._reference
        if place == length:
            return self._turn(value)
        self._place = place
        distance = value - reference
        front = self._front = self._front + distance
        weighted = self._weighted = self._weighted + place * distance
        suffix = self._suffix
        if suffix is None:
            return None
        # the values of this block stand behind length - place older ones, which have the lower weights
        total = (length - place) * front + weighted + suffix[place]
        mean = self.value = reference + total / (length * (length + 1) // 2)
        return mean

    def _turn(self, value: float) -> float:
        plain = accumulate([v - value for v in reversed(self._block)], initial=0.0)
        # one value more in front raises the weight of all behind it by one: sums of sums
        suffix = list(accumulate(plain))
        suffix.reverse()
        self._suffix = suffix
        self._place = 0
        self._front = self._weighted = 0.0
        self._reference = value
        mean = self.value = value + suffix[0] / (self.length * (self.length + 1) // 2)
        return mean

    def over(self, values: npt.ArrayLike) -> Array:
        """The averages over an array."""
        (array,) = columns_of(values)
        length = self.length
        blocks = Blocks(array, length)
        places = np.arange(1.0, length + 1.0)
        prefix = (length - places) * np.cumsum(blocks.prefix, axis=1) + np.cumsum(places * blocks.prefix, axis=1)
        suffix = from_the_back(from_the_back(blocks.suffix))
        return blocks.references + blocks.join(prefix, suffix) / (length * (length + 1) // 2)


class EMA(Indicator[float]):
    """Exponential average with weight 2 / (length + 1), beginning with the mean of the first ``length`` values."""

    __slots__ = ("_count", "_reference", "_sum", "_weight", "length")

    def __init__(self, length: int) -> None:
        self.length = check_length("EMA", length)
        self.value = None
        self._weight = 2.0 / (length + 1.0)
        self._count = 0
        # of the first values, as distances from the very first: equal prices give exactly that price
        self._sum = self._reference = 0.0

    def update(self, value: float) -> float | None:
        """Take in the next value; the average, or None until ``length`` values were seen."""
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

    def over(self, values: npt.ArrayLike) -> Array:
        """The averages over an array."""
        return _replay(EMA(self.length), *columns_of(values))


def _replay(fresh: Any, *columns: Array) -> Array:
    """The results of an indicator over columns, where each depends on the one before: nothing for numpy."""
    update = fresh.update
    results = [update(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    return np.array([math.nan if result is None else result for result in results], np.float64)


# -- momentum ---------------------------------------------------------------------------------------------------------


class RSI(Indicator[float]):
    """Relative strength index after Wilder, 0 to 100; 50 where no price has moved at all.

    Ready after ``length`` changes, that is length + 1 values; the first averages are plain means.
    """

    __slots__ = ("_count", "_gain", "_last", "_loss", "length")

    def __init__(self, length: int = 14) -> None:
        self.length = check_length("RSI", length)
        self.value = None
        self._count = 0  # changes seen, up to length
        self._gain = self._loss = 0.0  # sums until ready, averages from then on
        self._last: float | None = None

    def update(self, value: float) -> float | None:
        """Take in the next value; the index, or None until length + 1 values were seen."""
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
        # the share first: 100.0 * gain / gain may come out above 100
        index = self.value = 100.0 * (gain / both) if both else 50.0
        return index

    def over(self, values: npt.ArrayLike) -> Array:
        """The index over an array."""
        return _replay(RSI(self.length), *columns_of(values))


class MACDValue(NamedTuple, Generic[T]):
    """``line`` is the fast average less the slow one, ``signal`` its own average, ``histogram`` line less signal."""

    line: T
    signal: T
    histogram: T


class MACD(Indicator[MACDValue[float]]):
    """Moving average convergence/divergence of exponential averages.

    Each average begins with a plain mean of its own first values; ready after slow + signal - 1 values.
    """

    __slots__ = ("_fast", "_signal", "_slow", "fast", "signal", "slow")

    def __init__(self, fast: int = 12, slow: int = 26, signal: int = 9) -> None:
        self.fast = check_length("MACD", fast, "fast length")
        self.slow = check_length("MACD", slow, "slow length")
        self.signal = check_length("MACD", signal, "signal length")
        if fast >= slow:
            raise ValueError(f"MACD needs a fast length below its slow one, not {fast} and {slow}")
        self.value = None
        self._fast, self._slow, self._signal = EMA(fast), EMA(slow), EMA(signal)

    def update(self, value: float) -> MACDValue[float] | None:
        """Take in the next value; line, signal and histogram, or None until all three are known."""
        fast = self._fast.update(value)
        slow = self._slow.update(value)
        if slow is None or fast is None:
            return None
        line = fast - slow
        signal = self._signal.update(line)
        if signal is None:
            return None
        result = self.value = MACDValue(line, signal, line - signal)
        return result

    def over(self, values: npt.ArrayLike) -> MACDValue[Array]:
        """Line, signal and histogram over an array, all three NaN until all are known."""
        (array,) = columns_of(values)
        line = EMA(self.fast).over(array) - EMA(self.slow).over(array)
        signal = np.full(len(array), np.nan)
        signal[self.slow - 1 :] = EMA(self.signal).over(line[self.slow - 1 :])
        line[np.isnan(signal)] = np.nan
        return MACDValue(line, signal, line - signal)


# -- volatility -------------------------------------------------------------------------------------------------------


class Bands(NamedTuple, Generic[T]):
    """The mean of a window, and as many standard deviations below and above it."""

    lower: T
    middle: T
    upper: T


class Bollinger(Indicator[Bands[float]]):
    """Bollinger bands: the mean of the last ``length`` values, and ``width`` standard deviations around it.

    The standard deviation is that of the window itself (divided by length, not by length - 1), as charts draw it.
    """

    __slots__ = (
        "_block",
        "_front",
        "_place",
        "_reference",
        "_squares",
        "_suffix",
        "_suffix_squares",
        "length",
        "width",
    )

    def __init__(self, length: int = 20, width: float = 2.0) -> None:
        self.length = check_length("Bollinger", length)
        if isinstance(width, bool) or not isinstance(width, (int, float)) or not 0 < width < math.inf:
            raise ValueError(f"Bollinger needs a width above 0 in standard deviations, not {width!r}")
        self.width = float(width)
        self.value = None
        self._block = [0.0] * length
        self._suffix: list[float] = []  # sums of the block before; empty while there is none
        self._suffix_squares: list[float] = []
        self._place = 0
        self._front = self._squares = 0.0
        self._reference = 0.0

    def update(self, value: float) -> Bands[float] | None:
        """Take in the next value; the bands, or None until ``length`` values were seen."""
        place = self._place
        self._block[place] = value
        place += 1
        if place == self.length:
            return self._turn(value)
        self._place = place
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
        self._place = 0
        self._front = self._squares = 0.0
        self._reference = value
        return self._bands(self._suffix[0], self._suffix_squares[0])

    def _bands(self, total: float, squares: float) -> Bands[float]:
        length = self.length
        middle = self._reference + total / length
        # no cancellation to fear: the reference lies in the window, so the squares are at most length + 1 times the
        # variance's share of them
        variance = (squares - total * total / length) / length
        reach = self.width * math.sqrt(variance) if variance > 0.0 else 0.0
        bands = self.value = Bands(middle - reach, middle, middle + reach)
        return bands

    def over(self, values: npt.ArrayLike) -> Bands[Array]:
        """The bands over an array."""
        (array,) = columns_of(values)
        length = self.length
        blocks = Blocks(array, length)
        totals = blocks.sums(blocks.prefix, blocks.suffix)
        squares = blocks.sums(blocks.prefix * blocks.prefix, blocks.suffix * blocks.suffix)
        middle = blocks.references + totals / length
        variance = (squares - totals * totals / length) / length
        reach = self.width * np.sqrt(np.maximum(variance, 0.0))
        return Bands(middle - reach, middle, middle + reach)


class ATR(Indicator[float]):
    """Average true range after Wilder. The first bar has no close before it; its range is high less low.

    Ready after ``length`` bars; the first average is a plain mean.
    """

    __slots__ = ("_count", "_last", "_mean", "length")

    def __init__(self, length: int = 14) -> None:
        self.length = check_length("ATR", length)
        self.value = None
        self._count = 0
        self._mean = 0.0  # a sum until ready
        self._last: float | None = None  # close of the bar before

    def update(self, high: float, low: float, close: float) -> float | None:
        """Take in the next bar; the average, or None until ``length`` bars were seen."""
        last = self._last
        self._last = close
        if last is not None:  # the same as max(high - low, |high - last|, |low - last|) for a bar with low <= high
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

    def over(self, high: npt.ArrayLike, low: npt.ArrayLike, close: npt.ArrayLike) -> Array:
        """The averages over three arrays."""
        return _replay(ATR(self.length), *columns_of(high, low, close))


# -- extremes ---------------------------------------------------------------------------------------------------------


class RollingHigh(Indicator[float]):
    """The highest of the last ``length`` values."""

    __slots__ = ("_candidates", "_count", "length")

    def __init__(self, length: int) -> None:
        self.length = check_length("RollingHigh", length)
        self.value = None
        # (place, value), falling: a value behind a higher one may still become the highest once that has left
        self._candidates: deque[tuple[int, float]] = deque()
        self._count = 0

    def update(self, value: float) -> float | None:
        """Take in the next value; the highest, or None until ``length`` values were seen."""
        candidates = self._candidates
        count = self._count
        while candidates and candidates[-1][1] <= value:
            candidates.pop()
        candidates.append((count, value))
        count = self._count = count + 1
        if candidates[0][0] < count - self.length:
            candidates.popleft()
        if count >= self.length:
            self.value = candidates[0][1]
        return self.value

    def over(self, values: npt.ArrayLike) -> Array:
        """The highest values over an array."""
        return rolling_extreme(np.maximum, columns_of(values)[0], self.length)


class RollingLow(Indicator[float]):
    """The lowest of the last ``length`` values."""

    __slots__ = ("_candidates", "_count", "length")

    def __init__(self, length: int) -> None:
        self.length = check_length("RollingLow", length)
        self.value = None
        self._candidates: deque[tuple[int, float]] = deque()  # (place, value), rising
        self._count = 0

    def update(self, value: float) -> float | None:
        """Take in the next value; the lowest, or None until ``length`` values were seen."""
        candidates = self._candidates
        count = self._count
        while candidates and candidates[-1][1] >= value:
            candidates.pop()
        candidates.append((count, value))
        count = self._count = count + 1
        if candidates[0][0] < count - self.length:
            candidates.popleft()
        if count >= self.length:
            self.value = candidates[0][1]
        return self.value

    def over(self, values: npt.ArrayLike) -> Array:
        """The lowest values over an array."""
        return rolling_extreme(np.minimum, columns_of(values)[0], self.length)


# -- volume -----------------------------------------------------------------------------------------------------------


class VWAP(Indicator[float]):
    """Average price weighted by volume: of the last ``length`` rows, or without a length of all since `reset`.

    Where nothing traded it is the latest price. Of bars, (high + low + close) / 3 is the usual price.
    """

    __slots__ = ("_block", "_place", "_reference", "_suffix", "_value", "_volume", "length")

    def __init__(self, length: int | None = None) -> None:
        self.length = None if length is None else check_length("VWAP", length)
        self.reset()

    def reset(self) -> None:
        """Begin anew, as at the start of a session."""
        self.value = None
        self._block = [(0.0, 0.0)] * (self.length or 0)
        self._suffix: list[tuple[float, float]] = []
        self._place = 0
        self._value = self._volume = 0.0  # of the present block: distance from the reference x volume, and volume
        self._reference = 0.0

    def update(self, price: float, volume: float) -> float | None:
        """Take in the next row; the average, or None until ``length`` rows were seen."""
        place = self._place
        length = self.length
        if length is None:
            if place == 0:
                self._reference = price
                self._place = 1
            self._value += (price - self._reference) * volume
            self._volume += volume
            return self._average(price, self._value, self._volume)
        self._block[place] = (price, volume)
        place += 1
        if place == length:
            return self._turn(price)
        self._place = place
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
        self._place = 0
        self._value = self._volume = 0.0
        self._reference = price
        return self._average(price, *self._suffix[0])

    def _average(self, price: float, value: float, volume: float) -> float:
        average = self.value = self._reference + value / volume if volume else price
        return average

    def over(self, price: npt.ArrayLike, volume: npt.ArrayLike) -> Array:
        """The averages over two arrays."""
        prices, volumes = columns_of(price, volume)
        if not len(prices):
            return prices
        if self.length is None:
            references: Any = prices[0]
            values, amounts = np.cumsum((prices - references) * volumes), np.cumsum(volumes)
        else:
            blocks = Blocks(prices, self.length)
            padded = np.zeros(blocks.prefix.size)
            padded[: len(volumes)] = volumes
            by_block = padded.reshape(blocks.prefix.shape)
            references = blocks.references
            values = blocks.sums(blocks.prefix * by_block, blocks.suffix * by_block)
            amounts = blocks.sums(by_block, by_block)
        traded = np.where(amounts == 0.0, 1.0, amounts)
        return np.where(amounts == 0.0, prices, references + values / traded)
