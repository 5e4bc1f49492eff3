"""A grid whose lines were changed while its orders rested."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live.world import World, make_world, strategy_of, until

pytestmark = pytest.mark.virtual_time

ROOT = Path(__file__).resolve().parents[2]
CONFIG = f"""
name: world
plugins: [plugins, {ROOT}/strategies]
strategies:
  - name: p
    use: grid
    capital: {{usdt: "90000"}}
    params: {{pair: btc_usdt, low: 50000, high: 150000, cells: 10, amount: 0.02}}
emulator:
  balances: {{usdt: 100000, btc: 1}}
"""


async def test_a_restart_with_other_lines_cancels_the_old_orders_and_buys_no_coins_twice(tmp_path: Path) -> None:
    async with make_world(tmp_path, config=CONFIG) as world:
        bot = await world.start()
        await until(lambda: strategy_of(bot, "p").state.get("phase") == "running", 200)
        await bot.driver.wait(60)
        held = strategy_of(bot, "p").position("btc_usdt").amount
        assert held > 0.05
        before = {row.order_id for row in world.exchange_orders(open_only=True)}
        assert len(before) == 10
        await world.crash(bot)
        world.config.write_text(CONFIG.replace("cells: 10", "cells: 8"))
        again = await world.start()
        grid = strategy_of(again, "p")
        await until(lambda: grid.state.get("phase") == "running", 400)
        await until(lambda: not before & open_ids(world) and len(open_ids(world)) >= 7, 200)
        assert grid.position("btc_usdt").amount < held + 0.021, "at most a cell is filled meanwhile"
        assert [strategy.stopped_because for strategy in again.view.strategies()] == [""]


def open_ids(world: World) -> set[str]:
    return {row.order_id for row in world.exchange_orders(open_only=True)}
