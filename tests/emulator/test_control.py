"""The control interface is reachable only over loopback, and exposes no secrets."""

from __future__ import annotations

import json

import pytest

from tests.emulator.raw import Raw

pytestmark = pytest.mark.virtual_time


@pytest.mark.parametrize(
    "sent", [{"Host": "evil.example"}, {"Host": "127.0.0.1.evil.example:80"}, {"Origin": "http://x"}]
)
async def test_a_web_page_cannot_reach_the_control_interface(start, session, sent) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    control = emulator.rest.removesuffix("/v3") + "/_emulator"
    async with session.post(control + "/cut", headers=sent) as answer:
        assert answer.status == 403


async def test_the_state_shows_balances_but_no_secrets(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(accounts=["ann@x.y:canary-key:canary-secret"], balance="twd=1000")
    raw = Raw(emulator.rest, session, key="canary-key", secret="canary-secret")
    await raw.create(action="BUY", type="LIMIT", price="100000", amount="0.001")
    async with session.get(raw.control + "/state") as answer:
        text = await answer.text()
    assert "canary" not in text
    ann = json.loads(text)["accounts"]["ann@x.y"]
    assert ann["balances"]["twd"] == {"total": "1000", "available": "900"}
    assert ann["open_orders"][0]["price"] == "100000"
    assert "canary" not in repr(emulator.options)


async def test_deposits_are_credited_and_listed(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(balance="twd=1000")
    raw = Raw(emulator.rest, session)
    body = {"account": "emulator@botkit.local", "currency": "TWD", "amount": "500.5"}
    async with session.post(raw.control + "/deposit", json=body) as answer:
        assert answer.status == 200
    _, listed = await raw.get("/wallet/depositHistory/twd", private=True)
    assert [row["amount"] for row in listed["data"]] == ["500.50000000", "1000.00000000"]
    assert (await raw.books())["accounts"]["emulator@botkit.local"]["balances"]["twd"]["total"] == "1500.5"
    emulator.venue.kernel.check()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nowhere", None, 404),
        ("POST", "/faults", "[]", 400),
        ("POST", "/faults", "{", 400),
        ("POST", "/faults", '{"kind":"nope"}', 400),
        ("POST", "/step", '{"until":"x"}', 400),
        ("POST", "/resume", '{"speed":-1}', 400),
        ("POST", "/deposit", '{"account":"nobody","currency":"twd","amount":"1"}', 400),
        ("POST", "/deposit", '{"account":"emulator@botkit.local","currency":"twd","amount":"NaN"}', 400),
    ],
)
async def test_invalid_commands_are_refused(start, session, method, path, body, status) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    url = emulator.rest.removesuffix("/v3") + "/_emulator" + path
    async with session.request(method, url, data=body) as answer:
        assert answer.status == status
        assert "error" in json.loads(await answer.read())


async def test_the_cut_command_closes_every_socket(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    raw = Raw(emulator.rest, session)
    async with session.ws_connect(raw.ws + "/v1/pub/trades/BTC_TWD") as socket:
        await socket.receive()
        async with session.post(raw.control + "/cut") as answer:
            assert json.loads(await answer.read()) == {"cut": 1}
        await socket.receive()
        assert socket.close_code == 1006
