"""Recordings stay within their size limit on disk, and a recording that stops early is reported."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from botkit.assembly.replay import replay_run
from botkit.cli.replay import replay
from botkit.live.recording import INPUTS
from botkit.live.supervisor import Supervisor
from tests.live.test_replay import STRATEGY, kept, run_folder
from tests.live.world import World, told, until

pytestmark = pytest.mark.virtual_time


@pytest.fixture
def trading(world: World) -> World:
    (world.folder / "plugins" / "puppet.py").write_text(STRATEGY)
    return world


def bytes_of(run: Path) -> int:
    return sum(path.stat().st_size for path in run.iterdir())


async def test_recording_stops_at_its_size_limit_and_the_bot_continues(trading: World) -> None:
    parts = msgspec.structs.replace(trading.parts(), recording_bytes_max=60_000)
    bot = await trading.start_from(parts)
    run = run_folder(bot)
    supervisor = Supervisor()
    keeping = asyncio.ensure_future(supervisor.run(bot, 60))
    await until(lambda: bot.files.recording.is_full, 60)
    supervisor.request_stop("command")
    await keeping
    size, turns = (run / INPUTS).stat().st_size, bot.driver.turns
    await until(lambda: bot.driver.turns > turns + 50, 60)
    await kept(bot, 1)
    assert bot.driver.fault is None
    assert (run / INPUTS).stat().st_size == size
    assert bytes_of(run) < parts.recording_bytes_max + 40_000
    assert told(bot).count("the recording of this run has reached 0 MB and ends here") == 1

    verdict = replay_run(run)
    assert verdict.difference is None
    assert verdict.decisions
    assert verdict.end == "full"
    shown = CliRunner().invoke(replay, [str(run)], standalone_mode=False)
    assert "the recording ends before the run does, because it reached its size limit (log.record_mb)" in shown.output


async def test_recordings_of_the_oldest_runs_are_deleted_first(trading: World) -> None:
    first = await trading.start()
    await kept(first, 0.5)
    oldest, run = run_folder(first), run_folder(first).with_name("2")
    run.mkdir()
    (run / INPUTS).write_bytes(bytes(1 << 20))
    (oldest / INPUTS).write_bytes(bytes(1 << 20))
    trading.config.write_text(trading.config.read_text() + "log: {record_mb: 2}\n")
    # open and close the journal so that the next run is number 3
    first.journal = type(first.journal).open(first.parts.folder.journal)
    first.journal.close()
    again = await trading.start()
    await kept(again, 1)
    assert run_folder(again).name == "3"
    assert not oldest.exists()
    assert (run / INPUTS).exists()
    assert (run_folder(again) / INPUTS).exists()
