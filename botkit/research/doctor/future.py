"""Changes a tape's future to detect strategies that look ahead: if a strategy looks ahead, its decisions before the cut
change.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np

from botkit.errors import BotkitError
from botkit.model.clock import NS_PER_MS, Nanos
from botkit.model.columns import BookColumns, CandleColumns, MarketColumns, TradeColumns
from botkit.research.bench import Bench
from botkit.research.decision_lines import DecisionLines
from botkit.tape.feed import Feed, FeedSource, StreamKey
from botkit.tape.held import HeldSource
from botkit.tape.manifest import StreamInfo

__all__ = ["altered_feed", "files_read", "is_below", "seen_ahead"]

_STEP = 0.003  # standard deviation of each random-walk step (one per row), as a fraction of the price


def seen_ahead(bench: Bench, decisions: DecisionLines, start: Nanos, end: Nanos, cuts: int) -> Foreseen | None:
    """Change the future after each of ``cuts`` random times. Returns the first cut at which an earlier decision
    changes, or None.

    ``decisions`` are those of the run over [start, end) with unchanged data.
    """
    random = Random(bench.seed)
    times = sorted({time for time in decisions.times if time < end})
    # cut right after decisions, because a strategy that looks ahead to the next row would decide differently there
    for number, time in enumerate(sorted(random.choice(times[len(times) // 10 :]) for _ in range(cuts))):
        cut = _no_candle_running(bench.feed, decisions.streams, time)
        feed = altered_feed(bench.feed, cut, bench.seed + number)
        altered = Bench(bench.project, feed, start=start, end=min(end, cut + 1), seed=bench.seed)
        try:
            found = altered.decisions().until(cut)
        except BotkitError as error:
            return Foreseen(cut, str(error))
        if found != decisions.until(cut):
            return Foreseen(cut)
    return None


def _no_candle_running(feed: Feed, streams: Iterable[StreamKey], moment: Nanos) -> Nanos:
    """Return ``moment``, or the end of the candle that is running then.

    An order is filled at a candle's open, but the candle is received at its end. A decision in between that follows
    from the fill depends on a later row without looking ahead.
    """
    ends = [moment]
    at = moment - round(feed.feed_ms * NS_PER_MS)
    for source in feed.sources:
        for key in streams:
            columns = source.stream(key) if isinstance(source, HeldSource) else None
            if isinstance(columns, CandleColumns):
                row = int(np.searchsorted(columns.received, at))
                if row < len(columns) and columns.time[row] < at:
                    ends.append(moment + int(columns.received[row]) - at)
    return max(ends)


class Foreseen(msgspec.Struct, frozen=True):
    """A cut at which a changed future affects earlier decisions, or makes the strategy fail with ``error``."""

    cut: Nanos
    error: str = ""


def altered_feed(feed: Feed, cut: Nanos, seed: int) -> Feed:
    """Return the feed with different prices, amounts and sides after ``cut``. The rows up to the cut, and all
    timestamps, stay unchanged.
    """
    return Feed([_AlteredSource(source, cut, seed) for source in feed.sources], feed_ms=feed.feed_ms)


class _AlteredSource:
    """Wraps a source and changes the rows after the cut."""

    def __init__(self, source: FeedSource, cut: Nanos, seed: int) -> None:
        self.name, self.path, self.synthetic = source.name, source.path, source.synthetic
        self.notes: list[str] = getattr(source, "notes", [])
        self._source = source if isinstance(source, HeldSource) else HeldSource(source)
        self._cut = cut
        self._seed = seed
        self._altered: dict[StreamKey, MarketColumns | None] = {}

    @property
    def streams(self) -> Sequence[StreamInfo]:
        return self._source.streams

    def read(self, key: StreamKey, start: Nanos | None, end: Nanos | None, rows_max: int) -> Iterator[MarketColumns]:
        if key not in self._altered:
            whole = self._source.stream(key)
            self._altered[key] = None if whole is None else _altered(whole, self._cut, self._seed)
        columns = self._altered[key]
        if columns is None:
            return
        low = 0 if start is None else int(np.searchsorted(columns.received, start))
        high = len(columns) if end is None else int(np.searchsorted(columns.received, end))
        for at in range(low, high, rows_max):
            yield columns.rows(at, min(high, at + rows_max))


def _altered(columns: MarketColumns, cut: Nanos, seed: int) -> MarketColumns:
    """Return the rows with a different future. A random walk moves the prices. The walk alone would leave other
    information unchanged that a strategy may peek at: whether the next candle rises, which side takes the next trade,
    and which side of the next book is larger. Therefore candle moves are inverted, half of the trades and books change
    sides at random, and amounts are shuffled.
    """
    first = int(np.searchsorted(columns.received, cut, side="right"))
    future = len(columns) - first
    if future <= 0:
        return columns
    # each pair has a separate walk, seeded with the pair's name, so that equal seeds yield equal futures
    random = np.random.default_rng([seed, *str(columns.pair).encode()])
    walk = np.cumsum(random.normal(0.0, _STEP, future)).clip(-0.5, 0.5)
    changes_side = random.random(future) < 0.5
    order = random.permutation(future)

    def moved(ticks: Any, reference: int) -> Any:
        """Add the walk, scaled by ``reference``, to every price. Books keep the spacing between their levels."""
        new = np.array(ticks)
        shift = np.round(walk * reference).astype(np.int64)
        part = new[first:]
        if part.ndim == 2:
            new[first:] = np.where(part > 0, np.maximum(part + shift[:, None], 1), part)
        else:
            new[first:] = np.maximum(part + shift, 1)
        return new

    def shuffled(lots: Any) -> Any:
        new = np.array(lots)
        new[first:] = new[first:][order]
        return new

    def swapped(one: Any, other: Any) -> tuple[Any, Any]:
        """Exchange the values of two columns in the rows that change sides."""
        left, right = np.array(one), np.array(other)
        at = first + np.flatnonzero(changes_side)
        left[at], right[at] = right[at], left[at]
        return left, right

    def mirrored(ticks: Any, opposite: Any, last: int) -> Any:
        """Return ``ticks`` with new values after the cut: the moves of ``opposite`` relative to ``last`` are inverted,
        and the walk is added. Inverting is necessary because daily candles move much further than the walk, so the walk
        alone would rarely change a candle's direction.
        """
        new = np.array(ticks)
        part = np.maximum(opposite[first:], 1)
        new[first:] = np.maximum(np.round(last * (last / part + walk)).astype(np.int64), 1)
        return new

    match columns:
        case TradeColumns():
            last = int(columns.ticks[max(first - 1, 0)]) or 1
            side = np.array(columns.side)
            side[first:][changes_side] *= -1
            return msgspec.structs.replace(
                columns, ticks=moved(columns.ticks, last), lots=shuffled(columns.lots), side=side
            )
        case BookColumns():
            last = int(columns.bid_ticks[max(first - 1, 0), 0]) or 1
            bid_lots, ask_lots = columns.bid_lots, columns.ask_lots
            if np.array_equal(columns.bid_ticks > 0, columns.ask_ticks > 0):  # otherwise a level may end up empty
                bid_lots, ask_lots = swapped(bid_lots, ask_lots)
            return msgspec.structs.replace(
                columns,
                bid_ticks=moved(columns.bid_ticks, last),
                bid_lots=bid_lots,
                ask_ticks=moved(columns.ask_ticks, last),
                ask_lots=ask_lots,
            )
        case CandleColumns():
            last = int(columns.close[max(first - 1, 0)]) or 1
            return msgspec.structs.replace(
                columns,
                open=mirrored(columns.open, columns.open, last),
                high=mirrored(columns.high, columns.low, last),
                low=mirrored(columns.low, columns.high, last),
                close=mirrored(columns.close, columns.close, last),
                lots=shuffled(columns.lots),
            )
    raise AssertionError(columns)


# -- files ------------------------------------------------------------------------------------------------------------

# The sets that collect the opened files, innermost last. An audit hook cannot be removed, so it is installed only once.
_heard: list[set[str]] = []
_is_hooked = False
_SUFFIXES = (".py", ".pyc", ".so", ".pyd", ".dll")


@contextmanager
def files_read() -> Iterator[set[str]]:
    """Collect the paths of all files opened inside the block, except Python's own files."""
    global _is_hooked
    if not _is_hooked:
        sys.addaudithook(_hear)
        _is_hooked = True
    found: set[str] = set()
    _heard.append(found)
    try:
        yield found
    finally:
        _heard.remove(found)


_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_SYSTEM = ("/proc/", "/sys/", "/dev/null", "/dev/urandom", "/dev/random")


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _heard:
        return
    path = arguments[0]
    if not isinstance(path, (str, bytes)) or not path:
        return
    text = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - resolve() opens files itself
    if text.endswith(_SUFFIXES) or text.startswith(_LIBRARIES) or text.startswith(_SYSTEM):
        return
    _heard[-1].add(text)


def is_below(path: str, folders: Sequence[Path]) -> bool:
    """Return True if ``path`` is one of ``folders`` or inside one of them."""
    return any(Path(path) == folder or folder in Path(path).parents for folder in folders)
