"""A WebSocket stream that stays connected. It is an async iterator of frames and connection changes.

The documented keepalive is a ping every 20 s, with a disconnect after 5 s without a pong. The observed keepalive is a
ping every second, with a disconnect after 60 s. The client responds to every ping immediately. A connection is
considered dead after 30 s without any frame or ping. The URL determines the subscription. The client sends nothing but
pongs.

After losing its connection, the stream reconnects with a jittered, capped backoff and a newly signed upgrade. Most
streams start with a snapshot. For the other streams, missed data is read over REST before newer data is yielded.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Mapping
from random import Random
from types import TracebackType
from typing import Final, TypeAlias

import aiohttp
import msgspec
from yarl import URL

from botkit.errors import RequestError
from botkit.exchange.bitopro.connections import stream_session
from botkit.exchange.bitopro.sign import Credentials, nonce_headers
from botkit.exchange.bitopro.trade_lists import TradeListAligner
from botkit.exchange.bitopro.wire.account import BalanceRow, OwnOrderRow, OwnTradeRow
from botkit.exchange.bitopro.wire.codec import WireError
from botkit.exchange.bitopro.wire.endpoints import BOOK_LIMITS, STREAMS
from botkit.exchange.bitopro.wire.frames import Frame, TradeFrame, UnknownFrame, decode_frame
from botkit.exchange.bitopro.wire.market import TradeRow
from botkit.model.clock import NS_PER_MS, NS_PER_S, Clock, Nanos
from botkit.model.events import ConnectionState

# globals, because reading a member from its class costs a call in Python 3.11
_TEXT: Final = aiohttp.WSMsgType.TEXT
_BINARY: Final = aiohttp.WSMsgType.BINARY

#: returns the key that identifies a trade; the exchange's trades have no id
TradeKey: TypeAlias = Callable[[str, TradeRow], Hashable]

#: called with each frame's text and its receive time
FrameTap: TypeAlias = Callable[[str | bytes, Nanos], None]


class StreamTimes(msgspec.Struct, frozen=True, kw_only=True):
    """A stream's timeouts. A connection that lasts ``healthy_after_s`` resets the failure count."""

    dead_after_s: float = 30.0
    connect_timeout_s: float = 10.0
    backoff_first_s: float = 0.5
    backoff_max_s: float = 30.0
    healthy_after_s: float = 10.0
    frame_size_max: int = 4 * 2**20

    def backoff_s(self, failures: int, random: Random) -> float:
        """Return how long to wait after this many consecutive failures. The wait doubles up to a cap. Half of each wait
        is random.

        The random part keeps clients from reconnecting simultaneously after the exchange restarts.
        """
        whole = min(self.backoff_max_s, self.backoff_first_s * 2.0 ** min(failures - 1, 30))
        return whole * (0.5 + 0.5 * random.random())


class StreamChange(msgspec.Struct, frozen=True):
    """A connection change: connected, lost, or resynchronised. ``is_refused`` means that the connection is permanently
    lost, because the exchange does not accept the key.
    """

    state: ConnectionState
    detail: str = ""
    is_refused: bool = False


class NewTrades(msgspec.Struct, frozen=True):
    """A TRADE frame and its ``new`` trades, oldest first. ``gap`` means that earlier trades may be missing.

    The first list after the start is history, so none of its trades are considered new.
    """

    frame: TradeFrame
    new: tuple[TradeRow, ...]
    gap: bool


class Snapshot(msgspec.Struct, frozen=True):
    """Data read over REST after a lost connection: orders, balances, or one pair's trades."""

    stream_id: str
    pair: str | None
    rows: tuple[OwnOrderRow, ...] | tuple[BalanceRow, ...] | tuple[OwnTradeRow, ...]


StreamItem: TypeAlias = Frame | UnknownFrame | NewTrades | Snapshot | StreamChange


class Received(msgspec.Struct, frozen=True):
    """An item from a stream, with its receive time. ``is_first`` marks the first frame of its kind on this
    connection.
    """

    at: Nanos
    item: StreamItem
    is_first: bool = False


Resynchronise: TypeAlias = Callable[[str, tuple[str, ...], Nanos], Awaitable[tuple[Snapshot, ...]]]


def plain_trade_key(_pair: str, row: TradeRow) -> Hashable:
    """Return a trade's key without trailing zeros. Only some endpoints add trailing zeros."""
    return row.timestamp, _bare(row.price), _bare(row.amount), row.is_buyer


def _bare(number: str) -> str:
    return number.rstrip("0").rstrip(".") if "." in number else number


class _LostError(Exception):
    """The connection is no longer usable. The message explains why."""


class _KeyRefusedError(_LostError):
    """The exchange refused the key, so a new connection would fail as well."""


class Stream:
    """A connection to one stream, for one or more pairs. Use it with ``async with`` and iterate over it with ``async
    for``.

    The iteration ends when the stream is closed. It also ends when the exchange refuses the key (401), because the
    exchange would refuse any retry as well. Read without long pauses, because pings are answered only while the stream
    is being read.
    """

    def __init__(
        self,
        stream_id: str,
        pairs: Mapping[str, int | None] | None = None,
        *,
        ws_url: str,
        credentials: Credentials | None,
        clock: Clock,
        random: Random,
        times: StreamTimes | None = None,
        trade_key: TradeKey = plain_trade_key,
        resynchronise: Resynchronise | None = None,
        frame_tap: FrameTap | None = None,
    ) -> None:
        """``frame_tap`` is called with every frame as received, before it is parsed."""
        self.id = stream_id
        self._spec = STREAMS[stream_id]
        self._pairs = {pair.lower(): depth for pair, depth in (pairs or {}).items()}
        if self._spec.private and credentials is None:
            raise ValueError(f"the stream {stream_id} needs an account; give email, key and secret")
        if not self._spec.private and not self._pairs:
            raise ValueError(f"the stream {stream_id} needs at least one pair")
        if any(depth is not None and depth not in BOOK_LIMITS for depth in self._pairs.values()):
            # for any other depth, the exchange would silently serve five levels
            raise ValueError(f"a book's depth must be one of {', '.join(map(str, BOOK_LIMITS))}")
        self.url = ws_url + self._spec.path + self._suffix()
        self._credentials = credentials
        self._clock = clock
        self._random = random
        self._times = times or StreamTimes()
        self._trade_key = trade_key
        self._resynchronise = resynchronise
        self._frame_tap = frame_tap
        self._aligners: dict[str, TradeListAligner[TradeRow]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._pending: deque[Received] = deque()
        self._seen_events: set[str] = set()
        self._failures = 0
        #: the delay before the next connection attempt
        self._wait_s = 0.0
        self._connected_at: Nanos = 0
        self._last_frame: Nanos = 0
        self._was_connected = False
        self._closed = False
        # one timer per connection is cheaper than one timeout per frame
        self._silence_timer: asyncio.TimerHandle | None = None
        self._waiting_since_s: float | None = None
        self._hanging_up: asyncio.Task[bool] | None = None

    def _suffix(self) -> str:
        if self._spec.private:
            return ""
        # pairs go in the path, because the exchange silently drops an unknown pair from ?pairs=
        names = [p.upper() + (f":{depth}" if depth is not None else "") for p, depth in self._pairs.items()]
        return "/" + ",".join(names)

    # -- iterating ------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Received:
        while not self._closed:
            if self._pending:
                return self._pending.popleft()
            try:
                if self._socket is None:
                    await self._connect()
                else:
                    received = await self._receive(self._socket)
                    if received is not None:
                        return received
            except _KeyRefusedError as refused:
                await self.close()
                return Received(
                    self._clock.now(), StreamChange(ConnectionState.LOST, f"{refused}; not reconnecting", True)
                )
            except _LostError as lost:
                self._wait_s = self._times.backoff_s(self._failures, self._random) if self._failures else 0.0
                detail = f"{lost}; reconnecting " + (f"in {self._wait_s:.2f} s" if self._wait_s else "now")
                await self._drop()
                return Received(self._clock.now(), StreamChange(ConnectionState.LOST, detail))
        raise StopAsyncIteration

    async def interrupt(self) -> None:
        """Drop the connection, whatever its state. The iteration continues on a new connection."""
        if self._socket is not None:
            await self._socket.close()

    async def close(self) -> None:
        """Close the connection and stop an iteration that is waiting for a frame."""
        self._closed = True
        await self._drop()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    # -- connecting -----------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        if self._wait_s:
            await asyncio.sleep(self._wait_s)
            if self._closed:
                return
        if self._session is None:
            self._session = stream_session()
        self._failures += 1
        error = await self._open_socket(self._session)
        if error is not None:
            # raised outside the handlers; otherwise aiohttp's error, which contains the signed headers, would be kept
            # as its context
            raise error
        now = self._connected_at = self._clock.now()
        self._waiting_since_s = None
        self._listen_for(self._times.dead_after_s)
        self._seen_events.clear()
        missed: list[Received] = []
        if self._was_connected and self._resynchronise is not None:
            try:
                missed = await self._catch_up(self._resynchronise)
            except BaseException:
                # also if the iteration was cancelled: this connection must not be used without the missed data
                await self._drop()
                raise
        self._pending.append(Received(now, StreamChange(ConnectionState.CONNECTED)))
        self._pending.extend(missed)
        self._was_connected = True

    async def _open_socket(self, session: aiohttp.ClientSession) -> _LostError | None:
        """Open the socket with a newly signed upgrade. Returns the error to raise, or None if the socket is open."""
        headers = {}
        if self._spec.private:
            assert self._credentials is not None
            headers = nonce_headers(self._credentials, self._clock.now() // NS_PER_MS)
        try:
            async with asyncio.timeout(self._times.connect_timeout_s):
                self._socket = await session.ws_connect(
                    URL(self.url, encoded=True),
                    headers=headers,
                    autoping=False,  # pings are handled here, because they show that the connection is alive
                    max_msg_size=self._times.frame_size_max,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                )
        except aiohttp.WSServerHandshakeError as error:
            # the exchange responds to an unknown path or pair with 200 and an empty body
            reason = f"the exchange answered {error.status} instead of 101" + (
                "; check the spelling of every pair" if error.status == 200 else ""
            )
            return _KeyRefusedError(reason) if error.status == 401 and self._spec.private else _LostError(reason)
        except TimeoutError:
            return _LostError(f"no connection within {self._times.connect_timeout_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _LostError(f"{type(error).__name__}: {str(error)[:200]}")
        except AssertionError:  # aiohttp asserts that a connection is still there once its upgrade was answered
            return _LostError("the connection was lost as soon as it was accepted")
        return None

    async def _catch_up(self, resynchronise: Resynchronise) -> list[Received]:
        """Read the data that was missed over REST, and return it with the RESYNCHRONISED that follows it."""
        try:
            snapshots = await resynchronise(self._spec.id, tuple(self._pairs), self._last_frame)
        except (RequestError, WireError) as error:
            raise _LostError(f"could not fetch the missed data: {error}") from None
        now = self._clock.now()
        items: tuple[StreamItem, ...] = (*snapshots, StreamChange(ConnectionState.RESYNCHRONISED))
        return [Received(now, item) for item in items]

    async def _drop(self) -> None:
        if self._silence_timer is not None:
            self._silence_timer.cancel()
            self._silence_timer = None
        socket, self._socket = self._socket, None
        hanging_up, self._hanging_up = self._hanging_up, None
        if hanging_up is not None:
            await hanging_up
        elif socket is not None:
            await socket.close()

    def _listen_for(self, seconds: float) -> None:
        self._silence_timer = asyncio.get_running_loop().call_later(seconds, self._look_for_silence)

    def _look_for_silence(self) -> None:
        """Close a connection that has been silent for too long. Closing wakes the reader that is waiting for a
        frame.
        """
        loop, dead_after_s, since_s = asyncio.get_running_loop(), self._times.dead_after_s, self._waiting_since_s
        left_s = dead_after_s if since_s is None else since_s + dead_after_s - loop.time()
        if left_s > 0.001:
            self._listen_for(left_s)
        elif self._socket is not None:
            self._hanging_up = loop.create_task(self._socket.close())

    # -- receiving ------------------------------------------------------------------------------------------------

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> Received | None:
        self._waiting_since_s = asyncio.get_running_loop().time()
        message = await socket.receive()
        self._waiting_since_s = None
        if self._hanging_up is not None:
            raise _LostError(f"no data was received for {self._times.dead_after_s:g} s")
        now = self._clock.now()
        if self._failures and now - self._connected_at >= self._times.healthy_after_s * NS_PER_S:
            self._failures = 0
        if message.type is _TEXT or message.type is _BINARY:
            return self._frame(message.data, now)
        if message.type is aiohttp.WSMsgType.PING:
            try:
                await socket.pong(message.data)
            except (ConnectionError, aiohttp.ClientError) as error:
                raise _LostError(f"answering a ping failed: {type(error).__name__}") from None
            return None
        if message.type is aiohttp.WSMsgType.PONG:
            return None
        if socket.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG and message.type is aiohttp.WSMsgType.ERROR:
            raise _LostError(f"a frame larger than {self._times.frame_size_max // 2**20} MB was rejected")
        raise _LostError(f"the connection was closed, code {socket.close_code}")

    def _frame(self, data: str | bytes, now: Nanos) -> Received:
        if self._frame_tap is not None:
            self._frame_tap(data, now)
        try:
            frame = decode_frame(data)
            aligned = self._aligned(frame) if isinstance(frame, TradeFrame) else None
        except WireError as error:
            # an unreadable frame means lost data; reconnecting repairs this, because a new connection starts with a
            # snapshot
            raise _LostError(str(error)) from None
        self._last_frame = now
        event = type(frame).__name__
        first = event not in self._seen_events
        self._seen_events.add(event)
        return Received(now, frame if aligned is None else aligned, first)

    def _aligned(self, frame: TradeFrame) -> NewTrades:
        pair = frame.pair.lower()
        if pair not in self._pairs:
            # creating an aligner for every unexpected pair could exhaust memory
            raise WireError(f"trades for {pair[:40]!r}, which is not subscribed")
        aligner = self._aligners.get(pair)
        if aligner is None:
            key = self._trade_key
            aligner = self._aligners[pair] = TradeListAligner(lambda row: key(pair, row))
        new, gap = aligner.feed(frame.data or ())
        return NewTrades(frame, new, gap)
