"""A typed asyncio client for every documented BitoPro endpoint and stream. It works without the rest of botkit.

    from botkit.exchange.bitopro import BitoProClient

    async with BitoProClient(email="me@example.com", key="...", secret="...") as client:
        book = await client.order_book("btc_twd", limit=5)
        reply = await client.create_order("btc_twd", "BUY", "LIMIT", price="2700000", amount="0.001", client_id=1)
        async with client.stream("trades", {"btc_twd": None}) as stream:
            async for received in stream:
                print(received.item)

Times are integers in nanoseconds. Prices and amounts are text, as on the wire. Every call is sent once. An error's type
indicates what the caller should do next: TryAgain, RateLimited, Refused or OutcomeUnknown (`botkit.errors`). The client
does not enforce rate limits. A bot's router enforces them, and ``botkit limits`` prints them.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from random import Random
from typing import Any, Generic, Literal, TypeVar

import msgspec

from botkit.errors import OutcomeUnknown, Refused, RequestError, TryAgain
from botkit.exchange.bitopro.history import candle_ranges, collect_windows, stitch_candles
from botkit.exchange.bitopro.sign import Credentials
from botkit.exchange.bitopro.stream import FrameTap, Snapshot, Stream, StreamTimes, TradeKey, plain_trade_key
from botkit.exchange.bitopro.transport import Call, Transport, check_url
from botkit.exchange.bitopro.wire.account import (
    BalanceRow,
    BalancesReply,
    BlankOrder,
    CancelManyReply,
    CancelReply,
    CreateBatchReply,
    CreateReply,
    OrdersReply,
    OwnOrderRow,
    OwnTradeRow,
    OwnTradesReply,
)
from botkit.exchange.bitopro.wire.bodies import BATCH_MAX, CLIENT_ID_MAX, CreateBody, WithdrawBody, encode_cancel_batch
from botkit.exchange.bitopro.wire.codec import WireError, decode, encode, refuse_repeated_names
from botkit.exchange.bitopro.wire.endpoints import BOOK_LIMITS, ENDPOINTS, REST_BASE, WS_BASE, Endpoint
from botkit.exchange.bitopro.wire.market import (
    CandleRow,
    CandlesReply,
    CurrenciesReply,
    CurrencyRow,
    LimitationsReply,
    OrderBookReply,
    OtcPriceReply,
    PairRow,
    PairsReply,
    TickerRow,
    TickersReply,
    TradeRow,
    TradesReply,
)
from botkit.exchange.bitopro.wire.wallet import (
    TransferReply,
    TransferRow,
    TransfersReply,
    WithdrawalReply,
    WithdrawalRow,
)
from botkit.exchange.machine import SystemClock, system_random
from botkit.model.adapter import Lifetime
from botkit.model.clock import NS_PER_MINUTE, NS_PER_MS, NS_PER_S, Clock, Nanos
from botkit.model.listed_pairs import ListedPairs
from botkit.model.pairs import pairs_from_wire
from botkit.model.resolutions import check_resolution

log = logging.getLogger("botkit.bitopro")

T = TypeVar("T")

_MB = 2**20
#: the default timeouts for reads and writes
READ_TIMEOUT_S, WRITE_TIMEOUT_S = 10.0, 5.0
_CANDLES_SIZE_MAX = 16 * _MB
_LIST_SIZE_MAX = 4 * _MB
_CREATE_ORDER = ENDPOINTS["create_order"]


class Begun(Generic[T]):
    """A request whose reply has not been read yet. If a connection was open, the request has already been written."""

    __slots__ = ("_call", "_endpoint", "_shape")

    def __init__(self, call: Call, endpoint: Endpoint, shape: type[T]) -> None:
        self._call = call
        self._endpoint = endpoint
        self._shape = shape

    async def reply(self) -> T:
        """Wait for the reply, after writing the request if there was no open connection. Call this once. Raises
        RequestError.
        """
        answer, endpoint = await self._call.answer(), self._endpoint
        try:
            reply = decode(answer, self._shape, endpoint.id)
            if endpoint.is_write:
                refuse_repeated_names(answer, endpoint.id)  # a repeated order id would be ambiguous
            return reply
        except WireError as error:
            failure: RequestError = (
                OutcomeUnknown(f"{error}; it may have taken effect", status=200, text=str(error))
                if endpoint.is_write
                else TryAgain(str(error), status=200, text=str(error))
            )
        raise failure


class BitoProClient(Lifetime):
    """A client for every endpoint and stream. It is an async context manager with two connection pools, one of them for
    urgent calls.

    Public calls need no account. ``withdraw`` works only if the client was created with ``allow_withdrawals=True``.
    """

    def __init__(
        self,
        email: str = "",
        key: str = "",
        secret: str = "",
        *,
        credentials: Credentials | None = None,
        rest_url: str = REST_BASE,
        ws_url: str = WS_BASE,
        clock: Clock | None = None,
        random: Random | None = None,
        allow_withdrawals: bool = False,
        read_timeout_s: float = READ_TIMEOUT_S,
        write_timeout_s: float = WRITE_TIMEOUT_S,
        stream_times: StreamTimes | None = None,
        frame_tap: FrameTap | None = None,
    ) -> None:
        """``frame_tap`` is called with every frame of every stream, for recording raw frames."""
        if credentials is None and (key or secret):
            credentials = Credentials(email, key, secret)
        self.clock: Clock = clock or SystemClock()
        self._random = random or system_random()  # random numbers are used only to spread out reconnects
        self._transport = Transport(rest_url, credentials, self.clock)
        self._ws_url = check_url(ws_url, ("wss", "ws"))
        self._allow_withdrawals = allow_withdrawals
        self._read_timeout_s = read_timeout_s
        self._write_timeout_s = write_timeout_s
        self._stream_times = stream_times or StreamTimes()
        self._frame_tap = frame_tap

    async def open(self) -> None:
        """Open the client without ``async with``. The caller must call `close` when done."""
        self._transport.open()

    async def close(self) -> None:
        """Close all REST connections. A stream closes when its iteration ends."""
        await self._transport.close()

    def __repr__(self) -> str:
        account = "an account" if self._transport.credentials else "no account"
        return f"<BitoProClient {self._transport.base_url}, {account}>"

    @property
    def clock_skew_ms(self) -> int | None:
        """The offset of this machine's clock from the exchange's clock, accurate to one second. It is the smallest
        difference found in the Date headers of the last three responses, or None before the first response.
        """
        return self._transport.clock_skew_ms

    # -- making a call --------------------------------------------------------------------------------------

    def _begin(
        self,
        endpoint_id: str,
        shape: type[T],
        *,
        query: Mapping[str, object] | None = None,
        body: bytes | None = None,
        size_max: int = 2 * _MB,
        timeout_s: float | None = None,
        connect_timeout_s: float = 5.0,
        urgent: bool = False,
        **names: str,
    ) -> Begun[T]:
        endpoint = ENDPOINTS[endpoint_id]
        call = self._transport.begin(
            endpoint,
            _path(endpoint_id, **names),
            query={name: _text(value) for name, value in query.items() if value is not None} if query else None,
            body=body,
            timeout_s=timeout_s or (self._write_timeout_s if endpoint.is_write else self._read_timeout_s),
            connect_timeout_s=connect_timeout_s,
            size_max=size_max,
            urgent=urgent,
        )
        return Begun(call, endpoint, shape)

    async def _call(self, endpoint_id: str, shape: type[T], **options: Any) -> T:
        return await self._begin(endpoint_id, shape, **options).reply()

    # -- public market data ---------------------------------------------------------------------------------------

    async def trading_pairs(self) -> tuple[PairRow, ...]:
        """Return the rules of every pair as wire rows."""
        return (await self._call("trading_pairs", PairsReply)).data or ()

    async def pairs(self, *, amount_step: Literal["base", "amount"] = "base") -> ListedPairs:
        """Return the rules of every pair that can be traded as `Pair` objects, keyed by lowercase name."""
        rows = [msgspec.to_builtins(row) for row in await self.trading_pairs()]
        left_out: dict[str, str] = {}
        try:
            pairs = pairs_from_wire(rows, amount_step=amount_step, left_out=left_out)
        except (ValueError, KeyError, ArithmeticError) as error:
            raise TryAgain(f"trading_pairs: {error}", status=200) from None
        for name, reason in left_out.items():
            log.warning("the pair %s is left out: %s", name[:40], reason)
        return ListedPairs(pairs, left_out)

    async def currencies(self) -> tuple[CurrencyRow, ...]:
        """Return withdrawal limits and fees, one row per currency and protocol."""
        return (await self._call("currencies", CurrenciesReply)).data or ()

    async def limitations_and_fees(self) -> LimitationsReply:
        """Return the fee table and the transfer limits."""
        return await self._call("limitations_and_fees", LimitationsReply)

    async def tickers(self) -> tuple[TickerRow, ...]:
        """Return 24-hour statistics for every pair."""
        return (await self._call("tickers", TickersReply)).rows

    async def ticker(self, pair: str) -> TickerRow:
        """Return 24-hour statistics for one pair."""
        rows = (await self._call("ticker", TickersReply, pair=pair)).rows
        if len(rows) != 1:
            raise TryAgain(f"ticker: {len(rows)} rows for {pair} instead of one", status=200)
        return rows[0]

    async def order_book(self, pair: str, limit: int = 5, scale: int | None = None) -> OrderBookReply:
        """Return the best levels. ``limit`` is 1, 5, 10, 20, 30 or 50. ``scale`` n merges levels to prices with n fewer
        decimals.
        """
        if limit not in BOOK_LIMITS:
            raise Refused(f"order_book: limit {limit} is not one of {', '.join(map(str, BOOK_LIMITS))}")
        return await self._call("order_book", OrderBookReply, query={"limit": limit, "scale": scale}, pair=pair)

    async def trades(self, pair: str) -> tuple[TradeRow, ...]:
        """Return recent public trades, newest first, with timestamps in whole seconds."""
        return (await self._call("trades", TradesReply, pair=pair)).data or ()

    async def candles_once(self, pair: str, resolution: str, start: Nanos, end: Nanos) -> tuple[CandleRow, ...]:
        """Send one request for the candles whose bucket starts in ``start`` <= time < ``end``. Return them exactly as
        the exchange sends them.

        The candles may be unsorted. Buckets without trades may be missing, and the last candle may be unfinished.
        """
        query = {"resolution": check_resolution(resolution), "from": -(-start // NS_PER_S), "to": (end - 1) // NS_PER_S}
        reply = await self._call(
            "trading_history", CandlesReply, query=query, size_max=_CANDLES_SIZE_MAX, timeout_s=30.0, pair=pair
        )
        return reply.data or ()

    async def candles(
        self, pair: str, resolution: str, start: Nanos, end: Nanos, *, fill_gaps: bool = False, running: bool = False
    ) -> tuple[CandleRow, ...]:
        """Return the candles whose bucket starts in ``start`` <= time < ``end``, sorted and without duplicates. Sends
        as many requests as needed.

        Buckets without trades are missing by default. With ``fill_gaps`` they repeat the last close with volume 0, from
        the first candle found to the end. The unfinished candle is left out unless ``running`` is set.
        """
        check_resolution(resolution)
        rows: list[CandleRow] = []
        for lower, upper in candle_ranges(resolution, start, min(end, self.clock.now())):
            rows += await self.candles_once(pair, resolution, lower, upper)
        try:
            return stitch_candles(
                rows, resolution, start, end, now=self.clock.now(), fill_gaps=fill_gaps, running=running
            )
        except WireError as error:
            raise TryAgain(f"trading_history: {error}", status=200) from None

    async def otc_price(self, currency: str) -> OtcPriceReply:
        """Return the prices at which the exchange's own trading desk buys and sells a currency."""
        return await self._call("otc_price", OtcPriceReply, currency=currency)

    # -- the account ----------------------------------------------------------------------------------------------

    async def balances(self) -> tuple[BalanceRow, ...]:
        """Return the total and available amount of every currency, including zero balances."""
        return (await self._call("balance", BalancesReply)).data or ()

    async def create_order(
        self,
        pair: str,
        action: Literal["BUY", "SELL"],
        type: Literal["LIMIT", "MARKET", "STOP_LIMIT"],
        *,
        amount: str | Decimal | None = None,
        price: str | Decimal | None = None,
        stop_price: str | Decimal | None = None,
        condition: Literal[">=", "<="] | None = None,
        post_only: bool = False,
        client_id: int | None = None,
        percentage: int | None = None,
    ) -> CreateReply:
        """Create an order. ``amount`` is in base currency, except that **for a market buy it is the quote amount to
        spend**.

        After OutcomeUnknown, look for the order first (`orders` with ``client_id``), because the exchange does not
        detect repeated client ids.
        """
        body = CreateBody(
            action=action,
            type=type,
            price=_number(price),
            amount=_number(amount),
            timestamp=self.clock.now() // NS_PER_MS,
            stop_price=_number(stop_price),
            condition=condition,
            time_in_force="POST_ONLY" if post_only else None,
            client_id=_client_id(client_id),
            percentage=percentage,
        )
        return await self.post_order(pair, body)

    async def post_order(
        self, pair: str, body: CreateBody, *, urgent: bool = False, connect_timeout_s: float = 5.0
    ) -> CreateReply:
        """Create an order from a body in wire format."""
        begun = self.begin_order(pair, body, urgent=urgent, connect_timeout_s=connect_timeout_s)
        return created(await begun.reply())

    def begin_order(
        self, pair: str, body: CreateBody, *, urgent: bool = False, connect_timeout_s: float = 5.0
    ) -> Begun[CreateReply]:
        """Start creating an order and return before the reply arrives. If a connection is open, the request is already
        written. Pass the reply through `created`.
        """
        endpoint = _CREATE_ORDER
        call = self._transport.begin(
            endpoint,
            _path(endpoint.id, pair=pair),
            body=encode(body),
            timeout_s=self._write_timeout_s,
            connect_timeout_s=connect_timeout_s,
            urgent=urgent,
        )
        return Begun(call, endpoint, CreateReply)

    async def post_batch(
        self, bodies: Iterable[CreateBody], *, connect_timeout_s: float = 5.0
    ) -> tuple[CreateReply, ...]:
        """Create 1 to 10 LIMIT or MARKET orders. Each body includes its ``pair``. Results are in request order.

        The documentation does not state what happens if one order is refused, so look up all of the orders after any
        failure.
        """
        items = tuple(bodies)
        if not 1 <= len(items) <= BATCH_MAX:
            raise Refused(f"create_batch: {len(items)} orders; one request takes 1 to {BATCH_MAX}")
        if any(not item.pair for item in items):
            raise Refused("create_batch: every order needs a pair")
        reply = await self._call(
            "create_batch", CreateBatchReply, body=encode(items), connect_timeout_s=connect_timeout_s
        )
        if len(reply.data or ()) != len(items):
            raise OutcomeUnknown(
                f"create_batch: {len(reply.data or ())} replies for {len(items)} orders; some may have taken effect",
                status=200,
            )
        return reply.data or ()

    async def cancel_order(self, pair: str, order_id: str, *, urgent: bool = True) -> CancelReply:
        """Cancel one order. Success means only that the exchange accepted the cancel. Query the order to find out its
        final state.
        """
        return await self.begin_cancel(pair, order_id, urgent=urgent).reply()

    def begin_cancel(self, pair: str, order_id: str, *, urgent: bool = True) -> Begun[CancelReply]:
        """Start a cancel and return before the reply arrives. If a connection is open, the request is already
        written.
        """
        return self._begin("cancel_order", CancelReply, urgent=urgent, pair=pair, orderId=order_id)

    async def cancel_orders(
        self, orders: Iterable[tuple[str, str]], *, urgent: bool = True
    ) -> tuple[tuple[str, str], ...]:
        """Cancel orders, given as (pair, order id), in one request. Return the orders that were actually cancelled."""
        body = encode_cancel_batch(list(orders))
        return (await self._call("cancel_batch", CancelManyReply, body=body, urgent=urgent)).orders

    async def cancel_all(self, pair: str | None = None, *, urgent: bool = True) -> tuple[tuple[str, str], ...]:
        """Cancel **every** order of the account, or every order in one pair, regardless of who placed it. Return the
        (pair, order id) of each cancelled order.
        """
        if pair is None:
            return (await self._call("cancel_all", CancelManyReply, urgent=urgent)).orders
        return (await self._call("cancel_all_pair", CancelManyReply, urgent=urgent, pair=pair)).orders

    async def order(self, pair: str, order_id: str) -> OwnOrderRow:
        """Return one order from the last 90 days. Raises Refused if the order does not exist, whether the response is
        404, 422 or blank.
        """
        raw = await self._call("get_order", msgspec.Raw, pair=pair, orderId=order_id)
        try:
            if decode(bytes(raw), BlankOrder, "get_order").is_blank:
                raise Refused(f"get_order: {pair} has no order {order_id}", status=200, text="no such order")
            return decode(bytes(raw), OwnOrderRow, "get_order")
        except WireError as error:
            raise TryAgain(str(error), status=200) from None

    async def open_orders(self, pair: str | None = None) -> tuple[OwnOrderRow, ...]:
        """Return the orders that are open or waiting for their trigger. Timestamps are in s or ms (see
        `wire.codec.to_ms`).
        """
        reply = await self._call("open_orders", OrdersReply, query={"pair": pair}, size_max=_LIST_SIZE_MAX)
        return reply.data or ()

    async def orders(
        self,
        pair: str,
        *,
        start: Nanos | None = None,
        end: Nanos | None = None,
        status_kind: Literal["OPEN", "DONE", "ALL"] = "ALL",
        status: int | None = None,
        client_id: int | None = None,
        order_id: str | None = None,
        limit: int = 100,
        ignore_time_limit: bool = False,
        order_ids: Sequence[str] = (),
    ) -> tuple[OwnOrderRow, ...]:
        """Send one request for orders created in ``start`` <= time < ``end`` (default: the last 90 days), newest first.

        ``limit`` is 1 to 1000. ``DONE`` leaves out cancelled orders (statuses 4 and 6). ``order_ids`` (at most 1000) is
        an undocumented filter that the exchange may ignore. Check with `filters_order_ids`.
        """
        query: dict[str, object] = {
            "startTimestamp": _ms_up(start),
            "endTimestamp": _last_ms(end),
            "statusKind": status_kind,
            "status": status,
            "orderId": order_id,
            "limit": limit,
            "clientId": client_id or None,
            "orderIDs": ",".join(order_ids) or None,
            "ignoreTimeLimitEnable": True if ignore_time_limit else None,
        }
        return (await self._call("all_orders", OrdersReply, query=query, size_max=_LIST_SIZE_MAX, pair=pair)).data or ()

    async def filters_order_ids(self, pair: str, order_id: str) -> bool:
        """Test whether `orders` respects ``order_ids``: the filter must return an existing order for its id and must
        not return it for an impossible id. Sends two `all_orders` requests.
        """
        known = await self.orders(pair, order_ids=(order_id,))
        if [row.order_id for row in known] != [order_id]:
            return False
        return not await self.orders(pair, order_ids=("1",))

    async def all_orders(self, pair: str, start: Nanos, end: Nanos) -> tuple[OwnOrderRow, ...]:
        """Return every order created in ``start`` <= time < ``end``, oldest window first. Sends as many requests as
        needed.
        """

        async def fetch(lower: Nanos, upper: Nanos) -> tuple[OwnOrderRow, ...]:
            return await self.orders(pair, start=lower, end=upper, limit=1000)

        return await self._windows(fetch, start, end, 1000, lambda row: row.order_id)

    async def own_trades(
        self,
        pair: str,
        *,
        start: Nanos | None = None,
        end: Nanos | None = None,
        order_id: str | None = None,
        trade_id: str | None = None,
        limit: int = 100,
    ) -> tuple[OwnTradeRow, ...]:
        """Send one request for the account's executions in ``start`` <= time < ``end`` (default: the last 90 days).

        Do not rely on ``fee_symbol``, which is wrong for sells: their fee is in quote currency.
        """
        query: dict[str, object] = {
            "startTimestamp": _ms_up(start),
            "endTimestamp": _last_ms(end),
            "orderId": order_id,
            "tradeId": trade_id,
            "limit": limit,
        }
        reply = await self._call("my_trades", OwnTradesReply, query=query, size_max=_LIST_SIZE_MAX, pair=pair)
        return reply.data or ()

    async def all_own_trades(self, pair: str, start: Nanos, end: Nanos) -> tuple[OwnTradeRow, ...]:
        """Return every execution in ``start`` <= time < ``end``, oldest window first. Sends as many requests as
        needed.
        """

        async def fetch(lower: Nanos, upper: Nanos) -> tuple[OwnTradeRow, ...]:
            return await self.own_trades(pair, start=lower, end=upper, limit=1000)

        # a self-trade is listed as two rows with the same id
        return await self._windows(fetch, start, end, 1000, lambda row: (row.trade_id, row.order_id, row.action))

    async def _windows(
        self,
        fetch: Callable[[Nanos, Nanos], Awaitable[tuple[T, ...]]],
        start: Nanos,
        end: Nanos,
        limit: int,
        key: Callable[[T], object],
    ) -> tuple[T, ...]:
        return await collect_windows(fetch, start, end, limit=limit, key=key)

    # -- wallet ---------------------------------------------------------------------------------------------------

    async def deposits(
        self,
        currency: str,
        *,
        start: Nanos | None = None,
        end: Nanos | None = None,
        limit: int = 20,
        id: str | None = None,
        statuses: Iterable[str] = (),
        txid: str | None = None,
    ) -> tuple[TransferRow, ...]:
        """Return the deposits of a currency in a window of at most 90 days. ``limit`` is 1 to 100."""
        query = _transfer_query(start, end, limit, id, statuses, txid)
        return (await self._call("deposit_history", TransfersReply, query=query, currency=currency)).data or ()

    async def withdrawals(
        self,
        currency: str,
        *,
        start: Nanos | None = None,
        end: Nanos | None = None,
        limit: int = 20,
        id: str | None = None,
        statuses: Iterable[str] = (),
        txid: str | None = None,
    ) -> tuple[TransferRow, ...]:
        """Return the withdrawals of a currency in a window of at most 90 days. ``limit`` is 1 to 100."""
        query = _transfer_query(start, end, limit, id, statuses, txid)
        return (await self._call("withdraw_history", TransfersReply, query=query, currency=currency)).data or ()

    async def withdrawal(self, currency: str, *, serial: str | None = None, id: str | None = None) -> TransferRow:
        """Return one withdrawal by its serial number or its id. Raises Refused if it does not exist."""
        if (serial is None) == (id is None):
            raise Refused("withdrawal: give either serial or id")
        if serial is not None:
            reply = await self._call("withdraw_by_serial", TransferReply, currency=currency, serial=serial)
        else:
            reply = await self._call("withdraw_by_id", TransferReply, currency=currency, id=id or "")
        if reply.data is None:
            raise Refused(f"withdrawal: {currency} has no withdrawal with that number", status=200)
        return reply.data

    async def withdraw(self, currency: str, body: WithdrawBody) -> WithdrawalRow:
        """Request a withdrawal. The client must be created with ``allow_withdrawals=True``; botkit never creates such a
        client itself.
        """
        if not self._allow_withdrawals:
            raise Refused("this client may not withdraw; create it with allow_withdrawals=True")
        return (await self._call("create_withdraw", WithdrawalReply, body=encode(body), currency=currency)).data

    # -- streams --------------------------------------------------------------------------------------------------

    def stream(
        self,
        stream_id: str,
        pairs: Mapping[str, int | None] | None = None,
        *,
        trade_key: TradeKey = plain_trade_key,
        resynchronise: bool = True,
    ) -> Stream:
        """Return a stream for use with ``async with`` and ``async for``. It reconnects automatically (see
        `stream.Stream`).

        ``stream_id`` names a public stream (order_book, ticker, trades) or a private one (active_orders, order_history,
        account_balance, user_trades). A private stream needs an account. For a public stream, ``pairs`` maps each pair
        to a book depth or None. For user_trades, ``pairs`` lists the pairs to read over REST after a reconnect. With
        ``resynchronise``, any data that a stream does not repeat after a reconnect is read over REST.
        """
        return Stream(
            stream_id,
            pairs,
            ws_url=self._ws_url,
            credentials=self._transport.credentials,
            clock=self.clock,
            random=self._random,
            times=self._stream_times,
            trade_key=trade_key,
            resynchronise=self._resynchronise if resynchronise else None,
            frame_tap=self._frame_tap,
        )

    async def _resynchronise(self, stream_id: str, pairs: tuple[str, ...], since: Nanos) -> tuple[Snapshot, ...]:
        """Fetch the data that a stream of this kind missed since its last frame. Nothing is fetched for public streams,
        because they repeat their data.
        """
        if stream_id == "active_orders":
            return (Snapshot(stream_id, None, await self.open_orders()),)
        if stream_id == "account_balance":
            return (Snapshot(stream_id, None, await self.balances()),)
        if stream_id == "user_trades":
            # start one minute earlier, because clocks differ and the last trade's timestamp may be earlier than that of
            # its frame
            start, end = since - NS_PER_MINUTE, self.clock.now() + NS_PER_MINUTE
            return tuple([Snapshot(stream_id, pair, await self.all_own_trades(pair, start, end)) for pair in pairs])
        return ()


def created(reply: CreateReply) -> CreateReply:
    """Return the reply if it has an order id. Raises OutcomeUnknown if it has none."""
    if reply.order_id in ("", 0, "0"):
        raise OutcomeUnknown("create_order: 200 without an order id; it may have taken effect", status=200)
    return reply


@lru_cache(maxsize=1024)
def _path(endpoint_id: str, **names: str) -> str:
    """Return a call's path. Raises Refused for an empty name, because a path without that name would belong to a
    different endpoint.
    """
    if not all(names.values()):
        raise Refused(f"{endpoint_id}: {', '.join(n for n, v in names.items() if not v)} must not be empty")
    return ENDPOINTS[endpoint_id].fill(**names)


def _text(value: object) -> str:
    # the documented type is bool, which is lower case in JSON
    return str(value).lower() if isinstance(value, bool) else str(value)


def _client_id(given: int | None) -> int | None:
    """Check a client id before it is sent. Raises Refused for 0, which the exchange uses for "none"."""
    if given is not None and not 1 <= given <= CLIENT_ID_MAX:
        raise Refused(f"create_order: client id {given} is not between 1 and {CLIENT_ID_MAX}; omit it to send none")
    return given


def _number(value: str | Decimal | None) -> str | None:
    return format(value, "f") if isinstance(value, Decimal) else value


def _ms_up(time: Nanos | None) -> int | None:
    return None if time is None else -(-time // NS_PER_MS)


def _last_ms(end: Nanos | None) -> int | None:
    """Return the last whole millisecond before ``end``, because the exchange's time ranges include their end."""
    return None if end is None else (end - 1) // NS_PER_MS


def _transfer_query(
    start: Nanos | None, end: Nanos | None, limit: int, id: str | None, statuses: Iterable[str], txid: str | None
) -> dict[str, object]:
    return {
        "startTimestamp": _ms_up(start),
        "endTimestamp": _last_ms(end),
        "limit": limit,
        "id": id,
        "statuses": ",".join(statuses) or None,
        "txID": txid,
    }
