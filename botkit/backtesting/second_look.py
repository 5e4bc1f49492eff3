"""Reads a finished run's data a second time, to determine how prices moved during its trades and after its fills.

All trades are known once the run has finished, so one pass over the slices is enough. Memory is bounded: the pass keeps
only the trades' segments, and the times at which prices are needed, of the blocks of trades and fills around a slice.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from typing import TypeAlias

import msgspec
import numpy as np

from botkit.backtesting.at_best import AtBest
from botkit.backtesting.downsample import FloatArray, TimeArray
from botkit.backtesting.packed_rows import MARKS, TRADES, PackedRows
from botkit.backtesting.plan import Plan
from botkit.backtesting.withheld import taken_in
from botkit.engine.outcome_parts import Withheld
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.columns import BookColumns, CandleColumns, MarketColumns
from botkit.model.results import MARKOUTS_S, ClosedTrade, FillMark, FillRow, RestRow
from botkit.model.row_columns import column_blocks, columns_of
from botkit.tape.feed import Feed

#: a trade's steps, as in `ClosedTrade`
Steps: TypeAlias = tuple[tuple[Nanos, int, int], ...]
#: segments of up to this many rows are processed by numpy in a single batch
_SHORT = 4_096
#: for longer segments, extremes are precomputed for blocks of this many rows
_BLOCK = 1_024


class SecondLook(msgspec.Struct):
    """The results of the second pass: the trades with their excursions, the mid prices at and after each fill (empty
    without order books), and how limit orders ranked in the books.
    """

    trades: Sequence[ClosedTrade]
    marks: Sequence[FillMark]
    rests: list[RestRow] = []


def look_again(
    feed: Feed,
    plan: Plan,
    trades: Sequence[ClosedTrade],
    fills: Sequence[FillRow],
    *,
    withheld: Sequence[Withheld] = (),
    max_book_age_s: int,
    rows_max: int,
    rests: Sequence[AtBest] = (),
) -> SecondLook:
    """Return the trades with ``mae`` and ``mfe``, and a mark for each fill. The books are also passed to ``rests``.
    Packed trades are changed in place.

    ``withheld`` are rows that the bot rejected; their prices are also ignored here. A mark's mid price is None if the
    last book was older than ``max_book_age_s``, or if there was no more data.
    """
    books = {pair for pair, kind, _ in plan.keys if kind == "books"}
    excursions = _Excursions(trades if isinstance(trades, PackedRows) else PackedRows(TRADES, trades))
    marks = _Marks(fills, books, plan.end, max_book_age_s * NS_PER_S)
    rests = [rest for rest in rests if str(rest.pair) in books]
    wanted = excursions.pairs | marks.pairs | {str(rest.pair) for rest in rests}
    keys = [key for key in plan.keys if key[0] in wanted]
    for piece in feed.slices(keys, plan.start, plan.end, rows_max=rows_max) if keys else ():
        excursions.begin(piece.end)
        marks.begin(piece.end)
        for columns in piece.columns:
            excursions.see(columns, withheld)
            if isinstance(columns, BookColumns):
                marks.see(columns)
                for rest in rests:
                    if rest.pair == columns.pair:
                        rest.see(columns)
        excursions.end(piece.end)
        marks.end(piece.end)
    excursions.finish()
    marks.finish()
    return SecondLook(excursions.trades, marks.found, [rest.row() for rest in rests])


class _Excursions:
    """Finds the excursions of trades, a block of trades at a time: from the first entry until after the last exit."""

    def __init__(self, trades: PackedRows[ClosedTrade]) -> None:
        self.trades = trades
        self.pairs: set[str] = set()
        #: the blocks that are not finished, with their first entry and their last exit
        self._ahead: list[tuple[int, Nanos, Nanos]] = []
        self._open: dict[int, list[_Segments]] = {}
        for number, (pairs, opened, closed) in enumerate(column_blocks(trades, "pairs", "opened", "closed")):
            self.pairs.update(str(several[0]) for several in set(pairs))
            self._ahead.append((number, min(opened), max(closed)))

    def begin(self, until: Nanos) -> None:
        """Open the blocks with entries before ``until``."""
        for number, opened, _ in self._ahead:
            if opened <= until and number not in self._open:
                self._open_block(number)

    def see(self, columns: MarketColumns, withheld: Sequence[Withheld]) -> None:
        """Process the rows of a slice."""
        for block in self._open.values():
            for segments in block:
                if segments.pair == columns.pair:
                    segments.see(columns, withheld)

    def end(self, until: Nanos) -> None:
        """Finish the blocks whose exits are before ``until``, which no later row can affect."""
        for number, _, closed in self._ahead:
            if closed < until:
                self._finish_block(number)
        self._ahead = [block for block in self._ahead if block[2] >= until]

    def finish(self) -> None:
        """Finish the other blocks."""
        for number, _, _ in self._ahead:
            if number not in self._open:
                self._open_block(number)
            self._finish_block(number)
        self._ahead = []

    def _open_block(self, number: int) -> None:
        pairs, kinds, values, steps = columns_of(self.trades, number, "pairs", "kind", "entry_units", "steps")
        rows: dict[str, list[int]] = {}
        for row, (several, kind) in enumerate(zip(pairs, kinds, strict=True)):
            if kind != "loop":
                rows.setdefault(str(several[0]), []).append(row)
        self._open[number] = [
            _Segments(pair, [(row, kinds[row], values[row], steps[row]) for row in own]) for pair, own in rows.items()
        ]

    def _finish_block(self, number: int) -> None:
        worst, best = columns_of(self.trades, number, "mae", "mfe")
        for segments in self._open.pop(number):
            for row, (mae, mfe) in segments.excursions():
                worst[row], best[row] = mae, mfe
        self.trades.set_columns(number, {"mae": worst, "mfe": best})


class _Segments:
    """The segments of a pair's trades (the periods between consecutive changes in the holding), with each segment's
    lowest and highest price. A trade is given as (row, kind, entry value, steps).
    """

    def __init__(self, pair: str, trades: Sequence[tuple[int, str, int, Steps]]) -> None:
        self.pair = pair
        self._trades = trades
        rows = [
            (steps[n][0], steps[n + 1][0], 1 if kind == "long" else -1)
            for _, kind, _, steps in trades
            for n in range(len(steps) - 1)
        ]
        table = np.array(rows, dtype=np.int64).reshape(-1, 3)
        self._starts, self._ends, self._signs = table[:, 0], table[:, 1], table[:, 2]
        self._low = np.full(len(rows), np.inf)
        self._high = np.full(len(rows), -np.inf)

    def see(self, columns: MarketColumns, withheld: Sequence[Withheld]) -> None:
        """Process the rows of a slice."""
        scale = 10**columns.pair.rules.price_decimals
        everything = slice(None)
        if isinstance(columns, BookColumns):
            # a long position is valued at the best bid, a short position at the best ask
            for sign, ticks in ((1, columns.bid_ticks[:, 0]), (-1, columns.ask_ticks[:, 0])):
                shown = ticks > 0
                times, prices = columns.received[shown], ticks[shown] / scale
                self._take(times, times, prices, prices, np.flatnonzero(self._signs == sign))
        elif isinstance(columns, CandleColumns):
            figures = (columns.time, columns.high / scale, columns.low / scale)
            ends, _, begins, high, low = taken_in(withheld, columns, columns.received, columns.close / scale, *figures)
            self._take(begins, ends, low, high, everything)
        else:
            times, prices = taken_in(withheld, columns, columns.received, columns.ticks / scale)
            self._take(times, times, prices, prices, everything)

    def _take(
        self, begins: TimeArray, ends: TimeArray, low: FloatArray, high: FloatArray, which: TimeArray | slice
    ) -> None:
        """Update the extremes with rows, each valid from its entry in ``begins`` to its entry in ``ends``. A row
        affects a segment only if it lies completely within the segment.
        """
        starts, stops = self._starts[which], self._ends[which]
        # The trade that caused the step at a segment's start has the same timestamp, so the segment excludes rows at
        # that time. A candle that starts at that time is included.
        is_moment = begins is ends
        first = np.searchsorted(begins, starts, side="right" if is_moment else "left")
        last = np.searchsorted(ends, stops, side="right")
        inside = np.flatnonzero(last > first)
        if not len(inside):
            return
        lowest, highest = _extremes(low, high, first[inside], last[inside])
        places = inside if isinstance(which, slice) else which[inside]
        self._low[places] = np.minimum(self._low[places], lowest)
        self._high[places] = np.maximum(self._high[places], highest)

    def excursions(self) -> Iterator[tuple[int, tuple[float, float]]]:
        """Yield (row, (mae, mfe)) for each trade."""
        low, high, at = self._low.tolist(), self._high.tolist(), 0
        for row, _, value, steps in self._trades:
            segments = len(steps) - 1
            if value:
                yield row, _range_of(value, steps, low[at : at + segments], high[at : at + segments])
            at += segments


def _range_of(value: int, steps: Steps, low: Sequence[float], high: Sequence[float]) -> tuple[float, float]:
    """Return a trade's worst and best result before fees, as fractions of its entry value. A result is the money
    received less the money paid up to a segment, plus the value of the holding. The holding is valued at the segment's
    prices and at the prices of the adjacent fills.
    """
    held = money = 0
    worst = best = 0.0
    for number in range(len(steps) - 1):
        held += steps[number][1]
        money += steps[number][2]
        if not held:
            continue
        prices = [low[number], high[number], *(abs(steps[n][2] / steps[n][1]) for n in (number, number + 1))]
        results = [(money + held * price) / value for price in prices if math.isfinite(price)]
        worst, best = min(worst, *results), max(best, *results)
    return worst, best


def _extremes(low: FloatArray, high: FloatArray, first: TimeArray, last: TimeArray) -> tuple[FloatArray, FloatArray]:
    """Return the minimum of ``low`` and the maximum of ``high`` in each range from ``first`` up to, but not including,
    ``last``.
    """
    lowest, highest = np.empty(len(first)), np.empty(len(first))
    order = np.argsort(first, kind="stable")
    is_short = (last - first)[order] <= _SHORT
    short = order[is_short]
    if len(short):
        bounds = np.column_stack((first[short], last[short])).ravel()
        # a range may extend to the end of the array, but reduceat requires indices within the array
        lowest[short] = np.minimum.reduceat(np.append(low, np.inf), bounds)[::2]
        highest[short] = np.maximum.reduceat(np.append(high, -np.inf), bounds)[::2]
    if not is_short.all():
        starts = np.arange(0, len(low), _BLOCK)
        lows, highs = np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
        for index in order[~is_short].tolist():
            begin, end = int(first[index]), int(last[index])
            block, beyond = -(-begin // _BLOCK), end // _BLOCK
            edges = (slice(begin, block * _BLOCK), slice(beyond * _BLOCK, end))
            lowest[index] = min(lows[block:beyond].min(), *(low[edge].min(initial=np.inf) for edge in edges))
            highest[index] = max(highs[block:beyond].max(), *(high[edge].max(initial=-np.inf) for edge in edges))
    return lowest, highest


class _Marks:
    """Finds the mid prices at fills and afterwards, a block of fills at a time."""

    def __init__(self, fills: Sequence[FillRow], books: Collection[str], end: Nanos, age: Nanos) -> None:
        self.found = PackedRows(MARKS)
        self.pairs: set[str] = set()
        self._fills, self._run_end, self._age = fills, end, age
        #: the blocks that are not finished, with their first and last times at which a price is needed
        self._ahead: deque[tuple[int, Nanos, Nanos]] = deque()
        self._open: dict[int, list[_Moments]] = {}
        #: the latest mid price of each pair, and its time
        self._latest: dict[str, tuple[float, Nanos]] = {}
        for number, (pairs, times) in enumerate(column_blocks(fills, "pair", "time")):
            self.pairs.update(str(pair) for pair in set(pairs) if pair in books)
            self._ahead.append((number, min(times), max(times) + MARKOUTS_S[-1] * NS_PER_S))
        if not self.pairs:
            self._ahead.clear()

    def begin(self, until: Nanos) -> None:
        """Open the blocks with fills before ``until``."""
        for number, first, _ in self._ahead:
            if first <= until and number not in self._open:
                self._open_block(number)

    def see(self, columns: BookColumns) -> None:
        """Process the books of a slice."""
        if columns.pair not in self.pairs:
            return
        bids, asks = columns.bid_ticks[:, 0], columns.ask_ticks[:, 0]
        whole = (bids > 0) & (asks > 0)
        times = columns.received[whole]
        if not len(times):
            return
        mids = (bids[whole] + asks[whole]) / (2 * 10**columns.pair.rules.price_decimals)
        for block in self._open.values():
            for moments in block:
                if moments.pair == columns.pair:
                    moments.see(times, mids)
        self._latest[columns.pair] = float(mids[-1]), int(times[-1])

    def end(self, until: Nanos) -> None:
        """Finish the blocks whose prices are all known before ``until``."""
        while self._ahead and self._ahead[0][2] < until and self._ahead[0][0] in self._open:
            self._finish_block(self._ahead.popleft()[0])

    def finish(self) -> None:
        """Finish the other blocks."""
        while self._ahead:
            number, _, _ = self._ahead.popleft()
            if number not in self._open:
                self._open_block(number)
            self._finish_block(number)

    def _open_block(self, number: int) -> None:
        rows: dict[str, list[int]] = {}
        pairs, times = columns_of(self._fills, number, "pair", "time")
        for row, pair in enumerate(pairs):
            if pair in self.pairs:
                rows.setdefault(str(pair), []).append(row)
        self._open[number] = [
            _Moments(pair, own, [times[row] for row in own], self._latest.get(pair)) for pair, own in rows.items()
        ]

    def _finish_block(self, number: int) -> None:
        marks = [FillMark()] * len(columns_of(self._fills, number, "time")[0])
        for moments in self._open.pop(number):
            for row, mark in moments.marks(self._run_end, self._age):
                marks[row] = mark
        self.found.extend(marks)


class _Moments:
    """The times of a pair's fills and of their markouts, with the mid price at each time."""

    def __init__(
        self, pair: str, rows: Sequence[int], times: Sequence[Nanos], latest: tuple[float, Nanos] | None
    ) -> None:
        self.pair = pair
        self._rows = rows
        #: shape (fills, 1 + len(MARKOUTS_S))
        self._times = np.array(times, np.int64)[:, None] + np.array([0, *MARKOUTS_S], dtype=np.int64) * NS_PER_S
        mid, seen = (np.nan, -(1 << 62)) if latest is None else latest
        self._mids = np.full(self._times.shape, mid)
        self._seen = np.full(self._times.shape, seen, dtype=np.int64)

    def see(self, times: TimeArray, mids: FloatArray) -> None:
        """Process the mid prices of a slice."""
        at = np.searchsorted(times, self._times, side="right") - 1
        later = at >= 0
        self._mids[later] = mids[at[later]]
        self._seen[later] = times[at[later]]

    def marks(self, end: Nanos, age: Nanos) -> Iterator[tuple[int, FillMark]]:
        """Yield (row, mark) for each fill."""
        known = ((self._times - self._seen <= age) & (self._times < end)).tolist()
        for row, mids, are_known in zip(self._rows, self._mids.tolist(), known, strict=True):
            mid, *after = [value if is_known else None for value, is_known in zip(mids, are_known, strict=True)]
            yield row, FillMark(mid, tuple(after))
