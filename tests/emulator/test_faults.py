"""Each fault occurs at the configured point, for the configured count and duration, and has the effect described by its
name.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from botkit.emulator.faults import KINDS, Faults
from botkit.errors import ConfigError
from tests.emulator.raw import Raw, headers

pytestmark = pytest.mark.virtual_time

MAIN = "emulator@botkit.local"


async def orders(raw: Raw) -> int:
    return int((await raw.books())["accounts"][MAIN]["orders"])


async def create(raw: Raw, within_s: float = 5.0) -> Any:
    return await asyncio.wait_for(raw.create(action="BUY", type="LIMIT", price="1000000", amount="0.001"), within_s)


@pytest.mark.parametrize(
    ("fault", "outcome", "deeds"),
    [
        ({"kind": "lost_request"}, TimeoutError, 0),
        ({"kind": "lost_answer"}, TimeoutError, 1),
        ({"kind": "reset"}, aiohttp.ClientError, 0),
        ({"kind": "reset_after"}, aiohttp.ClientError, 1),
        ({"kind": "late_arrival", "value": 200}, aiohttp.ClientError, 1),
        ({"kind": "error_before"}, 503, 0),
        ({"kind": "error_before", "value": 408}, 408, 0),
        ({"kind": "error_after", "value": 500}, 500, 1),
        ({"kind": "storm_429"}, 429, 0),
        ({"kind": "garbage"}, json.JSONDecodeError, 1),
        ({"kind": "truncated"}, json.JSONDecodeError, 1),
        ({"kind": "delay_answer", "value": 100, "jitter": 50}, 200, 1),
        ({"kind": "delay_request", "value": 100}, 200, 1),
        ({"kind": "slow_body", "value": 50}, 200, 1),
        ({"kind": "redirect", "put": "/v3/elsewhere"}, 404, 0),
        ({"kind": "altered", "find": "^.*$", "put": "{}"}, 200, 1),
        ({"kind": "huge", "value": 0.1}, 200, 1),
    ],
)
async def test_each_request_fault_has_the_effect_described_by_its_name(start, session, fault, outcome, deeds) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    raw = Raw(emulator.rest, session)
    await raw.fault(**fault, where="create_order", count=1)
    began = asyncio.get_running_loop().time()
    if isinstance(outcome, int):
        status, _ = await create(raw)
        assert status == outcome
    else:
        with pytest.raises(outcome):
            await create(raw, 0.4)
    if fault["kind"].startswith("delay"):
        assert asyncio.get_running_loop().time() - began >= 0.1
    if fault["kind"] == "late_arrival":
        assert await orders(raw) == 0
        await asyncio.sleep(0.4)
    assert await orders(raw) == deeds
    status, _ = await create(raw)  # the fault occurs only once
    assert status == 200
    assert emulator.faults.fired == {fault["kind"]: 1}


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "ws_drop"}, ["snapshot", "second"]),
        ({"kind": "ws_duplicate"}, ["snapshot", "first", "first", "second"]),
        ({"kind": "ws_reorder"}, ["snapshot", "second", "first"]),
        ({"kind": "ws_garbage"}, ["snapshot", "broken", "second"]),
        ({"kind": "ws_silence"}, ["snapshot"]),
        ({"kind": "ws_close", "value": 1012}, ["snapshot", 1012]),
        ({"kind": "ws_abort"}, ["snapshot", 1006]),
        ({"kind": "ws_huge", "value": 0.1}, ["snapshot", "first", "second"]),
        ({"kind": "ws_altered", "find": "^.*$", "put": "{"}, ["snapshot", "broken", "second"]),
    ],
)
async def test_each_frame_fault_has_the_effect_described_by_its_name(start, session, fault, expected) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    raw = Raw(emulator.rest, session)
    found: list[Any] = []
    async with session.ws_connect(raw.ws + "/v1/pub/auth/orders", headers=raw.nonce()) as socket:
        await socket.receive()
        found.append("snapshot")
        await raw.fault(**fault, where="active_orders", count=1)
        ids = {}
        for name in ("first", "second"):
            _, made = await create(raw)
            ids[str(made["orderId"])] = name
        while True:
            try:
                message = await asyncio.wait_for(socket.receive(), 0.3)
            except TimeoutError:
                break
            if message.type is not aiohttp.WSMsgType.TEXT:
                found.append(message.data if message.type is aiohttp.WSMsgType.CLOSE else socket.close_code)
                break
            try:
                found.append(ids[json.loads(message.data)["data"]["btc_twd"][0]["id"]])
            except json.JSONDecodeError:
                found.append("broken")
    assert found == expected


async def test_an_upgrade_is_refused_with_the_configured_status(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    raw = Raw(emulator.rest, session)
    await raw.fault(kind="ws_refuse", where="trades", count=1, value=502)
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await session.ws_connect(raw.ws + "/v1/pub/trades/BTC_TWD")
    assert caught.value.status == 502
    async with session.ws_connect(raw.ws + "/v1/pub/trades/BTC_TWD") as socket:
        assert (await socket.receive()).type is aiohttp.WSMsgType.TEXT


async def test_an_upgrade_is_redirected_to_the_configured_address(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    raw = Raw(emulator.rest, session)
    await raw.fault(kind="ws_redirect", where="trades", put=f"http://127.0.0.1:{emulator.port}/nowhere")
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await session.ws_connect(raw.ws + "/v1/pub/trades/BTC_TWD")
    assert caught.value.history[0].status == 307


async def test_a_missing_pong_closes_the_socket(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(switches=["keepalive=observed"])
    raw = Raw(emulator.rest, session)
    async with session.ws_connect(raw.ws + "/v1/pub/auth/orders", headers=raw.nonce()) as socket:
        await socket.receive()
        await raw.fault(kind="ws_deaf", where="active_orders", count=1)
        assert (await socket.receive(timeout=20)).type is aiohttp.WSMsgType.CLOSED
    assert socket.close_code == 1006


async def test_a_listing_can_be_delayed_shuffled_or_unfiltered(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    raw = Raw(emulator.rest, session)
    for client_id in range(1, 9):
        await raw.create(action="BUY", type="LIMIT", price="1000000", amount="0.001", clientId=client_id)

    async def listed(**query: Any) -> list[int]:
        _, reply = await raw.get("/orders/all/btc_twd", private=True, **query)
        return [row["clientId"] for row in reply["data"]]

    in_order = await listed()
    assert await listed(clientId=3) == [3]
    await raw.fault(kind="unfiltered", where="all_orders", count=1)
    assert await listed(clientId=3) == in_order
    await raw.fault(kind="shuffled", where="all_orders", count=1)
    assert await listed() != in_order
    await raw.fault(kind="lagging", where="all_orders", count=1, value=60_000)
    assert await listed() == []
    assert await listed() == in_order


async def test_maintenance_suspends_one_pair_until_the_maintenance_ends(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    raw = Raw(emulator.rest, session)
    await raw.fault(kind="maintenance", where="btc_twd")
    status, reply = await create(raw)
    assert (status, reply) == (422, {"error": "Trading pair btc_twd is under maintenance."})
    _, pairs = await raw.get("/provisioning/trading-pairs")
    assert {row["pair"] for row in pairs["data"] if row["maintain"]} == {"btc_twd"}
    async with session.delete(raw.control + "/faults") as answer:
        assert json.loads(await answer.read()) == {"removed": 1}
    assert (await create(raw))[0] == 200


async def test_an_emulator_can_start_with_a_pair_in_maintenance(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(faults=({"kind": "maintenance", "where": "btc_twd", "for_s": 600},))
    raw = Raw(emulator.rest, session)
    _, pairs = await raw.get("/provisioning/trading-pairs")
    assert {row["pair"] for row in pairs["data"] if row["maintain"]} == {"btc_twd"}


async def test_maintenance_ends_by_itself_after_its_time(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    raw = Raw(emulator.rest, session)
    await raw.fault(kind="maintenance", where="btc_twd", for_s=3600)
    assert (await create(raw))[0] == 422
    emulator.faults.rules[0].until = emulator.clock.now()
    assert (await create(raw))[0] == 200
    _, pairs = await raw.get("/provisioning/trading-pairs")
    assert not any(row["maintain"] for row in pairs["data"])
    assert not emulator.faults.rules


async def test_a_skewed_clock_appears_in_the_date_header_and_causes_nonces_to_be_refused(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    raw = Raw(emulator.rest, session)
    await raw.fault(kind="clock_skew", value=-7_200_000)
    assert (await raw.get("/accounts/balance", private=True))[0] == 409
    assert (await create(raw))[0] == 409
    text = json.dumps({"nonce": raw.now_ms() - 7_200_000}).encode()
    assert (await raw.call("GET", "/accounts/balance", headers=headers(text)))[0] == 200


def test_random_fault_draws_depend_only_on_seed_and_request_number() -> None:
    def run(seed: int) -> list[bool]:
        faults = Faults(seed)
        faults.add({"kind": "reset", "share": 0.3}, 0)
        faults.add({"kind": "garbage", "share": 0.5, "where": "trades"}, 0)
        return [any(f.kind == "reset" for f in faults.strike("create_order", KINDS, 0)) for _ in range(2000)]

    assert run(1) == run(1) != run(2)
    assert 480 < sum(run(1)) < 720


def test_a_fault_respects_its_skip_count_and_duration() -> None:
    faults = Faults(0)
    fault = faults.add({"kind": "reset", "skip": 2, "count": 2, "for_s": 10}, 5)
    struck = [bool(faults.strike("trades", KINDS, 0)) for _ in range(6)]
    assert struck == [False, False, True, True, False, False]
    fault.count = None
    assert faults.strike("trades", KINDS, 5 + 10**10 - 1)
    assert not faults.strike("trades", KINDS, 5 + 10**10)


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"kind": "lost_anser"}, "lost_answer"),
        ({"kind": "reset", "where": "nowhere"}, "nowhere"),
        ({"kind": "ws_drop", "where": "create_order"}, "create_order"),
        ({"kind": "reset", "share": 2}, "share"),
        ({"kind": "reset", "often": 2}, "often"),
        ({}, "kind"),
        ({"kind": "altered", "find": "a"}, "needs put"),
        ({"kind": "ws_altered", "find": "(a", "put": "b"}, "do not work together"),
        ({"kind": "ws_redirect"}, "needs put"),
        ({"kind": "lagging"}, "needs value"),
    ],
)
def test_an_invalid_fault_is_refused(spec: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Faults(0).add(spec, 0)


@pytest.mark.parametrize(
    "find",
    [
        "(a+)+$",
        "(?:a|a)*b",
        r"(\w*\s?){1,50}!",
        "(a{0,20}){0,20}b",
        ".*.*x",
        "[^]]*[^]]+x",
        r"(.*)\1",
        "(?P<n>.+)(?P=n)",
        f"(?x)[#[]\n{'(a+)+'}$#]",
        "a?" * 20 + "a" * 20,
        "a{0,99}b{0,99}c{0,99}d",
    ],
)
def test_a_pattern_with_catastrophic_backtracking_is_refused(find: str) -> None:
    with pytest.raises(ConfigError, match="find"):
        Faults(0).add({"kind": "altered", "find": find, "put": ""}, 0)


@pytest.mark.parametrize(
    "find",
    [
        '"amount":"[^"]*"',
        '"data":.*',
        "^{",
        "(?i)buy|sell",
        r'"(\w*[tT]imestamp)":("?)(\d{10})\d{3}\b',
        r'("price"):"(\d{1,9})(?:\.\d+)?"',
        r"[\]*+]{2,5}x",
        r"\(\+\*\)",
        "a{}",
    ],
)
def test_an_ordinary_pattern_is_accepted(find: str) -> None:
    assert Faults(0).add({"kind": "ws_altered", "find": find, "put": ""}, 0).find == find
