"""Gaps in a candle tape are filled with flat rows of zero volume, regardless of how the tape is split into chunks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.backtesting.contiguous import GapFiller
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.clock import NS_PER_DAY, NS_PER_MINUTE
from botkit.model.columns import CandleColumns

PAIR = packaged_pairs()["btc_usdt"]
DELAY = 7


def candles(minutes: list[int], resolution: str = "1m", length: int = NS_PER_MINUTE) -> CandleColumns:
    time = np.array(minutes, dtype=np.int64) * length
    price = np.array([100 + m for m in minutes], dtype=np.int64)
    lots = np.ones(len(minutes), dtype=np.int64)
    return CandleColumns(PAIR, resolution, time + length + DELAY, time, price, price + 2, price - 2, price + 1, lots)


def rows(columns: CandleColumns) -> list[tuple[int, ...]]:
    parts = (columns.received, columns.time, columns.open, columns.high, columns.low, columns.close, columns.lots)
    return list(zip(*(part.tolist() for part in parts), strict=True))


def test_a_tape_without_gaps_is_unchanged() -> None:
    whole = candles([3, 4, 5])
    filler = GapFiller()
    assert filler.fill(whole) is whole
    assert filler.filled == 0


def test_a_gap_is_filled_with_the_previous_close() -> None:
    filler = GapFiller()
    filled = filler.fill(candles([3, 6]))
    assert filled.time.tolist() == [minute * NS_PER_MINUTE for minute in (3, 4, 5, 6)]
    assert filled.close.tolist() == [104, 104, 104, 107]
    assert filled.open.tolist() == [103, 104, 104, 106]
    assert filled.lots.tolist() == [1, 0, 0, 1]
    assert (filled.received - filled.time).tolist() == [NS_PER_MINUTE + DELAY] * 4
    assert filler.filled == 2


def test_gaps_in_monthly_candles_are_not_filled() -> None:
    months = candles([0, 62], "1M", NS_PER_DAY)
    assert GapFiller().fill(months) is months


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=20), st.lists(st.integers(0, 20), max_size=4))
def test_the_result_does_not_depend_on_chunk_boundaries(steps: list[int], cuts: list[int]) -> None:
    minutes = np.cumsum(steps).tolist()
    whole = candles(minutes)
    expected = rows(GapFiller().fill(whole))
    filler, found = GapFiller(), []
    bounds = sorted({0, len(minutes), *(min(cut, len(minutes)) for cut in cuts)})
    for start, stop in pairwise(bounds):
        found += rows(filler.fill(whole.rows(start, stop)))
    assert found == expected
    assert [row[1] // NS_PER_MINUTE for row in found] == list(range(minutes[0], minutes[-1] + 1))
