"""Faults in listings: rows that are late, superfluous, out of order, of an unknown kind or missing, and every format
that the exchange has been observed to use.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from botkit.engine.orders import lookup_reads, resolution
from botkit.live import connecting, starting
from botkit.live.bot import Bot
from botkit.live.start_refused import StartRefused
from botkit.model.clock import NS_PER_S
from botkit.model.orders import OrderState, Side
from tests.live.books import compared, differences, exchange_rows
from tests.live.world import (
    World,
    cancel_by_hand,
    far_buy,
    kept,
    make_world,
    place_by_hand,
    puppet,
    settled,
    told,
    until,
)

pytestmark = pytest.mark.virtual_time


def blind(world: World) -> None:
    """Drop all stream events about orders and executions, so that only reads reveal them."""
    for where in ("active_orders", "order_history", "user_trades"):
        world.emulator.add_fault({"kind": "ws_drop", "where": where})


async def test_an_order_missing_from_early_listings_is_not_considered_absent(world: World) -> None:
    bot = await world.start()
    blind(world)
    lags = [
        world.emulator.add_fault({"kind": "lagging", "where": where, "value": 10**9})
        for where in ("all_orders", "open_orders")
    ]
    world.emulator.add_fault({"kind": "reset_after", "where": "create_order", "count": 1})
    order = far_buy(bot)
    await until(lambda: order.state is OrderState.UNKNOWN)
    # by then, it is too late for the exchange to execute the request, and all listings have been read twice
    await until(lambda: lags[1].fired >= 2, 40)
    assert order.state is OrderState.UNKNOWN  # the locked balance reveals that the order exists
    assert f"(client id {order.client_id})" in told(bot)
    assert "is unknown, and btc_usdt accepts no new orders until it is known" in told(bot)
    assert world.emulator.remove_faults(lags[0].id) == world.emulator.remove_faults(lags[1].id) == 1
    await until(lambda: order.state is OrderState.OPEN, 40)
    assert "is now known" in told(bot)
    await until(lambda: not differences(bot, world.emulator), 20)


@pytest.mark.parametrize("done", [True, False])
async def test_in_an_unfiltered_listing_each_order_is_matched_to_the_right_row_or_to_none(
    done: bool, world: World
) -> None:
    bot = await world.start()
    others = [far_buy(bot, 0.01) for _ in range(3)]  # these orders differ only in their client IDs
    for other in others:
        await settled(other)
    blind(world)
    ignoring = world.emulator.add_fault({"kind": "unfiltered", "where": "all_orders"})
    world.emulator.add_fault({"kind": "reset_after" if done else "reset", "where": "create_order", "count": 1})
    price = others[0].price
    order = puppet(bot).buy("btc_usdt", amount=0.01, price=price)
    bot.driver.wake()
    await until(lambda: "is now known" in told(bot), 40)
    assert ignoring.fired
    assert order.state is (OrderState.OPEN if done else OrderState.ABSENT)
    assert len({o.order_id for o in [*others, order]}) == 4
    assert len(exchange_rows(world.emulator)) == (4 if done else 3)
    await until(lambda: not differences(bot, world.emulator), 20)


@pytest.mark.parametrize("done", [True, False])
async def test_all_pages_are_read_regardless_of_row_order(
    done: bool, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (resolution, lookup_reads):
        monkeypatch.setattr(module, "LISTED_MAX", 4)
    bot = await world.start()
    blind(world)
    for kind in ("unfiltered", "shuffled"):
        world.emulator.add_fault({"kind": kind, "where": "all_orders"})
    not_yet = world.emulator.add_fault({"kind": "error_before", "where": "all_orders"})
    world.emulator.add_fault({"kind": "reset_after" if done else "reset", "where": "create_order", "count": 1})
    order = far_buy(bot, 0.01)
    await until(lambda: order.state is OrderState.UNKNOWN)
    # the order with the unknown outcome is listed several pages after later orders
    pair = world.emulator.venue.pairs["btc_usdt"]
    for number in range(1, 12):
        place_by_hand(world, pair, number)
        placed_at = world.emulator.clock.now()
        await until(lambda placed_at=placed_at: world.emulator.clock.now() > placed_at + NS_PER_S // 10)
    world.emulator.remove_faults(not_yet.id)
    listed = world.emulator.received
    await until(lambda: order.state is (OrderState.OPEN if done else OrderState.ABSENT), 60)
    assert world.emulator.received - listed >= 3
    assert sum(row.client_id == order.client_id for row in exchange_rows(world.emulator)) == done


UNREADABLE = {
    "status": ('"status":0', '"status":9', "has the unknown type 'LIMIT' or status 9"),
    "type": ('"type":"LIMIT"', '"type":"ICEBERG"', "has the unknown type 'ICEBERG' or status 0"),
}


@pytest.mark.parametrize("what", UNREADABLE)
async def test_a_pushed_frame_with_only_a_row_of_an_unknown_type_is_reported_and_triggers_a_comparison(
    what: str, world: World
) -> None:
    find, put, why = UNREADABLE[what]
    bot = await world.start()
    compared_at = bot.comparisons.ended
    struck = world.emulator.add_fault(
        {"kind": "ws_altered", "where": "active_orders", "find": find, "put": put, "count": 1}
    )
    async with kept(bot):
        order = far_buy(bot)
        await settled(order)
        await until(lambda: struck.fired)
        await until(lambda: "the stream active_orders sent data that cannot be read" in told(bot))
        assert why in told(bot)
        assert "it was skipped, and the bot is reconciled with the exchange. Check whether there is a" in told(bot)
        await until(lambda: bot.comparisons.ended > compared_at, 20)
    assert order.state is OrderState.OPEN
    assert not differences(bot, world.emulator)


#: the only sell in these tests is an order placed on the website, of a type that the API does not document
ICEBERG = {"find": '"action":"SELL","type":"LIMIT"', "put": '"action":"SELL","type":"ICEBERG"'}


async def test_a_pushed_row_of_an_unknown_type_is_skipped_and_the_other_rows_of_its_frame_are_used(
    world: World,
) -> None:
    bot = await world.start()
    order = far_buy(bot)
    await settled(order)
    place_by_hand(world, order.pair, 1, Side.SELL)
    await until(lambda: len(world.exchange_orders(open_only=True)) == 2)
    blind(world)
    drops = [fault.id for fault in world.emulator.faults.rules]
    for row in world.exchange_orders(open_only=True):
        cancel_by_hand(world, row)
    place_by_hand(world, order.pair, 2, Side.SELL)
    await until(lambda: [row.client_id for row in world.exchange_orders(open_only=True)] == [2])
    for drop in drops:
        world.emulator.remove_faults(drop)
    # the listing of the open orders is incomplete, so only this frame can show that our order was cancelled
    world.emulator.add_fault({"kind": "altered", "where": "open_orders", **ICEBERG})
    world.emulator.add_fault({"kind": "ws_altered", "where": "order_history", **ICEBERG})
    assert order.state is OrderState.OPEN
    async with kept(bot):
        world.emulator.cut_sockets()
        await until(lambda: order.state is OrderState.CANCELLED, 20)
        await until(lambda: "the stream order_history sent data that cannot be read" in told(bot), 20)
        assert "it was skipped, and the bot is reconciled with the exchange. Check whether there is a" in told(bot)


@pytest.mark.parametrize("done", [True, False])
async def test_a_listing_with_a_row_of_an_unknown_type_shows_our_orders_but_proves_none_absent(
    done: bool, world: World
) -> None:
    bot = await world.start()
    blind(world)
    world.emulator.add_fault({"kind": "unfiltered", "where": "all_orders"})
    altered = [
        world.emulator.add_fault({"kind": "altered", "where": where, **ICEBERG})
        for where in ("all_orders", "open_orders")
    ]
    pair = world.emulator.venue.pairs["btc_usdt"]
    place_by_hand(world, pair, 1, Side.SELL)
    world.emulator.add_fault({"kind": "reset_after" if done else "reset", "where": "create_order", "count": 1})
    order = far_buy(bot)
    if not done:
        # long after the time at which complete listings would have proved the order absent
        await until(lambda: altered[0].fired >= 8, 120)
        assert order.state is OrderState.UNKNOWN
        for fault in altered:
            world.emulator.remove_faults(fault.id)
    await until(lambda: order.state is (OrderState.OPEN if done else OrderState.ABSENT), 60)


@pytest.mark.parametrize("what", UNREADABLE)
async def test_a_listing_with_a_row_of_an_unknown_type_is_rejected_and_reported(what: str, world: World) -> None:
    find, put, why = UNREADABLE[what]
    bot = await world.start()
    order = far_buy(bot)
    await settled(order)
    for where in ("open_orders", "get_order"):
        world.emulator.add_fault({"kind": "altered", "where": where, "find": find, "put": put})
    bot.comparisons.at_once()
    await until(lambda: "the bot cannot be reconciled with the exchange: the open orders cannot" in told(bot), 20)
    assert why in told(bot)
    assert "relying on the streams alone until then" in told(bot)
    assert order.state is OrderState.OPEN
    world.emulator.remove_faults()
    await until(lambda: "the bot is reconciled with the exchange again" in told(bot), 20)
    assert not differences(bot, world.emulator)


async def test_an_unreadable_open_order_on_the_account_prevents_the_start_with_the_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "_CONNECT_S", 1.0)
    bot = await world.start()
    await settled(far_buy(bot))
    await world.crash(bot)
    find, put, why = UNREADABLE["type"]
    world.emulator.add_fault({"kind": "ws_altered", "where": "active_orders", "find": find, "put": put})
    with pytest.raises(StartRefused, match=why):
        await world.start()
    assert len(world.exchange_orders(open_only=True)) == 1


async def test_a_missing_balance_list_is_not_mistaken_for_zero_balances(world: World) -> None:
    bot = await world.start()
    account = dict(bot.view.money.account)
    world.emulator.add_fault({"kind": "altered", "where": "balance", "find": '"data":.*', "put": '"data":null}'})
    world.emulator.add_fault(
        {"kind": "ws_altered", "where": "account_balance", "find": '"data":.*', "put": '"data":null}'}
    )
    world.emulator.cut_sockets()
    await until(lambda: "the stream account_balance is back" in told(bot), 20)
    bot.comparisons.at_once()
    await until(
        lambda: "the account's balances cannot be fetched: balance: the answer lists no currency" in told(bot), 20
    )
    assert bot.view.money.account == account
    assert puppet(bot).balance("usdt").total == 100_000
    world.emulator.remove_faults()
    await until(lambda: "the bot is reconciled with the exchange again" in told(bot), 20)
    assert not differences(bot, world.emulator)


@pytest.mark.parametrize("kind", ["garbage", "truncated", "error_after"])
async def test_a_listing_that_returns_unusable_responses_is_retried_every_second(kind: str, tmp_path: Path) -> None:
    async with make_world(tmp_path, speed=1.0) as world:
        bot = await world.start()
        useless = world.emulator.add_fault({"kind": kind, "where": "open_orders", "count": 8})
        await compared(bot, 20)
        assert useless.fired == 8


async def test_unusable_read_responses_do_not_delay_the_next_start(tmp_path: Path) -> None:
    async with make_world(tmp_path, speed=1.0) as world:
        bot = await world.start()
        useless = world.emulator.add_fault({"kind": "garbage", "where": "open_orders", "count": 5})
        bot.comparisons.at_once()
        await until(lambda: useless.fired == 5, 20)
        await until(lambda: not bot.persistence.is_dirty)
        await world.crash(bot)
        again = asyncio.ensure_future(world.start())
        await until(again.done, 10)
        assert (await again).comparisons.first is not None


async def test_the_start_is_refused_if_the_balances_cannot_be_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "_SETTLE_S", 2.0)
    world.emulator.add_fault({"kind": "altered", "where": "balance", "find": '"data":.*', "put": '"data":null}'})
    with pytest.raises(StartRefused, match=r"lists no currency.*Nothing was traded; check the address and the net"):
        await world.start()


async def test_balances_older_than_a_fill_are_not_treated_as_a_discrepancy(world: World) -> None:
    bot = await world.start()
    await until(lambda: puppet(bot).book("btc_usdt").best_ask)
    compared_at = bot.comparisons.ended
    late = world.emulator.add_fault({"kind": "delay_answer", "where": "balance", "value": 20_000, "count": 1})
    bot.comparisons.at_once()
    await until(lambda: late.fired)
    # the balance response, which is already in flight, does not reflect this order
    order = puppet(bot).buy("btc_usdt", amount=0.01, price=puppet(bot).book("btc_usdt").best_ask + 10)
    bot.driver.wake()
    await until(lambda: order.state is OrderState.FILLED)
    await until(lambda: bot.comparisons.ended > compared_at, 20)
    assert dict(bot.view.money.unassigned).get("usdt", 0) == 0
    assert "outside this bot" not in told(bot)
    assert not differences(bot, world.emulator)


# -- other forms of the same ------------------------------------------------------------------------------------------

FORMS: dict[str, tuple[str, str]] = {
    "ids as numbers": (r'"(id|orderId|orderID|tradeId)":"(\d+)"', r'"\1":\2'),
    "ids as text": (r'"(id|orderId|orderID|tradeId)":(\d+)', r'"\1":"\2"'),
    "clientID everywhere": ('"clientId"', '"clientID"'),
    "clientId everywhere": ('"clientID"', '"clientId"'),
    "client ids as text": (r'"clientI(d|D)":(\d+)', r'"clientI\1":"\2"'),
    "seconds": (r'"(\w*[tT]imestamp)":("?)(\d{10})\d{3}\b', r'"\1":\2\3'),
    "milliseconds": (r'"(\w*[tT]imestamp)":("?)(\d{10})\b', r'"\1":\2\g<3>000'),
    "null lists": (r'"data":(\[\]|{})', '"data":null'),
}


@pytest.mark.parametrize("form", FORMS)
async def test_the_bots_records_are_correct_in_every_observed_wire_format(form: str, tmp_path: Path) -> None:
    find, put = FORMS[form]
    async with make_world(tmp_path) as world:
        # public trades are known to have timestamps in seconds; timestamps in milliseconds would be misread
        for where in ("create_order", "cancel_order", "get_order", "open_orders", "all_orders", "my_trades", "balance"):
            world.emulator.add_fault({"kind": "altered", "where": where, "find": find, "put": put})
        for where in ("active_orders", "order_history", "user_trades", "account_balance"):
            world.emulator.add_fault({"kind": "ws_altered", "where": where, "find": find, "put": put})
        bot = await world.start()
        await trade_in_every_way(world, bot)
        await world.crash(bot)
        again = await world.start()
        await until(lambda: not differences(again, world.emulator), 20)
        assert "cannot be read" not in told(bot) + told(again)


async def trade_in_every_way(world: World, bot: Bot) -> None:
    """Place an order that fills, an order that is cancelled, an order whose response is lost and an order that stays
    open, then run a comparison.
    """
    await until(lambda: puppet(bot).book("btc_usdt").best_ask)
    filled = puppet(bot).buy("btc_usdt", amount=0.01, price=puppet(bot).book("btc_usdt").best_ask + 10)
    cancelled = far_buy(bot, 0.02)
    await settled(filled)
    await settled(cancelled)
    puppet(bot).cancel(cancelled)
    bot.driver.wake()
    await until(lambda: filled.state is OrderState.FILLED and cancelled.state is OrderState.CANCELLED, 20)
    pushes = world.emulator.add_fault({"kind": "ws_drop", "where": "active_orders"})
    world.emulator.add_fault({"kind": "reset_after", "where": "create_order", "count": 1})
    lost = far_buy(bot, 0.03)
    await until(lambda: lost.state is OrderState.OPEN, 30)
    world.emulator.remove_faults(pushes.id)
    await compared(bot)
    await until(lambda: not differences(bot, world.emulator), 20)


SWITCHES: dict[str, dict[str, str]] = {
    "as observed": {"open_orders_seconds": "on", "whole_seconds": "on", "null_lists": "on", "active_final": "off"},
    "fees scaled, unknown orders 404": {"user_trade_fee_scaled": "on", "unknown_order": "404"},
    "unknown orders blank, bad requests 400": {"unknown_order": "blank", "bad_request": "400", "repeat_books": "on"},
}


@pytest.mark.parametrize("name", SWITCHES)
async def test_the_bots_records_are_correct_in_every_case_that_the_documentation_leaves_open(
    name: str, tmp_path: Path
) -> None:
    async with make_world(tmp_path, switches=SWITCHES[name]) as world:
        bot = await world.start()
        await trade_in_every_way(world, bot)
        await world.crash(bot)
        again: Any = await world.start()
        await until(lambda: not differences(again, world.emulator), 20)
