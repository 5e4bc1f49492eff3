"""Defines the order of inputs with equal timestamps. Every driver, and all code that sorts rows, uses this order.

Responses and account events come first, then completed bars, books, trades and tickers, and finally timers. Ties within
a rank are broken by pair, then by row.
"""

from __future__ import annotations

from botkit.model.events import Bar, Candle, OrderBook, Ticker, Trade

#: the rank of each kind of recorded data
KIND_RANKS: dict[str, int] = {"candles": 1, "books": 2, "trades": 3, "tickers": 4}
_RANKS: dict[type, int] = {Bar: 1, Candle: 1, OrderBook: 2, Trade: 3, Ticker: 4}
#: the rank of responses, account events, connections, stages and commands, which keep their order of arrival
FIRST = 0


def rank(event: object) -> int:
    """Return an input's rank among inputs with equal timestamps; 0 comes first."""
    return _RANKS.get(type(event), FIRST)


__all__ = ["FIRST", "KIND_RANKS", "rank"]
