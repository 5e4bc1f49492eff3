"""Runs the client against the emulator over real sockets. Every endpoint and stream is exercised once, and its typed
result is checked.

The client and the emulator share wire structs; tests/emulator/test_shapes shows that the emulator's bytes match those
of the exchange.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from botkit.assembly.emulator import emulator_options, make_emulator
from botkit.emulator import DEFAULT_ACCOUNT, Emulator
from botkit.errors import OutcomeUnknown, RateLimited, Refused, TryAgain
from botkit.exchange.bitopro import BitoProClient
from botkit.exchange.bitopro.stream import NewTrades, StreamChange, StreamTimes
from botkit.exchange.bitopro.wire.bodies import CreateBody, WithdrawBody
from botkit.exchange.bitopro.wire.endpoints import ENDPOINTS, STREAMS
from botkit.exchange.bitopro.wire.frames import OrderBookFrame
from botkit.model.clock import NS_PER_HOUR, NS_PER_MS
from botkit.model.events import ConnectionState

pytestmark = pytest.mark.virtual_time

QUICK = StreamTimes(backoff_first_s=0.02, backoff_max_s=0.05, dead_after_s=2.0)


@pytest_asyncio.fixture
async def venue() -> AsyncIterator[Emulator]:
    async with make_emulator(emulator_options(history_days=0.2, seed=4)) as running:
        yield running


@pytest_asyncio.fixture
async def client(venue: Emulator) -> AsyncIterator[BitoProClient]:
    account = DEFAULT_ACCOUNT
    async with BitoProClient(
        account.email,
        account.key,
        account.secret,
        rest_url=venue.rest,
        ws_url=venue.ws,
        allow_withdrawals=True,
        write_timeout_s=0.3,
        stream_times=QUICK,
    ) as opened:
        yield opened


async def test_every_endpoint_responds_and_its_response_is_decoded(venue: Emulator, client: BitoProClient) -> None:
    now = venue.clock.now()
    assert len(await client.trading_pairs()) == len(await client.pairs()) == 21
    assert await client.currencies()
    assert len((await client.limitations_and_fees()).trading_fee_rate) == 7
    assert len(await client.tickers()) == 21
    assert (await client.ticker("btc_twd")).pair == "btc_twd"
    book = await client.order_book("btc_twd", 20)
    assert book.bids
    assert book.asks
    assert await client.trades("btc_twd")
    candles = await client.candles("btc_twd", "5m", now - 3 * NS_PER_HOUR, now, fill_gaps=True)
    assert len(candles) >= 35
    assert (await client.otc_price("btc")).currency == "btc"
    assert {row.currency for row in await client.balances()} >= {"twd", "btc"}
    low = str(int(book.bids[-1].price) // 2)
    order = await client.create_order("btc_twd", "BUY", "LIMIT", price=low, amount="0.001", client_id=11)
    body = CreateBody(
        pair="BTC_TWD", action="BUY", type="LIMIT", price=low, amount="0.001", timestamp=now // NS_PER_MS, client_id=12
    )
    batch = await client.post_batch([body, body])
    assert [reply.client for reply in batch] == [12, 12]
    assert (await client.order("btc_twd", str(order.order_id))).client == 11
    assert len(await client.open_orders("btc_twd")) == 3
    assert len(await client.orders("btc_twd", client_id=12)) == 2
    assert (await client.cancel_order("btc_twd", str(order.order_id))).order_id == str(order.order_id)
    ids = [("btc_twd", str(reply.order_id)) for reply in batch]
    assert set(await client.cancel_orders(ids)) == set(ids)
    await client.create_order("btc_twd", "BUY", "MARKET", amount="1000", client_id=13)
    assert (await client.own_trades("btc_twd"))[0].action == "BUY"
    assert await client.cancel_all() == ()
    with pytest.raises(RateLimited):
        await client.cancel_all("btc_twd")  # this call uses a shared counter
    assert await client.deposits("btc")
    made = await client.withdraw("usdt", WithdrawBody(amount="100", address="T1", protocol="TRX"))
    assert (await client.withdrawals("usdt"))[0].id == made.id
    assert (await client.withdrawal("usdt", serial=made.serial)).id == made.id
    assert (await client.withdrawal("usdt", id=str(made.id))).serial == made.serial
    assert set(venue.venue.limits.counts) == set(ENDPOINTS)
    venue.venue.kernel.check()


async def test_every_stream_connects_and_its_frames_are_decoded(venue: Emulator, client: BitoProClient) -> None:
    pairs: dict[str, dict[str, int | None]] = {
        "order_book": {"btc_twd": 5, "eth_twd": 20},
        "ticker": {"btc_twd": None},
        "trades": {"btc_twd": None, "btc_usdt": None},
        "user_trades": {"btc_twd": None},
    }
    found: dict[str, list[Any]] = {stream: [] for stream in STREAMS}

    async def listen(stream_id: str) -> None:
        async with client.stream(stream_id, pairs.get(stream_id, {})) as stream:
            async for received in stream:
                found[stream_id].append(received.item)

    tasks = [asyncio.create_task(listen(stream)) for stream in STREAMS]
    while venue.sockets < len(STREAMS):
        await asyncio.sleep(0.01)
    await client.create_order("btc_twd", "BUY", "MARKET", amount="1000", client_id=21)
    for _ in range(300):
        if all(any(not isinstance(item, StreamChange) for item in items) for items in found.values()):
            break
        await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    kinds = {stream: {type(item).__name__ for item in items} for stream, items in found.items()}
    for stream, spec in STREAMS.items():
        wanted = "NewTrades" if stream == "trades" else {
            "ORDER_BOOK": "OrderBookFrame", "TICKER": "TickerFrame", "ACTIVE_ORDERS": "ActiveOrdersFrame",
            "RECENT_HISTORY_ORDERS": "HistoryOrdersFrame", "ACCOUNT_BALANCE": "BalanceFrame",
            "USER_TRADE": "UserTradeFrame",
        }[spec.event]  # fmt: skip
        assert wanted in kinds[stream], (stream, kinds[stream])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("lost_request", OutcomeUnknown),
        ("lost_answer", OutcomeUnknown),
        ("reset", OutcomeUnknown),
        ("error_before", OutcomeUnknown),
        ("error_after", OutcomeUnknown),
        ("garbage", OutcomeUnknown),
        ("truncated", OutcomeUnknown),
        ("storm_429", RateLimited),
        ("maintenance", Refused),
    ],
)
async def test_each_fault_raises_the_error_type_that_determines_how_the_caller_must_react(
    venue: Emulator, client: BitoProClient, kind: str, expected: type[Exception]
) -> None:
    venue.add_fault({"kind": kind, "where": "btc_twd" if kind == "maintenance" else "create_order"})
    arrived = venue.received
    with pytest.raises(expected):
        await client.create_order("btc_twd", "BUY", "MARKET", amount="1000")
    assert venue.received - arrived <= 1  # a create must never be sent twice
    venue.remove_faults()
    venue.add_fault({"kind": "reset", "where": "balance", "count": 1})
    with pytest.raises(TryAgain):
        await client.balances()
    assert await client.balances()


async def test_a_stream_reconnects_after_a_cut_without_duplicate_events(venue: Emulator, client: BitoProClient) -> None:
    venue.clock.resume(20.0)
    rows: list[Any] = []
    states: list[ConnectionState] = []
    async with client.stream("trades", {"btc_usdt": None}) as stream:
        async for received in stream:
            if isinstance(received.item, StreamChange):
                states.append(received.item.state)
            elif isinstance(received.item, NewTrades):
                rows += received.item.new
            if len(rows) >= 10 and states == [ConnectionState.CONNECTED]:
                venue.cut_sockets()
            if len(rows) >= 40:
                break
    assert ConnectionState.LOST in states
    assert states.count(ConnectionState.CONNECTED) == 2
    told = [(row.timestamp, row.price, row.amount, row.is_buyer) for row in rows]
    served = [
        (row.timestamp, row.price, row.amount, row.is_buyer)
        for row in reversed(venue.venue.recent_trades(venue.venue.pairs["btc_usdt"]))
    ]
    tail = [row for row in told if row in served]
    assert tail == [row for row in served if row in tail][: len(tail)]


async def test_a_frozen_book_is_detectable_and_a_silent_socket_is_dropped(
    venue: Emulator, client: BitoProClient
) -> None:
    venue.add_fault({"kind": "ws_silence", "where": "order_book", "count": 1, "skip": 1})
    states: list[ConnectionState] = []
    books = 0
    venue.clock.resume(30.0)
    async with client.stream("order_book", {"btc_usdt": 5}) as stream:
        async for received in stream:
            if isinstance(received.item, StreamChange):
                states.append(received.item.state)
            elif isinstance(received.item, OrderBookFrame):
                books += 1
            if books >= 2:
                break
    assert states[:3] == [ConnectionState.CONNECTED, ConnectionState.LOST, ConnectionState.CONNECTED]
