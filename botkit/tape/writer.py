"""Writes tapes. Rows are written to temporary files, which are synced and renamed only once they are complete.

An interrupted write leaves the tape unchanged, because the files are renamed and added to the manifest only when the
last row is on disk.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from botkit.errors import DataError
from botkit.model.clock import NS_PER_DAY, Nanos, format_time
from botkit.model.columns import BookColumns, CandleColumns, IntArray, MarketColumns
from botkit.model.pairs import Pair
from botkit.model.resolutions import bucket_start
from botkit.tape.buckets import candle_gaps, has_receive_times
from botkit.tape.manifest import (
    GAPS_KEPT,
    MANIFEST_NAME,
    FileEntry,
    Kind,
    Manifest,
    StreamInfo,
    content_hash,
    encode_manifest,
    folder_name,
    read_manifest,
)
from botkit.tape.parquet import ContentHash, ParquetSink, join, kind_of, padded, read_file, resolution_of

#: rows per row group: enough to compress well, but few enough to read in pieces; a book row has 80 numbers or more
GROUP_ROWS = {"trades": 131_072, "candles": 65_536, "books": 16_384}


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file atomically, so that a reader sees either the old or the new content, never a mixture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class _DayFile:
    """A file being written: one stream, one day (or one month of candles)."""

    def __init__(
        self, root: Path, relative: str, first: MarketColumns, amount_decimals: int, compression_level: int
    ) -> None:
        self.relative = relative
        self.path = root / relative
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        self._sink = ParquetSink(
            self.temporary, first, amount_decimals=amount_decimals, compression_level=compression_level
        )
        self._hash = ContentHash(kind_of(first))
        self._waiting: list[MarketColumns] = []
        self._waiting_rows = 0
        self._finished = False
        self.first = first
        self.rows, self.start, self.end = 0, int(first.received[0]), 0

    def write(self, columns: MarketColumns) -> None:
        if isinstance(columns, BookColumns) and isinstance(self.first, BookColumns):
            columns = padded(columns, self.first.depth)  # the hash is of the rows as they are in the file
        self._hash.update(columns)
        self._waiting.append(columns)
        self._waiting_rows += len(columns)
        self.rows += len(columns)
        self.end = int(columns.received[-1])
        group = GROUP_ROWS[kind_of(columns)]
        while self._waiting_rows >= group:
            whole = join(self._waiting)
            self._sink.write(whole.rows(0, group))
            self._waiting = [whole.rows(group, len(whole))]
            self._waiting_rows -= group

    def finish(self) -> FileEntry:
        if self._waiting_rows:
            self._sink.write(join(self._waiting))
        self._sink.close()
        with self.temporary.open("rb+") as file:
            os.fsync(file.fileno())
        self._finished = True
        return FileEntry(
            path=self.relative,
            pair=str(self.first.pair),
            kind=kind_of(self.first),
            resolution=resolution_of(self.first),
            rows=self.rows,
            start=self.start,
            end=self.end,
            sha256=self._hash.hexdigest(),
        )

    def publish(self) -> None:
        self.temporary.replace(self.path)

    def abandon(self) -> None:
        if not self._finished:
            self._sink.close()
        self.temporary.unlink(missing_ok=True)


class _Stream:
    """The state of a stream while it is being written."""

    def __init__(self, known: StreamInfo | None) -> None:
        self.end: Nanos | None = known.end if known else None
        # the last candle's bucket, kept so that a gap between two writing sessions is also detected
        self.last_time: Nanos | None = (
            bucket_start(known.end - 1, known.resolution) if known and known.resolution else None
        )
        self.gaps = list(known.gaps) if known else []
        self.has_receive_times = known.has_receive_times if known else False
        self.file: _DayFile | None = None


class TapeWriter:
    """Adds rows to a tape, creating the tape if necessary. Use it as a context manager.

    A stream's rows must be in the order received and later than all its rows already on the tape; other rows raise
    DataError. If an exception leaves the context, the tape stays unchanged.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        exchange: str = "bitopro",
        source: str,
        recorded: str,
        synthetic: bool = False,
        command: str = "",
        seed: int | None = None,
        name: str = "",
        notes: tuple[str, ...] = (),
        amount_decimals: Mapping[str, int] | None = None,
        compression_level: int = 12,
    ) -> None:
        self.root = Path(root)
        self._amount_decimals = dict(amount_decimals or {})
        self._compression_level = compression_level  # zstd: level 12 writes half a million rows per second
        if (self.root / MANIFEST_NAME).exists():
            self._base = read_manifest(self.root)
            if self._base.exchange != exchange or self._base.synthetic != synthetic:
                raise DataError(
                    f"{self.root} is a {'synthetic' if self._base.synthetic else 'recorded'} tape from "
                    f"{self._base.exchange}; a tape cannot mix synthetic and recorded data, or two exchanges: "
                    "choose another folder"
                )
        else:
            self._base = Manifest(
                name=name or self.root.name, exchange=exchange, source=source, recorded=recorded, synthetic=synthetic,
                command=command, seed=seed, notes=notes,
            )  # fmt: skip
        self._notes = tuple(dict.fromkeys((*self._base.notes, *notes)))
        self._known = {s.key: s for s in self._base.streams}
        self._entries: dict[str, FileEntry] = {f.path: f for f in self._base.files}
        self._streams: dict[tuple[str, Kind, str | None], _Stream] = {}
        # files that are complete on disk under temporary names. They are renamed together, so that an error leaves the
        # tape unchanged
        self._finished: list[tuple[_DayFile, FileEntry]] = []

    def __enter__(self) -> TapeWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def write(self, columns: MarketColumns) -> None:
        """Append rows to one stream."""
        if not len(columns):
            return
        kind, resolution = kind_of(columns), resolution_of(columns)
        key = (str(columns.pair), kind, resolution)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = _Stream(self._known.get(key))
        self._check_order(stream, columns)
        self._note_gaps(stream, columns)
        stream.has_receive_times |= has_receive_times(columns)
        received = columns.received
        periods = _periods(received, monthly=kind == "candles")
        cuts = [0, *(np.flatnonzero(np.diff(periods)) + 1).tolist(), len(columns)]
        for lo, hi in pairwise(cuts):
            self._write_period(stream, columns.rows(lo, hi), str(periods[lo]))

    def _check_order(self, stream: _Stream, columns: MarketColumns) -> None:
        received = columns.received
        steps = np.diff(received)
        if np.any(steps < 0):
            row = int(np.argmax(steps < 0)) + 1
            raise DataError(f"row {row} of the {columns.pair} {columns.kind} is older than the row before it")
        first = int(received[0])
        if stream.end is not None and first < stream.end:
            raise DataError(
                f"{self.root} already has {columns.pair} {columns.kind} up to {format_time(stream.end)}; rows from "
                f"{format_time(first)} are earlier: choose another folder, or cut the file"
            )
        stream.end = int(received[-1])

    def _note_gaps(self, stream: _Stream, columns: MarketColumns) -> None:
        if not isinstance(columns, CandleColumns):
            return
        for span in candle_gaps(columns, stream.last_time):
            if len(stream.gaps) < GAPS_KEPT:
                stream.gaps.append(span)
        stream.last_time = int(columns.time[-1])

    def note_gap(self, pair: str, kind: Kind, start: Nanos, end: Nanos) -> None:
        """Record that a recorder missed rows of a stream between two times."""
        stream = self._streams.setdefault((pair, kind, None), _Stream(self._known.get((pair, kind, None))))
        stream.gaps.append((start, end))

    def _write_period(self, stream: _Stream, columns: MarketColumns, period: str) -> None:
        relative = "/".join(
            (
                self._base.exchange,
                str(columns.pair),
                folder_name(kind_of(columns), resolution_of(columns)),
                f"{period}.parquet",
            )
        )
        if stream.file is None or stream.file.relative != relative:
            if stream.file is not None:
                self._keep(stream.file)
            stream.file = self._open_file(relative, columns)
        stream.file.write(columns)

    def _open_file(self, relative: str, columns: MarketColumns) -> _DayFile:
        pair: Pair = columns.pair
        decimals = self._amount_decimals.get(str(pair), pair.rules.amount_decimals)
        old = self._entries.get(relative)
        if old is None:
            return _DayFile(self.root, relative, columns, decimals, self._compression_level)
        # if the day already has a file, its rows are copied before the new rows, and the new file replaces it
        kind, resolution = kind_of(columns), resolution_of(columns)
        parts = read_file(self.root / relative, pair, kind, resolution, rows_max=GROUP_ROWS[kind])
        file: _DayFile | None = None
        left = old.rows
        for whole in parts:
            # after a crash between renaming the file and writing the manifest, the file has extra rows that cannot be
            # trusted
            part = whole if len(whole) <= left else whole.rows(0, left)
            left -= len(part)
            if not len(part):
                break
            if file is None:
                wide = part
                if isinstance(part, BookColumns) and isinstance(columns, BookColumns) and columns.depth > part.depth:
                    both = join([part, columns])
                    wide = both.rows(0, len(part))
                file = _DayFile(self.root, relative, wide, pair.rules.amount_decimals, self._compression_level)
            file.write(part)
        assert file is not None, "a file in the manifest has rows"
        return file

    def _keep(self, file: _DayFile) -> None:
        self._finished.append((file, file.finish()))

    def abandon(self) -> None:
        """Discard all rows written since the tape was opened or last committed."""
        for stream in self._streams.values():
            if stream.file is not None:
                stream.file.abandon()
                stream.file = None
        for file, _ in self._finished:
            file.abandon()
        self._finished.clear()
        if not (self.root / MANIFEST_NAME).exists():
            _remove_empty_folders(self.root)

    def close(self) -> Manifest:
        """Finish all files, rename them, then write and return the manifest."""
        for stream in self._streams.values():
            if stream.file is not None:
                self._keep(stream.file)
                stream.file = None
        for file, entry in self._finished:
            file.publish()
            self._entries[entry.path] = entry
        self._finished.clear()
        files = tuple(self._entries[path] for path in sorted(self._entries))
        manifest = Manifest(
            name=self._base.name,
            exchange=self._base.exchange,
            source=self._base.source,
            recorded=self._base.recorded,
            synthetic=self._base.synthetic,
            command=self._base.command,
            seed=self._base.seed,
            notes=self._notes,
            content_sha256=content_hash(files),
            streams=self._stream_infos(files),
            files=files,
        )
        write_atomically(self.root / MANIFEST_NAME, encode_manifest(manifest))
        return manifest

    def _stream_infos(self, files: tuple[FileEntry, ...]) -> tuple[StreamInfo, ...]:
        grouped: dict[tuple[str, Kind, str | None], list[FileEntry]] = {}
        for entry in files:
            grouped.setdefault((entry.pair, entry.kind, entry.resolution), []).append(entry)
        # a recorder stamps all rows or none, so even a stream whose receipt times happen to equal the exchange's times
        # has actual receipt times
        stamped = any(s.has_receive_times for key, s in self._streams.items() if key[1] != "candles")
        infos = []
        for key, entries in sorted(grouped.items(), key=lambda item: tuple(map(str, item[0]))):
            written, known = self._streams.get(key), self._known.get(key)
            infos.append(
                StreamInfo(
                    pair=key[0],
                    kind=key[1],
                    resolution=key[2],
                    rows=sum(e.rows for e in entries),
                    start=min(e.start for e in entries),
                    end=max(e.end for e in entries),
                    has_receive_times=(written or _Stream(known)).has_receive_times
                    or (key[1] != "candles" and written is not None and stamped),
                    gaps=tuple(written.gaps if written else known.gaps if known else ())[:GAPS_KEPT],
                )
            )
        return tuple(infos)


def _periods(received: IntArray, *, monthly: bool) -> np.ndarray[Any, Any]:
    # a candle is filed under the period of its end minus one nanosecond, because a month's last candle ends at midnight
    # of the next month
    if monthly:
        return (received - 1).astype("datetime64[ns]").astype("datetime64[M]")
    return (received // NS_PER_DAY * NS_PER_DAY).astype("datetime64[ns]").astype("datetime64[D]")


def _remove_empty_folders(root: Path) -> None:
    for folder in sorted((p for p in root.rglob("*") if p.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    if root.is_dir() and not any(root.iterdir()):
        root.rmdir()
