"""A bot that is killed again and again, at every moment of an order, and its guard. `kills.py` is the script."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from botkit.assembly.guard import heartbeat_age_s, start_guard
from botkit.live.state_folder import StateFolder
from tests.live.kills import kill_often
from tests.live.world import World, far_buy, settled, until

#: `python -m tests.live.kills --kills 200` is the long run
KILLS = int(os.environ.get("BOTKIT_TEST_KILLS", "6"))


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
async def test_no_order_is_lost_doubled_or_orphaned_by_kills(tmp_path: Path) -> None:
    outcome = await kill_often(KILLS, tmp_path)
    assert outcome.problems == []
    assert (outcome.lost, outcome.doubled, outcome.orphaned) == ([], [], [])
    assert sum(outcome.phases.values()) == KILLS
    assert outcome.orders >= KILLS
    assert outcome.slowest_s < 60, "under 10 s on an idle machine, and tests share theirs"


async def test_the_guard_cancels_the_orders_of_a_bot_that_went_silent(world: World) -> None:
    bot = await world.start()
    mine = far_buy(bot)
    await settled(mine)
    bot.parts.folder.write_status({})
    text = world.config.read_text() + (
        "  account: {email: emulator@botkit.local, key: emulator-key, secret: emulator-secret}\n"
    )
    world.config.write_text(text)
    world.config.chmod(0o600)
    # the guard finds a folder's mode in its path
    folder = StateFolder(world.folder / "world" / "emulator" / "x")
    folder.path.parent.mkdir(parents=True)
    await world.crash(bot)
    (world.folder / "state").rename(folder.path)
    guard = start_guard(world.config, folder, 1, (world.emulator.rest, world.emulator.ws))
    try:
        await until(lambda: not world.exchange_orders(open_only=True), 20)
        assert await asyncio.to_thread(guard.wait, 10) == 0
    finally:
        guard.kill()
        guard.wait()
    assert heartbeat_age_s(folder) >= 1
    assert not folder.is_halted()


def test_running_a_bot_loads_neither_pandas_nor_pyarrow(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    strategies = Path(__file__).parents[2] / "strategies"
    config.write_text(
        f"name: light\nplugins: [{strategies}]\n"
        "strategies:\n  - {use: market_maker, params: {pair: btc_usdt}}\n"
        "emulator:\n  balances: {usdt: 10000, btc: 1}\n"
    )
    code = (
        "import sys\nfrom botkit.cli.main import main\n"
        f"code = main(['run', {str(config)!r}, '--duration', '0.5', '--json'])\n"
        "print(code, [name for name in ('pandas', 'pyarrow') if name in sys.modules])\n"
    )
    environ = {**os.environ, "BOTKIT_STATE": str(tmp_path / "state")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip().endswith("0 []"), (done.stdout, done.stderr)
