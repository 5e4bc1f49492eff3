"""Rate limits by endpoint, IP address and account: which requests are counted, and which counters are shared."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.emulator.raw import Raw

pytestmark = pytest.mark.virtual_time

ANN, BOB = "ann@x.y:ann-key:ann-secret", "bob@x.y:bob-key:bob-secret"


async def statuses(count: int, call) -> list[int]:  # type: ignore[no-untyped-def]
    return [(await call())[0] for _ in range(count)]


async def counters(raw: Raw):  # type: ignore[no-untyped-def]
    async with raw.session.get(raw.control + "/counters") as answer:
        return json.loads(await answer.read())


async def test_a_request_over_the_limit_receives_a_429_response(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(speed=0.01)  # at this speed, one second lasts a hundred seconds of real time
    raw = Raw(emulator.rest, session)
    found = await statuses(6, lambda: raw.get("/orders/open", private=True))
    assert found == [200] * 5 + [429]
    assert await raw.get("/orders/open", private=True) == (429, {"error": "Too Many Requests"})
    row = (await counters(raw))["endpoints"]["open_orders"]
    assert row == {"arrivals": 7, "refusals": 2, "busiest": 7}
    assert (await raw.get("/accounts/balance", private=True))[0] == 200  # this endpoint has a separate counter


async def test_refused_and_unsigned_requests_also_count_toward_the_limit(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(speed=0.01)
    raw = Raw(emulator.rest, session)
    assert await statuses(2, lambda: raw.call("PUT", "/orders", data=b"{}")) == [401, 401]
    assert (await raw.send("PUT", "/orders", {"BTC_TWD": []}))[0] == 429


async def test_the_two_endpoints_that_cancel_all_orders_share_a_counter(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(speed=0.01)
    raw = Raw(emulator.rest, session)
    assert (await raw.delete("/orders/all"))[0] == 200
    assert (await raw.delete("/orders/btc_twd"))[0] == 429


async def test_accounts_have_separate_counters_but_share_the_counter_of_their_ip_address(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(accounts=[ANN, BOB], speed=0.01)
    ann = Raw(emulator.rest, session, key="ann-key", secret="ann-secret")
    bob = Raw(emulator.rest, session, key="bob-key", secret="bob-secret")
    assert await statuses(5, lambda: ann.get("/orders/open", private=True)) == [200] * 5
    # both accounts are on one machine, so the counter for their shared IP address is full for both accounts
    assert (await bob.get("/orders/open", private=True))[0] == 429


async def test_the_rate_limit_window_slides_with_the_exchanges_own_clock(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(speed=200.0)
    raw = Raw(emulator.rest, session)
    for _ in range(3):
        assert (await raw.send("PUT", "/orders", {"BTC_TWD": []}))[0] == 200
        await asyncio.sleep(0.02)  # four seconds of exchange time


async def test_with_rate_limits_disabled_requests_are_only_counted(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(speed=0.01, switches=["rate_limits=off"])
    raw = Raw(emulator.rest, session)
    assert await statuses(9, lambda: raw.get("/orders/open", private=True)) == [200] * 9
    assert (await counters(raw))["endpoints"]["open_orders"]["arrivals"] == 9
