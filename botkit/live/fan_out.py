"""Shares one connection to an exchange among several bots in a process. Each stream is opened once and delivered to all
bots that watch it.

Each bot gets a `Seat`, which it uses like its own adapter. Requests pass through unchanged. Responses return to the
sender, so two bots may use equal request ids. Stream events are delivered to every bot that watches the stream. A bot
that joins later first receives the stream's state and its latest snapshot.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, TypeAlias

from botkit.model.adapter import Adapter, Capabilities, Lifetime, Sink, StreamKind
from botkit.model.events import Connection, ConnectionState, OrderBook, Ticker
from botkit.model.limits import LimitTable
from botkit.model.pairs import Pair
from botkit.model.requests import Answer, Request

#: the key of a feed: stream kind, pair and book depth; all streams of the account form one feed
_Key: TypeAlias = tuple[str, str, int]
_ACCOUNT: _Key = ("account", "", 0)


class _Feed:
    """A feed with its watchers, the state of its streams, and its latest snapshot."""

    __slots__ = ("latest", "sinks", "states")

    def __init__(self) -> None:
        self.sinks: list[Sink] = []
        self.states: dict[str, Connection] = {}
        #: kept for bots that join later; only books and tickers, because trades and reports are delivered just once
        self.latest: Any = None

    def take(self, event: Any) -> None:
        kind = type(event)
        if kind is Connection:
            self._note(event)
        elif kind is OrderBook or kind is Ticker:
            self.latest = event
        for sink in tuple(self.sinks):
            sink(event)

    def _note(self, event: Connection) -> None:
        if event.state is ConnectionState.RESYNCHRONISED:
            # a bot that joins now has missed nothing, so the state is stored as a plain CONNECTED
            event = Connection(ConnectionState.CONNECTED, event.stream, event.pair)
        self.states[event.stream] = event

    def join(self, sink: Sink) -> None:
        self.sinks.append(sink)
        for state in self.states.values():
            sink(state)
        if self.latest is not None:
            sink(self.latest)


class FanOut:
    """A connection to one exchange and account, shared by several bots. It opens with the first bot and closes with the
    last.
    """

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self._feeds: dict[_Key, _Feed] = {}
        self._users: set[int] = set()
        self._lock = asyncio.Lock()

    def seat(self, market: FanOut | None = None) -> Seat:
        """Return an adapter for one bot. ``market`` supplies the bot's market data if the data comes from another
        account's connection.
        """
        return Seat(self, market or self)

    async def enter(self, user: object) -> None:
        """Open the connection for ``user``, unless it is already open."""
        async with self._lock:
            if not self._users:
                await self.adapter.open()
            self._users.add(id(user))

    async def leave(self, user: object) -> None:
        """Remove ``user``. The connection closes when the last user leaves."""
        async with self._lock:
            if id(user) not in self._users:
                return
            self._users.discard(id(user))
            if not self._users:
                self._feeds.clear()
                await self.adapter.close()

    def join(self, sink: Sink, keys: Mapping[_Key, Pair | None]) -> None:
        """Subscribe ``sink`` to these feeds, using existing streams where possible and opening new ones otherwise."""
        new = {key: pair for key, pair in keys.items() if key not in self._feeds}
        for key in new:
            self._feeds[key] = _Feed()
        for key in keys:
            self._feeds[key].join(sink)
        for kind in dict.fromkeys(kind for kind, _, _ in new):
            self._open(kind, {key: pair for key, pair in new.items() if key[0] == kind})

    def _open(self, kind: str, keys: Mapping[_Key, Pair | None]) -> None:
        feeds = {pair: self._feeds[key] for key, pair in keys.items()}
        wanted: dict[str, Any] = {"account": kind == "account"}
        if kind == "books":
            wanted["books"] = {pair: depth for (_, _, depth), pair in keys.items()}
        elif kind != "account":
            wanted[kind] = list(feeds)
        # run outside the first bot's context, because the streams and their log lines concern all bots
        contextvars.Context().run(partial(self.adapter.watch, partial(_deliver, feeds), **wanted))

    def part(self, sink: Sink) -> None:
        """Unsubscribe ``sink``."""
        for feed in self._feeds.values():
            if sink in feed.sinks:
                feed.sinks.remove(sink)


def _deliver(feeds: Mapping[Pair | None, _Feed], event: Any) -> None:
    feed = feeds.get(None) or feeds.get(event.pair)
    if feed is not None:
        feed.take(event)


class Seat(Lifetime):
    """One bot's share of a `FanOut`. The bot uses it as its `Adapter`."""

    def __init__(self, account: FanOut, market: FanOut) -> None:
        self._account = account
        self._market = market
        self._sinks: set[Sink] = set()

    @property
    def account_streams(self) -> tuple[str, ...]:
        """The streams of the account's connection."""
        return self._account.adapter.account_streams

    @property
    def limits(self) -> LimitTable:
        """The exchange's rate limits."""
        return self._account.adapter.limits

    @property
    def capabilities(self) -> Capabilities:
        """The exchange's capabilities."""
        return self._account.adapter.capabilities

    @property
    def clock_skew_ms(self) -> int | None:
        """The clock skew measured by the account's connection, in milliseconds."""
        return self._account.adapter.clock_skew_ms

    async def open(self) -> None:
        """Open the connection for sending, unless another bot has already opened it."""
        await self._account.enter(self)
        await self._market.enter(self)

    async def close(self) -> None:
        """Stop receiving and sending. Connections used by other bots stay open."""
        for sink in self._sinks:
            self._account.part(sink)
            self._market.part(sink)
        self._sinks.clear()
        await self._account.leave(self)
        await self._market.leave(self)

    def watch(
        self,
        sink: Sink,
        *,
        books: Mapping[Pair, int] | None = None,
        trades: Iterable[Pair] = (),
        tickers: Iterable[Pair] = (),
        account: bool = True,
    ) -> None:
        """Subscribe to these feeds. A book with a depth that no bot uses yet gets its own stream."""
        self._sinks.add(sink)
        keys: dict[_Key, Pair | None] = {("books", pair, depth): pair for pair, depth in (books or {}).items()}
        keys |= {("trades", pair, 0): pair for pair in trades}
        keys |= {("tickers", pair, 0): pair for pair in tickers}
        self._market.join(sink, keys)
        if account:
            self._account.join(sink, {_ACCOUNT: None})

    def reconnect(self, kind: StreamKind | None = None) -> None:
        """Reconnect the streams of one kind, or all streams, including those shared with other bots."""
        for adapter in dict.fromkeys((self._account.adapter, self._market.adapter)):
            adapter.reconnect(kind)

    def send(self, request: Request, *, urgent: bool = False) -> Coroutine[Any, Any, Answer]:
        """Send a request once. The coroutine returns its answer."""
        return self._account.adapter.send(request, urgent=urgent)

    async def pairs(self) -> Mapping[str, Pair]:
        """Fetch the pairs and their current rules from the exchange and return them."""
        return await self._account.adapter.pairs()
