"""The broker as a process: found or started, shared, killed, replaced; and judged from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from botkit.live.clock import counter_ns
from botkit.live.shared_limits.broker import FOLDER_VARIABLE, BrokerPlace, Entry, LedgerLog, take_lock
from botkit.live.shared_limits.broker_link import BrokerLink
from botkit.live.shared_limits.ledger import AskUsage, Join, Reply, Report, SharedPool, SharedWindow, Sync
from botkit.live.shared_limits.slots import LedgerUnreachable
from tests.benchmarks.limits_judge import Trial, broker_pid, limits_for, trial, used

POOL = SharedPool("create_order", 2_000_000, 0, (SharedWindow("v|ip|create", 10, 60, 60_000_000),))
TAKE_THREE = Sync("a", 1, (Report(pool=0, wanted=3),))


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A broker's folder; the broker ends with the test."""
    place = tmp_path / getattr(request, "param", "b")
    yield place
    if sys.platform == "linux":
        with contextlib.suppress(LookupError):
            os.kill(broker_pid(place), signal.SIGKILL)


def held(reply: Reply) -> tuple[int, int]:
    (window,) = reply.usage
    return window.leased, window.held


@pytest.mark.parametrize("by_port", [False, True])
async def test_the_broker_is_started_when_absent_and_shared_when_there(folder: Path, by_port: bool) -> None:
    first, second = (BrokerLink(folder, by_port=by_port) for _ in range(2))
    await asyncio.gather(first.call(Join("a", "", (POOL,))), second.call(Join("b", "", (POOL,))))
    assert (await first.call(TAKE_THREE)).granted == ((0, 3),)
    assert held(await second.call(AskUsage())) == (3, 3)
    await first.close()
    await second.close()


def test_bots_of_a_terminal_and_of_a_service_look_for_the_broker_in_one_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    terminal = BrokerPlace()
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    service = BrokerPlace()
    assert (terminal.socket, terminal.port_file, terminal.lock) == (service.socket, service.port_file, service.lock)


@pytest.mark.parametrize("folder", ["x" * 100], indirect=True)
async def test_a_folder_too_deep_for_a_socket_is_served_by_a_port(folder: Path) -> None:
    link = BrokerLink(folder)
    await link.call(Join("a", "", (POOL,)))
    assert held(await link.call(AskUsage())) == (0, 0)
    assert BrokerPlace(folder).port_file.exists()
    await link.close()


async def test_a_message_that_is_sent_twice_is_applied_once(folder: Path) -> None:
    link = BrokerLink(folder)
    await link.call(Join("a", "", (POOL,)))
    once = await link.call(TAKE_THREE)
    assert await link.call(TAKE_THREE) == once
    assert held(await link.call(AskUsage())) == (3, 3)
    await link.close()


@pytest.mark.skipif(sys.platform != "linux", reason="finds the broker in /proc")
async def test_a_broker_that_was_killed_is_replaced_by_one_that_knows_the_same(folder: Path) -> None:
    link = BrokerLink(folder)
    ledger = (await link.call(Join("a", "", (POOL,)))).ledger
    await link.call(TAKE_THREE)
    await link.call(Sync("a", 2, (Report(pool=0, cooled=(0,)),)))
    os.kill(broker_pid(folder), signal.SIGKILL)
    with pytest.raises(LedgerUnreachable):
        await link.call(AskUsage())
    reply = None
    while reply is None:  # the socket of the dead one may take a connection for a moment more
        with contextlib.suppress(LedgerUnreachable):
            reply = await link.call(AskUsage())
    assert reply.ledger == ledger
    assert held(reply) == (2, 3)
    await link.close()


def test_a_port_needs_its_token(tmp_path: Path) -> None:
    place = BrokerPlace(tmp_path, by_port=True)

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
    if sys.platform == "linux":
        os.kill(broker_pid(tmp_path), signal.SIGKILL)


def a_log(path: Path) -> LedgerLog:
    log = LedgerLog(path)
    log.apply(Join("a", "", (POOL,)))
    log.apply(TAKE_THREE)
    log.close()
    return log


def test_a_log_with_a_torn_end_is_read_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "ledger.log"
    a_log(path)
    with path.open("ab") as file:
        file.write(b"\0\0\1\0torn")
    log = LedgerLog(path)
    assert held(log.ledger.apply(AskUsage(), counter_ns())) == (3, 3)
    log.close()


def test_a_limit_that_was_lowered_after_a_429_is_still_lower_after_a_restart(tmp_path: Path) -> None:
    log = LedgerLog(tmp_path / "log")
    log.apply(Join("a", "", (POOL,)))
    log.apply(Sync("a", 1, (Report(pool=0, lower=True),)))
    assert log.apply(AskUsage()).usage[0].in_force == 8
    for _ in range(2):  # the first reads what was written message by message, the second a snapshot
        log.close()
        log = LedgerLog(tmp_path / "log")
        assert log.apply(AskUsage()).usage[0].in_force == 8
    log.close()


def test_a_log_that_cannot_be_read_opens_no_window_before_it_has_run_full(tmp_path: Path) -> None:
    path = tmp_path / "ledger.log"
    path.write_bytes(b"\0\0\0\4junk")
    log = LedgerLog(path)
    log.apply(Join("a", "", (POOL,)))
    reply = log.apply(TAKE_THREE)
    assert reply.granted == ()
    assert 59_000_000 < reply.blocked_us <= 60_000_000
    log.close()


def test_after_a_restart_of_the_machine_every_window_runs_full_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.log"
    a_log(path)
    monkeypatch.setattr("botkit.live.shared_limits.broker.counter_ns", lambda: 5_000_000_000)  # seconds after the start
    log = LedgerLog(path)
    log.apply(Join("b", "", (POOL,)))
    assert log.apply(Sync("b", 1, (Report(pool=0, wanted=1),))).granted == ()
    log.close()


def test_silence_is_written_down_so_that_a_replay_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [counter_ns()]
    monkeypatch.setattr("botkit.live.shared_limits.broker.counter_ns", lambda: now[0])
    path = tmp_path / "ledger.log"
    log = LedgerLog(path)
    log.apply(Join("a", "", (POOL,)))
    log.apply(Join("b", "", (POOL,)))
    log.apply(Sync("a", 1, (Report(pool=0, wanted=3),)))
    for number in range(1, 9):  # only "b" goes on, by heartbeats that are not worth a line
        now[0] += 1_000_000_000
        log.apply(Sync("b", number))
    size = path.stat().st_size
    before = log.ledger.apply(AskUsage(), now[0])
    log.close()
    again = LedgerLog(path)
    assert again.ledger.apply(AskUsage(), now[0]).usage == before.usage
    assert held(before) == (0, 3)
    assert size < 1000
    assert Entry is not None
    again.close()


def test_only_one_holds_the_lock(tmp_path: Path) -> None:
    first = take_lock(tmp_path / "lock")
    assert first is not None
    assert take_lock(tmp_path / "lock") is None
    first.close()
    second = take_lock(tmp_path / "lock")
    assert second is not None
    second.close()


# -- judged from outside, with windows of a few seconds in place of a minute -------------------------------------------


def judge(window_s: int, processes: int, seconds: float, deeds: Callable[[Trial, Path], None] | None = None) -> None:
    with trial(limits_for(window_s)) as judged:
        folder = judged.folder / "b"
        for _ in range(processes):
            judged.send("--ledger", str(folder), "--seconds", str(seconds), "--creates", "800", "--refill")
        if deeds is not None:
            deeds(judged, folder)
        verdict, told = judged.verdict()
        assert told
        assert verdict["violations"] == 0, verdict
        # the share of a window of seconds that a way of 80 ms takes is larger than that of a minute's
        assert used(verdict, "create_order") >= (85 if deeds is None else 50), verdict


def test_two_processes_share_by_the_broker() -> None:
    judge(4, 2, 9)


@pytest.mark.skipif(sys.platform != "linux", reason="finds the broker in /proc")
def test_killing_a_process_and_then_the_broker_breaks_no_limit() -> None:
    def deeds(judged: Trial, folder: Path) -> None:
        time.sleep(5)
        judged.senders[0].kill()
        time.sleep(1.5)
        os.kill(broker_pid(folder), signal.SIGKILL)

    judge(4, 3, 14, deeds)
