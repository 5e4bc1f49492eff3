"""The real bot, client and emulator run unchanged on a virtual loop. They need no wall time, and their behavior is
reproducible.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from botkit.model.orders import OrderState
from tests.live.books import compared, differences
from tests.live.world import far_buy, kept, make_world, puppet, until
from tests.simulation.loop import running
from tests.simulation.machine import MachineLoop


async def trades(folder: Path) -> int:
    """Let a bot trade for some virtual minutes. Return the loop's checksum, which covers all network traffic."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, MachineLoop)
    async with make_world(folder, speed=1.0) as world:
        bot = await world.start()
        async with kept(bot):
            await until(lambda: puppet(bot).book("btc_usdt").best_ask)
            for i in range(5):
                resting = far_buy(bot)
                await until(lambda resting=resting: resting.state is OrderState.OPEN)
                taken = puppet(bot).buy("btc_usdt", amount=0.01, price=puppet(bot).book("btc_usdt").best_ask + 10)
                bot.driver.wake()
                await until(lambda taken=taken: taken.state is OrderState.FILLED)
                puppet(bot).cancel(resting)
                bot.driver.wake()
                await until(lambda resting=resting: resting.is_final)
                await asyncio.sleep(10 + i)
        await compared(bot)
        assert not differences(bot, world.emulator)
        assert bot.driver.fault is None
        loop.note(str([(row.client_id, row.state, row.executed_lots) for row in world.exchange_orders()]))
        return loop.digest


def checksum(folder: Path, seed: int | None) -> int:
    folder.mkdir()
    with asyncio.Runner(loop_factory=lambda: MachineLoop(seed=seed)) as runner:
        return runner.run(trades(folder))


def test_a_bot_trades_without_sockets_or_threads_and_each_seed_always_produces_an_identical_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket", None)
    threads = threading.active_count()
    found = {seed: checksum(tmp_path / f"{seed}", seed) for seed in (None, 1, 2)}
    assert len(set(found.values())) == 3
    assert [checksum(tmp_path / f"again {seed}", seed) for seed in found] == list(found.values())
    assert threading.active_count() == threads


@pytest.mark.virtual_time
async def test_an_idle_bot_runs_few_loop_iterations_per_second(tmp_path: Path) -> None:
    async with make_world(tmp_path, speed=1.0) as world:
        bot = await world.start()
        loop = running()
        async with kept(bot):
            rounds, began = loop.rounds, loop.time()
            await asyncio.sleep(120)
            assert (loop.rounds - rounds) / (loop.time() - began) < 80
        assert not differences(bot, world.emulator)


def test_a_seed_produces_an_identical_run_regardless_of_the_hash_seed(tmp_path: Path) -> None:
    source = (
        "import sys, pathlib\n"
        "from tests.simulation.test_whole_bot import checksum\n"
        "print(checksum(pathlib.Path(sys.argv[1]), 3))\n"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", source, str(tmp_path / hash_seed)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert found[0] == found[1]
    assert found[0].strip().isdigit()
