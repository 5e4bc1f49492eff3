"""Recorded market data as columns: equal-length numpy arrays, one row per event, in the order received.

The data is stored as integers (ticks, lots, nanoseconds), from which the floats for strategies are computed.
``received`` is the tape's time axis: the time at which the recorder received the row. A backtest matches and delivers
the row at this time. ``time`` is the exchange's own timestamp, used only to assign trades to bars.
"""

from __future__ import annotations

from typing import ClassVar, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from botkit.model.pairs import Pair

__all__ = ["BookColumns", "CandleColumns", "IntArray", "MarketColumns", "SideArray", "TradeColumns"]

IntArray: TypeAlias = npt.NDArray[np.int64]
SideArray: TypeAlias = npt.NDArray[np.int8]


class TradeColumns(msgspec.Struct, frozen=True):
    """Public trades. ``side`` is +1 if the taker bought, -1 if the taker sold, 0 if the source does not provide the
    side.
    """

    kind: ClassVar[str] = "trades"
    pair: Pair
    received: IntArray
    time: IntArray
    ticks: IntArray
    lots: IntArray
    side: SideArray

    def __len__(self) -> int:
        return len(self.received)

    def rows(self, start: int, stop: int) -> TradeColumns:
        """Return rows ``start`` up to ``stop`` as views."""
        cut = slice(start, stop)
        return TradeColumns(
            self.pair, self.received[cut], self.time[cut], self.ticks[cut], self.lots[cut], self.side[cut]
        )


class BookColumns(msgspec.Struct, frozen=True):
    """Book snapshots: arrays of shape (rows, depth), best level first; missing levels have 0 lots and 0 ticks."""

    kind: ClassVar[str] = "books"
    pair: Pair
    received: IntArray
    time: IntArray
    bid_ticks: IntArray
    bid_lots: IntArray
    ask_ticks: IntArray
    ask_lots: IntArray

    def __len__(self) -> int:
        return len(self.received)

    @property
    def depth(self) -> int:
        """The number of levels per side that a row can hold."""
        return int(self.bid_ticks.shape[1])

    def rows(self, start: int, stop: int) -> BookColumns:
        """Return rows ``start`` to ``stop`` as views."""
        cut = slice(start, stop)
        return BookColumns(
            self.pair,
            self.received[cut],
            self.time[cut],
            self.bid_ticks[cut],
            self.bid_lots[cut],
            self.ask_ticks[cut],
            self.ask_lots[cut],
        )


class CandleColumns(msgspec.Struct, frozen=True):
    """Completed candles. ``time`` is the start of the candle and ``received`` is its end (plus the source's delay)."""

    kind: ClassVar[str] = "candles"
    pair: Pair
    resolution: str
    received: IntArray
    time: IntArray
    open: IntArray  # in ticks, like `high`, `low` and `close`
    high: IntArray
    low: IntArray
    close: IntArray
    lots: IntArray

    def __len__(self) -> int:
        return len(self.received)

    def rows(self, start: int, stop: int) -> CandleColumns:
        """Return rows ``start`` to ``stop`` as views."""
        cut = slice(start, stop)
        return CandleColumns(
            self.pair,
            self.resolution,
            self.received[cut],
            self.time[cut],
            self.open[cut],
            self.high[cut],
            self.low[cut],
            self.close[cut],
            self.lots[cut],
        )


MarketColumns: TypeAlias = TradeColumns | BookColumns | CandleColumns
