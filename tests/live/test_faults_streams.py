"""What may become of a stream: closed, cut, garbled, frames lost, doubled and out of order while orders fill."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from botkit.live.bot import Bot
from botkit.model.orders import OrderState
from tests.live.books import differences, exchange_rows
from tests.live.world import World, far_buy, puppet, settled, told, until

STREAMS: dict[str, list[dict[str, Any]]] = {
    "closed without a reason": [{"kind": "ws_close", "share": 0.05, "value": 1000}],
    "cut": [{"kind": "ws_abort", "share": 0.05}],
    "half a frame": [{"kind": "ws_garbage", "share": 0.05}],
    "frames doubled": [{"kind": "ws_duplicate", "share": 0.5}],
    "frames out of order": [{"kind": "ws_reorder", "share": 0.5}],
    "all of it": [
        {"kind": kind, "share": 0.03} for kind in ("ws_abort", "ws_garbage", "ws_duplicate", "ws_reorder", "ws_close")
    ],
}


async def trade_for_a_while(bot: Bot, rounds: int = 60) -> None:
    """Orders that rest, fill at once and are cancelled, as fast as they come."""
    strategy = puppet(bot)
    for i in range(rounds):
        book = strategy.book("btc_usdt")
        if book is not None and book.best_bid is not None and book.best_ask is not None:
            if i % 3 == 0:
                strategy.buy("btc_usdt", amount=0.002, price=book.best_ask + 5)
            elif i % 3 == 1:
                strategy.sell("btc_usdt", amount=0.002, price=book.best_bid - 5)
            else:
                strategy.buy("btc_usdt", amount=0.002, price=round(book.best_bid * 0.7))
        resting = strategy.open_orders()
        if len(resting) > 5:
            strategy.cancel(resting[0])
        bot.driver.wake()
        await asyncio.sleep(0.03)


@pytest.mark.parametrize("name", STREAMS)
async def test_fills_are_booked_once_and_nothing_is_lost_when_frames_are(name: str, world: World) -> None:
    bot = await world.start()
    struck = [world.emulator.add_fault(fault) for fault in STREAMS[name]]
    for _ in range(8):  # each strikes by chance, and how many frames there are depends on the machine
        await trade_for_a_while(bot)
        if all(fault.fired for fault in struck):
            break
    assert all(fault.fired for fault in struck), struck
    world.emulator.remove_faults()
    await bot.driver.wait(20)
    bot.compare()  # a frame that was held back may be the last one; the comparison of every minute finds what it lacked
    await until(lambda: not differences(bot, world.emulator), 30)
    rows = exchange_rows(world.emulator)
    assert sum(row.executed_lots > 0 for row in rows) > 10
    booked: dict[int, int] = {}
    for fill in bot.journal.fills():
        booked[fill.client_id] = booked.get(fill.client_id, 0) + fill.lots
    assert booked == {row.client_id: row.executed_lots for row in rows if row.executed_lots}
    assert bot.driver.fault is None
    if name in ("closed without a reason", "cut", "half a frame"):
        assert "was lost" in told(bot)
        assert "is back" in told(bot)


async def test_a_dropped_frame_of_a_fill_is_found_by_the_next_comparison(world: World) -> None:
    bot = await world.start()
    for where in ("active_orders", "user_trades", "account_balance"):
        world.emulator.add_fault({"kind": "ws_drop", "where": where})
    await until(lambda: puppet(bot).book("btc_usdt").best_ask)
    order = puppet(bot).buy("btc_usdt", amount=0.01, price=puppet(bot).book("btc_usdt").best_ask + 10)
    bot.driver.wake()
    await settled(order)
    assert order.state is OrderState.OPEN  # nobody has told of the fill
    await until(lambda: any(row.executed_lots for row in exchange_rows(world.emulator)))
    world.emulator.remove_faults()
    bot.compare()
    await until(lambda: order.state is OrderState.FILLED, 20)
    await until(lambda: not differences(bot, world.emulator), 20)
    assert len(bot.journal.fills()) >= 1
    await until(lambda: f"order {order.client_id} of btc_usdt was open and is filled" in told(bot))


async def test_the_fill_that_comes_before_the_answer_is_booked_once(world: World) -> None:
    bot = await world.start()
    world.emulator.add_fault({"kind": "delay_answer", "where": "create_order", "value": 10_000, "count": 1})
    await until(lambda: puppet(bot).book("btc_usdt").best_ask)
    order = puppet(bot).buy("btc_usdt", amount=0.01, price=puppet(bot).book("btc_usdt").best_ask + 10)
    bot.driver.wake()
    await until(lambda: order.state is OrderState.FILLED)
    await bot.driver.wait(15)
    assert sum(fill.lots for fill in bot.journal.fills()) == order.amount_lots
    await until(lambda: not differences(bot, world.emulator))


async def test_a_storm_of_cuts_is_met_with_ever_rarer_connections(world: World) -> None:
    bot = await world.start()
    storm = world.emulator.add_fault({"kind": "ws_abort"})
    order = far_buy(bot)
    await asyncio.sleep(3)
    # seven streams, each cut as soon as it speaks: without backoff there would be thousands
    assert 3 <= storm.fired < 150
    world.emulator.remove_faults()
    await until(lambda: order.state is OrderState.OPEN, 30)
    await until(lambda: not differences(bot, world.emulator), 30)
    assert bot.driver.fault is None
