"""Fills gaps in candle data: an interval without trades becomes a flat row with zero volume.

The exchange omits such intervals, and so do most recordings. With the added rows, a strategy receives an empty bar for
each of these intervals, both in backtests and in live trading. No order fills in an empty bar, and no timer is needed
to close it.
"""

from __future__ import annotations

import numpy as np

from botkit.model.columns import CandleColumns
from botkit.model.resolutions import bucket_end, fixed_length


class GapFiller:
    """Fills the gaps in one stream of candles, chunk by chunk. ``filled`` is the number of rows added."""

    def __init__(self) -> None:
        self.filled = 0
        self._last: CandleColumns | None = None

    def fill(self, columns: CandleColumns) -> CandleColumns:
        """Return the chunk with its gaps filled by flat rows, including any gap between the previous chunk and this
        one.
        """
        if not len(columns):
            return columns
        before, self._last = self._last, columns.rows(len(columns) - 1, len(columns))
        length = fixed_length(columns.resolution)
        if length is None:
            return columns  # monthly candles: a month without a single trade is too rare to be worth handling
        times = columns.time if before is None else np.concatenate((before.time, columns.time))
        steps = np.diff(times)
        holes = np.flatnonzero(steps != length)
        if not len(holes):
            return columns
        delay = int(columns.received[0]) - bucket_end(int(columns.time[0]), columns.resolution)
        shift = 0 if before is None else 1
        close = columns.close if before is None else np.concatenate((before.close, columns.close))
        missing = (steps[holes] // length - 1).astype(np.int64)
        total = int(missing.sum())
        self.filled += total
        at = np.repeat(holes + 1 - shift, missing)  # positions in `columns` before which the new rows are inserted
        offsets = np.arange(total) - np.repeat(np.cumsum(missing) - missing, missing)
        time = np.repeat(times[holes], missing) + (offsets + 1) * length
        flat = np.repeat(close[holes], missing)
        return CandleColumns(
            columns.pair,
            columns.resolution,
            np.insert(columns.received, at, time + length + delay),
            np.insert(columns.time, at, time),
            np.insert(columns.open, at, flat),
            np.insert(columns.high, at, flat),
            np.insert(columns.low, at, flat),
            np.insert(columns.close, at, flat),
            np.insert(columns.lots, at, 0),
        )
