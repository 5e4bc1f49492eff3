"""Tests the broker as a process: how it is found or started, shared, killed and replaced, and inspected from
outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from botkit.live.disk import REAL_DISK
from botkit.live.limits.broker import FOLDER_VARIABLE, Broker, BrokerFolder, KeptLedger
from botkit.live.limits.broker_client import BrokerLink
from botkit.live.limits.protocol import (
    AskUsage,
    Join,
    LedgerReply,
    LedgerUnreachable,
    Message,
    Report,
    SharedPool,
    SharedWindow,
    Sync,
)
from botkit.model.clock import NS_PER_S
from tests.benchmarks.limits_judge import Trial, broker_pid, limits_for, trial
from tests.live.test_ports import MemoryFiles

POOL = SharedPool("create_order", 2 * NS_PER_S, 0, (SharedWindow("v|ip|create", 10, 60),))
TAKE_THREE = Sync("a", 1, (Report(pool=0, wanted=3),))


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Return a folder for a broker. tests/conftest.py stops the broker after the test."""
    return tmp_path / getattr(request, "param", "b")


def held(reply: LedgerReply) -> tuple[int, int]:
    (window,) = reply.usage
    return window.leased, window.held


@pytest.mark.parametrize("by_port", [False, True])
async def test_a_missing_broker_is_started_and_a_running_one_is_shared(folder: Path, by_port: bool) -> None:
    first, second = (BrokerLink(folder, by_port=by_port) for _ in range(2))
    await asyncio.gather(first.call(Join("a", "", (POOL,))), second.call(Join("b", "", (POOL,))))
    assert (await first.call(TAKE_THREE)).granted == ((0, 3),)
    assert held(await second.call(AskUsage())) == (3, 3)
    await first.close()
    await second.close()


def test_bots_started_from_a_terminal_and_as_a_service_find_the_same_broker(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    terminal = BrokerFolder()
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    service = BrokerFolder()
    assert (terminal.socket, terminal.port_file, terminal.lock) == (service.socket, service.port_file, service.lock)


@pytest.mark.parametrize("folder", ["x" * 100], indirect=True)
async def test_a_broker_uses_a_port_if_its_folder_path_is_too_long_for_a_socket(folder: Path) -> None:
    link = BrokerLink(folder)
    await link.call(Join("a", "", (POOL,)))
    assert held(await link.call(AskUsage())) == (0, 0)
    assert BrokerFolder(folder).port_file.exists()
    await link.close()


async def test_a_message_sent_twice_is_applied_once(folder: Path) -> None:
    link = BrokerLink(folder)
    await link.call(Join("a", "", (POOL,)))
    once = await link.call(TAKE_THREE)
    assert await link.call(TAKE_THREE) == once
    assert held(await link.call(AskUsage())) == (3, 3)
    await link.close()


@pytest.mark.skipif(sys.platform != "linux", reason="finds the broker in /proc")
async def test_a_killed_broker_is_replaced_by_one_with_identical_state(folder: Path) -> None:
    link = BrokerLink(folder)
    ledger = (await link.call(Join("a", "", (POOL,)))).ledger
    await link.call(TAKE_THREE)
    await link.call(Sync("a", 2, (Report(pool=0, returned=1, arrivals=((0, 0),)),)))
    os.kill(broker_pid(folder), signal.SIGKILL)
    with pytest.raises(LedgerUnreachable):
        await link.call(AskUsage())
    reply = None
    while reply is None:  # the dead broker's socket may still accept a connection for a moment
        with contextlib.suppress(LedgerUnreachable):
            reply = await link.call(AskUsage())
    assert reply.ledger == ledger
    assert held(reply) == (2, 3)
    await link.close()


def test_a_broker_on_a_port_requires_its_token(tmp_path: Path) -> None:
    place = BrokerFolder(tmp_path, by_port=True)

    async def main() -> None:
        link = BrokerLink(tmp_path, by_port=True)
        await link.call(AskUsage())
        assert place.port_file.stat().st_mode & 0o077 == 0
        place.port_file.write_bytes(place.port_file.read_bytes().replace(b'"token":"', b'"token":"x'))
        stranger = BrokerLink(tmp_path, by_port=True)
        with pytest.raises(LedgerUnreachable):
            await stranger.call(AskUsage())
        await link.close()
        await stranger.close()

    asyncio.run(main())


class System:
    """The machine's boot-time clock and its successive brokers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 1_000 * NS_PER_S
        self.boot = "first"
        self.begin()

    def begin(self) -> None:
        """Start a new broker that finds the files left by its predecessor."""
        self.broker = KeptLedger(self.path, REAL_DISK.files, lambda: self.now, Random(1), self.boot)

    def say(self, message: Message) -> LedgerReply:
        return self.broker.apply(message)


@pytest.fixture
def system(tmp_path: Path) -> System:
    """Return a system with a broker from which a bot has leased three slots."""
    made = System(tmp_path / "ledger")
    made.say(Join("a", "", (POOL,)))
    assert made.say(TAKE_THREE).granted == ((0, 3),)
    return made


def test_a_new_broker_grants_slots_immediately_and_its_replacement_keeps_its_state(system: System) -> None:
    before = system.say(AskUsage())
    system.begin()
    assert system.say(AskUsage()) == before
    assert system.say(TAKE_THREE).granted == ((0, 3),)  # a repeated message gets an identical response
    assert held(before) == (3, 3)


def test_a_limit_lowered_after_a_429_stays_lowered_after_a_broker_restart(system: System) -> None:
    system.say(Sync("a", 2, (Report(pool=0, lower=True),)))
    system.begin()
    assert system.say(AskUsage()).usage[0].in_force == 8


@pytest.mark.parametrize("what", ["torn", "written by another program", "before a reboot", "later than now"])
def test_after_the_ledger_is_lost_no_slots_are_granted_while_earlier_requests_may_still_count(
    system: System, what: str
) -> None:
    if what == "torn":
        system.path.write_bytes(system.path.read_bytes()[:-20])
    elif what == "written by another program":
        system.path.write_bytes(b"junk")
    elif what == "later than now":
        system.now = 5 * NS_PER_S
    else:
        # the new boot has lasted longer than the one before, in which the bot was started with the machine
        system.boot, system.now = "second", system.now + 15 * NS_PER_S
    system.begin()
    system.say(Join("b", "", (POOL,)))
    reply = system.say(Sync("b", 1, (Report(pool=0, wanted=3),)))
    assert reply.granted == ()
    ((_, wait),) = reply.closed
    # a request may arrive up to two seconds later, and then counts for a minute
    assert 62 * NS_PER_S < wait < 63 * NS_PER_S
    system.now += wait
    system.say(Join("b", "", (POOL,)))  # rejoin, because the bot was silent during this wait
    assert system.say(Sync("b", 1, (Report(pool=0, wanted=3),))).granted == ((0, 3),)


def test_a_new_broker_removes_what_a_killed_one_left_half_written(tmp_path: Path) -> None:
    folder = BrokerFolder(tmp_path, by_port=False)
    KeptLedger(folder.ledger, REAL_DISK.files, lambda: NS_PER_S, Random(1), "first").apply(Join("a", "", (POOL,)))
    for name in ("ledger.4711.new", "port.json.4711.new"):
        (tmp_path / name).write_bytes(b"half")
    Broker(folder, REAL_DISK.files, lambda: NS_PER_S, Random(1), "first")
    assert REAL_DISK.files.names(tmp_path) == ["ledger"]


def test_a_ledger_that_a_power_failure_took_with_its_first_requests_counts_as_lost(tmp_path: Path) -> None:
    files, now = MemoryFiles(), 10 * NS_PER_S
    first = KeptLedger(tmp_path / "ledger", files, lambda: now, Random(1), "first")
    first.apply(Join("a", "", (POOL,)))
    assert first.apply(TAKE_THREE).granted == ((0, 3),)
    files.crash()
    now = 40 * NS_PER_S
    second = KeptLedger(tmp_path / "ledger", files, lambda: now, Random(2), "second")
    second.apply(Join("b", "", (POOL,)))
    assert second.apply(Sync("b", 1, (Report(pool=0, wanted=3),))).granted == ()


def test_a_silent_bot_is_declared_dead_even_after_the_broker_was_replaced(system: System) -> None:
    system.say(Join("b", "", (POOL,)))
    for number in range(1, 9):  # only "b" continues, and its heartbeats change nothing that must be saved
        system.now += NS_PER_S
        system.say(Sync("b", number))
    assert held(system.say(AskUsage())) == (0, 3)
    system.begin()
    system.now += 4 * NS_PER_S
    # without a broker, the bot could not send any request, so it is not declared dead yet
    assert held(system.say(AskUsage())) == (3, 3)
    system.now += 2 * NS_PER_S
    assert held(system.say(AskUsage())) == (0, 3)


# -- judged from outside, with windows of a few seconds instead of a minute ------------------------------------------


#: 80 ms of latency is a larger share of a window of a few seconds than of a one-minute window
MOST_OF_IT = 85


def judge(window_s: int, processes: int, deeds: Callable[[Trial, Path], None]) -> None:
    with trial(limits_for(window_s)) as judged:
        folder = judged.folder / "b"
        for _ in range(processes):
            judged.send("--ledger", str(folder), "--seconds", "600", "--creates", "800", "--refill")
        judged.until_sending()
        deeds(judged, folder)
        judged.stop()
        verdict, told = judged.verdict()
        assert len(told) == sum(sender.returncode == 0 for sender in judged.senders) > 0
        assert verdict["violations"] == 0, verdict


def test_two_processes_share_their_limits_through_the_broker() -> None:
    judge(4, 2, lambda judged, folder: judged.until_busy("create_order", MOST_OF_IT) and None)


@pytest.mark.skipif(sys.platform != "linux", reason="finds the broker in /proc")
def test_killing_a_process_and_then_the_broker_causes_no_limit_to_be_exceeded() -> None:
    def deeds(judged: Trial, folder: Path) -> None:
        arrived = judged.until_busy("create_order", MOST_OF_IT)
        judged.senders[0].kill()
        arrived = judged.until_busy("create_order", 20, since=arrived)
        os.kill(broker_pid(folder), signal.SIGKILL)
        judged.until_busy("create_order", MOST_OF_IT, since=arrived)

    judge(4, 3, deeds)
