"""Slices are contiguous, complete and bounded in size for any set of sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.errors import DataError
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.columns import CandleColumns, MarketColumns, TradeColumns
from botkit.model.extension import Options
from botkit.model.pairs import Pair
from botkit.tape.feed import Feed, FileSource, Slice, TapeSource
from botkit.tape.parquet import join
from botkit.tape.writer import TapeWriter

S = 10**9
PAIR = packaged_pairs()["btc_usdt"]
OTHER = packaged_pairs()["btc_twd"]


class Rows:
    """A format that returns the columns passed to it."""

    endings: tuple[str, ...] = ()

    def __init__(self, *columns: MarketColumns) -> None:
        self.columns = columns

    def read(self, path: Path, pairs: Mapping[str, Pair], options: Options) -> object:
        return iter(self.columns)


def trades_of(pair: Pair, received: list[int], lag: int = 1) -> TradeColumns:
    at = np.array(received, dtype=np.int64)
    rows = np.arange(len(at), dtype=np.int64)
    return TradeColumns(pair, at, at - lag, 100 + rows, 1 + rows, np.ones(len(at), dtype=np.int8))


def source(*columns: MarketColumns, name: str = "rows") -> FileSource:
    return FileSource(name, Rows(*columns), packaged_pairs())  # type: ignore[arg-type]


def gathered(slices: list[Slice], pair: str) -> list[int]:
    return [int(t) for s in slices for c in s.columns if c.pair == pair for t in c.received]


received_times = st.lists(st.integers(0, 60), min_size=1, max_size=60).map(sorted)


@settings(max_examples=150, deadline=None)
@given(received_times, received_times, st.integers(1, 40), st.integers(1, 7), st.integers(-3, 30), st.integers(31, 70))
def test_slices_contain_every_row_exactly_once_and_at_its_time(
    a: list[int], b: list[int], rows_max: int, chunk: int, start: int, end: int
) -> None:
    first, second = trades_of(PAIR, a), trades_of(OTHER, b)
    chunks = [c.rows(lo, lo + chunk) for c in (first, second) for lo in range(0, len(c), chunk)]
    feed = Feed([source(*chunks)])
    slices = list(feed.slices([("btc_usdt", "trades", None), ("btc_twd", "trades", None)], start, end, rows_max))
    assert slices[0].start == start
    assert slices[-1].end == end
    for before, after in pairwise(slices):
        assert before.end == after.start
    for piece in slices:
        assert piece.start < piece.end
        for columns in piece.columns:
            assert len(columns)
            assert np.all((columns.received >= piece.start) & (columns.received < piece.end))
    assert gathered(slices, "btc_usdt") == [t for t in a if start <= t < end]
    assert gathered(slices, "btc_twd") == [t for t in b if start <= t < end]


def test_the_number_of_rows_in_a_slice_is_limited() -> None:
    feed = Feed([source(trades_of(PAIR, list(range(10_000))), trades_of(OTHER, list(range(0, 10_000, 10))))])
    wanted = [("btc_usdt", "trades", None), ("btc_twd", "trades", None)]
    sizes = [sum(len(c) for c in s.columns) for s in feed.slices(wanted, rows_max=500)]  # type: ignore[arg-type]
    assert sum(sizes) == 11_000
    assert max(sizes) <= 500


def test_candles_come_before_books_and_trades_in_a_slice(
    make_candles: Callable[..., CandleColumns], make_trades: Callable[..., TradeColumns]
) -> None:
    feed = Feed([source(make_trades([60, 61])), source(make_candles([0, 1]))])
    wanted = [("btc_usdt", "trades", None), ("btc_usdt", "candles", "1m")]
    (piece,) = feed.slices(wanted)  # type: ignore[arg-type]
    assert [c.kind for c in piece.columns] == ["candles", "trades"]
    assert [s.kind for s in feed.streams] == ["candles", "trades"]


def test_feed_ms_delays_only_rows_without_receive_times(
    make_candles: Callable[..., CandleColumns], make_trades: Callable[..., TradeColumns]
) -> None:
    feed = Feed([source(make_candles([0, 1])), source(make_trades([5]))], feed_ms=250)
    spans = {info.kind: (info.start, info.has_receive_times) for info in feed.streams}
    assert spans == {"candles": (60 * S + 250_000_000, False), "trades": (5 * S + 40_000_000, True)}
    (piece,) = feed.slices([("btc_usdt", "candles", "1m")])
    assert piece.columns[0].received.tolist() == [60 * S + 250_000_000, 120 * S + 250_000_000]
    assert piece.columns[0].time.tolist() == [0, 60 * S]
    # a time range is based on receive times, which include the delay
    (late,) = feed.slices([("btc_usdt", "candles", "1m")], start=60 * S + 250_000_001)
    assert len(late.columns[0]) == 1


def test_consecutive_files_form_one_stream() -> None:
    feed = Feed([source(trades_of(PAIR, [10, 11]), name="late"), source(trades_of(PAIR, [1, 2]), name="early")])
    (piece,) = feed.slices([("btc_usdt", "trades", None)])
    assert piece.columns[0].received.tolist() == [1, 2, 10, 11]
    assert feed.streams[0].rows == 4
    assert [row["name"] for row in feed.describe()] == ["early", "late"]


def test_overlapping_sources_are_an_error() -> None:
    with pytest.raises(DataError, match="both have btc_usdt trades"):
        Feed([source(trades_of(PAIR, [1, 5]), name="a"), source(trades_of(PAIR, [5, 6]), name="b")])


def test_the_error_for_a_missing_stream_names_the_available_streams() -> None:
    feed = Feed([source(trades_of(PAIR, [1, 5]))])
    with pytest.raises(DataError, match="no btc_usdt candles 1m; it has btc_usdt trades"):
        list(feed.slices([("btc_usdt", "candles", "1m")]))


def test_a_tape_limited_to_one_pair_hides_the_other_pairs(
    tmp_path: Path, pairs: Mapping[str, Pair], make_trades: Callable[..., TradeColumns]
) -> None:
    with TapeWriter(tmp_path, source="test", recorded="by hand", synthetic=True) as writer:
        writer.write(make_trades([1, 2]))
        writer.write(make_trades([1, 2], pair="btc_twd"))
    feed = Feed([TapeSource(tmp_path, pairs, only=["btc_twd"])])
    assert [info.pair for info in feed.streams] == ["btc_twd"]
    assert feed.synthetic
    assert feed.describe()[0]["synthetic"] is True
    with pytest.raises(DataError, match="has no data for eth_twd"):
        TapeSource(tmp_path, pairs, only=["eth_twd"])


def test_a_large_file_is_reread_instead_of_being_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botkit.tape.feed._KEPT_ROWS", 10)
    columns = [trades_of(PAIR, list(range(lo, lo + 7))) for lo in range(0, 70, 7)]
    whole = join(list(source(*columns).read(("btc_usdt", "trades", None), 3, 65, 4)))
    assert whole.received.tolist() == list(range(3, 65))
