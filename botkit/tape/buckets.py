"""Candle buckets: their starts and ends, and missing buckets."""

from __future__ import annotations

import numpy as np

from botkit.model.clock import Nanos
from botkit.model.columns import CandleColumns, IntArray, MarketColumns
from botkit.model.resolutions import bucket_end, bucket_start, fixed_length
from botkit.tape.manifest import GAPS_KEPT


def bucket_starts(times: IntArray, resolution: str) -> IntArray:
    """Return the start of the bucket containing each time."""
    length = fixed_length(resolution)
    if length is None:
        return np.array([bucket_start(int(t), resolution) for t in times], dtype=np.int64)
    offset = bucket_start(0, resolution)
    return (times - offset) // length * length + offset


def candle_ends(times: IntArray, resolution: str) -> IntArray:
    """Return the end of each bucket that starts at ``times``."""
    length = fixed_length(resolution)
    if length is None:
        return np.array([bucket_end(int(t), resolution) for t in times], dtype=np.int64)
    return times + length


def candle_gaps(columns: CandleColumns, last_time: Nanos | None) -> list[tuple[Nanos, Nanos]]:
    """Find spans without candles. For each span, return (end of the previous candle, start of the next candle), in
    ns.
    """
    times = columns.time
    length = fixed_length(columns.resolution)
    if last_time is not None:
        times = np.concatenate((np.array([last_time], dtype=np.int64), times))
    if length is not None:
        holes = np.flatnonzero(np.diff(times) > length)
        return [(int(times[i]) + length, int(times[i + 1])) for i in holes[: GAPS_KEPT + 1]]
    ends = [bucket_end(int(t), columns.resolution) for t in times]
    return [(end, int(times[i + 1])) for i, end in enumerate(ends[:-1]) if end < times[i + 1]]


def has_receive_times(columns: MarketColumns) -> bool:
    """Return True if any row has an actual receipt time.

    A format without receipt times uses the row's own time, or a candle's end.
    """
    known = candle_ends(columns.time, columns.resolution) if isinstance(columns, CandleColumns) else columns.time
    return bool(np.any(columns.received != known))
