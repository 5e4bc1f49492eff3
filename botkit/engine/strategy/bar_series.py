"""The finished bars of a pair and resolution, as a strategy reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from botkit.engine.indicators.indicator import BAR_INPUTS, Indicator
from botkit.engine.market.column import Column
from botkit.engine.strategy.attached import Attached
from botkit.engine.strategy.plots import PlotStore
from botkit.engine.strategy.series import KEEP_ROWS, FloatArray, Series, TimeArray, V
from botkit.model.clock import Nanos
from botkit.model.events import Bar
from botkit.model.pairs import Pair
from botkit.model.resolutions import bucket_end, check_resolution, fixed_length

if TYPE_CHECKING:
    import pandas as pd


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
        keep: int | None = KEEP_ROWS,
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
