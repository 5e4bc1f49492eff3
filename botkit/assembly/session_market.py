"""Provides the market data that a bot received in a recorded run, as a source for a feed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from botkit.live.replay import RecordedInputs
from botkit.model.clock import Nanos
from botkit.model.columns import BookColumns, MarketColumns, TradeColumns
from botkit.model.events import Trade
from botkit.model.extension import Options
from botkit.model.order_book import OrderBook
from botkit.model.pairs import Pair
from botkit.tape.feed import FileSource

#: number of rows per chunk of one stream
_CHUNK_ROWS = 50_000


class SessionFormat:
    """Reads the trades and the best book levels from the folder of a recorded run. Their receipt times are the times of
    the bot's turns.
    """

    endings: tuple[str, ...] = ()

    def read(self, path: Path, pairs: Mapping[str, Pair], options: Options) -> Iterator[MarketColumns]:
        """Yield the rows of a run. Raises ReplayError if the recording cannot be read."""
        trades: dict[Pair, list[tuple[int, ...]]] = {}
        books: dict[Pair, list[tuple[int, ...]]] = {}
        for now, given in RecordedInputs(path, pairs):
            if type(given) is Trade:
                rows = trades.setdefault(given.pair, [])
                rows.append(_trade(given, now))
                if len(rows) == _CHUNK_ROWS:
                    yield _trades(given.pair, trades.pop(given.pair))
            elif type(given) is OrderBook:
                rows = books.setdefault(given.pair, [])
                rows.append(_best(given, now))
                if len(rows) == _CHUNK_ROWS:
                    yield _books(given.pair, books.pop(given.pair))
        for pair, rows in books.items():
            yield _books(pair, rows)
        for pair, rows in trades.items():
            yield _trades(pair, rows)


def session_source(run: Path, pairs: Mapping[str, Pair]) -> FileSource:
    """Return a recorded run as a source for a feed. Raises DataError if the run has no market data, and ReplayError if
    the recording cannot be read.
    """
    return FileSource(run, SessionFormat(), pairs)


def one_trade(pair: Pair, time: Nanos, price: float) -> TradeColumns:
    """Return a price at a given time as a trade with amount zero."""
    return _trades(pair, [(time, time, pair.rules.ticks(price, up=False), 0, 0)])


def _trade(trade: Trade, now: Nanos) -> tuple[int, ...]:
    rules = trade.pair.rules
    side = 0 if trade.side is None else trade.side.sign
    return now, trade.time, rules.ticks(trade.price, up=side > 0), rules.lots(trade.amount), side


def _best(book: OrderBook, now: Nanos) -> tuple[int, ...]:
    bid = book.bid_levels[0] if book.bid_levels else (0, 0)
    ask = book.ask_levels[0] if book.ask_levels else (0, 0)
    return now, book.time, *bid, *ask


def _trades(pair: Pair, rows: list[tuple[int, ...]]) -> TradeColumns:
    received, time, ticks, lots, side = np.array(rows, np.int64).T.copy()
    return TradeColumns(pair, received, time, ticks, lots, side.astype(np.int8))


def _books(pair: Pair, rows: list[tuple[int, ...]]) -> BookColumns:
    received, time, *levels = np.array(rows, np.int64).T.copy()
    return BookColumns(pair, received, time, *(level[:, None] for level in levels))
