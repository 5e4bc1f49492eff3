"""The exchange is not there, goes away, comes back, or lives by another clock."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from botkit.live.bot import StartRefused
from botkit.model.orders import OrderState
from tests.live.books import differences, exchange_rows
from tests.live.world import World, far_buy, make_world, puppet, settled, told, until


async def test_without_an_exchange_the_start_is_refused_and_says_so(world: World) -> None:
    parts = world.parts
    rest = world.emulator.rest

    def elsewhere(**options: Any) -> Any:
        world.emulator.rest = "http://127.0.0.1:9/v3"
        try:
            return parts(**options)
        finally:
            world.emulator.rest = rest

    world.parts = elsewhere  # type: ignore[method-assign]
    with pytest.raises(StartRefused, match="balances cannot be read"):
        await world.start()
    world.parts = parts  # type: ignore[method-assign]
    bot = await world.start()  # nothing of the refused start stands in the way
    assert bot.driver.started


async def test_a_wrong_key_is_refused_at_the_start(world: World) -> None:
    world.emulator.add_fault({"kind": "error_before", "where": "balance", "value": 401})
    with pytest.raises(StartRefused, match="balances cannot be read"):
        await world.start()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
async def test_an_order_to_an_exchange_that_is_gone_is_not_sent_and_its_money_is_free(world: World) -> None:
    bot = await world.start()
    free = puppet(bot).balance("usdt").exact.available
    await world.emulator.stop()
    order = far_buy(bot)
    await until(lambda: order.is_final or order.state is OrderState.UNKNOWN, 20)
    if order.state is OrderState.UNKNOWN:  # a connection was still thought to be open
        second = far_buy(bot, 0.02)
        await asyncio.sleep(1)
        assert second.state is not OrderState.OPEN
    else:
        assert order.state is OrderState.NOT_SENT
        assert puppet(bot).balance("usdt").exact.available == free
    await until(lambda: "was lost" in told(bot))
    assert bot.driver.fault is None
    gc.collect()  # connections that were taken in while the server ended


async def test_reads_that_fail_at_the_start_are_repeated_until_everything_is_explained(world: World) -> None:
    bot = await world.start()
    order = far_buy(bot)
    await settled(order)
    await world.crash(bot)
    for where in ("open_orders", "all_orders", "get_order"):
        world.emulator.add_fault({"kind": "error_before", "where": where, "count": 2})
    world.emulator.add_fault({"kind": "garbage", "where": "balance", "count": 1, "skip": 1})
    again = await world.start()
    assert [o.client_id for o in puppet(again).open_orders()] == [order.client_id]
    assert not differences(again, world.emulator)


async def test_every_request_slow_loses_nothing(world: World) -> None:
    bot = await world.start()
    world.emulator.add_fault({"kind": "delay_request", "value": 4_000, "jitter": 8_000})
    world.emulator.add_fault({"kind": "delay_answer", "value": 4_000, "jitter": 8_000})
    orders = [far_buy(bot, 0.001 * (i + 1)) for i in range(6)]
    for order in orders:
        await settled(order)
    for order in orders[:3]:
        puppet(bot).cancel(order)
    bot.driver.wake()
    await until(lambda: all(order.is_final for order in orders[:3]), 20)
    await until(lambda: not differences(bot, world.emulator), 20)
    assert len(exchange_rows(world.emulator)) == 6


async def test_a_clock_beyond_the_exchanges_window_sends_nothing_that_counts(tmp_path: Path) -> None:
    # at the machine's speed: an emulator that runs faster lets pass what fits the machine's clock
    async with make_world(tmp_path, speed=1.0) as world:
        await judge_a_clock_that_is_off(world)


async def judge_a_clock_that_is_off(world: World) -> None:
    bot = await world.start()
    world.emulator.add_fault({"kind": "clock_skew", "value": 3_600_000})
    order = far_buy(bot)
    await bot.driver.wait(2)
    assert not order.is_final  # refused, but that cannot be looked up before the clocks agree
    assert exchange_rows(world.emulator) == []
    skew = bot.parts.adapter.client.clock_skew_ms  # type: ignore[attr-defined]
    assert skew is not None
    assert abs(skew + 3_600_000) < 60_000
    world.emulator.remove_faults()
    await until(lambda: order.is_final, 30)
    assert order.state in (OrderState.REJECTED, OrderState.ABSENT)
    assert not exchange_rows(world.emulator)
    again = far_buy(bot)
    await settled(again)
    assert again.state is OrderState.OPEN
