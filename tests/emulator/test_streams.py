"""WebSocket streams: accepted upgrades, the first pushed frames, keepalive, and no pushes without a change."""

from __future__ import annotations

import asyncio
import itertools
import json
import struct
from typing import Any

import aiohttp
import pytest

from botkit.emulator import sockets
from tests.emulator.raw import Raw

pytestmark = pytest.mark.virtual_time


async def frame(socket: Any, within_s: float = 10) -> Any:
    message = await asyncio.wait_for(socket.receive(), within_s)
    assert message.type is aiohttp.WSMsgType.TEXT, message
    return json.loads(message.data)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/pub/nowhere",
        "/v1/pub/order-books",
        "/v1/pub/order-books/NOPE_TWD",
        "/v1/pub/trades/BTC_TWD,NOPE_TWD",
        "/v1/pub/tickers?pairs=NOPE_TWD",
        "/v1/pub/auth/nowhere",
    ],
)
async def test_an_invalid_path_receives_a_200_response_without_an_upgrade(start, session, path) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await session.ws_connect(emulator.ws + path)
    assert caught.value.status == 200


async def test_a_private_stream_without_a_signature_receives_a_401_response(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await session.ws_connect(emulator.ws + "/v1/pub/auth/orders")
    assert caught.value.status == 401


async def test_an_unknown_pair_in_the_query_is_ignored_and_an_invalid_depth_defaults_to_five(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    url = emulator.ws + "/v1/pub/order-books?pairs=btc_twd:7,NOPE_TWD,eth_twd:1"
    async with session.ws_connect(url) as socket:
        first = [await frame(socket), await frame(socket)]
    assert [(f["pair"], f["limit"], len(f["bids"])) for f in first] == [("BTC_TWD", 5, 5), ("ETH_TWD", 1, 1)]


async def test_messages_from_a_client_are_ignored(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    async with session.ws_connect(emulator.ws + "/v1/pub/trades/BTC_USDT") as socket:
        await socket.send_str('{"op":"subscribe"}')
        await socket.send_bytes(b"\xff")
        assert (await frame(socket))["event"] == "TRADE"
        assert (await frame(socket))["event"] == "TRADE"


async def test_a_trade_list_is_sent_immediately_even_if_it_is_empty(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(lockstep=True, history_days=0.0)
    emulator.venue._lists["btc_twd"].clear()
    async with session.ws_connect(emulator.ws + "/v1/pub/trades/BTC_TWD") as socket:
        assert (await frame(socket))["data"] == []


async def test_books_are_pushed_only_when_they_change(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(switches=["book_cadence_ms=10"], speed=20.0)
    # a change that affects only the deeper book is not sent to the other subscriber
    async with (
        session.ws_connect(emulator.ws + "/v1/pub/order-books/BTC_USDT:20"),
        session.ws_connect(emulator.ws + "/v1/pub/order-books/BTC_USDT:1") as socket,
    ):
        seen = [await frame(socket) for _ in range(12)]
    shown = [[(level["price"], f"{float(level['amount']):.4f}") for level in f["bids"] + f["asks"]] for f in seen]
    assert all(before != after for before, after in itertools.pairwise(shown))


async def test_an_order_and_its_final_state_are_pushed_in_the_documented_sequence(start, session) -> None:  # type: ignore[no-untyped-def]
    for final, expected in (("on", [0, 2]), ("off", [0])):
        emulator = await start(switches=[f"active_final={final}"])
        raw = Raw(emulator.rest, session)
        base = raw.ws + "/v1/pub/auth"
        async with (
            session.ws_connect(base + "/orders", headers=raw.nonce()) as active,
            session.ws_connect(base + "/orders/histories", headers=raw.nonce()) as history,
        ):
            assert (await frame(active))["data"] == (await frame(history))["data"] == {}
            await raw.create(action="SELL", type="LIMIT", price="90000000", amount="0.01", clientId=3)
            await raw.create(action="BUY", type="MARKET", amount="1000", clientId=4)
            found = [await frame(active) for _ in expected]
            ended = await frame(history)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(active.receive(), 0.2)
        statuses = [row["status"] for f in found for row in f["data"]["btc_twd"]]
        assert statuses == expected
        assert [(r["status"], r["clientID"]) for r in ended["data"]["btc_twd"]] == [(2, 4)]


async def test_a_client_that_never_sends_a_pong_is_disconnected(start, session, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setitem(sockets.KEEPALIVE, "documented", (0.1, 0.05))
    emulator = await start()
    url = emulator.ws + "/v1/pub/auth/account-balance"
    raw = Raw(emulator.rest, session)
    async with session.ws_connect(url, headers=raw.nonce(), autoping=False) as silent:
        kinds = [(await asyncio.wait_for(silent.receive(), 5)).type for _ in range(3)]
    assert kinds == [aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING, aiohttp.WSMsgType.CLOSED]
    async with session.ws_connect(url, headers=raw.nonce()) as polite:
        await frame(polite)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(polite.receive(), 0.6)
        assert not polite.closed


async def test_compression_is_negotiated_if_the_client_offers_it(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    async with session.ws_connect(emulator.ws + "/v1/pub/trades/BTC_USDT", compress=15) as socket:
        assert socket.compress
        assert (await frame(socket))["pair"] == "BTC_USDT"


async def test_a_client_that_stops_reading_is_eventually_disconnected(start) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(lockstep=True)
    reader, writer = await asyncio.open_connection("127.0.0.1", emulator.port, limit=1024)
    writer.write(
        b"GET /ws/v1/pub/trades/BTC_USDT HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    while not emulator.sockets:
        await asyncio.sleep(0.01)
    (socket,) = emulator._sockets
    for _ in range(sockets.QUEUE_MAX + 1):
        socket.push(b"x" * 100)
    while emulator.sockets:
        await asyncio.sleep(0.01)
    writer.close()
    del reader


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
def test_frame_headers_conform_to_the_standard(length: int) -> None:
    header = sockets._header(length)
    assert header[0] == 0x81
    if length < 126:
        assert header[1:] == bytes([length])
    elif length < 65_536:
        assert header[1:] == b"\x7e" + struct.pack(">H", length)
    else:
        assert header[1:] == b"\x7f" + struct.pack(">Q", length)
