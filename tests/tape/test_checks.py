"""Checks of recorded data, and spreads measured from this data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest

from botkit.errors import DataError
from botkit.model.columns import BookColumns, CandleColumns, MarketColumns, TradeColumns
from botkit.model.extension import Options
from botkit.model.pairs import Pair
from botkit.tape.checks import StreamReport, check_contents, inspect
from botkit.tape.feed import FileSource
from botkit.tape.spread import measure_spread
from botkit.tape.tape import Tape
from botkit.tape.writer import TapeWriter

S = 10**9


class Rows:
    endings: tuple[str, ...] = ()

    def __init__(self, *columns: MarketColumns) -> None:
        self.columns = columns

    def read(self, path: Path, pairs: Mapping[str, Pair], options: Options) -> object:
        return iter(self.columns)


def look(*columns: MarketColumns) -> StreamReport:
    (report,) = inspect(FileSource("rows", Rows(*columns), {}))  # type: ignore[arg-type]
    return report


def found(report: StreamReport) -> dict[str, tuple[int, int]]:
    return {f.what: (f.rows, f.row) for f in report.findings}


def test_clean_data_has_no_findings(
    make_trades: Callable[..., TradeColumns],
    make_books: Callable[..., BookColumns],
    make_candles: Callable[..., CandleColumns],
) -> None:
    for columns in (make_trades([1, 2, 5]), make_books([1, 2, 5]), make_candles([1, 2, 3])):
        assert found(look(columns)) == {}


def test_crossed_and_empty_books_are_found(make_books: Callable[..., BookColumns]) -> None:
    books = make_books(list(range(6)))
    bids, lots = books.bid_ticks.copy(), books.ask_lots.copy()
    bids[2] += 20
    bids[4, 0] = bids[4, 1]
    lots[3, 0] = 0
    report = look(msgspec.structs.replace(books, bid_ticks=bids, ask_lots=lots))
    assert found(report) == {
        "crossed book": (1, 2),
        "a side of the book is empty": (1, 3),
        "book levels are not in order": (1, 4),
    }
    assert report.crossed == 1


def test_a_gap_in_the_books_is_found(make_books: Callable[..., BookColumns]) -> None:
    books = make_books([1, 2, 302, 603, 604])
    for parts in ((books,), (books.rows(0, 3), books.rows(3, 5))):
        assert found(look(*parts)) == {"more than 300 s since the previous book": (1, 3)}


def test_hours_without_trades_are_noted_unless_such_hours_are_usual_for_the_pair(
    make_trades: Callable[..., TradeColumns],
) -> None:
    busy = [*range(0, 5_000, 10), *range(20_000, 25_000, 10)]
    columns = make_trades(busy)
    for parts in ((columns,), (columns.rows(0, 500), columns.rows(500, len(busy)))):
        (note,) = look(*parts).notes()
        assert note.startswith("btc_usdt trades: no trade for 15,010 s from 1970-01-01T01:23:10.040Z, but ")
        assert "one every 25.0 s on average" in note
    assert look(make_trades([n * 4_000 for n in range(1_000)])).notes() == []
    assert look(make_trades([*range(0, 5_000, 10), 5_000 + 3_000])).notes() == []  # less than an hour


def test_adjacent_rows_are_compared_across_chunk_boundaries(make_candles: Callable[..., CandleColumns]) -> None:
    candles = make_candles([1, 2, 5, 5, 6])
    twin = msgspec.structs.replace(
        candles,
        **{n: np.insert(np.delete(getattr(candles, n), 3), 3, getattr(candles, n)[2]) for n in ("open", "close")},
    )
    for cut in range(1, 5):
        report = look(twin.rows(0, cut), twin.rows(cut, 5))
        assert found(report)["candles are missing before this row"] == (1, 2)
        assert found(report)["second candle for the same time"] == (1, 3)
        assert (report.gaps, report.missing_candles) == (1, 2)


def test_duplicate_rows_are_counted(
    make_trades: Callable[..., TradeColumns], make_books: Callable[..., BookColumns]
) -> None:
    books = make_books([1, 2, 3])
    doubled = BookColumns(
        books.pair,
        *(np.repeat(getattr(books, n), 2, axis=0) for n in books.__struct_fields__ if n != "pair"),
    )
    assert look(doubled).doubled == 3
    assert found(look(doubled)) == {"doubled row": (3, 1)}
    trades = make_trades([1, 2])
    twice = TradeColumns(
        trades.pair, *(np.repeat(getattr(trades, n), 2) for n in trades.__struct_fields__ if n != "pair")
    )
    # identical trades occur when one taker matches several makers: they are counted, but are not an error
    assert look(twice).doubled == 2
    assert found(look(twice)) == {}


def test_invalid_prices_and_price_spikes_are_found(make_trades: Callable[..., TradeColumns]) -> None:
    trades = make_trades([1, 2, 3, 4])
    ticks = trades.ticks.copy()
    ticks[1] = 0
    ticks[3] *= 3
    report = look(msgspec.structs.replace(trades, ticks=ticks))
    assert found(report) == {"price is zero or negative": (1, 1), "price jumps by a factor of 2 or more": (1, 3)}
    assert "row 1 (1970-01-01T00:00:02.040Z)" in report.findings[0].sentence()


def test_out_of_order_rows_are_found(make_trades: Callable[..., TradeColumns]) -> None:
    trades = make_trades([1, 3, 2, 4])
    assert found(look(trades)) == {"received before the previous row": (1, 2)}


def test_modified_rows_on_a_tape_are_detected(
    tmp_path: Path, pairs: Mapping[str, Pair], make_trades: Callable[..., TradeColumns]
) -> None:
    for name, seconds in (("a", [1, 2, 3]), ("b", [1, 2, 4])):
        with TapeWriter(tmp_path / name, source="test", recorded="by hand") as writer:
            writer.write(make_trades(seconds))
    tape = Tape.open(tmp_path / "a", pairs)
    assert check_contents(tape) == []
    other = next((tmp_path / "b").rglob("*.parquet")).read_bytes()
    file = next((tmp_path / "a").rglob("*.parquet"))
    file.write_bytes(other)
    (sentence,) = check_contents(tape)
    assert "the rows differ from those recorded" in sentence
    file.unlink()
    (sentence,) = check_contents(tape)
    assert "is missing" in sentence


def test_spread_depth_and_cost_of_a_made_up_book_are_measured(pairs: Mapping[str, Pair]) -> None:
    times = np.arange(1, 4, dtype=np.int64) * S
    row = np.ones((3, 1), dtype=np.int64)
    coin = 10**8
    books = BookColumns(
        pairs["btc_usdt"],
        times,
        times - 1,
        row * np.array([9_900, 9_800]),  # 99, 98
        row * np.array([coin, coin]),
        row * np.array([10_100, 10_200]),  # 101, 102
        row * np.array([coin, 2 * coin]),
    )
    source = FileSource("rows", Rows(books), {})  # type: ignore[arg-type]
    report = measure_spread(source, "btc_usdt", [50, 150, 250])
    assert report.books == 3
    assert report.spread_bps[2] == pytest.approx(200)
    assert report.best_value[2] == pytest.approx(99)
    assert report.depth_value[2] == pytest.approx(197)
    small, middle, large = report.costs
    assert (small.fits, small.median_bps) == (1, pytest.approx(100))
    # buying for 150: 101 at 101, 49 at 102; selling for 150: 99 at 99, 51 at 98
    buy = 150 / (1 + 49 / 102) - 100
    sell = 100 - 150 / (1 + 51 / 98)
    assert middle.median_bps == pytest.approx((buy + sell) / 2 * 100)
    assert (large.fits, large.median_bps) == (0, None)
    assert report.slippage == "0.01000"
    with pytest.raises(DataError, match="has no books for btc_twd"):
        measure_spread(source, "btc_twd")
