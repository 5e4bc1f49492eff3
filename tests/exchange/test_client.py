"""Every endpoint: its method, path, query and body, and the result decoded from the recorded response."""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from botkit.errors import OutcomeUnknown, Refused, TryAgain
from botkit.exchange.bitopro import BitoProClient, Credentials
from botkit.exchange.bitopro.sign import HEADER_KEY, HEADER_PAYLOAD, HEADER_SIGNATURE, decode_payload
from botkit.exchange.bitopro.wire.bodies import WithdrawBody
from botkit.exchange.bitopro.wire.endpoints import ENDPOINTS
from botkit.model.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MS, NS_PER_S
from tests.exchange.recorded import EXAMPLES
from tests.exchange.venue import HandClock, venue

pytestmark = pytest.mark.virtual_time

HOUR_MS = 3_600_000
T0 = 1_790_290_800_000  # the start of an hour, in ms

Call = Callable[[BitoProClient], Awaitable[Any]]
#: for each endpoint: expected path, example response, call, expected result
WALK: dict[str, tuple[str, str, Call, Callable[[Any], Any], Any]] = {
    "trading_pairs": (
        "/provisioning/trading-pairs",
        "rest_trading_pairs",
        lambda c: c.pairs(),
        lambda r: r["btc_usdt"].rules.price_decimals,
        2,
    ),
    "currencies": (
        "/provisioning/currencies",
        "rest_currencies",
        lambda c: c.currencies(),
        lambda r: r[2].currency,
        "USDT (TRX-TRC20)",
    ),
    "limitations_and_fees": (
        "/provisioning/limitations-and-fees",
        "rest_limitations_and_fees",
        lambda c: c.limitations_and_fees(),
        lambda r: r.trading_fee_rate[6].taker_bito_fee,
        "0.00036",
    ),
    "tickers": ("/tickers", "rest_tickers_all", lambda c: c.tickers(), len, 3),
    "ticker": ("/tickers/btc_twd", "rest_ticker_one", lambda c: c.ticker("btc_twd"), lambda r: r.pair, "btc_twd"),
    "order_book": (
        "/order-book/btc_twd",
        "rest_order_book",
        lambda c: c.order_book("btc_twd", 20, 3),
        lambda r: r.bids[0].price,
        "2751600",
    ),
    "trades": ("/trades/btc_twd", "rest_trades", lambda c: c.trades("btc_twd"), lambda r: r[0].timestamp, 1790299996),
    "trading_history": (
        "/trading-history/btc_twd",
        "rest_trading_history_1h",
        lambda c: c.candles("btc_twd", "1h", T0 * NS_PER_MS, (T0 + 3 * HOUR_MS) * NS_PER_MS),
        lambda r: [row.close for row in r],
        ["2750010", "2752100"],  # at the current time, the third candle is still unfinished
    ),
    "otc_price": (
        "/price/otc/btc",
        "rest_otc_price",
        lambda c: c.otc_price("btc"),
        lambda r: r.buy_swap_quotation["twd"].exchange_rate,
        "2781320.77",
    ),
    "balance": ("/accounts/balance", "rest_balance", lambda c: c.balances(), lambda r: r[0].available, "279204"),
    "create_order": (
        "/orders/btc_twd",
        "rest_create_limit_response",
        lambda c: c.create_order("btc_twd", "BUY", "LIMIT", price="2752000", amount=Decimal("0.1"), client_id=12345),
        lambda r: (r.order_id, r.client),
        (6135165736, 12345),
    ),
    "create_batch": (
        "/orders/batch",
        "rest_batch_create_response",
        lambda c: c.post_batch(batch()),
        lambda r: [row.client for row in r],
        [101, None],
    ),
    "cancel_order": (
        "/orders/btc_twd/SL-6135165736",
        "rest_cancel_order_response",
        lambda c: c.cancel_order("btc_twd", "SL-6135165736"),
        lambda r: r.order_id,
        "6135165736",
    ),
    "cancel_all": (
        "/orders/all",
        "rest_cancel_all_response",
        lambda c: c.cancel_all(),
        lambda r: r,
        (("btc_twd", "4391867898"), ("btc_twd", "SL-6256946008"), ("eth_usdt", "4456671200")),
    ),
    "cancel_all_pair": (
        "/orders/btc_twd",
        "rest_cancel_all_response",
        lambda c: c.cancel_all("btc_twd"),
        len,
        3,
    ),
    "cancel_batch": (
        "/orders",
        "rest_cancel_batch_response",
        lambda c: c.cancel_orders([("btc_twd", "4391867898"), ("eth_usdt", "1")]),
        len,
        3,
    ),
    "get_order": (
        "/orders/btc_twd/8804281179",
        "rest_order_get_filled",
        lambda c: c.order("btc_twd", "8804281179"),
        lambda r: r.status,
        2,
    ),
    "open_orders": ("/orders/open", "rest_orders_open", lambda c: c.open_orders("btc_twd"), len, 3),
    "all_orders": (
        "/orders/all/btc_twd",
        "rest_orders_all",
        lambda c: c.orders("btc_twd", start=1_500_001, end=3_000_000, client_id=7, limit=5),
        lambda r: [row.status for row in r],
        [6, 0, 2, 2, -1, 3, 4],
    ),
    "my_trades": (
        "/orders/trades/btc_twd",
        "rest_my_trades",
        lambda c: c.own_trades("btc_twd", order_id="8804281179"),
        lambda r: r[0].fee,
        "110.06",
    ),
    "deposit_history": (
        "/wallet/depositHistory/btc",
        "rest_deposit_history",
        lambda c: c.deposits("btc", statuses=["COMPLETE", "EXPIRED"], txid="x"),
        lambda r: r[0].status,
        "COMPLETE",
    ),
    "withdraw_history": (
        "/wallet/withdrawHistory/usdt",
        "rest_withdraw_history",
        lambda c: c.withdrawals("usdt"),
        lambda r: r[0].message,
        "memo-1",
    ),
    "withdraw_by_serial": (
        "/wallet/withdraw/usdt/20260925BW14069838",
        "rest_withdraw_get",
        lambda c: c.withdrawal("usdt", serial="20260925BW14069838"),
        lambda r: r.total,
        "10.00000000",
    ),
    "withdraw_by_id": (
        "/wallet/withdraw/usdt/id/9925310345",
        "rest_withdraw_get",
        lambda c: c.withdrawal("usdt", id="9925310345"),
        lambda r: r.id,
        "9925310345",
    ),
    "create_withdraw": (
        "/wallet/withdraw/usdt",
        "rest_withdraw_create_response",
        lambda c: c.withdraw("usdt", WithdrawBody(protocol="TRX", address="T", amount="10")),
        lambda r: r.total,
        "10",
    ),
}
#: required content of the query or body, by endpoint
QUERIES: dict[str, dict[str, str]] = {
    "order_book": {"limit": "20", "scale": "3"},
    "trading_history": {"resolution": "1h", "from": "1790290800", "to": "1790299999"},
    "open_orders": {"pair": "btc_twd"},
    "all_orders": {
        "startTimestamp": "2",
        "endTimestamp": "2",
        "statusKind": "ALL",
        "clientId": "7",
        "limit": "5",
    },
    "my_trades": {"orderId": "8804281179", "limit": "100"},
    "deposit_history": {"limit": "20", "statuses": "COMPLETE,EXPIRED", "txID": "x"},
    "withdraw_history": {"limit": "20"},
}


def batch() -> Any:
    from botkit.exchange.bitopro.wire.bodies import CreateBody

    return [
        CreateBody(pair="BTC_TWD", action="BUY", type="LIMIT", price="2700000", amount="0.01", client_id=101),
        CreateBody(pair="BTC_TWD", action="SELL", type="MARKET", amount="0.002"),
    ]


def made(rest: str, **options: Any) -> BitoProClient:
    options = {"clock": HandClock(), "allow_withdrawals": True} | options
    return BitoProClient(rest_url=rest, credentials=Credentials("me@example.com", "test_client", "secret"), **options)


def test_every_documented_endpoint_has_a_test_case() -> None:
    assert set(WALK) == set(ENDPOINTS)


@pytest.mark.parametrize("endpoint_id", sorted(WALK))
async def test_every_endpoint_sends_its_request_and_decodes_its_response(endpoint_id: str) -> None:
    path, example, call, look, expected = WALK[endpoint_id]
    endpoint = ENDPOINTS[endpoint_id]
    reply = (EXAMPLES / f"{example}.json").read_bytes()
    async with venue({f"{endpoint.method} /v3{path}": reply}) as v, made(v.rest) as client:
        assert look(await call(client)) == expected
    ((method, seen_path, query, body),) = v.requests
    assert (method, seen_path) == (endpoint.method, "/v3" + path)
    assert query == QUERIES.get(endpoint_id, {})
    headers = v.headers[0]
    assert headers["Accept"] == "application/json"
    assert (HEADER_KEY in headers) == endpoint.private
    if endpoint.private:
        signed = decode_payload(headers[HEADER_PAYLOAD])
        assert Credentials("", "k", "secret").verify(headers[HEADER_PAYLOAD], headers[HEADER_SIGNATURE])
        if method in ("POST", "PUT"):
            assert signed == body
            assert headers["Content-Type"] == "application/json"
        else:
            assert body == b""
            assert json.loads(signed)["identity"] == "me@example.com"


async def test_a_pair_with_a_precision_that_cannot_be_traded_is_named_and_leaves_the_others_usable(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reply = json.loads((EXAMPLES / "rest_trading_pairs.json").read_bytes())
    reply["data"][0] |= {"pair": "odd_twd", "base": "odd", "basePrecision": "9"}
    async with venue({"GET /v3/provisioning/trading-pairs": json.dumps(reply)}) as v, made(v.rest) as client:
        pairs = await client.pairs()
    assert len(pairs) == len(reply["data"]) - 1 > 0
    assert "odd_twd" not in pairs
    assert ["odd_twd" in record.getMessage() for record in caplog.records] == [True]


async def test_a_create_request_sends_exactly_the_documented_fields() -> None:
    reply = '{"orderId":1,"timestamp":1,"action":"BUY","amount":"1","price":"1"}'
    async with venue({"POST /v3/orders/btc_twd": reply}) as v, made(v.rest) as client:
        await client.create_order(
            "btc_twd", "BUY", "STOP_LIMIT", price="2805000", stop_price="2800000", condition=">=", amount="0.1"
        )
        await client.create_order("btc_twd", "BUY", "LIMIT", price="1", amount=Decimal("1E-8"), post_only=True)
    bodies = [json.loads(request[3]) for request in v.requests]
    assert bodies[0] == {
        "action": "BUY",
        "type": "STOP_LIMIT",
        "price": "2805000",
        "stopPrice": "2800000",
        "condition": ">=",
        "amount": "0.1",
        "timestamp": 1_790_300_000_000,
    }
    assert (bodies[1]["timeInForce"], bodies[1]["amount"]) == ("POST_ONLY", "0.00000001")


async def test_withdrawing_requires_a_client_with_withdrawals_enabled() -> None:
    async with venue() as v, made(v.rest, allow_withdrawals=False) as client:
        with pytest.raises(Refused, match="allow_withdrawals"):
            await client.withdraw("btc", WithdrawBody(address="x", amount="1"))
    assert v.requests == []


async def test_private_calls_require_an_account() -> None:
    async with venue() as v, BitoProClient(rest_url=v.rest) as client:
        with pytest.raises(Refused, match="needs an account"):
            await client.balances()
        with pytest.raises(ValueError, match="needs an account"):
            client.stream("user_trades")
    assert v.requests == []


async def test_an_order_id_cannot_alter_the_path_of_a_request() -> None:
    async with venue() as v, made(v.rest) as client:
        with pytest.raises(Refused):
            await client.cancel_order("btc_twd", "../all?x=")
        with pytest.raises(Refused, match="orderId must not be empty"):
            await client.cancel_order("btc_twd", "")  # this request would cancel all of the pair's orders
    assert [request[0] for request in v.requests] == ["DELETE"]
    assert v.requests[0][1] != "/v3/orders/all"


@pytest.mark.parametrize("reply", ['{"id":""}', '{"id":null}', "{}", (404, '{"message":"404 NOT FOUND"}'), (422, "{}")])
async def test_every_form_of_response_to_an_unknown_order_is_treated_as_a_refusal(reply: Any) -> None:
    async with venue({"GET /v3/orders/btc_twd/1": reply}) as v, made(v.rest) as client:
        with pytest.raises(Refused):
            await client.order("btc_twd", "1")


@pytest.mark.parametrize("reply", ['{"data":null}', '{"data":[]}'])
async def test_null_lists_are_read_as_empty(reply: str) -> None:
    paths = ("accounts/balance", "orders/open", "orders/all/btc_twd", "orders/trades/btc_twd", "trades/btc_twd")
    async with venue({f"GET /v3/{path}": reply for path in paths}) as v, made(v.rest) as client:
        assert await client.balances() == ()
        assert await client.open_orders() == ()
        assert await client.orders("btc_twd") == ()
        assert await client.own_trades("btc_twd") == ()
        assert await client.trades("btc_twd") == ()


@pytest.mark.parametrize("reply", ['{"data":null}', '{"data":{}}', "{}", '{"data":{"BTC_TWD":null}}'])
async def test_cancelling_without_open_orders_returns_an_empty_result(reply: str) -> None:
    async with venue({"DELETE /v3/orders/all": reply}) as v, made(v.rest) as client:
        assert await client.cancel_all() == ()


async def test_the_outcome_of_a_create_is_unknown_if_the_response_lacks_an_id_or_has_too_few_results() -> None:
    replies = {
        "POST /v3/orders/btc_twd": '{"orderId":"","timestamp":1,"action":"BUY","amount":"1"}',
        "POST /v3/orders/batch": '{"data":[{"orderId":1,"timestamp":1,"action":"BUY","amount":"1"}]}',
    }
    async with venue(replies) as v, made(v.rest) as client:
        with pytest.raises(OutcomeUnknown):
            await client.create_order("btc_twd", "BUY", "LIMIT", price="1", amount="1")
        with pytest.raises(OutcomeUnknown, match="1 replies for 2 orders"):
            await client.post_batch(batch())
        with pytest.raises(Refused):
            await client.post_batch([])
        with pytest.raises(Refused):
            await client.post_batch(batch() * 6)


@pytest.mark.parametrize(
    "reply",
    [
        '{"orderId":11,"timestamp":1,"action":"BUY","amount":"1","orderId":12}',
        '{"timestamp":1,"orderId":11,"action":"BUY","amount":"1","amount":"1"}',
    ],
)
async def test_the_outcome_of_a_write_is_unknown_if_the_response_contains_a_duplicate_key(reply: str) -> None:
    replies = {"POST /v3/orders/btc_twd": reply, "POST /v3/orders/batch": f'{{"data":[{reply}]}}'}
    async with venue(replies) as v, made(v.rest) as client:
        with pytest.raises(OutcomeUnknown, match="appears twice"):
            await client.create_order("btc_twd", "BUY", "LIMIT", price="1", amount="1")
        with pytest.raises(OutcomeUnknown, match="appears twice"):
            await client.post_batch(batch()[:1])


async def test_a_long_range_of_candles_is_split_merged_and_filled() -> None:
    start = T0 * NS_PER_MS - 20_000 * NS_PER_HOUR

    async def history(request: web.Request) -> web.StreamResponse:
        lower, upper = int(request.query["from"]), int(request.query["to"])
        hours = range(-(-lower // 3600), upper // 3600 + 1)
        rows = [
            {"timestamp": h * HOUR_MS, "open": "1", "high": "2", "low": "1", "close": str(h % 7 + 1), "volume": "1"}
            for h in reversed(hours)
            if h % 10  # every tenth hour has no trades
        ]
        return web.json_response({"data": rows})

    async with venue({"GET /v3/trading-history/btc_twd": history}) as v, made(v.rest) as client:
        rows = await client.candles("btc_twd", "1h", start, T0 * NS_PER_MS)
        filled = await client.candles("btc_twd", "1h", start, T0 * NS_PER_MS, fill_gaps=True)
        running = await client.candles("btc_twd", "1h", T0 * NS_PER_MS, T0 * NS_PER_MS + NS_PER_DAY, running=True)
    assert len(v.requests) == 3 + 3 + 1
    times = [row.timestamp for row in rows]
    assert times == sorted(set(times))
    assert len(rows) == 18_000
    gaps = {b.timestamp - a.timestamp for a, b in itertools.pairwise(filled)}
    assert gaps == {HOUR_MS}
    flat = next(row for row in filled if row.volume == "0")
    before = filled[filled.index(flat) - 1]
    assert flat.open == flat.high == flat.low == flat.close == before.close
    assert running[-1].timestamp == T0 + 2 * HOUR_MS  # the clock is set to 2 h 33 m


async def test_a_request_that_returns_a_full_listing_is_split_in_half_until_each_listing_is_complete() -> None:
    rows = [
        {
            "tradeId": str(n // 2),
            "orderId": str(n),
            "price": "1",
            "action": "BUY" if n % 2 else "SELL",
            "baseAmount": "1",
            "quoteAmount": "1",
            "fee": "0",
            "feeSymbol": "BTC",
            "isTaker": True,
            "createdTimestamp": 1_000 + n,
        }
        for n in range(2_500)
    ]

    async def listing(request: web.Request) -> web.StreamResponse:
        lower, upper = int(request.query["startTimestamp"]), int(request.query["endTimestamp"])
        found = [r for r in rows if lower <= r["createdTimestamp"] <= upper]  # type: ignore[operator]
        return web.json_response({"data": found[::-1][: int(request.query["limit"])]})

    async with venue({"GET /v3/orders/trades/btc_twd": listing}) as v, made(v.rest) as client:
        found = await client.all_own_trades("btc_twd", 0, 4 * NS_PER_S)
        assert {row.order_id for row in found} == {str(n) for n in range(2_500)}
        assert len(found) == 2_500
        for row in rows:
            row["createdTimestamp"] = 5
        with pytest.raises(TryAgain, match="within one millisecond"):
            await client.all_own_trades("btc_twd", 0, 4 * NS_PER_S)


async def test_a_ticker_can_be_decoded_from_an_object_or_a_list() -> None:
    row = '{"pair":"btc_twd","lastPrice":"1","priceChange24hr":"0","volume24hr":"0","high24hr":"1","low24hr":"1"}'
    for data in (row, f"[{row}]"):
        async with venue({"GET /v3/tickers/btc_twd": f'{{"data":{data}}}'}) as v, made(v.rest) as client:
            assert (await client.ticker("btc_twd")).last_price == "1"
    async with venue({"GET /v3/tickers/btc_twd": '{"data":[]}'}) as v, made(v.rest) as client:
        with pytest.raises(TryAgain):
            await client.ticker("btc_twd")


async def test_a_depth_that_the_exchange_would_refuse_is_refused_locally() -> None:
    async with venue() as v, made(v.rest) as client:
        with pytest.raises(Refused, match="limit 100 is not one of 1, 5, 10, 20, 30, 50"):
            await client.order_book("btc_twd", 100)
    assert v.requests == []
