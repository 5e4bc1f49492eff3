"""Reduces millions of rows to a few points for a chart, without losing extremes.

Rows arrive in slices, in chronological order, and are grouped into buckets of equal duration, so that the chart's time
axis is linear. As the run grows, adjacent buckets are merged in pairs. This bounds memory even though the length of the
run is not known in advance. A bucket without rows repeats the previous value.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from botkit.backtesting.spilled_columns import SpilledColumns, Values
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.pairs import Pair
from botkit.model.results import Curve, PriceCandles

FloatArray = npt.NDArray[np.float64]
TimeArray = npt.NDArray[np.int64]

# Each duration is a multiple of the previous one, so that completed buckets can be merged. Beyond the last entry,
# durations double.
_LADDER_S = (1, 5, 15, 30, 60, 300, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400)


def _next_width(width: Nanos) -> Nanos:
    for seconds in _LADDER_S:
        if seconds * NS_PER_S > width:
            return seconds * NS_PER_S
    return 2 * width


def _wide_enough(width: Nanos, first: Nanos, last: Nanos, buckets_max: int) -> Nanos:
    while last // width - first // width >= buckets_max:
        width = _next_width(width)
    return width


def _cut(times: TimeArray, width: Nanos) -> tuple[TimeArray, TimeArray]:
    """Return the index of each bucket that contains rows, and the index of each such bucket's first row."""
    first, last = int(times[0]) // width, int(times[-1]) // width
    if first == last:
        return np.array([first], np.int64), np.zeros(1, np.int64)
    edges = np.arange(first + 1, last + 1, dtype=np.int64) * width
    starts = np.concatenate((np.zeros(1, np.int64), np.searchsorted(times, edges)))
    filled = np.flatnonzero(np.diff(starts, append=len(times)))
    return filled + first, starts[filled]


class CurveSampler:
    """Samples a curve: keeps each bucket's lowest and highest values with their times, and the run's first and last
    values.

    ``curve()`` returns at most ``2 * buckets_max + 2`` points.
    """

    __slots__ = ("_buckets", "_buckets_max", "_first", "_last", "_width")

    def __init__(self, buckets_max: int = 1_999) -> None:
        self._buckets_max = buckets_max
        self._width = NS_PER_S
        self._buckets: dict[int, tuple[Nanos, float, Nanos, float]] = {}  # time and value of the low, then of the high
        self._first: tuple[Nanos, float] | None = None
        self._last: tuple[Nanos, float] | None = None

    def add(self, times: TimeArray, values: FloatArray) -> None:
        """Add one or more rows. Rows must not be earlier than those already added."""
        if self._first is None:
            self._first = (int(times[0]), float(values[0]))
        self._last = (int(times[-1]), float(values[-1]))
        width = _wide_enough(self._width, self._first[0], self._last[0], self._buckets_max)
        if width != self._width:
            self._widen(width)
        numbers, starts = _cut(times, width)
        bounds = [*starts.tolist(), len(times)]
        for number, start, stop in zip(numbers.tolist(), bounds[:-1], bounds[1:], strict=True):
            part = values[start:stop]
            low, high = start + int(part.argmin()), start + int(part.argmax())
            low_time, high_time = int(times[low]), int(times[high])
            if low_time == high_time and low != high:
                # a price and the fill it caused have equal timestamps, so separate them by a nanosecond to keep both
                low_time, high_time = (low_time + 1, high_time) if low > high else (low_time, high_time + 1)
            self._put(number, (low_time, float(values[low]), high_time, float(values[high])))

    def _put(self, number: int, new: tuple[Nanos, float, Nanos, float]) -> None:
        old = self._buckets.get(number)
        if old is not None:
            low = old[:2] if old[1] <= new[1] else new[:2]
            high = old[2:] if old[3] >= new[3] else new[2:]
            # the timestamps are equal, so move the later one by a nanosecond
            if low[0] == high[0] and low[1] != high[1]:
                low, high = ((low[0] + 1, low[1]), high) if old[3] >= new[3] else (low, (high[0] + 1, high[1]))
            new = (*low, *high)
        self._buckets[number] = new

    def _widen(self, width: Nanos) -> None:
        buckets, factor = self._buckets, width // self._width
        assert width % self._width == 0, (width, self._width)
        self._buckets, self._width = {}, width
        for number, extremes in buckets.items():
            self._put(number // factor, extremes)

    def curve(self) -> Curve:
        """Return the points sampled so far, at strictly increasing times."""
        if self._first is None or self._last is None:
            return Curve([], [])
        points = {self._first[0]: self._first[1]}
        value = self._first[1]
        previous = self._first[0] // self._width
        for number, (low_time, low, high_time, high) in self._buckets.items():
            for empty in range(previous + 1, number):
                points[empty * self._width] = value
            two = (
                ((low_time, low), (high_time, high)) if low_time <= high_time else ((high_time, high), (low_time, low))
            )
            for time, value in two:
                points[time] = value
            previous = number
        # The curve must end where the run ended. If an extreme has the same timestamp as the last point, the last point
        # is added after it instead of replacing it.
        end, (last, final) = next(reversed(points)), self._last
        points[end + 1 if last <= end and points[end] != final else max(last, end)] = final
        return Curve(list(points), list(points.values()))


class CandleSampler:
    """Samples the candles of one pair for a chart, keeping at most ``candles_max`` candles.

    Their columns, many times the memory of the rest of a run if there are a million, are spilled to a file.
    """

    __slots__ = ("_candles", "_candles_max", "_first", "_pair", "_width")

    def __init__(self, pair: Pair, candles_max: int = 1_500) -> None:
        self._pair = pair
        self._candles_max = candles_max
        self._width = NS_PER_S
        self._first: Nanos | None = None
        #: bucket, open, high, low, close, volume
        self._candles = SpilledColumns("qddddd")

    def add(
        self,
        times: TimeArray,
        close: FloatArray,
        open: FloatArray | None = None,
        high: FloatArray | None = None,
        low: FloatArray | None = None,
        volume: FloatArray | None = None,
    ) -> None:
        """Add prices, or candles with their start times in ``times``. Rows must not be earlier than those already
        added.

        ``volume`` is the amount traded in each row, in base currency. Without it, the candles show a volume of 0.
        """
        if not len(times):
            return
        if self._first is None:
            self._first = int(times[0])
        width = _wide_enough(self._width, self._first, int(times[-1]), self._candles_max)
        if width != self._width:
            self._widen(width)
        numbers, starts = _cut(times, width)
        ends = np.append(starts[1:], len(times)) - 1
        self._join(
            numbers,
            (close if open is None else open)[starts],
            np.maximum.reduceat(close if high is None else high, starts),
            np.minimum.reduceat(close if low is None else low, starts),
            close[ends],
            np.zeros(len(numbers)) if volume is None else np.add.reduceat(volume, starts),
        )

    def _join(
        self,
        numbers: TimeArray,
        opens: FloatArray,
        highs: FloatArray,
        lows: FloatArray,
        closes: FloatArray,
        volumes: FloatArray,
    ) -> None:
        """Append candles from different buckets. If the first candle is in the same bucket as the last stored candle,
        merge the two.
        """
        columns = (numbers, opens, highs, lows, closes, volumes)
        held, _, high, low, close, volume = self._candles.tail
        if held and held[-1] == numbers[0]:
            high[-1] = max(high[-1], float(highs[0]))
            low[-1] = min(low[-1], float(lows[0]))
            close[-1] = float(closes[0])
            volume[-1] += float(volumes[0])
            self._candles.extend(*(column[1:] for column in columns))
        else:
            self._candles.extend(*columns)

    def _widen(self, width: Nanos) -> None:
        assert width % self._width == 0, (width, self._width)
        before, factor = self._candles, width // self._width
        self._candles, self._width = SpilledColumns("qddddd"), width
        rest: list[Values] | None = None  # the candles of a bucket that may continue in the next block
        for block in before.blocks():
            joined = block if rest is None else [np.concatenate(parts) for parts in zip(rest, block, strict=True)]
            numbers = joined[0] // factor
            last = int(np.searchsorted(numbers, numbers[-1]))
            if last:
                self._merge(numbers[:last], [column[:last] for column in joined])
            rest = [column[last:] for column in joined]
        if rest is not None:
            self._merge(rest[0] // factor, rest)

    def _merge(self, numbers: TimeArray, columns: Sequence[Values]) -> None:
        """Append the candles of whole buckets, merging those of equal ``numbers``."""
        _, opens, highs, lows, closes, volumes = columns
        starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
        ends = np.append(starts[1:], len(numbers)) - 1
        self._candles.extend(
            numbers[starts],
            opens[starts],
            np.maximum.reduceat(highs, starts),
            np.minimum.reduceat(lows, starts),
            closes[ends],
            np.add.reduceat(volumes, starts),
        )

    def candles(self) -> PriceCandles:
        """Return the candles sampled so far. Buckets without rows have no candle. The columns are not copied."""
        candles, width = self._candles, self._width
        if candles.is_in_memory:
            numbers, *columns = candles.tail
            times = array("q", (np.array(numbers, np.int64) * width).tobytes())
            return PriceCandles(self._pair, width, times, *columns)
        times_of = candles.column(0, lambda numbers: numbers * width)
        return PriceCandles(self._pair, width, times_of, *(candles.column(place) for place in range(1, 6)))
