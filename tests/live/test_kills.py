"""No order is lost, doubled or orphaned when bots are killed with SIGKILL at any point in the order path.

`python -m tests.benchmarks.kill_runs --kills 200` runs this test for longer.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import msgspec
import pytest

from botkit.assembly import guard as guard_process
from botkit.assembly.guard import start_guard
from botkit.emulator import DEFAULT_ACCOUNT
from botkit.live.journal import Journal
from botkit.live.panic import OwnOrders, panic
from botkit.live.state_folder import KeptHalt, StateFolder
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import OrderType, Side
from botkit.model.requests import CreateOrder
from tests.live.books import exchange_rows, open_rows
from tests.live.killed_bot import NOT_TAKEN_IN
from tests.live.kills import BETWEEN, PHASES, Forks, kill_world, own_machine, plan, restart_with_open_orders, run_kills
from tests.live.world import World, far_buy, puppet, settled, until
from tests.processes import children
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL on Windows")

#: number of parts into which the kills are split, so that they can be distributed among several workers
PARTS = 4
KILLS = plan(69, Random(5))
GUARD = guard_process.__name__


@pytest.mark.parametrize("part", range(PARTS))
async def test_no_order_is_lost_doubled_or_orphaned_wherever_the_bot_is_killed(tmp_path: Path, part: int) -> None:
    phases = KILLS[part::PARTS]
    findings = await run_kills(tmp_path, phases, seed=part)
    assert findings.broken == []
    assert findings.kills.total() == len(phases)
    assert sum(findings.in_doubt[phase] for phase in BETWEEN), "no bot was killed between the row and the answer"
    assert findings.orders > len(phases)
    assert findings.executed


def test_a_third_of_the_kills_fall_between_journal_write_and_response_and_all_phases_are_covered() -> None:
    for kills, least in ((230, 10), (len(KILLS), 3)):
        phases = plan(kills, Random(1))
        assert sum(phase in BETWEEN for phase in phases) >= kills / 3
        assert min(phases.count(phase) for phase in PHASES) >= least


@pytest.mark.virtual_time
async def test_a_restart_reconciles_two_hundred_open_orders_within_ten_seconds(world: World) -> None:
    assert await restart_with_open_orders(world, 200) < 10
    again = world.bots[-1]
    known = {order.order_id for order in puppet(again).open_orders()}
    assert known == {row.order_id for row in world.exchange_orders(open_only=True)}
    assert len(known) == 200
    again.view.money.check()


async def test_the_kill_check_detects_an_order_that_is_missing_from_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))
    async with kill_world(tmp_path, ledger="none") as world:
        world.patience_s = 1.0
        await world.judge("nothing happened")
        assert world.findings.broken == []
        venue = world.emulator.venue
        order = OrderSpec(
            client_id=77,
            pair=venue.pairs["btc_usdt"],
            side=Side.BUY,
            type=OrderType.LIMIT,
            price_ticks=1_000_000,
            amount_lots=10**6,
        )
        venue.kernel.submit(DEFAULT_ACCOUNT.email, CreateOrder(id=1, order=order, timestamp=venue.now), venue.now)
        await until(lambda: exchange_rows(world.emulator))
        await world.judge("an order that somebody else placed")
        assert {text.split(":")[0] for text in world.findings.broken} == {"lost", "orphaned"}


async def test_the_guard_of_a_killed_bot_cancels_its_orders(tmp_path: Path) -> None:
    with own_machine(tmp_path):
        async with Forks.open() as forks, kill_world(tmp_path) as world:
            await world.kill(forks, NOT_TAKEN_IN, Random(1), settings=["live.guard_s=5"])
            assert open_rows(world.emulator)
            await until(lambda: not open_rows(world.emulator))
            # the bot of the verdict sends heartbeats but no status, so a guard that is not yet done would watch the
            # folder through another silence after it
            await until(lambda: not any(GUARD in line for line in children().values()))
            await world.judge(NOT_TAKEN_IN)
            assert world.findings.broken == []


async def test_the_guard_cancels_the_orders_of_a_silent_bot(world: World) -> None:
    bot = await world.start()
    mine = far_buy(bot)
    await settled(mine)
    bot.parts.folder.write_status({})
    text = world.config.read_text() + (
        "  account: {email: emulator@botkit.local, key: emulator-key, secret: emulator-secret}\n"
    )
    world.config.write_text(text)
    world.config.chmod(0o600)
    # the guard determines the mode from the folder's path
    folder = StateFolder(world.folder / "world" / "emulator" / "x")
    folder.path.parent.mkdir(parents=True)
    await world.crash(bot)
    (world.folder / "state").rename(folder.path)
    guard = start_guard(world.config, folder, 1, (world.emulator.rest, world.emulator.ws))
    try:
        await until(lambda: not world.exchange_orders(open_only=True))
        assert await asyncio.to_thread(guard.wait, PATIENCE_S) == 0
    finally:
        guard.kill()
        guard.wait()
    assert not folder.is_halted()
    strike = folder.take_strike()
    assert strike is not None
    assert (strike.cancelled, strike.silent_s >= 1) == (1, True)
    assert folder.take_strike() is None


async def test_the_guard_recognizes_an_order_whose_response_the_bot_never_read(world: World) -> None:
    bot = await world.start()
    world.emulator.add_fault({"kind": "delay_answer", "where": "create_order", "value": 60_000_000})
    far_buy(bot)
    await until(lambda: world.exchange_orders(open_only=True))
    [mine] = world.exchange_orders(open_only=True)
    await world.crash(bot)
    journal = Journal.open(bot.parts.folder.journal, read_only=True)
    [row] = journal.order_rows()
    journal.close()
    # the row as a killed bot leaves it, before the stream reported the order
    own = OwnOrders([{**row, "order_id": ""}])
    assert mine in own
    assert msgspec.structs.replace(mine, client_id=mine.client_id + 1) not in own
    assert msgspec.structs.replace(mine, price_ticks=mine.price_ticks + 1) not in own
    parts = world.parts()
    await parts.adapter.open()
    try:
        done = await panic(
            parts.adapter, own, own_only=True, can=parts.adapter.capabilities, say=lambda text: None, pause_s=0.01
        )
    finally:
        await parts.adapter.close()
    assert (done.cancelled, done.foreign, done.left) == (1, 0, ())
    assert not world.exchange_orders(open_only=True)


async def test_the_guard_exits_once_its_bot_has_been_restarted(world: World) -> None:
    bot = await world.start()
    mine = far_buy(bot)
    await settled(mine)
    folder = bot.parts.folder
    folder.write_status({"process": os.getpid() + 1})
    await world.crash(bot)
    guard = start_guard(world.config, folder, 1, (world.emulator.rest, world.emulator.ws))
    try:
        assert await asyncio.to_thread(guard.wait, PATIENCE_S) == 0
    finally:
        guard.kill()
        guard.wait()
    assert world.exchange_orders(open_only=True)


_HALF_WAY = """
import os, signal, sys
from pathlib import Path
from botkit.live.state_folder import KeptHalt, StateFolder

def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2] == "written":
    os.fsync = die
elif sys.argv[2] == "synced":
    os.replace = die
StateFolder(Path(sys.argv[1])).set_halt(KeptHalt(kind="panic", reason="botkit panic", time=1))
die()
"""


@pytest.mark.parametrize(("moment", "is_set"), [("written", False), ("synced", False), ("replaced", True)])
def test_a_stored_halt_is_written_completely_or_not_at_all(tmp_path: Path, moment: str, is_set: bool) -> None:
    died = subprocess.run([sys.executable, "-c", _HALF_WAY, str(tmp_path), moment], timeout=PATIENCE_S, check=False)
    assert died.returncode == -signal.SIGKILL
    folder = StateFolder(tmp_path)
    halt = KeptHalt(kind="panic", reason="botkit panic", time=1)
    assert folder.halt() == (halt if is_set else None)
    folder.set_halt(halt)
    assert folder.halt() == halt
    assert folder.is_halted()
