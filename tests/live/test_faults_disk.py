"""Tests with a full or failing disk, and with a journal that is torn, damaged, deleted or restored from a copy."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from botkit.live.bot import Bot
from botkit.live.journal import Journal
from botkit.live.journal_rows import JournalError
from botkit.live.notifications.status_text import status_lines
from botkit.live.starting import StartRefused
from botkit.live.state_folder import AlreadyRunning, FolderUnusable, KeptHalt, StateFolder
from botkit.model.inputs import Pause, Resume
from botkit.model.orders import OrderState
from tests.live.books import differences, exchange_rows
from tests.live.world import WITH_COINS, World, far_buy, kept, make_world, puppet, settled, told, until

pytestmark = pytest.mark.virtual_time


def journal_files(world: World) -> list[Path]:
    return sorted((world.folder / "state").glob("journal.sqlite*"))


async def test_on_a_full_disk_only_cancels_are_sent_and_the_bot_recovers_once_there_is_room(world: World) -> None:
    bot = await world.start()
    resting = far_buy(bot)
    await settled(resting)
    db = bot.journal._db
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count={pages}")
    for i in range(200):  # until the free space within the database pages is also used up
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


@pytest.mark.parametrize("is_lifted", [False, True])
async def test_a_strategys_halt_or_its_end_is_written_once_the_journal_can_be_written_again(
    is_lifted: bool, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = await world.start()
    async with kept(bot):
        if is_lifted:
            bot.say(Pause("p"))
            await until(lambda: bot.journal.document("halts"))
        writes: list[object] = []
        put_meta = bot.journal.put_meta
        monkeypatch.setattr(bot.journal, "put_meta", lambda values: (writes.append(values), put_meta(values)))
        with world.disk.read_only():
            bot.say(Resume("p") if is_lifted else Pause("p"))
            turns = bot.driver.turns
            await bot.driver.wait(20)
            assert 2 <= len(writes) <= 22 < bot.driver.turns - turns  # once a second, not at every price
        wanted = {} if is_lifted else {"p": "paused by hand"}
        await until(lambda: bot.journal.document("halts") == wanted)
        count = len(writes)
        await bot.driver.wait(20)
        assert len(writes) == count
    await world.crash(bot)
    again = await world.start()
    assert again.view.halts == wanted
    assert far_buy(again).is_refused is not is_lifted


async def test_a_damaged_journal_prevents_the_start_with_an_error_that_suggests_a_fix(world: World) -> None:
    bot = await world.start()
    await settled(far_buy(bot))
    await world.crash(bot)
    path = world.folder / "state" / "journal.sqlite"
    for other in journal_files(world)[1:]:
        other.unlink()
    content = bytearray(path.read_bytes())
    content[100:4000] = b"\xa5" * 3900
    path.write_bytes(content)
    with pytest.raises(
        JournalError, match=r"is damaged .*To start over, move it elsewhere.*check your open orders first"
    ):
        await world.start()
    assert len(world.exchange_orders(open_only=True)) == 1  # the refused start did not change the orders


async def test_no_order_is_lost_if_the_write_ahead_log_is_torn(world: World) -> None:
    bot = await world.start()
    orders = [far_buy(bot, 0.001 * (i + 1)) for i in range(5)]
    for order in orders:
        await settled(order)
    # as if the crash had occurred during a write to the log, leaving half a page at the end
    wal = world.folder / "state" / "journal.sqlite-wal"
    copy = wal.read_bytes()
    main = (world.folder / "state" / "journal.sqlite").read_bytes()
    await world.crash(bot)
    (world.folder / "state" / "journal.sqlite").write_bytes(main)
    wal.write_bytes(copy + b"\x17" * 2000)
    again = await world.start()
    assert {o.client_id for o in puppet(again).open_orders()} == {o.client_id for o in orders}
    await until(lambda: not differences(again, world.emulator))


async def test_orders_from_a_deleted_journal_are_treated_as_foreign_and_not_changed(world: World) -> None:
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
    assert "is new, but this bot has traded before; if its journal was lost, restore the whole folder" in told(again)
    new = far_buy(again, 0.003)
    await settled(new)
    assert new.state is OrderState.OPEN
    ids = [row.client_id for row in exchange_rows(world.emulator)]
    assert len(ids) == len(set(ids)) == 3
    again.view.money.check()


async def test_a_journal_restored_from_a_copy_halts_the_bot_and_no_client_id_is_reused(world: World) -> None:
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
    assert "has lost its latest commits (it is missing some client ids that were used)" in told(third)
    assert "1 open order is not this bot's" in told(third)
    refused = far_buy(third, 0.003)
    assert refused.state is OrderState.REFUSED
    assert "has lost its latest commits" in refused.reason
    await world.crash(third)

    assert StateFolder(world.folder / "state").halt() is not None  # the halt remains until the user has checked
    StateFolder(world.folder / "state").clear_halt()
    fourth = await world.start()
    assert "has lost" not in told(fourth)
    new = far_buy(fourth, 0.003)
    await settled(new)
    assert new.state is OrderState.OPEN
    ids = [row.client_id for row in exchange_rows(world.emulator)]
    assert len(ids) == len(set(ids)) == 3, ids


def snapshot(world: World) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in journal_files(world)}


def put_back(world: World, files: dict[Path, bytes]) -> None:
    for path in journal_files(world):
        path.unlink()
    for path, content in files.items():
        path.write_bytes(content)


async def test_a_state_folder_restored_from_before_the_last_start_halts_the_bot_once(world: World) -> None:
    state = world.folder / "state"
    bot = await world.start()
    await settled(far_buy(bot, 0.001))
    await world.crash(bot)
    copy = world.folder / "copy"
    shutil.copytree(state, copy)
    second = await world.start()  # its client IDs start at some number within the next hundred thousand
    later = far_buy(second, 0.002)
    await settled(later)
    await world.crash(second)
    shutil.rmtree(state)
    shutil.copytree(copy, state)

    third = await world.start()
    assert "the exchange has an order of this bot that the journal does not contain" in told(third)
    assert far_buy(third, 0.003).state is OrderState.REFUSED
    await world.crash(third)
    StateFolder(state).clear_halt()
    fourth = await world.start()
    assert "has lost" not in told(fourth)
    new = far_buy(fourth, 0.003)
    await settled(new)
    assert new.state is OrderState.OPEN


@pytest.mark.parametrize("panicked", [False, True], ids=["not halted before", "halted by a panic before"])
async def test_no_order_not_even_a_sell_is_sent_after_commits_were_lost(panicked: bool, world: World) -> None:
    bot = await world.start()
    bought = puppet(bot).market_buy("btc_usdt", spend=500)
    bot.driver.wake()
    await until(lambda: bought.is_final)
    await world.crash(bot)
    second = await world.start()
    for i in range(5):
        await settled(far_buy(second, 0.001 * (i + 1)))
    await until(lambda: not second.persistence.is_dirty)
    assert second.journal.log is not None
    log = second.journal.log.file
    await world.crash(second)
    flip(log)
    if panicked:
        StateFolder(world.folder / "state").set_halt(KeptHalt(kind="panic", reason="botkit panic", time=1))
    again = await world.start()
    assert "has lost its latest commits" in told(again)
    halt = StateFolder(world.folder / "state").halt()
    assert halt is not None
    assert (halt.kind, halt.reason.endswith(". Halted before (panic): botkit panic")) == ("journal", panicked)
    count = len(exchange_rows(world.emulator))
    await until(lambda: puppet(again).book("btc_usdt").best_bid)
    sold = puppet(again).close("btc_usdt")  # sells the position that the remaining records contain
    again.driver.wake()
    assert sold is not None
    await until(lambda: sold.is_final)
    assert sold.state is OrderState.NOT_SENT
    assert "has lost its latest commits" in sold.reason
    assert len(exchange_rows(world.emulator)) == count


async def test_the_bots_first_journal_without_its_write_ahead_log_halts_the_bot(world: World) -> None:
    bot = await world.start()
    bought = puppet(bot).market_buy("btc_usdt", spend=500)
    bot.driver.wake()
    await until(lambda: bought.is_final)
    main = world.folder / "state" / "journal.sqlite"
    before = main.read_bytes()  # most of the data is still only in the write-ahead log
    await world.crash(bot)
    put_back(world, {main: before})
    again = await world.start()
    assert "has lost its latest commits" in told(again)
    assert "`botkit resume` lifts it" in told(again)
    assert far_buy(again).state is OrderState.REFUSED


async def test_no_order_is_lost_if_the_last_record_of_the_journals_log_is_torn(world: World) -> None:
    bot = await world.start()
    orders = [far_buy(bot, 0.001 * (i + 1)) for i in range(5)]
    for order in orders:
        await settled(order)
    await until(lambda: not bot.persistence.is_dirty)
    assert bot.journal.log is not None
    log, end = bot.journal.log.file, bot.journal.log.place.offset
    await world.crash(bot)
    content = bytearray(log.read_bytes())
    content[end : end + 300] = b"\x17" * 300  # as if the crash had occurred while a commit was being written
    log.write_bytes(content)
    again = await world.start()
    assert "has lost" not in told(again)
    assert {o.client_id for o in puppet(again).open_orders()} == {o.client_id for o in orders}
    await until(lambda: not differences(again, world.emulator))


def flip(log: Path) -> None:
    content = bytearray(log.read_bytes())
    content[len(content.rstrip(b"\0")) // 2] ^= 1
    log.write_bytes(content)


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (flip, "is damaged at byte"),
        (Path.unlink, "is missing"),
        (lambda log: os.truncate(log, 3_000), "was cut to 3,000"),
    ],
    ids=["damaged", "missing", "cut"],
)
async def test_lost_commits_halt_the_bot_until_the_user_has_checked_the_account(
    happens: Any, said: str, world: World
) -> None:
    bot = await world.start()
    for i in range(5):
        await settled(far_buy(bot, 0.001 * (i + 1)))
    await until(lambda: not bot.persistence.is_dirty)
    assert bot.journal.log is not None
    log = bot.journal.log.file
    await world.crash(bot)
    happens(log)
    again = await world.start()
    assert f"has lost its latest commits (its log {log.name} {said}" in told(again)
    assert "`botkit resume` lifts it" in told(again)
    refused = far_buy(again)
    assert refused.state is OrderState.REFUSED
    assert said in refused.reason
    await world.crash(again)
    halt = StateFolder(world.folder / "state").halt()
    assert halt is not None
    assert halt.kind == "journal"
    StateFolder(world.folder / "state").clear_halt()
    third = await world.start()
    assert "has lost" not in told(third)
    new = far_buy(third)
    await settled(new)
    assert new.state is OrderState.OPEN
    ids = [row.client_id for row in exchange_rows(world.emulator)]
    assert len(ids) == len(set(ids)) == 6, ids


@pytest.mark.parametrize("stands", [True, False], ids=["that stand", "that were filled"])
async def test_orders_at_the_exchange_that_are_missing_from_the_journal_halt_the_bot(
    world: World, stands: bool
) -> None:
    bot = await world.start()
    await settled(far_buy(bot, 0.001))
    await until(lambda: not bot.persistence.is_dirty)
    known = snapshot(world)  # a copy from this run; no block of client IDs has been reserved since then
    lost = far_buy(bot, 0.002) if stands else puppet(bot).market_buy("btc_usdt", spend=500)
    bot.driver.wake()
    await until(lambda: lost.state is OrderState.OPEN if stands else lost.is_final)
    await world.crash(bot)
    put_back(world, known)
    again = await world.start()
    evidence = f"the exchange has an order of this bot that the journal does not contain: {lost.order_id} of btc_usdt"
    assert evidence in told(again)
    assert far_buy(again).state is OrderState.REFUSED
    halt = StateFolder(world.folder / "state").halt()
    assert halt is not None
    assert (halt.kind, evidence in halt.reason) == ("journal", True)
    await world.crash(again)
    StateFolder(world.folder / "state").clear_halt()
    third = await world.start()  # the loss is reported only once
    assert "has lost" not in told(third)


@pytest.mark.parametrize("is_further", [False, True], ids=["the same ids", "further ids"])
async def test_a_folder_that_was_put_back_does_not_use_the_ids_of_orders_at_the_exchange_again(
    world: World, monkeypatch: pytest.MonkeyPatch, is_further: bool
) -> None:
    class Draws:
        """Draws how many blocks of ids a start skips, and a new journal's first id."""

        blocks = 0

        def randrange(self, *bounds: int) -> int:
            return self.blocks if len(bounds) == 1 else 1_000_000

    lease, draws = Journal.lease_ids, Draws()
    monkeypatch.setattr(Journal, "lease_ids", lambda self, random, after=None: lease(self, draws, after=after))
    bot = await world.start()
    await settled(far_buy(bot, 0.001))
    await world.crash(bot)
    whole = {path: path.read_bytes() for path in (world.folder / "state").iterdir() if path.is_file()}
    draws.blocks = int(is_further)
    lost_run = await world.start()
    lost = far_buy(lost_run, 0.002)
    await settled(lost)
    # one more is under way when the next start lists the orders
    world.emulator.add_fault({"kind": "late_arrival", "where": "create_order", "value": 20_000, "count": 1})
    late = far_buy(lost_run, 0.004)
    await until(lambda: late.state is OrderState.UNKNOWN)
    await world.crash(lost_run)
    for path in (world.folder / "state").iterdir():
        if path.is_file():
            path.unlink()
    for path, content in whole.items():
        path.write_bytes(content)
    draws.blocks = 0  # every hundredth folder leads to the same ids
    again = await world.start()
    assert "does not contain" in told(again)
    refused = far_buy(again)
    assert refused.client_id > late.client_id
    StateFolder(world.folder / "state").clear_halt()
    again.latch.look()
    await settled(far_buy(again, 0.003))
    await until(lambda: late.client_id in {row.client_id for row in exchange_rows(world.emulator)}, 60)
    ids = [row.client_id for row in exchange_rows(world.emulator)]
    assert len(ids) == len(set(ids))


async def test_an_order_that_is_missing_from_the_journal_and_arrives_after_the_start_is_reported(world: World) -> None:
    bot = await world.start()
    await settled(far_buy(bot, 0.001))
    await until(lambda: not bot.persistence.is_dirty)
    known = snapshot(world)
    world.emulator.add_fault({"kind": "late_arrival", "where": "create_order", "value": 20_000, "count": 1})
    lost = far_buy(bot, 0.002)
    await until(lambda: lost.state is OrderState.UNKNOWN)
    await world.crash(bot)
    put_back(world, known)
    again = await world.start()
    assert "does not contain" not in told(again)
    rows = len(exchange_rows(world.emulator))
    await until(lambda: len(exchange_rows(world.emulator)) > rows, 60)
    again.comparisons.at_once()
    await until(lambda: "does not contain" in told(again))
    for _ in range(2):
        ended = again.comparisons.ended
        again.comparisons.at_once()
        await until(lambda: again.comparisons.ended > ended)  # noqa: B023
    assert told(again).count("does not contain") == 1
    new = far_buy(again)
    await settled(new)
    assert new.state is OrderState.OPEN


async def test_a_lost_commit_is_detected_even_if_its_order_does_not_have_the_highest_id(world: World) -> None:
    bot = await world.start()
    old = far_buy(bot, 0.001)
    await settled(old)
    world.emulator.add_fault({"kind": "delay_request", "where": "cancel_order", "value": 500, "count": 1})
    # the replacement already has its ID, but is sent only after the old order is final
    replacement = puppet(bot).replace(old, amount=0.002)
    later = far_buy(bot, 0.003)
    await settled(later)
    await until(lambda: not bot.persistence.is_dirty)
    known = snapshot(world)
    assert replacement.state is OrderState.QUEUED
    await until(lambda: replacement.state is OrderState.OPEN)
    assert replacement.client_id < later.client_id
    await world.crash(bot)
    put_back(world, known)
    again = await world.start()
    evidence = f"the exchange has an order of this bot that the journal does not contain: {replacement.order_id} of"
    assert evidence in told(again)
    assert far_buy(again).state is OrderState.REFUSED


async def test_without_a_journal_the_start_is_refused_with_a_reason_if_the_capital_has_been_spent(
    tmp_path: Path,
) -> None:
    async with make_world(tmp_path, config=WITH_COINS) as world:
        bot = await world.start()
        order = puppet(bot).market_buy("btc_usdt", spend=20_000)
        bot.driver.wake()
        await until(lambda: order.is_final)
        await world.crash(bot)
        for path in journal_files(world):
            path.unlink()
        with pytest.raises(StartRefused) as error:
            await world.start()
        assert "is left of the account's" in str(error.value)
        assert "is new, but this bot has traded before; if its journal was lost, restore" in str(error.value)


async def test_an_intact_journal_never_halts_the_bot_regardless_of_when_it_was_killed(world: World) -> None:
    for _ in range(3):
        bot = await world.start()
        assert "has lost" not in told(bot)
        far_buy(bot, 0.001)
        await world.crash(bot)
        # killed between the writes to the two locations that store the client ID count
        (world.folder / "state" / "client_ids").write_text("1")


async def test_no_unjournaled_order_is_sent_while_another_program_locks_the_journal(world: World) -> None:
    bot = await world.start()
    bot.journal._db.execute("PRAGMA busy_timeout=50")
    other = sqlite3.connect(world.folder / "state" / "journal.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    first = far_buy(bot)  # the order is in the log, even if it is not in SQLite yet
    await settled(first)
    assert first.state is OrderState.OPEN
    await until(lambda: bot.journal.filling.fault is not None)
    order = far_buy(bot)
    await until(lambda: order.state is OrderState.NOT_SENT)
    assert "locked" in order.reason
    assert [row.client_id for row in exchange_rows(world.emulator)] == [first.client_id]
    reading = Journal.open(bot.journal.path, read_only=True)
    assert [row["client_id"] for row in reading.order_rows()] == [first.client_id]
    assert reading.read_over
    reading.close()
    other.execute("ROLLBACK")
    other.close()
    await until(lambda: bot.driver.journal_fault is None, 20)
    again = far_buy(bot)
    await settled(again)
    assert again.state is OrderState.OPEN


# -- real disks ------------------------------------------------------------------------------------


@contextlib.contextmanager
def no_file_may_grow() -> Iterator[None]:
    """Make every write beyond the end of a file fail, as on a failing disk. This works without root and affects only
    this process.
    """
    resource = pytest.importorskip("resource", reason="this system has no limits of this kind")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def mounted(folder: Path, *options: str) -> bool:
    """Mount a separate file system at ``folder``. Return False if the user lacks permission to mount it."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a 4 MB disk as the world's state folder."""
    folder = tmp_path / "state"
    if os.name != "posix" or not mounted(folder, "-o", "size=4m"):
        pytest.skip("only root may mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


async def judge_that_cancels_go_on(world: World, bot: Bot, resting: Any) -> None:
    count = len(exchange_rows(world.emulator))
    held = far_buy(bot, 0.002)
    await until(lambda: held.is_final)
    assert held.state is OrderState.NOT_SENT
    assert "not sent: the journal" in held.reason
    await until(lambda: "No new orders are sent until it can be written, but cancels continue" in told(bot))
    puppet(bot).cancel(resting)
    bot.driver.wake()
    await until(lambda: resting.state is OrderState.CANCELLED)
    assert len(exchange_rows(world.emulator)) == count
    assert bot.driver.fault is None


async def judge_that_it_recovers(world: World, bot: Bot) -> None:
    await until(lambda: "can be written again; new orders are allowed" in told(bot))
    again = far_buy(bot, 0.003)
    await settled(again)
    assert again.state is OrderState.OPEN
    await until(lambda: not differences(bot, world.emulator), 20)


async def test_on_a_completely_full_disk_the_bot_keeps_running_and_sends_no_new_orders(
    small_disk: Path, world: World
) -> None:
    bot = await world.start()
    resting = far_buy(bot)
    await settled(resting)
    filling = small_disk / "somebody else's"
    async with kept(bot):
        with contextlib.suppress(OSError), filling.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        for _ in range(200):  # until the free space within the journal's pages is also used up
            order = far_buy(bot, 0.001)
            await until(lambda order=order: order.state not in (OrderState.QUEUED, OrderState.SENDING))
            if order.state is OrderState.NOT_SENT:
                break
        assert "full" in order.reason or "disk" in order.reason
        await judge_that_cancels_go_on(world, bot, resting)
        # a halt takes effect anyway and is written as soon as possible
        bot.latch.set("loss", "for the test")
        assert bot.view.halted == "for the test"
        filling.unlink()
        await until(lambda: bot.parts.folder.is_halted())
        assert bot.view.halted == "for the test"
        bot.parts.folder.clear_halt()
        await until(lambda: bot.view.halted is None)
        await judge_that_it_recovers(world, bot)


async def test_while_no_file_can_be_written_the_bot_keeps_running_and_sends_no_new_orders(world: World) -> None:
    bot = await world.start()
    resting = far_buy(bot)
    await settled(resting)
    async with kept(bot):
        await until(bot.parts.folder.read_status)
        with no_file_may_grow():
            await judge_that_cancels_go_on(world, bot, resting)
            bot.latch.set("breaker", "for the test")
            assert bot.view.halted == "for the test"
            assert "the halt could not be written" in told(bot)
            assert not bot.parts.folder.is_halted()
            await asyncio.sleep(1.5)  # time for the periodic writes, none of which may stop the bot
            assert bot.view.halted == "for the test"
            assert not any("s old" in line for line in status_lines(bot.parts.folder))
            await asyncio.sleep(12)
            (old,) = [line for line in status_lines(bot.parts.folder) if "these figures are" in line]
            assert "s old: the bot runs, but cannot write its files" in old
        await until(lambda: bot.parts.folder.is_halted())
        bot.parts.folder.clear_halt()
        await until(lambda: bot.view.halted is None)
        await judge_that_it_recovers(world, bot)
        assert not any("s old" in line for line in status_lines(bot.parts.folder))
    assert bot.driver.fault is None


async def test_a_journal_becoming_read_only_and_its_recovery_are_both_reported(world: World) -> None:
    bot = await world.start()
    resting = far_buy(bot)
    await settled(resting)
    async with kept(bot):
        with world.disk.read_only("journal.sqlite"):
            await judge_that_cancels_go_on(world, bot, resting)
            assert "Read-only file system" in told(bot)
        await judge_that_it_recovers(world, bot)


async def test_an_unwritable_state_folder_prevents_the_start_and_the_reason_is_reported(world: World) -> None:
    state = world.folder / "state"
    if os.geteuid() == 0:
        if not mounted(state, "-o", "size=1m,ro"):
            pytest.skip("nobody may mount here, and for root nothing is read-only")
    else:
        state.mkdir()
        state.chmod(0o500)
    try:
        with pytest.raises(Exception, match=r"[Rr]ead-only|Permission denied") as refused:
            await world.start()
        assert str(state) in str(refused.value)
        assert "cannot be written" in str(refused.value)
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", "-l", str(state)], check=False)
        else:
            state.chmod(0o700)
    assert exchange_rows(world.emulator) == []


@pytest.mark.parametrize("what", ["journal", "journal's log"])
async def test_a_journal_removed_while_the_bot_runs_blocks_new_orders_until_it_is_restored(
    what: str, world: World
) -> None:
    bot = await world.start()
    resting = far_buy(bot)
    await settled(resting)
    assert bot.journal.log is not None
    path = bot.journal.path if what == "journal" else bot.journal.log.file
    async with kept(bot):
        await until(lambda: bot.standstill._beat_at is not None)
        path.rename(path.with_suffix(".away"))
        await until(lambda: "was deleted or replaced while the bot was running. Writes to it are lost" in told(bot))
        held = far_buy(bot, 0.002)
        await until(lambda: held.is_final)
        assert held.state is OrderState.NOT_SENT
        assert held.reason == f"not sent: the {what} {path} was deleted or replaced while the bot was running"
        puppet(bot).cancel(resting)
        bot.driver.wake()
        await until(lambda: resting.state is OrderState.CANCELLED)
        path.with_suffix(".away").rename(path)
        await until(lambda: "is back; new orders are allowed" in told(bot))
        again = far_buy(bot, 0.003)
        await settled(again)
        assert again.state is OrderState.OPEN
        await until(lambda: not differences(bot, world.emulator))


# -- processes --------------------------------------------------------------------------------------------------------


async def test_a_second_instance_is_refused_with_the_process_id_of_the_first(world: World) -> None:
    bot = await world.start()
    with pytest.raises(AlreadyRunning, match=rf"this bot is already running, as process {os.getpid()}; stop it with"):
        await world.start()
    order = far_buy(bot)
    await settled(order)
    assert order.state is OrderState.OPEN


@pytest.mark.parametrize(
    ("fault", "ends"),
    [
        ({"kind": "delay_request", "value": 20_000}, {OrderState.CANCELLED}),
        ({"kind": "delay_answer", "value": 20_000}, {OrderState.CANCELLED}),
        ({"kind": "lost_answer"}, {OrderState.CANCELLED}),
        ({"kind": "lost_request"}, {OrderState.ABSENT}),
    ],
    ids=["on its way there", "on its way back", "answer lost", "request lost"],
)
async def test_stopping_during_a_create_leaves_no_open_order_behind(
    fault: dict[str, Any], ends: set[OrderState], world: World
) -> None:
    bot = await world.start()
    world.emulator.add_fault({**fault, "where": "create_order", "count": 1})
    async with kept(bot) as supervisor:
        order = far_buy(bot)
        await until(lambda: order.sent)  # the stream may report the order long before the response arrives
    supervisor.request_stop("signal")
    await supervisor.stop(bot)
    assert order.state in ends, order
    assert not world.exchange_orders(open_only=True)
    assert bot.remaining() == []
    assert bot.journal.order_rows()[-1]["state"] == order.state.value


async def test_an_unwritable_run_folder_prevents_the_start_with_a_one_sentence_error(world: World) -> None:
    bot = await world.start()
    await world.crash(bot)
    runs = world.folder / "state" / "runs"
    shutil.rmtree(runs)
    runs.write_text("not a folder")
    with pytest.raises(StartRefused, match=r"runs/2, cannot be written \(Not a directory\)"):
        await world.start()
    runs.unlink()
    await world.start()


async def test_no_client_id_is_reused_after_the_stored_count_was_corrupted(world: World) -> None:
    bot = await world.start()
    order = far_buy(bot)
    await settled(order)
    await world.crash(bot)
    (world.folder / "state" / "client_ids").write_text("9" * 5_000)
    again = await world.start()
    later = far_buy(again)
    await settled(later)
    assert later.client_id > order.client_id


def test_a_halt_that_cannot_be_lifted_is_reported(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    (tmp_path / "halt.json").mkdir()
    assert folder.is_halted()
    with pytest.raises(FolderUnusable, match=r"halt\.json cannot be removed .*delete the file manually"):
        folder.clear_halt()
