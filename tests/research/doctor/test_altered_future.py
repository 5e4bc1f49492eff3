"""The doctor replaces all future data that a strategy could peek at, and leaves all past data unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from botkit.model.columns import BookColumns, CandleColumns, MarketColumns, TradeColumns
from botkit.research.doctor.future import altered_feed
from botkit.tape.feed import Feed, TapeSource
from tests.benchmarks import market_data

ROWS, CUT_ROW = 400, 100


def altered(columns: MarketColumns, folder: Path) -> MarketColumns:
    """Return the columns with a different future after row 100."""
    market_data.write_tape(folder / "tape", columns)
    feed = altered_feed(
        Feed([TapeSource(folder / "tape", {str(columns.pair): columns.pair})]),
        int(columns.received[CUT_ROW - 1]),
        seed=1,
    )
    [source] = feed.sources
    [stream] = source.streams
    [found] = source.read((stream.pair, stream.kind, stream.resolution), None, None, ROWS)
    return found


PEEKS: dict[str, tuple[Callable[[], MarketColumns], Callable[[MarketColumns], np.ndarray]]] = {
    "whether the next candle rises": (lambda: market_data.candles(ROWS), lambda c: c.close > c.open),
    "the next candle's low": (lambda: market_data.candles(ROWS), lambda c: c.low),
    "the next candle's high": (lambda: market_data.candles(ROWS), lambda c: c.high),
    "the next candle's volume": (lambda: market_data.candles(ROWS), lambda c: c.lots),
    "who takes the next trade": (lambda: market_data.trades(ROWS), lambda c: c.side),
    "the next trade's amount": (lambda: market_data.trades(ROWS), lambda c: c.lots),
    "whether the next trade's price is higher": (
        lambda: market_data.trades(ROWS),
        lambda c: np.diff(c.ticks, prepend=0) > 0,
    ),
    "the larger side of the next book": (
        lambda: market_data.books_and_trades(ROWS)[0],
        lambda c: c.bid_lots[:, 0] > c.ask_lots[:, 0],
    ),
}


@pytest.mark.parametrize("what", PEEKS)
def test_a_peek_at_the_future_finds_different_values_after_the_cut_and_unchanged_ones_before(
    what: str, tmp_path: Path
) -> None:
    make, peek = PEEKS[what]
    columns = make()
    before, after = peek(columns), peek(altered(columns, tmp_path))
    assert np.array_equal(before[:CUT_ROW], after[:CUT_ROW])
    share = np.mean(before[CUT_ROW:] != after[CUT_ROW:])
    assert share > 0.3, "a cut in three or more must show it"


def test_altered_candles_and_books_stay_plausible(tmp_path: Path) -> None:
    candles = altered(market_data.candles(ROWS), tmp_path / "candles")
    assert isinstance(candles, CandleColumns)
    assert (candles.low <= np.minimum(candles.open, candles.close)).all()
    assert (candles.high >= np.maximum(candles.open, candles.close)).all()
    books = altered(market_data.books_and_trades(ROWS)[0], tmp_path / "books")
    assert isinstance(books, BookColumns)
    assert (books.bid_ticks[:, 0] < books.ask_ticks[:, 0]).all()
    assert ((books.bid_lots > 0) == (books.bid_ticks > 0)).all()
    trades = altered(market_data.trades(ROWS), tmp_path / "trades")
    assert isinstance(trades, TradeColumns)
    assert set(trades.side.tolist()) == {-1, 1}
