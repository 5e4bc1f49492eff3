"""Converts text columns of a CSV file to exact integers, one chunk at a time.

Prices and amounts are never read as floats: text becomes a 128-bit decimal, then ticks or lots, so that 0.1 stays 0.1.
A number with more decimals than its pair has is rounded to the nearest step and counted, because other sources often
export extra digits. Arrow processes the columns as vectors: a million candles take about a second.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from botkit.errors import DataError
from botkit.model.clock import NS_PER_MS, NS_PER_S, NS_PER_US
from botkit.model.columns import IntArray

if TYPE_CHECKING:
    import pyarrow as pa

_COMMA = re.compile(r"\s*-?[\d.]*\d,\d[\d.,]*\s*\Z", re.ASCII)
_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?\s*\Z", re.ASCII)
#: the same pattern for Arrow, checked before every cast, because Arrow's parser aborts the process on an exponent such
#: as e-9999999
_NUMBERS = r"\A\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?\s*\z"
#: values that would not fit 256 bits with 40 decimals are never cast
_FIGURE_MAX, _DECIMALS_MAX = Decimal(10) ** 36, 40
#: a tape stores nanoseconds in 64 bits
_YEARS = (1970, 2261)
#: the end of the last year in nanoseconds; a time in a finer unit than the first one is far above it
_LATEST = 9_214_646_400 * NS_PER_S - 1
#: a date without dashes, which as a number of seconds would lie in 1970; with a time of day, it is no ISO 8601 time and
#: as a number of milliseconds would lie in 1976
_DATE = re.compile(r"\s*(19[7-9]\d|2[01]\d\d|22[0-6]\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])\s*\Z", re.ASCII)
_DATE_AND_TIME = re.compile(_DATE.pattern.removesuffix(r"\s*\Z") + r"([01]\d|2[0-3])([0-5]\d){1,2}\s*\Z", re.ASCII)
#: pandas would read a word such as `now` as the time at which the file is read
_STARTS_WITH_DIGIT = r"\A\s*[0-9]"
#: the smallest absolute value interpreted in each unit: seconds until the year 5138, milliseconds from 1973 on, ...
_MAGNITUDES = ((10**17, 1), (10**14, NS_PER_US), (10**11, NS_PER_MS), (0, NS_PER_S))


class CsvFile:
    """A CSV file whose columns are found by name. ``wanted`` maps our column names to the accepted headers, in
    lowercase.
    """

    def __init__(
        self,
        path: Path,
        wanted: Mapping[str, Sequence[str]],
        *,
        optional: Sequence[str] = (),
        block_bytes: int = 1 << 22,
    ) -> None:
        self.path = path
        self._block_bytes = block_bytes
        header = self._read_header()
        self._delimiter = next((d for d in (",", ";", "\t") if d in header), ",")
        self.header = [cell.strip().strip('"') for cell in header.split(self._delimiter)]
        lower = [cell.lower() for cell in self.header]
        self.columns: dict[str, int] = {}
        for name, aliases in wanted.items():
            index = next((lower.index(alias) for alias in aliases if alias in lower), None)
            if index is not None and lower.count(lower[index]) > 1:
                raise DataError(f"{path}:1: the header has the column {self.header[index]!r} twice; remove one")
            if index is not None:
                self.columns[name] = index
            elif name not in optional:
                raise DataError(
                    f"{path}:1: column {name!r} is missing; the header has {', '.join(self.header)} "
                    f"({name} may be called {', '.join(aliases)})"
                )

    def _read_header(self) -> str:
        import pyarrow as pa

        try:
            with pa.input_stream(str(self.path), compression="detect") as stream:
                start = stream.read(65_536)
        except FileNotFoundError:
            raise DataError(f"{self.path} does not exist") from None
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error}") from None
        if not start.strip():
            raise DataError(f"{self.path} is empty; it needs a header line and at least one row")
        try:
            text = start.split(b"\n", 1)[0].decode("utf-8-sig")
        except UnicodeDecodeError:
            raise DataError(f"{self.path}:1: the header is not UTF-8 text; is this a CSV file?") from None
        return str(text).strip("\r\n")

    def chunks(self) -> Iterator[tuple[int, dict[str, pa.Array]]]:
        """Yield (line of the first row, text columns keyed by our names) for each block."""
        import pyarrow as pa
        from pyarrow import csv

        names = [f"c{i}" for i in range(len(self.header))]
        needed = [names[i] for i in self.columns.values()]
        line = 2
        try:
            with csv.open_csv(
                self.path,
                read_options=csv.ReadOptions(
                    column_names=names, skip_rows=1, block_size=self._block_bytes, use_threads=False
                ),
                parse_options=csv.ParseOptions(delimiter=self._delimiter),
                convert_options=csv.ConvertOptions(
                    column_types={name: pa.string() for name in names},
                    include_columns=list(dict.fromkeys(needed)),
                    strings_can_be_null=False,
                ),
            ) as reader:
                for batch in reader:
                    if batch.num_rows:
                        yield line, {ours: batch.column(names[i]) for ours, i in self.columns.items()}
                        line += batch.num_rows
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error):
                return
            raise DataError(f"{self.path}: {error}") from None


def parse_steps(path: Path, line: int, what: str, text: pa.Array, decimals: int) -> tuple[IntArray, int]:
    """Convert numbers to steps of 10^-decimals. Return the steps and how many had to be rounded (half away from zero).

    Raises DataError naming the line of the first value that is not a number or does not fit 64 bits.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pc.all(pc.match_substring_regex(text, _NUMBERS)).as_py():
        raise _bad_figure(path, line, what, text)
    exact: pa.Array | None = None
    # 18 decimals fit 128 bits; floats printed in full may have more decimals and then need 256 bits
    for kind in (pa.decimal128(38, 18), pa.decimal256(76, 40)):
        try:
            exact = text.cast(kind)
            break
        except pa.ArrowInvalid:
            continue
    if exact is None:
        raise _bad_figure(path, line, what, text)
    rounded = pc.round(exact, ndigits=decimals, round_mode="half_towards_infinity")
    off = pc.sum(pc.not_equal(rounded, exact)).as_py() or 0
    try:
        steps = rounded.cast(pa.decimal128(38, decimals))
        # a decimal128 is 16 bytes, little-endian; if the high half only repeats the sign, the low half is the integer
        halves = np.frombuffer(steps.buffers()[1], dtype="<i8").reshape(-1, 2)[steps.offset : steps.offset + len(steps)]
        low, high = halves[:, 0], halves[:, 1]
        if np.any(high != (low >> 63)):
            raise OverflowError
    except (pa.ArrowInvalid, OverflowError):
        worst = int(np.argmax(np.abs(np.array([float(v) for v in exact.to_pylist()]))))
        raise DataError(f"{path}:{line + worst}: {what} {text[worst].as_py()!r} is too large") from None
    return low.astype(np.int64), int(off)


def _bad_figure(path: Path, line: int, what: str, text: pa.Array) -> DataError:
    for row, value in enumerate(text.to_pylist()):
        if not _NUMBER.match(value):
            shown = "is empty" if not value.strip() else f"{value!r} is not a number"
            if _COMMA.match(value):
                shown += "; write it with a decimal point and without commas"
            return DataError(f"{path}:{line + row}: {what} {shown}")
        if len(value.strip()) > 40:
            return DataError(f"{path}:{line + row}: {what} {value!r} has too many digits")
        if abs(Decimal(value.strip())) >= _FIGURE_MAX:
            return DataError(f"{path}:{line + row}: {what} {value!r} is too large")
        if Decimal(value.strip()).as_tuple().exponent < -_DECIMALS_MAX:  # type: ignore[operator]  # it is a number
            return DataError(f"{path}:{line + row}: {what} {value!r} has more than {_DECIMALS_MAX} decimals")
    return DataError(f"{path}:{line}: {what} cannot be read")  # pragma: no cover - the loop always finds the figure


def parse_times(path: Path, line: int, text: pa.Array, zone: ZoneInfo | None = None) -> IntArray:
    """Convert times to nanoseconds since the epoch. Times are numbers in s, ms, us or ns, distinguished by magnitude,
    or ISO 8601, with or without dashes and colons.

    Times without an offset are interpreted in ``zone``. Without a zone, times without an offset are refused, because a
    guess could be off by hours.
    """
    first = text[0].as_py()
    if _DATE_AND_TIME.match(first):
        raise DataError(
            f"{path}:{line}: time {first!r} looks like a date and a time of day without separators; write it as "
            "20240101T0000 or 2024-01-01T00:00"
        )
    if _NUMBER.match(first) and not _DATE.match(first):
        return _parse_numeric_times(path, line, text)
    import pandas as pd
    import pyarrow.compute as pc

    try:
        if not pc.all(pc.match_substring_regex(text, _STARTS_WITH_DIGIT)).as_py():
            raise ValueError
        moments = pd.to_datetime(text.to_pandas(), utc=True, format="ISO8601")
    except (ValueError, OverflowError):
        raise _bad_time(path, line, text) from None
    if moments.isna().any() or not moments.dt.year.between(*_YEARS).all():
        raise _bad_time(path, line, text)
    naive = _without_offset(text)
    if len(naive):
        row = int(naive[0])
        if zone is None:
            raise DataError(
                f"{path}:{line + row}: time {text[row].as_py()!r} has no time zone; name the file's zone: "
                "--timezone UTC or --timezone Asia/Taipei (in a configuration, `timezone:` next to the path)"
            )
        if len(naive) < len(text):
            raise DataError(
                f"{path}:{line + row}: time {text[row].as_py()!r} has no offset, but other times in the file do; "
                "write all of them the same way"
            )
        known = moments.dt.tz_localize(None).dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
        if known.isna().any():
            row = int(np.argmax(known.isna()))
            raise DataError(
                f"{path}:{line + row}: time {text[row].as_py()!r} is ambiguous or does not exist in {zone}, because "
                f"the clocks change then; write times with offsets, or as numbers"
            )
        moments = known
    values: Any = moments.dt.as_unit("ns").astype("int64").to_numpy()
    return values.astype(np.int64)  # type: ignore[no-any-return]


def _without_offset(text: pa.Array) -> IntArray:
    """Return the rows whose ISO 8601 times have no offset, as the parser reads them."""
    import pandas as pd

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # pandas 2 warns of different offsets; pandas 3 refuses them
            moments = pd.to_datetime(text.to_pandas(), format="ISO8601")
        if isinstance(moments.dtype, pd.DatetimeTZDtype):
            return np.arange(0)
        if moments.dtype.kind == "M":
            return np.arange(len(text))
    except ValueError:
        pass
    # the offsets differ, or only some times have one
    return np.flatnonzero([pd.Timestamp(value).tzinfo is None for value in text.to_pylist()])


def _bad_time(path: Path, line: int, text: pa.Array) -> DataError:
    import pandas as pd

    for row, value in enumerate(text.to_pylist()):
        where = f"{path}:{line + row}: time {value!r}"
        moment = None
        if re.match(_STARTS_WITH_DIGIT, value):
            try:
                moment = pd.to_datetime(value, utc=True, format="ISO8601")
            except (ValueError, OverflowError) as error:
                if "bounds" in str(error):
                    return DataError(f"{where} lies outside the years {_YEARS[0]} to {_YEARS[1]}")
        if moment is None or pd.isna(moment):
            if _NUMBER.match(value):
                return DataError(f"{where} is a number, but the first one, {text[0].as_py()!r}, is a date")
            return DataError(
                f"{where} is neither a number of seconds, milliseconds, microseconds or nanoseconds nor an ISO 8601 "
                "time"
            )
        if not _YEARS[0] <= moment.year <= _YEARS[1]:
            return DataError(f"{where} lies outside the years {_YEARS[0]} to {_YEARS[1]}")
    return DataError(f"{path}:{line}: times cannot be read")  # pragma: no cover - the loop always finds the row


def zone_of(path: Path, name: object) -> ZoneInfo | None:
    """Return the time zone for a file's times, or None if it is not set. Raises DataError for an unknown zone."""
    if name is None:
        return None
    try:
        return ZoneInfo(str(name))
    except (KeyError, ValueError, OSError):
        raise DataError(f"{path}: {name!r} is not a time zone; write one such as Asia/Taipei or UTC") from None


def _unit_of(size: int) -> int:
    """Return the length in nanoseconds of the unit in which a time of this size is written."""
    return next(unit for least, unit in _MAGNITUDES if size >= least)


def _parse_numeric_times(path: Path, line: int, text: pa.Array) -> IntArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pc.all(pc.match_substring_regex(text, _NUMBERS)).as_py():
        raise _bad_figure(path, line, "time", text)  # Arrow would read 0x10 as 16
    try:
        whole = np.from_dlpack(text.cast(pa.int64()))  # to_numpy would import pandas
        size = abs(int(whole[0]))
        fraction = False
    except pa.ArrowInvalid:
        whole, _ = parse_steps(path, line, "time", text, 6)
        size, fraction = abs(int(whole[0])) // 10**6, True
    unit, scale = _unit_of(size), 10**6 if fraction else 1
    for row in (int(np.argmax(whole)), int(np.argmin(whole))):
        found, shown = int(whole[row]), text[row].as_py()
        if found < 0 or (found * unit > _LATEST * scale and _unit_of(found // scale) == unit):
            raise DataError(f"{path}:{line + row}: time {shown!r} lies outside the years {_YEARS[0]} to {_YEARS[1]}")
        if _unit_of(found // scale) != unit:
            raise DataError(f"{path}:{line + row}: time {shown!r} is in a different unit from the times before it")
    if not fraction:
        return (whole * unit).astype(np.int64)
    # `whole` counts millionths of the unit
    return (whole * (unit // 10**6) if unit >= 10**6 else whole // (10**6 // unit)).astype(np.int64)
