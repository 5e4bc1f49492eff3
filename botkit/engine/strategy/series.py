"""The series that a strategy reads: finished bars or trades, with their attached indicators.

New rows are kept as objects until a column is read, and are then added as arrays; attached indicators are fed when
their value is read. A bar that is never read therefore costs little, and the results equal those of processing bars one
by one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt
from msgspec.structs import astuple

from botkit.engine.indicators.indicator import BAR_INPUTS, Array, Indicator, typical
from botkit.engine.market.column import Column
from botkit.engine.strategy.ahead import Passing
from botkit.engine.strategy.attached import Attached
from botkit.engine.strategy.plots import LineKey, PlotStore
from botkit.errors import NotReadyError
from botkit.model.clock import Nanos
from botkit.model.events import Bar, Trade
from botkit.model.orders import Side
from botkit.model.pairs import Pair
from botkit.model.resolutions import bucket_end, check_resolution, fixed_length

if TYPE_CHECKING:
    import pandas as pd

FloatArray: TypeAlias = npt.NDArray[np.float64]
TimeArray: TypeAlias = npt.NDArray[np.int64]
V = TypeVar("V")
Row = TypeVar("Row", Bar, Trade)

#: default number of bars that a series keeps
KEEP_BARS = 10_000
# number of pending rows at which they are flushed: low enough to limit memory use, high enough to spread the cost of a
# flush
_FLUSH_AT = 4096
_SIDES: dict[int, Side | None] = {1: Side.BUY, 0: None, -1: Side.SELL}
_SIGNS = {side: sign for sign, side in _SIDES.items()}
_FEW_ROWS = 64  # up to this many rows are fed to indicators one by one


class Series(Generic[Row]):
    """Base class of bar and trade series. The engine appends rows and the strategy reads them."""

    __slots__ = (
        "_attached",
        "_columns",
        "_count",
        "_failures",
        "_fed",
        "_feeding",
        "_pending",
        "_plots",
        "_prepare",
        "_pull",
        "is_ready",
        "keep",
        "pair",
    )

    #: names of the columns, starting with time
    names: ClassVar[tuple[str, ...]] = ()
    #: row names used in messages (singular, plural)
    noun: ClassVar[tuple[str, str]] = ("row", "rows")

    def __init__(self, pair: Pair, keep: int | None, plots: PlotStore | None, *, is_ready: bool) -> None:
        if keep is not None and (isinstance(keep, bool) or not isinstance(keep, int) or keep < 1):
            raise ValueError(f"keep must be a whole number of at least 1 bar, or None for all, not {keep!r}")
        self.pair = pair
        #: number of rows to keep (None: all), but never fewer than the attached indicators need
        self.keep = keep
        #: False until the history has arrived; until then, reading raises NotReadyError
        self.is_ready = is_ready
        self._columns: dict[str, Column] = {}
        self._pending: list[Row] = []
        self._fed = 0  # number of pending rows that have been fed to the indicators
        self._count = 0  # total number of rows added to the columns, including dropped ones
        self._attached: dict[str, Attached[Any]] = {}
        #: attached indicators that are fed row by row or in columns: all except those prepared for the block that a run
        #: is processing
        self._feeding: list[Attached[Any]] = []
        self._failures: list[tuple[Attached[Any], Exception]] = []
        self._plots = plots if plots is not None and plots.takes_indicators else None
        self._pull: Callable[[], None] | None = None if is_ready else self._refuse
        self._prepare: Callable[[], None] | None = None

    # -- the engine's side ----------------------------------------------------------------------------------------

    def append(self, row: Row) -> None:
        """Append a trade or a finished bar. A bar must start after all earlier bars."""
        pending = self._pending
        pending.append(row)
        if len(pending) >= _FLUSH_AT:
            self._flush()

    def append_all(self, rows: Iterable[Row]) -> None:
        """Add several rows, oldest first."""
        self._pending.extend(rows)
        if len(self._pending) >= _FLUSH_AT:
            self._flush()

    def pull_from(self, pull: Callable[[], None] | None, prepare: Callable[[], None] | None = None) -> None:
        """Call ``pull`` before every read, so that it can add new rows with `extend` or `append_all`. Call ``prepare``
        once, after the first read of an indicator, so that it can prepare a block with `Series.prepare`.

        This is for a driver that works on columns: a bar that is never read then costs nothing. Passing None removes
        ``pull``.
        """
        assert self.is_ready, f"{self!r} was fed before its history arrived"
        if self._pull is not None:
            self._pull()
        self.land()
        self._pull, self._prepare = pull, prepare

    def prepare(self, block: Passing, begin: int, columns: Sequence[npt.NDArray[Any]]) -> None:
        """Compute the window indicators for the rest of a block that a run is processing, starting at row ``begin``.
        ``columns`` cover the entire block.
        """
        arrays = {name: column[begin:] for name, column in zip(self.names, columns, strict=True)}
        self._feeding = []
        for attached in self._attached.values():
            inputs = [self._input(arrays, name) for name in attached.inputs]
            if not attached.prepare(block, begin, arrays["time"], inputs):
                self._feeding.append(attached)

    def land(self) -> None:
        """Feed the processed rows to prepared indicators. From now on, these are fed like all other indicators."""
        if len(self._feeding) == len(self._attached):
            return
        if self._pull is not None:
            self._pull()
        if self._fed != len(self._pending):
            self._feed()
        for attached in self._attached.values():
            try:
                attached.land(self._ends_of)
            except Exception as error:
                self._failures.append((attached, error))
        self._feeding = list(self._attached.values())
        self._drop_failed()

    @property
    def wanted_history(self) -> int:
        """The number of rows from before the start that the attached indicators need."""
        return max((attached.history for attached in self._attached.values()), default=0)

    @property
    def missing_history(self) -> int:
        """The number of older rows that were missing when the indicators warmed up."""
        return max((attached.missing for attached in self._attached.values()), default=0)

    def bring_up_to_date(self) -> None:
        """Feed new rows to the attached indicators. Raises NotReadyError until the history has arrived."""
        if self._pull is not None:
            self._pull()
        if self._fed != len(self._pending):
            self._feed()
        if self._prepare is not None:
            prepare, self._prepare = self._prepare, None
            prepare()

    def _feed(self) -> None:
        pending, fed = self._pending, self._fed
        count = len(pending)
        if count - fed > _FEW_ROWS:
            self._flush()
            return
        self._fed = count
        row, end_of = pending[fed], self._end_of
        rest = pending[fed + 1 :] if count - fed > 1 else ()
        for attached in self._feeding:
            try:
                attached.take_row(row, end_of)
                for later in rest:
                    attached.take_row(later, end_of)
            except Exception as error:
                self._failures.append((attached, error))
        if self._failures:
            self._drop_failed()

    def _feed_columns(self, arrays: dict[str, npt.NDArray[Any]], fed: int) -> None:
        ends = self._ends_of(arrays["time"][fed:])
        for attached in self._feeding:
            try:
                attached.take_columns([self._input(arrays, name)[fed:] for name in attached.inputs], ends)
            except Exception as error:
                self._failures.append((attached, error))
        if self._failures:
            self._drop_failed()

    def _drop_failed(self) -> None:
        """Stop feeding an indicator that raised an exception. The exception is raised when the strategy reads the
        indicator, not in the engine.
        """
        for attached, error in self._failures:
            del self._attached[attached.name]
            self._feeding.remove(attached)
            attached.fail(error)
        self._failures.clear()

    def _settle(self) -> None:
        """Move all finished rows into the columns before a read."""
        if self._pull is not None:
            self._pull()
        if self._pending:
            self._flush()

    def _flush(self) -> None:
        rows = self._pending
        if len(rows) == 1 and not self._fed:
            self._feed()
        fed, self._fed = self._fed, 0
        # empty the list first, so that the same rows are not written twice if an assertion below fails
        self._pending = []
        # a strategy that reads at every bar flushes single rows, for which numpy would take ten times as long
        if len(rows) == 1:
            self._check_order(rows[0].time)
            for column, value in zip(self._columns.values(), self._values(rows[0]), strict=True):
                column.push(value, self.keep)
            self._count += 1
            return
        self._write(self._as_arrays(rows), fed)

    def _write(self, arrays: dict[str, npt.NDArray[Any]], fed: int = 0) -> None:
        """Add rows to the columns and feed them to the indicators, except the first ``fed`` rows."""
        times = arrays["time"]
        if not len(times):
            return
        self._check_order_of(times)
        for name, column in self._columns.items():
            column.extend(arrays[name], self.keep)
        self._count += len(times)
        if self._feeding and fed < len(times):
            self._feed_columns(arrays, fed)

    def _as_arrays(self, rows: Sequence[Row]) -> dict[str, npt.NDArray[Any]]:
        if not rows:
            return {name: np.empty(0, column.dtype) for name, column in self._columns.items()}
        # astuple is pure C, whereas a method call per row would take longer than all other work
        fields = dict(zip(rows[0].__struct_fields__, zip(*map(astuple, rows), strict=True), strict=True))
        return {
            name: np.fromiter(self._numbers(name, fields[name]), column.dtype, len(rows))
            for name, column in self._columns.items()
        }

    def _numbers(self, name: str, values: Iterable[Any]) -> Iterable[Any]:
        """Return the values of a column as numbers."""
        return values

    @abstractmethod
    def _values(self, row: Any) -> tuple[Any, ...]:
        """Return a row's values in column order."""

    def _check_order(self, time: Nanos) -> None:
        """Assert that the next row follows the latest one."""

    def _check_order_of(self, times: TimeArray) -> None:
        """Assert that new rows are in order and follow the latest one."""

    @staticmethod
    def _input(arrays: dict[str, npt.NDArray[Any]], name: str) -> Array:
        """Return an indicator's inputs, taken from columns."""
        if name == "typical":
            found: Array = typical(arrays["high"], arrays["low"], arrays["close"])
            return found
        return arrays[name]

    def _begin(self, attached: Attached[Any]) -> None:
        """Warm up an indicator with the rows in the columns."""
        length = attached.history
        views = {
            name: column.view()[-length:] if length else column.view()[:0] for name, column in self._columns.items()
        }
        try:
            attached.begin([self._input(views, name) for name in attached.inputs], self._count)
        except Exception as error:
            self._failures.append((attached, error))

    def _refuse(self) -> None:
        raise NotReadyError(
            f"the {self.noun[1]} of {self._title()} are available from on_ready on; move this code to on_ready"
        )

    def _title(self) -> str:
        """Return the series name used in messages."""
        return str(self.pair)

    @abstractmethod
    def _end_of(self, row: Any) -> Nanos:
        """Return the time at which a row's value is plotted."""

    @abstractmethod
    def _ends_of(self, times: TimeArray) -> TimeArray:
        """Return the times at which the values of many rows are plotted."""

    # -- attaching ------------------------------------------------------------------------------------------------

    def _attach(
        self, indicator: Indicator[V], name: str | None, of: str, default: str, inputs: tuple[str, ...]
    ) -> Attached[V]:
        if indicator.value is not None:
            raise ValueError(f"{indicator!r} has already been fed; attach a new one")
        label = name or (repr(indicator) if of == default else f"{indicator!r} of {of}")
        attached = self._attached.get(label) or Attached[V](self, label)
        if getattr(indicator, "owner", attached) is not attached:  # unset until it is attached
            raise ValueError(f"this {indicator!r} is already attached; attach a new one as {label!r}")
        pane = of if of in ("volume", "amount") and indicator.pane == "price" else indicator.pane
        if self.is_ready:
            self._settle()
            self.land()
        attached.install(indicator, inputs, pane)
        self._attached[label] = attached
        self._feeding = list(self._attached.values())
        if self.keep is not None:
            self.keep = max(self.keep, indicator.history)
        if self._plots is not None:
            key = LineKey(str(self.pair), self._resolution(), label)
            attached.draw_into(self._plots.line(key, pane, indicator.fields))
        if self.is_ready:
            self._begin(attached)
            self._drop_failed()
        return attached

    def _resolution(self) -> str:
        return ""

    @property
    def attached(self) -> dict[str, Attached[Any]]:
        """The attached indicators by name."""
        return dict(self._attached)

    # -- reading --------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        if self._pull is not None:
            self._pull()
        count = len(self._columns["time"]) + len(self._pending)
        return count if self.keep is None else min(count, self.keep)

    def __repr__(self) -> str:
        what = f"{len(self)} {self.noun[1]}" if self.is_ready else "not ready"
        return f"<{type(self).__name__} {self._title()}: {what}>"

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            self._settle()
            return [self._row(i) for i in range(*index.indices(len(self)))]
        # strategies mostly read the latest row, which does not require a flush to the columns
        if index == -1 and self._pending and self._pull is None:
            return self._pending[-1]
        self._settle()
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"{self.noun[0]} {index} of {count} {self.noun[1]} of {self._title()}")
        return self._row(index % count)

    def __iter__(self) -> Iterator[Row]:
        self._settle()
        return iter([self._row(i) for i in range(len(self))])

    @abstractmethod
    def _row(self, i: int) -> Row:
        """Return a row as an object."""

    def _view(self, name: str) -> npt.NDArray[Any]:
        self._settle()
        return self._columns[name].view()

    @property
    def time(self) -> TimeArray:
        """Nanoseconds since the epoch: bar start times, or trade times."""
        return self._view("time")


class BarSeries(Series[Bar]):
    """The finished bars of one pair and resolution, oldest first, as returned by ``subscribe_bars``.

    ``open``, ``high``, ``low``, ``close``, ``volume`` (float64) and ``time`` (int64 nanoseconds, start of the bucket)
    are read-only numpy arrays of length ``len(series)``. An array that you have read never changes, so read the
    attribute again after the next bar. ``series[-1]`` is the latest `Bar`, ``series[-3:]`` a list of the last three.

    The series keeps its last 10,000 bars, or ``keep`` of them (None: all), but never fewer than its indicators need. In
    ``on_start`` you can only attach indicators; the history is available from ``on_ready`` on.
    """

    __slots__ = ("_length_ns", "resolution", "warm_up")
    names: ClassVar[tuple[str, ...]] = ("time", "open", "high", "low", "close", "volume", "empty")
    noun = ("bar", "finished bars")

    def __init__(
        self,
        pair: Pair,
        resolution: str,
        *,
        keep: int | None = KEEP_BARS,
        warm_up: int = 0,
        plots: PlotStore | None = None,
        is_ready: bool = True,
    ) -> None:
        super().__init__(pair, keep, plots, is_ready=is_ready)
        self.resolution = check_resolution(resolution)
        if warm_up < 0:
            raise ValueError(f"warm_up is {warm_up}; it must be a number of bars of at least 0")
        self.warm_up = warm_up
        self._length_ns = fixed_length(resolution)
        types: dict[str, Any] = {"time": np.int64, "empty": np.bool_}
        self._columns = {name: Column(types.get(name, np.float64)) for name in self.names}

    # -- the engine's side ----------------------------------------------------------------------------------------

    @property
    def wanted_history(self) -> int:
        """The number of finished bars that the series needs from before the start: ``warm_up``, or as many as its
        indicators require.
        """
        return max(self.warm_up, super().wanted_history)

    def begin(self, history: Iterable[Bar]) -> None:
        """Add the bars from before the start, oldest first.

        This warms up every indicator and makes the series readable. Bars already appended come after the history. For a
        bar that is in both, the history's version is used, because the stream may have started within the bar. May be
        called only once.
        """
        assert not self.is_ready, f"{self!r} has already started"
        waiting, self._pending = self._pending, []
        bars = list(history)
        if bars:
            waiting = [bar for bar in waiting if bar.time > bars[-1].time]
        self._feeding = []
        self.is_ready = True
        self._pull = None
        if bars:
            self._write(self._as_arrays(bars))
        self._feeding = list(self._attached.values())
        for row in self._attached.values():
            self._begin(row)
        self._drop_failed()
        self.append_all(waiting)

    def backfill(self, older: Iterable[Bar]) -> None:
        """Prepend older bars, for indicators that were attached later and need more bars than were kept.

        Indicators that lacked history are warmed up again as if they had started with these older bars.
        """
        self._settle()
        self.land()
        times = self._columns["time"].view()
        bars = [bar for bar in older if not len(times) or bar.time < times[0]]
        if not bars:
            return
        arrays = self._as_arrays(bars)
        kept = {name: np.concatenate((arrays[name], column.view())) for name, column in self._columns.items()}
        if self.keep is not None:
            self.keep = max(self.keep, len(kept["time"]))
        for name, column in self._columns.items():
            fresh = self._columns[name] = Column(column.dtype)
            fresh.extend(kept[name], self.keep)
        for attached in self._attached.values():
            if attached.missing:
                since = self._count - attached.began_at
                length = min(len(kept["time"]), attached.history + since)
                columns = [self._input(kept, name)[len(kept["time"]) - length :] for name in attached.inputs]
                attached.begin_again(columns, began_with=length - since)

    def extend(
        self,
        time: npt.ArrayLike,
        open: npt.ArrayLike,
        high: npt.ArrayLike,
        low: npt.ArrayLike,
        close: npt.ArrayLike,
        volume: npt.ArrayLike,
        empty: npt.ArrayLike | None = None,
    ) -> None:
        """Add many finished bars as arrays of equal length, oldest first. The arrays are copied."""
        if self._pending:
            self._flush()
        times = np.asarray(time, np.int64)
        arrays: dict[str, npt.NDArray[Any]] = {"time": times}
        for name, values in zip(self.names[1:6], (open, high, low, close, volume), strict=True):
            arrays[name] = np.asarray(values, np.float64)
        arrays["empty"] = np.zeros(len(times), np.bool_) if empty is None else np.asarray(empty, np.bool_)
        assert all(len(values) == len(times) for values in arrays.values()), "columns of unequal length"
        self._write(arrays)

    def _values(self, row: Any) -> tuple[Any, ...]:
        return row.time, row.open, row.high, row.low, row.close, row.volume, row.empty

    def _check_order(self, time: Nanos) -> None:
        latest = self._columns["time"].last()
        assert latest is None or time > latest, "the bar must start later than the latest one"

    def _check_order_of(self, times: TimeArray) -> None:
        assert bool((times[1:] > times[:-1]).all()), "bars out of order"
        self._check_order(int(times[0]))

    def _end_of(self, row: Any) -> Nanos:
        # plotted at the bar's end time, so that a chart of finer candles does not show values too early
        length_ns = self._length_ns
        time: int = row.time
        return (bucket_end(time, self.resolution) if length_ns is None else time + length_ns) - 1

    def _ends_of(self, times: TimeArray) -> TimeArray:
        if self._length_ns is not None:
            return times + (self._length_ns - 1)
        return np.array([bucket_end(time, self.resolution) - 1 for time in times.tolist()], np.int64)

    def _title(self) -> str:
        return f"{self.pair} {self.resolution}"

    def _resolution(self) -> str:
        return self.resolution

    # -- the strategy's side --------------------------------------------------------------------------------------

    def attach(self, indicator: Indicator[V], name: str | None = None, of: str = "close") -> Attached[V]:
        """Attach an indicator. The series warms it up and feeds it, and charts draw it. Returns an `Attached` with its
        values at each bar.

            self.fast = bars.attach(SMA(10))
            self.high = bars.attach(RollingHigh(20), of="high")
            self.rsi = bars.attach(RSI(14), name="rsi")

        ``of`` is the bar value that a single-input indicator reads: open, high, low, close, volume or typical (the mean
        of high, low and close). ``name`` is its label in charts, by default its repr. Attaching an indicator under an
        existing name replaces the earlier indicator. The new indicator is warmed up from the bars that the series has
        kept, and its value is None until ready.
        """
        if of not in BAR_INPUTS:
            raise ValueError(f"of={of!r} is not a value of a bar; choose one of {', '.join(BAR_INPUTS)}")
        inputs = indicator.inputs
        if len(inputs) == 1:
            # an ArrayIndicator may define its own input
            inputs = (of,) if of != "close" else inputs
        elif of != "close":
            raise ValueError(f"{indicator!r} takes {', '.join(inputs)} of a bar; omit of={of!r}")
        return self._attach(indicator, name, of, "close", inputs)

    @property
    def open(self) -> FloatArray:
        """Opening prices, in quote currency."""
        return self._view("open")

    @property
    def high(self) -> FloatArray:
        """Highest prices, in quote currency."""
        return self._view("high")

    @property
    def low(self) -> FloatArray:
        """Lowest prices, in quote currency."""
        return self._view("low")

    @property
    def close(self) -> FloatArray:
        """Closing prices, in quote currency."""
        return self._view("close")

    @property
    def volume(self) -> FloatArray:
        """Traded volumes, in base currency."""
        return self._view("volume")

    def _row(self, i: int) -> Bar:
        time, open_, high, low, close, volume, empty = (column.view()[i] for column in self._columns.values())
        figures = (float(open_), float(high), float(low), float(close), float(volume))
        return Bar(self.pair, int(time), *figures, self.resolution, bool(empty))

    def to_pandas(self) -> pd.DataFrame:
        """Return a new DataFrame with columns open, high, low, close, volume, indexed by the start of the bucket in
        UTC.

        The DataFrame is a copy, so you may change it.
        """
        import pandas as pd  # imported here, because the import takes half a second and most runs do not need pandas

        index = pd.DatetimeIndex(self.time.copy(), tz="UTC", name="time")
        return pd.DataFrame({name: self._view(name).copy() for name in self.names[1:6]}, index=index)


class TradeSeries(Series[Trade]):
    """The public trades of one pair, oldest first, with attached indicators, as returned by ``subscribe_trades``.

    ``price``, ``amount`` (float64) and ``time`` (int64 nanoseconds, the exchange's own timestamps) are read-only numpy
    arrays. The series contains the trades since the first indicator was attached, but at most the last 10,000 (or
    ``keep``) of them.
    """

    __slots__ = ()
    names: ClassVar[tuple[str, ...]] = ("time", "price", "amount", "side")
    noun = ("trade", "trades")

    def __init__(self, pair: Pair, *, keep: int | None = KEEP_BARS, plots: PlotStore | None = None) -> None:
        super().__init__(pair, keep, plots, is_ready=True)
        self._columns = {
            "time": Column(np.int64), "price": Column(np.float64), "amount": Column(np.float64), "side": Column(np.int8)
        }  # fmt: skip

    def extend(self, time: npt.ArrayLike, price: npt.ArrayLike, amount: npt.ArrayLike, side: npt.ArrayLike) -> None:
        """Add many trades as arrays of equal length, oldest first; ``side`` is 1 if the taker bought, -1 if the taker
        sold, and 0 if unknown.
        """
        if self._pending:
            self._flush()
        arrays: dict[str, npt.NDArray[Any]] = {
            "time": np.asarray(time, np.int64),
            "price": np.asarray(price, np.float64),
            "amount": np.asarray(amount, np.float64),
            "side": np.asarray(side, np.int8),
        }
        assert len({len(values) for values in arrays.values()}) == 1, "columns of unequal length"
        self._write(arrays)

    def _values(self, row: Any) -> tuple[Any, ...]:
        return row.time, row.price, row.amount, _SIGNS[row.side]

    def _numbers(self, name: str, values: Iterable[Any]) -> Iterable[Any]:
        return map(_SIGNS.__getitem__, values) if name == "side" else values

    def _end_of(self, row: Any) -> Nanos:
        time: int = row.time
        return time

    def _ends_of(self, times: TimeArray) -> TimeArray:
        return times

    def attach(self, indicator: Indicator[V], name: str | None = None, of: str = "price") -> Attached[V]:
        """Attach an indicator that is fed by each trade and drawn in charts. Returns an `Attached` with its values at
        each trade.

        ``of`` is "price" or "amount". An indicator with several inputs gets the trade's price for each price input and
        its amount for the volume. There are no trades from before the start, so values are None until enough trades
        have arrived.
        """
        if of not in ("price", "amount"):
            raise ValueError(f"of={of!r} is not a value of a trade; choose price or amount")
        inputs = indicator.inputs
        if len(inputs) == 1:
            inputs = (of,) if of != "price" else ("amount" if inputs[0] == "volume" else "price",)
        elif of != "price":
            raise ValueError(f"{indicator!r} takes {', '.join(inputs)}; omit of={of!r}")
        else:
            inputs = tuple("amount" if name == "volume" else "price" for name in inputs)
        return self._attach(indicator, name, of, "price", inputs)

    @property
    def price(self) -> FloatArray:
        """Prices, in quote currency."""
        return self._view("price")

    @property
    def amount(self) -> FloatArray:
        """Amounts, in base currency."""
        return self._view("amount")

    def _row(self, i: int) -> Trade:
        time, price, amount, side = (column.view()[i] for column in self._columns.values())
        return Trade(self.pair, int(time), float(price), float(amount), _SIDES[int(side)])
