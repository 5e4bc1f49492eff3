"""Converts text columns of a CSV file to exact integers, one chunk at a time.

Prices and amounts are never read as floats: text becomes a 128-bit decimal, then ticks or lots, so that 0.1 stays 0.1.
A number with more decimals than its pair has is rounded to the nearest step and counted, because other sources often
export extra digits. Arrow processes the columns as vectors: a million candles take about a second.
"""

from __future__ import annotations

import re
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
#: a time of day followed by Z or an offset
_OFFSET = r"(?i)\d:\d\d[^+-]*(z|[+-]\d\d(:?\d\d)?)\s*$"
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
    or ISO 8601 with an offset.

    Times without an offset are interpreted in ``zone``. Without a zone, times without an offset are refused, because a
    guess could be off by hours.
    """
    first = text[0].as_py().strip()
    if _NUMBER.match(first):
        return _parse_numeric_times(path, line, text)
    import pandas as pd
    import pyarrow.compute as pc

    has_offset = np.asarray(pc.match_substring_regex(text, _OFFSET).to_pylist(), dtype=bool)
    series = text.to_pandas()
    try:
        if has_offset.all():
            moments = pd.to_datetime(series, utc=True, format="ISO8601")
        else:
            moments = pd.to_datetime(series[~has_offset], format="ISO8601")
    except (ValueError, OverflowError):
        moments = None
    if moments is None or moments.isna().any() or not moments.dt.year.between(*_YEARS).all():
        raise _bad_time(path, line, text)
    if not has_offset.all():
        row = int(np.argmin(has_offset))
        if zone is None:
            raise DataError(
                f"{path}:{line + row}: time {text[row].as_py()!r} has no time zone; name the file's zone: "
                "--timezone UTC or --timezone Asia/Taipei (in a configuration, `timezone:` next to the path)"
            )
        if has_offset.any():
            raise DataError(
                f"{path}:{line + row}: time {text[row].as_py()!r} has no offset, but other times in the file do; "
                "write all of them the same way"
            )
        known = moments.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
        if known.isna().any():
            row = int(np.argmax(known.isna()))
            raise DataError(
                f"{path}:{line + row}: time {text[row].as_py()!r} is ambiguous or does not exist in {zone}, because "
                f"the clocks change then; write times with offsets, or as numbers"
            )
        moments = known
    values: Any = moments.dt.as_unit("ns").astype("int64").to_numpy()
    return values.astype(np.int64)  # type: ignore[no-any-return]


def _bad_time(path: Path, line: int, text: pa.Array) -> DataError:
    import pandas as pd

    for row, value in enumerate(text.to_pylist()):
        where = f"{path}:{line + row}: time {value!r}"
        try:
            moment = pd.to_datetime(value, utc=True, format="ISO8601")
        except (ValueError, OverflowError) as error:
            if "bounds" in str(error):
                return DataError(f"{where} lies outside the years {_YEARS[0]} to {_YEARS[1]}")
            moment = None
        if pd.isna(moment):
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
    unit = _unit_of(size)
    largest = int(np.abs(whole).max())
    if largest * unit > _LATEST * (10**6 if fraction else 1):
        row = int(np.argmax(np.abs(whole)))
        shown = text[row].as_py()
        if _unit_of(largest // (10**6 if fraction else 1)) == unit:
            raise DataError(f"{path}:{line + row}: time {shown!r} lies outside the years {_YEARS[0]} to {_YEARS[1]}")
        raise DataError(f"{path}:{line + row}: time {shown!r} is in a different unit from the times before it")
    if not fraction:
        return (whole * unit).astype(np.int64)
    # `whole` counts millionths of the unit
    return (whole * (unit // 10**6) if unit >= 10**6 else whole // (10**6 // unit)).astype(np.int64)
