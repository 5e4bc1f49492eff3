"""Checks a source for gaps, duplicate rows, crossed or broken books, and price jumps in a single pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from botkit.errors import DataError
from botkit.model.clock import NS_PER_S, Nanos, format_time
from botkit.model.columns import BookColumns, CandleColumns, IntArray, MarketColumns, TradeColumns
from botkit.model.counts import counted
from botkit.model.events import MAX_BOOK_AGE_S
from botkit.model.resolutions import fixed_length
from botkit.tape.buckets import bucket_starts, candle_ends
from botkit.tape.feed import FeedSource
from botkit.tape.manifest import FileEntry, Kind, StreamInfo, content_hash
from botkit.tape.parquet import COLUMNS, ContentHash, join, kind_of
from botkit.tape.tape import Tape

#: the finding for a candle stream with missing candles
NO_CANDLE = "candles are missing before this row"
#: a pause between trades is noted only if it is longer than this many seconds and longer than this many mean intervals.
#: If trades were independent, the longest of a million intervals would be about 14 times the mean
_QUIET_S, _QUIET_INTERVALS = 3600, 50
#: a price counts as a jump if it is at least this multiple of the previous price, or at most the inverse fraction
_SPIKE = 2


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A problem in a stream. ``row`` counts from 0 in the stream; ``rows`` is the number of affected rows."""

    stream: str
    what: str
    rows: int
    row: int
    time: Nanos

    def sentence(self) -> str:
        """Return a sentence that states the problem, the number of affected rows, and the first occurrence."""
        rows = counted(self.rows, "row")
        return f"{self.stream}: {self.what}, {rows}, first at row {self.row} ({format_time(self.time)})"


class StreamReport(msgspec.Struct, kw_only=True):
    """The contents of one stream. A ``doubled`` row equals the previous row in every column."""

    info: StreamInfo
    rows: int = 0
    doubled: int = 0
    crossed: int = 0
    gaps: int = 0
    missing_candles: int = 0
    longest_silence_s: float = 0.0
    #: the start of the longest pause
    silent_from: Nanos = 0
    findings: list[Finding] = []

    def notes(self) -> list[str]:
        """Return notes on findings that are not necessarily errors in the file: gaps during recording or import, and
        unusually long pauses between trades.
        """
        if self.info.kind == "candles":
            return []
        return [note for note in (self._gaps_note(), self._silence_note()) if note]

    def _silence_note(self) -> str | None:
        # books have a separate limit, and a recorded gap is already reported
        if self.info.kind != "trades" or self.info.gaps or self.rows < 2:
            return None
        mean_s = (self.info.end - self.info.start) / NS_PER_S / (self.rows - 1)
        if self.longest_silence_s < max(_QUIET_S, _QUIET_INTERVALS * mean_s):
            return None
        return (
            f"{self.info.label}: no trade for {self.longest_silence_s:,.0f} s from {format_time(self.silent_from)}, "
            f"but one every {mean_s:,.1f} s on average; rows may be missing"
        )

    def _gaps_note(self) -> str | None:
        gaps = self.info.gaps
        if not gaps:
            return None
        start, end = max(gaps, key=lambda gap: gap[1] - gap[0])
        many = (
            "1 gap in which rows may be missing,"
            if len(gaps) == 1
            else f"{len(gaps)} gaps in which rows may be missing, the longest"
        )
        return f"{self.info.label}: {many} of {(end - start) / NS_PER_S:,.1f} s from {format_time(start)}"


class _Inspector:
    """Collects findings across a stream's chunks: for each kind, the count and the first occurrence."""

    def __init__(self, info: StreamInfo) -> None:
        self.report = StreamReport(info=info, findings=[])
        self._found: dict[str, Finding] = {}
        self._last: MarketColumns | None = None

    def chunk(self, columns: MarketColumns) -> None:
        start = self.report.rows
        # prepend the previous chunk's last row, so that adjacent rows are also compared across chunks
        whole = join([self._last, columns]) if self._last is not None else columns
        skip = len(whole) - len(columns)
        self._common(whole, start - skip, skip)
        if isinstance(whole, TradeColumns):
            self._trades(whole, start - skip, skip)
        elif isinstance(whole, BookColumns):
            self._books(whole, start - skip, skip)
        else:
            self._candles(whole, start - skip, skip)
        self.report.rows += len(columns)
        self._last = columns.rows(len(columns) - 1, len(columns))

    def finish(self) -> StreamReport:
        self.report.findings = sorted(self._found.values(), key=lambda f: f.row)
        return self.report

    def _note(self, what: str, mask: Any, start: int, received: IntArray) -> int:
        """Count the rows for which ``mask`` (a boolean array aligned with ``received``) is true."""
        count = int(mask.sum())
        if count:
            row = int(np.argmax(mask))
            old = self._found.get(what)
            self._found[what] = (
                Finding(stream=self.report.info.label, what=what, rows=count, row=start + row, time=int(received[row]))
                if old is None
                else msgspec.structs.replace(old, rows=old.rows + count)
            )
        return count

    def _common(self, columns: MarketColumns, start: int, skip: int) -> None:
        received = columns.received
        steps = np.diff(received)
        if len(steps) and (silence_s := float(steps.max()) / NS_PER_S) > self.report.longest_silence_s:
            self.report.longest_silence_s = silence_s
            self.report.silent_from = int(received[int(steps.argmax())])
        if isinstance(columns, BookColumns):
            hole = np.concatenate(([False], steps > MAX_BOOK_AGE_S * NS_PER_S))
            self._note(f"more than {MAX_BOOK_AGE_S} s since the previous book", hole, start, received)
        self._note("received before the previous row", np.concatenate(([False], steps < 0)), start, received)
        same = np.ones(len(columns) - 1, dtype=np.bool_)
        for name in COLUMNS[kind_of(columns)]:
            values = getattr(columns, name)
            equal = values[1:] == values[:-1]
            same &= equal if equal.ndim == 1 else equal.all(axis=1)
        doubled = np.concatenate(([False], same))
        if isinstance(columns, TradeColumns):
            # equal trades occur when one taker is matched with several makers at one price, so they are counted but are
            # not an error
            self.report.doubled += int(doubled.sum())
        else:
            self.report.doubled += self._note("doubled row", doubled, start, received)

    def _trades(self, columns: TradeColumns, start: int, skip: int) -> None:
        received, ticks = columns.received[skip:], columns.ticks[skip:]
        self._note("price is zero or negative", ticks <= 0, start + skip, received)
        self._note("amount is zero or negative", columns.lots[skip:] <= 0, start + skip, received)
        self._spikes(columns.ticks, start, columns.received)

    def _books(self, columns: BookColumns, start: int, skip: int) -> None:
        received = columns.received[skip:]
        cut = columns.rows(skip, len(columns))
        bid_there, ask_there = cut.bid_lots[:, 0] > 0, cut.ask_lots[:, 0] > 0
        crossed = bid_there & ask_there & (cut.bid_ticks[:, 0] >= cut.ask_ticks[:, 0])
        self.report.crossed += self._note("crossed book", crossed, start + skip, received)
        self._note("a side of the book is empty", ~(bid_there & ask_there), start + skip, received)
        for ticks, lots, sign in ((cut.bid_ticks, cut.bid_lots, -1), (cut.ask_ticks, cut.ask_lots, 1)):
            self._note(
                "negative amount or price in a book", ((lots < 0) | (ticks < 0)).any(axis=1), start + skip, received
            )
            both = (lots[:, 1:] > 0) & (lots[:, :-1] > 0)
            wrong = (both & (sign * np.diff(ticks, axis=1) <= 0)).any(axis=1)
            self._note("book levels are not in order", wrong, start + skip, received)
        there = (columns.bid_lots[:, 0] > 0) & (columns.ask_lots[:, 0] > 0)
        mids = (columns.bid_ticks[:, 0] + columns.ask_ticks[:, 0])[there]
        self._spikes(mids, start, columns.received[there])

    def _candles(self, columns: CandleColumns, start: int, skip: int) -> None:
        cut = columns.rows(skip, len(columns))
        received = cut.received
        low = np.minimum(np.minimum(cut.open, cut.close), np.minimum(cut.high, cut.low))
        self._note("price is zero or negative", low <= 0, start + skip, received)
        self._note("volume is negative", cut.lots < 0, start + skip, received)
        wrong = (cut.high < np.maximum(cut.open, cut.close)) | (cut.low > np.minimum(cut.open, cut.close))
        self._note("open or close is not between low and high", wrong, start + skip, received)
        off = bucket_starts(cut.time, cut.resolution) != cut.time
        self._note(f"not at the start of a {cut.resolution} candle", off, start + skip, received)
        times = columns.time
        steps = np.diff(times)
        self._note("second candle for the same time", np.concatenate(([False], steps == 0)), start, columns.received)
        ends = candle_ends(times[:-1], columns.resolution)
        holes = times[1:] > ends
        self.report.gaps += int(holes.sum())
        length = fixed_length(columns.resolution)
        if length is not None:
            missing = int(((times[1:] - ends)[holes] // length).sum())
            self.report.missing_candles += missing
        self._note(NO_CANDLE, np.concatenate(([False], holes)), start, columns.received)
        self._spikes(columns.close, start, columns.received)

    def _spikes(self, prices: IntArray, start: int, received: IntArray) -> None:
        if len(prices) < 2:
            return
        before, after = prices[:-1], prices[1:]
        jumps = (before > 0) & (after > 0) & ((after > _SPIKE * before) | (before > _SPIKE * after))
        self._note(f"price jumps by a factor of {_SPIKE} or more", np.concatenate(([False], jumps)), start, received)


def inspect(source: FeedSource) -> Iterator[StreamReport]:
    """Read every stream of a source and return a report on each. Raises DataError if the source cannot be read."""
    for info in source.streams:
        inspector = _Inspector(info)
        rows_max = 16_384 if info.kind == "books" else 262_144
        for columns in source.read(info.key, None, None, rows_max):
            inspector.chunk(columns)
        report = inspector.finish()
        if info.kind != "candles":
            report.gaps = len(info.gaps)
        yield report


def _other_sums(tape: Tape) -> list[str]:
    """Return sentences about streams whose rows and span do not match those of their files."""
    found: dict[tuple[str, Kind, str | None], list[FileEntry]] = {}
    for entry in tape.manifest.files:
        found.setdefault((entry.pair, entry.kind, entry.resolution), []).append(entry)
    wrong = []
    streams = {info.key: info for info in tape.manifest.streams}
    for key in sorted({*found, *streams}, key=str):
        info, files = streams.get(key), found.get(key, [])
        rows, starts, ends = sum(f.rows for f in files), [f.start for f in files], [f.end for f in files]
        of_files = rows, min(starts, default=0), max(ends, default=0)
        if info is None or (info.rows, info.start, info.end) != of_files:
            wrong.append(f"manifest.json: {' '.join(filter(None, key))} does not match its files")
    return wrong


def check_contents(tape: Tape) -> list[str]:
    """Compare the manifest with the files. Return messages about missing files, different row counts or contents, and
    damaged journals.
    """
    wrong = tape.journal_damage()
    for entry in tape.manifest.files:
        if entry.pair in tape.unknown_pairs:
            wrong.append(f"{entry.path}: the exchange has no pair {entry.pair}")
            continue
        digest = ContentHash(entry.kind)
        rows, first, last = 0, 0, 0
        try:
            for columns in tape.read_entry(entry):
                digest.update(columns)
                first = first or int(columns.received[0])
                last = int(columns.received[-1])
                rows += len(columns)
        except DataError as error:
            wrong.append(str(error))
            continue
        if rows != entry.rows:
            wrong.append(f"{entry.path}: {rows} rows, but the manifest says {entry.rows}")
        elif digest.hexdigest() != entry.sha256:
            wrong.append(f"{entry.path}: the rows differ from those recorded (their hash differs)")
        elif (first, last) != (entry.start, entry.end):
            wrong.append(
                f"{entry.path}: its rows run from {format_time(first)} to {format_time(last)}, but the manifest says "
                f"{format_time(entry.start)} to {format_time(entry.end)}"
            )
    wrong += _other_sums(tape)
    if content_hash(tape.manifest.files) != tape.manifest.content_sha256:
        wrong.append("manifest.json: content_sha256 is not the hash of the files it lists")
    return wrong
