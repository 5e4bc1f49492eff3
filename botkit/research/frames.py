"""Reads DataFrames of candles or trades as recorded data, with the same checks as for files. Also converts recorded
rows to DataFrames.

Numbers are converted to text and then parsed like the numbers in a CSV file, so that 0.1 stays 0.1. Messages number
rows from 0, as ``frame.iloc`` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from botkit.errors import DataError
from botkit.model.columns import BookColumns, CandleColumns, IntArray, MarketColumns, TradeColumns
from botkit.model.extension import Options
from botkit.model.pairs import Pair
from botkit.model.resolutions import RESOLUTIONS
from botkit.tape.csv_columns import parse_steps, parse_times
from botkit.tape.feed import FileSource
from botkit.tape.formats import CandleCheck, guess_resolution

if TYPE_CHECKING:
    import pandas as pd

_TIMES = ("time", "timestamp", "date", "datetime", "open_time")
_RECEIVED = "received"
_PRICES = ("open", "high", "low", "close")
_VOLUMES = ("volume", "vol", "amount")
_AMOUNTS = ("amount", "quantity", "qty", "size", "volume")
_SIDES = {"buy": 1, "sell": -1, "": 0}
_SIDE_NAMES = np.array(["sell", "", "buy"], dtype=object)


def is_frame(thing: Any) -> bool:
    """Return whether an object is a pandas DataFrame, without importing pandas."""
    kind = type(thing)
    return kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] == "pandas"


def frame_source(frame: pd.DataFrame, pair: Pair) -> FileSource:
    """Return a DataFrame of candles or trades as a source of rows. Raises DataError describing the problem if it is not
    valid.
    """
    source = FileSource(Path(f'data["{pair}"]'), _FrameRows(frame), {str(pair): pair})
    source.name = "DataFrame"
    return source


class _FrameRows:
    """Reads a DataFrame as if it were a file."""

    endings: tuple[str, ...] = ()

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def read(self, path: Path, pairs: Mapping[str, Pair], options: Options) -> Iterator[MarketColumns]:
        """Yield all rows of the DataFrame. Raises DataError if a row is invalid."""
        (pair,) = pairs.values()
        frame = self._frame
        if len(frame) == 0:
            raise DataError(f"{path} has no rows")
        columns = _columns(path, frame)
        if set(_PRICES) <= columns.keys():
            yield _candles(path, frame.attrs.get("resolution"), pair, columns)
        elif "price" in columns:
            yield _trades(path, pair, columns)
        else:
            raise DataError(
                f"{path} contains neither candles (open, high, low, close, volume) nor trades (price, amount); its "
                f"columns are {', '.join(map(str, frame.columns)) or 'none'}"
            )


def _columns(path: Path, frame: pd.DataFrame) -> dict[str, Any]:
    """Return the columns keyed by lowercase name, including the index if it contains times."""
    import pandas as pd

    names = [str(name).strip().lower() for name in frame.columns]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path} has two columns named {twice}; keep one")
    found = {name: frame.iloc[:, at] for at, name in enumerate(names)}
    index, name = frame.index, str(frame.index.name).lower()
    if isinstance(index, pd.DatetimeIndex) or name in (*_TIMES, _RECEIVED):
        found[name if name in (*_TIMES, _RECEIVED) else _TIMES[0]] = index.to_series().reset_index(drop=True)
    return found


def _times(path: Path, columns: dict[str, Any], names: Sequence[str]) -> IntArray | None:
    """Return the times in nanoseconds from the first of the named columns that exists. Raises DataError for an invalid
    time.
    """
    import pandas as pd

    found = next((columns[name] for name in names if name in columns), None)
    if found is None:
        return None
    if isinstance(found.dtype, np.dtype) and found.dtype.kind == "M":
        raise DataError(
            f"{path}: its times have no time zone; set one, for example with "
            '`frame.index = frame.index.tz_localize("UTC")`'
        )
    missing = found.isna().to_numpy()
    if missing.any():
        raise DataError(f"{path}:{int(np.argmax(missing))}: the time is missing")
    if isinstance(found.dtype, pd.DatetimeTZDtype):
        time = found.dt.tz_convert("UTC").dt.as_unit("ns").astype("int64").to_numpy()
    else:
        time = parse_times(path, 0, _text(path, "time", found))
    return np.ascontiguousarray(time, dtype=np.int64)


def _ascending(path: Path, times: IntArray | None) -> IntArray:
    if times is None:
        raise DataError(f"{path} has no times; set an index of times, or add a column named time")
    steps = np.diff(times)
    if np.any(steps < 0):
        raise DataError(
            f"{path}:{int(np.argmax(steps < 0)) + 1}: this row is earlier than the one before; sort the rows, "
            "for example with `frame.sort_index()`"
        )
    return times


def _candles(path: Path, resolution: str | None, pair: Pair, columns: dict[str, Any]) -> CandleColumns:
    time = _ascending(path, _times(path, columns, _TIMES))
    repeats = np.flatnonzero(np.diff(time) == 0)
    if len(repeats):
        raise DataError(f"{path}:{int(repeats[0]) + 1}: a second candle for the time of the previous row; keep one")
    # pandas keeps a frame's attrs when the frame is resampled, so the resolution in attrs may be wrong. It is used only
    # for a single row, from which the resolution cannot be derived.
    if len(time) > 1 or resolution not in RESOLUTIONS:
        if len(time) == 1:
            raise DataError(
                f"{path}: the resolution cannot be inferred from one candle; set it with `frame.attrs['resolution'] = "
                f'"1m"`'
            )
        resolution = guess_resolution(path, time)
    rules = pair.rules
    prices = [_steps(path, name, columns[name], rules.price_decimals) for name in _PRICES]
    volume = _steps(path, "volume", _one_of(path, "volume", columns, _VOLUMES), rules.amount_decimals)
    return CandleCheck(path, drop_doubled=False).accept(
        np.arange(len(time)), pair, resolution, time, prices, volume, first=True
    )


def _trades(path: Path, pair: Pair, columns: dict[str, Any]) -> TradeColumns:
    rules, time = pair.rules, _times(path, columns, _TIMES)
    received = _ascending(path, _times(path, columns, (_RECEIVED, *_TIMES)))
    ticks = _steps(path, "price", columns["price"], rules.price_decimals)
    lots = _steps(path, "amount", _one_of(path, "amount", columns, _AMOUNTS), rules.amount_decimals)
    for wrong, what in ((ticks <= 0, "the price is zero or negative"), (lots <= 0, "the amount is zero or negative")):
        if np.any(wrong):
            raise DataError(f"{path}:{int(np.argmax(wrong))}: {what}")
    sides = np.zeros(len(received), dtype=np.int8)
    if "side" in columns:
        words = columns["side"].astype("object").where(columns["side"].notna(), "").astype(str).str.lower()
        unknown = ~words.isin(list(_SIDES)).to_numpy()
        if unknown.any():
            row = int(np.argmax(unknown))
            raise DataError(f"{path}:{row}: side {words.iloc[row]!r} is neither buy nor sell (the taker's)")
        sides = words.map(_SIDES).to_numpy(dtype=np.int8)
    return TradeColumns(pair, received, received if time is None else time, ticks, lots, sides)


def _one_of(path: Path, what: str, columns: dict[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if name in columns:
            return columns[name]
    raise DataError(f"{path} has no column {what}; its columns are {', '.join(columns)}")


def _steps(path: Path, what: str, values: Any, decimals: int) -> Any:
    return parse_steps(path, 0, what, _text(path, what, values), decimals)[0]


def _text(path: Path, what: str, values: Any) -> Any:
    """Return a numeric column as Arrow text. Floats are written with the fewest digits that identify them uniquely."""
    import pyarrow as pa

    missing = values.isna().to_numpy()
    if missing.any():
        raise DataError(f"{path}:{int(np.argmax(missing))}: {what} is missing")
    if values.dtype.kind in "iuf":
        array = values.to_numpy()
        if values.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(f"{path}:{int(np.argmax(~np.isfinite(array)))}: {what} is not a finite number")
        return pa.array(array).cast(pa.string())
    return pa.array([str(value) for value in values], pa.string())


# -- rows as DataFrames -----------------------------------------------------------------------------------------------


def frame_of(columns: MarketColumns) -> pd.DataFrame:
    """Return rows as a DataFrame, indexed by time in UTC.

    Candles are indexed by their start: open, high, low, close, volume. Trades are indexed by receipt time: time (the
    exchange's timestamp), price, amount, side (the taker's side: buy, sell, or empty). Books are indexed by receipt
    time: bid_price_1, bid_amount_1, ask_price_1, ask_amount_1 and so on. Missing levels are NaN.
    """
    import pandas as pd

    rules = columns.pair.rules
    price, amount = 10.0**rules.price_decimals, 10.0**rules.amount_decimals
    data: dict[str, Any]
    if isinstance(columns, CandleColumns):
        data = {name: getattr(columns, name) / price for name in _PRICES} | {"volume": columns.lots / amount}
        frame = pd.DataFrame(data, index=_index(columns.time, "time"))
        frame.attrs["resolution"] = columns.resolution
        return frame
    if isinstance(columns, TradeColumns):
        data = {
            "time": _index(columns.time, "time"),
            "price": columns.ticks / price,
            "amount": columns.lots / amount,
            "side": pd.array(_SIDE_NAMES[columns.side + 1], dtype="string"),
        }
        return pd.DataFrame(data, index=_index(columns.received, "received"))
    assert isinstance(columns, BookColumns)
    data = {}
    for level in range(columns.depth):
        for side in ("bid", "ask"):
            ticks, lots = getattr(columns, f"{side}_ticks")[:, level], getattr(columns, f"{side}_lots")[:, level]
            data[f"{side}_price_{level + 1}"] = np.where(lots > 0, ticks / price, np.nan)
            data[f"{side}_amount_{level + 1}"] = np.where(lots > 0, lots / amount, np.nan)
    return pd.DataFrame(data, index=_index(columns.received, "received"))


def _index(times: Any, name: str) -> pd.DatetimeIndex:
    import pandas as pd

    return pd.DatetimeIndex(np.asarray(times).astype("datetime64[ns]"), name=name).tz_localize("UTC")
