"""In lockstep, the caller advances the time. All messages are delivered in a total order, and identical runs yield
identical results.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from botkit.model.clock import NS_PER_MS, NS_PER_S
from botkit.sim.latency import Constant
from tests.emulator.raw import Raw

pytestmark = pytest.mark.virtual_time

START = 1_790_300_040 * NS_PER_S


async def step(raw: Raw, until: int, **more: Any) -> Any:
    async with raw.session.post(raw.control + "/step", json={"until": until, **more}) as answer:
        found = json.loads(await answer.read())
        assert answer.status == 200, found
        return found


class Held(Raw):
    """Signs requests with the exchange's own time."""

    now = START

    def now_ms(self) -> int:  # type: ignore[override]
        return self.now // NS_PER_MS


async def test_the_market_does_not_change_until_time_is_advanced(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(lockstep=True, start=START)
    raw = Held(emulator.rest, session)
    _, before = await raw.get("/tickers/btc_usdt")
    await asyncio.sleep(0.1)
    _, after = await raw.get("/tickers/btc_usdt")
    assert before == after
    assert emulator.clock.now() == START
    found = await step(raw, START + 60 * NS_PER_S, whole=True)
    assert found["now"] == START + 60 * NS_PER_S
    # without subscribers, only the responses to these two requests are delivered
    assert [(d["kind"], d["request"], d["at"]) for d in found["delivered"]] == [("answer", n, START) for n in (1, 2)]


async def test_a_step_delivers_the_response_one_latency_later(start, session) -> None:  # type: ignore[no-untyped-def]
    latency = Constant({"order_ms": 40, "answer_ms": 25})
    emulator = await start(lockstep=True, start=START, latency=latency)
    raw = Held(emulator.rest, session)
    asked = asyncio.create_task(raw.create(action="BUY", type="LIMIT", price="1000000", amount="0.001"))
    found = await step(raw, START, requests=1)
    assert found["delivered"] == []
    assert not asked.done()
    found = await step(raw, START + NS_PER_S)
    assert found["now"] == START + 65 * NS_PER_MS
    assert [(d["kind"], d["request"], d["status"], d["at"]) for d in found["delivered"]] == [
        ("answer", 1, 200, START + 65 * NS_PER_MS)
    ]
    status, reply = await asked
    assert status == 200
    assert reply["timestamp"] == (START + 40 * NS_PER_MS) // NS_PER_MS


async def test_a_refusal_is_also_delivered(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(lockstep=True, start=START)
    raw = Held(emulator.rest, session)
    assert (await raw.create(action="BUY", type="LIMIT", price="x", amount="1"))[0] == 422
    found = await step(raw, START + NS_PER_S, requests=1)
    assert [(d["kind"], d["request"], d["status"]) for d in found["delivered"]] == [("answer", 1, 422)]


async def one_run(start: Any, session: Any) -> list[Any]:
    """Run a small market for two minutes with one order per step. Return the deliveries, and the frames that a socket
    received.
    """
    emulator = await start(lockstep=True, start=START, seed=3, switches=["rate_limits=off"])
    raw = Held(emulator.rest, session)
    told: list[Any] = []
    async with (
        session.ws_connect(raw.ws + "/v1/pub/trades/BTC_USDT") as trades,
        session.ws_connect(raw.ws + "/v1/pub/order-books/BTC_USDT:5") as books,
        session.ws_connect(raw.ws + "/v1/pub/auth/user-trades", headers=raw.nonce()) as fills,
    ):
        while emulator.sockets < 3:
            await asyncio.sleep(0.005)
        sent = 0
        sockets = {"trades": trades, "order_book": books, "user_trades": fills}

        async def take(found: Any) -> None:
            for item in found["delivered"]:
                if item["kind"] == "answer":
                    told.append((item["at"], item["request"], item["status"]))
                    continue
                frame = json.loads((await asyncio.wait_for(sockets[item["stream"]].receive(), 5)).data)
                assert frame["eventID"] == item["event_id"]
                told.append((item["at"], item["stream"], frame.get("data"), frame.get("bids")))

        while emulator.clock.now() < START + 20 * NS_PER_S:
            found = await step(raw, START + 20 * NS_PER_S)
            raw.now = found["now"]
            await take(found)
            if len(told) > 4 * sent and sent < 5:
                sent += 1
                asked = asyncio.create_task(raw.create("btc_usdt", action="BUY", type="MARKET", amount="100"))
                found = await step(raw, raw.now, requests=sent)
                assert found["delivered"][0]["kind"] == "answer"
                assert (await asked)[0] == 200
                await take(found)
    emulator.venue.kernel.check()
    return told


async def test_the_deliveries_of_two_runs_are_equal_and_in_chronological_order(start, session) -> None:  # type: ignore[no-untyped-def]
    first, second = await one_run(start, session), await one_run(start, session)
    assert first == second
    assert len(first) > 20
    times = [row[0] for row in first if isinstance(row, tuple) and isinstance(row[0], int) and row[0] > 1000]
    assert times == sorted(times)


async def test_a_complete_step_delivers_all_messages_in_chronological_order(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(lockstep=True, start=START)
    raw = Held(emulator.rest, session)
    async with (
        session.ws_connect(raw.ws + "/v1/pub/trades/BTC_USDT,USDT_TWD,BTC_TWD,ETH_TWD"),
        session.ws_connect(raw.ws + "/v1/pub/order-books/BTC_USDT,ETH_TWD"),
    ):
        while emulator.sockets < 2:
            await asyncio.sleep(0.005)
        await step(raw, START)
        found = await step(raw, START + 60 * NS_PER_S, whole=True)
    times = [(item["at"], item["stream"] == "trades") for item in found["delivered"]]
    assert len({item["pair"] for item in found["delivered"]}) == 4
    assert times == sorted(times)  # books come before trades with equal timestamps


async def test_a_single_long_step_also_delivers_messages_in_order(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(lockstep=True, start=START)
    for name in ("btc_usdt", "eth_twd"):
        emulator.venue.kernel.publish_books(emulator.venue.pairs[name], 5)
    told = emulator.venue.advance(START + 60 * NS_PER_S)
    order = [(delivery.at, delivery.kind, delivery.pair) for delivery in told]
    assert len(order) > 50
    assert order == sorted(order)


async def test_a_change_deep_in_the_book_is_sent_only_to_subscribers_of_that_depth(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(lockstep=True, start=START, switches=["book_cadence_ms=10"])
    raw = Held(emulator.rest, session)
    async with (
        session.ws_connect(raw.ws + "/v1/pub/order-books/BTC_USDT:20"),
        session.ws_connect(raw.ws + "/v1/pub/order-books/BTC_USDT:1"),
    ):
        while emulator.sockets < 2:
            await asyncio.sleep(0.005)
        raw.now = (await step(raw, START + 3 * NS_PER_S, whole=True))["now"]
        _, book = await raw.get("/order-book/btc_usdt", limit="10")
        order = raw.create("btc_usdt", action="BUY", type="LIMIT", price=book["bids"][5]["price"], amount="0.01")
        asked = asyncio.create_task(order)
        found = await step(raw, raw.now + 20 * NS_PER_MS, whole=True, requests=2)
        assert (await asked)[0] == 200
    assert [item["stream"] for item in found["delivered"] if item["kind"] == "frame"] == ["order_book"]


async def test_a_step_is_refused_while_the_clock_runs_and_resume_starts_a_held_clock(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    raw = Raw(emulator.rest, session)
    async with session.post(raw.control + "/step", json={"until": 1}) as answer:
        assert answer.status == 400
        assert "held clock" in await answer.text()
    async with session.post(raw.control + "/hold") as answer:
        held = json.loads(await answer.read())
    assert held["held"] is True
    assert emulator.clock.now() == held["now"]
    async with session.post(raw.control + "/resume", json={"speed": 50}) as answer:
        assert json.loads(await answer.read())["speed"] == 50
    await asyncio.sleep(0.05)
    assert emulator.clock.now() > held["now"] + NS_PER_S


async def test_a_step_whose_requests_never_arrive_raises_an_error(start) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(lockstep=True)
    with pytest.raises(TimeoutError):
        await emulator.step(emulator.clock.now(), requests=1, patience_s=0.05)
