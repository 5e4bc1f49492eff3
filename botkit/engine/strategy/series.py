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

from botkit.engine.indicators.indicator import Array, Indicator, typical
from botkit.engine.market.column import Column
from botkit.engine.strategy.ahead import Passing
from botkit.engine.strategy.attached import Attached
from botkit.engine.strategy.plots import LineKey, PlotStore
from botkit.errors import NotReadyError
from botkit.model.clock import Nanos
from botkit.model.events import Bar, Trade
from botkit.model.pairs import Pair

if TYPE_CHECKING:
    pass

FloatArray: TypeAlias = npt.NDArray[np.float64]
TimeArray: TypeAlias = npt.NDArray[np.int64]
V = TypeVar("V")
Row = TypeVar("Row", Bar, Trade)

#: default number of rows that a series keeps
KEEP_ROWS = 10_000
# number of pending rows at which they are flushed: low enough to limit memory use, high enough to spread the cost of a
# flush
_FLUSH_AT = 4096
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
