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
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import Literal

import msgspec

from botkit.errors import OutcomeUnknown, Refused, TryAgain
from botkit.exchange.bitopro.calls import (
    CANDLES_SIZE_MAX,
    CONNECT_TIMEOUT_S,
    LIST_SIZE_MAX,
    READ_TIMEOUT_S,
    WRITE_TIMEOUT_S,
    Begun,
    Calls,
    path_of,
)
from botkit.exchange.bitopro.history import candle_ranges, collect_windows, stitch_candles
from botkit.exchange.bitopro.query import checked_client_id, first_ms, last_ms, number_text, transfer_query
from botkit.exchange.bitopro.sign import Credentials
from botkit.exchange.bitopro.stream import FrameTap, Snapshot, Stream, StreamTimes, TradeKey, plain_trade_key
from botkit.exchange.bitopro.transport import Transport, check_url
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
from botkit.exchange.bitopro.wire.bodies import BATCH_MAX, CreateBody, WithdrawBody, encode_cancel_batch
from botkit.exchange.bitopro.wire.codec import WireError, decode, encode
from botkit.exchange.bitopro.wire.endpoints import BOOK_LIMITS, ENDPOINTS, REST_BASE, WS_BASE
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
from botkit.model.pairs import PairRules, pairs_from_wire
from botkit.model.requests import ListedRules
from botkit.model.resolutions import check_resolution

log = logging.getLogger("botkit.bitopro")

_CREATE_ORDER = ENDPOINTS["create_order"]


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
        self._calls = Calls(self._transport, read_timeout_s=read_timeout_s, write_timeout_s=write_timeout_s)
        self._ws_url = check_url(ws_url, ("wss", "ws"))
        self._allow_withdrawals = allow_withdrawals
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

    # -- public market data ---------------------------------------------------------------------------------------

    async def trading_pairs(self) -> tuple[PairRow, ...]:
        """Return the rules of every pair as wire rows."""
        return (await self._calls.reply("trading_pairs", PairsReply)).data or ()

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

    async def listed_rules(self) -> tuple[ListedRules, ...]:
        """Return the rules of every listed pair, including those that cannot be traded."""
        rows = await self.trading_pairs()
        if not rows:  # the exchange has pairs, so an empty list is an error
            raise TryAgain("trading_pairs: the answer lists no pair", status=200)
        try:
            return tuple([ListedRules(row.pair.lower(), PairRules.from_wire(msgspec.to_builtins(row))) for row in rows])
        except (ValueError, KeyError, ArithmeticError) as error:
            raise TryAgain(f"trading_pairs: {error}", status=200) from None

    async def currencies(self) -> tuple[CurrencyRow, ...]:
        """Return withdrawal limits and fees, one row per currency and protocol."""
        return (await self._calls.reply("currencies", CurrenciesReply)).data or ()

    async def limitations_and_fees(self) -> LimitationsReply:
        """Return the fee table and the transfer limits."""
        return await self._calls.reply("limitations_and_fees", LimitationsReply)

    async def tickers(self) -> tuple[TickerRow, ...]:
        """Return 24-hour statistics for every pair."""
        return (await self._calls.reply("tickers", TickersReply)).rows

    async def ticker(self, pair: str) -> TickerRow:
        """Return 24-hour statistics for one pair."""
        rows = (await self._calls.reply("ticker", TickersReply, pair=pair)).rows
        if len(rows) != 1:
            raise TryAgain(f"ticker: {len(rows)} rows for {pair} instead of one", status=200)
        return rows[0]

    async def order_book(self, pair: str, limit: int = 5, scale: int | None = None) -> OrderBookReply:
        """Return the best levels. ``limit`` is 1, 5, 10, 20, 30 or 50. ``scale`` n merges levels to prices with n fewer
        decimals.
        """
        if limit not in BOOK_LIMITS:
            raise Refused(f"order_book: limit {limit} is not one of {', '.join(map(str, BOOK_LIMITS))}")
        return await self._calls.reply("order_book", OrderBookReply, query={"limit": limit, "scale": scale}, pair=pair)

    async def trades(self, pair: str) -> tuple[TradeRow, ...]:
        """Return recent public trades, newest first, with timestamps in whole seconds."""
        return (await self._calls.reply("trades", TradesReply, pair=pair)).data or ()

    async def candles_once(self, pair: str, resolution: str, start: Nanos, end: Nanos) -> tuple[CandleRow, ...]:
        """Send one request for the candles whose bucket starts in ``start`` <= time < ``end``. Return them exactly as
        the exchange sends them.

        The candles may be unsorted. Buckets without trades may be missing, and the last candle may be unfinished.
        """
        query = {"resolution": check_resolution(resolution), "from": -(-start // NS_PER_S), "to": (end - 1) // NS_PER_S}
        reply = await self._calls.reply(
            "trading_history", CandlesReply, query=query, size_max=CANDLES_SIZE_MAX, timeout_s=30.0, pair=pair
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
        return await self._calls.reply("otc_price", OtcPriceReply, currency=currency)

    # -- the account ----------------------------------------------------------------------------------------------

    async def balances(self) -> tuple[BalanceRow, ...]:
        """Return the total and available amount of every currency, including zero balances."""
        return (await self._calls.reply("balance", BalancesReply)).data or ()

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
            price=number_text(price),
            amount=number_text(amount),
            timestamp=self.clock.now() // NS_PER_MS,
            stop_price=number_text(stop_price),
            condition=condition,
            time_in_force="POST_ONLY" if post_only else None,
            client_id=checked_client_id(client_id),
            percentage=percentage,
        )
        return await self.post_order(pair, body)

    async def post_order(
        self, pair: str, body: CreateBody, *, urgent: bool = False, connect_timeout_s: float = CONNECT_TIMEOUT_S
    ) -> CreateReply:
        """Create an order from a body in wire format."""
        begun = self.begin_order(pair, body, urgent=urgent, connect_timeout_s=connect_timeout_s)
        return created(await begun.reply())

    def begin_order(
        self, pair: str, body: CreateBody, *, urgent: bool = False, connect_timeout_s: float = CONNECT_TIMEOUT_S
    ) -> Begun[CreateReply]:
        """Start creating an order and return before the reply arrives. If a connection is open, the request is already
        written. Pass the reply through `created`.
        """
        # as `Calls.begin` would do it, but in half the time, because nothing has to be found or left out
        call = self._transport.begin(
            _CREATE_ORDER,
            path_of("create_order", pair=pair),
            body=encode(body),
            timeout_s=self._calls.write_timeout_s,
            connect_timeout_s=connect_timeout_s,
            urgent=urgent,
        )
        return Begun(call, _CREATE_ORDER, CreateReply)

    async def post_batch(
        self, bodies: Iterable[CreateBody], *, connect_timeout_s: float = CONNECT_TIMEOUT_S
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
        reply = await self._calls.reply(
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
        return self._calls.begin("cancel_order", CancelReply, urgent=urgent, pair=pair, orderId=order_id)

    async def cancel_orders(
        self, orders: Iterable[tuple[str, str]], *, urgent: bool = True
    ) -> tuple[tuple[str, str], ...]:
        """Cancel orders, given as (pair, order id), in one request. Return the orders that were actually cancelled."""
        body = encode_cancel_batch(list(orders))
        return (await self._calls.reply("cancel_batch", CancelManyReply, body=body, urgent=urgent)).orders

    async def cancel_all(self, pair: str | None = None, *, urgent: bool = True) -> tuple[tuple[str, str], ...]:
        """Cancel **every** order of the account, or every order in one pair, regardless of who placed it. Return the
        (pair, order id) of each cancelled order.
        """
        if pair is None:
            return (await self._calls.reply("cancel_all", CancelManyReply, urgent=urgent)).orders
        return (await self._calls.reply("cancel_all_pair", CancelManyReply, urgent=urgent, pair=pair)).orders

    async def order(self, pair: str, order_id: str) -> OwnOrderRow:
        """Return one order from the last 90 days. Raises Refused if the order does not exist, whether the response is
        404, 422 or blank.
        """
        raw = await self._calls.reply("get_order", msgspec.Raw, pair=pair, orderId=order_id)
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
        reply = await self._calls.reply("open_orders", OrdersReply, query={"pair": pair}, size_max=LIST_SIZE_MAX)
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
            "startTimestamp": first_ms(start),
            "endTimestamp": last_ms(end),
            "statusKind": status_kind,
            "status": status,
            "orderId": order_id,
            "limit": limit,
            "clientId": client_id or None,
            "orderIDs": ",".join(order_ids) or None,
            "ignoreTimeLimitEnable": True if ignore_time_limit else None,
        }
        return (
            await self._calls.reply("all_orders", OrdersReply, query=query, size_max=LIST_SIZE_MAX, pair=pair)
        ).data or ()

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

        return await collect_windows(fetch, start, end, limit=1000, key=lambda row: row.order_id)

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
            "startTimestamp": first_ms(start),
            "endTimestamp": last_ms(end),
            "orderId": order_id,
            "tradeId": trade_id,
            "limit": limit,
        }
        reply = await self._calls.reply("my_trades", OwnTradesReply, query=query, size_max=LIST_SIZE_MAX, pair=pair)
        return reply.data or ()

    async def all_own_trades(self, pair: str, start: Nanos, end: Nanos) -> tuple[OwnTradeRow, ...]:
        """Return every execution in ``start`` <= time < ``end``, oldest window first. Sends as many requests as
        needed.
        """

        async def fetch(lower: Nanos, upper: Nanos) -> tuple[OwnTradeRow, ...]:
            return await self.own_trades(pair, start=lower, end=upper, limit=1000)

        def key(row: OwnTradeRow) -> object:
            # a self-trade is listed as two rows with the same id
            return row.trade_id, row.order_id, row.action

        return await collect_windows(fetch, start, end, limit=1000, key=key)

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
        query = transfer_query(start, end, limit, id, statuses, txid)
        return (await self._calls.reply("deposit_history", TransfersReply, query=query, currency=currency)).data or ()

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
        query = transfer_query(start, end, limit, id, statuses, txid)
        return (await self._calls.reply("withdraw_history", TransfersReply, query=query, currency=currency)).data or ()

    async def withdrawal(self, currency: str, *, serial: str | None = None, id: str | None = None) -> TransferRow:
        """Return one withdrawal by its serial number or its id. Raises Refused if it does not exist."""
        if (serial is None) == (id is None):
            raise Refused("withdrawal: give either serial or id")
        if serial is not None:
            reply = await self._calls.reply("withdraw_by_serial", TransferReply, currency=currency, serial=serial)
        else:
            reply = await self._calls.reply("withdraw_by_id", TransferReply, currency=currency, id=id or "")
        if reply.data is None:
            raise Refused(f"withdrawal: {currency} has no withdrawal with that number", status=200)
        return reply.data

    async def withdraw(self, currency: str, body: WithdrawBody) -> WithdrawalRow:
        """Request a withdrawal. The client must be created with ``allow_withdrawals=True``; botkit never creates such a
        client itself.
        """
        if not self._allow_withdrawals:
            raise Refused("this client may not withdraw; create it with allow_withdrawals=True")
        return (await self._calls.reply("create_withdraw", WithdrawalReply, body=encode(body), currency=currency)).data

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
