"""A run's two files stay consistent whenever the bot dies: the recording never refers to missing decisions."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from botkit.live.recording import CLOSED, INPUTS, RECORDINGS_KEPT, RUNS_KEPT
from botkit.live.replay import Entries
from botkit.live.run_files import DECISIONS, RunFiles
from tests.simulation.disk import SimulatedDisk


def recorded_end(folder: Path) -> tuple[int, str] | None:
    """Return the decision count and checksum in a closed recording, or None if the recording was not closed."""
    path, found = folder / INPUTS, None
    if path.exists():
        entries = Entries(path)
        while (entry := entries.take()) is not None:
            if entry[0] == CLOSED:
                found = msgspec.msgpack.decode(entry[2], type=tuple[int, str] | None)
        entries.close()
    return found


def dying_disk(last: int, *, is_before: bool) -> SimulatedDisk:
    """Return a disk whose process dies during write number ``last``, either before or after the data is written."""
    writes = 0

    def on_write() -> Callable[[], None] | None:
        nonlocal writes
        writes += 1
        if writes == last and is_before:
            disk.die()
        return disk.die if writes == last and not is_before else None

    disk = SimulatedDisk(on_write)
    return disk


@pytest.mark.parametrize("is_before", [True, False])
def test_a_closed_recording_matches_its_decisions_whenever_the_bot_dies(tmp_path: Path, is_before: bool) -> None:
    ends = []
    for last in range(1, 10):
        folder = tmp_path / f"{last}"
        with contextlib.suppress(OSError):
            files = RunFiles(folder, {}, 1 << 20, lambda text: None, dying_disk(last, is_before=is_before))
            files.recording.write(1, None)
            files.decisions.note("halt", 1, "a reason")
            files.close()
        end = recorded_end(folder)
        ends.append(end)
        if end is not None:
            assert end == (1, hashlib.sha256((folder / DECISIONS).read_bytes()).hexdigest())
    assert ends[0] is None
    assert ends[-1] is not None


def test_a_recording_is_not_closed_if_its_last_decisions_could_not_be_written(tmp_path: Path) -> None:
    told: list[str] = []
    disk = SimulatedDisk()
    files = RunFiles(tmp_path, {}, 1 << 20, told.append, disk)
    files.recording.write(1, None)
    files.decisions.note("halt", 1, "a reason")
    append = files._file
    assert append is not None

    def full() -> None:
        raise OSError(28, "No space left on device")

    append.flush = full  # type: ignore[method-assign]
    files.close()
    assert recorded_end(tmp_path) is None
    assert told == ["decisions.jsonl of this run can no longer be written: [Errno 28] No space left on device"]


def begin(folder: Path) -> None:
    RunFiles(folder, {"config": "x"}, 1 << 30, pytest.fail, SimulatedDisk()).close()


def test_a_bot_that_starts_often_keeps_its_newest_runs_and_the_recordings_of_fewer(tmp_path: Path) -> None:
    for number in range(1, RUNS_KEPT + 31):
        begin(tmp_path / str(number))
        found = sorted(int(run.name) for run in tmp_path.iterdir())
        assert found == list(range(max(1, number - RUNS_KEPT + 1), number + 1))
        recorded = sorted(int(path.parent.name) for path in tmp_path.glob(f"*/{INPUTS}"))
        assert recorded == found[-RECORDINGS_KEPT:]
    assert all((run / DECISIONS).exists() for run in tmp_path.iterdir())


def test_the_run_that_begins_is_kept_even_if_other_runs_have_higher_numbers(tmp_path: Path) -> None:
    for number in range(500, 500 + RUNS_KEPT + 10):
        (tmp_path / str(number)).mkdir()
    begin(tmp_path / "1")
    assert (tmp_path / "1" / INPUTS).exists()
    assert (tmp_path / "1" / DECISIONS).exists()
    assert len(list(tmp_path.iterdir())) == RUNS_KEPT


@pytest.mark.skipif(os.name != "posix", reason="this system does not remove open files")
def test_a_command_that_reads_an_old_run_can_finish_although_the_run_is_removed(tmp_path: Path) -> None:
    for number in range(1, RUNS_KEPT + 1):
        (tmp_path / str(number)).mkdir()
    (tmp_path / "1" / DECISIONS).write_text("one\ntwo\n")
    with (tmp_path / "1" / DECISIONS).open() as reading:
        assert reading.readline() == "one\n"
        begin(tmp_path / str(RUNS_KEPT + 1))
        assert not (tmp_path / "1").exists()
        assert reading.readline() == "two\n"


def test_a_recording_truncated_at_any_byte_is_readable_up_to_that_byte(tmp_path: Path) -> None:
    files = RunFiles(tmp_path, {}, 1 << 20, lambda text: None, SimulatedDisk())
    for now in range(1, 4):
        files.recording.write(now, None)
        files.flush()
    files.close()
    path = tmp_path / INPUTS
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        entries = Entries(path)
        found = []
        while (entry := entries.take()) is not None:
            found.append(entry[1])
        assert found == [0, 1, 2, 3, 0][: len(found)]
        assert entries.take() is None
        entries.close()
    assert len(found) == 5
