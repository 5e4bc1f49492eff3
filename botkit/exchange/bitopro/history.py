"""Reads long ranges of history in bounded requests: candles split and stitched, listings by windows of time.

Cursors are of no use for paging, since the exchange's ids do not grow with time (Q23): windows of time are halved
until one holds fewer rows than an answer may have.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

from botkit.errors import TryAgain
from botkit.exchange.bitopro.wire.codec import to_ns
from botkit.exchange.bitopro.wire.market import CandleRow
from botkit.model.clock import NS_PER_DAY, NS_PER_MS, Nanos
from botkit.model.resolutions import bucket_end, bucket_start, fixed_length

T = TypeVar("T")

#: candles per request: about 1 MB of answer
CANDLES_PER_REQUEST = 8_000
#: the longest window a listing may span
WINDOW_MAX: Nanos = 90 * NS_PER_DAY
_MONTH: Nanos = 28 * NS_PER_DAY


def candle_ranges(resolution: str, start: Nanos, end: Nanos) -> Iterator[tuple[Nanos, Nanos]]:
    """Ranges that cover ``start`` <= time < ``end``, each of a bounded number of buckets."""
    span = CANDLES_PER_REQUEST * (fixed_length(resolution) or _MONTH)
    while start < end:
        upper = min(start + span, end)
        yield start, upper
        start = upper


def stitch_candles(
    rows: Iterable[CandleRow],
    resolution: str,
    start: Nanos,
    end: Nanos,
    *,
    now: Nanos,
    fill_gaps: bool,
    running: bool,
) -> tuple[CandleRow, ...]:
    """Rows of any order and with repetitions as a sorted series within ``start`` <= time < ``end``.

    Of two rows of one bucket the later one given wins. Raises WireError for a stamp that is no time.
    """
    by_time = {}
    for row in rows:
        time = to_ns(row.timestamp)
        if start <= time < end and (running or bucket_end(time, resolution) <= now):
            by_time[time] = row
    times = sorted(by_time)
    if not fill_gaps or not times:
        return tuple(by_time[time] for time in times)
    filled: list[CandleRow] = []
    time = times[0]
    while time < end and (running or bucket_end(time, resolution) <= now) and time <= now:
        found = by_time.get(time)
        if found is None:
            close = filled[-1].close
            found = CandleRow(timestamp=time // NS_PER_MS, open=close, high=close, low=close, close=close, volume="0")
        filled.append(found)
        time = bucket_end(bucket_start(time, resolution), resolution)
    return tuple(filled)


async def collect_windows(
    fetch: Callable[[Nanos, Nanos], Awaitable[tuple[T, ...]]],
    start: Nanos,
    end: Nanos,
    *,
    limit: int,
    key: Callable[[T], object],
) -> tuple[T, ...]:
    """All rows of ``start`` <= time < ``end``, each once, the oldest window first; a full answer halves its window.

    Raises TryAgain if even one millisecond holds more rows than an answer can.
    """
    found: dict[object, T] = {}
    waiting = []
    while start < end:
        upper = min(start + WINDOW_MAX, end)
        waiting.append((start, upper))
        start = upper
    waiting.reverse()
    while waiting:
        lower, upper = waiting.pop()
        rows = await fetch(lower, upper)
        if len(rows) >= limit:
            middle = (lower + upper) // 2 // NS_PER_MS * NS_PER_MS
            if middle <= lower:
                raise TryAgain(f"more than {limit} rows within a millisecond; the listing cannot be read whole")
            waiting += [(middle, upper), (lower, middle)]
            continue
        for row in rows:
            found.setdefault(key(row), row)
    return tuple(found.values())
