"""The journal's log. Each commit is one record, synced before anything is sent. SQLite is filled from the log later.

* Owner: only the process that holds the bot's folder writes the log, on its event loop's thread.
* Files: ``journal.sqlite-log-00000001`` and so on, segments of 1 MiB. The filling thread fills each segment with
  zeros and syncs it before its first record is written. A later sync then writes only data and no file size. If the
  disk has too little space, a segment is smaller.
* A record is length, CRC-32, number and body, at a multiple of 8 bytes. A segment's first record is its heading.
* Filling: `botkit.live.journal` copies committed records into SQLite on a separate thread. In the same transaction,
  SQLite saves the `Place` up to which records are copied. Older segments are deleted once this transaction is synced.
* Other processes read SQLite and then the log from that place on, so they see every commit. They never write to a
  running bot's journal. Their commands reach the bot as files (`botkit.live.commands`).
* The end: an incomplete last record was never acknowledged, so it is dropped. Three cases mean damage: an incomplete
  record followed by complete ones, a segment that is missing or too short, and a log that ends before SQLite's place.
  Records before the damage are used, later ones are not, and the bot halts (`botkit.live.journal_losses`).
"""

from __future__ import annotations

import errno
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from botkit.live.journal_rows import ORDER_FIELDS, JournalError
from botkit.live.ports import Disk, DurableFile, Files

#: the version of the record format; a log with a newer version is refused
FORMAT = 1
SEGMENT_BYTES = 2**20
#: smaller segment sizes for a disk without room for a full segment; the smallest has room for a single record
_SMALL_BYTES = 64 * 1024
_BLOCK = 4_096
_ZEROS = bytes(4_096)
#: an upper bound for the size of a heading
_HEADING_BYTES = 2_048
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

#: the prefix of a record: length of the body, CRC-32 of number and body, number
_PREFIX = struct.Struct("<IIQ")
_NUMBER = struct.Struct("<Q")
_ALIGNED = 8
#: after a broken record, a later record is trusted only if its number is at most this far ahead; other matches only
#: look like records
_NUMBERS_AHEAD = 10**6
_SEGMENT_NAME = re.compile(r"-log-(\d{8})\Z", re.ASCII)

_encode = msgspec.msgpack.Encoder().encode


class Place(msgspec.Struct, frozen=True):
    """A position between two records of a log. The next record has ``number`` and starts at ``offset`` in
    ``segment``.
    """

    log: str
    segment: int
    offset: int
    number: int
    #: False after a clean shutdown: all commits are in SQLite, and there may be no segment
    is_open: bool = True


class LogHeading(msgspec.Struct, frozen=True, kw_only=True):
    """The first record of a segment. ``after`` is the offset at which the previous segment's records end. Data beyond
    this offset was never acknowledged.
    """

    botkit_journal_log: int
    log: str
    segment: int
    room: int
    after: int
    #: the field names of an order's row, in order
    order_fields: tuple[str, ...]


class Record(msgspec.Struct, frozen=True):
    """One commit. ``end`` is the log position after the record."""

    body: bytes
    end: Place
    order_fields: tuple[str, ...]


class Tail(msgspec.Struct):
    """The records of a log from a given position on."""

    records: list[Record]
    #: a description of the damage, if the log once contained more than can be read now
    damage: str | None = None


_heading_decoder = msgspec.msgpack.Decoder(LogHeading)


def segment_path(path: Path, segment: int) -> Path:
    """Return the path of a segment's file, in the same folder as the journal at ``path``."""
    return path.with_name(f"{path.name}-log-{segment:08d}")


def segments_of(path: Path, files: Files) -> list[int]:
    """Return the numbers of the existing segments, in order. Raises OSError."""
    found = []
    for name in files.names(path.parent):
        match = _SEGMENT_NAME.search(name)
        if match is not None and name == f"{path.name}{match[0]}":
            found.append(int(match[1]))
    return found


# -- writing ----------------------------------------------------------------------------------------------------------


class JournalLog:
    """The write end of a log. It starts with an empty segment created by `make_segment`."""

    def __init__(self, path: Path, disk: Disk, place: Place, making: AbstractContextManager[object]) -> None:
        """``making`` is a lock that prevents two threads from creating the same segment. Raises OSError."""
        self._path = path
        self._disk = disk
        self._log = place.log
        self._number = place.number
        self._segment = self._made = place.segment
        self._at = self._after = 0
        self._making = making
        self._has_failed = self._is_closed = False
        self._open()

    def _open(self) -> None:
        #: the file of the current segment
        self.file = segment_path(self._path, self._segment)
        self._handle: DurableFile | None = self._disk.durable.open(self.file)
        self._room = self._handle.size
        #: the file's identity, which changes if the file is replaced
        self.identity = self._disk.files.identity(self.file)

    @property
    def place(self) -> Place:
        """The position at which the next record starts."""
        return Place(self._log, self._segment, self._at, self._number)

    def append(self, body: bytes) -> Place:
        """Write a record, wait until it has reached the disk, and return the position after it.

        Raises OSError, in which case the record is treated as not written, and the next record is written to a new
        segment.
        """
        if self._is_closed:
            raise OSError(errno.EBADF, "it is closed")
        frame = frame_of(self._number, body)
        content = frame if self._at else self._heading() + frame
        while self._handle is None or self._has_failed or self._at + len(content) > self._room:
            self._advance(len(frame))
            content = self._heading() + frame
        try:
            self._handle.write(self._at, content)
        except OSError:
            # after a failure, the on-disk content of this block is unknown, so later records must not share the block
            self._has_failed = self._at > 0
            raise
        self._at += len(content)
        self._number += 1
        return Place(self._log, self._segment, self._at, self._number)

    def _heading(self) -> bytes:
        heading = LogHeading(
            botkit_journal_log=FORMAT,
            log=self._log,
            segment=self._segment,
            room=self._room,
            after=self._after,
            order_fields=ORDER_FIELDS,
        )
        return frame_of(self._number, _encode(heading))

    def _advance(self, frame_bytes: int) -> None:
        """Open the next segment, or replace this segment with a larger one if it has no record yet."""
        segment = self._segment + 1 if self._at else self._segment
        with self._making:
            if self._handle is not None:
                self._handle.close()
                self._handle = None
            if segment == self._segment or self._made < segment:
                make_segment(self._path, self._disk.files, segment, frame_bytes + _HEADING_BYTES)
                self._made = segment
        if segment != self._segment:
            self._after = self._at
        self._segment, self._at, self._has_failed = segment, 0, False
        self._open()

    def make_ahead(self) -> None:
        """Create the next segment once half of this one is used. Call this on a different thread than `append`. Raises
        OSError, in which case `append` creates the segment itself.
        """
        segment = self._segment + 1
        if self._made >= segment or self._at < self._room // 2:
            return
        with self._making:
            if self._made < segment and not self._is_closed:
                make_segment(self._path, self._disk.files, segment)
                self._made = segment

    def close(self) -> None:
        """Close the file permanently. A second call does nothing."""
        with self._making:
            self._is_closed = True
        if self._handle is not None:
            self._handle.close()
            self._handle = None


def make_segment(path: Path, files: Files, segment: int, least: int = 0) -> None:
    """Write an empty segment with room for at least ``least`` bytes. Raises OSError."""
    for size in (SEGMENT_BYTES, _SMALL_BYTES, _BLOCK):
        room = max(size, -(-least // _BLOCK) * _BLOCK)
        try:
            files.write(segment_path(path, segment), bytes(room))
        except OSError as error:
            if error.errno not in _NO_ROOM or size == _BLOCK:
                raise
        else:
            return


def frame_of(number: int, body: bytes) -> bytes:
    """Encode a record in the format of the file."""
    crc = zlib.crc32(body, zlib.crc32(_NUMBER.pack(number)))
    return _PREFIX.pack(len(body), crc, number) + body + bytes(-(_PREFIX.size + len(body)) % _ALIGNED)


# -- reading ----------------------------------------------------------------------------------------------------------


class _Found(msgspec.Struct, frozen=True):
    number: int
    body: bytes
    end: int


class _Begun(msgspec.Struct, frozen=True):
    """A segment with a valid heading, and the offset of its first record."""

    heading: LogHeading
    number: int
    first: int


def read_tail(path: Path, files: Files, place: Place) -> Tail:
    """Return the complete records from ``place`` on, and a description of any damage after them.

    Raises OSError, and JournalError if a newer botkit wrote the log.
    """
    return _TailReading(path, files, place).read()


class _TailReading:
    def __init__(self, path: Path, files: Files, place: Place) -> None:
        self._path = path
        self._place = place
        found = [segment for segment in segments_of(path, files) if segment >= place.segment]
        self._contents = {segment: files.read(segment_path(path, segment)) for segment in found}
        self._begun = {segment: begun for segment in found if (begun := _begun(path, segment, self._contents[segment]))}
        self._tail = Tail([])
        # how far the log has been read
        self._segment, self._at, self._number = place.segment, place.offset, place.number

    def read(self) -> Tail:
        while self._segment in self._begun:
            damage = self._take()
            if damage is not None:
                self._tail.damage = f"its log {segment_path(self._path, self._segment).name} {damage}"
                return self._tail
            self._segment, self._at = self._segment + 1, 0
        # the records end here unless there is evidence of further records
        content = self._contents.get(self._segment)
        is_sure = any(later > self._segment for later in self._begun)
        if self._segment == self._place.segment:
            is_sure |= self._at > 0 or (self._place.is_open and content is None)
        if content is not None and _is_whole_behind(content, 0, self._number):
            is_sure = True
        if is_sure:
            what = "is missing" if content is None else "is damaged at its start"
            self._tail.damage = f"its log {segment_path(self._path, self._segment).name} {what}"
        return self._tail

    def _take(self) -> str | None:
        """Read the records of a segment. Return a description of any damage, or None."""
        content, begun = self._contents[self._segment], self._begun[self._segment]
        following, heading = self._begun.get(self._segment + 1), begun.heading
        if heading.log != self._place.log or heading.segment != self._segment:
            return "belongs to another journal"
        within = content if following is None else content[: following.heading.after]
        records = list(_records(within, begun.first, begun.number))
        bounds = {0: begun.number, begun.first: begun.number} | {record.end: record.number + 1 for record in records}
        if max(bounds) < self._at:
            return f"is damaged at byte {max(bounds):,}, within the part that {self._path.name} already contains"
        if bounds.get(self._at) != self._number:
            return f"does not continue where {self._path.name} ends"
        for record in records:
            if record.end > self._at:
                self._number = record.number + 1
                behind = Place(heading.log, self._segment, record.end, self._number)
                self._tail.records.append(Record(record.body, behind, heading.order_fields))
        end = max(bounds)
        if following is not None:
            is_whole = (following.heading.after, following.number) == (end, self._number)
        elif len(content) < heading.room:
            return f"was cut to {len(content):,} of {heading.room:,} bytes"
        else:
            is_whole = not _is_whole_behind(content, end, self._number)
        return None if is_whole else f"is damaged at byte {end:,}, before later commits"


def _begun(path: Path, segment: int, content: bytes) -> _Begun | None:
    found = _record_at(content, 0)
    if found is None:
        return None
    try:
        heading = _heading_decoder.decode(found.body)
    except msgspec.MsgspecError:
        return None
    if heading.botkit_journal_log > FORMAT:
        raise JournalError(
            f"{segment_path(path, segment)} is a log of format {heading.botkit_journal_log}, but this botkit reads "
            f"{FORMAT}; use the botkit version that wrote it, or move it and {path.name} elsewhere"
        )
    return _Begun(heading, found.number, found.end)


def _records(content: bytes, at: int, number: int) -> Iterator[_Found]:
    """Yield the records from ``number`` on, up to the first incomplete or out-of-sequence record."""
    while (found := _record_at(content, at)) is not None and found.number == number:
        yield found
        at, number = found.end, number + 1


def _record_at(content: bytes, at: int) -> _Found | None:
    if at + _PREFIX.size > len(content):
        return None
    length, crc, number = _PREFIX.unpack_from(content, at)
    begin = at + _PREFIX.size
    end = begin + length
    if not length or end > len(content):
        return None
    body = content[begin:end]
    if zlib.crc32(body, zlib.crc32(_NUMBER.pack(number))) != crc:
        return None
    return _Found(number, body, end + -end % _ALIGNED)


def _is_whole_behind(content: bytes, start: int, number: int) -> bool:
    """Return whether a record with a number above ``number`` exists anywhere after ``start``. If so, the broken part
    before that record is not the end of the log.
    """
    used = min(_used(content), len(content) - _PREFIX.size + 1)
    for at in range(start, used, _ALIGNED):
        (found,) = _NUMBER.unpack_from(content, at + _PREFIX.size - _NUMBER.size)
        if number < found <= number + _NUMBERS_AHEAD and _record_at(content, at) is not None:
            return True
    return False


def _used(content: bytes) -> int:
    """Return the size without trailing zeros. A new segment consists mostly of zeros, so they are skipped quickly by
    comparing large blocks.
    """
    end, size = len(content), len(_ZEROS)
    while end >= size and content[end - size : end] == _ZEROS:
        end -= size
    last = content[max(0, end - size) : end]
    return end - len(last) + len(last.rstrip(b"\0"))
