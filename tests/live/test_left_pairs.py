"""Pairs that a strategy has left because its parameters changed, but in which it still holds coins."""

from __future__ import annotations

from pathlib import Path

import pytest

from botkit.live.notices import Notices
from botkit.live.starting import start
from tests.live.world import CONFIG, far_buy, make_world, puppet, settled, until

pytestmark = pytest.mark.virtual_time

_CONFIG = CONFIG.replace("{pair: btc_usdt}", "{pair: btc_usdt}, capital: {usdt: '50000'}")


async def test_coins_in_a_pair_that_a_strategy_has_left_are_valued_at_the_present_price(tmp_path: Path) -> None:
    async with make_world(tmp_path, config=_CONFIG) as world:
        bot = await world.start()
        await until(lambda: puppet(bot).book("btc_usdt").best_ask)
        bought = puppet(bot).market_buy("btc_usdt", spend=5000)
        bot.driver.wake()
        await until(lambda: bought.is_final)
        await settled(far_buy(bot))
        await world.crash(bot)
        world.config.write_text(world.config.read_text().replace("pair: btc_usdt", "pair: eth_usdt"))
        again = await start(world.parts(), Notices())
        world.bots.append(again)
        before = again.view.money.equity()
        await again.driver.wait(1200)
        assert again.view.money.equity() != before
        await world.crash(again)
