"""A trailing stop keeps the peak price across a restart."""

from __future__ import annotations

import json

import pytest

from botkit.live.bot import Bot
from botkit.live.journal import Journal
from tests.live.world import World, puppet, told, until

pytestmark = pytest.mark.virtual_time


async def crashed_with_a_protected_position(world: World) -> Bot:
    bot = await world.start()
    puppet(bot).protect("btc_usdt", trail_pct=50)
    bought = puppet(bot).market_buy("btc_usdt", spend=100)
    bot.driver.wake()
    await until(lambda: bought.is_final and "btc_usdt" in bot.view.kept("p")["best"])
    bot.comparisons.at_once()  # a comparison causes a commit, which saves the peak
    await until(lambda: json.loads(bot.journal.meta("strategy:p") or "{}").get("best"))
    assert "in the last run" not in told(bot)
    await world.crash(bot)
    return bot


async def test_after_a_restart_a_trailing_stop_still_uses_the_earlier_peak(world: World) -> None:
    bot = await crashed_with_a_protected_position(world)
    journal = Journal.open(bot.parts.folder.journal)
    kept = json.loads(journal.meta("strategy:p") or "")
    kept["best"]["btc_usdt"] *= 1.5  # pretend that the price has been at this peak and has since fallen by a third
    journal.put_meta({"strategy:p": json.dumps(kept)})
    journal.close()

    again = await world.start()
    puppet(again).protect("btc_usdt", trail_pct=20)
    again.driver.wake()
    await until(lambda: puppet(again).position("btc_usdt").is_flat)
    sold = [row for row in world.exchange_orders() if row.side.value == "sell"]
    assert len(sold) == 1
    await until(lambda: not again.view.kept("p")["best"])  # the next position gets a new peak


async def test_a_position_unprotected_after_a_restart_is_reported_and_its_peak_is_dropped_when_it_closes(
    world: World,
) -> None:
    await crashed_with_a_protected_position(world)
    again = await world.start()
    assert "p holds btc_usdt, which it protected in the last run" in told(again)
    assert "it has set no new one: call self.protect in on_start" in told(again)
    puppet(again).close("btc_usdt")
    again.driver.wake()
    await until(lambda: puppet(again).position("btc_usdt").is_flat)
    # otherwise, a trailing stop of the next position would start from this peak
    assert not again.view.kept("p")["best"]
