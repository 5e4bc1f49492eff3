"""After a restart, orders that an earlier run placed for a quote are part of the quote again, so no order is placed
twice.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from botkit.live.bot import Bot
from botkit.live.journal import Journal
from botkit.live.journal_tables import SEALED
from botkit.model.orders import OrderState
from tests.live.world import World, puppet, until

pytestmark = pytest.mark.virtual_time


def state(bot: Bot, bids: Any, tag: str = "") -> None:
    puppet(bot).quote("btc_usdt", bids=bids, asks=[], tag=tag)
    bot.driver.wake()


def resting(world: World) -> list[tuple[int, int]]:
    return sorted((row.price_ticks, row.client_id) for row in world.exchange_orders(open_only=True))


async def quoted(world: World, bids: Any) -> Bot:
    bot = await world.start()
    state(bot, bids)
    await until(lambda: [o.state for o in puppet(bot).open_orders()] == [OrderState.OPEN] * len(bids))
    return bot


async def test_setting_an_identical_quote_after_a_crash_keeps_the_resting_orders(world: World) -> None:
    bids = [(20_000, 0.01), (19_000, 0.02)]
    bot = await quoted(world, bids)
    before = resting(world)
    await world.crash(bot)

    again = await world.start()
    state(again, bids)
    await again.driver.wait(20)
    assert resting(world) == before
    assert len(world.exchange_orders()) == 2  # no order has been placed or cancelled


async def test_a_different_quote_after_a_crash_replaces_the_resting_orders(world: World) -> None:
    bot = await quoted(world, [(20_000, 0.01), (19_000, 0.02)])
    await world.crash(bot)

    again = await world.start()
    state(again, [(19_000, 0.02), (18_000, 0.03)])
    rules = puppet(again).rules("btc_usdt")
    wanted = [rules.ticks(18_000, up=False), rules.ticks(19_000, up=False)]
    await until(lambda: [ticks for ticks, _ in resting(world)] == wanted)
    assert len(world.exchange_orders()) == 3


async def test_a_quote_does_not_change_an_ordinary_order_with_its_tag(world: World) -> None:
    bot = await world.start()
    own = puppet(bot).buy("btc_usdt", amount=0.01, price=15_000, post_only=True)
    bot.driver.wake()
    await until(lambda: own.state is OrderState.OPEN)
    await world.crash(bot)

    again = await world.start()
    state(again, [(20_000, 0.01)])
    await until(lambda: len(resting(world)) == 2)
    assert own.client_id in [client_id for _, client_id in resting(world)]


async def test_a_quote_with_an_order_whose_outcome_is_unknown_places_no_second_order(world: World) -> None:
    world.emulator.add_fault({"kind": "lost_answer", "where": "create_order", "count": 1})
    bot = await world.start()
    state(bot, [(20_000, 0.01)])
    await until(lambda: world.exchange_orders())
    await world.crash(bot)

    again = await world.start()
    state(again, [(20_000, 0.01)])
    await until(lambda: [o.state for o in puppet(again).open_orders()] == [OrderState.OPEN])
    await again.driver.wait(20)
    assert len(world.exchange_orders()) == 1


def test_a_journal_with_the_first_schema_version_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    Journal.open(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("ALTER TABLE orders DROP COLUMN is_quote")
        for table in SEALED:
            db.execute(f"ALTER TABLE {table} DROP COLUMN crc")
        db.execute("PRAGMA user_version=1")
    db.close()
    journal = Journal.open(path)
    assert journal.order_rows() == []
    journal.close()
