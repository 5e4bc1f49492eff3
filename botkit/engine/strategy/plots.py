"""A strategy's plots: a bounded number of points per line, for the report and the live page.

A `PlotStore` belongs to one strategy. `Strategy.plot` adds points to it, and so do indicators attached to a series if
the store is set to collect them (as in a backtest with a report, and in a running bot).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any, NamedTuple

from botkit.model.clock import Nanos
from botkit.model.results import IndicatorLine

POINTS_MAX = 20_000
LINES_MAX = 100


class LineKey(NamedTuple):
    """Identifies a line. ``resolution`` is empty for points from `Strategy.plot`."""

    pair: str
    resolution: str
    name: str


class PlotLine:
    """The points of one line (or of several that share their times, such as the three Bollinger bands).

    If there are more than ``points_max`` points, the older half is dropped. With ``whole_run``, every second point is
    dropped instead, and from then on only every second point is added, so that the line spans the entire run. The
    selection of points depends only on their number.
    """

    __slots__ = ("_points_max", "_rows", "_stride", "_times", "_whole_run", "fields", "pane", "skips")

    def __init__(self, pane: str, fields: Sequence[str], points_max: int, *, whole_run: bool) -> None:
        self.pane = pane
        self.fields = tuple(fields)
        self._points_max = points_max
        self._whole_run = whole_run
        self._times: list[Nanos] = []
        self._rows: list[Any] = []  # floats, or tuples of them if there are several fields
        self._stride = 1
        #: number of upcoming points to skip; a caller may decrement this itself instead of calling `add`
        self.skips = 0

    def add(self, time: Nanos, value: Any) -> None:
        """Add a point: a float, or a tuple with one float for each field."""
        if self.skips:
            self.skips -= 1
            return
        self.skips = self._stride - 1
        self._times.append(time)
        self._rows.append(value)
        if len(self._times) > self._points_max:
            self._thin()

    def extend(self, times: Sequence[Nanos], values: Sequence[Any]) -> None:
        """Add many points, with the same result as calling `add` for each."""
        at = self.skips
        while at < len(times):
            stride = self._stride
            stop = at + stride * (self._points_max + 1 - len(self._times))
            self._times += times[at:stop:stride]
            self._rows += values[at:stop:stride]
            at += stride * len(range(at, min(stop, len(times)), stride))
            self.skips = stride - 1
            if len(self._times) > self._points_max:
                self._thin()
                at += self.skips - (stride - 1)
        self.skips = at - len(times)

    def _thin(self) -> None:
        if self._whole_run:
            # if the number of points is odd, the last point added is kept, so the next point to keep comes sooner
            last_stays = len(self._times) % 2 == 1
            del self._times[1::2]
            del self._rows[1::2]
            self._stride *= 2
            self.skips = self._stride - 1 if last_stays else self._stride // 2 - 1
        else:
            old = len(self._times) // 2
            del self._times[:old]
            del self._rows[:old]

    def __len__(self) -> int:
        return len(self._times)

    def columns(self, *, latest: int | None = None) -> Iterator[tuple[str, list[Nanos], list[float]]]:
        """Yield (field, times, values) of each field; the field is "" if there is only one."""
        begin = 0 if latest is None else -latest
        times, rows = self._times[begin:], self._rows[begin:]
        if not self.fields:
            yield "", times, rows
        for i, field in enumerate(self.fields):
            yield field, list(times), [row[i] for row in rows]


class PlotStore:
    """All of one strategy's lines, in order of creation.

    With ``takes_indicators``, the values of attached indicators are also collected. For ``whole_run``, see `PlotLine`.
    """

    def __init__(
        self,
        strategy: str,
        *,
        takes_indicators: bool = False,
        whole_run: bool = False,
        points_max: int = POINTS_MAX,
    ) -> None:
        if points_max < 2:
            raise ValueError(f"points_max is {points_max}; a line needs at least 2 points")
        self.strategy = strategy
        self.takes_indicators = takes_indicators
        #: number of points dropped because there were already `LINES_MAX` lines
        self.dropped = 0
        self._whole_run = whole_run
        self._points_max = points_max
        self._lines: dict[LineKey, PlotLine] = {}

    def plot(self, time: Nanos, name: str, value: float | None, *, pane: str | None = None, pair: str = "") -> None:
        """Add a point to a line. None, NaN and infinities leave a gap.

        ``pane`` is "price" or a pane's name, by default the line's name; ``pair`` selects the chart ("": the strategy's
        first). Raises ValueError for anything that is not a number.
        """
        if value is None:
            return
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ValueError(f"plot({name!r}, ...) takes a number, not {value!r}")
        number = float(value)
        if not math.isfinite(number):
            return
        line = self.line(LineKey(pair, "", name), name if pane is None else pane)
        if line is None:
            self.dropped += 1
        else:
            line.add(time, number)

    def line(self, key: LineKey, pane: str, fields: Sequence[str] = ()) -> PlotLine | None:
        """Return the line with this key, or None if there are too many lines. A line whose fields have changed is
        restarted.
        """
        found = self._lines.get(key)
        if found is not None and found.fields == tuple(fields):
            found.pane = pane
            return found
        if found is None and len(self._lines) >= LINES_MAX:
            return None
        line = self._lines[key] = PlotLine(pane, fields, self._points_max, whole_run=self._whole_run)
        return line

    def lines(self, first_pair: str = "", *, latest: int | None = None) -> list[IndicatorLine]:
        """Return every line that has points. With ``latest``, return only that many of each line's latest points. Lines
        without a pair are drawn in the chart of ``first_pair``.
        """
        resolutions: dict[tuple[str, str], set[str]] = {}
        for key in self._lines:
            resolutions.setdefault((key.pair, key.name), set()).add(key.resolution)
        found = []
        for key, line in self._lines.items():
            several = len(resolutions[key.pair, key.name]) > 1 and key.resolution
            title = f"{key.name} {key.resolution}" if several else key.name
            for field, times, values in line.columns(latest=latest):
                if times:
                    pair = key.pair or first_pair
                    found.append(IndicatorLine(pair, self.strategy, title, line.pane, times, values, field))
        return found
