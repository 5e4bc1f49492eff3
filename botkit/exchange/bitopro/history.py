"""Fetches long histories using size-limited requests. Candle ranges are split into requests and the results are joined.
Listings are fetched in time windows.

Cursor-based paging does not work, because the exchange's ids do not increase with time (Q23). Instead, each time window
is halved until its rows fit into one response.
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

#: candles per request; a response with this many is about 1 MB
CANDLES_PER_REQUEST = 8_000
#: the longest time span that one listing may cover
WINDOW_MAX: Nanos = 90 * NS_PER_DAY
_MONTH: Nanos = 28 * NS_PER_DAY


def candle_ranges(resolution: str, start: Nanos, end: Nanos) -> Iterator[tuple[Nanos, Nanos]]:
    """Split ``start`` <= time < ``end`` into ranges with a limited number of candle buckets each."""
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
    """Sort candle rows within ``start`` <= time < ``end`` into a series. The rows may be unordered and contain
    duplicates.

    If two rows have the same bucket, the one that comes later in ``rows`` wins. Raises WireError for an invalid
    timestamp.
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
    """Fetch every row in ``start`` <= time < ``end`` once, oldest window first. If a response is full, its window is
    halved.

    Raises TryAgain if a single millisecond contains more rows than fit into one response.
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
                raise TryAgain(f"more than {limit} rows within one millisecond; the listing cannot be read completely")
            waiting += [(middle, upper), (lower, middle)]
            continue
        for row in rows:
            found.setdefault(key(row), row)
    return tuple(found.values())
