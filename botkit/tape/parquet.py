"""Writes columns to Parquet and reads them back: integers, with the number of decimals in the file's metadata.

Prices are stored as ticks and amounts as lots. The metadata contains their decimals, which may be fewer than the
pair's: amounts with four decimals take half the space of eight. The reader scales them to the pair's rules and refuses
values that do not fit. Functions import pyarrow locally, because it takes 0.3 s to load and most commands do not need
it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from botkit.errors import DataError
from botkit.model.clock import Nanos
from botkit.model.columns import BookColumns, CandleColumns, IntArray, MarketColumns, TradeColumns
from botkit.model.pairs import Pair
from botkit.tape.manifest import Kind

if TYPE_CHECKING:
    import pyarrow as pa

#: the columns of each kind in file order: name -> unit
COLUMNS: dict[Kind, dict[str, str]] = {
    "trades": {"received": "ns", "time": "ns", "ticks": "ticks", "lots": "lots", "side": "side"},
    "books": {
        "received": "ns",
        "time": "ns",
        "bid_ticks": "ticks",
        "bid_lots": "lots",
        "ask_ticks": "ticks",
        "ask_lots": "lots",
    },
    "candles": {
        "received": "ns",
        "time": "ns",
        "open": "ticks",
        "high": "ticks",
        "low": "ticks",
        "close": "ticks",
        "lots": "lots",
    },
}
_META = b"botkit."
# pyarrow reads this when it is loaded. Its own allocator keeps what it has freed: 35 MB after a million candles.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
_DECIMALS_MAX = 18
_AGAIN = "import or generate the tape again"


def kind_of(columns: MarketColumns) -> Kind:
    """Return the kind of stream for these columns."""
    return columns.kind  # type: ignore[return-value]  # a ClassVar[str] with three values


def resolution_of(columns: MarketColumns) -> str | None:
    """Return the resolution of candles, or None for trades and books."""
    return columns.resolution if isinstance(columns, CandleColumns) else None


def join(parts: list[MarketColumns]) -> MarketColumns:
    """Concatenate parts of one stream. Books with fewer levels are padded with empty levels."""
    assert parts, "nothing to join"
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, BookColumns):
        depth = max(p.depth for p in parts if isinstance(p, BookColumns))
        parts = [padded(p, depth) for p in parts if isinstance(p, BookColumns)]
    arrays = [np.concatenate([getattr(p, name) for p in parts]) for name in COLUMNS[kind_of(first)]]
    return columns_of_kind(first.pair, kind_of(first), resolution_of(first), arrays)


def padded(columns: BookColumns, depth: int) -> BookColumns:
    """Return the same books with ``depth`` levels per side, of which those that they lack are empty."""
    missing = depth - columns.depth
    if missing == 0:
        return columns
    wide = [
        np.pad(side, ((0, 0), (0, missing)))
        for side in (columns.bid_ticks, columns.bid_lots, columns.ask_ticks, columns.ask_lots)
    ]
    return BookColumns(columns.pair, columns.received, columns.time, *wide)


def shifted(columns: MarketColumns, delay_ns: Nanos) -> MarketColumns:
    """Return the same rows, received ``delay_ns`` later."""
    if delay_ns == 0:
        return columns
    kind = kind_of(columns)
    arrays = [getattr(columns, name) for name in COLUMNS[kind]]
    arrays[0] = arrays[0] + delay_ns
    return columns_of_kind(columns.pair, kind, resolution_of(columns), arrays)


def empty(pair: Pair, kind: Kind, resolution: str | None, depth: int = 1) -> MarketColumns:
    """Return a stream's columns without rows."""
    arrays: list[Any] = []
    for name, unit in COLUMNS[kind].items():
        shape: Any = (0, depth) if name.startswith(("bid_", "ask_")) else (0,)
        arrays.append(np.zeros(shape, dtype=np.int8 if unit == "side" else np.int64))
    return columns_of_kind(pair, kind, resolution, arrays)


def columns_of_kind(pair: Pair, kind: Kind, resolution: str | None, arrays: list[Any]) -> MarketColumns:
    """Return a stream's columns from its arrays, in the order of `COLUMNS`."""
    if kind == "candles":
        assert resolution is not None
        return CandleColumns(pair, resolution, *arrays)
    return TradeColumns(pair, *arrays) if kind == "trades" else BookColumns(pair, *arrays)


class ContentHash:
    """Computes a sha256 over the values of a stream's columns, independent of how the rows are divided into chunks."""

    def __init__(self, kind: Kind) -> None:
        self._digests = {name: hashlib.sha256(f"{kind}.{name}".encode()) for name in COLUMNS[kind]}
        self._rows = 0

    def update(self, columns: MarketColumns) -> None:
        """Add the next rows."""
        for name, digest in self._digests.items():
            values = getattr(columns, name)
            # little-endian, row by row, on every machine
            digest.update(np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes())
        self._rows += len(columns)

    def hexdigest(self) -> str:
        """Return the hash of all rows added so far."""
        total = hashlib.sha256(str(self._rows).encode())
        for digest in self._digests.values():
            total.update(digest.digest())
        return total.hexdigest()


# -- writing ----------------------------------------------------------------------------------------------------------


class ParquetSink:
    """Writes one stream's rows to one file; each call adds a row group."""

    def __init__(self, path: Path, first: MarketColumns, *, amount_decimals: int, compression_level: int) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.pair, self.kind, self.resolution = first.pair, kind_of(first), resolution_of(first)
        self._depth = first.depth if isinstance(first, BookColumns) else 0
        rules = first.pair.rules
        self._lot_step = 10 ** (rules.amount_decimals - amount_decimals)
        metadata = {
            "pair": str(first.pair),
            "kind": self.kind,
            "resolution": self.resolution or "",
            "price_decimals": str(rules.price_decimals),
            "amount_decimals": str(amount_decimals),
        }
        levels = pa.list_(pa.int64(), self._depth) if self._depth else None
        fields = []
        for name, unit in COLUMNS[self.kind].items():
            is_level = name.startswith(("bid_", "ask_"))
            fields.append(pa.field(name, pa.int8() if unit == "side" else levels if is_level else pa.int64(), False))
        self._schema = pa.schema(fields, metadata={_META + k.encode(): v.encode() for k, v in metadata.items()})
        # Adjacent values differ little, so their differences take few bits. Book levels repeat from row to row. zstd
        # finds such repetition only in plain encoding, where rows are stored consecutively.
        plain = {name for name, unit in COLUMNS[self.kind].items() if unit == "side" or name[:4] in ("bid_", "ask_")}
        encodings = {name: "DELTA_BINARY_PACKED" for name in COLUMNS[self.kind] if name not in plain}
        self._writer = pq.ParquetWriter(
            path,
            self._schema,
            compression="zstd",
            compression_level=compression_level,
            use_dictionary=False,
            column_encoding=encodings,
            write_statistics=["received"],
            # zstd as used by Parquet has no checksum, so a flipped bit could change a price unnoticed
            write_page_checksum=True,
        )

    def write(self, columns: MarketColumns) -> None:
        """Append rows as a separate row group."""
        import pyarrow as pa

        if isinstance(columns, BookColumns):
            columns = padded(columns, self._depth)
            assert columns.depth == self._depth, "a file's first rows determine its depth"
        arrays: list[pa.Array] = []
        for name, unit in COLUMNS[self.kind].items():
            values: IntArray = getattr(columns, name)
            if unit == "lots" and self._lot_step > 1:
                assert not np.any(values % self._lot_step), "an amount has more decimals than the file"
                values = values // self._lot_step
            if values.ndim == 2:
                flat = _array(np.ascontiguousarray(values).reshape(-1))
                arrays.append(pa.FixedSizeListArray.from_arrays(flat, self._depth))
            else:
                arrays.append(_array(np.ascontiguousarray(values)))
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema), row_group_size=len(columns))

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()


def _array(values: IntArray) -> pa.Array:
    """Return a contiguous column for pyarrow. `pyarrow.array` would do the same, but loads pandas first."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


# -- reading ----------------------------------------------------------------------------------------------------------


def read_file(
    path: Path,
    pair: Pair,
    kind: Kind,
    resolution: str | None,
    *,
    start: Nanos | None = None,
    end: Nanos | None = None,
    rows_max: int = 262_144,
) -> Iterator[MarketColumns]:
    """Yield rows with ``start <= received < end``, at most ``rows_max`` at a time. Row groups outside this span are not
    read.

    Raises DataError for a file that is missing or damaged, or has a different kind or precision.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # pre_buffer would load entire row groups of all columns at once, and a tape may be larger than memory
        file = pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True)
    except FileNotFoundError:
        raise DataError(f"{path} is missing, though the manifest lists it; import or generate the tape again") from None
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is not a readable Parquet file ({_in_a_line(error)}); {_AGAIN}") from None
    with file:
        tick_scale, lot_scale = _scales(path, file, pair, kind)
        groups = [i for i in range(file.num_row_groups) if _overlaps(file.metadata.row_group(i), start, end)]
        if not groups:
            return
        try:
            for batch in file.iter_batches(batch_size=rows_max, row_groups=groups, use_threads=False):
                columns = _from_batch(path, batch, pair, kind, resolution, tick_scale, lot_scale)
                lo = 0 if start is None else int(np.searchsorted(columns.received, start, side="left"))
                hi = len(columns) if end is None else int(np.searchsorted(columns.received, end, side="left"))
                if hi > lo:
                    yield columns if hi - lo == len(columns) else columns.rows(lo, hi)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path} is damaged ({_in_a_line(error)}); {_AGAIN}") from None


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _overlaps(group: Any, start: Nanos | None, end: Nanos | None) -> bool:
    statistics = group.column(0).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    return (start is None or statistics.max >= start) and (end is None or statistics.min < end)


def _scales(path: Path, file: Any, pair: Pair, kind: Kind) -> tuple[tuple[int, int], tuple[int, int]]:
    metadata = {k: v.decode("utf-8", "replace") for k, v in (file.schema_arrow.metadata or {}).items()}
    found = metadata.get(_META + b"kind")
    missing = [name for name in COLUMNS[kind] if name not in file.schema_arrow.names]
    if found != kind:
        raise DataError(f"{path} contains {found or 'no botkit data'}, not {kind}")
    if missing:
        raise DataError(f"{path} has no column {missing[0]!r}; it has {', '.join(file.schema_arrow.names)}")
    rules, decimals = pair.rules, []
    for name in (b"price_decimals", b"amount_decimals"):
        text = metadata.get(_META + name, "")
        if not (text.isascii() and text.isdigit() and len(text) <= 2 and int(text) <= _DECIMALS_MAX):
            raise DataError(f"{path} is damaged: its metadata lacks {name.decode()}; {_AGAIN}")
        decimals.append(int(text))
    return _scale(rules.price_decimals - decimals[0]), _scale(rules.amount_decimals - decimals[1])


def _scale(decimals: int) -> tuple[int, int]:
    return (10**decimals, 1) if decimals >= 0 else (1, 10**-decimals)


def _from_batch(
    path: Path,
    batch: Any,
    pair: Pair,
    kind: Kind,
    resolution: str | None,
    tick_scale: tuple[int, int],
    lot_scale: tuple[int, int],
) -> MarketColumns:
    arrays: list[Any] = []
    for name, unit in COLUMNS[kind].items():
        column = batch.column(name)
        if name.startswith(("bid_", "ask_")):
            values = np.from_dlpack(column.flatten()).reshape(len(column), -1)
        else:
            values = np.from_dlpack(column)  # pyarrow's to_numpy would import pandas, which costs every backtest 0.3 s
        if unit in ("ticks", "lots"):
            times, divisor = tick_scale if unit == "ticks" else lot_scale
            if divisor > 1:
                if np.any(values % divisor):
                    raise DataError(f"{path}: {name} has more decimals than {pair} allows: its precision changed")
                values = values // divisor
            elif times > 1:
                values = values * times
        arrays.append(values)
    return columns_of_kind(pair, kind, resolution, arrays)
