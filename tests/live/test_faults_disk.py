"""A journal on a full or failing disk, torn, damaged, deleted or put back from a copy."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from botkit.live.journal_rows import JournalError
from botkit.model.orders import OrderState
from tests.live.books import differences, exchange_rows
from tests.live.world import World, far_buy, puppet, settled, told, until


def journal_files(world: World) -> list[Path]:
    return sorted((world.folder / "state").glob("journal.sqlite*"))


async def test_on_a_full_disk_nothing_new_is_sent_cancels_go_on_and_it_recovers(world: World) -> None:
    bot = await world.start()
    resting = far_buy(bot)
    await settled(resting)
    db = bot.journal._db
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count={pages}")
    for i in range(200):  # until what is free within the pages is used up, too
        order = far_buy(bot, 0.001)
        await until(lambda order=order: order.state not in (OrderState.QUEUED, OrderState.SENDING))
        if order.state is OrderState.NOT_SENT:
            break
        assert i < 199
    assert "not sent: the journal" in order.reason
    assert "full" in order.reason
    count = len(exchange_rows(world.emulator))
    puppet(bot).cancel(resting)
    bot.driver.wake()
    await until(lambda: resting.state is OrderState.CANCELLED)

    db.execute("PRAGMA max_page_count=1073741823")
    await until(lambda: bot.driver.journal_fault is None, 20)
    again = far_buy(bot)
    await settled(again)
    assert again.state is OrderState.OPEN
    assert len(exchange_rows(world.emulator)) == count + 1
    await until(lambda: not differences(bot, world.emulator))


async def test_a_damaged_journal_refuses_the_start_and_says_what_to_do(world: World) -> None:
    bot = await world.start()
    await settled(far_buy(bot))
    await world.crash(bot)
    path = world.folder / "state" / "journal.sqlite"
    for other in journal_files(world)[1:]:
        other.unlink()
    content = bytearray(path.read_bytes())
    content[100:4000] = b"\xa5" * 3900
    path.write_bytes(content)
    with pytest.raises(JournalError, match=r"is damaged .*Move it away to start anew.*look at your open orders first"):
        await world.start()
    assert len(world.exchange_orders(open_only=True)) == 1  # nothing was touched


async def test_a_torn_end_of_the_write_ahead_log_costs_no_order(world: World) -> None:
    bot = await world.start()
    orders = [far_buy(bot, 0.001 * (i + 1)) for i in range(5)]
    for order in orders:
        await settled(order)
    # the crash comes while the log is being written: half a page too much
    wal = world.folder / "state" / "journal.sqlite-wal"
    copy = wal.read_bytes()
    main = (world.folder / "state" / "journal.sqlite").read_bytes()
    await world.crash(bot)
    (world.folder / "state" / "journal.sqlite").write_bytes(main)
    wal.write_bytes(copy + b"\x17" * 2000)
    again = await world.start()
    assert {o.client_id for o in puppet(again).open_orders()} == {o.client_id for o in orders}
    await until(lambda: not differences(again, world.emulator))


async def test_a_deleted_journal_makes_its_orders_foreign_and_touches_none(world: World) -> None:
    bot = await world.start()
    orders = [far_buy(bot, 0.001), far_buy(bot, 0.002)]
    for order in orders:
        await settled(order)
    await world.crash(bot)
    for path in journal_files(world):
        path.unlink()
    again = await world.start()
    assert puppet(again).open_orders() == []
    assert "2 open orders are not this bot's and will not be touched" in told(again)
    new = far_buy(again, 0.003)
    await settled(new)
    assert new.state is OrderState.OPEN
    ids = [row.client_id for row in exchange_rows(world.emulator)]
    assert len(ids) == len(set(ids)) == 3
    again.engine.portfolio.check()


async def test_a_journal_put_back_from_a_copy_shows_later_orders_as_foreign_and_gives_no_id_twice(
    world: World,
) -> None:
    bot = await world.start()
    await settled(far_buy(bot, 0.001))
    await world.crash(bot)
    copies = {path: world.folder / f"copy-{path.name}" for path in journal_files(world)}
    for path, copy in copies.items():
        shutil.copy(path, copy)
    second = await world.start()
    later = far_buy(second, 0.002)
    await settled(later)
    await world.crash(second)
    for path in journal_files(world):
        path.unlink()
    for path, copy in copies.items():
        shutil.copy(copy, path)

    third = await world.start()
    assert "1 open orders are not this bot's" in told(third)
    new = far_buy(third, 0.003)
    await settled(new)
    assert new.state is OrderState.OPEN
    ids = [row.client_id for row in exchange_rows(world.emulator)]
    assert len(ids) == len(set(ids)) == 3, ids
    assert len(world.exchange_orders(open_only=True)) == 3


async def test_a_journal_that_another_program_holds_delays_orders_and_sends_none_unwritten(world: World) -> None:
    bot = await world.start()
    bot.journal._db.execute("PRAGMA busy_timeout=50")
    other = sqlite3.connect(world.folder / "state" / "journal.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    order = far_buy(bot)
    await until(lambda: order.state is OrderState.NOT_SENT)
    assert "locked" in order.reason
    assert exchange_rows(world.emulator) == []
    other.execute("ROLLBACK")
    other.close()
    await until(lambda: bot.driver.journal_fault is None, 20)
    again = far_buy(bot)
    await settled(again)
    assert again.state is OrderState.OPEN
