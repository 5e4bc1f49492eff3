"""Connects a bot to BitoPro. The adapter turns engine requests into API calls, and turns responses and frames into
events.

A driver opens the adapter, passes it an event sink and sends it requests. Every request results in exactly one
`Answer`. A network error is reported as an outcome and never raised as an exception. Outcomes follow the order
protocol. A 4xx is REFUSED (the engine looks up the order before trusting the refusal). A request is UNKNOWN if at least
one byte was sent and no clear response was received.

The adapter never sends a request on its own initiative, because every request needs a slot from the router. After
losing and restoring a connection, it emits a `Connection`, and the engine requests the data it needs. For drivers
without a router, ``resynchronise="rest"`` makes each stream fetch its missed data over REST.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, Literal

from botkit.errors import ConfigError, OutcomeUnknown
from botkit.exchange.bitopro import translate
from botkit.exchange.bitopro.answers import acknowledged, failed
from botkit.exchange.bitopro.calls import READ_TIMEOUT_S, WRITE_TIMEOUT_S, Begun
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.exchange.bitopro.incoming import Incoming
from botkit.exchange.bitopro.reads import read, served_depth
from botkit.exchange.bitopro.rest import BitoProClient, created
from botkit.exchange.bitopro.stream import Stream
from botkit.exchange.bitopro.transport import NothingSent
from botkit.exchange.bitopro.wire.account import CancelReply, CreateReply
from botkit.exchange.bitopro.wire.bodies import BATCH_MAX
from botkit.exchange.bitopro.wire.endpoints import REST_BASE, WS_BASE
from botkit.model.adapter import AdapterEvent, Capabilities, Lifetime, Sink, StreamKind
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import Connection, ConnectionState
from botkit.model.extension import Options
from botkit.model.limits import LimitTable
from botkit.model.pairs import Pair
from botkit.model.requests import (
    Answer,
    AnswerBody,
    CancelAck,
    CancelAll,
    CancelBatch,
    CancelOrder,
    CreateBatch,
    CreateOrder,
    Ending,
    Request,
)

log = logging.getLogger("botkit.bitopro")

#: the documentation does not state how many cancels fit in one PUT; this number keeps the body below 2 kB
_CANCEL_BATCH_MAX = 50
CAPABILITIES = Capabilities(
    batch_create_max=BATCH_MAX,
    batch_cancel_max=_CANCEL_BATCH_MAX,
    cancel_all=True,
    stop_orders=True,
    find_by_client_id=True,
)
#: a create request older than this is not sent, because the book may have changed since the strategy decided
_T0_AGE_MAX: Nanos = NS_PER_S
_PRIVATE_STREAMS = ("active_orders", "order_history", "account_balance", "user_trades")
_STREAMS_OF: Mapping[StreamKind, tuple[str, ...]] = {
    "books": ("order_book",),
    "trades": ("trades",),
    "tickers": ("ticker",),
    "account": _PRIVATE_STREAMS,
}


class BitoProAdapter(Lifetime):
    """Sends requests and delivers events for one account. It implements the contract in `botkit.model.adapter`."""

    account_streams = _PRIVATE_STREAMS
    capabilities = CAPABILITIES

    def __init__(
        self,
        client: BitoProClient,
        pairs: Mapping[str, Pair],
        *,
        resynchronise: Literal["engine", "rest"] = "engine",
        speed: float = 1.0,
        patience: float = 1.0,
        limits: LimitTable | None = None,
    ) -> None:
        """``speed`` is the ratio of the speed of the client's clock to that of the machine's clock. The maximum age of
        an order is measured in both exchange time and machine time. ``patience`` multiplies the machine time that an
        order may wait for a connection. If ``limits`` is None, the table that ships with botkit is used.
        """
        self.client = client
        self._limits = limits
        self._speed = max(1.0, speed)
        self._patience = patience
        #: the pairs whose rows can be parsed, keyed by lowercase name
        self.known_pairs = pairs
        self._resynchronise = resynchronise == "rest"
        self._is_open = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams: list[Stream] = []
        self._incoming = Incoming(pairs)
        #: converts an item from a stream into events; bound once, because an order may wait for them
        self.events = self._incoming.events

    @property
    def limits(self) -> LimitTable:
        """The rate limits in force."""
        if self._limits is None:
            # imported here because the table needs YAML, and recording market data must work without YAML
            from botkit.exchange.bitopro.limit_table import load_limit_table

            self._limits = load_limit_table()
        return self._limits

    @property
    def clock_skew_ms(self) -> int | None:
        """The offset of this machine's clock from the exchange's clock, accurate to one second, or None before the
        first response. A positive value means that this machine is ahead.
        """
        return self.client.clock_skew_ms

    async def pairs(self) -> Mapping[str, Pair]:
        """Fetch the pairs and their current rules from the exchange and return them. Raises RequestError."""
        return await self.client.pairs()

    async def open(self) -> None:
        """Open the connection pools without sending anything yet."""
        await self.client.open()
        self._is_open = True

    async def close(self) -> None:
        """Close every stream and connection."""
        self._is_open = False
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.client.close()

    # -- events in ------------------------------------------------------------------------------------------------

    def watch(
        self,
        sink: Sink,
        *,
        books: Mapping[Pair, int] | None = None,
        trades: Iterable[Pair] = (),
        tickers: Iterable[Pair] = (),
        account: bool = True,
    ) -> None:
        """Open the account's streams and the streams for these pairs, and send their events to ``sink``. ``books`` maps
        each pair to a book depth.

        ``sink`` must return immediately. The streams reconnect automatically until `close` and report each connection
        change as a `Connection`. A public stream emits one `Connection` for each of its pairs.
        """
        wanted: list[tuple[str, dict[str, int | None]]] = []
        if books:
            wanted.append(("order_book", {str(pair): served_depth(depth) for pair, depth in books.items()}))
        trades, tickers = list(trades), list(tickers)
        if trades:
            wanted.append(("trades", dict.fromkeys(map(str, trades))))
        if tickers:
            wanted.append(("ticker", dict.fromkeys(map(str, tickers))))
        if account:
            pairs: dict[str, int | None] = dict.fromkeys(self.known_pairs)
            wanted += [(stream_id, pairs if stream_id == "user_trades" else {}) for stream_id in _PRIVATE_STREAMS]
        for stream_id, pairs in wanted:
            # a lost account stream does not concern any single pair, even if the stream lists pairs to read after a
            # reconnect
            told = [None] if stream_id in _PRIVATE_STREAMS else [self.known_pairs[pair] for pair in pairs]
            task = asyncio.create_task(self._carry(stream_id, pairs, told, sink), name=f"bitopro {stream_id}")
            self._tasks.add(task)

    def reconnect(self, kind: StreamKind | None = None) -> None:
        """Reconnect the streams of one kind, or all streams, in case a connection is dead but was never closed."""
        for stream in [stream for stream in self._streams if kind is None or stream.id in _STREAMS_OF[kind]]:
            task = asyncio.create_task(stream.interrupt(), name="bitopro reconnect")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(
        self, stream_id: str, pairs: dict[str, int | None], told: Sequence[Pair | None], sink: Sink
    ) -> None:
        stream = self.client.stream(
            stream_id,
            pairs,
            trade_key=lambda pair, row: translate.rounded_trade_key(row, self.known_pairs[pair]),
            resynchronise=self._resynchronise,
        )
        self._streams.append(stream)
        try:
            async with stream:
                async for received in stream:
                    for event in self.events(stream_id, received, told):
                        sink(event)
        except Exception as error:
            # report that the stream ended, because nothing else would show that its last prices are stale
            log.exception("the stream %s ended", stream_id)
            for pair in told:
                sink(Connection(ConnectionState.LOST, stream_id, pair, f"the stream ended: {type(error).__name__}"))

    # -- requests out ---------------------------------------------------------------------------------------------

    def send(self, request: Request, *, urgent: bool = False) -> Coroutine[Any, Any, Answer]:
        """Send a request once. The coroutine returns its `Answer`. Urgent requests use separate connections. If a
        connection is open, a single order or cancel is written before this method returns.

        The coroutine raises only CancelledError, in which case the outcome of the request is unknown.
        """
        if not self._is_open:
            return _at_once(Answer(request_id=request.id, outcome=Ending.NOT_SENT, text="the adapter is not open"))
        begun: Begun[CreateReply] | Begun[CancelReply] | None = None
        try:
            if type(request) is CreateOrder:
                left_s = self._t0_left_s(request.timestamp)
                body = translate.create_body(request.order, request.timestamp, in_batch=False)
                begun = self.client.begin_order(request.order.pair, body, urgent=urgent, connect_timeout_s=left_s)
            elif type(request) is CancelOrder:
                begun = self.client.begin_cancel(request.pair, request.order_id)
        except Exception as error:
            return _at_once(failed(request, error))
        return self._answered(request, begun)

    async def _answered(self, request: Request, begun: Begun[CreateReply] | Begun[CancelReply] | None) -> Answer:
        try:
            body = await (self._perform(request) if begun is None else self._finished(request, begun))
        except Exception as error:
            return failed(request, error)
        return Answer(request_id=request.id, outcome=Ending.OK, body=body)

    async def _finished(self, request: Request, begun: Begun[CreateReply] | Begun[CancelReply]) -> AnswerBody:
        """Return the exchange's answer to an order or a cancel."""
        reply = await begun.reply()
        if isinstance(reply, CreateReply):
            assert isinstance(request, CreateOrder)
            return acknowledged(created(reply), request.order)
        assert isinstance(request, CancelOrder)
        if str(reply.order_id) != request.order_id:
            raise OutcomeUnknown(f"the cancel request for {request.order_id} was answered for {reply.order_id}")
        return CancelAck(((str(request.pair), request.order_id),))

    async def _perform(self, request: Request) -> AnswerBody:
        client = self.client
        match request:
            case CreateBatch():
                left_s = self._t0_left_s(request.timestamp)
                bodies = [translate.create_body(o, request.timestamp, in_batch=True) for o in request.orders]
                replies = await client.post_batch(bodies, connect_timeout_s=left_s)
                return tuple(map(acknowledged, replies, request.orders))
            case CancelBatch():
                return CancelAck(await client.cancel_orders((str(pair), order_id) for pair, order_id in request.orders))
            case CancelAll():
                return CancelAck(await client.cancel_all(request.pair))
            case _:
                return await read(client, request, self._incoming)

    def _t0_left_s(self, timestamp: Nanos) -> float:
        """Return the number of seconds that a create request may still wait for a connection. Raises NothingSent if the
        request is already too old.
        """
        left = (timestamp - self.client.clock.now()) / self._speed + _T0_AGE_MAX
        if left <= 0:
            raise NothingSent("the order waited more than a second after its slot was granted and was not sent")
        return max(left, NS_PER_S // 100) / NS_PER_S * self._patience


async def _at_once(answer: Answer) -> Answer:
    return answer


def connect(options: Options, limits: LimitTable | None = None) -> BitoProAdapter:
    """Create an adapter from the ``exchange:`` section of a configuration, without opening it.

    Options from the user: ``account`` (email, key, secret), ``rest`` and ``ws`` (addresses, for example those of an
    emulator). Options set by botkit: ``clock`` and its ``speed``, ``patience`` (a multiplier for timeouts, for a clock
    that stops while requests are in flight), ``random``, ``pairs``, ``resynchronise``, ``frame_tap`` and ``public``
    (market data only, without an account). ``limits`` replaces the table that ships with botkit. Raises ConfigError.
    """
    account: Mapping[str, Any] = {} if options.get("public") else options.get("account") or {}
    missing = [name for name in ("email", "key", "secret") if not account.get(name)]
    if missing and not options.get("public"):
        raise ConfigError(f"account: {', '.join(missing)} missing; trading needs email, key and secret")
    patience = float(options.get("patience") or 1.0)
    try:
        client = BitoProClient(
            str(account.get("email", "")),
            str(account.get("key", "")),
            str(account.get("secret", "")),
            rest_url=str(options.get("rest") or REST_BASE),
            ws_url=str(options.get("ws") or WS_BASE),
            clock=options.get("clock"),
            random=options.get("random"),
            read_timeout_s=READ_TIMEOUT_S * patience,
            write_timeout_s=WRITE_TIMEOUT_S * patience,
            frame_tap=options.get("frame_tap"),
        )
    except ValueError as error:
        raise ConfigError(f"exchange: {error}") from None
    pairs = options.get("pairs") or packaged_pairs()
    return BitoProAdapter(
        client,
        pairs,
        resynchronise=options.get("resynchronise") or "engine",
        speed=float(options.get("speed") or 1.0),
        patience=patience,
        limits=limits,
    )


__all__ = ["CAPABILITIES", "AdapterEvent", "BitoProAdapter", "Sink", "connect"]
