"""The adapter: every request yields exactly one answer, and no frame is converted to an event twice."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from aiohttp import web

from botkit.errors import ConfigError
from botkit.exchange.bitopro import BitoProClient, Credentials
from botkit.exchange.bitopro.adapter import AdapterEvent, BitoProAdapter, connect
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.exchange.bitopro.stream import NewTrades, Received, StreamTimes
from botkit.exchange.bitopro.wire.frames import TradeFrame, decode_frame
from botkit.model.clock import NS_PER_MS, NS_PER_S
from botkit.model.events import (
    BalanceReport,
    Candle,
    Connection,
    ConnectionState,
    OrderBook,
    OrderReport,
    Ticker,
    Trade,
    TradeReport,
)
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import OrderState, OrderType, Side
from botkit.model.requests import (
    Answer,
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
    GetPairs,
    ListedRules,
    ListOpenOrders,
    ListOrders,
    ListTrades,
    OrderAck,
    Request,
)
from tests.exchange.venue import HandClock, Venue, venue

pytestmark = pytest.mark.virtual_time

PAIRS = packaged_pairs()
BTC = PAIRS["btc_twd"]
T0 = HandClock().now()
ROW = {
    "id": "11",
    "pair": "btc_twd",
    "price": "2752000",
    "avgExecutionPrice": "0",
    "action": "BUY",
    "type": "LIMIT",
    "status": 0,
    "originalAmount": "0.1",
    "remainingAmount": "0.1",
    "executedAmount": "0",
    "total": "0",
    "createdTimestamp": 1790299940,
    "updatedTimestamp": 1790299940,
}
NEW = OrderSpec(client_id=5, pair=BTC, side=Side.BUY, type=OrderType.LIMIT, price_ticks=2752000, amount_lots=10**7)
CREATE = CreateOrder(id=1, order=NEW, timestamp=T0)
ECHO = {
    "orderId": 11,
    "timestamp": 1790300000000,
    "action": "BUY",
    "amount": "0.1",
    "price": "2752000",
    "timeInForce": "GTC",
    "clientId": 5,
}


@asynccontextmanager
async def adapter(v: Venue | str, **options: Any) -> AsyncIterator[BitoProAdapter]:
    rest, ws = (v.rest, v.ws) if isinstance(v, Venue) else (v, "ws://127.0.0.1:9/ws")
    clock = options.pop("clock", None) or HandClock(T0)
    client = BitoProClient(
        rest_url=rest,
        ws_url=ws,
        credentials=Credentials("me@example.com", "test_adapter", "secret-canary"),
        clock=clock,
        random=Random(1),
        stream_times=StreamTimes(dead_after_s=1.0, backoff_first_s=0.01, backoff_max_s=0.02),
        write_timeout_s=0.3,
        read_timeout_s=0.3,
    )
    async with BitoProAdapter(client, PAIRS, **options) as made:
        yield made


async def ask(request: Request, replies: dict[str, Any]) -> Answer:
    async with venue(replies) as v, adapter(v) as a:
        return await a.send(request)


# -- creating ---------------------------------------------------------------------------------------------------------


async def test_a_matching_echo_is_treated_as_an_acknowledgement() -> None:
    answer = await ask(CREATE, {"POST /v3/orders/btc_twd": json.dumps(ECHO)})
    assert answer == Answer(request_id=1, outcome=Ending.OK, body=OrderAck("11", 5))


async def test_an_echo_without_client_id_or_price_is_accepted() -> None:
    echo = {key: value for key, value in ECHO.items() if key not in ("clientId", "price")}
    answer = await ask(CREATE, {"POST /v3/orders/btc_twd": json.dumps(echo)})
    assert (answer.outcome, answer.body) == (Ending.OK, OrderAck("11", None))


@pytest.mark.parametrize(
    "wrong",
    [{"clientId": 6}, {"amount": "0.2"}, {"action": "SELL"}, {"price": "2752001"}, {"amount": "NaN"}, {"orderId": ""}],
)
async def test_a_200_response_that_echoes_another_order_leaves_the_outcome_unknown(wrong: dict[str, Any]) -> None:
    answer = await ask(CREATE, {"POST /v3/orders/btc_twd": json.dumps(ECHO | wrong)})
    assert (answer.outcome, answer.body) == (Ending.UNKNOWN, None)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (400, Ending.REFUSED),
        (401, Ending.REFUSED),
        (409, Ending.REFUSED),
        (422, Ending.REFUSED),
        (408, Ending.UNKNOWN),
        (429, Ending.RATE_LIMITED),
        (500, Ending.UNKNOWN),
        (503, Ending.UNKNOWN),
        (302, Ending.UNKNOWN),
        (201, Ending.OK),
    ],
)
async def test_each_response_status_determines_the_outcome_of_a_create(status: int, outcome: Ending) -> None:
    body = json.dumps(ECHO if status < 300 else {"error": "Invalid price -1."})
    answer = await ask(CREATE, {"POST /v3/orders/btc_twd": (status, body)})
    assert answer.outcome is outcome
    if status >= 300:
        assert answer.status == status
        assert answer.text.split(" (")[0] == "Invalid price -1", "without the exchange's full stop"
        assert ("this machine's clock" in answer.text) == (status == 409)


async def test_a_create_without_a_response_is_not_resent_and_has_an_unknown_outcome() -> None:
    async def never(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(2)
        return web.Response()

    async with venue({"POST /v3/orders/btc_twd": never}) as v, adapter(v) as a:
        answer = await a.send(CREATE)
        assert answer.outcome is Ending.UNKNOWN
        assert len(v.requests) == 1


async def test_a_create_without_a_connection_is_not_sent() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with adapter(f"http://127.0.0.1:{port}/v3") as a:
        for request in (CREATE, CancelOrder(id=2, pair=BTC, order_id="1"), GetBalances(id=3)):
            assert (await a.send(request)).outcome is Ending.NOT_SENT


async def test_a_create_that_waited_too_long_after_its_grant_is_not_sent() -> None:
    clock = HandClock(T0 + NS_PER_S)
    async with venue({"POST /v3/orders/btc_twd": json.dumps(ECHO)}) as v, adapter(v, clock=clock) as a:
        assert (await a.send(CREATE)).outcome is Ending.NOT_SENT
        batch = CreateBatch(id=2, orders=(NEW,), timestamp=T0)
        assert (await a.send(batch)).outcome is Ending.NOT_SENT
        assert v.requests == []
        clock.time -= 500 * NS_PER_MS
        assert (await a.send(CREATE)).outcome is Ending.OK


async def test_a_batch_is_acknowledged_in_request_order() -> None:
    second = OrderSpec(client_id=6, pair=BTC, side=Side.BUY, type=OrderType.MARKET, spend_units=10_000 * 10**8)
    request = CreateBatch(id=3, orders=(NEW, second), timestamp=T0)
    other = ECHO | {"orderId": "12", "amount": "10000", "price": "0", "clientId": 6}
    async with venue({"POST /v3/orders/batch": json.dumps({"data": [ECHO, other]})}) as v, adapter(v) as a:
        answer = await a.send(request)
        sent = json.loads(v.requests[0][3])
    assert answer.body == (OrderAck("11", 5), OrderAck("12", 6))
    assert [(item["pair"], item["amount"], item["timestamp"]) for item in sent] == [
        ("BTC_TWD", "0.1", 1790300000000),
        ("BTC_TWD", "10000", 1790300000000),
    ]
    swapped = await ask(request, {"POST /v3/orders/batch": json.dumps({"data": [other, ECHO]})})
    short = await ask(request, {"POST /v3/orders/batch": json.dumps({"data": [ECHO]})})
    assert swapped.outcome is short.outcome is Ending.UNKNOWN


# -- cancelling -------------------------------------------------------------------------------------------------------


async def test_cancels_with_lowercase_pairs_are_acknowledged() -> None:
    many = json.dumps({"data": {"BTC_TWD": ["1", 2], "ETH_TWD": ["SL-3"]}})
    replies = {
        "DELETE /v3/orders/btc_twd/1": '{"orderId":"1","action":"BUY","timestamp":1,"price":"1","amount":"1"}',
        "PUT /v3/orders": many,
        "DELETE /v3/orders/all": many,
        "DELETE /v3/orders/btc_twd": many,
    }
    everything = CancelAck((("btc_twd", "1"), ("btc_twd", "2"), ("eth_twd", "SL-3")))
    async with venue(replies) as v, adapter(v) as a:
        one = await a.send(CancelOrder(id=1, pair=BTC, order_id="1"))
        batch = await a.send(CancelBatch(id=2, orders=((BTC, "1"), (PAIRS["eth_twd"], "SL-3"))))
        assert json.loads(v.requests[1][3]) == {"BTC_TWD": ["1"], "ETH_TWD": ["SL-3"]}
        assert one.body == CancelAck((("btc_twd", "1"),))
        assert batch.body == everything
        assert (await a.send(CancelAll(id=3))).body == everything
        assert (await a.send(CancelAll(id=4, pair=BTC))).body == everything


async def test_a_cancel_response_that_names_another_order_leaves_the_outcome_unknown() -> None:
    answer = await ask(CancelOrder(id=1, pair=BTC, order_id="1"), {"DELETE /v3/orders/btc_twd/1": '{"orderId":"2"}'})
    assert answer.outcome is Ending.UNKNOWN


# -- reading ----------------------------------------------------------------------------------------------------------


async def test_listed_orders_are_converted_to_reports_and_unknown_pairs_are_skipped() -> None:
    foreign = ROW | {"id": "12", "pair": "newcoin_twd"}
    listing = json.dumps({"data": [ROW, foreign]})
    replies = {
        "GET /v3/orders/btc_twd/11": json.dumps(ROW),
        "GET /v3/orders/all/btc_twd": json.dumps({"data": [ROW]}),
        "GET /v3/orders/open": listing,
    }
    async with venue(replies) as v, adapter(v) as a:
        for request in (
            GetOrder(id=1, pair=BTC, order_id="11"),
            ListOrders(id=2, pair=BTC, client_id=5, start=T0 - 60 * NS_PER_S, end=T0, limit=50),
            ListOpenOrders(id=3),
        ):
            answer = await a.send(request)
            assert isinstance(answer.body, tuple)
            (report,) = answer.body
            assert isinstance(report, OrderReport)
            assert (report.order_id, report.created) == ("11", 1790299940 * NS_PER_S)
        assert v.requests[1][2] == {
            "startTimestamp": "1790299940000",
            "endTimestamp": "1790299999999",
            "statusKind": "ALL",
            "limit": "50",
            "clientId": "5",
        }


@pytest.mark.parametrize("reply", ['{"id":""}', (422, '{"error":"Invalid order id."}'), (404, '{"message":"x"}')])
async def test_a_request_for_an_unknown_order_is_refused(reply: Any) -> None:
    answer = await ask(GetOrder(id=1, pair=BTC, order_id="1"), {"GET /v3/orders/btc_twd/1": reply})
    assert answer.outcome is Ending.REFUSED


async def test_executions_balances_books_and_candles_are_decoded() -> None:
    trade = {
        "tradeId": "9",
        "orderId": 11,
        "price": "2752000",
        "action": "SELL",
        "baseAmount": "0.02",
        "quoteAmount": "55040",
        "fee": "110.08",
        "feeSymbol": "BTC",
        "isTaker": False,
        "createdTimestamp": 1790299101000,
    }
    candle = {"open": "1", "high": "2", "low": "1", "close": "2", "volume": "1"}
    levels = [{"price": str(n), "amount": "1", "count": 1, "total": "1"} for n in range(1, 21)]
    replies = {
        "GET /v3/orders/trades/btc_twd": json.dumps({"data": [trade]}),
        "GET /v3/accounts/balance": '{"data":[{"currency":"twd","amount":"5","available":"3"}]}',
        "GET /v3/order-book/btc_twd": json.dumps({"bids": levels[::-1], "asks": levels}),
        "GET /v3/trading-history/btc_twd": json.dumps(
            {"data": [candle | {"timestamp": t} for t in (1790299980000, 1790299920000, 1790299860000)]}
        ),
    }
    minute = 60 * NS_PER_S
    start = 1790299860 * NS_PER_S
    async with venue(replies) as v, adapter(v) as a:
        trades = (await a.send(ListTrades(id=1, pair=BTC, order_id="11"))).body
        balances = (await a.send(GetBalances(id=2))).body
        book = (await a.send(GetBook(id=3, pair=BTC, depth=15))).body
        asked = v.requests[-1][2]
        candles = (await a.send(GetCandles(id=4, pair=BTC, resolution="1m", start=start, end=start + 9 * minute))).body
    assert isinstance(trades, tuple)
    assert isinstance(trades[0], TradeReport)
    assert (trades[0].fee_currency, trades[0].is_maker) == ("twd", True)
    assert balances == BalanceReport({"twd": (5 * 10**8, 3 * 10**8)}, snapshot=True)
    assert isinstance(book, OrderBook)
    assert (len(book.ask_levels), book.time, asked) == (15, T0, {"limit": "20"})
    assert isinstance(candles, tuple)
    # the candles are sorted, and the unfinished one is excluded
    assert [c.time for c in candles if isinstance(c, Candle)] == [start, start + minute]


@pytest.mark.parametrize(
    "reply", ["<html>", '{"data":[{"id":"1"}]}', json.dumps({"data": [ROW | {"status": 5}]}), (502, "")]
)
async def test_an_undecodable_listing_is_not_treated_as_empty(reply: Any) -> None:
    answer = await ask(ListOpenOrders(id=1), {"GET /v3/orders/open": reply})
    assert (answer.outcome, answer.body) == (Ending.UNKNOWN, None)
    assert "canary" not in answer.text


@pytest.mark.parametrize("request_", [ListOpenOrders(id=1), ListOrders(id=1, pair=BTC)])
async def test_an_incomplete_listing_is_unknown_and_carries_the_orders_that_could_be_read(request_: Request) -> None:
    listing = json.dumps({"data": [ROW | {"id": "12", "type": "TRAILING_STOP"}, ROW]})
    answer = await ask(request_, {"GET /v3/orders/open": listing, "GET /v3/orders/all/btc_twd": listing})
    assert answer.outcome is Ending.UNKNOWN
    assert "order 12 has the unknown type 'TRAILING_STOP'" in answer.text
    assert isinstance(answer.body, tuple)
    assert [row.order_id for row in answer.body if isinstance(row, OrderReport)] == ["11"]


# -- events in --------------------------------------------------------------------------------------------------------


def frame(event: str, **fields: Any) -> str:
    return json.dumps({"event": event, "timestamp": 1790300000000, "datetime": "x"} | fields)


LEVEL = [{"price": "2751600", "amount": "0.0425", "count": 1, "total": "0.0425"}]
TRADE = {"timestamp": 1790299996, "price": "2751841", "amount": "0.0066", "isBuyer": True}
USER_TRADE = {
    "base": "btc",
    "quote": "twd",
    "side": "bid",
    "price": "2751600",
    "volume": "0.01",
    "fee": "0.00001",
    "feeCurrency": "btc",
    "transactionTimestamp": 1790300002,
    "orderID": 11,
    "matchID": "m",
    "isMaker": True,
}
BALANCE = {"currency": "TWD", "amount": "5", "available": "3"}
FRAMES = {
    "order-books/BTC_TWD:10": [frame("ORDER_BOOK", pair="BTC_TWD", bids=LEVEL, asks=[])] * 2,
    "trades/BTC_TWD": [
        frame("TRADE", pair="BTC_TWD", data=[]),
        frame("TRADE", pair="BTC_TWD", data=[TRADE]),
        frame("TRADE", pair="BTC_TWD", data=[TRADE, TRADE]),
    ],
    "tickers/BTC_TWD": [frame("TICKER", lastPrice="1"), frame("TICKER", pair="BTC_TWD", lastPrice="2751841")],
    "auth/orders": [
        frame("ACTIVE_ORDERS", data={"btc_twd": [ROW], "newcoin_twd": [ROW | {"pair": "newcoin_twd"}]}),
        frame("ACTIVE_ORDERS", data={"btc_twd": [ROW | {"status": 4}]}),
    ],
    "auth/orders/histories": [frame("RECENT_HISTORY_ORDERS", data={"btc_twd": [ROW | {"status": 4}]})],
    "auth/account-balance": [
        frame("ACCOUNT_BALANCE", data={"TWD": BALANCE}),
        frame("ACCOUNT_BALANCE", data={"TWD": BALANCE}),
    ],
    "auth/user-trades": [frame("USER_TRADE", data=USER_TRADE)] * 2,
}


def streams(frames: dict[str, list[str]]) -> dict[str, Any]:
    def handler(texts: list[str]) -> Any:
        async def serve(request: web.Request) -> web.StreamResponse:
            ws = web.WebSocketResponse(autoping=False)
            await ws.prepare(request)
            for text in texts:
                await ws.send_str(text)
            await ws.receive()
            return ws

        return serve

    return {f"GET /ws/v1/pub/{path}": handler(texts) for path, texts in frames.items()}


async def test_all_streams_are_converted_to_events_without_duplicates() -> None:
    events: list[AdapterEvent] = []
    async with venue(streams(FRAMES)) as v, adapter(v) as a:
        a.watch(events.append, books={BTC: 7}, trades=[BTC], tickers=[BTC], account=True)
        async with asyncio.timeout(5):
            while len(events) < 7 + 2 + 2 + 1 + 2 + 2 + 1:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
    by_type = {kind: [e for e in events if isinstance(e, kind)] for kind in {type(e) for e in events}}
    assert {(e.state, e.stream, e.pair) for e in by_type[Connection]} == {  # type: ignore[union-attr]
        (ConnectionState.CONNECTED, stream, pair)
        for stream, pair in [
            ("order_book", BTC),
            ("trades", BTC),
            ("ticker", BTC),
            ("active_orders", None),
            ("order_history", None),
            ("account_balance", None),
            ("user_trades", None),
        ]
    }
    assert [len(by_type[kind]) for kind in (OrderBook, Trade, Ticker, TradeReport)] == [2, 2, 1, 1]
    # both streams reported the order's final state, but the bot receives it only once
    states = [e.state for e in by_type[OrderReport]]  # type: ignore[union-attr]
    assert states.count(OrderState.CANCELLED) == 1
    assert states.count(OrderState.OPEN) in (1, 2)
    assert [e.snapshot for e in by_type[BalanceReport]] == [False, False]  # type: ignore[union-attr]


async def understood(path: str, stream_id: str, frames: list[str], count: int) -> list[AdapterEvent]:
    """Return up to ``count`` of the events into which the frames are converted after CONNECTED."""
    events: list[AdapterEvent] = []
    async with venue(streams({path: frames})) as v, adapter(v) as a:
        task = asyncio.create_task(a._carry(stream_id, {}, [None], events.append))
        async with asyncio.timeout(10):
            while len(events) < count + 1:
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return events[1:]


async def test_a_late_balance_frame_updates_only_currencies_without_newer_data() -> None:
    def told(second: int, **amounts: str) -> str:
        rows = {c: BALANCE | {"currency": c, "amount": amount} for c, amount in amounts.items()}
        return frame("ACCOUNT_BALANCE", data=rows, timestamp=1_790_300_000_000 + second * 1000)

    frames = [
        told(0, TWD="5", BTC="5"),
        told(2, TWD="7"),
        told(1, TWD="6", BTC="4"),
        told(1, TWD="6"),
        told(3, TWD="8"),
    ]
    frames.append(told(-3600, TWD="9"))  # a timestamp that is one hour earlier means that the clock was reset
    events = await understood("auth/account-balance", "account_balance", frames, 5)
    seen = [{c: total // 10**8 for c, (total, _) in e.balances.items()} for e in events]  # type: ignore[union-attr]
    assert seen == [{"twd": 5, "btc": 5}, {"twd": 7}, {"btc": 4}, {"twd": 8}, {"twd": 9}]


async def test_an_empty_balance_frame_changes_nothing() -> None:
    empty = [frame("ACCOUNT_BALANCE", data=None), frame("ACCOUNT_BALANCE", data={})]
    full = frame("ACCOUNT_BALANCE", data={"TWD": BALANCE})
    [event] = await understood("auth/account-balance", "account_balance", [*empty, full], 1)
    assert event == BalanceReport({"twd": (5 * 10**8, 3 * 10**8)}, snapshot=False)


@pytest.mark.parametrize("reply", ['{"data":null}', '{"data":[]}'])
async def test_an_empty_balance_list_is_an_error(reply: str) -> None:
    answer = await ask(GetBalances(id=1), {"GET /v3/accounts/balance": reply})
    assert answer.outcome is Ending.UNKNOWN
    assert "lists no currency" in answer.text


PAIR_ROW = {
    "pair": "BTC_TWD",
    "base": "btc",
    "quote": "twd",
    "basePrecision": "8",
    "quotePrecision": "0",
    "minLimitBaseAmount": "0.0001",
    "maxLimitBaseAmount": "100",
    "minMarketBuyQuoteAmount": "190",
    "orderOpenLimit": "200",
    "maintain": True,
    "amountPrecision": "4",
}


async def test_the_list_of_pairs_shows_the_rules_of_pairs_that_cannot_be_traded_too() -> None:
    fine = PAIR_ROW | {"pair": "fine_twd", "base": "fine", "quotePrecision": "12", "maintain": False}
    reply = json.dumps({"data": [PAIR_ROW, fine]})
    answer = await ask(GetPairs(id=1), {"GET /v3/provisioning/trading-pairs": reply})
    assert answer.outcome is Ending.OK
    assert isinstance(answer.body, tuple)
    rows = {row.pair: row.rules for row in answer.body if isinstance(row, ListedRules)}
    assert {name: (rules.price_decimals, rules.maintenance) for name, rules in rows.items()} == {
        "btc_twd": (0, True),
        "fine_twd": (12, False),
    }


@pytest.mark.parametrize("rows", [None, [], [PAIR_ROW | {"quotePrecision": "x"}], [PAIR_ROW | {"maintain": "no"}]])
async def test_a_list_of_pairs_that_is_empty_or_cannot_be_read_is_an_error(rows: Any) -> None:
    answer = await ask(GetPairs(id=1), {"GET /v3/provisioning/trading-pairs": json.dumps({"data": rows})})
    assert (answer.outcome, answer.body) == (Ending.UNKNOWN, None)


async def test_an_unknown_event_is_reported_only_once(caplog: pytest.LogCaptureFixture) -> None:
    new = frame("MARGIN_CALL", data={})
    balances = frame("ACCOUNT_BALANCE", data={"TWD": BALANCE})
    await understood("auth/account-balance", "account_balance", [new, new, new, balances], 1)
    assert [r.getMessage() for r in caplog.records if "MARGIN_CALL" in r.getMessage()] == [
        "account_balance: frames with the unknown event MARGIN_CALL are ignored, and everything else continues; "
        "check for a newer botkit"
    ]


async def test_the_adapter_sends_no_unsolicited_reads_unless_configured() -> None:
    async def drop_once(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.send_str(frame("ACCOUNT_BALANCE", data={}))
        await asyncio.sleep(0.05)
        await ws.close()
        return ws

    for resynchronise, reads in (("engine", False), ("rest", True)):
        replies: dict[str, Any] = {
            "GET /ws/v1/pub/auth/account-balance": drop_once,
            "GET /v3/accounts/balance": '{"data":[{"currency":"twd","amount":"5","available":"3"}]}',
        }
        events: list[AdapterEvent] = []
        async with venue(replies) as v, adapter(v, resynchronise=resynchronise) as a:
            task = asyncio.create_task(a._carry("account_balance", {}, [None], events.append))
            async with asyncio.timeout(5):
                while sum(isinstance(e, Connection) and e.state is ConnectionState.LOST for e in events) < 3:
                    await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            read = [r for r in v.requests if r[1] == "/v3/accounts/balance"]
        assert bool(read) is reads
        states = {e.state for e in events if isinstance(e, Connection)}
        assert (ConnectionState.RESYNCHRONISED in states) is reads


async def test_an_undecodable_row_is_reported_and_the_stream_continues() -> None:
    odd = frame("ACTIVE_ORDERS", data={"btc_twd": [ROW | {"status": 5}]})
    good = frame("ACTIVE_ORDERS", data={"btc_twd": [ROW]})
    events: list[AdapterEvent] = []
    async with venue(streams({"auth/orders": [odd, good]})) as v, adapter(v) as a:
        task = asyncio.create_task(a._carry("active_orders", {}, [None], events.append))
        async with asyncio.timeout(5):
            while not any(isinstance(e, OrderReport) for e in events):
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [e.state for e in events if isinstance(e, Connection)] == [ConnectionState.CONNECTED, ConnectionState.STALE]


def stale(events: Iterable[AdapterEvent]) -> list[str]:
    """Return the details of the connections that are reported as stale."""
    return [e.detail for e in events if isinstance(e, Connection) and e.state is ConnectionState.STALE]


@pytest.mark.parametrize("event", ["ACTIVE_ORDERS", "RECENT_HISTORY_ORDERS"])
@pytest.mark.parametrize("order", [1, -1])
def test_an_unreadable_order_does_not_hide_the_other_orders_of_its_frame(event: str, order: int) -> None:
    adapter = connect({"account": {"email": "a@b.c", "key": "k", "secret": "s"}})

    def understood(*rows: dict[str, Any]) -> Sequence[AdapterEvent]:
        decoded = decode_frame(frame(event, data={"btc_twd": list(rows)}))
        return adapter.events("active_orders", Received(0, decoded), [None])

    odd = ROW | {"id": "12", "type": "TRAILING_STOP"}
    events = understood(*[ROW, odd, odd | {"id": "13"}][::order])
    assert [e.order_id for e in events if isinstance(e, OrderReport)] == ["11"]
    (detail,) = stale(events)
    assert "unknown type 'TRAILING_STOP' or status 0, and 1 other row cannot be read either" in detail
    assert understood(ROW) == []  # it has been delivered


def test_an_event_of_a_frame_that_cannot_be_read_at_all_is_delivered_when_it_is_repeated() -> None:
    adapter = connect({"account": {"email": "a@b.c", "key": "k", "secret": "s"}})
    seen = []
    for stamp in (10**30, 1790300000000):
        decoded = decode_frame(frame("ACTIVE_ORDERS", data={"btc_twd": [ROW]}, timestamp=stamp))
        seen.append([type(e) for e in adapter.events("active_orders", Received(0, decoded), [None])])
    assert seen == [[Connection], [OrderReport]]


def test_an_unreadable_balance_or_trade_does_not_hide_the_others_of_its_frame() -> None:
    adapter = connect({"account": {"email": "a@b.c", "key": "k", "secret": "s"}})
    held = {"TWD": BALANCE, "BTC": BALANCE | {"currency": "BTC", "amount": "NaN"}}
    decoded = decode_frame(frame("ACCOUNT_BALANCE", data=held))
    events = adapter.events("account_balance", Received(0, decoded), [None])
    # not a complete list, or the unreadable currency would count as spent
    assert events[0] == BalanceReport({"twd": (5 * 10**8, 3 * 10**8)}, snapshot=False)
    assert len(stale(events)) == 1
    trades = decode_frame(frame("TRADE", pair="BTC_TWD", data=[TRADE, TRADE | {"price": "NaN"}]))
    assert isinstance(trades, TradeFrame)
    item = NewTrades(trades, tuple(trades.data or ()), gap=False)
    events = adapter.events("trades", Received(0, item), [BTC])
    assert [type(e) for e in events] == [Trade, Connection]
    assert len(stale(events)) == 1


async def test_a_gap_between_trade_lists_is_reported_before_the_trades() -> None:
    other = TRADE | {"price": "2751900"}
    lists = [frame("TRADE", pair="BTC_TWD", data=[TRADE]), frame("TRADE", pair="BTC_TWD", data=[other])]
    events: list[AdapterEvent] = []
    async with venue(streams({"trades/BTC_TWD": lists})) as v, adapter(v) as a:
        a.watch(events.append, trades=[BTC], account=False)
        async with asyncio.timeout(5):
            while not any(isinstance(e, Trade) for e in events):
                await asyncio.sleep(0.01)
    assert isinstance(events[1], Connection)
    assert "gap" in events[1].detail
    assert isinstance(events[2], Trade)
    assert events[2].price == 2751900.0


# -- creating an adapter ------------------------------------------------------------------------------------------


def test_connect_requires_an_account_and_secure_addresses() -> None:
    with pytest.raises(ConfigError, match="key, secret missing"):
        connect({"account": {"email": "me@example.com"}})
    account = {"email": "me@example.com", "key": "k", "secret": "s-canary"}
    with pytest.raises(ConfigError, match="not encrypted") as caught:
        connect({"account": account, "rest": "http://example.com/v3"})
    assert "canary" not in str(caught.value)
    made = connect({"account": account, "rest": "http://127.0.0.1:1/v3", "ws": "ws://127.0.0.1:1/ws"})
    assert set(made.known_pairs) == set(PAIRS)
    assert "canary" not in repr(made) + repr(vars(made)) + repr(vars(made.client))


@pytest.mark.parametrize(("patience", "connect_s", "answer_s"), [(None, 1.0, 5.0), (60.0, 60.0, 300.0)])
async def test_the_patience_setting_multiplies_the_connect_and_response_timeouts(
    monkeypatch: pytest.MonkeyPatch, patience: float | None, connect_s: float, answer_s: float
) -> None:
    asked: list[tuple[float, float]] = []

    class Answered:
        async def answer(self) -> bytes:
            return json.dumps(ECHO).encode()

    def begin(*_: Any, timeout_s: float, connect_timeout_s: float, **__: Any) -> Answered:
        asked.append((connect_timeout_s, timeout_s))
        return Answered()

    account = {"email": "a@b.c", "key": "k", "secret": "s"}
    async with connect({"account": account, "clock": HandClock(), "patience": patience}) as adapter:
        monkeypatch.setattr(adapter.client._transport, "begin", begin)
        assert (await adapter.send(CREATE)).outcome is Ending.OK
    assert asked == [(connect_s, answer_s)]


async def test_order_reports_use_their_frames_timestamp_except_in_the_first_frame() -> None:
    rows = {"btc_twd": [ROW]}
    later = {"btc_twd": [{**ROW, "status": 1, "remainingAmount": "0.05", "executedAmount": "0.05"}]}
    adapter = connect({"account": {"email": "a@b.c", "key": "k", "secret": "s"}})
    seen = []
    for data, stamp, is_first in ((rows, 1_790_300_000_123, True), (later, 1_790_300_001_456, False)):
        decoded = decode_frame(frame("ACTIVE_ORDERS", data=data, timestamp=stamp))
        seen += list(adapter.events("active_orders", Received(0, decoded, is_first), []))
    # the first frame after connecting repeats events that may be old
    assert [report.pushed for report in seen] == [0, 1_790_300_001_456 * NS_PER_MS]
