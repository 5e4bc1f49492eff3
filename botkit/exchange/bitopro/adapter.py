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
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeVar

import msgspec

from botkit.errors import ConfigError, OutcomeUnknown, RateLimited, Refused, RequestError, TryAgain
from botkit.exchange.bitopro import translate
from botkit.exchange.bitopro.calls import READ_TIMEOUT_S, WRITE_TIMEOUT_S, Begun
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.exchange.bitopro.history import stitch_candles
from botkit.exchange.bitopro.rest import BitoProClient, created
from botkit.exchange.bitopro.stream import NewTrades, Received, Snapshot, Stream, StreamChange
from botkit.exchange.bitopro.transport import NothingSent
from botkit.exchange.bitopro.wire.account import BalanceRow, CancelReply, CreateReply, OwnOrderRow, OwnTradeRow
from botkit.exchange.bitopro.wire.bodies import BATCH_MAX
from botkit.exchange.bitopro.wire.codec import WireError, scaled, to_ns
from botkit.exchange.bitopro.wire.endpoints import BOOK_LIMITS, REST_BASE, WS_BASE
from botkit.exchange.bitopro.wire.frames import (
    ActiveOrdersFrame,
    BalanceFrame,
    HistoryOrdersFrame,
    OrderBookFrame,
    TickerFrame,
    UnknownFrame,
    UserTradeFrame,
)
from botkit.model.adapter import AdapterEvent, Capabilities, Lifetime, Sink, StreamKind
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.counts import counted
from botkit.model.events import BalanceReport, Connection, ConnectionState, OrderBook, OrderReport, TradeReport
from botkit.model.extension import Options
from botkit.model.limits import LimitTable
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import OrderType, Side
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
    GetBalances,
    GetBook,
    GetCandles,
    GetOrder,
    ListOpenOrders,
    ListOrders,
    ListTrades,
    OrderAck,
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
#: number of orders and executions to remember for detecting repeats
_MEMORY = 20_000
#: how much later than a newer balance frame an older one may arrive
_LATE_FRAME_MS = 60_000
_PRIVATE_STREAMS = ("active_orders", "order_history", "account_balance", "user_trades")
_STREAMS_OF: Mapping[StreamKind, tuple[str, ...]] = {
    "books": ("order_book",),
    "trades": ("trades",),
    "tickers": ("ticker",),
    "account": _PRIVATE_STREAMS,
}

_Row = TypeVar("_Row")
_Event = TypeVar("_Event")


class _Remembered:
    """Stores the last value seen for each key, and keeps only the latest ``_MEMORY`` keys."""

    def __init__(self) -> None:
        self._values: OrderedDict[object, object] = OrderedDict()

    def is_new(self, key: object, value: object) -> bool:
        """Return False if ``value`` equals the last value seen for this key."""
        if self._values.get(key) == value:
            return False
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > _MEMORY:
            self._values.popitem(last=False)
        return True


class _IncompleteError(WireError):
    """Some rows of a listing cannot be read. ``reports`` are the others. They show that an order exists, but never that
    it does not.
    """

    def __init__(self, problem: str, reports: tuple[OrderReport, ...]) -> None:
        super().__init__(problem)
        self.reports = reports


def _each(rows: Iterable[_Row], convert: Callable[[_Row], _Event], unreadable: list[WireError]) -> Iterable[_Event]:
    """Convert rows one by one. The errors of rows that cannot be read are added to ``unreadable``."""
    for row in rows:
        try:
            event = convert(row)
        except WireError as error:
            unreadable.append(error)
        else:
            yield event


def _problem(unreadable: Sequence[WireError]) -> str:
    others = len(unreadable) - 1
    return str(unreadable[0]) + (f", and {counted(others, 'other row')} cannot be read either" if others else "")


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
        self._reports = _Remembered()
        self._trades = _Remembered()
        self._foreign: set[str] = set()
        self._unknown_events: set[str] = set()
        #: keyed by currency: the timestamp, in milliseconds, of the last frame with this currency's balance
        self._balances_at: dict[str, int] = {}

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
            wanted.append(("order_book", {str(pair): _served_depth(depth) for pair, depth in books.items()}))
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

    def events(self, stream_id: str, received: Received, told: Sequence[Pair | None]) -> Sequence[AdapterEvent]:
        """Convert an item from a stream into events. ``told`` lists the pairs to notify of a connection change.

        A row that cannot be read does not affect the other rows. It is logged, and the stream is reported as STALE.
        """
        item = received.item
        unreadable: list[WireError] = []
        try:
            if type(item) is OrderBookFrame:  # most frames are books, and an order may wait for this one
                return self._books(item)
            translated = list(self._translated(stream_id, received, told, unreadable))
        except WireError as error:
            translated = []
            unreadable.append(error)
        # repeats are recognised only now, because an event that is remembered must also be delivered
        found = self._without_repeats(translated, received)
        if unreadable:
            problem = _problem(unreadable)
            log.error("%s: %s", stream_id, problem)
            found += [Connection(ConnectionState.STALE, stream_id, pair, problem) for pair in told]
        return found

    def _translated(
        self, stream_id: str, received: Received, told: Sequence[Pair | None], unreadable: list[WireError]
    ) -> Iterable[AdapterEvent]:
        """Convert an item into events, whether or not they are new. Errors of single rows are added to
        ``unreadable``.
        """
        item = received.item
        match item:
            case NewTrades():
                pair = self._pair(item.frame.pair)
                if pair is not None:
                    if item.gap:
                        yield Connection(
                            ConnectionState.RESYNCHRONISED,
                            stream_id,
                            pair,
                            "gap: trades before these may be missing",
                            gap=True,
                        )
                    yield from _each(item.new, partial(translate.trade, pair=pair), unreadable)
            case TickerFrame():
                if item.pair and (pair := self._pair(item.pair)):
                    yield translate.ticker(item, pair)
            case ActiveOrdersFrame() | HistoryOrdersFrame():
                rows = (row for of_pair in (item.data or {}).values() for row in of_pair or ())
                # the first frame of a connection repeats older data
                yield from self._order_reports(rows, unreadable, 0 if received.is_first else to_ns(item.timestamp))
            case UserTradeFrame():
                if pair := self._pair(f"{item.data.base}_{item.data.quote}"):
                    yield translate.user_trade_report(item.data, pair)
            case BalanceFrame():
                rows_of_frame = (item.data or {}).values()
                reports = _each(rows_of_frame, lambda row: translate.balance_report((row,), snapshot=False), unreadable)
                # never treat this frame as a snapshot: if the first frame were lost, the next frame, with a single
                # currency, would imply that all other coins are gone
                yield BalanceReport({c: held for report in reports for c, held in report.balances.items()})
            case Snapshot():
                yield from self._snapshot(item, unreadable)
            case StreamChange():
                for told_pair in told:
                    yield Connection(item.state, stream_id, told_pair, item.detail, is_refused=item.is_refused)
            case UnknownFrame():
                self._unknown_event(stream_id, item.event[:40])

    def _without_repeats(self, translated: Iterable[AdapterEvent], received: Received) -> list[AdapterEvent]:
        """Remember an item's events, and return those that are new. Reports may repeat, because both order streams
        report an order's final state, and snapshots contain old reports.
        """
        found: list[AdapterEvent] = []
        for event in translated:
            kind = type(event)
            if kind is OrderReport:
                assert isinstance(event, OrderReport)
                plain = msgspec.structs.replace(event, pushed=0) if event.pushed else event
                if not self._reports.is_new(event.order_id, plain):
                    continue
            elif kind is TradeReport:
                assert isinstance(event, TradeReport)
                # a self-trade appears as two executions with the same id
                if not self._trades.is_new((event.trade_id, event.order_id, event.side), event):
                    continue
            elif isinstance(received.item, BalanceFrame):
                assert isinstance(event, BalanceReport)
                event = self._newest(event, received.item.timestamp, received.is_first)
                if not event.balances:
                    continue
            found.append(event)
        return found

    def _books(self, frame: OrderBookFrame) -> Sequence[OrderBook]:
        """Return the book in a frame, or nothing if its pair is unknown."""
        pair = self.known_pairs.get(frame.pair.lower()) or self._pair(frame.pair)
        if pair is None:
            return ()
        return (translate.order_book(frame.bids, frame.asks, pair, to_ns(frame.timestamp)),)

    def _newest(self, report: BalanceReport, timestamp_ms: int, is_first: bool) -> BalanceReport:
        """Return the balances that are at least as recent as earlier ones of the same currency. Frames may arrive out
        of order.

        If a timestamp goes back further than any frame could be delayed, the exchange's clock must have been reset, so
        the balance is accepted.
        """
        if is_first:
            self._balances_at.clear()
        newest = {
            currency: held
            for currency, held in report.balances.items()
            if not 0 < self._balances_at.get(currency, 0) - timestamp_ms < _LATE_FRAME_MS
        }
        self._balances_at.update(dict.fromkeys(newest, timestamp_ms))
        return BalanceReport(newest)

    def _unknown_event(self, stream_id: str, event: str) -> None:
        if event not in self._unknown_events and len(self._unknown_events) < 100:
            self._unknown_events.add(event)
            log.warning(
                "%s: frames with the unknown event %s are ignored, and everything else continues; check for a newer "
                "botkit",
                stream_id,
                event,
            )

    def _snapshot(self, snapshot: Snapshot, unreadable: list[WireError]) -> Iterable[AdapterEvent]:
        rows = snapshot.rows
        yield from self._order_reports((row for row in rows if isinstance(row, OwnOrderRow)), unreadable)
        balances = [row for row in rows if isinstance(row, BalanceRow)]
        if balances:
            # all or none, because a currency that is missing from a snapshot has a zero balance
            yield translate.balance_report(balances, snapshot=True)
        pair = self._pair(snapshot.pair or "")
        if pair:
            # trade ids in the listing differ from those in the stream, so the engine matches executions by each order's
            # executed amount
            trades = (row for row in rows if isinstance(row, OwnTradeRow))
            yield from _each(trades, partial(translate.own_trade_report, pair=pair), unreadable)

    def _order_reports(
        self, rows: Iterable[OwnOrderRow], unreadable: list[WireError], pushed: Nanos = 0
    ) -> Iterable[OrderReport]:
        """Convert the rows of known pairs."""
        known = ((row, pair) for row in rows if (pair := self._pair(row.pair)))
        return _each(known, lambda known_row: translate.order_report(*known_row, pushed), unreadable)

    def _pair(self, name: str) -> Pair | None:
        """Return the pair, or None if its rules are unknown. This bot cannot have placed an order in an unknown pair.
        Each unknown pair is logged once.
        """
        pair = self.known_pairs.get(name.lower())
        if pair is None and name and name not in self._foreign and len(self._foreign) < 1000:
            self._foreign.add(name)
            log.warning("rows for the pair %s are ignored: this bot does not know the pair", name[:40])
        return pair

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
            return _at_once(_failed(request, error))
        return self._answered(request, begun)

    async def _answered(self, request: Request, begun: Begun[CreateReply] | Begun[CancelReply] | None) -> Answer:
        try:
            body = await (self._perform(request) if begun is None else self._finished(request, begun))
        except Exception as error:
            return _failed(request, error)
        return Answer(request_id=request.id, outcome=Ending.OK, body=body)

    async def _finished(self, request: Request, begun: Begun[CreateReply] | Begun[CancelReply]) -> AnswerBody:
        """Return the exchange's answer to an order or a cancel."""
        reply = await begun.reply()
        if isinstance(reply, CreateReply):
            assert isinstance(request, CreateOrder)
            return _acknowledged(created(reply), request.order)
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
                return tuple(map(_acknowledged, replies, request.orders))
            case CancelBatch():
                return CancelAck(await client.cancel_orders((str(pair), order_id) for pair, order_id in request.orders))
            case CancelAll():
                return CancelAck(await client.cancel_all(request.pair))
            case _:
                return await self._read(request)

    async def _read(self, request: Request) -> AnswerBody:
        client = self.client
        match request:
            case GetOrder():
                row = await client.order(request.pair, request.order_id)
                return (translate.order_report(row, request.pair),)
            case ListOrders():
                rows = await client.orders(
                    request.pair,
                    start=request.start,
                    end=request.end,
                    client_id=request.client_id,
                    limit=request.limit,
                    order_ids=request.order_ids,
                )
                return self._listed(rows)
            case ListOpenOrders():
                return self._listed(await client.open_orders(request.pair))
            case ListTrades():
                trades = await client.own_trades(
                    request.pair,
                    start=request.start,
                    end=request.end,
                    order_id=request.order_id,
                    limit=request.limit,
                )
                return tuple(translate.own_trade_report(row, request.pair) for row in trades)
            case GetBalances():
                held = await client.balances()
                if not held:  # zero balances are also listed, so an empty list is an error
                    raise TryAgain("balance: the answer lists no currency", status=200)
                return translate.balance_report(held, snapshot=True)
            case GetBook():
                book = await client.order_book(request.pair, _served_depth(request.depth))
                # the response has no timestamp, so its arrival time is used
                now = client.clock.now()
                return translate.order_book(book.bids, book.asks, request.pair, now, request.depth)
            case GetCandles():
                found = await client.candles_once(request.pair, request.resolution, request.start, request.end)
                sorted_rows = stitch_candles(
                    found,
                    request.resolution,
                    request.start,
                    request.end,
                    now=client.clock.now(),
                    fill_gaps=False,
                    running=request.running,
                )
                return tuple(translate.candle(row, request.pair, request.resolution) for row in sorted_rows)
        raise AssertionError(f"no API call for {request!r}")

    def _listed(self, rows: Iterable[OwnOrderRow]) -> tuple[OrderReport, ...]:
        """Convert a listing. Raises `_IncompleteError` if one of its rows cannot be read."""
        unreadable: list[WireError] = []
        reports = tuple(self._order_reports(rows, unreadable))
        if unreadable:
            raise _IncompleteError(_problem(unreadable), reports)
        return reports

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


def _failed(request: Request, error: Exception) -> Answer:
    """Return the answer for a request that ended in an error."""
    match error:
        case NothingSent():
            return _answer(request, Ending.NOT_SENT, error)
        case RateLimited():
            return _answer(request, Ending.RATE_LIMITED, error)
        case Refused():
            return _answer(request, Ending.REFUSED, error)
        case RequestError():
            return _answer(request, Ending.UNKNOWN, error)
        case _IncompleteError(reports=reports):
            text = str(error)
            return Answer(request_id=request.id, outcome=Ending.UNKNOWN, status=200, text=text, body=reports or None)
        case WireError():  # an unreadable response
            return Answer(request_id=request.id, outcome=Ending.UNKNOWN, status=200, text=str(error))
    # this is a bug in botkit; return an answer anyway, so that the bot looks up the order instead of waiting forever
    log.error("%s %d could not be sent", request.endpoint, request.id, exc_info=error)
    return Answer(request_id=request.id, outcome=Ending.UNKNOWN, text=f"{type(error).__name__}: {error}")


def _acknowledged(reply: CreateReply, order: OrderSpec) -> OrderAck:
    """Return the acknowledgement if it echoes this order. Raises OutcomeUnknown if it echoes a different order."""
    rules = order.pair.rules
    spends = order.type is OrderType.MARKET and order.side is Side.BUY
    decimals = 8 if spends else rules.amount_decimals
    fits = (
        translate.side_of(reply.action) is order.side
        and reply.client in (None, order.client_id)
        and scaled(reply.amount, decimals, "amount") == (order.spend_units if spends else order.amount_lots)
        and (
            reply.price is None
            or order.type is OrderType.MARKET
            or scaled(reply.price, rules.price_decimals, "price") == order.price_ticks
        )
    )
    if not fits:
        asked = translate.create_body(order, 0, in_batch=True)
        raise OutcomeUnknown(
            f"the exchange answered for another order: {reply.action} {reply.amount} at {reply.price}, "
            f"client id {reply.client}, instead of {asked.action} {asked.amount} at {asked.price}, {asked.client_id}",
            status=200,
        )
    return OrderAck(str(reply.order_id), reply.client)


def _answer(request: Request, outcome: Ending, error: RequestError) -> Answer:
    return Answer(request_id=request.id, outcome=outcome, status=error.status, text=error.text or str(error))


def _served_depth(depth: int) -> int:
    """Return the smallest book depth served by the exchange that has at least ``depth`` levels. The exchange sends five
    levels for any depth it does not serve.
    """
    return next((limit for limit in BOOK_LIMITS if limit >= depth), BOOK_LIMITS[-1])


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
