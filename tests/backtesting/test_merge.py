"""Merging several streams into one totally ordered sequence of rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.columns import MarketColumns, TradeColumns
from botkit.model.merged_rows import MergedRows

PAIRS = packaged_pairs()


def trades(name: str, received: list[int]) -> TradeColumns:
    times = np.array(received, dtype=np.int64)
    ones = np.ones(len(times), dtype=np.int64)
    return TradeColumns(PAIRS[name], times, times, ones, ones, np.ones(len(times), dtype=np.int8))


def rows_of(streams: list[TradeColumns]) -> list[tuple[MarketColumns, int, int]]:
    """Return (stream, first row, index after the last row) for each run of consecutive rows from one stream."""
    rows = MergedRows(streams)
    found, position = [], 0
    while position < len(rows):
        columns, row, end = rows.at(position)
        found.append((columns, row, row + end - position))
        position = end
    return found


def test_merging_no_streams_yields_no_rows() -> None:
    assert rows_of([]) == []
    assert rows_of([trades("btc_usdt", [])]) == []


def test_the_rows_of_a_single_stream_form_one_segment() -> None:
    only = trades("btc_usdt", [1, 2, 2, 3])
    assert rows_of([trades("eth_usdt", []), only]) == [(only, 0, 4)]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.lists(st.integers(0, 12), max_size=12).map(sorted), max_size=4))
def test_rows_are_ordered_by_time_then_by_stream_then_by_row(times: list[list[int]]) -> None:
    names = ("btc_twd", "btc_usdt", "eth_twd", "eth_usdt")
    streams = [trades(name, received) for name, received in zip(names, times, strict=False)]
    merged = [(columns.pair, row) for columns, first, stop in rows_of(streams) for row in range(first, stop)]
    expected = sorted((time, order, row) for order, received in enumerate(times) for row, time in enumerate(received))
    assert merged == [(streams[order].pair, row) for _, order, row in expected]
    rows = MergedRows(streams)
    assert rows.received.tolist() == [time for time, _, _ in expected]
    for position, (_, order, row) in enumerate(expected):
        assert rows.at(position)[:2] == (streams[order], row)
