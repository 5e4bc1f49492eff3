"""The real machine behaves as documented in its ports. A bot also runs on substitutes for these ports."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from random import Random
from typing import Any

import pytest

from botkit.live import commands
from botkit.live.background import OnLoop, Threads
from botkit.live.clock import SteadyClock
from botkit.live.disk import RealDisk
from botkit.live.journal import Journal
from botkit.live.journal_watch import JournalWatch
from botkit.live.machine import boot_by_clock, boot_id
from botkit.live.notifications.notify import Channel, Notifications
from botkit.live.notifications.outbox import Policy
from botkit.live.ports import Appending, Background, Disk, DurableFile, DurableFiles, Files, Lock, Pulses
from botkit.live.state_folder import AlreadyRunning, FolderUnusable, KeptHalt, StateFolder
from botkit.live.watchdog import Watchdog
from botkit.model.clock import NS_PER_HOUR, NS_PER_S
from tests.waiting import PATIENCE_S


class HandClock:
    """A machine clock that a test advances."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000 * NS_PER_S
        self.counter = 5 * NS_PER_S

    def wall_ns(self) -> int:
        return self.wall

    def monotonic_s(self) -> float:
        return self.counter / NS_PER_S

    def counter_ns(self) -> int:
        return self.counter

    def sleep(self, seconds: float) -> None:
        self.counter += int(seconds * NS_PER_S)


class MemoryFiles:
    """Files in memory. A crash loses writes that are not durable."""

    def __init__(self) -> None:
        self.now: dict[Path, bytes] = {}
        self.on_disk: dict[Path, bytes] = {}
        self.full = False

    def read(self, path: Path) -> bytes:
        if path not in self.now:
            raise FileNotFoundError(path)
        return self.now[path]

    def write(self, path: Path, content: bytes, *, durable: bool = True) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.now[path] = content
        if durable:
            self.on_disk[path] = content

    def append(self, path: Path) -> Appending:
        raise NotImplementedError

    def names(self, folder: Path) -> list[str]:
        return sorted(path.name for path in self.now if path.parent == folder)

    def remove(self, path: Path) -> None:
        self.now.pop(path, None)
        self.on_disk.pop(path, None)

    def identity(self, path: Path) -> tuple[int, int] | None:
        return (0, id(self.now[path])) if path in self.now else None

    def crash(self) -> None:
        self.now = dict(self.on_disk)


class MemoryPulses:
    def __init__(self) -> None:
        self.stamps: dict[Path, int] = {}
        self.read_only = False

    def beat(self, path: Path, time: int) -> None:
        if self.read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        self.stamps[path] = time

    def last(self, path: Path) -> int | None:
        return self.stamps.get(path)


class MemoryDurable:
    """Files whose in-place writes reach the disk immediately."""

    def __init__(self, files: MemoryFiles) -> None:
        self._files = files

    def open(self, path: Path) -> DurableFile:
        return _MemoryInPlace(self._files, path)


class _MemoryInPlace:
    def __init__(self, files: MemoryFiles, path: Path) -> None:
        self._files, self._path = files, path
        self.size = len(files.read(path))

    def write(self, at: int, content: bytes) -> None:
        assert at + len(content) <= self.size
        was = self._files.read(self._path)
        self._files.write(self._path, was[:at] + content + was[at + len(content) :])

    def close(self) -> None:
        pass


class MemoryDisk:
    def __init__(self) -> None:
        self.memory = MemoryFiles()
        self.files: Files = self.memory
        self.stamped = MemoryPulses()
        self.pulses: Pulses = self.stamped
        self.durable: DurableFiles = MemoryDurable(self.memory)
        self.locks: dict[Path, str] = {}

    def lock(self, path: Path, note: str) -> Lock | None:
        if path in self.locks:
            return None
        self.locks[path] = note
        return _MemoryLock(self.locks, path)

    def holder(self, path: Path) -> str | None:
        return self.locks.get(path)

    def connect(self, path: Path, *, read_only: bool = False) -> sqlite3.Connection:
        return sqlite3.connect(":memory:", isolation_level=None)

    def free_bytes(self, path: Path) -> int | None:
        return 0 if self.memory.full else None

    def folder_bytes(self, folder: Path) -> int:
        return sum(len(content) for path, content in self.memory.now.items() if path.parent == folder)

    def remove_folder(self, folder: Path) -> None:
        for path in [path for path in self.memory.now if folder in path.parents]:
            self.files.remove(path)


class _MemoryLock:
    def __init__(self, locks: dict[Path, str], path: Path) -> None:
        self._locks, self._path = locks, path

    def release(self) -> None:
        self._locks.pop(self._path, None)


# -- a disk of another kind -------------------------------------------------------------------------------------------


def test_the_state_folder_uses_the_given_disk(tmp_path: Path) -> None:
    disk = MemoryDisk()
    folder = StateFolder(tmp_path / "never", disk)
    folder.lock()
    assert folder.holder() == os.getpid()
    with pytest.raises(AlreadyRunning, match=str(os.getpid())):
        StateFolder(tmp_path / "never", disk).lock()
    folder.set_halt(KeptHalt(kind="panic", reason="by hand", time=1))
    folder.write_status({"orders": 3})
    disk.memory.crash()
    assert folder.is_halted()
    halt = folder.halt()
    assert halt is not None
    assert halt.reason == "by hand"
    assert folder.read_status() is None, "the status is not worth waiting for the disk"
    folder.clear_halt()
    assert not folder.is_halted()
    folder.unlock()
    assert folder.holder() is None
    assert not (tmp_path / "never").exists()


def test_the_journal_uses_the_given_disk_and_its_client_ids_continue_after_a_crash(tmp_path: Path) -> None:
    disk = MemoryDisk()
    journal = Journal.open(tmp_path / "never" / "journal.sqlite", disk=disk, background=OnLoop())
    _, until = journal.lease_ids(Random(1))
    disk.memory.crash()
    journal.close()
    # the journal is empty, but the client ID count is in a separate file
    restored = Journal.open(tmp_path / "never" / "journal.sqlite", disk=disk)
    first, _ = restored.lease_ids(Random(1))
    restored.close()
    assert first >= until
    assert not (tmp_path / "never").exists()


def test_waiting_for_a_command_response_uses_the_given_clock(tmp_path: Path) -> None:
    disk, clock = MemoryDisk(), HandClock()
    folder = StateFolder(tmp_path, disk)
    with pytest.raises(commands.CommandFailed, match="is not running"):
        commands.ask(folder, "stop", clock=clock)
    folder.lock()
    with pytest.raises(commands.CommandFailed, match="did not answer within 3 s"):
        commands.ask(folder, "stop", timeout_s=3.0, clock=clock)
    assert clock.monotonic_s() == pytest.approx(8, abs=0.1)
    assert commands.take(folder) == [], "a command that was given up must not be executed later"

    def answered(seconds: float) -> None:
        [(path, document)] = commands.take(folder)
        commands.answer(folder, path, ok=True, text=f"{document['command']}ping")

    clock.sleep = answered  # type: ignore[method-assign]
    assert commands.ask(folder, "stop", clock=clock) == "stopping"


def test_a_command_that_the_user_gives_up_is_withdrawn(tmp_path: Path) -> None:
    clock, folder = HandClock(), StateFolder(tmp_path, MemoryDisk())
    folder.lock()

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    clock.sleep = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        commands.ask(folder, "stop", clock=clock)
    assert commands.take(folder) == []


def test_new_orders_are_held_back_while_the_disk_does_not_respond(tmp_path: Path) -> None:
    disk = MemoryDisk()

    def broken(path: Path) -> None:
        raise OSError(errno.EIO, "input/output error")

    folder = StateFolder(tmp_path, disk)
    assert not folder.is_halted()
    disk.memory.identity = broken  # type: ignore[method-assign]
    assert folder.is_halted()


def test_a_command_whose_file_cannot_be_removed_is_not_executed(tmp_path: Path) -> None:
    disk = MemoryDisk()
    folder = StateFolder(tmp_path, disk)
    commands.leave(folder, "stop", clock=HandClock())

    def read_only(path: Path) -> None:
        raise OSError(errno.EROFS, "read-only file system")

    disk.memory.remove = read_only  # type: ignore[method-assign]
    assert commands.take(folder) == []


# -- this machine's disk ----------------------------------------------------------------------------------------------


def test_a_file_is_either_replaced_completely_or_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, path = RealDisk().files, tmp_path / "a" / "b.json"
    files.write(path, b"old")

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write(path, b"new")
    assert files.read(path) == b"old"
    assert files.names(path.parent) == ["b.json"], "half a file was left over"
    assert files.names(tmp_path / "nowhere") == []


def test_what_a_killed_process_left_half_written_is_removed_when_its_bot_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(*names: object) -> None:
        raise Killed

    folder = StateFolder(tmp_path)
    own = [folder.journal.with_name("journal.sqlite-log-00000002"), tmp_path / "status.json", tmp_path / "claim.json"]
    of_others = [tmp_path / "halt.json", tmp_path / "viewed", folder.commands / "1.json"]
    for number, path in enumerate((*own, *of_others)):
        with monkeypatch.context() as dying:
            dying.setattr(os, "replace", kill)
            if number % 2:  # in a container, every run of a bot may have the same process id
                dying.setattr(os, "getpid", lambda: 4711)
            with pytest.raises(Killed):
                folder.disk.files.write(path, b"half")
    folder.disk.files.write(folder.journal, b"in use")
    (tmp_path / "journal.new").write_text("a user's file")
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.new")}
    assert len(left) == 7

    running = StateFolder(tmp_path)
    held = RealDisk().lock(tmp_path / "lock", "another process")
    assert held is not None
    with pytest.raises(AlreadyRunning):
        running.lock()
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.new")} == left
    held.release()
    running.lock()
    running.unlock()
    rest = sorted(path.relative_to(tmp_path).as_posix().split(".")[0] for path in tmp_path.rglob("*.new"))
    assert rest == ["commands/1", "halt", "journal", "viewed"]
    assert folder.journal.read_bytes() == b"in use"


def test_appended_data_follows_the_existing_content(tmp_path: Path) -> None:
    files, path = RealDisk().files, tmp_path / "run" / "log"
    for part in (b"one ", b"two"):
        with_end = files.append(path)
        with_end.write(part)
        with_end.close()
    assert files.read(path) == b"one two"
    before = files.identity(path)
    assert before is not None
    files.remove(path)
    files.remove(path)
    assert files.identity(path) is None
    with pytest.raises(FileNotFoundError):
        files.read(path)


def test_a_heartbeat_can_be_read_back_and_does_not_replace_the_file(tmp_path: Path) -> None:
    disk, path = RealDisk(), tmp_path / "lock"
    assert disk.pulses.last(path) is None
    with pytest.raises(FileNotFoundError):
        disk.pulses.beat(path, NS_PER_S)
    path.write_text("note")
    before = disk.files.identity(path)
    for time in (1_700_000_000 * NS_PER_S, 1_600_000_000 * NS_PER_S):
        disk.pulses.beat(path, time)
        assert disk.pulses.last(path) == time
    assert disk.files.identity(path) == before
    assert path.read_text() == "note"


@pytest.mark.skipif(os.name != "posix", reason="this system can lock a file that is open for reading")
def test_the_holder_of_a_lock_can_be_read_on_a_read_only_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, path = RealDisk(), tmp_path / "lock"
    held, is_open = disk.lock(path, "4711"), Path.open
    assert held is not None

    def read_only(path: Path, mode: str = "r", **options: Any) -> Any:
        if "+" in mode:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return is_open(path, mode, **options)

    monkeypatch.setattr(Path, "open", read_only)
    assert disk.holder(path) == "4711"
    held.release()
    assert disk.holder(path) is None


def test_an_in_place_write_is_synced_before_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, path = RealDisk(), tmp_path / "log"
    disk.files.write(path, bytes(100))
    file = disk.durable.open(path)
    done: list[str] = []
    write, sync = os.pwrite, getattr(os, "fdatasync", os.fsync)

    def short(number: int, content: bytes, at: int) -> int:
        done.append("write")
        return write(number, content[:3], at)  # the system may write only some of the bytes

    def synced(number: int) -> None:
        done.append("sync")
        sync(number)

    monkeypatch.setattr(os, "pwrite", short)
    monkeypatch.setattr(os, sync.__name__, synced)
    file.write(10, b"0123456")
    assert done == ["write"] * 3 + ["sync"]
    assert disk.files.read(path) == bytes(10) + b"0123456" + bytes(83)
    with pytest.raises(AssertionError, match="never grows"):
        file.write(95, b"0123456")
    file.close()


class _Direct:
    """A file opened for direct writes, with a record of its write and sync calls."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.error = 0
        RealDisk().files.write(path, bytes(range(256)) * 64)
        self.file = RealDisk().durable.open(path)
        if self.file._blocks is None:  # type: ignore[attr-defined]
            pytest.skip("this file system has no direct writes")
        write, sync = os.pwrite, os.fdatasync

        def written(number: int, content: bytes, at: int) -> int:
            is_direct = isinstance(content, memoryview)
            self.calls.append(f"{'direct' if is_direct else 'cached'} {len(content)} at {at}")
            if is_direct and self.error:
                raise OSError(self.error, os.strerror(self.error))
            return write(number, content, at)

        def synced(number: int) -> None:
            self.calls.append("sync")
            sync(number)

        monkeypatch.setattr(os, "pwrite", written)
        monkeypatch.setattr(os, "fdatasync", synced)


def test_a_direct_write_replaces_its_bytes_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, content = tmp_path / "log", bytearray(bytes(range(256)) * 64)
    direct = _Direct(path, monkeypatch)
    for at, part in ((10, b"0123456"), (4_090, b"over two blocks"), (17, b"after the first"), (16_380, b"last")):
        direct.file.write(at, part)
        content[at : at + len(part)] = part
        assert RealDisk().files.read(path) == content
    direct.file.close()
    assert direct.calls == ["direct 4096 at 0", "direct 8192 at 0", "direct 4096 at 0", "direct 4096 at 12288"]


def test_on_a_file_system_that_refuses_direct_writes_a_synced_write_is_used_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    direct = _Direct(tmp_path / "log", monkeypatch)
    direct.error = errno.EINVAL
    direct.file.write(10, b"0123456")
    direct.file.write(17, b"78")
    direct.file.close()
    assert direct.calls == ["direct 4096 at 0", "cached 7 at 10", "sync", "cached 2 at 17", "sync"]
    assert RealDisk().files.read(tmp_path / "log")[9:20] == b"\x09012345678\x13"


def test_a_direct_write_to_a_failing_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    direct = _Direct(tmp_path / "log", monkeypatch)
    direct.error = errno.EIO
    with pytest.raises(OSError, match="error"):
        direct.file.write(10, b"0123456")
    assert direct.calls == ["direct 4096 at 0"]
    direct.file.close()


def test_a_direct_write_has_reached_the_disk_when_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, open_file = [], os.open

    def noted(path: Path, flags: int, *mode: int, **more: Any) -> int:
        if Path(path).name == "log":  # pytest opens folders to remove them
            opened.append(flags)
        return open_file(path, flags, *mode, **more)

    RealDisk().files.write(tmp_path / "log", bytes(8_192))
    monkeypatch.setattr(os, "open", noted)
    RealDisk().durable.open(tmp_path / "log").close()
    assert all(flags & os.O_DSYNC for flags in opened)
    assert opened or sys.platform != "linux"


def test_a_lock_is_held_by_one_process_and_released_when_the_process_exits(tmp_path: Path) -> None:
    disk, path = RealDisk(), tmp_path / "f" / "lock"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom botkit.live.disk import RealDisk\n"
        "held = RealDisk().lock(Path(sys.argv[1]), 'other')\nprint('held', flush=True)\ntime.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        assert disk.lock(path, "mine") is None
        assert disk.holder(path) == "other"
    finally:
        other.kill()
        other.communicate()
    assert disk.holder(path) is None
    held = disk.lock(path, "mine")
    assert held is not None
    held.release()
    held.release()
    assert disk.holder(path) is None


@pytest.mark.skipif(os.name != "posix", reason="on this system a look takes no lock")
def test_two_processes_that_look_at_a_folder_at_once_see_no_bot_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    folder, lock, found = StateFolder(tmp_path), fcntl.flock, list[int | None]()
    folder.lock()
    folder.unlock()

    def met_by_another(file: Any, how: int) -> None:
        lock(file, how)
        if len(found) < 3:
            found.append(None)  # look only once at each depth
            found[-1] = StateFolder(tmp_path).holder()

    monkeypatch.setattr(fcntl, "flock", met_by_another)
    found.append(folder.holder())
    assert found == [None] * 4


@pytest.mark.skipif(os.name != "posix", reason="on this system a look takes no lock")
def test_a_bot_starts_although_another_process_is_looking_at_its_folder(tmp_path: Path) -> None:
    import fcntl

    folder, clock = StateFolder(tmp_path), HandClock()
    folder.lock()
    folder.unlock()
    looking, since = (tmp_path / "lock").open(), clock.counter
    fcntl.flock(looking, fcntl.LOCK_SH)

    def passes(seconds: float) -> None:
        clock.counter += int(seconds * NS_PER_S)
        if clock.counter - since > NS_PER_S:
            looking.close()

    clock.sleep = passes  # type: ignore[method-assign]
    folder.lock(clock)
    assert folder.holder() == os.getpid()
    with pytest.raises(AlreadyRunning, match=str(os.getpid())):
        StateFolder(tmp_path).lock(clock)
    folder.unlock()


@pytest.mark.skipif(os.name != "posix", reason="on this system a look takes no lock")
def test_a_program_that_never_releases_a_folder_stops_the_start_with_a_clear_error(tmp_path: Path) -> None:
    import fcntl

    clock = HandClock()
    with (tmp_path / "lock").open("w") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        with pytest.raises(FolderUnusable, match="a program that is not a bot"):
            StateFolder(tmp_path).lock(clock)
    assert clock.counter < 60 * NS_PER_S


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_during_folder_creation_raises_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to("/dev/full")
    with pytest.raises(FolderUnusable, match="cannot be written"):
        StateFolder(tmp_path).lock()


# -- the machine's boots ----------------------------------------------------------------------------------------------


def test_every_process_reads_the_same_boot() -> None:
    code = "from botkit.live.machine import boot_id\nprint(boot_id())"
    other = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, text=True)
    if sys.platform in ("linux", "darwin"):  # elsewhere the clocks tell, which may pass a step between the two
        assert other.stdout.strip() == boot_id()
    assert boot_id()


@pytest.mark.parametrize("up_s", [12, 900_000])
def test_the_clocks_tell_a_boot_from_the_one_before(up_s: int) -> None:
    clock = HandClock()
    clock.wall = 1_700_000_000 * NS_PER_S
    first = boot_by_clock(clock)
    for _ in range(2):
        clock.wall, clock.counter = clock.wall + up_s * NS_PER_S, clock.counter + up_s * NS_PER_S
        assert boot_by_clock(clock) == first
    clock.wall, clock.counter = clock.wall + 25 * NS_PER_S, clock.counter + NS_PER_S
    assert boot_by_clock(clock) != first, "the machine was off for a moment, and has been up for longer than before"


# -- background -------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["threads", "loop"])
def background(request: pytest.FixtureRequest) -> Background:
    return Threads() if request.param == "threads" else OnLoop()


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0)


async def test_background_work_runs_once_and_can_be_awaited(background: Background) -> None:
    done: list[int] = []
    job = background.start("once", lambda: done.append(1))
    job.wait()
    assert done == [1]
    assert not job.is_running()
    assert await background.run(lambda: 7) == 7


async def test_a_repeated_step_can_be_woken_and_runs_once_more_at_the_end(background: Background) -> None:
    steps: list[int] = []
    ending = False

    def step() -> float | None:
        steps.append(1)
        return None if ending else 3_600.0

    work = background.repeat("steps", step)
    await until(lambda: len(steps) == 1)
    work.wake()
    await until(lambda: len(steps) == 2)
    ending = True
    work.stop(5.0)
    assert len(steps) == 3
    work.wake()
    await asyncio.sleep(0)
    work.stop(5.0)
    assert len(steps) == 3, "a job that has ended must not run again"


async def test_a_callers_frame_can_be_inspected_only_from_another_thread(background: Background) -> None:
    look = background.caller_frame()
    frame = await background.run(look)
    assert (frame is None) == isinstance(background, OnLoop)


async def test_no_part_of_a_bot_starts_a_thread_if_background_work_runs_on_the_event_loop(tmp_path: Path) -> None:
    before = threading.active_count()
    clock, on_loop = HandClock(), OnLoop()
    sent: list[str] = []

    class Sink:
        def notify(self, level: str, title: str, text: str) -> None:
            sent.append(text)

    steady = SteadyClock.of(clock)
    notifications = Notifications(
        [Channel("sink", Sink(), Policy(digest_s=30))],
        name="bot",
        clock=steady,
        day_start=lambda now: 0,
        background=on_loop,
    )
    notifications.start()
    notifications.tell("info", "bought")
    watchdog = Watchdog(lambda blocked: None, clock=clock, background=on_loop)
    watchdog.start()
    journal = Journal.open(tmp_path / "j.sqlite", background=on_loop)
    for number in range(400):
        journal.commit(sends=[(number, "x", 1, ())])
        journal.filling.beside()
    journal.close()
    await asyncio.sleep(0)
    assert sent == []
    clock.counter += 30 * NS_PER_S
    notifications.tell("info", "sold")  # a new message wakes the event loop
    await asyncio.sleep(0)
    assert sent == ["bought\nsold"]
    assert threading.active_count() == before
    watchdog.stop()
    notifications.close()


async def test_a_failed_message_is_retried_after_a_pause_measured_by_the_given_clock() -> None:
    clock, sent, tries = HandClock(), [], []

    class Flaky:
        def notify(self, level: str, title: str, text: str) -> None:
            tries.append(clock.monotonic_s())
            if len(tries) < 3:
                raise ConnectionError
            sent.append(text)

    notifications = Notifications(
        [Channel("flaky", Flaky(), Policy())],
        name="bot",
        clock=SteadyClock.of(clock),
        day_start=lambda now: 0,
        background=OnLoop(),
    )
    notifications.start()
    notifications.tell("error", "broken")
    for _ in range(20):
        await asyncio.sleep(0)
        clock.counter += NS_PER_S
        notifications.tell("info", "")  # a new message wakes the event loop
    assert tries == [5.0, 7.0, 17.0]
    assert sent[0] == "broken"
    notifications.close()


# -- clocks -----------------------------------------------------------------------------------------------------------


def test_the_bots_clock_uses_the_machines_monotonic_counter_rather_than_the_wall_clock() -> None:
    machine = HandClock()
    clock = SteadyClock.of(machine)
    began = clock.now()
    machine.wall += NS_PER_HOUR
    assert clock.now() == began
    machine.counter += 7
    assert clock.now() == began + 7
    assert clock.drift_ns() == NS_PER_HOUR - 7


def test_a_journal_is_watched_through_its_own_disk(tmp_path: Path) -> None:
    disk = MemoryDisk()
    path = tmp_path / "journal.sqlite"
    disk.files.write(path, b"x")

    told: list[str] = []
    journal = Journal.open(path, disk=disk)
    watch = JournalWatch(journal, lambda level, text: told.append(level))
    watch.look(None)
    assert watch.gate() is None
    disk.files.remove(path)
    watch.look(None)
    assert told == ["error"]
    assert "deleted or replaced" in (watch.gate() or "")
    journal.close()


def _fits(disk: Disk) -> None:
    """Let mypy check that the argument satisfies `Disk`."""


_fits(RealDisk())
_fits(MemoryDisk())
