"""Reads recorded frames into columns. This is the tape format ``frames`` (.jsonl, .jsonl.gz).

Each line is a JSON object: ``{"received": <ms by the recorder's clock>, "frame": <ORDER_BOOK or TRADE frame>}``. Frames
from other streams are skipped. A TRADE frame normally repeats the list of recent trades, so each list is aligned with
the previous one to find the new trades. Other recorders write one frame per trade. The reader detects which of the two
formats a file uses, unless ``trades`` is set.
"""

from __future__ import annotations

import difflib
import gzip
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import msgspec
import numpy as np

from botkit.errors import DataError
from botkit.exchange.bitopro.trade_lists import TradeListAligner
from botkit.exchange.bitopro.wire.codec import WireError, decode, scaled, to_ns
from botkit.exchange.bitopro.wire.frames import Frame, OrderBookFrame, TradeFrame, decode_frame
from botkit.exchange.bitopro.wire.market import LevelRow, TradeRow
from botkit.model.clock import NS_PER_MS, Nanos
from botkit.model.columns import BookColumns, IntArray, MarketColumns, TradeColumns
from botkit.model.extension import Options
from botkit.model.pairs import Pair

#: rows per chunk of a stream; 20,000 books of 20 levels are 13 MB of integers
CHUNK_ROWS = 20_000
#: a line longer than this is not a frame; without a limit, a damaged archive could exhaust memory
_LINE_MAX = 4 * 2**20
_DEPTHS = (1, 5, 10, 20, 30, 50)

#: received ns, exchange ns, ticks, lots, side
_TradeTuple = tuple[Nanos, int, int, int]


class _RawLine(msgspec.Struct):
    received: int
    frame: msgspec.Raw


class _KnownLine(msgspec.Struct):
    received: int
    frame: Frame


class _Reading(msgspec.Struct, frozen=True):
    """Settings for reading a file. ``is_guessed`` means that the format was detected rather than configured, so a frame
    that does not match the format is refused.
    """

    is_single: bool
    is_guessed: bool
    only: str | None
    note: Callable[[str], object]
    gap: Callable[[str, str, Nanos, Nanos], object]


def _nobody(*_: object) -> None:
    """Do nothing. The default callback."""


class _Trades:
    """Collects one pair's trades for a chunk."""

    def __init__(self, pair: Pair, reading: _Reading) -> None:
        self.pair = pair
        self._reading = reading
        # arrival time of the previous frame, and the number of trades in it
        self._before: tuple[Nanos, int] | None = None
        coarse = 10 ** max(0, pair.rules.amount_decimals - pair.rules.display_decimals)
        # trades are compared after rounding, because frames after the first one round amounts to amountPrecision
        self.aligner: TradeListAligner[_TradeTuple] | None = (
            None
            if reading.is_single
            else TradeListAligner(lambda row: (row[0], row[1], (row[2] + coarse // 2) // coarse, row[3]))
        )
        self.rows: list[array[int]] = [array("q") for _ in range(5)]

    def __len__(self) -> int:
        return len(self.rows[0])

    def add(self, received: Nanos, rows: tuple[TradeRow, ...]) -> None:
        rules = self.pair.rules
        parsed = [
            (
                to_ns(row.timestamp, "trade timestamp"),
                scaled(row.price, rules.price_decimals, "price"),
                scaled(row.amount, rules.amount_decimals, "amount"),
                1 if row.is_buyer else -1,
            )
            for row in rows
        ]
        if any(ticks <= 0 or lots <= 0 for _, ticks, lots, _ in parsed):
            raise WireError("a trade's price and amount must be positive")
        new = self._aligned(received, parsed) if self.aligner else tuple(reversed(parsed))
        times, stamps, ticks_, lots_, sides = self.rows
        for time, ticks, lots, side in new:
            times.append(received)
            stamps.append(time)
            ticks_.append(ticks)
            lots_.append(lots)
            sides.append(side)

    def _aligned(self, received: Nanos, rows: list[_TradeTuple]) -> tuple[_TradeTuple, ...]:
        """Return the trades in a list that are new. Call ``note`` for the first list, which predates the recording, and
        ``gap`` for each gap between lists.
        """
        assert self.aligner is not None
        new, gap = self.aligner.feed(rows)
        before, self._before = self._before, (received, len(rows))
        if before is None:
            if rows:
                what = "1 trade" if len(rows) == 1 else f"{len(rows)} trades"
                self._reading.note(f"{self.pair}: skipped {what} in the first list, from before the recording")
            return new
        # a list of recent trades grows until it is full and never shrinks
        if self._reading.is_guessed and len(rows) == 1 and (gap or before[1] > 1):
            raise WireError(
                "a frame of a single trade in a file whose other frames repeat the list of recent trades; split the "
                "file, or set how to read it with --trades list or --trades single (in a configuration, `trades:`)"
            )
        if gap:
            self._reading.gap(str(self.pair), "trades", before[0], received)
        return new

    def take(self) -> TradeColumns:
        received, time, ticks, lots, side = (np.array(column, dtype=np.int64) for column in self.rows)
        self.rows = [array("q") for _ in range(5)]
        return TradeColumns(self.pair, received, time, ticks, lots, side.astype(np.int8))


class _Books:
    """Collects one pair's books for a chunk."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.received = array("q")
        self.time = array("q")
        self.sides: tuple[list[list[int]], list[list[int]]] = ([], [])  # flattened: ticks, lots, ticks, lots...

    def __len__(self) -> int:
        return len(self.received)

    def add(self, received: Nanos, frame: OrderBookFrame) -> None:
        bids, asks = self._levels(frame.bids, "bid"), self._levels(frame.asks, "ask")
        if any(bids[i] <= bids[i + 2] for i in range(0, len(bids) - 2, 2)):
            raise WireError("bids must be in descending order of price")
        if any(asks[i] >= asks[i + 2] for i in range(0, len(asks) - 2, 2)):
            raise WireError("asks must be in ascending order of price")
        self.time.append(to_ns(frame.timestamp))
        self.received.append(received)
        self.sides[0].append(bids)
        self.sides[1].append(asks)

    def _levels(self, levels: tuple[LevelRow, ...] | None, what: str) -> list[int]:
        rules = self.pair.rules
        flat: list[int] = []
        for level in levels or ():
            ticks = scaled(level.price, rules.price_decimals, f"{what} price")
            lots = scaled(level.amount, rules.amount_decimals, f"{what} amount")
            if ticks <= 0 or lots < 0:
                raise WireError(f"a {what} of {level.amount} at {level.price} is not a valid book level")
            if lots:  # the amount was rounded to zero, so the level is empty
                flat += (ticks, lots)
        return flat

    def take(self) -> BookColumns:
        deepest = max((len(levels) // 2 for side in self.sides for levels in side), default=0)
        depth = next((d for d in _DEPTHS if d >= deepest), deepest)
        columns = [column for side in self.sides for column in _padded(side, depth)]
        received, time = np.array(self.received, dtype=np.int64), np.array(self.time, dtype=np.int64)
        self.received, self.time, self.sides = array("q"), array("q"), ([], [])
        return BookColumns(self.pair, received, time, *columns)


def _padded(side: list[list[int]], depth: int) -> tuple[IntArray, IntArray]:
    """Return ticks and lots as arrays of shape (rows, depth). Missing levels are 0."""
    flat = np.zeros((len(side), depth * 2), dtype=np.int64)
    for row, levels in enumerate(side):
        flat[row, : len(levels)] = levels
    return np.ascontiguousarray(flat[:, ::2]), np.ascontiguousarray(flat[:, 1::2])


class BitoProFrames:
    """A reader for recorded BitoPro frames. Options: ``trades`` (list or single; detected by default) and ``pair``
    (read only that pair). ``note`` is called with messages. ``gap`` is called with the pair, kind, start and end of
    each gap in the data.
    """

    endings: tuple[str, ...] = (".frames.jsonl", ".frames.jsonl.gz", ".jsonl", ".jsonl.gz")

    def __init__(self, chunk_rows: int = CHUNK_ROWS) -> None:
        self._chunk_rows = chunk_rows

    def read(self, path: Path, pairs: Mapping[str, Pair], options: Options) -> Iterator[MarketColumns]:
        """Yield the file's books and trades in size-limited chunks, ordered by receive time.

        When one stream's chunk is full, the chunks of all streams are yielded, so that no stream runs far ahead of the
        others. Raises DataError naming the file and line.
        """
        mode = options.get("trades")
        if mode not in (None, "list", "single"):
            raise DataError(f"{path}: trades: {mode!r} is not valid; use list or single")
        only = options.get("pair")
        only = str(only).lower() if only else None
        reading = _Reading(
            is_single=mode == "single" or (mode is None and _holds_single_trades(Path(path), only)),
            is_guessed=mode is None,
            only=only,
            note=options.get("note") or _nobody,
            gap=options.get("gap") or _nobody,
        )
        yield from self._read(Path(path), pairs, reading)

    def _read(self, path: Path, pairs: Mapping[str, Pair], reading: _Reading) -> Iterator[MarketColumns]:
        streams: dict[tuple[str, str], _Trades | _Books] = {}
        last, number = 0, 0
        with _lines(path) as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    received, frame = _decode_line(line)
                    if received < last:
                        raise WireError(f"it was received before the previous line ({received // NS_PER_MS} ms)")
                    last = received
                    if frame is None:
                        continue
                    stream = _stream_of(frame, pairs, streams, reading)
                    if isinstance(stream, _Books):
                        assert isinstance(frame, OrderBookFrame)
                        stream.add(received, frame)
                    elif stream is not None:
                        assert isinstance(frame, TradeFrame)
                        if reading.is_single and len(frame.data or ()) > 1:
                            raise WireError(
                                f"a frame has {len(frame.data or ())} trades, but the setting is trades: single; "
                                "if it was recorded from the exchange, read it with trades: list"
                            )
                        stream.add(received, frame.data or ())
                except WireError as error:
                    raise DataError(f"{path}:{number}: {error}") from None
                if stream is not None and len(stream) >= self._chunk_rows:
                    yield from _taken(streams)
        if not number:
            raise DataError(f"{path}: the file is empty")
        yield from _taken(streams)


def _holds_single_trades(path: Path, only: str | None) -> bool:
    """Return True if every TRADE frame in the file contains exactly one trade. In a file whose frames repeat a list, a
    frame with several trades soon appears.
    """
    with _lines(path) as lines:
        for line in lines:
            if b"TRADE" not in line:
                continue
            try:
                frame = _decode_line(line)[1]
            except WireError:
                continue  # the bad line is reported later, when the file is read
            if isinstance(frame, TradeFrame) and only in (None, frame.pair.lower()) and len(frame.data or ()) != 1:
                return False
    return True


def _taken(streams: dict[tuple[str, str], _Trades | _Books]) -> Iterator[MarketColumns]:
    for stream in streams.values():
        if len(stream):
            yield stream.take()


def _decode_line(line: bytes) -> tuple[Nanos, OrderBookFrame | TradeFrame | None]:
    try:
        known = _line_decoder.decode(line)
        received, frame = known.received, known.frame
    except (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError):
        # this slower path distinguishes an unknown event from a damaged line, and describes any damage
        raw = decode(line, _RawLine, 'a line like {"received": ms, "frame": {...}}')
        decode_frame(bytes(raw.frame))
        return to_ns(raw.received, "received"), None
    return to_ns(received, "received"), frame if isinstance(frame, (OrderBookFrame, TradeFrame)) else None


_line_decoder = msgspec.json.Decoder(_KnownLine)


def _stream_of(
    frame: OrderBookFrame | TradeFrame,
    pairs: Mapping[str, Pair],
    streams: dict[tuple[str, str], _Trades | _Books],
    reading: _Reading,
) -> _Trades | _Books | None:
    name = frame.pair.lower()
    if reading.only is not None and name != reading.only:
        return None
    kind = "books" if isinstance(frame, OrderBookFrame) else "trades"
    stream = streams.get((name, kind))
    if stream is None:
        pair = pairs.get(name)
        if pair is None:
            near = difflib.get_close_matches(name, list(pairs), 1)
            raise WireError(f"unknown pair {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
        stream = _Books(pair) if kind == "books" else _Trades(pair, reading)
        streams[name, kind] = stream
    return stream


@contextmanager
def _lines(path: Path) -> Iterator[Iterator[bytes]]:
    """Yield the file's lines, decompressed if necessary. Raises DataError naming the file."""
    try:
        with path.open("rb") as packed:
            magic = packed.read(2)
            packed.seek(0)
            source = cast(IO[bytes], gzip.GzipFile(fileobj=packed) if magic == b"\x1f\x8b" else packed)
            yield _bounded(source, path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


def _bounded(source: IO[bytes], path: Path) -> Iterator[bytes]:
    number = 0
    while True:
        try:
            line = source.readline(_LINE_MAX + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path}:{number + 1}: the compressed file is damaged or cut short: {error}") from None
        if not line:
            return
        number += 1
        if len(line) > _LINE_MAX:
            raise DataError(f"{path}:{number}: a line with more than {_LINE_MAX} bytes is not a recorded frame")
        yield line
