"""What follows from the price before it, and what does not: the arithmetic of `botkit.engine.market.quarantine`."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from botkit.model.events import OrderBook

FloatArray: TypeAlias = npt.NDArray[np.float64]

#: a trade or a book is withheld from so many times the last price up
MOST = 2.0
LEAST = 1 / MOST
CANDLE_MOST = 10.0
CANDLE_LEAST = 1 / CANDLE_MOST


def is_ordinary(book: OrderBook, before: OrderBook) -> bool:
    """The quick answer for nearly every book: it follows the one before. False says only that it must be looked at."""
    bids, asks, old_bids, old_asks = book.bid_levels, book.ask_levels, before.bid_levels, before.ask_levels
    if not (bids and asks and old_bids and old_asks):
        return False
    bid, ask = bids[0][0], asks[0][0]
    return 0 < bid < ask and bid < old_asks[0][0] * 2 and ask * 2 > old_bids[0][0] and bids[-1][0] > 0


def jumps(prices: FloatArray, lows: FloatArray, highs: FloatArray, most: float) -> list[int]:
    """Rows, the first one aside, whose ``lows`` or ``highs`` do not follow from the last price of the row before. The
    same arithmetic as that of a turn."""
    last = prices[:-1]
    fits = (last * (1 / most) < lows[1:]) & (highs[1:] < last * most)
    found: list[int] = (np.flatnonzero(~fits) + 1).tolist()
    return found
