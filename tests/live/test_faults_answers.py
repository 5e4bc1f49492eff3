"""Faults in an order's request or response. No order is lost, doubled or sent twice. An order's money is locked while
its outcome is unknown, and is freed afterward.
"""

from __future__ import annotations

from typing import Any

import pytest

from botkit.live.bot import Bot
from botkit.model.orders import OrderState
from tests.live.books import differences, exchange_rows
from tests.live.world import World, far_buy, kept, place_by_hand, puppet, settled, told, until

pytestmark = pytest.mark.virtual_time

#: for each fault: the order's final state, the number of copies of the order at the exchange, and whether its outcome
#: was unknown
CREATES: dict[str, tuple[dict[str, Any], OrderState, int, bool]] = {
    "request lost": ({"kind": "lost_request"}, OrderState.ABSENT, 0, True),
    "answer lost": ({"kind": "lost_answer"}, OrderState.OPEN, 1, False),  # the pushed report arrives before the timeout
    "arrives late": ({"kind": "late_arrival", "value": 15_000}, OrderState.OPEN, 1, True),
    "503, not done": ({"kind": "error_before"}, OrderState.ABSENT, 0, True),
    "408, not done": ({"kind": "error_before", "value": 408}, OrderState.ABSENT, 0, True),
    "422, not done": ({"kind": "error_before", "value": 422}, OrderState.REJECTED, 0, False),
    "502, done": ({"kind": "error_after"}, OrderState.OPEN, 1, False),
    "422, done": ({"kind": "error_after", "value": 422}, OrderState.OPEN, 1, False),
    "408, done": ({"kind": "error_after", "value": 408}, OrderState.OPEN, 1, False),
    "HTML, done": ({"kind": "garbage"}, OrderState.OPEN, 1, False),
    "half a JSON, done": ({"kind": "truncated"}, OrderState.OPEN, 1, False),
    "dripping answer": ({"kind": "slow_body", "value": 200_000}, OrderState.OPEN, 1, False),
    "reset, not done": ({"kind": "reset"}, OrderState.ABSENT, 0, True),
    "reset, done": ({"kind": "reset_after"}, OrderState.OPEN, 1, False),
}


@pytest.mark.parametrize("name", CREATES)
async def test_a_create_is_neither_lost_nor_doubled(name: str, world: World) -> None:
    fault, state, count, in_doubt = CREATES[name]
    bot = await world.start()
    free = puppet(bot).balance("usdt").exact.available
    struck = world.emulator.add_fault({**fault, "where": "create_order", "count": 1})
    order = far_buy(bot)
    assert puppet(bot).balance("usdt").exact.available < free
    await until(lambda: struck.fired == 1)
    await until(lambda: order.state is not OrderState.SENDING, 20)
    await settled_after(bot, order)
    assert order.state is state, order
    assert len(exchange_rows(world.emulator)) == count
    await until(lambda: not differences(bot, world.emulator))
    assert (puppet(bot).balance("usdt").exact.available == free) == order.is_final
    if in_doubt:
        assert f"(client id {order.client_id})" in told(bot)
        assert "is unknown, and btc_usdt accepts no new orders until it is known" in told(bot)
        assert "is now known" in told(bot)

    # the fault has been removed, so the next order is not affected
    again = far_buy(bot, 0.02)
    await settled(again)
    assert again.state is OrderState.OPEN


#: untrustworthy responses to a create that was executed, and the reason shown to the user
UNBELIEVED: dict[str, tuple[dict[str, Any], str]] = {
    "no answer": ({"kind": "reset_after"}, "Server disconnected"),
    "408": ({"kind": "error_after", "value": 408}, "(Bad Gateway)"),
    "502": ({"kind": "error_after", "value": 502}, "(Bad Gateway)"),
    "HTML": ({"kind": "garbage"}, "it starts with '<html>"),
    "half a JSON": ({"kind": "truncated"}, "Input data was truncated"),
    "null": ({"kind": "altered", "find": ".+", "put": "null"}, "Expected `object`, got `null`"),
    "NaN": ({"kind": "altered", "find": '"amount":"[^"]*"', "put": '"amount":"NaN"'}, "'NaN'"),
    "NaN without quotes": ({"kind": "altered", "find": '"amount":"[^"]*"', "put": '"amount":NaN'}, "is malformed"),
    "a key twice": ({"kind": "altered", "find": "^{", "put": '{"orderId":"7",'}, "'orderId' appears twice"),
    "no order id": ({"kind": "altered", "find": '"orderId":[^,]+', "put": '"orderId":""'}, "200 without an order id"),
    "another client id": ({"kind": "altered", "find": '"clientId":[^,}]+', "put": '"clientId":7'}, "for another order"),
    "another amount": ({"kind": "altered", "find": '"amount":"[^"]*"', "put": '"amount":"0.02"'}, "for another order"),
    "another price": ({"kind": "altered", "find": '"price":"[^"]*"', "put": '"price":"7"'}, "for another order"),
    "another side": ({"kind": "altered", "find": "BUY", "put": "SELL"}, "for another order"),
    "far too long": ({"kind": "huge", "value": 3}, "the answer has more than 2097152 bytes"),
}


@pytest.mark.parametrize("name", UNBELIEVED)
async def test_an_order_whose_response_cannot_be_trusted_is_looked_up(name: str, world: World) -> None:
    fault, why = UNBELIEVED[name]
    bot = await world.start()
    # the streams do not report the order either, so only a listing reveals it
    world.emulator.add_fault({"kind": "ws_drop", "where": "active_orders"})
    struck = world.emulator.add_fault({**fault, "where": "create_order", "count": 1})
    order = far_buy(bot)
    await until(lambda: struck.fired == 1)
    await until(lambda: "is now known" in told(bot), 30)
    assert order.state is OrderState.OPEN, order
    assert f"order {order.client_id}" not in told(bot)  # the order is reported neither as rejected nor as unsent
    assert why in told(bot)
    assert "is unknown, and btc_usdt accepts no new orders until it is known" in told(bot)
    assert "looked up until it is found or proved absent, and is never resent" in told(bot)
    assert len(exchange_rows(world.emulator)) == 1
    await until(lambda: not differences(bot, world.emulator), 20)


async def test_an_order_that_arrives_after_being_proved_absent_is_cancelled_and_triggers_an_alert(
    world: World,
) -> None:
    bot = await world.start()
    free = puppet(bot).balance("usdt").exact.available
    world.emulator.add_fault({"kind": "late_arrival", "where": "create_order", "value": 100_000, "count": 1})
    order = far_buy(bot)
    await until(lambda: order.state is OrderState.ABSENT, 30)
    assert exchange_rows(world.emulator) == []
    assert puppet(bot).balance("usdt").exact.available == free
    # the exchange does not document how late it may execute a request; this is later than the configured bound
    await until(lambda: exchange_rows(world.emulator), 30)
    await until(lambda: order.state is OrderState.CANCELLED, 30)
    assert "was assumed absent, but is live at the exchange, so it counts again and is cancelled" in told(bot)
    assert "acted on a request later than `live: {latest_accept_s}` allows; raise it" in told(bot)
    assert puppet(bot).balance("usdt").exact.available == free
    await until(lambda: not differences(bot, world.emulator), 20)


async def settled_after(bot: Bot, order: Any) -> None:
    open_ = (OrderState.QUEUED, OrderState.SENDING, OrderState.UNKNOWN)
    await until(lambda: order.state not in open_, 30)


CANCELS: dict[str, dict[str, Any]] = {
    "request lost": {"kind": "lost_request"},
    "answer lost": {"kind": "lost_answer"},
    "503, not done": {"kind": "error_before"},
    "502, done": {"kind": "error_after"},
    "404, though done": {"kind": "error_after", "value": 404},
    "HTML, done": {"kind": "garbage"},
    "reset, not done": {"kind": "reset"},
    "reset, done": {"kind": "reset_after"},
    "429": {"kind": "storm_429"},
}


@pytest.mark.parametrize("name", CANCELS)
async def test_a_cancelled_order_becomes_final_and_frees_its_money(name: str, world: World) -> None:
    bot = await world.start()
    free = puppet(bot).balance("usdt").exact.available
    order = far_buy(bot)
    await settled(order)
    struck = world.emulator.add_fault({**CANCELS[name], "where": "cancel_order", "count": 1})
    puppet(bot).cancel(order)
    bot.driver.wake()
    await until(lambda: struck.fired == 1)
    await until(lambda: order.is_final, 30)
    assert order.state is OrderState.CANCELLED
    assert puppet(bot).balance("usdt").exact.available == free
    assert not world.exchange_orders(open_only=True)
    await until(lambda: not differences(bot, world.emulator))


async def test_an_order_filled_while_its_cancel_is_lost_is_booked_as_filled(world: World) -> None:
    bot = await world.start()
    world.emulator.add_fault({"kind": "ws_drop", "where": "active_orders"})
    world.emulator.add_fault({"kind": "ws_drop", "where": "user_trades"})
    world.emulator.add_fault({"kind": "lost_request", "where": "cancel_order", "count": 1})
    await until(lambda: puppet(bot).book("btc_usdt").best_ask)
    order = puppet(bot).buy("btc_usdt", amount=0.01, price=puppet(bot).book("btc_usdt").best_ask + 10)
    bot.driver.wake()
    await settled(order)
    puppet(bot).cancel(order)
    bot.driver.wake()
    await until(lambda: order.is_final, 30)
    assert order.state is OrderState.FILLED
    await until(lambda: not differences(bot, world.emulator), 20)


async def test_a_storm_of_429s_delays_orders_but_loses_none(world: World) -> None:
    bot = await world.start()
    storm = world.emulator.add_fault({"kind": "storm_429", "where": "create_order", "for_s": 60})
    orders = [far_buy(bot, 0.001 * (1 + i)) for i in range(5)]
    await until(lambda: storm.fired > 0)
    await until(
        lambda: all(o.state not in (OrderState.QUEUED, OrderState.SENDING, OrderState.UNKNOWN) for o in orders), 40
    )
    refused = [o for o in orders if o.state is OrderState.REJECTED]
    assert all("429" in o.reason or "many" in o.reason.lower() for o in refused), [o.reason for o in refused]
    await until(lambda: not differences(bot, world.emulator))
    assert len(exchange_rows(world.emulator)) == len(orders) - len(refused)


async def test_an_order_for_a_suspended_pair_is_rejected_with_the_exchanges_message(world: World) -> None:
    bot = await world.start()
    world.emulator.add_fault({"kind": "maintenance", "where": "btc_usdt"})
    order = far_buy(bot)
    await until(lambda: order.is_final, 20)
    assert order.state is OrderState.REJECTED
    assert (
        f"order {order.client_id}, was rejected by the exchange: Trading pair btc_usdt is under maintenance; its"
        in told(bot)
    )
    assert not exchange_rows(world.emulator)
    assert not differences(bot, world.emulator)
    second = far_buy(bot)
    await until(lambda: second.is_final, 20)
    assert f"order {second.client_id}" not in told(bot)  # a second identical rejection sends no message
    world.emulator.remove_faults()
    await until(lambda: not far_buy(bot).is_refused, 90)  # the list of the pairs is read again within a minute
    await until(lambda: exchange_rows(world.emulator))


async def test_an_order_above_the_exchanges_open_order_cap_is_rejected_and_reported(world: World) -> None:
    bot = await world.start()
    pair = world.emulator.venue.pairs["btc_usdt"]
    cap = pair.rules.open_orders_max
    # the bot counts only its own orders, so another user of the account must use up the cap
    for i in range(cap):
        place_by_hand(world, pair, 1 + i)
    await until(lambda: len(world.exchange_orders(open_only=True)) == cap)
    order = far_buy(bot)
    await until(lambda: order.is_final, 20)
    assert order.state is OrderState.REJECTED
    assert f"was rejected by the exchange: Open orders of btc_usdt exceed the limit of {cap}" in told(bot)
    assert len(exchange_rows(world.emulator)) == cap
    assert not [text for text in differences(bot, world.emulator) if "lost" not in text and "alone" not in text]


async def test_an_order_with_an_unknown_outcome_blocks_new_orders_in_its_pair(world: World) -> None:
    # only the listing can show the order, because the response is garbage and the streams are silent
    world.emulator.add_fault({"kind": "ws_drop", "where": "active_orders"})
    world.emulator.add_fault({"kind": "garbage", "where": "create_order", "count": 1})
    bot = await world.start()
    order = far_buy(bot)
    await until(lambda: order.state is OrderState.UNKNOWN)
    other = far_buy(bot, 0.02)  # new orders in the pair must wait
    assert other.state is OrderState.REFUSED
    await until(lambda: order.state is OrderState.OPEN, 20)
    await until(lambda: not differences(bot, world.emulator))


async def test_cancels_are_still_sent_while_creates_receive_429(world: World) -> None:
    bot = await world.start()
    resting = [far_buy(bot, 0.001 * (1 + i)) for i in range(3)]
    for order in resting:
        await settled(order)
    async with kept(bot):
        storm = world.emulator.add_fault({"kind": "storm_429", "where": "create_order"})
        waiting = [far_buy(bot, 0.002 * (1 + i)) for i in range(5)]
        await until(lambda: storm.fired)
        for order in resting:
            puppet(bot).cancel(order)
        bot.driver.wake()
        await until(lambda: all(order.state is OrderState.CANCELLED for order in resting), 20)
        assert not any(order.state is OrderState.OPEN for order in waiting)
        await until(lambda: "429 at create_order: another program is using this account or IP address" in told(bot))
        world.emulator.remove_faults()
        await until(lambda: all(order.is_final or order.state is OrderState.OPEN for order in waiting), 60)
    assert len(exchange_rows(world.emulator)) == 3 + sum(order.state is OrderState.OPEN for order in waiting)
    await until(lambda: not differences(bot, world.emulator), 20)


async def test_cancels_that_receive_429_are_retried_until_they_succeed(world: World) -> None:
    bot = await world.start()
    resting = [far_buy(bot, 0.001 * (1 + i)) for i in range(3)]
    for order in resting:
        await settled(order)
    storm = world.emulator.add_fault({"kind": "storm_429", "for_s": 40})
    for order in resting:
        puppet(bot).cancel(order)
    bot.driver.wake()
    await until(lambda: storm.fired)
    await until(lambda: all(order.state is OrderState.CANCELLED for order in resting), 60)
    assert not world.exchange_orders(open_only=True)
    await until(lambda: not differences(bot, world.emulator), 20)
