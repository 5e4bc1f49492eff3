"""What the network and the exchange may do to an order's request and answer: no order is lost or doubled, and none is
sent a second time; its money is bound while its outcome is open and free afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from botkit.live.bot import Bot
from botkit.model.orders import OrderState
from tests.live.books import differences, exchange_rows
from tests.live.world import World, far_buy, puppet, settled, told, until

#: fault -> what the order comes to, how many orders the exchange has of it, and whether its outcome was ever in doubt
CREATES: dict[str, tuple[dict[str, Any], OrderState, int, bool]] = {
    "request lost": ({"kind": "lost_request"}, OrderState.ABSENT, 0, True),
    "answer lost": ({"kind": "lost_answer"}, OrderState.OPEN, 1, False),  # the push comes before the timeout
    "arrives late": ({"kind": "late_arrival", "value": 15_000}, OrderState.OPEN, 1, True),
    "503, not done": ({"kind": "error_before"}, OrderState.ABSENT, 0, True),
    "408, not done": ({"kind": "error_before", "value": 408}, OrderState.ABSENT, 0, True),
    "422, not done": ({"kind": "error_before", "value": 422}, OrderState.REJECTED, 0, False),
    "502, done": ({"kind": "error_after"}, OrderState.OPEN, 1, False),
    "422, done": ({"kind": "error_after", "value": 422}, OrderState.OPEN, 1, False),
    "HTML, done": ({"kind": "garbage"}, OrderState.OPEN, 1, False),
    "half a JSON, done": ({"kind": "truncated"}, OrderState.OPEN, 1, False),
    "dripping answer": ({"kind": "slow_body", "value": 200_000}, OrderState.OPEN, 1, False),
    "reset, not done": ({"kind": "reset"}, OrderState.ABSENT, 0, True),
    "reset, done": ({"kind": "reset_after"}, OrderState.OPEN, 1, False),
}


@pytest.mark.parametrize("name", CREATES)
async def test_a_create_is_neither_lost_nor_doubled_when(name: str, world: World) -> None:
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
        assert f"{order.client_id} buy" in told(bot)
        assert "is of unknown outcome; btc_usdt waits for it" in told(bot)
        assert "its outcome is known now" in told(bot)

    # the fault is over, and the next order meets none
    again = far_buy(bot, 0.02)
    await settled(again)
    assert again.state is OrderState.OPEN


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
async def test_a_cancelled_order_ends_and_its_money_is_free_when(name: str, world: World) -> None:
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


async def test_a_storm_of_429_delays_orders_and_loses_none(world: World) -> None:
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


async def test_a_suspended_pair_rejects_with_the_exchanges_words(world: World) -> None:
    bot = await world.start()
    world.emulator.add_fault({"kind": "maintenance", "where": "btc_usdt"})
    order = far_buy(bot)
    await until(lambda: order.is_final, 20)
    assert order.state is OrderState.REJECTED
    assert order.reason
    assert not exchange_rows(world.emulator)
    assert not differences(bot, world.emulator)


async def test_an_answer_with_another_orders_id_is_looked_up_and_not_believed(world: World) -> None:
    # through the listing alone: the answer is garbage, and no push comes
    world.emulator.add_fault({"kind": "ws_drop", "where": "active_orders"})
    world.emulator.add_fault({"kind": "garbage", "where": "create_order", "count": 1})
    bot = await world.start()
    order = far_buy(bot)
    await until(lambda: order.state is OrderState.UNKNOWN)
    other = far_buy(bot, 0.02)  # the pair waits
    await until(lambda: order.state is OrderState.OPEN, 20)
    assert other.state is not OrderState.OPEN or len(exchange_rows(world.emulator)) == 2
    await until(lambda: other.state is OrderState.OPEN or other.is_final, 20)
    await until(lambda: not differences(bot, world.emulator))
