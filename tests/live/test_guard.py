"""A bot's guard acts when the bot falls silent, relies on no clock that can jump, and is replaced if it exits."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from botkit.errors import BotkitError
from botkit.live.disk import RealFiles
from botkit.live.guard import Guard, Guarding, Silence
from botkit.live.notifications.status_text import status_lines, status_of
from botkit.live.panic import PanicResult
from botkit.live.state_folder import StateFolder, Strike
from botkit.live.supervisor import Supervisor
from botkit.model.clock import NS_PER_HOUR, NS_PER_S
from botkit.project.without_strategies import without_strategies
from tests.live.test_ports import HandClock, MemoryDisk
from tests.live.world import World, far_buy, kept, settled, told, until

BOT = 4711


class Watched:
    """A bot's folder, and a guard whose clock the test advances."""

    def __init__(self, tmp_path: Path) -> None:
        self.disk = MemoryDisk()
        self.folder = StateFolder(tmp_path, self.disk)
        self.folder.lock()
        self.disk.files.write(self.folder.journal, b"rows")
        self.clock = HandClock()
        self.beats = 0
        self.cancelled: list[float] = []
        self.results: list[PanicResult | Exception] = []
        self.said: list[str] = []
        self.guard = Guard(self.folder, 5.0, BOT, self._cancel, clock=self.clock, say=self.said.append)

    def beat(self, process: int = BOT) -> None:
        self.beats += 1
        self.folder.beat(self.beats)
        with contextlib.suppress(OSError):
            self.folder.write_status({"process": process})

    def _cancel(self) -> PanicResult:
        self.cancelled.append(self.clock.monotonic_s())
        result = self.results.pop(0) if self.results else PanicResult(hit={"1", "2"}, left=())
        if isinstance(result, Exception):
            raise result
        return result

    def run(self, each_look: Callable[[int], None]) -> None:
        """Run the guard. ``each_look`` is called before each of its pauses with the number of checks made so far."""
        looks, sleep = 0, self.clock.sleep

        def slept(seconds: float) -> None:
            nonlocal looks
            assert looks < 500, "the guard does not end"
            each_look(looks)
            looks += 1
            sleep(seconds)

        self.clock.sleep = slept  # type: ignore[method-assign]
        try:
            self.guard.run()
        finally:
            self.clock.sleep = sleep  # type: ignore[method-assign]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_a_dead_bots_orders_are_cancelled_once_and_its_guard_exits(watched: Watched) -> None:
    def life(look: int) -> None:
        if look < 20:
            watched.beat()
        elif look == 20:
            watched.folder.unlock()  # as if the bot's process had exited
            watched.last = watched.clock.monotonic_s()  # type: ignore[attr-defined]

    watched.run(life)
    [at] = watched.cancelled
    assert 5 <= at - watched.last <= 6.5  # type: ignore[attr-defined]
    strike = watched.folder.take_strike()
    assert strike is not None
    assert (strike.cancelled, round(strike.silent_s)) == (2, 5)


def test_a_wall_clock_jump_between_two_heartbeats_is_not_mistaken_for_a_silent_bot(watched: Watched) -> None:
    def life(look: int) -> None:
        if look % 8 == 0:
            watched.beat()
        watched.clock.wall += NS_PER_HOUR
        if look == 100:
            watched.beat(process=BOT + 1)

    watched.run(life)
    assert watched.cancelled == []


def test_a_guard_that_resumes_after_a_suspension_does_not_declare_its_bot_dead(watched: Watched) -> None:
    def life(look: int) -> None:
        watched.beat()
        if look == 10:
            watched.clock.counter += 600 * 10**9  # both the machine and the two processes were suspended
        if look == 20:
            watched.beat(process=BOT + 1)

    silence = Silence(watched.folder, watched.clock)
    watched.beat()
    silence.look()
    watched.clock.counter += 600 * 10**9
    assert silence.look() == 2.0
    watched.beat()
    assert silence.look() == 0.0
    watched.run(life)
    assert watched.cancelled == []


def test_a_bot_that_resumes_after_a_silence_is_guarded_again(watched: Watched) -> None:
    """Regression: a guard used to act only once, so a bot that woke up, continued to trade and then died was
    unguarded.
    """

    def life(look: int) -> None:
        if look < 10 or 40 <= look < 60:
            watched.beat()
        elif look == 60:
            watched.folder.unlock()

    watched.run(life)
    assert len(watched.cancelled) == 2


def test_a_guard_that_cannot_cancel_orders_retries_until_it_succeeds(watched: Watched) -> None:
    watched.results = [ValueError("no route to the exchange"), PanicResult(left=None), PanicResult(left=("an order",))]
    watched.beat()

    def life(look: int) -> None:
        if len(watched.cancelled) == 4:
            watched.folder.unlock()

    watched.run(life)
    assert len(watched.cancelled) == 4
    assert [round(b - a) for a, b in pairwise(watched.cancelled)] == [5, 5, 5]
    assert "\n".join(watched.said).count("no route to the exchange") == 1


def test_a_guard_records_all_orders_that_it_has_cancelled_in_however_many_attempts(watched: Watched) -> None:
    watched.results = [
        PanicResult(hit={"1", "2"}, left=("order 2",)),
        PanicResult(hit={"2", "3"}, left=None),
        PanicResult(left=()),
    ]
    watched.folder.unlock()
    watched.run(lambda look: None)
    strike = watched.folder.take_strike()
    assert strike is not None
    assert strike.cancelled == 3


def test_a_guard_stops_retrying_when_its_bot_is_active_again(watched: Watched) -> None:
    watched.results = [ValueError("no route to the exchange")] * 3
    watched.beat()

    def life(look: int) -> None:
        if len(watched.cancelled) == 3:
            watched.beat(process=BOT if look < 60 else BOT + 1)

    watched.run(life)
    assert len(watched.cancelled) == 3


def test_a_guard_exits_when_its_bots_folder_is_removed(watched: Watched) -> None:
    watched.beat()

    def life(look: int) -> None:
        if look == 3:
            watched.folder.unlock()
            watched.disk.memory.now.clear()

    watched.run(life)
    assert watched.cancelled == []


def test_a_full_disk_does_not_make_a_running_bot_look_dead(watched: Watched) -> None:
    """Regression: on a full disk, the status file could not be written, so the guard cancelled a healthy bot's
    orders.
    """
    watched.beat()
    watched.disk.memory.full = True

    def life(look: int) -> None:
        if look < 100:
            watched.beat()
        elif look == 100:
            assert watched.cancelled == []
            watched.folder.unlock()

    watched.run(life)
    assert len(watched.cancelled) == 1


def test_on_a_read_only_disk_the_guard_does_not_act_until_the_bots_process_has_exited(watched: Watched) -> None:
    watched.beat()
    watched.disk.memory.full = watched.disk.stamped.read_only = True

    def life(look: int) -> None:
        if look == 100:
            assert watched.cancelled == []
            watched.folder.unlock()

    watched.run(life)
    assert len(watched.cancelled) == 1
    assert "\n".join(watched.said).count("is not writable, so heartbeats cannot be saved") == 1


def test_a_hanging_bot_is_detected_once_the_disk_is_writable_again(watched: Watched) -> None:
    watched.beat()
    watched.disk.stamped.read_only = True

    def life(look: int) -> None:
        if look == 60:
            assert watched.cancelled == []
            watched.disk.stamped.read_only = False
        elif watched.cancelled:
            watched.folder.unlock()

    watched.run(life)
    assert len(watched.cancelled) == 1


def test_a_guard_can_access_the_account_without_loading_strategy_files(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "edited.py").write_text("def broken(:\n")
    config = tmp_path / "bot.yaml"
    config.write_text("name: bot\nplugins: [plugins]\nstrategies:\n  - {use: edited, params: {pair: btc_twd}}\n")
    assert without_strategies(config).facts.name
    config.write_text(config.read_text() + "exchange: {name: other}\n")
    with pytest.raises(BotkitError, match="edited"):
        without_strategies(config)


# -- the bot's side ---------------------------------------------------------------------------------------------------


class FakeGuard:
    code: int | None = None
    was_ended = False

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.was_ended = True

    def wait(self) -> int:
        return 0


class Side:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.guards: list[FakeGuard] = []
        self.told: list[str] = []
        self.guarding = Guarding(self._start, self.told.append, self.clock)

    def _start(self) -> FakeGuard:
        self.guards.append(FakeGuard())
        return self.guards[-1]

    def look(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.clock.sleep(1.0)
            self.guarding.look()


def test_a_guard_that_has_exited_is_reported_and_replaced() -> None:
    side = Side()
    side.look(100)
    assert len(side.guards) == 1
    side.guards[0].code = -9
    side.look(1)
    assert len(side.guards) == 2
    assert side.told == ["this bot's guard has exited (signal 9); starting a new one"]
    side.guarding.end()
    assert [guard.was_ended for guard in side.guards] == [False, True]


def test_a_guard_that_keeps_exiting_is_replaced_at_increasing_intervals() -> None:
    side = Side()
    for _ in range(3_600):
        side.guards[-1].code = 1
        side.look(1)
    assert 60 <= len(side.guards) <= 70


def test_starting_a_guard_is_retried_after_the_machine_failed_to_start_a_process() -> None:
    side = Side()
    side.look(100)
    start, side.guarding._start = side.guarding._start, _no_process
    side.guards[0].code = 1
    side.look(1)
    assert "the guard cannot be started" in side.told[-1]
    side.guarding._start = start
    side.look(61)
    assert len(side.guards) == 2
    side.guarding.end()


def _no_process() -> FakeGuard:
    raise OSError("resource temporarily unavailable")


async def test_a_bot_that_resumes_reports_the_guards_cancels_and_reconciles(world: World) -> None:
    bot = await world.start()
    async with kept(bot):
        order = far_buy(bot)
        await settled(order)
        compared = bot.comparisons.ended
        bot.parts.folder.leave_strike(Strike(silent_s=7.2, cancelled=1, time=0))
        await until(lambda: "the guard cancelled 1 of this bot's orders" in told(bot))
        assert re.search(
            r"at 1970-01-01T08:00:00.000\+08:00 by this machine's clock, after the bot had been silent for 7 s; the",
            told(bot),
        )
        assert bot.parts.folder.take_strike() is None
        await until(lambda: bot.comparisons.ended > compared)
        assert [kind for _, kind, _ in bot.journal.notes() if kind == "guard"] == ["guard"]


async def test_successive_heartbeats_always_differ(world: World) -> None:
    bot = await world.start()
    supervisor, clock = Supervisor(), HandClock()
    bot.parts = msgspec.structs.replace(bot.parts, machine=replace(bot.parts.machine, clock=clock))
    seen = [bot.parts.folder.heartbeat()]
    for step in (0, 0, 1, -NS_PER_HOUR, NS_PER_HOUR - 1):
        clock.wall += step
        supervisor.beat(bot)
        seen.append(bot.parts.folder.heartbeat())
    assert all(before != after for before, after in pairwise(seen))


@pytest.mark.virtual_time
async def test_heartbeats_continue_while_a_bot_waits_for_its_last_orders(world: World) -> None:
    bot = await world.start()
    await settled(far_buy(bot))
    world.emulator.add_fault({"kind": "delay_request", "where": "*", "value": 90_000})
    beats: set[int | None] = set()
    stopping = asyncio.create_task(Supervisor().stop(bot))
    while not stopping.done():
        beats.add(bot.parts.folder.heartbeat())
        await asyncio.sleep(0.25)
    await stopping
    assert len(beats) >= 4


async def test_heartbeats_continue_on_a_full_disk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    bot = await world.start()

    def full(files: RealFiles, path: Path, content: bytes, *, durable: bool = True) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(RealFiles, "write", full)
    async with kept(bot):
        seen = set()
        for _ in range(2):
            await until(lambda: bot.parts.folder.heartbeat() not in seen)
            seen.add(bot.parts.folder.heartbeat())


@pytest.mark.virtual_time
async def test_status_says_how_long_a_bot_has_shown_no_sign_of_life(world: World) -> None:
    bot = await world.start()
    folder = bot.parts.folder
    async with kept(bot):
        await until(folder.read_status)
        await asyncio.sleep(15)
        assert not any("sign of life" in line for line in status_lines(folder))
        beat, clock = folder.heartbeat(), HandClock()
        assert beat is not None
        clock.wall = beat + 15 * NS_PER_S
        found = status_of(folder, clock)
        [line] = [line for line in status_lines(folder, found) if "sign of life" in line]
        assert line.startswith("its last sign of life was 15 s ago, and these figures are at least that old")
        assert found["silent_s"] == 15
    assert status_of(folder, clock)["silent_s"] == 15  # the bot is still there, and still silent


async def test_status_of_a_dead_bot_says_that_its_guard_cancelled_its_orders(world: World) -> None:
    bot = await world.start()
    folder = bot.parts.folder
    async with kept(bot):
        await until(folder.read_status)
        assert not any("guard" in line for line in status_lines(folder))
    folder.leave_strike(Strike(silent_s=60.4, cancelled=3, time=0))
    for _ in range(2):  # status takes nothing away from the bot's next start
        found = status_of(folder) | {"mode": "emulator"}  # the folder of a test's bot does not name the mode
        [line] = [line for line in status_lines(folder, found) if "guard" in line]
        assert line == (
            "its guard cancelled 3 orders at 1970-01-01T08:00:00.000+08:00 by this machine's clock, after 60 s without "
            "a sign of life; orders shown as open below are from before that"
        )
    assert folder.take_strike() is not None
