"""Tracks a bot's streams: the open streams, their states, and the streams that strategies still need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from botkit.engine.outcome_parts import StreamWanted
from botkit.live.notifications.stream_news import CONNECTED, StreamNews
from botkit.model.adapter import Adapter, StreamKind
from botkit.model.clock import Nanos
from botkit.model.events import Connection, ConnectionState
from botkit.model.pairs import Pair


class Streams:
    """The streams that the bot follows. ``sink`` receives their events."""

    def __init__(self, adapter: Adapter, sink: Callable[[Any], None], news: StreamNews) -> None:
        self._adapter = adapter
        self._sink = sink
        self._news = news
        #: (stream, pair or "") -> state
        self.connections: dict[tuple[str, str], ConnectionState] = {}
        #: set when all of the account's streams are connected
        self.account_connected = asyncio.Event()
        self._books: dict[Pair, int] = {}
        self._trades: set[Pair] = set()
        self._tickers: set[Pair] = set()

    def follow_account(self) -> None:
        """Open the account's streams."""
        self._adapter.watch(self._sink, account=True)
        self._look_for_account()

    def follow(self, wanted: Iterable[StreamWanted], valued: Iterable[Pair] = ()) -> None:
        """Open the streams that are needed and not open yet. For ``valued`` pairs, open the trade stream, which
        supplies prices.
        """
        books: dict[Pair, int] = {}
        trades: dict[Pair, None] = {}
        tickers: list[Pair] = []
        for stream in wanted:
            # a deeper book that is requested later needs its own stream; the shallower stream stays open, which does no
            # harm
            if stream.kind == "books" and self._books.get(stream.pair, 0) < stream.depth:
                books[stream.pair] = stream.depth
            elif stream.kind == "trades" and stream.pair not in self._trades:
                trades[stream.pair] = None
            elif stream.kind == "tickers" and stream.pair not in self._tickers:
                tickers.append(stream.pair)
        for pair in valued:
            if pair not in self._trades:
                trades[pair] = None
        if books or trades or tickers:
            self._books.update(books)
            self._trades.update(trades)
            self._tickers.update(tickers)
            self._adapter.watch(self._sink, books=books, trades=list(trades), tickers=tickers, account=False)

    def reconnect(self, kind: StreamKind | None = None) -> None:
        """Reconnect the streams of one kind, or all streams."""
        self._adapter.reconnect(kind)

    def changed(self, event: Connection) -> bool:
        """Record a stream's new state. Return True if an account stream has reconnected, so that missed events must be
        read.
        """
        key = (event.stream, str(event.pair or ""))
        before = self.connections.get(key)
        self.connections[key] = event.state
        self._news.changed(event)
        if event.pair is not None:
            return False
        self._look_for_account()
        return before in (ConnectionState.LOST, ConnectionState.STALE) and event.state in CONNECTED

    def _look_for_account(self) -> None:
        """Let startup continue once every account stream is connected."""
        connected = {stream for (stream, pair), state in self.connections.items() if not pair and state in CONNECTED}
        if connected.issuperset(self._adapter.account_streams):
            self.account_connected.set()

    def tell(self, now: Nanos) -> None:
        """Report changes since the last call."""
        self._news.tell(now)

    def troubles(self) -> str:
        """Return the problems of the account streams in one line."""
        return self._news.summary()

    def unreadable(self) -> str:
        """Return the problems of the account streams if one of them has sent unreadable data since it connected, or an
        empty string.
        """
        stale = ConnectionState.STALE in (state for (_, pair), state in self.connections.items() if not pair)
        return self.troubles() if stale else ""

    def lost(self) -> list[str]:
        """Return the names of the streams that are not connected."""
        gone = (ConnectionState.LOST, ConnectionState.STALE)
        return sorted(f"{stream} {pair}".strip() for (stream, pair), state in self.connections.items() if state in gone)
