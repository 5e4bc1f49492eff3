"""Committed data in the journal's log survives any crash, and nothing else is ever read from the log."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from botkit.cli.main import main
from botkit.live import journal_filling, journal_log
from botkit.live.background import OnLoop
from botkit.live.capital import move_stopped
from botkit.live.disk import RealDisk
from botkit.live.journal import SCHEMA, Journal
from botkit.live.journal_log import (
    FORMAT,
    JournalLog,
    LogHeading,
    Place,
    frame_of,
    make_segment,
    read_tail,
    segment_path,
    segments_of,
)
from botkit.live.journal_losses import has_lost_ids, write_off
from botkit.live.journal_rows import JournalError
from botkit.live.journal_tables import SEALED
from botkit.live.state_folder import StateFolder
from botkit.model.events import Fill
from botkit.model.orders import OrderState, Side
from tests.live.test_journal import order
from tests.live.test_ports import MemoryDisk
from tests.sim.venue import BTC

PATH = Path("/nowhere/journal.sqlite")
#: three segment sizes, with which the records occupy one segment, several segments, or one segment each
SEGMENTS = (65_536, 4_096, 1_024)


def written(bodies: list[bytes], segment_bytes: int) -> tuple[MemoryDisk, Place, list[Place]]:
    """Write a log with these record bodies. Return its disk, its start position, and the position after each record."""
    disk, begin = MemoryDisk(), Place("0123", 1, 0, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_log, "SEGMENT_BYTES", segment_bytes)
        patch.setattr(journal_log, "_BLOCK", 512)
        make_segment(PATH, disk.files, 1)
        log = JournalLog(PATH, disk, begin, contextlib.nullcontext())
        places = [log.append(body) for body in bodies]
        log.close()
    return disk, begin, places


def found(disk: MemoryDisk, place: Place) -> tuple[list[bytes], str | None]:
    tail = read_tail(PATH, disk.files, place)
    return [record.body for record in tail.records], tail.damage


bodies = st.lists(st.binary(min_size=1, max_size=700), min_size=1, max_size=12)


@given(bodies, st.sampled_from(SEGMENTS), st.data())
@settings(deadline=None)
def test_a_log_can_be_read_from_the_position_after_any_record(
    wrote: list[bytes], size: int, data: st.DataObject
) -> None:
    disk, begin, places = written(wrote, size)
    at = data.draw(st.integers(0, len(wrote)))
    assert found(disk, [begin, *places][at]) == (wrote[at:], None)
    assert [record.end for record in read_tail(PATH, disk.files, begin).records] == places


@given(bodies, st.sampled_from(SEGMENTS), st.data())
@settings(deadline=None, max_examples=150)
def test_a_flipped_bit_loses_at_most_the_last_commit_or_is_reported_as_damage(
    wrote: list[bytes], size: int, data: st.DataObject
) -> None:
    disk, begin, places = written(wrote, size)
    segment = data.draw(st.sampled_from(segments_of(PATH, disk.files)))
    path = segment_path(PATH, segment)
    content = bytearray(disk.files.read(path))
    used = len(content.rstrip(b"\0"))
    content[data.draw(st.integers(0, min(used + 16, len(content)) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    disk.files.write(path, bytes(content))
    read, damage = found(disk, begin)
    assert read == wrote[: len(read)], "the log shows a commit that nobody made"
    assert damage is not None or len(read) >= len(wrote) - 1
    # commits that have already been copied to SQLite cannot be lost
    at = data.draw(st.integers(0, len(wrote)))
    read, damage = found(disk, [begin, *places][at])
    assert read == wrote[at : at + len(read)]
    assert damage is not None or len(read) >= len(wrote) - at - 1


@given(bodies, st.sampled_from(SEGMENTS), st.data())
@settings(deadline=None, max_examples=100)
def test_after_a_torn_write_exactly_the_acknowledged_records_can_be_read(
    wrote: list[bytes], size: int, data: st.DataObject
) -> None:
    disk, begin, places = written(wrote, size)
    before, _, _ = written(wrote[:-1], size)
    last = places[-1].segment
    whole = disk.files.read(segment_path(PATH, last))
    was = before.files.read(segment_path(PATH, last)) if last in segments_of(PATH, before.files) else bytes(len(whole))
    # keep any subset of the sectors touched by the last write, and cut another sector at any byte
    changed = [i for i in range(0, len(whole), 512) if whole[i : i + 512] != was[i : i + 512]]
    torn = bytearray(was)
    for sector in data.draw(st.lists(st.sampled_from(changed), unique=True, max_size=len(changed) - 1)):
        torn[sector : sector + 512] = whole[sector : sector + 512]
    rest = [i for i in changed if torn[i : i + 512] != whole[i : i + 512]]
    cut = data.draw(st.sampled_from(rest))
    count = data.draw(st.integers(0, 511))
    torn[cut : cut + count] = whole[cut : cut + count]
    disk.files.write(segment_path(PATH, last), bytes(torn))
    read, damage = found(disk, begin)
    if bytes(torn) == whole:
        assert (read, damage) == (wrote, None)
    else:
        assert (read, damage) == (wrote[:-1], None), "a crash while a commit is written is not damage"


@given(bodies, st.sampled_from(SEGMENTS), st.data())
@settings(deadline=None, max_examples=100)
def test_a_truncated_or_emptied_log_is_reported_as_damaged(wrote: list[bytes], size: int, data: st.DataObject) -> None:
    disk, begin, places = written(wrote, size)
    segment = data.draw(st.sampled_from(segments_of(PATH, disk.files)))
    path = segment_path(PATH, segment)
    content = disk.files.read(path)
    ends = [place.offset for place in places if place.segment == segment]
    cut = data.draw(st.integers(0, ends[-1] - 1))
    is_cut = data.draw(st.booleans())
    damaged = content[:cut] if is_cut else content[:cut].ljust(len(content), b"\0")
    assume(damaged != content)
    disk.files.write(path, damaged)
    read, damage = found(disk, begin)
    assert read == wrote[: len(read)]
    is_last = segment == places[-1].segment
    if is_cut or not is_last:
        # an empty segment at the end is indistinguishable from one that was never used
        assert damage is not None or (is_last and cut < ends[0])
    # here, SQLite's position in the log is past the missing part
    read, damage = found(disk, places[-1])
    assert read == []
    if is_last:
        assert damage is not None


def test_a_missing_segment_is_reported() -> None:
    wrote = [bytes([i]) * 300 for i in range(1, 12)]
    disk, begin, places = written(wrote, 1_024)
    all_of_them = segments_of(PATH, disk.files)
    assert len(all_of_them) >= 3
    for segment in all_of_them[:-1]:
        kept = disk.files.read(segment_path(PATH, segment))
        disk.files.remove(segment_path(PATH, segment))
        read, damage = found(disk, begin)
        assert damage == f"its log {segment_path(PATH, segment).name} is missing"
        assert read == wrote[: sum(place.segment < segment for place in places)]
        disk.files.write(segment_path(PATH, segment), kept)
    for segment in all_of_them:
        disk.files.remove(segment_path(PATH, segment))
    assert found(disk, places[-1]) == ([], f"its log {segment_path(PATH, places[-1].segment).name} is missing")
    assert found(disk, Place("0123", places[-1].segment + 1, 0, 12, is_open=False)) == ([], None)


def test_a_log_from_another_journal_or_a_newer_botkit_is_not_read() -> None:
    disk, begin, _ = written([b"one", b"two"], 4_096)
    other = msgspec.structs.replace(begin, log="4567")
    assert found(disk, other) == ([], f"its log {segment_path(PATH, 1).name} belongs to another journal")
    heading = LogHeading(botkit_journal_log=FORMAT + 1, log="0123", segment=1, room=4_096, after=0, order_fields=())
    disk.files.write(segment_path(PATH, 1), frame_of(1, msgspec.msgpack.encode(heading)).ljust(4_096, b"\0"))
    with pytest.raises(JournalError, match=f"of format {FORMAT + 1}, but this botkit reads {FORMAT}"):
        read_tail(PATH, disk.files, begin)


class FailingFile:
    """Writes only the first bytes of a write, and then fails."""

    def __init__(self, file: Any, plan: list[int | None]) -> None:
        self._file, self._plan = file, plan
        self.size, self.close = file.size, file.close

    def write(self, at: int, content: bytes) -> None:
        part = self._plan.pop(0) if self._plan else None
        if part is None:
            self._file.write(at, content)
            return
        self._file.write(at, content[:part])
        raise OSError(errno.EIO, os.strerror(errno.EIO))


@given(st.lists(st.binary(min_size=1, max_size=700), min_size=2, max_size=12), st.sampled_from(SEGMENTS), st.data())
@settings(deadline=None, max_examples=100)
def test_an_unacknowledged_record_never_appears_before_a_later_acknowledged_record(
    wrote: list[bytes], size: int, data: st.DataObject
) -> None:
    disk = MemoryDisk()
    plan = data.draw(st.lists(st.none() | st.integers(0, 800), max_size=20))
    opened = disk.durable.open
    disk.durable.open = lambda path: FailingFile(opened(path), plan)  # type: ignore[method-assign]
    acknowledged, begin = [], Place("0123", 1, 0, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_log, "SEGMENT_BYTES", size)
        patch.setattr(journal_log, "_BLOCK", 512)
        make_segment(PATH, disk.files, 1)
        log = JournalLog(PATH, disk, begin, contextlib.nullcontext())
        for body in wrote:
            with contextlib.suppress(OSError):
                log.append(body)
                acknowledged.append(body)
        place = log.place
        log.close()
    read, damage = found(disk, begin)
    assert damage is None
    # the last record may be complete although its sync failed
    assert read[: len(acknowledged)] == acknowledged
    assert len(read) <= len(acknowledged) + 1
    assert place.number == len(acknowledged) + 1


def test_after_a_failed_write_the_next_commit_is_written_to_a_new_file() -> None:
    disk, begin = MemoryDisk(), Place("0123", 1, 0, 1)
    plan: list[int | None] = [None, 8, None]
    opened = disk.durable.open
    disk.durable.open = lambda path: FailingFile(opened(path), plan)  # type: ignore[method-assign]
    make_segment(PATH, disk.files, 1)
    log = JournalLog(PATH, disk, begin, contextlib.nullcontext())
    assert log.append(b"one").segment == 1
    before = disk.files.read(segment_path(PATH, 1))
    with pytest.raises(OSError, match="error"):
        log.append(b"two")
    torn = disk.files.read(segment_path(PATH, 1))
    assert torn != before
    assert log.append(b"three").segment == 2
    assert disk.files.read(segment_path(PATH, 1)) == torn
    log.close()
    assert found(disk, begin) == ([b"one", b"three"], None)


def test_segments_are_created_ahead_of_time_and_recreated_if_too_small() -> None:
    disk, begin = MemoryDisk(), Place("0123", 1, 0, 1)
    make_segment(PATH, disk.files, 1)
    log = JournalLog(PATH, disk, begin, contextlib.nullcontext())
    log.make_ahead()
    assert segments_of(PATH, disk.files) == [1]
    log.append(bytes([1]) * 600_000)
    log.make_ahead()
    log.make_ahead()
    assert segments_of(PATH, disk.files) == [1, 2]
    log.append(b"\1" * 100)
    place = log.append(b"\2" * 3_000_000)
    assert place.segment == 2
    log.append(b"\3" * 2_000_000)
    log.close()
    sizes = [len(disk.files.read(segment_path(PATH, segment))) for segment in segments_of(PATH, disk.files)]
    assert sizes[0] == 2**20
    assert sizes[1] > 3_000_000
    assert [body[0] for body in found(disk, begin)[0]] == [1, 1, 2, 3]


def test_a_small_segment_is_created_if_there_is_no_space_for_a_full_one() -> None:
    disk = MemoryDisk()
    write = disk.memory.write

    def small(path: Path, content: bytes, *, durable: bool = True) -> None:
        if len(content) > 100_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, content, durable=durable)

    disk.memory.write = small  # type: ignore[method-assign]
    make_segment(PATH, disk.files, 1)
    assert len(disk.files.read(segment_path(PATH, 1))) == 65_536
    log = JournalLog(PATH, disk, Place("0123", 1, 0, 1), contextlib.nullcontext())
    for i in range(1, 30):
        log.append(bytes([i]) * 5_000)
    with pytest.raises(OSError, match="No space"):
        log.append(b"x" * 200_000)
    log.append(b"y" * 5_000)
    log.close()
    assert len(found(disk, Place("0123", 1, 0, 1))[0]) == 30


# -- the journal over its log -----------------------------------------------------------------------------------------


def image(path: Path, folder: Path) -> Path:
    """Copy the files, as a killed process would leave them, into a new folder. Return the path of the copied
    journal.
    """
    folder.mkdir()
    for file in path.parent.iterdir():
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(file, folder / file.name)
    return folder / path.name


def in_memory() -> Journal:
    """Return a journal in memory, for tests in which it need not survive a crash."""
    return Journal.open(PATH, disk=MemoryDisk(), background=OnLoop())


def answers(journal: Journal) -> dict[str, Any]:
    """Return the results of all queries."""
    run, journal.run = journal.run, 0
    try:
        return {
            "orders": journal.order_rows(),
            "fills": journal.fills(),
            "sends": journal.sends_since(0),
            "parameters": journal.parameters(),
            "reasons": journal.reasons_since(0),
            "notes": journal.notes(),
            "meta": {key: journal.meta(key) for key in ("portfolio", "strategy:s", "halts")},
        }
    finally:
        journal.run = run


def fill_of(client_id: int, executed: int) -> Fill:
    return Fill(
        order=order(client_id=client_id), pair=BTC, side=Side.BUY, time=1, price_ticks=5, lots=1, value_units=1,
        fee_units=0, fee_currency="btc", is_maker=True, executed_lots=executed,
    )  # fmt: skip


def work(random: Random) -> Iterator[Callable[[Journal], None]]:
    """Yield random writes of every kind that a bot makes."""
    for now in range(1, 10_000):
        client_id = random.randrange(1, 30)
        made = order(client_id=client_id, tag=f"at {now}", max_slippage_pct=random.choice([None, 1, 0.5]))
        made.state, made.updated = random.choice(list(OrderState)), now
        kind = random.randrange(8)
        if kind < 3:
            states = [("portfolio", b"{}" * random.randrange(1, 2_000)), ("strategy:s", str(now).encode())]
            sends = [(now, "create_order", now, (client_id,))]
            yield lambda j, made=made, sends=sends, states=states: j.commit(orders=[made], sends=sends, states=states)
        elif kind == 3:
            fills = [(fill_of(client_id, random.randrange(1, 5)), now)]
            answered = [(random.randrange(1, now + 1), now)]
            yield lambda j, fills=fills, answered=answered: j.commit(fills=fills, answered=answered)
        elif kind == 4:
            yield lambda j, now=now: j.note("kind", f"note {now}", now)
        elif kind == 5:
            yield lambda j, now=now: j.parameter("s", "size", now, now)
        elif kind == 6:
            yield lambda j, now=now: j.reasons(now, [("s", "skipped", f"why {now % 3}", 2)])
        else:
            yield lambda j, client_id=client_id, now=now: j.let_go([client_id], f"gone {now}")


@pytest.mark.parametrize("seed", range(3))
def test_a_reader_and_a_restart_find_all_commits_regardless_of_how_many_are_already_in_sqlite(
    tmp_path: Path, seed: int
) -> None:
    random = Random(seed)
    path = tmp_path / "a" / "journal.sqlite"
    path.parent.mkdir()
    running, expected = Journal.open(path), in_memory()
    assert running.filling is not None
    doing = work(random)
    for number in range(15):
        for write in [next(doing) for _ in range(random.randrange(1, 40))]:
            write(running)
            write(expected)
        if random.random() < 0.3:
            with running.filling.filled():
                pass
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(journal_filling, "_AT_ONCE", random.randrange(1, 20))
            if random.random() < 0.5:
                running.filling._step()
        reader = Journal.open(path, read_only=True)
        assert reader.read_over == running.filling.waiting
        assert answers(reader) == answers(expected)
        assert reader.damage is None
        reader.close()
        if number % 5 == 0:
            restarted = Journal.open(image(path, tmp_path / str(number)))
            assert answers(restarted) == answers(expected)
            assert restarted.damage is None
            assert not has_lost_ids(restarted)
            restarted.close()
            beside = sorted(file.name for file in (tmp_path / str(number)).glob("journal.sqlite*"))
            assert beside == ["journal.sqlite"]
    running.close()
    expected.close()


def test_a_crash_at_any_step_of_copying_to_sqlite_and_deleting_logs_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_log, "SEGMENT_BYTES", 16_384)
    path = tmp_path / "a" / "journal.sqlite"
    path.parent.mkdir()
    images: list[tuple[str, Path, int]] = []
    written: list[Callable[[Journal], None]] = []
    steps: set[str] = set()

    class Watched(RealDisk):
        """A disk that copies the files before and after every operation on them."""

        def __init__(self) -> None:
            super().__init__()
            for name in ("write", "remove"):
                setattr(self.files, name, self._around(name, getattr(self.files, name)))

        def _around(self, name: str, do: Callable[..., None]) -> Callable[..., None]:
            def doing(at: Path, *rest: Any, **options: Any) -> None:
                self.take(f"before {name}")
                do(at, *rest, **options)
                self.take(f"after {name}")

            return doing

        def take(self, step: str) -> None:
            steps.add(step)
            if len(images) < 30 and Random(len(written)).random() < 0.4:
                images.append((step, image(path, tmp_path / str(len(images))), len(written)))

    disk = Watched()
    journal = Journal.open(path, disk=disk, background=OnLoop())
    assert journal.filling is not None
    for number, write in enumerate(work(Random(7))):
        write(journal)
        written.append(write)
        if number % 9 == 0:
            journal.filling._step()
        if len(images) >= 30:
            break
    journal.close()
    assert steps == {"before write", "after write", "before remove", "after remove"}
    for _, copy, count in images:
        restarted, expected = Journal.open(copy), in_memory()
        for write in written[:count]:
            write(expected)
        # a commit that was being written at the crash may already be complete
        if answers(restarted) != answers(expected):
            written[count](expected)
            assert answers(restarted) == answers(expected)
        assert restarted.damage is None
        restarted.close()
        expected.close()


def log_files(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}-log-*"))


def killed(tmp_path: Path, name: str = "killed", commits: int = 20) -> Path:
    """Return a journal as a killed bot leaves it. None of its commits has been copied to SQLite yet."""
    path = tmp_path / f"{name} first" / "journal.sqlite"
    path.parent.mkdir()
    journal = Journal.open(path)
    journal.lease_ids(Random(1))
    for number in range(1, commits + 1):
        journal.commit(orders=[order(client_id=number)])
    left = image(path, tmp_path / name)
    journal.close()
    return left


def test_damage_inside_the_log_is_reported_and_the_log_and_earlier_commits_are_kept(tmp_path: Path) -> None:
    path = killed(tmp_path)
    [file] = log_files(path)
    content = bytearray(file.read_bytes())
    content[len(content.rstrip(b"\0")) // 2] ^= 1
    file.write_bytes(content)
    reader = Journal.open(path, read_only=True)
    wanted = f"the journal {path} has lost its latest commits (its log {file.name} is damaged at byte "
    assert (reader.damage or "").startswith(wanted)
    rows = reader.order_rows()
    reader.close()
    assert 0 < len(rows) < 20
    for _ in range(2):  # a bot must report the damage even if a reader has opened the journal first
        journal = Journal.open(path)
        assert (journal.damage or "").startswith(wanted)
        assert journal.order_rows() == rows
        journal.close()
    kept = path.with_name(file.name.replace("-log-", "-damaged-log-"))
    assert kept.read_bytes() == bytes(content)
    journal = Journal.open(path)
    write_off(journal)
    journal.close()
    journal = Journal.open(path)
    assert journal.damage is None
    journal.close()


def test_a_journal_without_its_log_and_a_log_without_its_journal_are_reported(tmp_path: Path) -> None:
    path = killed(tmp_path, "one")
    [file] = log_files(path)
    file.unlink()
    journal = Journal.open(path)
    assert journal.damage == (
        f"the journal {path} has lost its latest commits (its log journal.sqlite-log-00000001 is missing)"
    )
    journal.close()

    path = killed(tmp_path, "two")
    for other in path.parent.glob("journal.sqlite*"):
        if other not in log_files(path):
            other.unlink()
    with pytest.raises(
        JournalError, match=r"there is a log next to .*restore the journal, or move the log elsewhere too"
    ):
        Journal.open(path)
    [file] = log_files(path)
    file.unlink()
    path.unlink(missing_ok=True)
    journal = Journal.open(path)
    assert journal.is_new
    journal.close()

    path, other = killed(tmp_path, "three"), killed(tmp_path, "four")
    shutil.copy(log_files(other)[0], log_files(path)[0])
    journal = Journal.open(path)
    assert "its log journal.sqlite-log-00000001 belongs to another journal" in (journal.damage or "")
    assert journal.order_rows() == []
    journal.close()


def test_an_older_sqlite_file_and_its_newer_log_together_contain_all_commits(tmp_path: Path) -> None:
    path = tmp_path / "running" / "journal.sqlite"
    path.parent.mkdir()
    journal = Journal.open(path)
    journal.commit(orders=[order(client_id=1)])
    journal.close()
    backup = path.read_bytes()
    journal = Journal.open(path)
    journal.commit(orders=[order(client_id=2)])
    assert journal.filling is not None
    with journal.filling.filled():
        pass
    left = image(path, tmp_path / "killed")
    journal.close()
    for file in left.parent.glob("journal.sqlite-[ws]*"):
        file.unlink()
    left.write_bytes(backup)
    again = Journal.open(left)
    assert [row["client_id"] for row in again.order_rows()] == [1, 2]
    assert again.damage is None
    again.close()


def test_no_commits_are_accepted_while_they_cannot_be_copied_to_sqlite(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.sqlite", background=OnLoop())
    filling = journal.filling
    assert filling is not None
    journal.commit(orders=[order(client_id=1)])
    journal._db.execute("PRAGMA query_only=1")
    assert filling._step() == 0.5
    with pytest.raises(JournalError, match="cannot be written: attempt to write a readonly database"):
        journal.commit(orders=[order(client_id=2)])
    journal._db.execute("PRAGMA query_only=0")
    assert filling._step() == 0.25
    journal.commit(orders=[order(client_id=3)])
    assert [row["client_id"] for row in journal.order_rows()] == [1, 3]
    journal.close()


def test_segments_are_deleted_only_after_sqlite_has_synced_their_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_log, "SEGMENT_BYTES", 8_192)
    synced: list[bool] = []
    real = journal_filling.synced
    monkeypatch.setattr(
        journal_filling, "synced", lambda db, is_synced: (synced.append(is_synced), real(db, is_synced))
    )
    path = tmp_path / "journal.sqlite"
    journal = Journal.open(path, background=OnLoop())
    assert journal.filling is not None
    for number in range(1, 200):
        before, count = log_files(path), len(synced)
        journal.commit(orders=[order(client_id=number)], states=[("strategy:s", b"x" * 1_000)])
        journal.filling._step()
        gone = set(before) - set(log_files(path))
        assert synced[count:] == [bool(gone)], "SQLite synced for each commit, or not before a log was deleted"
    assert sum(synced) > 10
    assert len(log_files(path)) <= 2
    journal.close()


def test_a_commit_with_values_that_sqlite_cannot_store_is_refused(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.sqlite")
    for bad in (order(tag="\ud800"), order(tag=object())):
        with pytest.raises(JournalError, match="cannot be written"):
            journal.commit(orders=[bad])
    with pytest.raises(JournalError, match="cannot be written"):
        journal.commit(orders=[order(price_ticks=2**63)])
    journal.commit(orders=[order()])
    assert len(journal.order_rows()) == 1
    journal.close()
    reader = Journal.open(tmp_path / "journal.sqlite", read_only=True)
    with pytest.raises(JournalError, match="was opened read-only"):
        reader.note("kind", "text", 1)
    reader.close()
    with pytest.raises(JournalError, match=r"cannot be written: .*it is closed"):
        journal.note("kind", "text", 1)
    assert not log_files(tmp_path / "journal.sqlite")


# -- damage in SQLite -------------------------------------------------------------------------------------------------

_READ: dict[str, Callable[[Journal], Any]] = {
    "orders": lambda journal: journal.orders({"btc_usdt": BTC}, since=0),
    "fills": lambda journal: journal.fills(),
    "sends": lambda journal: journal.sends_since(0),
    "meta": lambda journal: journal.meta("portfolio"),
    "parameters": lambda journal: journal.parameters(),
}


def full(path: Path) -> None:
    journal = Journal.open(path)
    journal.commit(
        orders=[order(client_id=7, max_slippage_pct=1)],
        fills=[(fill_of(7, 3), 5)],
        sends=[(1, "create_order", 5, (7,))],
        answered=[(1, 6)],
        states=[("portfolio", b'{"a": 1}')],
    )
    journal.parameter("s", "size", 0.5, 5)
    journal.close()


@pytest.mark.parametrize("table", SEALED)
def test_a_modified_database_cell_is_treated_as_damage(tmp_path: Path, table: str) -> None:
    path = tmp_path / "journal.sqlite"
    full(path)
    content, counted = path.read_bytes(), 0
    where = " WHERE key = 'portfolio'" if table == "meta" else ""
    for column in SEALED[table][2]:
        changes = ["NULL", "'x'", "X'ff00'", "-5", f"substr({column}, 2)", f"{column} || '0'", "1e300"]
        for change in changes:
            path.write_bytes(content)
            db = sqlite3.connect(path)
            was = db.execute(f"SELECT {column} FROM {table}{where}").fetchone()
            with contextlib.suppress(sqlite3.IntegrityError):
                db.execute(f"UPDATE {table} SET {column} = {change}{where}")
            now = db.execute(f"SELECT {column} FROM {table}{where}").fetchone()
            db.commit()
            db.close()
            if now == was:
                continue
            counted += 1
            # checked with both a reader and a starting bot
            journal = Journal.open(path, read_only=change != "'x'")
            journal.run = 9
            said = ""
            try:
                # a damaged row may be missing from the result, but must never be returned
                assert not _READ[table](journal), (column, change)
            except JournalError as error:
                said = str(error)
            assert not said or ("is damaged (" in said and "To start over, move it elsewhere" in said)
            if table == "orders":
                assert journal.order_rows() == []
                assert "has changed since it was written" in (journal.damage or "")
            journal.close()
    assert counted > 5 * len(SEALED[table][2]) - 5


def test_an_older_journal_gets_checksums_when_it_is_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    full(path)
    db = sqlite3.connect(path)
    for table in SEALED:
        db.execute(f"ALTER TABLE {table} DROP COLUMN crc")
    db.execute("DELETE FROM meta WHERE key IN ('log', 'damage')")
    db.execute("PRAGMA user_version=3")
    db.commit()
    db.close()
    reader = Journal.open(path, read_only=True)
    before = answers(reader)
    reader.close()
    assert before["orders"]
    journal = Journal.open(path)
    assert answers(journal) == before
    journal.close()
    reader = Journal.open(path, read_only=True)
    assert answers(reader) == before
    reader.close()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA,)
    for table in SEALED:
        assert db.execute(f"SELECT COUNT(*) FROM {table} WHERE crc IS NULL").fetchone() == (0,)
    db.close()


@pytest.mark.parametrize("text", ["", "x", "-1", "9" * 5_000, "2147483647", "1e3", "\u0661", "7\n8"])
def test_an_invalid_stored_client_id_count_is_ignored(tmp_path: Path, text: str) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal.open(path)
    _, until = journal.lease_ids(Random(1))
    journal.close()
    (tmp_path / "client_ids").write_text(text, encoding="utf-8")
    journal = Journal.open(path)
    assert not has_lost_ids(journal)
    assert journal.lease_ids(Random(1))[0] >= until
    journal.close()


# -- other processes --------------------------------------------------------------------------------------------------


def test_capital_cannot_be_moved_in_a_journal_that_lost_commits(tmp_path: Path) -> None:
    path = killed(tmp_path)
    log_files(path)[0].unlink()
    nothing: Any = None
    with pytest.raises(
        JournalError,
        match=r"is missing\); start the bot, which will halt, and check its records "
        r"first",
    ):
        move_stopped(StateFolder(path.parent), nothing, {}, "s", {"usdt": 1}, 1)
    journal = Journal.open(path)
    assert journal.damage is not None, "the bot must still report it"
    journal.close()


def test_commands_on_a_killed_bot_read_its_log_and_report_missing_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))
    config = tmp_path / "bot.yaml"
    config.write_text("name: bot\nplugins: []\nstrategies: []\n")
    folder = tmp_path / "state" / "bot" / "emulator" / "account"
    folder.parent.mkdir(parents=True)
    path = killed(tmp_path).parent.rename(folder) / "journal.sqlite"
    main(["journal", str(config)])
    shown = capsys.readouterr().out
    assert "20 orders, 0 fills, 20 open" in shown
    assert "its 21 newest commits were read from the log and are not in that file yet" in shown
    content = bytearray(log_files(path)[0].read_bytes())
    content[len(content.rstrip(b"\0")) // 2] ^= 1
    log_files(path)[0].write_bytes(content)
    main(["journal", str(config)])
    out, err = capsys.readouterr()
    assert "has lost its latest commits (its log journal.sqlite-log-00000001 is damaged at byte" in err
    assert "20 orders" not in out
