"""Damages a journal while no bot is running: corrupt bytes, a truncated or missing log, or an older copy put in its
place.

This code is independent of the bot's damage detection. `strike` changes the files and returns the data that may be
lost; `tests.simulation.world` compares this data with the result of the next start.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

import msgspec

from botkit.live.disk import REAL_DISK
from botkit.live.journal import Journal
from botkit.live.journal_log import Place, read_tail, segment_path, segments_of
from botkit.live.journal_rows import JournalError
from tests.simulation.disk import replace

#: the kinds of damage, which are also fault classes
KINDS: Final = (
    *("log_corrupt", "log_cut", "log_gone", "sqlite_corrupt", "sqlite_gone", "journal_restored", "folder_restored"),
)
_JOURNAL = "journal.sqlite"
_COUNTER = "client_ids"


class Copy(msgspec.Struct, frozen=True):
    """A copy of a bot's folder at one point in time, without its recorded runs."""

    files: dict[str, bytes]
    runs: frozenset[str]


def copy_of(state: Path) -> Copy:
    """Copy a bot's folder."""
    files = {
        path.name: path.read_bytes()
        for path in sorted(state.iterdir())
        if path.is_file() and path.name != "lock" and not path.name.endswith("-shm")
    }
    return Copy(files, frozenset(path.name for path in (state / "runs").glob("*")))


def put_back(state: Path, copy: Copy, *, keeps: tuple[str, ...] = ()) -> None:
    """Restore a folder from a copy, except the files in ``keeps``."""
    for path in sorted(state.iterdir()):
        if path.is_file() and path.name != "lock" and path.name not in (*copy.files, *keeps):
            path.unlink()
    for name, content in copy.files.items():
        if name not in keeps:
            replace(state / name, content)


class Struck(msgspec.Struct, frozen=True):
    """The damage done to a journal. If ``demands`` is True, no bot may trade on the journal. Otherwise, the journal may
    be intact or may appear intact.
    """

    words: str
    demands: bool
    #: True if the journal is gone completely, as if the user had moved it to another location
    starts_over: bool = False


def strike(state: Path, kind: str, x: float, y: float, older: Copy | None) -> Struck | None:
    """Damage the files. Return None if there is nothing to damage. ``x`` and ``y``, from 0 to 1, determine the location
    and extent of the damage.
    """
    journal = state / _JOURNAL
    if not journal.exists():
        return None
    if kind in ("journal_restored", "folder_restored"):
        if older is None or _JOURNAL not in older.files:
            return None
        put_back(state, older, keeps=(_COUNTER,) if kind == "journal_restored" else ())
        counter, then = (state / _COUNTER), older.files.get(_COUNTER, b"")
        is_counted = counter.exists() and counter.read_bytes() != then
        return Struck("an older copy is put back", demands=is_counted)
    if kind == "sqlite_gone":
        for path in (journal, journal.with_name(f"{_JOURNAL}-wal"), journal.with_name(f"{_JOURNAL}-shm")):
            path.unlink(missing_ok=True)
        has_log = any(segment_path(journal, n).read_bytes().strip(b"\0") for n in segments_of(journal, REAL_DISK.files))
        return Struck(f"{_JOURNAL} is deleted", demands=has_log, starts_over=not has_log)
    if kind == "sqlite_corrupt":
        return _corrupt_sqlite(journal, x, y)
    return _strike_log(journal, kind, x, y)


def _corrupt_sqlite(journal: Path, x: float, y: float) -> Struck | None:
    log = journal.with_name(f"{_JOURNAL}-wal")
    path = log if y < 0.5 and log.exists() and log.stat().st_size else journal
    content = bytearray(path.read_bytes())
    if not content:
        return None
    at = int(x * len(content))
    length = 1 + int(y * 600) if y < 0.5 else 1 + int(y * 16)
    for place in range(at, min(len(content), at + length)):
        content[place] ^= 0xA5
    replace(path, bytes(content))
    if path == log:
        # SQLite keeps the transactions before the damage, and the journal's log shows that later transactions existed
        journal.with_name(f"{_JOURNAL}-shm").unlink(missing_ok=True)
    return Struck(f"{length} bytes of {path.name} at {at} are corrupt", demands=False)


def _strike_log(journal: Path, kind: str, x: float, y: float) -> Struck | None:
    place = _place_of(journal)
    if place is None or not place.is_open:
        return None
    files = REAL_DISK.files
    tail = read_tail(journal, files, place)
    if tail.damage is not None:
        return None
    if kind == "log_gone":
        segments = [n for n in segments_of(journal, files) if n >= place.segment]
        if not segments:
            return None
        for segment in segments:
            segment_path(journal, segment).unlink()
        return Struck("the log is deleted", demands=True)
    if not tail.records:
        return None
    index = int(x * len(tail.records))
    record = tail.records[index]
    path = segment_path(journal, record.end.segment)
    content = bytearray(path.read_bytes())
    last = index == len(tail.records) - 1
    at = record.end.offset - 1 - int(y * min(len(record.body), 2_000))
    if kind == "log_cut":
        replace(path, bytes(content[:at]))
        return Struck(f"{path.name} is cut at byte {at}", demands=True)
    # damage to the padding after a record's body would have no effect
    at = max(0, record.end.offset - 8 - int(y * min(len(record.body), 2_000)))
    content[at] ^= 0x5A
    replace(path, bytes(content))
    return Struck(f"byte {at} of {path.name} is corrupt, of {'the last' if last else 'a'} commit", demands=not last)


def _place_of(journal: Path) -> Place | None:
    with contextlib.suppress(JournalError):
        found = Journal.open(journal, read_only=True)
        try:
            document = found.document("log")
        finally:
            found.close()
        return None if document is None else msgspec.convert(document, Place)
    return None
