"""Streams: keepalive, reconnecting, catching up, and no duplicate events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from botkit.exchange.bitopro import BitoProClient, Credentials
from botkit.exchange.bitopro.sign import HEADER_PAYLOAD, HEADER_SIGNATURE, decode_payload
from botkit.exchange.bitopro.stream import NewTrades, Received, Snapshot, Stream, StreamChange, StreamTimes, _LostError
from botkit.exchange.bitopro.wire.frames import BalanceFrame, OrderBookFrame, UnknownFrame
from botkit.model.events import ConnectionState
from tests.exchange.venue import Venue, venue

pytestmark = pytest.mark.virtual_time

FAST = StreamTimes(dead_after_s=0.3, backoff_first_s=0.01, backoff_max_s=0.05, connect_timeout_s=2.0)
Script = Callable[[web.WebSocketResponse, int], Awaitable[None]]


def book(price: str = "1") -> str:
    level = [{"price": price, "amount": "1", "count": 1, "total": "1"}]
    return json.dumps({"event": "ORDER_BOOK", "timestamp": 1, "pair": "BTC_TWD", "bids": level, "asks": []})


def trades(*prices: int) -> str:
    rows = [{"timestamp": 1_790_300_000, "price": str(p), "amount": "1", "isBuyer": True} for p in prices]
    return json.dumps({"event": "TRADE", "timestamp": 1, "pair": "BTC_TWD", "data": rows})


def sockets(script: Script) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return a handler that upgrades the connection and then runs ``script(socket, connection number)``."""
    count = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal count
        count += 1
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        await script(socket, count)
        await socket.close()
        return socket

    return handler


def made(v: Venue, times: StreamTimes = FAST) -> BitoProClient:
    return BitoProClient(
        rest_url=v.rest,
        ws_url=v.ws,
        credentials=Credentials("me@example.com", "test_stream", "secret"),
        random=Random(1),
        stream_times=times,
    )


async def take(stream: Stream, count: int) -> list[Received]:
    async with asyncio.timeout(5):
        return [await anext(stream) for _ in range(count)]


def states(items: list[Received]) -> list[str]:
    return [i.item.state.value if isinstance(i.item, StreamChange) else type(i.item).__name__ for i in items]


BOOKS = "GET /ws/v1/pub/order-books/BTC_TWD:5"


@pytest.mark.parametrize(
    ("stream_id", "pairs", "path"),
    [
        ("order_book", {"btc_twd": 20, "ETH_TWD": None}, "/ws/v1/pub/order-books/BTC_TWD:20,ETH_TWD"),
        ("ticker", {"btc_twd": None}, "/ws/v1/pub/tickers/BTC_TWD"),
        ("trades", {"btc_twd": None, "eth_twd": None}, "/ws/v1/pub/trades/BTC_TWD,ETH_TWD"),
        ("active_orders", None, "/ws/v1/pub/auth/orders"),
        ("order_history", None, "/ws/v1/pub/auth/orders/histories"),
        ("account_balance", None, "/ws/v1/pub/auth/account-balance"),
        ("user_trades", {"btc_twd": None}, "/ws/v1/pub/auth/user-trades"),
    ],
)
async def test_each_of_the_seven_streams_connects_to_the_expected_path(stream_id: str, pairs: Any, path: str) -> None:
    async def script(socket: web.WebSocketResponse, _n: int) -> None:
        await socket.send_str('{"event":"SOMETHING_NEW","x":1}')
        await socket.receive()

    async with (
        venue({f"GET {path}": sockets(script)}) as v,
        made(v) as client,
        client.stream(stream_id, pairs) as stream,
    ):
        items = await take(stream, 2)
    assert states(items) == ["connected", "UnknownFrame"]
    assert items[1].item == UnknownFrame("SOMETHING_NEW")
    headers = v.headers[0]
    if "/auth/" in path:
        payload = json.loads(decode_payload(headers[HEADER_PAYLOAD]))
        assert payload["identity"] == "me@example.com"
        assert Credentials("", "k", "secret").verify(headers[HEADER_PAYLOAD], headers[HEADER_SIGNATURE])
    else:
        assert HEADER_PAYLOAD not in headers


async def test_every_ping_receives_a_pong_and_prevents_the_silence_timeout() -> None:
    pongs = []

    async def script(socket: web.WebSocketResponse, _n: int) -> None:
        await socket.send_str(book())
        for i in range(8):  # 0.8 s with only pings, far beyond the silence timeout of 0.3 s
            await socket.ping(b"%d" % i)
            message = await socket.receive()
            assert message.type is WSMsgType.PONG
            pongs.append(message.data)
            await asyncio.sleep(0.1)
        await socket.send_str(book("2"))
        await socket.receive()

    async with (
        venue({BOOKS: sockets(script)}) as v,
        made(v) as client,
        client.stream("order_book", {"btc_twd": 5}) as stream,
    ):
        items = await take(stream, 3)
    assert states(items) == ["connected", "OrderBookFrame", "OrderBookFrame"]
    assert [bytes(p) for p in pongs] == [b"%d" % i for i in range(8)]


async def test_a_stream_reconnects_after_the_silence_timeout() -> None:
    async def script(socket: web.WebSocketResponse, n: int) -> None:
        await socket.send_str(book(str(n)))
        await asyncio.sleep(1 if n == 1 else 0)
        await socket.receive()

    async with (
        venue({BOOKS: sockets(script)}) as v,
        made(v) as client,
        client.stream("order_book", {"btc_twd": 5}) as stream,
    ):
        items = await take(stream, 6)
    assert states(items) == ["connected", "OrderBookFrame", "lost", "connected", "resynchronised", "OrderBookFrame"]
    assert isinstance(items[2].item, StreamChange)
    assert "no data was received for 0.3 s" in items[2].item.detail
    assert (items[1].is_first, items[5].is_first) == (True, True)


@pytest.mark.parametrize("fault", ["close", "abort", "garbage", "huge", "binary garbage"])
async def test_a_broken_connection_is_replaced(fault: str) -> None:
    async def script(socket: web.WebSocketResponse, n: int) -> None:
        await socket.send_str(book())
        if n == 1:
            if fault == "abort":
                socket._req.transport.abort()  # type: ignore[union-attr]
            elif fault == "garbage":
                await socket.send_str('{"event":"ORDER_BOOK","bids":7}')
            elif fault == "binary garbage":
                await socket.send_bytes(b"\xff\xfe\x00")
            elif fault == "huge":
                await socket.send_str('{"event":"' + "x" * 10_000_000 + '"}')
            return
        await socket.receive()

    async with (
        venue({BOOKS: sockets(script)}) as v,
        made(v) as client,
        client.stream("order_book", {"btc_twd": 5}) as stream,
    ):
        items = await take(stream, 6)
    assert states(items) == ["connected", "OrderBookFrame", "lost", "connected", "resynchronised", "OrderBookFrame"]
    detail = items[2].item.detail  # type: ignore[union-attr]
    assert "; reconnecting in 0.0" in detail
    assert ("a frame larger than 4 MB" in detail) == (fault == "huge")


@pytest.mark.virtual_time(seed=1)
async def test_connections_that_are_lost_as_soon_as_they_are_accepted_are_replaced() -> None:
    """The seed delays steps of tasks, so that some connections are gone before the client resumes."""

    async def script(socket: web.WebSocketResponse, n: int) -> None:
        if n <= 60:
            socket._req.transport.abort()  # type: ignore[union-attr]
            return
        await socket.send_str(book())
        await socket.receive()

    lost: list[str] = []
    async with (
        venue({BOOKS: sockets(script)}) as v,
        made(v) as client,
        client.stream("order_book", {"btc_twd": 5}) as stream,
    ):
        async for received in stream:
            if not isinstance(received.item, StreamChange):
                break
            lost += [received.item.detail] if received.item.state is ConnectionState.LOST else []
    assert len(lost) == 60
    assert any("as soon as it was accepted" in detail for detail in lost)


async def test_the_error_after_a_failed_upgrade_states_the_response_status() -> None:
    async with (
        venue({BOOKS: "", "GET /ws/v1/pub/auth/orders": (401, '{"error":"Invalid Signature"}')}) as v,
        made(v) as client,
    ):
        async with client.stream("order_book", {"btc_twd": 5}) as stream:
            items = await take(stream, 3)
        async with client.stream("active_orders") as private:
            refused = await take(private, 1)
    assert states(items) == ["lost"] * 3
    assert isinstance(items[0].item, StreamChange)
    assert "200 instead of 101; check the spelling of every pair" in items[0].item.detail
    assert isinstance(refused[0].item, StreamChange)
    assert "401 instead of 101" in refused[0].item.detail


@pytest.mark.parametrize("status", [401, 503])
async def test_the_error_of_a_failed_upgrade_does_not_keep_the_signed_headers(status: int) -> None:
    async with (
        venue({"GET /ws/v1/pub/auth/orders": (status, "{}")}) as v,
        made(v) as client,
        client.stream("active_orders") as private,
    ):
        with pytest.raises(_LostError) as caught:
            await private._connect()
    assert caught.value.__context__ is caught.value.__cause__ is None


async def test_every_upgrade_has_a_new_signature_and_does_not_follow_redirects() -> None:
    async with venue() as other, venue() as v:

        async def away(_request: web.Request) -> web.StreamResponse:
            return web.Response(status=302, headers={"Location": other.ws.replace("ws:", "http:") + "/x"})

        v.replies["GET /ws/v1/pub/auth/orders"] = away
        async with made(v) as client, client.stream("active_orders") as stream:
            items = await take(stream, 3)
        assert states(items) == ["lost"] * 3
        assert other.requests == []
        nonces = [json.loads(decode_payload(h[HEADER_PAYLOAD]))["nonce"] for h in v.headers]
        assert nonces == sorted(set(nonces))
        for item in items:
            assert "X-BITOPRO" not in repr(item)


async def test_trades_are_not_duplicated_across_reconnects_and_gaps_are_detected() -> None:
    scripts = {
        1: [trades(2, 1), trades(3, 2, 1), trades(3, 2, 1)],
        2: [trades(5, 4, 3, 2)],
        3: [trades(9, 8, 7)],
    }

    async def script(socket: web.WebSocketResponse, n: int) -> None:
        for frame in scripts[n]:
            await socket.send_str(frame)
        if n == 3:
            await socket.receive()

    async with (
        venue({"GET /ws/v1/pub/trades/BTC_TWD": sockets(script)}) as v,
        made(v) as client,
        client.stream("trades", {"btc_twd": None}) as stream,
    ):
        items = await take(stream, 12)
    lists = [i.item for i in items if isinstance(i.item, NewTrades)]
    assert [([row.price for row in item.new], item.gap) for item in lists] == [
        ([], False),  # trades from before the stream connected
        (["3"], False),
        ([], False),
        (["4", "5"], False),  # trades executed while the stream was down
        (["7", "8", "9"], True),
    ]


async def test_a_frame_for_an_unsubscribed_pair_closes_the_connection() -> None:
    async def script(socket: web.WebSocketResponse, n: int) -> None:
        await socket.send_str(trades(1).replace("BTC_TWD", "NOPE_TWD") if n == 1 else trades(1))
        await socket.receive()

    async with (
        venue({"GET /ws/v1/pub/trades/BTC_TWD": sockets(script)}) as v,
        made(v) as client,
        client.stream("trades", {"btc_twd": None}) as stream,
    ):
        assert states(await take(stream, 3)) == ["connected", "lost", "connected"]


async def test_data_that_a_stream_does_not_repeat_is_fetched_over_rest_after_a_reconnect() -> None:
    user_trade = {
        "base": "btc",
        "quote": "twd",
        "side": "bid",
        "price": "1",
        "volume": "1",
        "fee": "0",
        "feeCurrency": "btc",
        "transactionTimestamp": 1790300002,
        "orderID": 1,
        "matchID": "m",
    }

    async def script(socket: web.WebSocketResponse, n: int) -> None:
        await socket.send_str(json.dumps({"event": "USER_TRADE", "timestamp": 1, "data": user_trade | {"orderID": n}}))
        if n == 2:
            await socket.receive()

    replies = {
        "GET /ws/v1/pub/auth/user-trades": sockets(script),
        "GET /v3/orders/trades/btc_twd": '{"data":null}',
    }
    async with venue(replies) as v:
        async with made(v) as client, client.stream("user_trades", {"btc_twd": None}) as stream:
            items = await take(stream, 7)
        (read,) = [r for r in v.requests if r[1] == "/v3/orders/trades/btc_twd"]
    assert states(items) == [
        "connected",
        "UserTradeFrame",
        "lost",
        "connected",
        "Snapshot",
        "resynchronised",
        "UserTradeFrame",
    ]
    assert items[4].item == Snapshot("user_trades", "btc_twd", ())
    before_ms = items[1].at // 10**6
    assert before_ms - 61_000 <= int(read[2]["startTimestamp"]) <= before_ms - 59_000


@pytest.mark.parametrize("failure", [(502, ""), (200, "<html>"), (200, '{"data":[{"currency":"twd"}]}')])
async def test_the_connection_is_retried_after_a_failed_catch_up(failure: tuple[int, str]) -> None:
    balance = {"event": "ACCOUNT_BALANCE", "timestamp": 1, "data": {}}
    reads = 0

    async def script(socket: web.WebSocketResponse, n: int) -> None:
        await socket.send_str(json.dumps(balance))
        if n >= 3:
            await socket.receive()

    async def balances(_request: web.Request) -> web.StreamResponse:
        nonlocal reads
        reads += 1
        status, text = failure
        return web.json_response({"data": []}) if reads == 2 else web.Response(status=status, text=text)

    replies = {"GET /ws/v1/pub/auth/account-balance": sockets(script), "GET /v3/accounts/balance": balances}
    async with venue(replies) as v, made(v) as client, client.stream("account_balance") as stream:
        items = await take(stream, 8)
    assert states(items) == [
        "connected",
        "BalanceFrame",
        "lost",
        "lost",  # the stream connected, but the catch-up failed
        "connected",
        "Snapshot",
        "resynchronised",
        "BalanceFrame",
    ]
    assert isinstance(items[-1].item, BalanceFrame)


async def test_a_connection_whose_catch_up_was_interrupted_is_replaced_and_catches_up_again() -> None:
    balance = {"event": "ACCOUNT_BALANCE", "timestamp": 1, "data": {}}
    is_asked = asyncio.Event()

    async def script(socket: web.WebSocketResponse, n: int) -> None:
        await socket.send_str(json.dumps(balance))
        if n >= 2:
            await socket.receive()

    async def balances(_request: web.Request) -> web.StreamResponse:
        if not is_asked.is_set():
            is_asked.set()
            await asyncio.sleep(0.2)
        return web.json_response({"data": []})

    replies = {"GET /ws/v1/pub/auth/account-balance": sockets(script), "GET /v3/accounts/balance": balances}
    async with venue(replies) as v, made(v) as client, client.stream("account_balance") as stream:
        await take(stream, 3)
        waiting = asyncio.create_task(anext(stream))
        await is_asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        items = await take(stream, 4)
    assert states(items) == ["connected", "Snapshot", "resynchronised", "BalanceFrame"]


async def test_closing_a_stream_stops_a_pending_iteration() -> None:
    async def script(socket: web.WebSocketResponse, _n: int) -> None:
        await socket.receive()

    async with venue({BOOKS: sockets(script)}) as v, made(v, StreamTimes()) as client:
        stream = client.stream("order_book", {"btc_twd": 5})
        seen: list[Received] = []

        async def iterate() -> None:
            async for received in stream:
                seen.append(received)

        task = asyncio.create_task(iterate())
        while not seen:
            await asyncio.sleep(0.01)
        await stream.close()
        async with asyncio.timeout(2):
            await task
    assert states(seen)[0] == "connected"


def test_backoff_doubles_up_to_a_maximum_and_half_of_each_delay_is_random() -> None:
    times, random = StreamTimes(backoff_first_s=0.5, backoff_max_s=30.0), Random(7)
    for failures in (1, 2, 5, 10, 10_000):
        whole = min(30.0, 0.5 * 2 ** (min(failures, 40) - 1))
        drawn = [times.backoff_s(failures, random) for _ in range(200)]
        assert whole / 2 <= min(drawn) < max(drawn) <= whole
        assert max(drawn) - min(drawn) > whole / 4


@pytest.mark.parametrize(
    ("stream_id", "pairs", "says"),
    [("order_book", {}, "at least one pair"), ("order_book", {"btc_twd": 100}, "one of 1, 5, 10, 20, 30, 50")],
)
def test_a_stream_with_invalid_pairs_or_depth_is_refused(
    stream_id: str, pairs: dict[str, int | None], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        BitoProClient().stream(stream_id, pairs)


async def test_frames_are_delivered_as_typed_values() -> None:
    async def script(socket: web.WebSocketResponse, _n: int) -> None:
        await socket.send_str(book("2752000"))
        await socket.receive()

    async with (
        venue({BOOKS: sockets(script)}) as v,
        made(v) as client,
        client.stream("order_book", {"btc_twd": 5}) as stream,
    ):
        first, second = await take(stream, 2)
    assert first.item == StreamChange(ConnectionState.CONNECTED)
    assert isinstance(second.item, OrderBookFrame)
    assert second.item.bids is not None
    assert second.item.bids[0].price == "2752000"
