"""Columns in a temporary file: the same rows as in memory, and no more memory for a longer run."""

from __future__ import annotations

import pickle
import tempfile
import tracemalloc
from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from botkit.backtesting import spilled_columns
from botkit.backtesting.downsample import CandleSampler
from botkit.backtesting.spilled_columns import SpilledColumn, SpilledColumns
from botkit.model.clock import NS_PER_MINUTE
from botkit.model.results import PriceCandles
from tests.report.sample_result import pair

BTC = pair("btc_usdt", 2)
COLUMNS = ("times", "open", "high", "low", "close", "volume")


@pytest.fixture
def blocks_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spilled_columns, "BLOCK_ROWS", 4)


def _sampled(rows: list[tuple[int, float]], most: int) -> PriceCandles:
    sampler = CandleSampler(BTC, most)
    times, values = np.array([t for t, _ in rows], np.int64), np.array([v for _, v in rows])
    for begin in range(0, len(rows), 7):
        cut = slice(begin, begin + 7)
        sampler.add(times[cut], values[cut], volume=values[cut] / 3)
    return sampler.candles()


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(0, 10**13), st.floats(1, 1e6)), min_size=1, max_size=200), st.integers(2, 60))
def test_candles_read_back_from_the_file_are_those_kept_in_memory(
    monkeypatch: pytest.MonkeyPatch, rows: list[tuple[int, float]], most: int
) -> None:
    rows.sort(key=lambda row: row[0])
    with monkeypatch.context() as context:
        context.setattr(spilled_columns, "BLOCK_ROWS", 4)
        spilled = _sampled(rows, most)
        found = [list(getattr(spilled, name)) for name in COLUMNS]
    kept = _sampled(rows, most)
    assert isinstance(kept.close, array)
    assert isinstance(spilled.close, SpilledColumn) is (len(kept.close) > 4)
    assert spilled.width == kept.width
    for name, values in zip(COLUMNS[:5], found, strict=False):
        assert values == list(getattr(kept, name)), name
    # the rows of a candle are added up slice by slice, and again where candles are joined
    assert found[5] == pytest.approx(list(kept.volume), rel=1e-12)


@pytest.mark.usefixtures("blocks_of_four")
def test_a_column_reads_like_a_list() -> None:
    columns = SpilledColumns("qd")
    for begin in range(0, 30, 3):
        numbers = np.arange(begin, begin + 3)
        columns.extend(numbers, numbers / 2)
    column, whole = columns.column(0, lambda values: values * 10), [n * 10 for n in range(30)]
    assert not columns.is_in_memory
    assert list(column) == whole
    assert (column[0], column[-1], column[13]) == (0, 290, 130)
    assert all(isinstance(value, int) for value in (column[5], *column[3:6]))
    for cut in (slice(None), slice(3, 9), slice(None, None, 7), slice(20, 90), slice(9, 3), slice(None, None, -1)):
        assert list(column[cut]) == whole[cut]
    with pytest.raises(IndexError):
        column[30]
    assert np.asarray(columns.column(1), np.float32).tolist() == [n / 2 for n in range(30)]


@pytest.mark.usefixtures("blocks_of_four")
def test_a_pickled_column_is_an_array() -> None:
    columns = SpilledColumns("qd")
    columns.extend(np.arange(10), np.arange(10) / 4)
    again: Any = pickle.loads(pickle.dumps([columns.column(0), columns.column(1)]))
    assert again == [array("q", range(10)), array("d", [n / 4 for n in range(10)])]


@pytest.mark.usefixtures("blocks_of_four")
def test_rows_stay_in_memory_if_the_disk_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**options: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    columns = SpilledColumns("q")
    columns.extend(np.arange(50))
    assert list(columns.column(0)) == list(range(50))


def test_a_million_candles_take_two_megabytes_of_memory() -> None:
    sampler, rows = CandleSampler(BTC, 1_050_000), 50_000
    prices = np.linspace(100, 200, rows)
    tracemalloc.start()
    try:
        for begin in range(0, 1_000_000, rows):
            sampler.add((np.arange(rows) + begin) * NS_PER_MINUTE, prices, prices, prices, prices, prices)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(sampler.candles().times) == 1_000_000
    assert kept < 2_000_000
