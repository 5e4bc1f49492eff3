"""Builds bars from trades or from finer candles.

A bar closes at the first trade of a later interval, or when a timer fires at the bar's end plus a grace period. Once a
first trade has set a price to carry forward, an interval without trades yields a flat bar with zero volume and
``empty=True``, both live and in a backtest. The builder reads no clock: the time is always an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from botkit.model.clock import NS_PER_DAY, Nanos
from botkit.model.events import Bar
from botkit.model.pairs import Pair
from botkit.model.resolutions import bucket_end, bucket_start, check_resolution, fixed_length

_NONE: tuple[Bar, ...] = ()
_INFINITY = float("inf")
_LATE_BARS_MAX = 100


def can_build(resolution: str, source: str) -> bool:
    """Return True if bars of ``resolution`` can be built from ``source`` candles. Each candle must fall entirely within
    one bar.
    """
    length, part = fixed_length(resolution), fixed_length(source)
    if part is None:
        return length is None
    if length is None:
        return NS_PER_DAY % part == 0  # a week can span two months
    return length % part == 0


# -- building bars ----------------------------------------------------------------------------------------------------


class BarBuilder:
    """Builds the bars for one pair at one resolution from trades, or from candles of the same or a finer resolution.

    Methods that may finish bars return the finished bars, oldest first and without gaps. The result is usually an empty
    tuple. ``late`` counts trades (or candles) that arrived after their bar had closed. They are dropped, because the
    strategy has already acted on the bar.

    If several events have the same ``now``, add candles before calling `close_due`, and call `close_due` before adding
    trades: a candle marks the end of its bar, whereas a trade at that time is too late for the bar.
    """

    __slots__ = (
        "_accepted", "_close", "_end", "_flat", "_high", "_length_ns", "_limit", "_lots_per_coin", "_low", "_open",
        "_start", "_volume", "grace_ns", "late", "late_bars", "pair", "resolution",
    )  # fmt: skip

    def __init__(self, pair: Pair, resolution: str, *, grace_ns: Nanos) -> None:
        if grace_ns < 0:
            raise ValueError(f"grace_ns must not be negative, not {grace_ns}")
        self.pair = pair
        self.resolution = check_resolution(resolution)
        self.grace_ns = grace_ns
        self.late = 0
        #: number of late trades, keyed by the start of their bar, for the most recently affected bars
        self.late_bars: dict[Nanos, int] = {}
        self._length_ns = fixed_length(resolution)
        self._lots_per_coin = 10**pair.rules.amount_decimals
        self._accepted = {resolution: self._length_ns}  # candle resolutions that are known to nest in ours
        # the bucket under construction; _start == _end == 0 before the very first trade
        self._start = self._end = 0
        # equals _end if the bucket is not empty, otherwise _start: the first trade then takes the slow path, and all
        # others need only one comparison
        self._limit = 0
        self._open = self._close = self._volume = 0.0
        self._high, self._low = -_INFINITY, _INFINITY
        self._flat = True  # True while only empty candles have been added

    # -- inputs -----------------------------------------------------------------------------------------------------

    def on_trade(self, time: Nanos, price: float, amount: float) -> Sequence[Bar]:
        """Add a trade with the exchange's own timestamp, in order of receipt. A trade that ends a bar opens the next
        bar.
        """
        if time < self._limit:
            if time < self._start:
                self._came_late(time)
                return _NONE
            if price > self._high:
                self._high = price
            if price < self._low:
                self._low = price
            self._close = price
            self._volume += amount
            return _NONE
        if time < self._start:  # the previous bucket was closed by the timer, and this one has no trades yet
            self._came_late(time)
            return _NONE
        bars = self._move_to(time)
        self._open = self._high = self._low = self._close = price
        self._volume = amount
        self._flat = False
        self._limit = self._end
        return bars

    def on_candle(
        self,
        time: Nanos,
        open: float,
        high: float,
        low: float,
        close: float,
        volume: float,
        resolution: str,
    ) -> Sequence[Bar]:
        """Add a finished candle that starts at ``time``. The last candle of a bar finishes the bar.

        A flat candle without volume is treated as an interval without trades. Raises ValueError if candles of
        ``resolution`` do not nest in these bars.
        """
        if resolution not in self._accepted:
            self._accept(resolution)
        if time < self._start:
            self._came_late(time)
            return _NONE
        flat = volume == 0 and high == low
        if resolution == self.resolution and time == self._start and self._limit == time:
            # this is the next expected candle, at the builder's own resolution, so there is nothing to merge and no gap
            bar = Bar(self.pair, time, open, high, low, close, self._rounded(volume), resolution, flat)
            self._close = close
            end = self._start = self._limit = self._end
            length_ns = self._length_ns
            self._end = bucket_end(end, resolution) if length_ns is None else end + length_ns
            return [bar]
        bars = self._move_to(time) if time >= self._end or self._limit == self._start else []
        if self._limit == self._start or (self._flat and not flat):
            # an interval without trades adds nothing, not even its carried-forward price, because bars built from
            # trades have no such price
            self._open, self._high, self._low, self._close, self._volume = open, high, low, close, volume
            self._flat = flat
            self._limit = self._end
        elif not flat:
            self._high = max(self._high, high)
            self._low = min(self._low, low)
            self._close = close
            self._volume += volume
        length_ns = self._accepted[resolution]
        if length_ns is None or time + length_ns == self._end:  # monthly bars are built only from monthly candles
            bars.append(self._finish())
        return bars

    def warm_start(self, candles: Iterable[Bar]) -> list[Bar]:
        """Add finished bars from before the start (at this or a finer resolution, oldest first).

        Returns the finished bars without gaps, for the series; these bars do not trigger ``on_bar``. The exchange omits
        intervals without trades, even at the end of the history: call ``close_due(start)`` afterwards to get the bars
        of these intervals.
        """
        bars: list[Bar] = []
        for candle in candles:
            bars += self.on_candle(
                candle.time, candle.open, candle.high, candle.low, candle.close, candle.volume, candle.resolution
            )
        return bars

    def running(self) -> Bar | None:
        """Return the bar under construction as it is now, or None if it is empty."""
        if self._limit == self._start:
            return None
        volume = self._rounded(self._volume)
        return Bar(
            self.pair, self._start, self._open, self._high, self._low, self._close, volume, self.resolution, self._flat
        )

    def complete(self, running: Bar) -> None:
        """Add the part of the running bar from before the stream started. That part may overlap trades already
        streamed, so the larger of the two volumes is used, and the last price comes from the trades. A bar that has
        ended in the meantime stays unchanged.
        """
        if self._end and running.time < self._start:
            return
        self._move_to(running.time)
        if self._limit == self._start or self._flat:
            self._high, self._low, self._close, self._volume = running.high, running.low, running.close, running.volume
            self._flat = running.empty
        elif running.empty:
            return
        else:
            self._high, self._low = max(self._high, running.high), min(self._low, running.low)
            self._volume = max(self._volume, running.volume)
        self._open = running.open
        self._limit = self._end

    def follows(self, bar: Bar) -> bool:
        """Return True if a finished bar at the builder's own resolution directly follows the last one and no bar is
        under construction.
        """
        return bar.time == self._start and self._limit == self._start

    def follow(self, bar: Bar) -> None:
        """Continue after this bar. This bar and all earlier bars were built elsewhere, without gaps."""
        self._close = bar.close
        length_ns = self._length_ns
        if length_ns is None:
            self._open_bucket(bucket_end(bar.time, self.resolution))
        else:
            start = self._start = self._limit = bar.time + length_ns
            self._end = start + length_ns

    def _came_late(self, time: Nanos) -> None:
        self.late += 1
        late_bars = self.late_bars
        start = bucket_start(time, self.resolution)
        late_bars[start] = late_bars.get(start, 0) + 1
        if len(late_bars) > _LATE_BARS_MAX:
            del late_bars[next(iter(late_bars))]

    # -- the timer ------------------------------------------------------------------------------------------------

    def next_close(self) -> Nanos | None:
        """Return the time at which `close_due` will next return a bar if no other input arrives first, or None before
        the first trade.
        """
        return self._end + self.grace_ns if self._end else None

    def close_due(self, now: Nanos) -> Sequence[Bar]:
        """Return the bars whose end plus grace period is at or before ``now``, with flat bars for intervals without
        trades.
        """
        latest_end = now - self.grace_ns
        if not self._end or self._end > latest_end:
            return _NONE
        bars = []
        while self._end <= latest_end:
            bars.append(self._finish())
        return bars

    # -- within ---------------------------------------------------------------------------------------------------

    def _accept(self, resolution: str) -> None:
        check_resolution(resolution)
        if not can_build(self.resolution, resolution):
            raise ValueError(f"bars of {self.resolution} cannot be built from candles of {resolution}")
        self._accepted[resolution] = fixed_length(resolution)

    def _move_to(self, time: Nanos) -> list[Bar]:
        """Finish every bar before the bucket that contains ``time``, and make that bucket current."""
        if not self._end:
            self._open_bucket(bucket_start(time, self.resolution))
            return []
        bars = []
        while time >= self._end:
            bars.append(self._finish())
        return bars

    def _open_bucket(self, start: Nanos) -> None:
        length_ns = self._length_ns
        self._start = self._limit = start
        self._end = bucket_end(start, self.resolution) if length_ns is None else start + length_ns

    def _finish(self) -> Bar:
        """Return the current bucket as a bar, flat if there were no trades, and move on to the next bucket."""
        start = self._start
        if self._limit == start:
            last = self._close
            bar = Bar(self.pair, start, last, last, last, last, 0.0, self.resolution, True)
        else:
            volume = self._rounded(self._volume)
            bar = Bar(
                self.pair, start, self._open, self._high, self._low, self._close, volume, self.resolution, self._flat
            )
        self._open_bucket(self._end)
        return bar

    def _rounded(self, volume: float) -> float:
        # amounts are integer numbers of lots, but their float sum may not be: rounding to the nearest lot yields the
        # float that every other source of that volume yields
        lots_per_coin = self._lots_per_coin
        return float(
            round(volume * lots_per_coin) / lots_per_coin
        )  # like PairRules.amount, but without computing the power of ten
