"""Reads a finished run's data a second time, to determine how prices moved during its trades and after its fills.

All trades are known once the run has finished, so one pass over the slices is enough. Memory is bounded: the pass keeps
only arrays of the trades' segments and of the times at which prices are needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from botkit.backtesting.at_best import AtBest
from botkit.backtesting.downsample import FloatArray, TimeArray
from botkit.backtesting.plan import Plan
from botkit.backtesting.withheld import taken_in
from botkit.engine.outcome_parts import Withheld
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.columns import BookColumns, CandleColumns, MarketColumns
from botkit.model.results import MARKOUTS_S, ClosedTrade, FillMark, FillRow, RestRow
from botkit.tape.feed import Feed

#: segments of up to this many rows are processed by numpy in a single batch
_SHORT = 4_096
#: for longer segments, extremes are precomputed for blocks of this many rows
_BLOCK = 1_024


class SecondLook(msgspec.Struct):
    """The results of the second pass: the trades with their excursions, the mid prices at and after each fill (empty
    without order books), and how limit orders ranked in the books.
    """

    trades: list[ClosedTrade]
    marks: list[FillMark]
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

    ``withheld`` are rows that the bot rejected; their prices are also ignored here. A mark's mid price is None if the
    last book was older than ``max_book_age_s``, or if there was no more data.
    """
    books = {pair for pair, kind, _ in plan.keys if kind == "books"}
    spans = [_Segments(trades, pair) for pair in dict.fromkeys(trade.pairs[0] for trade in trades)]
    moments = [_Moments(fills, pair) for pair in dict.fromkeys(str(fill.pair) for fill in fills) if pair in books]
    wanted = {span.pair for span in spans} | {moment.pair for moment in moments}
    rests = [rest for rest in rests if str(rest.pair) in books]
    wanted |= {str(rest.pair) for rest in rests}
    keys = [key for key in plan.keys if key[0] in wanted]
    for piece in feed.slices(keys, plan.start, plan.end, rows_max=rows_max) if keys else ():
        for columns in piece.columns:
            for span in spans:
                if span.pair == columns.pair:
                    span.see(columns, withheld)
            for moment in moments:
                if moment.pair == columns.pair and isinstance(columns, BookColumns):
                    moment.see(columns)
            for rest in rests:
                if rest.pair == columns.pair and isinstance(columns, BookColumns):
                    rest.see(columns)
    found: dict[int, tuple[float, float]] = {}
    for span in spans:
        found.update(span.excursions(trades))
    marks = [FillMark()] * len(fills) if moments else []
    for moment in moments:
        for index, mark in moment.marks(plan.end, max_book_age_s * NS_PER_S):
            marks[index] = mark
    excursions = [_with_excursions(trade, found.get(index)) for index, trade in enumerate(trades)]
    return SecondLook(excursions, marks, [rest.row() for rest in rests])


def _with_excursions(trade: ClosedTrade, found: tuple[float, float] | None) -> ClosedTrade:
    return trade if found is None else msgspec.structs.replace(trade, mae=found[0], mfe=found[1])


class _Segments:
    """The segments of a pair's trades (the periods between consecutive changes in the holding), with each segment's
    lowest and highest price.
    """

    def __init__(self, trades: Sequence[ClosedTrade], pair: str) -> None:
        self.pair = pair
        self._trades: list[int] = []
        rows: list[tuple[Nanos, Nanos, int]] = []
        for index, trade in enumerate(trades):
            if trade.kind != "loop" and trade.pairs[0] == pair:
                self._trades.append(index)
                rows += [
                    (trade.steps[n][0], trade.steps[n + 1][0], 1 if trade.kind == "long" else -1)
                    for n in range(len(trade.steps) - 1)
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

    def excursions(self, trades: Sequence[ClosedTrade]) -> Iterable[tuple[int, tuple[float, float]]]:
        """Yield (index, (mae, mfe)) for each of the pair's trades."""
        at = 0
        for index in self._trades:
            trade = trades[index]
            segments = len(trade.steps) - 1
            if trade.entry_units:
                yield index, _range_of(trade, self._low[at : at + segments], self._high[at : at + segments])
            at += segments


def _range_of(trade: ClosedTrade, low: FloatArray, high: FloatArray) -> tuple[float, float]:
    """Return a trade's worst and best result before fees, as fractions of its entry value. A result is the money
    received less the money paid up to a segment, plus the value of the holding. The holding is valued at the segment's
    prices and at the prices of the adjacent fills.
    """
    held = money = 0
    worst = best = 0.0
    steps = trade.steps
    for number in range(len(steps) - 1):
        held += steps[number][1]
        money += steps[number][2]
        if not held:
            continue
        prices = [low[number], high[number], *(abs(steps[n][2] / steps[n][1]) for n in (number, number + 1))]
        results = [(money + held * price) / trade.entry_units for price in prices if np.isfinite(price)]
        worst, best = min(worst, *results), max(best, *results)
    return float(worst), float(best)


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


class _Moments:
    """The times of a pair's fills and of their markouts, with the mid price at each time."""

    def __init__(self, fills: Sequence[FillRow], pair: str) -> None:
        self.pair = pair
        self._indices = [index for index, fill in enumerate(fills) if fill.pair == pair]
        times = np.array([fills[index].time for index in self._indices], dtype=np.int64)
        #: shape (fills, 1 + len(MARKOUTS_S))
        self._times = times[:, None] + np.array([0, *MARKOUTS_S], dtype=np.int64) * NS_PER_S
        self._mids = np.full(self._times.shape, np.nan)
        self._seen = np.full(self._times.shape, -(1 << 62), dtype=np.int64)

    def see(self, columns: BookColumns) -> None:
        """Process the books of a slice."""
        bids, asks = columns.bid_ticks[:, 0], columns.ask_ticks[:, 0]
        whole = (bids > 0) & (asks > 0)
        times = columns.received[whole]
        if not len(times):
            return
        mids = (bids[whole] + asks[whole]) / (2 * 10**columns.pair.rules.price_decimals)
        at = np.searchsorted(times, self._times, side="right") - 1
        later = at >= 0
        self._mids[later] = mids[at[later]]
        self._seen[later] = times[at[later]]

    def marks(self, end: Nanos, age: Nanos) -> Iterable[tuple[int, FillMark]]:
        """Yield (fill index, mark) for each fill."""
        known = (self._times - self._seen <= age) & (self._times < end)
        for row, index in enumerate(self._indices):
            mid, *after = [
                float(value) if is_known else None for value, is_known in zip(self._mids[row], known[row], strict=True)
            ]
            yield index, FillMark(mid, tuple(after))
