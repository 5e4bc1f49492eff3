"""The one total order of inputs at the same time, used by every driver and by everything that sorts rows.

Answers and account events come first, then bars that have ended, books, trades, tickers; timers fire after all of them.
Within a rank the order is by pair, then by row.
"""

from __future__ import annotations

from botkit.model.events import Bar, Candle, OrderBook, Ticker, Trade

#: the rank of each kind of recorded data
KIND_RANKS: dict[str, int] = {"candles": 1, "books": 2, "trades": 3, "tickers": 4}
_RANKS: dict[type, int] = {Bar: 1, Candle: 1, OrderBook: 2, Trade: 3, Ticker: 4}
#: the rank of answers, account events, connections, stages and commands, which keep their order of arrival
FIRST = 0


def rank(event: object) -> int:
    """An input's place among those of the same time: 0 comes first."""
    return _RANKS.get(type(event), FIRST)


__all__ = ["FIRST", "KIND_RANKS", "rank"]
