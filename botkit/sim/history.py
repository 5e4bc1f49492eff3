"""Candles built from past recorded trades, for reads over the wire (GET /trading-history)."""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import pairwise

import numpy as np

from botkit.model.clock import NS_PER_MINUTE, Nanos
from botkit.model.columns import CandleColumns
from botkit.model.events import Candle
from botkit.model.pairs import Pair
from botkit.model.resolutions import bucket_end, bucket_start
from botkit.sim.streams import CandleStream, TradeStream

#: the maximum number of trades to aggregate into minutes at once
_ROWS = 1 << 20


class CandleHistory:
    """One-minute candles of one pair as [open, high, low, close, lots], by exchange time. Longer candles are built from
    one-minute candles.

    Intervals without trades have no candle, as on the exchange.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self._minutes: dict[Nanos, list[int]] = {}
        self._order: list[Nanos] = []  # kept sorted, so that a year of minutes need not be sorted on every read
        self._absorbed = 0

    def preload(self, candles: CandleColumns) -> None:
        """Add completed one-minute candles from before the first trade; candles without volume are skipped."""
        assert candles.resolution == "1m", candles.resolution
        columns = (candles.open, candles.high, candles.low, candles.close, candles.lots)
        rows = zip(candles.time.tolist(), np.column_stack(columns).tolist(), strict=True)
        traded = [(minute, row) for minute, row in rows if row[4]]
        minutes = [minute for minute, _ in traded]
        if all(a < b for a, b in pairwise([*self._order[-1:], *minutes])):
            # usually, these minutes are later than all others; appending them then avoids a search for each minute
            self._minutes.update(traded)
            self._order += minutes
            return
        for minute, row in traded:
            self._add(minute, row)

    def absorb(self, trades: TradeStream, upto: int) -> None:
        """Aggregate new rows, up to but excluding row number ``upto``."""
        while self._absorbed < upto:
            stop = min(upto, self._absorbed + _ROWS)
            cut = slice(max(self._absorbed - trades.first, 0), stop - trades.first)
            self._absorbed = stop
            minutes = trades.time[cut] // NS_PER_MINUTE
            # timestamps may decrease slightly in order of receipt
            order = np.argsort(minutes, kind="stable")
            ticks, lots, minutes = trades.ticks[cut][order], trades.lots[cut][order], minutes[order]
            if not len(minutes):
                continue
            starts = np.flatnonzero(np.diff(minutes, prepend=minutes[0] - 1))
            ends = np.append(starts[1:], len(minutes)) - 1
            columns = zip(
                (minutes[starts] * NS_PER_MINUTE).tolist(),
                ticks[starts].tolist(),
                np.maximum.reduceat(ticks, starts).tolist(),
                np.minimum.reduceat(ticks, starts).tolist(),
                ticks[ends].tolist(),
                np.add.reduceat(lots, starts).tolist(),
                strict=True,
            )
            for minute, *row in columns:
                self._add(minute, row)

    def _add(self, minute: Nanos, row: list[int]) -> None:
        if minute not in self._minutes:
            insort(self._order, minute)
        self._merge(self._minutes, minute, row)

    @staticmethod
    def _merge(into: dict[Nanos, list[int]], start: Nanos, row: list[int]) -> None:
        old = into.get(start)
        if old is None:
            into[start] = list(row)
            return
        old[1] = max(old[1], row[1])
        old[2] = min(old[2], row[2])
        old[3] = row[3]
        old[4] += row[4]

    def candles(self, resolution: str, start: Nanos, end: Nanos, now: Nanos) -> tuple[Candle, ...]:
        """Build the candles that have ended by ``now``, with ``start`` <= bucket start < ``end``, oldest first."""
        rows = self.rows(resolution, start, end)
        ended = [(bucket, row) for bucket, row in rows if bucket_end(bucket, resolution) <= now]
        return tuple(_candle(self.pair, resolution, bucket, row) for bucket, row in ended)

    def rows(self, resolution: str, start: Nanos, end: Nanos) -> list[tuple[Nanos, list[int]]]:
        """Return (bucket start, [open, high, low, close, lots]) for all buckets with ``start`` <= bucket start <
        ``end``, oldest first, including the unfinished bucket.
        """
        buckets: dict[Nanos, list[int]] = {}
        for index in range(bisect_left(self._order, start), len(self._order)):
            minute = self._order[index]
            bucket = minute if resolution == "1m" else bucket_start(minute, resolution)
            if bucket >= end:
                break
            if bucket >= start:
                self._merge(buckets, bucket, self._minutes[minute])
        return list(buckets.items())


def held_candles(
    pair: Pair, stream: CandleStream, resolution: str, start: Nanos, end: Nanos, now: Nanos
) -> tuple[Candle, ...]:
    """Select the recorded candles with the given resolution that are still in memory and have ended by ``now``. Used
    for candle tapes.
    """
    if stream.resolution != resolution:
        return ()
    stop = stream.position(now) - stream.first
    rows = [i for i in range(stop) if start <= stream.time[i] < end]
    return tuple(
        _candle(
            pair,
            resolution,
            int(stream.time[i]),
            [int(a[i]) for a in (stream.open, stream.high, stream.low, stream.close, stream.lots)],
        )
        for i in rows
    )


def _candle(pair: Pair, resolution: str, start: Nanos, row: list[int]) -> Candle:
    price = pair.rules.price
    return Candle(
        pair, resolution, start, price(row[0]), price(row[1]), price(row[2]), price(row[3]), pair.rules.amount(row[4])
    )
