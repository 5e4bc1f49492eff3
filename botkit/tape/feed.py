"""Joins several sources of recorded data into consecutive time slices with the rows of all wanted streams.

A driver works slice by slice. A slice contains every row of every wanted stream with ``start <= received < end``. It
ends at the latest time up to which all streams have been read, so that no earlier row can follow. ``rows_max`` limits
memory use, regardless of the tape's length.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec
import numpy as np

from botkit.errors import DataError
from botkit.model.clock import NS_PER_MS, Nanos, format_time
from botkit.model.columns import BookColumns, CandleColumns, MarketColumns
from botkit.model.extension import Options, TapeFormat
from botkit.model.pairs import Pair
from botkit.tape.buckets import candle_gaps, has_receive_times
from botkit.tape.manifest import KINDS, Kind, StreamInfo
from botkit.tape.parquet import join, kind_of, resolution_of, shifted
from botkit.tape.tape import Tape

StreamKey: TypeAlias = tuple[str, Kind, str | None]

#: a book row counts as this many rows, because it has 80 or more numbers, whereas a trade has 5
_BOOK_WEIGHT = 12
#: files with fewer rows than this are read once and kept in memory
_KEPT_ROWS = 4_000_000


class Slice(msgspec.Struct):
    """All rows of the wanted streams with ``start <= received < end``. Consecutive slices have no gaps between them.

    ``columns`` has one item for each stream with rows in the slice: candles, then books, then trades, each sorted by
    pair.
    """

    start: Nanos
    end: Nanos
    columns: list[MarketColumns]


class FeedSource(Protocol):
    """A source of rows: a tape, or a single file read through a format."""

    #: the name used in messages and in the report
    name: str
    path: str
    synthetic: bool

    @property
    def streams(self) -> Sequence[StreamInfo]:
        """The source's streams."""
        ...

    def read(self, key: StreamKey, start: Nanos | None, end: Nanos | None, rows_max: int) -> Iterator[MarketColumns]:
        """Return rows of one stream with ``start <= received < end``, in the order received."""
        ...


class TapeSource:
    """A tape as a source; ``only`` restricts it to some pairs."""

    def __init__(self, path: Path | str, pairs: Mapping[str, Pair], *, only: Sequence[str] = ()) -> None:
        self.tape = Tape.open(path, pairs)
        self.path = str(path)
        self.name = self.tape.manifest.name or Path(path).name
        self.synthetic = self.tape.manifest.synthetic
        self._only = frozenset(only)
        missing = sorted(self._only - {s.pair for s in self.tape.streams})
        if missing:
            have = ", ".join(sorted({s.pair for s in self.tape.streams})) or "no known pair"
            raise DataError(f"{path} has no data for {', '.join(missing)}; it has data for {have}")

    @property
    def streams(self) -> Sequence[StreamInfo]:
        """The tape's streams for the wanted pairs."""
        return [s for s in self.tape.streams if not self._only or s.pair in self._only]

    def read(self, key: StreamKey, start: Nanos | None, end: Nanos | None, rows_max: int) -> Iterator[MarketColumns]:
        """Return rows of one stream."""
        return self.tape.read(*key, start=start, end=end, rows_max=rows_max)


class OneKind:
    """One kind of data from a tape: ``kind: candles``, or ``kind: trades``, which includes its books."""

    def __init__(self, tape: TapeSource, kind: str) -> None:
        self.name, self.path, self.synthetic = tape.name, tape.path, tape.synthetic
        self._tape = tape
        self._kinds = ("candles",) if kind == "candles" else ("books", "trades")

    @property
    def streams(self) -> Sequence[StreamInfo]:
        """The tape's streams of this kind."""
        return [stream for stream in self._tape.streams if stream.kind in self._kinds]

    def read(self, key: StreamKey, start: Nanos | None, end: Nanos | None, rows_max: int) -> Iterator[MarketColumns]:
        """Return rows of one stream."""
        return self._tape.read(key, start, end, rows_max)


class FileSource:
    """A single file, read through a format. A small file is read once; a larger file is reread for every stream."""

    synthetic = False

    def __init__(
        self, path: Path | str, reader: TapeFormat, pairs: Mapping[str, Pair], options: Options | None = None
    ) -> None:
        self._file = Path(path)
        self.path = str(path)
        self.name = self._file.name
        #: messages about repairs (rounded prices) and errors (skipped rows) while reading
        self.notes: list[str] = []
        self.findings: list[str] = []
        self._gaps: dict[tuple[str, str], dict[tuple[Nanos, Nanos], None]] = {}
        self._reader, self._pairs = reader, pairs
        self._options: dict[str, Any] = {
            **(options or {}),
            "note": partial(_once, self.notes),
            "finding": partial(_once, self.findings),
            "gap": self._note_gap,
        }
        self._kept: dict[StreamKey, list[MarketColumns]] | None = {}
        self._streams = self._survey()

    def _chunks(self) -> Iterator[MarketColumns]:
        return self._reader.read(self._file, self._pairs, self._options)

    def _note_gap(self, pair: str, kind: str, start: Nanos, end: Nanos) -> None:
        self._gaps.setdefault((pair, kind), {})[start, end] = None

    def _survey(self) -> list[StreamInfo]:
        found: dict[StreamKey, _Survey] = {}
        total = 0
        for columns in self._chunks():
            if not len(columns):
                continue
            key: StreamKey = (str(columns.pair), kind_of(columns), resolution_of(columns))
            found.setdefault(key, _Survey()).add(columns)
            total += len(columns) * (_BOOK_WEIGHT if isinstance(columns, BookColumns) else 1)
            if total > _KEPT_ROWS:
                self._kept = None
            if self._kept is not None:
                self._kept.setdefault(key, []).append(columns)
        if not found:
            raise DataError(f"{self._file} has no rows")
        # a recorder stamps all rows or none, so a row whose receipt time happens to equal the exchange's time still has
        # an actual receipt time
        stamped = any(survey.has_receive_times for key, survey in found.items() if key[1] != "candles")
        return [
            survey.info(
                key,
                stamped if key[1] != "candles" else survey.has_receive_times,
                tuple(self._gaps.get((key[0], key[1]), ())),
            )
            for key, survey in found.items()
        ]

    @property
    def streams(self) -> Sequence[StreamInfo]:
        """The file's streams."""
        return self._streams

    def read(self, key: StreamKey, start: Nanos | None, end: Nanos | None, rows_max: int) -> Iterator[MarketColumns]:
        """Yield rows of one stream."""
        if self._kept is not None:
            chunks: Iterator[MarketColumns] = iter(self._kept.get(key, []))
        else:
            chunks = (c for c in self._chunks() if (str(c.pair), kind_of(c), resolution_of(c)) == key)
        for columns in chunks:
            lo = 0 if start is None else int(np.searchsorted(columns.received, start))
            hi = len(columns) if end is None else int(np.searchsorted(columns.received, end))
            for at in range(lo, hi, rows_max):
                yield columns.rows(at, min(hi, at + rows_max))


def _once(sentences: list[str], text: str) -> None:
    # a large file is read several times and would otherwise repeat its messages each time
    if text not in sentences:
        sentences.append(text)


class _Survey:
    """Summarizes one stream of a file: the number of rows, and their span."""

    def __init__(self) -> None:
        self.rows, self.start, self.end = 0, 0, 0
        self.gaps: list[tuple[Nanos, Nanos]] = []
        self.last_time: Nanos | None = None
        self.has_receive_times = False

    def add(self, columns: MarketColumns) -> None:
        if not self.rows:
            self.start = int(columns.received[0])
        self.rows += len(columns)
        self.end = int(columns.received[-1])
        if isinstance(columns, CandleColumns):
            self.gaps += candle_gaps(columns, self.last_time)
            self.last_time = int(columns.time[-1])
        self.has_receive_times |= has_receive_times(columns)

    def info(self, key: StreamKey, has_receive_times: bool, told: tuple[tuple[Nanos, Nanos], ...] = ()) -> StreamInfo:
        """Return the stream's description. ``told`` are the gaps reported by the format."""
        return StreamInfo(
            pair=key[0],
            kind=key[1],
            resolution=key[2],
            rows=self.rows,
            start=self.start,
            end=self.end,
            has_receive_times=has_receive_times,
            gaps=(*self.gaps, *told),
        )


class Feed:
    """Several sources joined. A row without a receipt time is treated as if it had been received ``feed_ms`` after the
    row's timestamp.
    """

    def __init__(self, sources: Sequence[FeedSource], *, feed_ms: float = 0) -> None:
        self.sources = list(sources)
        self.feed_ms = feed_ms
        self._feed_ns = round(feed_ms * NS_PER_MS)
        self._parts: dict[StreamKey, list[tuple[FeedSource, StreamInfo]]] = {}
        for source in self.sources:
            for info in source.streams:
                self._parts.setdefault(info.key, []).append((source, info))
        for parts in self._parts.values():
            parts.sort(key=lambda part: part[1].start)
            for (source, info), (later, after) in pairwise(parts):
                if after.start <= info.end:
                    raise DataError(
                        f"{source.path} and {later.path} both have {info.label} at {format_time(after.start)}; "
                        "remove one, or cut them so that they do not overlap"
                    )

    def _delay(self, info: StreamInfo) -> Nanos:
        return 0 if info.has_receive_times else self._feed_ns

    @property
    def streams(self) -> list[StreamInfo]:
        """All streams, each listed once, in slice order. Spans refer to delivery times, which include ``feed_ms``."""
        joined = []
        for parts in self._parts.values():
            infos = [info for _, info in parts]
            gaps = [gap for info in infos for gap in info.gaps]
            joined.append(
                StreamInfo(
                    pair=infos[0].pair,
                    kind=infos[0].kind,
                    resolution=infos[0].resolution,
                    rows=sum(info.rows for info in infos),
                    start=infos[0].start + self._delay(infos[0]),
                    end=infos[-1].end + self._delay(infos[-1]),
                    has_receive_times=all(info.has_receive_times for info in infos),
                    gaps=tuple(gaps),
                )
            )
        return sorted(joined, key=lambda info: _order(info.key))

    @property
    def synthetic(self) -> bool:
        """True if any source is a synthetic market."""
        return any(source.synthetic for source in self.sources)

    def stream(self, pair: str, kind: Kind, resolution: str | None = None) -> StreamInfo | None:
        """Return one stream's description, or None if no source has it."""
        return next((info for info in self.streams if info.key == (pair, kind, resolution)), None)

    def is_wire(self, pair: str) -> bool:
        """Return True if the pair's books are real and were recorded as the exchange sent them, with their receipt
        times.
        """
        parts = self._parts.get((pair, "books", None), [])
        return bool(parts) and all(info.has_receive_times and not source.synthetic for source, info in parts)

    def slices(
        self,
        wanted: Sequence[StreamKey],
        start: Nanos | None = None,
        end: Nanos | None = None,
        rows_max: int = 1_000_000,
    ) -> Iterator[Slice]:
        """Yield slices of the wanted streams from ``start`` to ``end`` (receipt times; by default the complete span).

        The first slice starts at ``start``, each later slice starts at the end of the previous slice, and the last
        slice ends at ``end``. A slice has at most about ``rows_max`` rows, where a book row counts as twelve. Raises
        DataError for a stream that no source has.
        """
        keys = sorted(dict.fromkeys(wanted), key=_order)
        for pair, kind, resolution in keys:
            if (pair, kind, resolution) not in self._parts:
                have = ", ".join(info.label for info in self.streams) or "nothing"
                label = " ".join(part for part in (pair, kind, resolution) if part)
                raise DataError(f"the data has no {label}; it has {have}")
        spans = [info for info in self.streams if info.key in keys]
        if not spans:
            return
        at = min(info.start for info in spans) if start is None else start
        last = max(info.end for info in spans) + 1 if end is None else end
        budget = max(1, rows_max // len(keys))
        cursors = [_Cursor(self._reader(key, at, last), _chunk_rows(key, budget)) for key in keys]
        while at < last:
            until = min(min(cursor.known_until() for cursor in cursors), last)
            taken = [columns for cursor in cursors if (columns := cursor.take(until)) is not None]
            yield Slice(at, until, taken)
            at = until

    def _reader(self, key: StreamKey, start: Nanos, end: Nanos) -> Callable[[int], Iterator[MarketColumns]]:
        parts = self._parts[key]

        def read(rows: int) -> Iterator[MarketColumns]:
            for source, info in parts:
                delay = self._delay(info)
                if info.end + delay < start or info.start + delay >= end:
                    continue
                for columns in source.read(key, start - delay, end - delay, rows):
                    yield shifted(columns, delay)

        return read

    def notes(self) -> list[str]:
        """Return the repairs made while reading single files, such as rounded prices, each with its file name."""
        sources = {id(source): source for parts in self._parts.values() for source, _ in parts}
        return [f"{source.name}: {note}" for source in sources.values() for note in getattr(source, "notes", ())]

    def describe(self) -> list[dict[str, Any]]:
        """Return a description of the data for the report: one entry per source and stream, with name, path, span (ns),
        rows, gaps and whether the data is synthetic.
        """
        return [
            {
                "name": source.name,
                "path": source.path,
                "synthetic": source.synthetic,
                "pair": info.pair,
                "kind": info.kind,
                "resolution": info.resolution,
                "rows": info.rows,
                "start": info.start + self._delay(info),
                "end": info.end + self._delay(info),
                "gaps": len(info.gaps),
                "has_receive_times": info.has_receive_times,
            }
            for parts in self._parts.values()
            for source, info in parts
        ]


def _order(key: StreamKey) -> tuple[int, str, str]:
    return (KINDS.index(key[1]), str(key[0]), key[2] or "")


def _chunk_rows(key: StreamKey, budget: int) -> int:
    return max(1, budget // _BOOK_WEIGHT if key[1] == "books" else budget)


class _Cursor:
    """Rows of one stream that have been read but not yet consumed."""

    def __init__(self, reader: Callable[[int], Iterator[MarketColumns]], rows: int) -> None:
        self._chunks = reader(rows)
        self._rows = rows
        self._held: list[MarketColumns] = []
        self._held_rows = 0
        self._exhausted = False

    def _load(self) -> None:
        columns = next(self._chunks, None)
        if columns is None:
            self._exhausted = True
        elif len(columns):
            self._held.append(columns)
            self._held_rows += len(columns)

    def known_until(self) -> Nanos:
        """Return the time before which all rows have been read. The next chunk may contain more rows at exactly that
        time.
        """
        while not self._exhausted and self._held_rows < self._rows:
            self._load()
        # if all rows in a chunk have equal times, the next chunk may contain more rows with that time
        while not self._exhausted and self._held[0].received[0] == self._held[-1].received[-1]:
            self._load()
        return sys.maxsize if self._exhausted else int(self._held[-1].received[-1])

    def take(self, until: Nanos) -> MarketColumns | None:
        """Return rows received before ``until``, or None if there are none."""
        taken: list[MarketColumns] = []
        rest: list[MarketColumns] = []
        for columns in self._held:
            cut = int(np.searchsorted(columns.received, until))
            if cut:
                taken.append(columns if cut == len(columns) else columns.rows(0, cut))
            if cut < len(columns):
                rest.append(columns if cut == 0 else columns.rows(cut, len(columns)))
        self._held = rest
        self._held_rows = sum(len(c) for c in rest)
        return join(taken) if taken else None


def format_of(path: Path, formats: Mapping[str, TapeFormat]) -> str:
    """Return the format that matches the file's suffix; the longest matching suffix wins."""
    fitting = [
        (len(ending), name)
        for name, reader in formats.items()
        for ending in reader.endings
        if path.name.endswith(ending)
    ]
    # if two formats share a suffix, the format registered first wins: candles before trades
    longest = max((length for length, _ in fitting), default=0)
    return next((name for length, name in fitting if length == longest), path.suffix)
