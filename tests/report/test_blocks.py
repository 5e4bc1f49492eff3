"""Long columns are read in blocks, with the same result as at once."""

from __future__ import annotations

import tracemalloc

import numpy as np

from botkit.report.blocks import deltas_in_blocks, picked, rows_until
from botkit.report.html import render_parts
from botkit.report.packing import BLOCK_ROWS, deltas, packed, unpacked
from tests.report.large_run import large_run

ROWS = 2 * BLOCK_ROWS + 17


def test_rows_up_to_a_time_are_counted_across_blocks() -> None:
    random = np.random.default_rng(1)
    times = np.cumsum(random.integers(1, 4, ROWS)).astype(np.int64)
    edges = times[[0, BLOCK_ROWS - 1, BLOCK_ROWS, -1]]
    at = np.concatenate((random.integers(-5, int(times[-1]) + 5, 500), edges, edges - 1, edges + 1))
    assert rows_until(times.tolist(), at).tolist() == np.searchsorted(times, at, side="right").tolist()


def test_values_are_picked_across_blocks() -> None:
    values = np.random.default_rng(2).random(ROWS)
    rows = np.array([ROWS - 1, 0, BLOCK_ROWS, BLOCK_ROWS - 1, 5, 5])
    assert picked(values.tolist(), rows).tolist() == values[rows].tolist()


def test_a_column_in_blocks_is_packed_as_it_is_at_once() -> None:
    steps = np.random.default_rng(3).integers(-300, 300, ROWS) * 5
    values = np.cumsum(steps).astype(np.int64)
    parts = [values[:BLOCK_ROWS], values[BLOCK_ROWS : 2 * BLOCK_ROWS], values[2 * BLOCK_ROWS :]]
    assert packed({"v": deltas_in_blocks(parts)}) == packed({"v": deltas(values)})
    assert unpacked(packed([deltas_in_blocks(parts)])) == [np.diff(values, prepend=0).tolist()]


def test_the_page_of_a_million_candles_is_written_with_little_memory() -> None:
    result = large_run(1_000_000, 200)
    sum(map(len, render_parts(large_run(100, 2))))  # templates and scripts are read once
    tracemalloc.start()
    try:
        size = sum(map(len, render_parts(result)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 4_000_000
    assert peak < 45_000_000
