"""Tracks a curve's drawdowns from its running peak at row resolution, without running Python code for each row."""

from __future__ import annotations

import numpy as np

from botkit.backtesting.downsample import FloatArray, TimeArray
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.results import Drawdown

#: how many of the deepest drawdowns to keep
KEPT = 10


class Falls:
    """The deepest drawdowns of one curve, and the duration of the longest one. Memory is bounded for any number of
    drawdowns.

    A drawdown starts at the last row at the peak and ends at the first row that reaches the peak again.
    """

    def __init__(self, time: Nanos, value: float) -> None:
        self._peak, self._peak_time = value, time
        #: the current drawdown, not yet recovered: (trough, its time); None while equity is at its peak
        self._current: tuple[float, Nanos] | None = None
        self._last = time
        self._longest: Nanos = 0
        self._kept: list[Drawdown] = []

    def add(self, times: TimeArray, values: FloatArray) -> None:
        """Add rows, with ascending times. Values must not be NaN."""
        if not len(times):
            return
        peaks = np.maximum(np.maximum.accumulate(values), self._peak)
        under = values < peaks
        self._last = int(times[-1])
        if self._current is not None and not under[0]:
            self._end_current(int(times[0]))
        edges = np.flatnonzero(under[1:] != under[:-1]) + 1
        starts, ends = edges[under[edges]], edges[~under[edges]]
        if under[0]:
            starts = np.concatenate(([0], starts))
        if len(starts):
            self._runs(times, values, peaks, starts, ends)
        if not under[-1]:
            self._peak, self._peak_time = float(values[-1]), int(times[-1])

    def _runs(
        self, times: TimeArray, values: FloatArray, peaks: FloatArray, starts: TimeArray, ends: TimeArray
    ) -> None:
        """Process the stretches of rows below the peak, given as (start, exclusive end). The last stretch may not have
        ended yet.
        """
        if starts[0] == 0 and self._current is not None:
            stop = int(ends[0]) if len(ends) else len(values)
            self._sink(times, values, 0, stop)
            if not len(ends):
                return
            self._end_current(int(times[stop]))
            starts, ends = starts[1:], ends[1:]
        begins = self._times_before(times, starts)
        done = len(ends)
        if done:
            self._longest = max(self._longest, int((times[ends] - begins[:done]).max()))
            bounds = np.column_stack((starts[:done], ends)).ravel()
            troughs = np.minimum.reduceat(values, bounds)[::2]
            tops = peaks[starts[:done]]
            with np.errstate(divide="ignore", invalid="ignore"):
                depths = np.where(tops > 0, 1 - troughs / tops, 0.0)
            for index in np.sort(np.argsort(-depths, kind="stable")[:KEPT]).tolist():
                low, high = int(starts[index]), int(ends[index])
                trough = low + int(values[low:high].argmin())
                self._keep(Drawdown(float(depths[index]), int(begins[index]), int(times[trough]), int(times[high])))
        if len(starts) > done:
            start = int(starts[-1])
            self._peak, self._peak_time = float(peaks[start]), int(begins[-1])
            self._sink(times, values, start, len(values))

    def _times_before(self, times: TimeArray, starts: TimeArray) -> TimeArray:
        """Return, for each start, the time of the last row at the peak before it."""
        begins = times[np.maximum(starts - 1, 0)]
        if len(starts) and starts[0] == 0:
            begins = begins.copy()
            begins[0] = self._peak_time
        return begins

    def _sink(self, times: TimeArray, values: FloatArray, start: int, stop: int) -> None:
        trough = start + int(values[start:stop].argmin())
        if self._current is None or values[trough] < self._current[0]:
            self._current = float(values[trough]), int(times[trough])

    def _end_current(self, recovered: Nanos) -> None:
        found = self._open_fall()
        assert found is not None
        self._longest = max(self._longest, recovered - self._peak_time)
        self._keep(Drawdown(found.fraction, found.peak_time, found.trough_time, recovered))
        self._current = None

    def _open_fall(self) -> Drawdown | None:
        if self._current is None:
            return None
        trough, time = self._current
        return Drawdown(1 - trough / self._peak if self._peak > 0 else 0.0, self._peak_time, time)

    def _keep(self, fall: Drawdown) -> None:
        self._kept.append(fall)
        # the sort is stable, so the earlier of two equal drawdowns comes first
        self._kept.sort(key=lambda kept: -kept.fraction)
        del self._kept[KEPT:]

    def deepest(self) -> list[Drawdown]:
        """Return the drawdowns, deepest first. ``recovered`` is missing if the drawdown has not recovered."""
        current = self._open_fall()
        falls = self._kept if current is None else sorted((*self._kept, current), key=lambda fall: -fall.fraction)
        return falls[:KEPT]

    def longest_s(self, end: Nanos | None = None) -> float:
        """Return the longest time from a peak to its recovery. A drawdown that has not recovered is measured up to
        ``end`` (default: the last row).
        """
        longest = self._longest
        if self._current is not None:
            longest = max(longest, (self._last if end is None else end) - self._peak_time)
        return longest / NS_PER_S
