"""Every fill is reported to its strategy exactly once, even if the bot dies between booking and reporting it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from botkit.live.bot import Bot
from botkit.live.journal import Journal
from botkit.model.orders import Order, OrderState
from tests.live.world import STRATEGY, World, make_world, puppet, until

pytestmark = pytest.mark.virtual_time

COUNTS = """
    def on_fill(self, fill):
        told = self.state.setdefault("told", {})
        key = str(fill.order.client_id)
        told[key] = [*told.get(key, []), [fill.lots, fill.executed_lots, fill.fee_units, fill.is_maker]]

@hookimpl
"""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with make_world(tmp_path, speed=1.0) as found:
        (tmp_path / "plugins" / "puppet.py").write_text(STRATEGY.replace("\n@hookimpl\n", COUNTS))
        yield found


async def taken(world: World, bot: Bot) -> Order:
    """Place a buy that fills immediately. The streams do not report its new state, so the strategy is not notified of
    the fill for a second.
    """
    for stream in ("active_orders", "order_history"):
        world.emulator.add_fault({"kind": "ws_drop", "where": stream})
    await until(lambda: puppet(bot).book("btc_usdt").best_ask)
    order: Order = puppet(bot).buy("btc_usdt", amount=0.01, price=puppet(bot).book("btc_usdt").best_ask + 10)
    bot.driver.wake()
    await until(lambda: order.executed_lots)
    assert order.state is OrderState.OPEN
    assert "told" not in puppet(bot).state
    return order


async def test_a_fill_that_was_booked_but_not_reported_before_a_crash_is_reported_at_the_next_start(
    world: World,
) -> None:
    bot = await world.start()
    order = await taken(world, bot)
    bot.driver.wake()
    await until(lambda: not bot.persistence.is_dirty)
    booked = bot.journal.fills()
    await world.crash(bot)
    world.emulator.remove_faults()

    again = await world.start()
    expected = [[fill.lots, fill.executed_lots, fill.fee_units, fill.is_maker] for fill in booked]
    assert expected
    assert puppet(again).state["told"] == {str(order.client_id): expected}

    # this order causes a commit, which includes the record of reported fills
    puppet(again).buy("btc_usdt", amount=0.01, price=1_000)
    again.driver.wake()
    await until(lambda: not again.persistence.is_dirty)
    await world.crash(again)
    third = await world.start()
    assert puppet(third).state["told"] == {str(order.client_id): expected}


async def test_a_fill_found_at_startup_is_reported_even_if_that_startup_never_completes(world: World) -> None:
    bot = await world.start()
    order = await taken(world, bot)
    bot.driver.fault = RuntimeError("crashed by the test")  # crash before the fill is journaled
    await bot.driver.close()
    await bot.close()
    world.emulator.remove_faults()

    world.emulator.add_fault({"kind": "lost_request", "where": "trading_history"})
    starting = asyncio.ensure_future(world.start())
    await asyncio.sleep(3)  # by now, the bot is reconciled and is waiting for candles
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    journal = Journal.open(world.folder / "state" / "journal.sqlite", read_only=True)
    assert [fill.client_id for fill in journal.fills()] == [order.client_id]
    journal.close()
    world.emulator.remove_faults()

    again = await world.start()
    assert sum(lots for lots, *_ in puppet(again).state["told"][str(order.client_id)]) == order.executed_lots
