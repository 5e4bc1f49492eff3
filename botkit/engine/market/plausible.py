"""Decides whether a price is plausible relative to the previous one: the arithmetic of
`botkit.engine.market.quarantine`.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from botkit.model.events import OrderBook

FloatArray: TypeAlias = npt.NDArray[np.float64]

#: a trade or book is withheld if its price is at least this multiple of the last price, or at most the inverse of this
#: multiple
MOST = 2.0
LEAST = 1 / MOST
CANDLE_MOST = 10.0
CANDLE_LEAST = 1 / CANDLE_MOST


def is_ordinary(book: OrderBook, before: OrderBook) -> bool:
    """Return True if a quick check finds the book plausible, which is true of nearly every book. False only means that
    a full check is needed.
    """
    (bid, ask), (old_bid, old_ask) = book.touch(), before.touch()
    return 0 < bid < ask and 0 < old_bid < ask * 2 and bid < old_ask * 2 and book.has_prices()


def are_ordinary(bids: list[int], asks: list[int]) -> list[bool]:
    """Apply the check of `is_ordinary` to several recorded books, each against the previous one, using their best
    prices in ticks. The first book is never considered ordinary.
    """
    return [
        False,
        *[
            0 < bid < ask and 0 < old_bid < ask * 2 and bid < old_ask * 2
            for bid, ask, old_bid, old_ask in zip(bids[1:], asks[1:], bids, asks, strict=False)
        ],
    ]


def jumps(prices: FloatArray, lows: FloatArray, highs: FloatArray, most: float) -> list[int]:
    """Return the row numbers, except the first, whose ``lows`` or ``highs`` are implausible relative to the last price
    of the previous row. Uses the same arithmetic as a turn.
    """
    last = prices[:-1]
    fits = (last * (1 / most) < lows[1:]) & (highs[1:] < last * most)
    found: list[int] = (np.flatnonzero(~fits) + 1).tolist()
    return found
