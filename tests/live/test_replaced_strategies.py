"""A name of the configuration that becomes another strategy (`use`): the state and the orders of the former one are not
the new one's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from botkit.live.bot import Bot
from botkit.live.journal import Journal
from botkit.live.start_refused import StartRefused
from botkit.live.starting import OrphanChoice
from botkit.model.orders import Order
from tests.live.world import CONFIG, STRATEGY, World, far_buy, make_world, puppet, settled, told, until

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A world whose plugins have two strategies, puppet and marionette."""
    async with make_world(tmp_path, config=CONFIG) as made:
        another = STRATEGY.replace("class Puppet", "class Marionette").replace(
            '"puppet", Puppet', '"marionette", Marionette'
        )
        (tmp_path / "plugins" / "marionette.py").write_text(another)
        yield made


def replace(world: World, old: str = "puppet", new: str = "marionette") -> None:
    world.config.write_text(world.config.read_text().replace(f"use: {old}", f"use: {new}"))


async def crashed_with_state(world: World, *, has_order: bool) -> Order | None:
    """Let the puppet keep a state, and perhaps place an order, before its bot crashes."""
    bot = await world.start()
    order = None
    puppet(bot).state["ladder"] = [1, 2, 3]
    if has_order:
        order = far_buy(bot)
        await settled(order)
    else:
        bot.persistence.keep_books()
        bot.driver.wake()
    await until(lambda: "ladder" in str(bot.journal.meta("strategy:p")))
    await world.crash(bot)
    return order


def state_of(bot: Bot) -> dict[str, object]:
    return dict(puppet(bot).state)


async def test_another_strategy_under_a_name_starts_without_the_former_ones_state_and_a_change_back_finds_it(
    world: World,
) -> None:
    await crashed_with_state(world, has_order=False)
    replace(world)
    bot = await world.start()
    assert state_of(bot) == {}
    warnings = [text for level, text in world.told if level == "warning" and "marionette" in text]
    assert len(warnings) == 1
    assert warnings[0].startswith("p is the strategy marionette now, but was puppet in the last run")
    puppet(bot).state["own"] = 1
    bot.persistence.keep_books()
    bot.driver.wake()
    await until(lambda: "own" in str(bot.journal.meta("strategy:p")))
    await world.crash(bot)

    bot = await world.start()
    assert state_of(bot) == {"own": 1}
    assert "but was" not in told(bot)
    await world.crash(bot)

    replace(world, "marionette", "puppet")
    bot = await world.start()
    assert state_of(bot) == {"ladder": [1, 2, 3]}
    await world.crash(bot)


async def test_a_start_is_refused_while_orders_of_the_former_strategy_rest_and_changes_nothing(world: World) -> None:
    order = await crashed_with_state(world, has_order=True)
    assert order is not None
    for _ in range(2):
        replace(world)
        with pytest.raises(StartRefused, match=r"1 open order .*p, which was puppet and is marionette"):
            await world.start()
    replace(world, "marionette", "puppet")
    bot = await world.start()
    assert state_of(bot) == {"ladder": [1, 2, 3]}
    assert [one.client_id for one in bot.view.open_orders()] == [order.client_id]
    await world.crash(bot)


@pytest.mark.parametrize(("choice", "left"), [("cancel", 0), ("adopt", 1)])
async def test_orders_of_the_former_strategy_are_cancelled_or_let_go_as_asked(
    world: World, choice: OrphanChoice, left: int
) -> None:
    await crashed_with_state(world, has_order=True)
    replace(world)
    bot = await world.start(orphans=choice)
    assert len(world.exchange_orders(open_only=True)) == left
    assert not list(bot.view.open_orders())
    assert "1 order of replaced strategies was" in told(bot)
    assert state_of(bot) == {}
    await world.crash(bot)


async def test_a_journal_that_does_not_know_which_strategy_wrote_a_state_gives_it_to_the_present_one(
    world: World,
) -> None:
    await crashed_with_state(world, has_order=True)
    journal = Journal.open(world.folder / "state" / "journal.sqlite")
    journal.put_meta({"uses": b"{}"})
    journal.close()
    replace(world)
    bot = await world.start()
    assert state_of(bot) == {"ladder": [1, 2, 3]}
    assert len(list(bot.view.open_orders())) == 1
    assert "but was" not in told(bot)
    await world.crash(bot)
