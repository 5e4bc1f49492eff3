"""Orders over the wire: rules, books, multiple accounts and limits, checked against the emulator's internal books."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.emulator.raw import Raw

pytestmark = pytest.mark.virtual_time

BUY = {"action": "BUY", "type": "LIMIT", "price": "5"}
ANN, BOB = "ann@x.y:ann-key:ann-secret", "bob@x.y:bob-key:bob-secret"


async def prices(raw: Raw, pair: str = "btc_twd") -> tuple[str, str]:
    _, book = await raw.get(f"/order-book/{pair}")
    return book["bids"][0]["price"], book["asks"][0]["price"]


async def test_orders_from_two_accounts_can_match(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(accounts=[ANN, BOB], balance="twd=1000000,btc=1")
    emulator.clock.hold()  # the market does not change, so no other order interferes
    emulator.clock.resume(0.000001)
    ann = Raw(emulator.rest, session, key="ann-key", secret="ann-secret")
    bob = Raw(emulator.rest, session, key="bob-key", secret="bob-secret")
    bid, ask = await prices(ann)
    between = str((int(bid) + int(ask)) // 2)
    _, resting = await ann.create(action="SELL", type="LIMIT", price=between, amount="0.01")
    _, book = await bob.get("/order-book/btc_twd", limit="1")
    assert book["asks"][0]["price"] == between
    _, taking = await bob.create(action="BUY", type="LIMIT", price=between, amount="0.01")
    _, sold = await ann.get(f"/orders/btc_twd/{resting['orderId']}", private=True)
    _, bought = await bob.get(f"/orders/btc_twd/{taking['orderId']}", private=True)
    assert sold["status"] == bought["status"] == 2
    _, of_ann = await ann.get("/orders/trades/btc_twd", private=True)
    _, of_bob = await bob.get("/orders/trades/btc_twd", private=True)
    assert of_ann["data"][0]["tradeId"] == of_bob["data"][0]["tradeId"]
    assert (of_ann["data"][0]["isTaker"], of_bob["data"][0]["isTaker"]) == (False, True)
    _, public = await ann.get("/trades/btc_twd")
    assert public["data"][0]["price"] == f"{between}.00000000"
    assert public["data"][0]["isBuyer"] is True
    status, refused = await bob.get(f"/orders/btc_twd/{resting['orderId']}", private=True)
    assert (status, refused) == (422, {"error": "Invalid order id."})
    emulator.venue.kernel.check()


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ({"action": "HOLD", "type": "LIMIT", "price": "1", "amount": "1"}, "Wrong parameter: action"),
        ({"action": "BUY", "type": "STOP", "price": "1", "amount": "1"}, "Unsupported order type"),
        ({"action": "BUY", "type": "LIMIT", "amount": "1"}, "Wrong parameter: price"),
        ({"action": "BUY", "type": "LIMIT", "price": "1.5", "amount": "1"}, "Invalid price 1.5, decimal limit is 0."),
        ({"action": "BUY", "type": "LIMIT", "price": "NaN", "amount": "1"}, "Invalid price NaN."),
        ({"action": "BUY", "type": "LIMIT", "price": "1e9", "amount": "1"}, "Invalid price 1e9."),
        ({"action": "BUY", "type": "LIMIT", "price": "1_0", "amount": "1"}, "Invalid price 1_0."),
        ({"action": "BUY", "type": "LIMIT", "price": "\u0661", "amount": "1"}, "Invalid price \u0661."),
        ({"action": "BUY", "type": "LIMIT", "price": "0", "amount": "1"}, "Invalid price 0."),
        ({**BUY, "amount": ""}, "Wrong parameter: amount"),
        ({**BUY, "amount": "0.00001"}, "Invalid amount 0.00001 less than min 0.0001."),
        ({"action": "BUY", "type": "MARKET", "amount": "1"}, "Invalid amount 1 less than min 190."),
        ({**BUY, "amount": "1", "timeInForce": "IOC"}, "Wrong parameter: timeInForce"),
        ({**BUY, "amount": "1", "clientId": 2**31}, "Wrong parameter: clientId"),
        ({**BUY, "amount": "1", "clientId": "x"}, "Invalid body"),
        ({**BUY, "type": "STOP_LIMIT", "amount": "1", "stopPrice": "4"}, "Wrong parameter: condition"),
        ({"action": "BUY", "type": "MARKET", "amount": "1000", "percentage": 5}, "Wrong parameter: percentage"),
    ],
)  # fmt: skip
async def test_refused_orders_receive_the_exchanges_error_messages(start, session, order, text) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    raw = Raw(emulator.rest, session)
    assert await raw.create(**order) == (422, {"error": text})
    assert (await raw.books())["accounts"]["emulator@botkit.local"]["orders"] == 0


async def test_enums_in_any_letter_case_unused_fields_and_unusual_paths_are_accepted(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    raw = Raw(emulator.rest, session)
    bid, _ = await prices(raw)
    low = str(int(bid) // 2)
    order = {"action": "buy", "type": "Limit", "price": low, "amount": "0.01", "timestamp": raw.now_ms()}
    unused = {"condition": "", "stopPrice": "", "clientId": 0, "pair": "btc_twd", "nonce": 1}
    for path in ("/orders/BTC_TWD", "//orders//btc_twd/"):
        status, reply = await raw.send("POST", path, order | unused)
        assert status == 200, reply
        assert reply["action"] == "BUY"
        assert "clientId" not in reply
    _, listed = await raw.get("//orders/open/", private=True, pair="BTC_TWD")
    assert len(listed["data"]) == 2
    status, _ = await raw.send("PUT", "/orders/", {"BTC_TWD": [listed["data"][0]["id"], listed["data"][1]["id"]]})
    assert status == 200
    assert (await raw.books())["accounts"]["emulator@botkit.local"]["open_orders"] == []


async def test_a_timestamp_far_from_the_clock_is_reported_as_a_conflict(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    raw = Raw(emulator.rest, session)
    order = {"action": "BUY", "type": "MARKET", "amount": "1000", "timestamp": raw.now_ms() - 3_600_000}
    assert await raw.send("POST", "/orders/btc_twd", order) == (409, {"error": "Conflict"})


async def test_a_percentage_order_sells_that_share_of_the_available_balance(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(balance="btc=0.5")
    raw = Raw(emulator.rest, session)
    status, reply = await raw.create(action="SELL", type="MARKET", amount="0", percentage=50)
    assert status == 200
    assert reply["amount"] == "0.25"


async def test_one_invalid_order_causes_its_batch_to_be_refused_unless_a_switch_allows_partial_batches(
    start, session
) -> None:  # type: ignore[no-untyped-def]
    for choice, taken in (("all_or_nothing", 0), ("best_effort", 2)):
        emulator = await start(switches=[f"batch={choice}"])
        raw = Raw(emulator.rest, session)
        bid, _ = await prices(raw)
        good = {"pair": "BTC_TWD", "action": "BUY", "type": "LIMIT", "price": str(int(bid) // 2), "amount": "0.01",
                "timestamp": raw.now_ms()}  # fmt: skip
        poor = good | {"price": bid, "amount": "1000"}
        odd = good | {"type": "STOP_LIMIT", "stopPrice": "1", "condition": "<="}
        status, reply = await raw.send(
            "POST", "/orders/batch", [good | {"clientId": 1}, poor, odd, good | {"clientId": 4}]
        )
        assert status == (200 if taken else 422), reply
        if taken:
            assert [row["clientId"] for row in reply["data"]] == [1, 4]
        assert (await raw.books())["accounts"]["emulator@botkit.local"]["orders"] == taken
        for wrong in ([], [good] * 11, {"data": [good]}):
            assert await raw.send("POST", "/orders/batch", wrong) == (422, {"error": "Invalid body"})


async def test_listings_can_be_filtered_and_paged(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    raw = Raw(emulator.rest, session)
    bid, _ = await prices(raw)
    ids = []
    for number in range(4):
        _, made = await raw.create(
            action="BUY", type="LIMIT", price=str(int(bid) // 2), amount="0.01", clientId=number % 2 + 1
        )
        ids.append(str(made["orderId"]))
        await asyncio.sleep(0.002)
    await raw.delete(f"/orders/btc_twd/{ids[0]}")
    await raw.create(action="BUY", type="MARKET", amount="1000")

    async def listed(**query: str) -> list[str]:
        status, reply = await raw.get("/orders/all/btc_twd", private=True, **query)
        assert status == 200, reply
        return [row["id"] for row in reply["data"]]

    newest_first = ids[::-1]
    assert (await listed())[1:] == newest_first
    assert await listed(statusKind="OPEN") == newest_first[:3]
    assert (
        await listed(statusKind="OPEN", ignoreTimeLimitEnable="True", startTimestamp="1", endTimestamp="2")
        == newest_first[:3]
    )
    assert await listed(statusKind="DONE", startTimestamp="1", endTimestamp="2") == []
    assert len(await listed(statusKind="DONE")) == 1  # status 2; a cancelled order is not "done"
    assert await listed(status="4") == [ids[0]]
    assert await listed(clientId="2") == [ids[3], ids[1]]
    assert await listed(orderId=ids[2], limit="2") == [ids[2], ids[1]]
    assert await listed(orderId="1") == []
    for name, value in (("limit", "1001"), ("limit", "x"), ("statusKind", "SOME"), ("status", "5"), ("clientId", "-1")):
        status, reply = await raw.get("/orders/all/btc_twd", private=True, **{name: value})
        assert (status, reply) == (422, {"error": f"Wrong parameter: {name}"})


async def test_switches_select_behavior_that_the_documentation_does_not_define(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(
        switches=["null_lists=on", "unknown_order=404", "open_orders_seconds=on", "bad_request=400", "whole_seconds=on",
                  "user_trade_fee_scaled=on", "amount_step=amount"]
    )  # fmt: skip
    raw = Raw(emulator.rest, session)
    assert await raw.get("/orders/open", private=True) == (200, {"data": None})
    assert await raw.get("/orders/btc_twd/1", private=True) == (404, {"message": "Invalid order id."})
    assert (await raw.delete("/orders/btc_twd/1"))[0] == 404
    assert (await raw.send("POST", "/orders/btc_twd", []))[0] == 400
    status, reply = await raw.create(action="SELL", type="LIMIT", price="9000000", amount="0.00015")
    assert (status, reply) == (422, {"error": "Invalid amount 0.00015, decimal limit is 4."})
    _, made = await raw.create(action="SELL", type="LIMIT", price="9000000", amount="0.001")
    assert made["timestamp"] % 1000 == 0
    _, listed = await raw.get("/orders/open", private=True)
    assert listed["data"][0]["createdTimestamp"] < 10**11
    async with session.ws_connect(raw.ws + "/v1/pub/auth/user-trades", headers=raw.nonce()) as socket:
        while emulator.sockets < 1:
            await asyncio.sleep(0.01)
        await raw.create(action="BUY", type="MARKET", amount="1000")
        frame = json.loads((await asyncio.wait_for(socket.receive(), 10)).data)
        _, trades = await raw.get("/orders/trades/btc_twd", private=True)
    fee = next(row["fee"] for row in trades["data"])
    assert frame["data"]["fee"] == str(round(float(fee) * 10**8))


async def test_an_unknown_order_is_returned_with_blank_fields_if_the_switch_is_set(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(switches=["unknown_order=blank"])
    assert await Raw(emulator.rest, session).get("/orders/btc_twd/1", private=True) == (200, {"id": ""})


async def test_a_withdrawal_debits_the_balance_and_passes_through_its_statuses(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(balance="usdt=100")
    raw = Raw(emulator.rest, session)
    emulator.clock.hold()
    raw.now_ms = lambda: emulator.clock.now() // 1_000_000  # type: ignore[method-assign]
    _, made = await raw.send("POST", "/wallet/withdraw/USDT", {"protocol": "trx", "address": "T1", "amount": "50"})
    for passed_s, status in ((0, "WAIT_PROCESS"), (3, "PROCESSING"), (10, "COMPLETE")):
        until = {"until": emulator.clock.now() + passed_s * 1_000_000_000, "whole": True}
        async with session.post(f"{raw.control}/step", json=until) as stepped:
            assert stepped.status == 200
        _, row = await raw.get(f"/wallet/withdraw/usdt/{made['data']['serial']}", private=True)
        assert row["data"]["status"] == status
    for body, text in (
        ({"address": "T1", "amount": "5"}, "Invalid amount 5, from 10 to 300000."),
        ({"address": "T1", "amount": "51"}, "Balance for USDT not enough, only has 50, but ordered 51."),
        ({"amount": "20"}, "Address not in whitelist."),
        ({"address": "T1", "amount": "20", "protocol": "MOON"}, "Wrong parameter: protocol"),
        ({"address": "T1", "amount": "x"}, "Invalid amount x."),
        ([], "Invalid body"),
    ):
        assert await raw.send("POST", "/wallet/withdraw/usdt", body) == (422, {"error": text})
    emulator.venue.kernel.check()


async def test_a_stop_order_is_triggered_when_the_market_reaches_its_trigger_price(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(balance="btc=1,twd=1000000")
    raw = Raw(emulator.rest, session)
    bid, ask = await prices(raw)
    _, stop = await raw.create(
        action="SELL", type="STOP_LIMIT", price=bid, stopPrice=str(int(bid) // 2), condition="<=", amount="0.01"
    )
    _, row = await raw.get(f"/orders/btc_twd/{stop['orderId']}", private=True)
    assert row["status"] == -1
    _, already = await raw.create(
        action="SELL", type="STOP_LIMIT", price=str(int(bid) // 2), stopPrice=str(int(ask) * 2), condition="<=",
        amount="0.01",
    )  # fmt: skip
    _, row = await raw.get(f"/orders/btc_twd/{already['orderId']}", private=True)
    assert row["status"] == 2
    assert row["id"].startswith("SL-")  # the ID keeps its prefix
