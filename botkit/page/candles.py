"""A pair's candles for the chart, built from the one-minute candles that a bot writes
(`botkit.live.notifications.minutes`).
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, TypeAlias

#: start in seconds, open, high, low, close, volume
Candle: TypeAlias = tuple[int, float, float, float, float, float]

#: the candle lengths to choose from, in seconds
WIDTHS = (60, 300, 900, 3_600, 14_400, 86_400)
#: the number of candles on a chart
CANDLES_MAX = 1_000
#: how many minutes to keep per pair: about seventy days
_MINUTES_MAX = 100_000


class PairCandles:
    """One pair's one-minute candles, oldest first."""

    def __init__(self) -> None:
        self._rows: list[Candle] = []
        self._finished_s = -1

    def add(self, row: Candle, *, is_finished: bool = True) -> None:
        """Add a one-minute candle, or replace the last candle if it was unfinished.

        An unfinished candle that is not newer than the finished ones is ignored: it is from a state that the bot wrote
        the last time somebody looked.
        """
        rows = self._rows
        if is_finished:
            self._finished_s = row[0]
        elif row[0] <= self._finished_s:
            return
        while rows and rows[-1][0] >= row[0]:
            rows.pop()
        rows.append(row)
        if len(rows) > _MINUTES_MAX:
            del rows[: _MINUTES_MAX // 10]

    @property
    def span_s(self) -> int:
        """Seconds from the start of the first minute to the end of the last."""
        return self._rows[-1][0] + 60 - self._rows[0][0] if self._rows else 0

    def candles(self, width_s: int, since_s: int = 0) -> list[Candle]:
        """Return the latest candles of a given length, starting with the candle that contains ``since_s``."""
        if not self._rows:
            return []
        first = max(since_s // width_s, self._rows[-1][0] // width_s - CANDLES_MAX + 1) * width_s
        begin = bisect_left(self._rows, (first,))
        found: list[Candle] = []
        for time, opened, high, low, close, volume in self._rows[begin:]:
            start = time // width_s * width_s
            if found and found[-1][0] == start:
                _, o, h, l, _, v = found[-1]  # noqa: E741
                found[-1] = (start, o, max(h, high), min(l, low), close, v + volume)
            else:
                found.append((start, opened, high, low, close, volume))
        return found


def candle_of(row: list[Any]) -> Candle:
    """Convert a written row, without its pair, to a candle. Raises ValueError if the row is not a candle."""
    _, time, opened, high, low, close, volume = row
    return int(time), float(opened), float(high), float(low), float(close), float(volume)
