"""The three tapes for the frozen decisions: small, derived from the synthetic market, and identical on every
machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from botkit.model.clock import NS_PER_MINUTE, NS_PER_S
from botkit.model.columns import BookColumns, CandleColumns, MarketColumns, TradeColumns
from botkit.model.pairs import Pair
from botkit.tape.synthetic import SyntheticMarket
from botkit.tape.tape import Tape
from botkit.tape.writer import TapeWriter

TAPES = ("candles", "books", "two_pairs")
PAIRS = ("btc_usdt", "btc_twd")
#: five minutes before midnight in Taipei, so that a trading day ends during every run
START = (1_740_000_000 // 86_400 * 86_400 + 57_300) * NS_PER_S
MINUTES: Mapping[str, float] = {"candles": 720, "books": 6, "two_pairs": 5.5}
#: the seconds during which a book tape has no bids for the first pair; the tape also contains a book and a trade with
#: implausible prices
BIDLESS_S = (130, 140)
MAD_BOOK_ROW, MAD_TRADE_ROW = 100, 60


def write_tapes(folder: Path, pairs: Mapping[str, Pair]) -> dict[str, str]:
    """Write the tapes below ``folder`` and return each tape's content hash."""
    return {tape: _write(tape, folder / tape, pairs) for tape in TAPES}


def _write(tape: str, folder: Path, pairs: Mapping[str, Pair]) -> str:
    wanted = PAIRS[:1] if tape == "books" else PAIRS
    market = SyntheticMarket(pairs, seed=TAPES.index(tape) + 5, start=START - 60 * NS_PER_MINUTE)
    for _ in market.history(60):
        pass
    end = START + int(MINUTES[tape] * NS_PER_MINUTE)
    folder.mkdir(parents=True)
    with TapeWriter(folder, source="a synthetic market for a test", recorded="made up", synthetic=True) as writer:
        found = [market.advance(end)] if tape != "candles" else market.history(int(MINUTES[tape]))
        for columns in (columns for rows in found for columns in rows):
            if str(columns.pair) in wanted:
                writer.write(_bent(columns) if columns.pair == PAIRS[0] else columns)
    return Tape.open(folder, pairs).manifest.content_sha256


def _bent(columns: MarketColumns) -> MarketColumns:
    """Extend the first pair's rows with events that the synthetic market never produces."""
    if isinstance(columns, CandleColumns):
        return columns
    row = np.arange(len(columns))
    if isinstance(columns, TradeColumns):
        return msgspec.structs.replace(columns, ticks=columns.ticks * np.where(row == MAD_TRADE_ROW, 5, 1))
    since_s = (columns.received - START) / NS_PER_S
    bids = np.where((since_s >= BIDLESS_S[0]) & (since_s < BIDLESS_S[1]), 0, 1).astype(np.int64)[:, None]
    mad = np.where(row == MAD_BOOK_ROW, 4, 1).astype(np.int64)[:, None]
    changed: dict[str, Any] = {
        "bid_ticks": columns.bid_ticks * bids * mad,
        "bid_lots": columns.bid_lots * bids,
        "ask_ticks": columns.ask_ticks * mad,
    }
    assert isinstance(columns, BookColumns)
    return msgspec.structs.replace(columns, **changed)
