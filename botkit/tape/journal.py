"""A recording's journal: rows as they arrive, append-only, until they are converted to Parquet.

A Parquet file is unreadable if its writer is killed, because the footer is written last. Rows are therefore first
written to ``<tape>/journal/*.rows``, one file per day, and synced to disk every second. A file is a line of JSON
(`Heading`), followed by records: length, CRC-32 and MessagePack. A record truncated by a crash at the end of the file
is ignored. Damage before the end is skipped up to the next complete record. It is reported (`TapeJournal.damage`), and
every stream gets a gap there.

A tape is read together with its journals, so a recording can be backtested while it is running, and after a kill -9.
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeAlias

import msgspec
import numpy as np

from botkit.errors import DataError
from botkit.model.clock import Nanos
from botkit.model.columns import BookColumns, IntArray, MarketColumns, TradeColumns
from botkit.model.pairs import Pair
from botkit.tape.manifest import GAPS_KEPT, Kind, StreamInfo

FOLDER = "journal"
ENDING = ".rows"
FORMAT_VERSION = 1
#: rows per chunk of one stream
CHUNK_ROWS = 4_096
_PREFIX = struct.Struct("<II")
#: the largest record is a book with fifty levels per side, so a greater length means a corrupted length prefix
_RECORD_MAX = 64 * 1024
#: the first bytes of every heading
_BEGINS = b'{"botkit_journal":'
_HEADING_MAX = 1 * 2**20
#: how far to search for a complete record after damage
_SEARCH_BYTES = 16 * 2**20

#: (pair, kind), without a resolution because journals contain no candles
JournalKey: TypeAlias = tuple[str, Kind]
_KINDS: tuple[Kind, ...] = ("books", "trades")


class Heading(msgspec.Struct, frozen=True, kw_only=True):
    """The first line. ``pairs`` contains each pair's (price decimals, amount decimals). Records refer to a pair by its
    index in ``pairs``.
    """

    botkit_journal: int = FORMAT_VERSION
    exchange: str
    source: str
    recorded: str
    started: Nanos
    #: maximum levels per side in a book row
    depth: int
    pairs: dict[str, tuple[int, int]]
    notes: tuple[str, ...] = ()
    #: True if the market is synthetic, such as an emulator's
    synthetic: bool = False


class TradeRecord(msgspec.Struct, frozen=True, array_like=True, tag="t", gc=False):
    """A public trade; ``side`` is as in `TradeColumns`."""

    pair: int
    received: Nanos
    time: Nanos
    ticks: int
    lots: int
    side: int


class BookRecord(msgspec.Struct, frozen=True, array_like=True, tag="b", gc=False):
    """A book: (ticks, lots) for each level, best first."""

    pair: int
    received: Nanos
    time: Nanos
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]


class GapRecord(msgspec.Struct, frozen=True, array_like=True, tag="g", gc=False):
    """A gap: rows of a stream may be missing between two times."""

    pair: int
    kind: Kind
    start: Nanos
    end: Nanos


Record: TypeAlias = TradeRecord | BookRecord | GapRecord

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


def journal_files(root: Path) -> list[Path]:
    """Return a tape's journals, oldest first. Their names start with their start time."""
    return sorted((root / FOLDER).glob(f"*{ENDING}"))


class JournalWriter:
    """Appends records to a new journal. `append` only buffers; `sync` writes all buffered records to disk.

    `sync` may be called from another thread, so that a slow disk does not delay the streams.
    """

    def __init__(self, path: Path, heading: Heading) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = threading.Lock()
        self._waiting: list[bytes] = [msgspec.json.encode(heading) + b"\n"]
        self._failed = False
        self._file = path.open("xb")
        self.sync()
        _sync_folder(path.parent)

    def append(self, record: Record) -> None:
        """Buffer a record for the next `sync`."""
        payload = _encoder.encode(record)
        assert len(payload) <= _RECORD_MAX, "record too large"
        with self._lock:
            self._waiting.append(_PREFIX.pack(len(payload), zlib.crc32(payload)) + payload)

    def sync(self) -> None:
        """Write the buffer and wait for the disk. After an OSError, later calls write nothing, because a partially
        written record would hide all records after it.
        """
        with self._lock:
            waiting, self._waiting = self._waiting, []
        if not waiting or self._failed:
            return
        try:
            self._file.write(b"".join(waiting))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError:
            self._failed = True
            raise

    def close(self) -> None:
        """Sync and close."""
        try:
            self.sync()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close without writing the buffer."""
        with suppress(OSError):  # on a full disk, flushing the file object's own buffer would fail again
            self._file.close()


def _sync_folder(folder: Path) -> None:
    # a new file's name is durable only once its folder is synced; Windows cannot open a folder and does not need to
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class Damage(msgspec.Struct, frozen=True):
    """Bytes without a complete record. ``is_rest`` means that nothing after these bytes can be read either."""

    at: int
    size: int
    is_rest: bool


class _Rows:
    """Collects the rows of one stream for a chunk."""

    def __init__(self, pair: Pair, kind: Kind, depth: int) -> None:
        self.pair, self.kind, self.depth = pair, kind, depth
        self.trades: list[tuple[int, int, int, int, int]] = []
        self.books: list[BookRecord] = []

    def __len__(self) -> int:
        return len(self.trades) or len(self.books)

    def take(self) -> MarketColumns:
        if self.kind == "trades":
            rows = np.array(self.trades, dtype=np.int64)
            self.trades = []
            received, time, ticks, lots, side = (np.ascontiguousarray(column) for column in rows.T)
            return TradeColumns(self.pair, received, time, ticks, lots, side.astype(np.int8))
        books, self.books = self.books, []
        times = np.array([(book.received, book.time) for book in books], dtype=np.int64)
        sides = [self._side([b.bids for b in books]), self._side([b.asks for b in books])]
        (bid_ticks, bid_lots), (ask_ticks, ask_lots) = sides
        received, time = np.ascontiguousarray(times[:, 0]), np.ascontiguousarray(times[:, 1])
        return BookColumns(self.pair, received, time, bid_ticks, bid_lots, ask_ticks, ask_lots)

    def _side(self, levels: list[tuple[tuple[int, int], ...]]) -> tuple[IntArray, IntArray]:
        both = np.zeros((len(levels), self.depth, 2), dtype=np.int64)
        for row, of_row in enumerate(levels):
            if of_row:
                both[row, : len(of_row)] = of_row
        return np.ascontiguousarray(both[:, :, 0]), np.ascontiguousarray(both[:, :, 1])


class TapeJournal:
    """A journal opened for reading, up to its last complete record."""

    def __init__(self, path: Path, heading: Heading, pairs: Mapping[str, Pair], first_record: int) -> None:
        self.path = path
        self.heading = heading
        self._first_record = first_record
        self._names = list(heading.pairs)
        self._pairs = [pairs.get(name) for name in self._names]

    @classmethod
    def open(cls, path: Path, pairs: Mapping[str, Pair]) -> TapeJournal | None:
        """Open a journal and read its heading. Returns None if the recorder was killed before writing the heading.
        Raises DataError.
        """
        with _opened(path) as file:
            line = file.readline(_HEADING_MAX)
        if not line.endswith(b"\n") and (line.startswith(_BEGINS) or _BEGINS.startswith(line)) and b"\0" not in line:
            return None  # no zero byte means that no record follows: its length prefix would contain one
        try:
            heading = msgspec.json.decode(line, type=Heading)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise DataError(
                f"{path} is not a recording's journal, or its first line is damaged ({error}); restore it from a "
                f"copy, or move it elsewhere, which loses its rows"
            ) from None
        if heading.botkit_journal > FORMAT_VERSION:
            raise DataError(f"{path} has version {heading.botkit_journal}, which is too new; upgrade botkit")
        for name, (price_decimals, amount_decimals) in heading.pairs.items():
            pair = pairs.get(name)
            if pair is None:
                continue
            known = (pair.rules.price_decimals, pair.rules.amount_decimals)
            if known != (price_decimals, amount_decimals):
                raise DataError(
                    f"{path}: {name} was recorded with {price_decimals} price decimals and {amount_decimals} "
                    f"amount decimals, but the exchange's pair now has {known[0]} and {known[1]}"
                )
        return cls(path, heading, pairs, len(line))

    def _records(self) -> Iterator[Record | Damage]:
        with _opened(self.path) as file:
            file.seek(self._first_record)
            while True:
                at = file.tell()
                prefix = file.read(_PREFIX.size)
                if len(prefix) < _PREFIX.size:
                    return
                length, crc = _PREFIX.unpack(prefix)
                payload = file.read(length) if length <= _RECORD_MAX else b""
                record = _record(payload, length, crc)
                if record is not None:
                    yield record
                    continue
                is_torn = length <= _RECORD_MAX and len(payload) < length
                whole = _next_whole(file, at + 1)
                if whole is not None:
                    yield Damage(at, whole - at, is_rest=False)
                    file.seek(whole)
                    continue
                if not is_torn:  # the record is complete, but its contents are corrupted
                    yield Damage(at, os.fstat(file.fileno()).st_size - at, is_rest=True)
                return

    def damage(self) -> list[str]:
        """Describe the damage, not including a last record truncated by a crash."""
        return [
            f"{self.path} is damaged at byte {part.at:,}: {part.size:,} bytes contain no complete record, and the rows "
            f"in them are lost{'; nothing after them can be read' if part.is_rest else ''}"
            for part in self._records()
            if isinstance(part, Damage)
        ]

    def _noted(self) -> Iterator[tuple[JournalKey, Nanos, Nanos]]:
        """Yield the gaps ordered by end time: the gaps recorded by the recorder, and a gap in each stream around each
        damaged part.
        """
        ends: dict[JournalKey, Nanos] = {}
        broken: set[JournalKey] = set()
        for record in self._records():
            if isinstance(record, Damage):
                broken = {(name, kind) for name in self._names for kind in _KINDS}
                continue
            name = self._names[record.pair]
            if isinstance(record, GapRecord):
                yield (name, record.kind), record.start, record.end
                continue
            key: JournalKey = (name, "trades" if isinstance(record, TradeRecord) else "books")
            start = ends.get(key, self.heading.started)
            if key in broken:
                broken.discard(key)
                if start < record.received:
                    yield key, start, record.received
            ends[key] = record.received

    def read(
        self,
        *,
        only: JournalKey | None = None,
        after: Mapping[JournalKey, Nanos] | None = None,
        start: Nanos | None = None,
        end: Nanos | None = None,
        rows_max: int = CHUNK_ROWS,
    ) -> Iterator[MarketColumns]:
        """Yield rows with ``start <= received < end`` in chunks. Chunks of different streams alternate, unless ``only``
        restricts them to one stream.

        ``after`` maps a stream to the time up to which the tape already has its rows; these rows are skipped.
        """
        known = after or {}
        waiting: dict[tuple[int, Kind], _Rows] = {}
        for record in self._records():
            if isinstance(record, (GapRecord, Damage)):
                continue
            pair = self._pairs[record.pair]
            kind: Kind = "trades" if isinstance(record, TradeRecord) else "books"
            if pair is None or (only is not None and only != (str(pair), kind)):
                continue
            received = record.received
            if received <= known.get((str(pair), kind), -1) or (start is not None and received < start):
                continue
            if end is not None and received >= end:
                if only is not None:
                    break
                continue
            rows = waiting.get((record.pair, kind))
            if rows is None:
                rows = waiting[record.pair, kind] = _Rows(pair, kind, self.heading.depth)
            if isinstance(record, TradeRecord):
                rows.trades.append((received, record.time, record.ticks, record.lots, record.side))
            else:
                rows.books.append(record)
            if len(rows) >= rows_max:
                yield rows.take()
        for rows in waiting.values():
            if len(rows):
                yield rows.take()

    def gaps(self) -> list[tuple[JournalKey, Nanos, Nanos]]:
        """Return the gaps recorded by the recorder, and the gaps around damage."""
        return list(self._noted())

    def streams(self, after: Mapping[JournalKey, Nanos] | None = None) -> list[StreamInfo]:
        """Return the journal's streams, without rows that are already in the tape, as in `read`."""
        known = after or {}
        spans: dict[JournalKey, tuple[int, Nanos, Nanos]] = {}
        gaps: dict[JournalKey, list[tuple[Nanos, Nanos]]] = {}
        for stream, begin, end in self._noted():
            if end > known.get(stream, -1):
                gaps.setdefault(stream, []).append((begin, end))
        for record in self._records():
            if isinstance(record, (GapRecord, Damage)):
                continue
            key: JournalKey = (self._names[record.pair], "trades" if isinstance(record, TradeRecord) else "books")
            if record.received <= known.get(key, -1):
                continue
            rows, start, _ = spans.get(key, (0, record.received, 0))
            spans[key] = (rows + 1, start, record.received)
        return [
            StreamInfo(
                pair=key[0],
                kind=key[1],
                rows=rows,
                start=start,
                end=end,
                has_receive_times=True,
                gaps=tuple(gaps.get(key, ())[:GAPS_KEPT]),
            )
            for key, (rows, start, end) in sorted(spans.items())
        ]


def _record(payload: bytes, length: int, crc: int) -> Record | None:
    """Return a complete record, or None."""
    if not length or len(payload) != length or zlib.crc32(payload) != crc:
        return None
    with suppress(msgspec.MsgspecError):
        return _decoder.decode(payload)
    return None


def _next_whole(file: BinaryIO, start: int) -> int | None:
    """Return the start of the next complete record, from ``start`` on, or None if there is none nearby."""
    file.seek(start)
    data = file.read(_SEARCH_BYTES + _PREFIX.size + _RECORD_MAX)
    at = 0
    # a length is below 64 KB, so its upper half is zero
    while (at := data.find(b"\0\0", at + 2) - 2) >= 0:
        begin = at + _PREFIX.size
        if begin > len(data):
            return None
        length, crc = _PREFIX.unpack(data[at:begin])
        if _record(data[begin : begin + length], length, crc) is not None:
            return start + at
        at += 1
    return None


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise DataError(f"{path} was just converted to Parquet by its recorder; run the command again") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
