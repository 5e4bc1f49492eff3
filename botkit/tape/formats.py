"""Tape formats for CSV candles and CSV trades. Every error names the file and the line."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np

from botkit.errors import DataError
from botkit.model.clock import NS_PER_S, Nanos, format_time
from botkit.model.columns import CandleColumns, IntArray, MarketColumns, SideArray, TradeColumns
from botkit.model.extension import Options
from botkit.model.pairs import Pair
from botkit.model.resolutions import RESOLUTIONS, check_resolution, fixed_length
from botkit.tape.buckets import bucket_starts, candle_ends
from botkit.tape.csv_columns import CsvFile, parse_steps, parse_times, zone_of

#: (line of each row, arrays of integers starting with the times, how many numbers were rounded)
_Chunk: TypeAlias = tuple[IntArray, np.ndarray[Any, np.dtype[np.int64]], int]

_TIME = ("timestamp", "time", "date", "datetime", "open_time", "opentime", "unix")
_AMOUNT = ("amount", "quantity", "qty", "size", "volume")
_BUY = {"buy": 1, "b": 1, "bid": 1, "1": 1, "true": 1, "sell": -1, "s": -1, "ask": -1, "-1": -1, "false": -1}
#: no side, because the source does not contain the taker's side
_UNKNOWN_SIDE = {"": 0, "0": 0, "none": 0, "unknown": 0}


def find_pair(name: object, pairs: Mapping[str, Pair], where: str) -> Pair:
    """Find a pair by name, ignoring case. If there is none, raises a DataError that suggests the nearest names."""
    if not name:
        raise DataError(f"{where} does not name its pair; add `pair:` to the configuration, or --pair to the command")
    key = str(name).lower()
    if key in pairs:
        return pairs[key]
    near = difflib.get_close_matches(key, pairs, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else f"; it lists {len(pairs)} pairs"
    raise DataError(f"{where}: the exchange has no pair {key!r}{hint}")


def _tell(options: Options, which: str, text: str) -> None:
    """Report a message about the file: a ``note`` for a repair, a ``finding`` for an error."""
    listener = options.get(which)
    if callable(listener):
        listener(text)


def _rounded(count: int, pair: Pair) -> str:
    decimals = pair.rules.price_decimals
    return f"{count} prices had more decimals than {pair} allows ({decimals}) and were rounded to the nearest"


class CandleCsv:
    """CSV candles: time, open, high, low, close, volume (base currency). ``time`` is the start of the bucket.

    Options: ``pair``; ``resolution`` (default: the shortest interval between rows in the first block); ``doubled``:
    "refuse" (default) or "drop" rows that repeat the previous row exactly; ``timezone`` for times without an offset;
    ``sort``: True accepts rows in any order, such as newest first.
    """

    endings: tuple[str, ...] = (".csv", ".csv.gz")

    def read(self, path: Path, pairs: Mapping[str, Pair], options: Options) -> Iterator[MarketColumns]:
        """Yield the file's candles, each received at the end of its bucket."""
        pair = find_pair(options.get("pair"), pairs, str(path))
        said = options.get("resolution")
        if said is not None:
            try:
                check_resolution(str(said))
            except ValueError as error:
                raise DataError(f"{path}: {error}") from None
        wanted = {
            "time": _TIME,
            "open": ("open", "o"),
            "high": ("high", "h"),
            "low": ("low", "l"),
            "close": ("close", "c"),
            "volume": ("volume", "vol", "v", "amount", "base_volume"),
        }
        check = CandleCheck(path, drop_doubled=options.get("doubled") == "drop")
        rounded, rows, resolution = 0, 0, str(said) if said is not None else None
        chunks = self._chunks(CsvFile(path, wanted), pair, zone_of(path, options.get("timezone")))
        for lines, table, off in _sorted(chunks) if options.get("sort") else chunks:
            time, *arrays, volume = table.T
            rounded += off
            if not rows:
                _refuse_descending(path, int(lines[0]), time)
            if resolution is None:
                resolution = guess_resolution(path, time)
            columns = check.accept(lines, pair, resolution, time, arrays, volume, first=rows == 0)
            rows += len(time)
            if len(columns):
                yield columns
        if not rows:
            raise DataError(f"{path} has a header but no rows")
        if rounded:
            _tell(options, "note", _rounded(rounded, pair))
        if check.doubled:
            _tell(options, "finding", f"{check.doubled} duplicate candles were skipped")

    @staticmethod
    def _chunks(file: CsvFile, pair: Pair, zone: ZoneInfo | None) -> Iterator[_Chunk]:
        rules = pair.rules
        for line, text in file.chunks():
            columns, rounded = [parse_times(file.path, line, text["time"], zone)], 0
            for name in ("open", "high", "low", "close"):
                steps, off = parse_steps(file.path, line, name, text[name], rules.price_decimals)
                columns.append(steps)
                rounded += off
            columns.append(parse_steps(file.path, line, "volume", text["volume"], rules.amount_decimals)[0])
            yield np.arange(line, line + len(columns[0])), np.column_stack(columns), rounded


def _sorted(chunks: Iterator[_Chunk]) -> Iterator[_Chunk]:
    """Yield all rows in one chunk, sorted by the time in the first column. Rows with equal times keep their order. If
    the file runs from newest to oldest, their order is reversed.
    """
    parts = list(chunks)
    if not parts:
        return
    lines, table = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    if (np.diff(table[:, 0]) <= 0).all():
        lines, table = lines[::-1], table[::-1]
    order = np.argsort(table[:, 0], kind="stable")
    yield lines[order], np.ascontiguousarray(table[order]), sum(part[2] for part in parts)


def _refuse_descending(path: Path, line: int, time: IntArray) -> None:
    if len(time) > 2 and time[-1] < time[0] and (np.diff(time) <= 0).all():
        raise DataError(
            f"{path}:{line}: the rows run from newest to oldest; `botkit data import --sort` reverses them "
            "(in a configuration, `sort: true` next to the path)"
        )


def guess_resolution(path: Path, time: IntArray) -> str:
    """Return the resolution whose length is the shortest interval between rows. Raises DataError if there is none."""
    steps = np.diff(time)
    steps = steps[steps > 0]
    if not len(steps) and len(time) > 1:
        if (time == time[0]).all():
            raise DataError(
                f"{path}: all rows have the time {format_time(int(time[0]))}; each candle needs a different time"
            )
        raise DataError(f"{path}: rows must be sorted by time (use --sort)")
    if not len(steps):
        raise DataError(
            f"{path}: the resolution cannot be inferred from one candle; set it with resolution: or --resolution"
        )
    least = int(steps.min())
    for resolution in RESOLUTIONS:
        if fixed_length(resolution) == least:
            return resolution
    if 28 * 86_400 * 10**9 <= least <= 31 * 86_400 * 10**9:
        return "1M"
    raise DataError(
        f"{path}: rows are {least / 10**9:g} s apart; the exchange's resolutions are {', '.join(RESOLUTIONS)}"
        f"{_looks_like(time)}"
    )


def _looks_like(time: IntArray) -> str:
    """Return a hint for times in a form that spreadsheets and other exchanges write, or an empty text."""
    if int(time.min()) >= 20_000 * NS_PER_S and int(time.max()) < 80_000 * NS_PER_S:
        return (
            "; the times look like Excel's numbers of days: give the column a date format (yyyy-mm-dd hh:mm:ss) "
            "and save it again"
        )
    if (time % (60 * NS_PER_S) >= 59 * NS_PER_S).all():
        return "; the times look like those at which candles close, so write when each one opens"
    return ""


class CandleCheck:
    """Checks one file's candles across chunk boundaries."""

    def __init__(self, path: Path, *, drop_doubled: bool) -> None:
        self.path = path
        self.doubled = 0
        self._drop = drop_doubled
        self._last: tuple[int, ...] | None = None

    def accept(
        self,
        lines: IntArray,
        pair: Pair,
        resolution: str,
        time: IntArray,
        prices: list[IntArray],
        lots: IntArray,
        *,
        first: bool,
    ) -> CandleColumns:
        """Return the checked chunk as columns. Raises DataError at the first invalid row."""
        table = np.column_stack((time, *prices, lots))
        if self._last is not None:
            table = np.concatenate((np.array([self._last], dtype=np.int64), table))
            lines = np.concatenate((np.array([lines[0] - 1]), lines))
        repeats = np.flatnonzero(table[1:, 0] == table[:-1, 0]) + 1
        if len(repeats):
            table, lines = self._settle_doubled(table, lines, repeats)
        steps = np.diff(table[:, 0])
        if np.any(steps < 0):
            at = int(np.argmax(steps < 0)) + 1
            raise DataError(
                f"{self.path}:{lines[at]}: {format_time(int(table[at, 0]))} comes after "
                f"{format_time(int(table[at - 1, 0]))}; candles must be sorted by time (use --sort)"
            )
        self._check_prices(table, lines)
        self._check_distance(table, lines, resolution, first=first)
        if self._last is not None:
            table = table[1:]
        if len(table):
            self._last = tuple(int(v) for v in table[-1])
        columns = np.ascontiguousarray(table.T)
        received = candle_ends(columns[0], resolution)
        return CandleColumns(
            pair, resolution, received, columns[0], columns[1], columns[2], columns[3], columns[4], columns[5]
        )

    def _settle_doubled(
        self, table: np.ndarray[Any, np.dtype[np.int64]], lines: np.ndarray[Any, Any], repeats: np.ndarray[Any, Any]
    ) -> tuple[np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, Any]]:
        same = (table[repeats] == table[repeats - 1]).all(axis=1)
        at = int(repeats[0]) if not self._drop else int(repeats[np.argmin(same)])
        if not self._drop or not same.all():
            repeat = "row here repeats" if len(repeats) == 1 else "rows here repeat"
            what = "the same figures" if (table[at] == table[at - 1]).all() else "different figures"
            raise DataError(
                f"{self.path}:{lines[at]}: a second candle for {format_time(int(table[at, 0]))}, with {what}; "
                f"{len(repeats):,} {repeat} the time of the previous row"
                + ("; `botkit data import --drop-doubled` skips exact copies" if what == "the same figures" else "")
            )
        self.doubled += len(repeats)
        return np.delete(table, repeats, axis=0), np.delete(lines, repeats)

    def _check_prices(self, table: np.ndarray[Any, np.dtype[np.int64]], lines: np.ndarray[Any, Any]) -> None:
        opened, high, low, close, lots = table[:, 1], table[:, 2], table[:, 3], table[:, 4], table[:, 5]
        for wrong, what in (
            (np.minimum(np.minimum(opened, high), np.minimum(low, close)) <= 0, "a price is zero or negative"),
            (lots < 0, "the volume is negative"),
            (high < low, "the high is below the low"),
            ((opened < low) | (opened > high), "the open is not between low and high"),
            ((close < low) | (close > high), "the close is not between low and high"),
        ):
            if np.any(wrong):
                raise DataError(f"{self.path}:{lines[int(np.argmax(wrong))]}: {what}")

    def _check_distance(
        self, table: np.ndarray[Any, np.dtype[np.int64]], lines: np.ndarray[Any, Any], resolution: str, *, first: bool
    ) -> None:
        times = table[:, 0]
        starts = bucket_starts(times, resolution)
        length = fixed_length(resolution)
        steps = np.diff(times)
        if length is not None and len(steps):
            least = int(steps.min())
            if least < length or (first and len(steps) >= 2 and least > length):
                at = int(np.argmin(steps)) + 1
                raise DataError(
                    f"{self.path}:{lines[at]}: the resolution is set to {resolution}, but rows are "
                    f"{least / 10**9:g} s apart{_looks_like(times)}"
                )
        if np.any(starts != times):
            at = int(np.argmax(starts != times))
            raise DataError(
                f"{self.path}:{lines[at]}: {format_time(int(times[at]))} is not the start of a {resolution} candle"
                f"{_looks_like(times)}"
            )


class TradeCsv:
    """CSV trades: time, price, amount, and, if known, side (the taker's: buy or sell) and received.

    Options: ``pair``, ``timezone`` and ``sort`` as for candles. An ``is_buyer_maker`` column is also accepted: if the
    buyer was the maker, the taker sold.
    """

    endings: tuple[str, ...] = (".csv", ".csv.gz")

    def read(self, path: Path, pairs: Mapping[str, Pair], options: Options) -> Iterator[MarketColumns]:
        """Yield the file's trades in order."""
        pair = find_pair(options.get("pair"), pairs, str(path))
        wanted = {
            "time": _TIME,
            "price": ("price", "p", "rate"),
            "amount": _AMOUNT,
            "side": ("side", "taker_side", "is_buyer", "isbuyer", "type"),
            "maker": ("is_buyer_maker", "isbuyermaker"),
            "received": ("received", "received_at", "local_time"),
        }
        file = CsvFile(path, wanted, optional=("side", "maker", "received"))
        rounded, rows = 0, 0
        last: Nanos | None = None
        chunks = self._chunks(file, pair, zone_of(path, options.get("timezone")))
        for lines, table, off in _sorted(chunks) if options.get("sort") else chunks:
            received, time, ticks, lots, sides = (np.ascontiguousarray(column) for column in table.T)
            rounded += off
            for wrong, what in ((ticks <= 0, "the price is zero or negative"), (lots <= 0, "the amount is zero")):
                if np.any(wrong):
                    raise DataError(f"{path}:{lines[int(np.argmax(wrong))]}: {what}")
            if not rows:
                _refuse_descending(path, int(lines[0]), received)
            steps = np.diff(received, prepend=received[0] if last is None else last)
            if np.any(steps < 0):
                raise DataError(
                    f"{path}:{lines[int(np.argmax(steps < 0))]}: this trade is older than the previous one; "
                    "trades must be sorted by time (use --sort)"
                )
            rows += len(time)
            last = int(received[-1])
            yield TradeColumns(pair, received, time, ticks, lots, sides.astype(np.int8))
        if not rows:
            raise DataError(f"{path} has a header but no rows")
        if rounded:
            _tell(options, "note", _rounded(rounded, pair))

    @staticmethod
    def _chunks(file: CsvFile, pair: Pair, zone: ZoneInfo | None) -> Iterator[_Chunk]:
        path, rules = file.path, pair.rules
        for line, text in file.chunks():
            time = parse_times(path, line, text["time"], zone)
            received = parse_times(path, line, text["received"], zone) if "received" in text else time
            ticks, rounded = parse_steps(path, line, "price", text["price"], rules.price_decimals)
            lots, _ = parse_steps(path, line, "amount", text["amount"], rules.amount_decimals)
            sides = _sides(path, line, text, len(time)).astype(np.int64)
            yield np.arange(line, line + len(time)), np.column_stack((received, time, ticks, lots, sides)), rounded


def _sides(path: Path, line: int, text: Mapping[str, Any], rows: int) -> SideArray:
    name = "side" if "side" in text else "maker" if "maker" in text else None
    if name is None:
        return np.zeros(rows, dtype=np.int8)
    encoded = text[name].dictionary_encode()
    codes = []
    for value in encoded.dictionary.to_pylist():
        word = value.strip().lower()
        code = _BUY.get(word, _UNKNOWN_SIDE.get(word))
        if code is None:
            row = text[name].to_pylist().index(value)
            raise DataError(f"{path}:{line + row}: side {value!r} is neither buy nor sell")
        codes.append(-code if name == "maker" else code)
    table = np.array(codes, dtype=np.int8)
    return table[np.from_dlpack(encoded.indices)]  # type: ignore[no-any-return]
