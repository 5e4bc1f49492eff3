"""The data of the four workloads: a tape for botkit, and the same values as numpy arrays for the other libraries."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from botkit.model.columns import BookColumns, CandleColumns, MarketColumns, TradeColumns
from tests.benchmarks import market_data

CANDLES, TRADES, BOOKS, TRADES_A_BOOK, SEARCHED = 1_000_000, 5_000_000, 50_000, 4, 100_000
#: the parameter grid that W4 searches: 20 x 10
FAST, SLOW = range(5, 25), range(30, 80, 5)


class Market(msgspec.Struct, frozen=True):
    """The data of one workload: ``tape`` for botkit, ``arrays`` (.npz) for the other libraries, and the number of
    rows.
    """

    tape: Path
    arrays: Path
    rows: int


def make(workload: str, scale: float, folder: Path) -> Market:
    """Write a workload's data below ``folder``. Equal ``workload`` and ``scale`` always yield identical data."""
    streams = _streams(workload, scale)
    tape, arrays = folder / workload / "tape", folder / workload / "arrays.npz"
    tape.parent.mkdir(parents=True, exist_ok=True)
    market_data.write_tape(tape, *streams)
    np.savez(arrays, **{name: values for columns in streams for name, values in _arrays(columns).items()})
    return Market(tape, arrays, sum(map(len, streams)))


def _streams(workload: str, scale: float) -> tuple[MarketColumns, ...]:
    if workload == "W1":
        return (market_data.candles(round(CANDLES * scale)),)
    if workload == "W2":
        return (market_data.trades(round(TRADES * scale)),)
    if workload == "W3":
        return market_data.books_and_trades(round(BOOKS * scale), TRADES_A_BOOK)
    return (market_data.candles(round(SEARCHED * scale), seed=4),)


def _arrays(columns: MarketColumns) -> dict[str, np.ndarray]:
    """Return the columns, with prices and amounts as floats and times in nanoseconds. The names of trade columns start
    with `trade_`.
    """
    rules = columns.pair.rules
    tick, lot = 10**rules.price_decimals, 10**rules.amount_decimals
    if isinstance(columns, CandleColumns):
        prices = {name: getattr(columns, name) / tick for name in ("open", "high", "low", "close")}
        return {"time": columns.time, **prices, "volume": columns.lots / lot}
    if isinstance(columns, TradeColumns):
        return {
            "trade_received": columns.received,
            "trade_time": columns.time,
            "trade_price": columns.ticks / tick,
            "trade_amount": columns.lots / lot,
            "trade_side": columns.side,
        }
    assert isinstance(columns, BookColumns)
    return {
        "book_received": columns.received,
        "book_time": columns.time,
        "bid_price": columns.bid_ticks / tick,
        "bid_amount": columns.bid_lots / lot,
        "ask_price": columns.ask_ticks / tick,
        "ask_amount": columns.ask_lots / lot,
    }
