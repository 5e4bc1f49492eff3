"""Candles returned by read requests are built from preloaded minutes and past trades. The unfinished candle is included
on request.
"""

from __future__ import annotations

import numpy as np

from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.clock import NS_PER_HOUR, NS_PER_MINUTE
from botkit.model.columns import CandleColumns, TradeColumns
from botkit.sim.history import CandleHistory
from botkit.sim.streams import TradeStream

PAIR = packaged_pairs()["btc_twd"]
T0 = 1_790_298_000 * 10**9 // NS_PER_HOUR * NS_PER_HOUR


def candles(rows: list[tuple[int, ...]]) -> CandleColumns:
    """Build candles from (minutes after T0, open, high, low, close, lots)."""
    table = np.array(rows, dtype=np.int64).T
    start = T0 + table[0] * NS_PER_MINUTE
    return CandleColumns(PAIR, "1m", start + NS_PER_MINUTE, start, *table[1:])


def trades(rows: list[tuple[int, int, int, int]]) -> TradeStream:
    """Build trades from (received second, trade second, ticks, lots), both relative to T0."""
    table = np.array(rows, dtype=np.int64).T
    stream = TradeStream()
    sides = np.ones(len(rows), dtype=np.int8)
    stream.load(TradeColumns(PAIR, T0 + table[0] * 10**9, T0 + table[1] * 10**9, table[2], table[3], sides))
    return stream


def test_preloaded_minutes_and_past_trades_form_one_history() -> None:
    history = CandleHistory(PAIR)
    history.preload(candles([(0, 10, 14, 9, 12, 5), (1, 12, 12, 12, 12, 0), (2, 12, 13, 11, 11, 7)]))
    stream = trades([(181, 180, 20, 1), (182, 181, 22, 2), (250, 239, 8, 4), (251, 250, 21, 3)])
    history.absorb(stream, 4)
    minutes = history.rows("1m", T0, T0 + NS_PER_HOUR)
    # a minute without trades has no candle; the third trade is late, so it is in an earlier minute than the fourth
    # trade
    assert [((start - T0) // NS_PER_MINUTE, row) for start, row in minutes] == [
        (0, [10, 14, 9, 12, 5]),
        (2, [12, 13, 11, 11, 7]),
        (3, [20, 22, 8, 8, 7]),
        (4, [21, 21, 21, 21, 3]),
    ]
    assert history.rows("1h", T0, T0 + NS_PER_HOUR) == [(T0, [10, 22, 8, 21, 22])]


def test_a_minute_added_late_is_inserted_in_order() -> None:
    history = CandleHistory(PAIR)
    history.absorb(trades([(200, 190, 5, 1)]), 1)
    history.preload(candles([(1, 7, 7, 7, 7, 1)]))
    assert [row[0] for _, row in history.rows("1m", T0, T0 + NS_PER_HOUR)] == [7, 5]


def test_time_bounds_apply_to_bucket_starts_and_unfinished_candles_are_excluded() -> None:
    history = CandleHistory(PAIR)
    history.preload(candles([(minute, 10, 10, 10, 10, 1) for minute in range(20)]))
    five = NS_PER_MINUTE * 5
    starts = [start for start, _ in history.rows("5m", T0 + 1, T0 + 3 * five)]
    assert starts == [T0 + five, T0 + 2 * five]
    ended = history.candles("5m", T0, T0 + NS_PER_HOUR, T0 + 4 * five - 1)
    assert [candle.time for candle in ended] == [T0, T0 + five, T0 + 2 * five]
