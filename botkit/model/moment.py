"""The one total order of what comes in at one time, used by every driver and by whoever sorts rows.

Answers and account events come first, then bars that have ended, books, trades, tickers; timers ring after all of them.
Within a rank it goes by pair, then by row.
"""

from __future__ import annotations

from botkit.model.events import Bar, Candle, OrderBook, Ticker, Trade

#: ranks of recorded data, by kind
KIND_RANKS: dict[str, int] = {"candles": 1, "books": 2, "trades": 3, "tickers": 4}
_RANKS: dict[type, int] = {Bar: 1, Candle: 1, OrderBook: 2, Trade: 3, Ticker: 4}
#: of answers, account events, connections, stages and commands, which go by arrival
FIRST = 0


def rank(event: object) -> int:
    """Where an input stands among those of its time: 0 first."""
    return _RANKS.get(type(event), FIRST)


__all__ = ["FIRST", "KIND_RANKS", "rank"]
