"""Compares every response and frame with the exchange's own examples, using only json for parsing.

The client and the emulator share wire structs, so a test of one against the other proves nothing about the format.
Therefore these tests parse without any botkit code.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.emulator.raw import Raw, example, shape
from tests.exchange.recorded import TRADING_PAIRS

pytestmark = pytest.mark.virtual_time


def like(found: Any, wanted: Any, *, optional: tuple[str, ...] = (), path: str = "") -> None:
    """Check that names and types match. Names in ``optional`` may be missing on one side."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        here = {name for name in found if name not in optional}
        there = {name for name in wanted if name not in optional}
        assert here == there, f"{path}: {here} against {there}"
        for name in found.keys() & wanted.keys():
            like(found[name], wanted[name], optional=optional, path=f"{path}.{name}")
    elif isinstance(wanted, list) and isinstance(found, list):
        if wanted and found:
            like(found[0], wanted[0], optional=optional, path=f"{path}[0]")
    else:
        assert shape(found) == shape(wanted), f"{path}: {found!r} against {wanted!r}"


async def market(raw: Raw) -> tuple[int, int]:
    """Return the best bid and ask for btc_twd."""
    _, book = await raw.get("/order-book/btc_twd")
    return int(book["bids"][0]["price"]), int(book["asks"][0]["price"])


@pytest.mark.parametrize(
    ("path", "query", "name"),
    [
        ("/provisioning/trading-pairs", {}, "rest_trading_pairs"),
        ("/provisioning/currencies", {}, "rest_currencies"),
        ("/tickers", {}, "rest_tickers_all"),
        ("/tickers/btc_twd", {}, "rest_ticker_one"),
        ("/order-book/btc_twd", {}, "rest_order_book"),
        ("/order-book/BTC_TWD", {"scale": "3", "limit": "5"}, "rest_order_book_scale3"),
        ("/trades/btc_twd", {}, "rest_trades"),
        ("/price/otc/btc", {}, "rest_otc_price"),
    ],
)
async def test_public_responses_have_the_shape_of_the_exchanges_examples(start, session, path, query, name) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    status, found = await Raw(emulator.rest, session).get(path, **query)
    assert status == 200
    like(found, example(name))


async def test_the_fee_table_exactly_matches_that_of_the_exchange(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    _, found = await Raw(emulator.rest, session).get("/provisioning/limitations-and-fees")
    wanted = example("rest_limitations_and_fees")
    assert found["tradingFeeRate"] == wanted["tradingFeeRate"]
    assert list(found) == list(wanted)
    for name in wanted:
        rows = {row.get("currency"): row for row in found[name]}
        for row in wanted[name]:
            like(rows.get(row.get("currency"), found[name][0]), row, path=name)
    by_currency = {row["currency"]: row for row in found["restrictionsOfWithdrawalFees"]}
    assert by_currency["BTC"]["twdWithdrawMonthly"] is None
    assert by_currency["TWD"]["twdWithdrawMonthly"] == "5000000"


async def test_trading_pairs_exactly_match_those_of_the_exchange(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    _, found = await Raw(emulator.rest, session).get("/provisioning/trading-pairs")
    served = {row["pair"]: row for row in found["data"]}
    for row in json.loads(TRADING_PAIRS.read_text(encoding="utf-8"))["data"]:
        assert served[row["pair"]] | {"orderBookQuoteScaleLevel": ""} == row | {"orderBookQuoteScaleLevel": ""}


async def test_candle_queries_use_seconds_and_responses_use_milliseconds(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(history_days=0.5)
    raw = Raw(emulator.rest, session)
    now_s = raw.now_ms() // 1000
    query = {"resolution": "1h", "from": str(now_s - 8 * 3600), "to": str(now_s)}
    status, found = await raw.get("/trading-history/btc_twd", **query)
    assert status == 200
    like(found, example("rest_trading_history_1h"))
    stamps = [row["timestamp"] for row in found["data"]]
    assert stamps == sorted(stamps)
    assert len(stamps) >= 7
    assert all(stamp % 3_600_000 == 0 for stamp in stamps)
    assert stamps[-1] // 1000 >= now_s // 3600 * 3600 - 3600  # the unfinished candle appears after the first trade


async def test_responses_over_an_orders_life_cycle_match_the_exchanges_shapes(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    raw = Raw(emulator.rest, session)
    bid, ask = await market(raw)
    status, created = await raw.create(
        action="BUY", type="LIMIT", price=str(bid - 1000), amount="0.1", timeInForce="GTC", clientId=12345
    )
    assert status == 200
    like(created, example("rest_create_limit_response"))
    assert isinstance(created["orderId"], int)
    order_id = str(created["orderId"])
    _, one = await raw.get(f"/orders/btc_twd/{order_id}", private=True)
    like(one, example("rest_order_get_open"))
    _, listed = await raw.get("/orders/open", private=True)
    like(listed, example("rest_orders_open"), optional=("clientId",))
    _, cancelled = await raw.delete(f"/orders/btc_twd/{order_id}")
    like(cancelled, example("rest_cancel_order_response"))

    _, bought = await raw.create(action="BUY", type="MARKET", amount="10000", clientId=2147483647)
    like(bought, example("rest_create_market_buy_response"))
    assert bought["price"] == "0"
    assert bought["amount"] == "10000"
    _, sold = await raw.create(action="SELL", type="LIMIT", price=str(bid - 5000), amount="0.002")
    _, filled = await raw.get(f"/orders/btc_twd/{sold['orderId']}", private=True)
    like(filled, example("rest_order_get_filled"))
    _, trades = await raw.get("/orders/trades/btc_twd", private=True)
    like(trades, example("rest_my_trades"))
    # this applies to sells as well, which is a quirk of the exchange
    assert {row["feeSymbol"] for row in trades["data"]} == {"BTC"}

    _, stop = await raw.create(
        action="BUY", type="STOP_LIMIT", price=str(ask + 900_000), stopPrice=str(ask + 800_000), condition=">=",
        amount="0.1", clientId=777,
    )  # fmt: skip
    assert stop["orderId"].startswith("SL-")
    _, waiting = await raw.get(f"/orders/btc_twd/{stop['orderId']}", private=True)
    like(waiting, example("rest_order_get_stop_untriggered"))
    # far above the best ask, which may have moved in the meantime
    price = str(ask + 100_000)
    _, missed = await raw.create(action="BUY", type="LIMIT", price=price, amount="0.1", timeInForce="POST_ONLY")
    _, history = await raw.get("/orders/all/btc_twd", private=True)
    assert history["data"][0]["id"] == str(missed["orderId"])
    assert history["data"][0]["status"] == 6
    like(history, example("rest_orders_all"), optional=("clientId",))
    _, everything = await raw.delete("/orders/all")
    assert everything == {"data": {"BTC_TWD": [stop["orderId"]]}}
    _, nothing = await raw.delete("/orders/btc_twd")
    assert nothing == {"data": {}} or nothing == {
        "error": "Too Many Requests"
    }  # cancel-all is also limited to one request per second


async def test_batches_match_the_exchanges_shapes(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    raw = Raw(emulator.rest, session)
    bid, _ = await market(raw)
    orders = example("rest_batch_create_request")
    orders[0]["price"] = str(bid - 5000)
    for order in orders:
        order["timestamp"] = raw.now_ms()
    status, created = await raw.send("POST", "/orders/batch", orders)
    assert status == 200
    like(created, example("rest_batch_create_response"), optional=("clientId",))
    for row, wanted in zip(created["data"], example("rest_batch_create_response")["data"], strict=True):
        assert row["price"] in (wanted["price"], str(bid - 5000))
    ids = [str(created["data"][0]["orderId"])]
    status, cancelled = await raw.send("PUT", "/orders", {"BTC_TWD": [*ids, "1"], "ETH_TWD": ["2"]})
    assert (status, cancelled) == (200, {"data": {"BTC_TWD": ids}})


async def test_balances_and_transfers_match_the_exchanges_shapes(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(balance="usdt=100,btc=1,twd=100000")
    raw = Raw(emulator.rest, session)
    _, balances = await raw.get("/accounts/balance", private=True)
    like(balances, example("rest_balance"))
    assert {"currency": "usdt", "amount": "100", "available": "100", "stake": "0", "tradable": True} in balances["data"]
    _, deposits = await raw.get("/wallet/depositHistory/btc", private=True)
    like(deposits, example("rest_deposit_history"))
    status, made = await raw.send("POST", "/wallet/withdraw/usdt", example("rest_withdraw_create_request"))
    assert status == 200
    like(made, example("rest_withdraw_create_response"))
    assert made["data"]["total"] == "10"
    _, one = await raw.get(f"/wallet/withdraw/usdt/{made['data']['serial']}", private=True)
    like(one, example("rest_withdraw_get"))
    _, same = await raw.get(f"/wallet/withdraw/usdt/id/{made['data']['id']}", private=True)
    assert same == one
    _, history = await raw.get("/wallet/withdrawHistory/usdt", private=True)
    like(history, example("rest_withdraw_history"), optional=("message",))
    _, after = await raw.get("/accounts/balance", private=True)
    assert next(row for row in after["data"] if row["currency"] == "usdt")["available"] == "90"
    emulator.venue.kernel.check()


async def test_errors_use_the_exchanges_own_messages(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(balance="twd=100000")
    raw = Raw(emulator.rest, session)
    unsigned = await raw.call("GET", "/accounts/balance")
    found = [
        await raw.get("/order-book/nope_usdt"),
        await raw.get("/order-book/btc_twd", limit="100"),
        await raw.get("/order-book/btc_usdt", scale="9"),
        await raw.get("/price/otc/nope"),
        await raw.get("/nowhere"),
        unsigned,
        await raw.send("POST", "/orders/btc_twd", [1]),
        await raw.create(action="BUY", type="ICEBERG", amount="1", price="1"),
        await raw.get("/wallet/depositHistory/nope", private=True),
        await raw.create("eth_twd", action="SELL", type="LIMIT", price="100000", amount="0.0000000001"),
        await raw.create(action="BUY", type="LIMIT", price="-1", amount="1"),
        await raw.get("/trading-history/btc_twd", resolution="1h", to="1"),
        await raw.create("eth_twd", action="SELL", type="LIMIT", price="100000", amount="0.01"),
    ]
    known = {(row["status"], json.dumps(row["body"])) for row in example("errors")}
    # the example dates from 2022; in the latest sample (2026-03-18, TWD) the currency is uppercase
    known.add((422, json.dumps({"error": "Balance for ETH not enough, only has 0, but ordered 0.01."})))
    for status, body in found:
        assert (status, json.dumps(body)) in known, (status, body)
    async with session.get(emulator.rest + "/nowhere") as answer:
        assert (await answer.read()).endswith(b"\n")


async def frames(session: aiohttp.ClientSession, url: str, count: int, headers: Any = None) -> list[Any]:
    async with session.ws_connect(url, headers=headers) as socket:
        return [json.loads((await asyncio.wait_for(socket.receive(), 10)).data) for _ in range(count)]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/pub/order-books/BTC_TWD", "ws_order_book_first"),
        ("/v1/pub/tickers/BTC_TWD", "ws_ticker"),
        ("/v1/pub/trades/BTC_TWD", "ws_trades"),
    ],
)
async def test_public_frames_match_the_exchanges_shapes(start, session, path, name) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    (found,) = await frames(session, emulator.ws + path, 1)
    like(found, example(name), optional=("datetime",))
    # Taiwan time incorrectly marked with Z: eight hours ahead of the timestamp
    assert found["datetime"].endswith("Z")
    assert found["datetime"][11:13] == f"{(found['timestamp'] // 3_600_000 + 8) % 24:02d}"


async def test_the_first_book_frame_is_exact_and_later_book_frames_are_rounded(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(switches=["book_cadence_ms=20"])
    found = await frames(session, emulator.ws + "/v1/pub/order-books/BTC_USDT:1,ETH_TWD:20", 5)
    later = [frame for frame in found if frame["pair"] == "BTC_USDT"][1:]
    assert later
    like(later[0], example("ws_order_book_later"), optional=("datetime",))
    assert all(len(level["amount"].split(".")[1]) == 4 for level in later[0]["bids"])
    assert all(len(frame["bids"]) <= frame["limit"] == {"BTC_USDT": 1, "ETH_TWD": 20}[frame["pair"]] for frame in found)


async def test_private_frames_match_the_exchanges_shapes(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start()
    raw = Raw(emulator.rest, session)
    bid, _ = await market(raw)
    await raw.create(action="BUY", type="LIMIT", price=str(bid - 1000), amount="0.1", clientId=5)
    await raw.create(action="BUY", type="MARKET", amount="1000", clientId=6)
    found: dict[str, Any] = {}
    for path in ("/orders", "/orders/histories", "/account-balance"):
        (found[path],) = await frames(session, f"{raw.ws}/v1/pub/auth{path}", 1, raw.nonce())
    extra = ("clientID", "datetime")
    like(found["/orders"], example("ws_active_orders_snapshot"), optional=(*extra, "sol_usdt"))
    assert found["/orders"]["data"]["btc_twd"][0]["clientID"] == 5
    assert "clientId" not in found["/orders"]["data"]["btc_twd"][0]
    like(found["/orders/histories"], example("ws_history_orders_snapshot"), optional=(*extra, "sol_usdt"))
    wanted = example("ws_account_balance_snapshot")
    assert list(found["/account-balance"]) == list(wanted)
    like(found["/account-balance"]["data"]["BTC"], wanted["data"]["BTC"])

    async def listen(path: str, count: int) -> list[Any]:
        return await frames(session, f"{raw.ws}/v1/pub/auth{path}", count, raw.nonce())

    listeners = [asyncio.create_task(listen(path, n)) for path, n in (("/user-trades", 1), ("/account-balance", 2))]
    while emulator.sockets < 2:
        await asyncio.sleep(0.01)
    await raw.create(action="BUY", type="MARKET", amount="1000")
    (trade,), (_, update) = await asyncio.gather(*listeners)
    like(trade, example("ws_user_trade"), optional=("datetime",))
    assert set(update["data"]) == {"TWD", "BTC"}
    like(update["data"]["BTC"], example("ws_account_balance_update")["data"]["BTC"])
