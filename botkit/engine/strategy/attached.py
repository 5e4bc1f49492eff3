"""An indicator fed by a series: its values at the latest and previous bars, and whether it crossed a line."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final, Generic, Protocol, TypeGuard, TypeVar

import numpy as np
import numpy.typing as npt

from botkit.engine.indicators.blocks import WindowIndicator
from botkit.engine.indicators.indicator import BAR_INPUTS, Array, Indicator
from botkit.engine.strategy.ahead import Ahead, Passing
from botkit.engine.strategy.plots import PlotLine

V = TypeVar("V")


class Feeding(Protocol):
    """The series interface that an attached indicator needs."""

    def bring_up_to_date(self) -> None:
        """Add the rows that have finished since the last read. Raises NotReadyError until the history has arrived."""

    def land(self) -> None:
        """Add the processed rows to indicators that were prepared for a block."""


class Crossing:
    """A line of one series that can cross another line of the same series, or a level."""

    __slots__ = ("_series",)
    _series: Feeding
    _ahead: Ahead | None = None

    @property
    @abstractmethod
    def value(self) -> Any:
        """The value at the latest bar."""

    @property
    @abstractmethod
    def previous(self) -> Any:
        """The value at the previous bar."""

    def crossed_above(self, other: Crossing | float) -> bool:
        """Return True if this line crossed above ``other`` at the latest bar: it was at or below ``other`` at the
        previous bar and is above it now.

        ``other`` is another indicator of the same series, or a number. Returns False until both have values at the
        latest and previous bars.
        """
        ahead = self._ahead
        if ahead is not None and (other is ahead.other or self._is_crossed_ahead(other, ahead)):
            return ahead.block.done in ahead.up
        self._series.bring_up_to_date()
        other_now, other_before = other._at_both() if self._is_with(other) else (other, other)
        now, before = self._at_both()
        if before is None or other_before is None:
            return False
        return bool(now > other_now and before <= other_before)

    def crossed_below(self, other: Crossing | float) -> bool:
        """Return True if this line crossed below ``other`` at the latest bar: it was at or above ``other`` at the
        previous bar and is below it now.
        """
        ahead = self._ahead
        if ahead is not None and (other is ahead.other or self._is_crossed_ahead(other, ahead)):
            return ahead.block.done in ahead.down
        self._series.bring_up_to_date()
        other_now, other_before = other._at_both() if self._is_with(other) else (other, other)
        now, before = self._at_both()
        if before is None or other_before is None:
            return False
        return bool(now < other_now and before >= other_before)

    def _is_crossed_ahead(self, other: Crossing | float, ahead: Ahead) -> bool:
        """Make ``other`` the line that ``ahead`` tells the crossings with. Returns False if ``other`` has not been
        computed ahead.
        """
        if type(other) not in _CROSSED_AHEAD:
            return False
        if self._is_with(other):
            if other._ahead is None:
                return False
            ahead.cross(other, other._ahead.line)
        else:
            assert not isinstance(other, Crossing)
            ahead.cross(other, other)
        return True

    @abstractmethod
    def _at_both(self) -> tuple[Any, Any]:
        """Return (latest value, previous value) once the series is up to date, or (None, None) unless both are
        known.
        """

    def _is_with(self, other: Crossing | float) -> TypeGuard[Crossing]:
        """Return True for an indicator of the same series, False for a number. Raises ValueError for anything else."""
        if isinstance(other, Crossing):
            if other._series is self._series:
                return True
            raise ValueError(
                f"{self!r} and {other!r} belong to different series, whose bars end at different times; attach both "
                f"to the same series, or compare their values yourself"
            )
        if isinstance(other, bool) or not isinstance(other, (int, float, np.number)):
            raise ValueError(f"{self!r} can cross an indicator of the same series or a number, not {other!r}")
        return False


class _Broken:
    """Replaces an indicator that raised an exception. Every access raises that exception again."""

    __slots__ = ("_error",)

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise self._error


class Attached(Crossing, Generic[V]):
    """An indicator attached to a series. It is warmed up from history and then receives each bar.

    ``value`` is the value at the latest finished bar, and ``previous`` the value at the bar before it; both are None
    until ready. If the indicator has several values, an index selects one of them as a line:
    ``macd["line"].crossed_above(macd["signal"])``.
    """

    __slots__ = (
        "_ahead", "_before", "_began_at", "_began_with", "_get", "_indicator", "_is_single", "_line", "_step", "inputs",
        "name", "pane",
    )  # fmt: skip

    def __init__(self, series: Feeding, name: str) -> None:
        self._series = series
        #: the label shown in charts
        self.name = name
        self._line: PlotLine | None = None
        self._ahead = None

    # -- for the series ------------------------------------------------------------------------------------------

    def install(self, indicator: Indicator[V], inputs: Sequence[str], pane: str) -> None:
        """Install an indicator, replacing any previous one."""
        self._indicator = indicator
        indicator.owner = self
        self._step = indicator.step
        self.inputs = tuple(inputs)
        self.pane = pane
        self._get: Callable[[Any], Any] = _getter(inputs)
        self._is_single = len(self.inputs) == 1
        self._before: V | None = None
        #: number of bars that warmed up the indicator, and number of bars that the series had received by that time
        self._began_with = self._began_at = 0

    def draw_into(self, line: PlotLine | None) -> None:
        """Add each value to a plot line from now on."""
        self._line = line

    def begin(self, columns: Sequence[Array], at: int) -> None:
        """Warm up with the last bars before regular updates start. ``at`` is the number of bars that the series has
        received.
        """
        self._began_with, self._began_at = len(columns[0]), at
        self._advance(columns)

    def begin_again(self, columns: Sequence[Array], *, began_with: int) -> None:
        """Warm up again with older bars. The first ``began_with`` rows of the columns precede the bars already
        added.
        """
        self._indicator.reset()
        self._before = None
        self._began_with = began_with
        self._advance(columns)

    def fail(self, error: Exception) -> None:
        """Mark the indicator as failed, so that every later read raises the exception that made it fail."""
        self._indicator = _Broken(error)  # type: ignore[assignment]

    def _advance(self, columns: Sequence[Array]) -> None:
        if not len(columns[0]):
            return
        self._indicator.extend(*(column[:-1] for column in columns))
        self._before = self._indicator.value
        self._indicator.step(*(float(column[-1]) for column in columns))

    def prepare(self, block: Passing, begin: int, times: npt.NDArray[np.int64], columns: list[Array]) -> bool:
        """Compute the values for a block's rows from ``begin`` on; ``columns`` are the inputs in these rows. The
        indicator does not change until `land`. Returns False if the indicator cannot benefit from columns.
        """
        indicator = self._indicator
        if not isinstance(indicator, WindowIndicator) or indicator.fields:
            return False
        advanced = indicator.fork()
        self._ahead = Ahead(
            block,
            begin,
            times=times,
            columns=columns,
            before=self._before,  # type: ignore[arg-type]
            now=indicator.value,
            results=advanced.extend(*columns),
            advanced=advanced,
        )
        return True

    def land(self, ends_of: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]]) -> None:
        """Add the prepared rows that the run has processed to the indicator. ``ends_of`` returns the times of their
        points in a plot.
        """
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return
        count = ahead.block.done - ahead.begin
        if count == len(ahead.times) and self._line is None:
            # the run has passed all prepared rows, so the copy that computed them is in the indicator's next state
            assert isinstance(self._indicator, WindowIndicator)
            _, self._before = ahead.at_both()
            self._indicator.adopt(ahead.advanced)
        elif count:
            self.take_columns([column[:count] for column in ahead.columns], ends_of(ahead.times[:count]))

    def take_row(self, row: Any, end_of: Callable[[Any], int]) -> None:
        """Add one bar (or trade); ``end_of`` returns the time of its point in a plot."""
        self._before = self._indicator.value
        value = self._step(self._get(row)) if self._is_single else self._step(*self._get(row))
        line = self._line
        if line is not None and value is not None:
            if line.skips:
                line.skips -= 1
            else:
                line.add(end_of(row), value)

    def take_columns(self, columns: Sequence[Array], ends: npt.NDArray[np.int64]) -> None:
        """Add many bars at once; ``ends`` are the times of their points in a plot."""
        line = self._line
        if line is None:
            self._advance(columns)
            return
        results = self._indicator.extend(*(column[:-1] for column in columns))
        self._before = self._indicator.value
        last = self._indicator.step(*(float(column[-1]) for column in columns))
        if line.fields:
            is_ready = ~np.isnan(results[0])
            values: list[Any] = list(zip(*(part[is_ready].tolist() for part in results), strict=True))
        else:
            is_ready = ~np.isnan(results)
            values = results[is_ready].tolist()
        line.extend(ends[:-1][is_ready].tolist(), values)
        if last is not None:
            line.add(int(ends[-1]), last)

    @property
    def history(self) -> int:
        """The number of finished bars that the indicator needs to warm up."""
        return self._indicator.history

    @property
    def began_at(self) -> int:
        """The number of bars that the series had received when the indicator started."""
        return self._began_at

    @property
    def missing(self) -> int:
        """The number of bars that were missing when the indicator warmed up."""
        return max(0, self._indicator.history - self._began_with)

    # -- for the strategy ---------------------------------------------------------------------------------------

    @property
    def indicator(self) -> Indicator[V]:
        """The indicator itself."""
        if self._ahead is not None:
            self._series.land()
        return self._indicator

    @property
    def value(self) -> V | None:
        """The result at the latest finished bar; None until ready."""
        ahead = self._ahead
        if ahead is not None:
            found: V | None = (ahead.values or ahead.list_values())[ahead.block.done - ahead.begin + 1]
            return found
        self._series.bring_up_to_date()
        return self._indicator.value

    @property
    def previous(self) -> V | None:
        """The result at the bar before the latest one; None if there was no result."""
        ahead = self._ahead
        if ahead is not None:
            found: V | None = (ahead.values or ahead.list_values())[ahead.block.done - ahead.begin]
            return found
        self._series.bring_up_to_date()
        _ = self._indicator.value  # raises the indicator's original exception if the indicator failed
        return self._before

    def _at_both(self) -> tuple[Any, Any]:
        indicator = self._indicator
        if indicator.fields:
            fields = ", ".join(map(repr, indicator.fields))
            raise ValueError(f"{self!r} has several values; choose one, as in [{fields}]")
        now, before = (indicator.value, self._before) if self._ahead is None else self._ahead.at_both()
        return (None, None) if now is None or before is None else (now, before)

    @property
    def ready(self) -> bool:
        """True once there is a value."""
        return self.value is not None

    def __getitem__(self, field: str) -> AttachedField:
        """Return one of several values, by name, as a separate line."""
        fields = self._indicator.fields
        if field not in fields:
            there = f"it has {', '.join(fields)}" if fields else "it has a single value"
            raise ValueError(f"{self.name} has no {field!r}; {there}")
        return AttachedField(self, fields.index(field))

    def __repr__(self) -> str:
        return self.name


class AttachedField(Crossing):
    """One of several values of an attached indicator."""

    __slots__ = ("_attached", "_index")

    def __init__(self, attached: Attached[Any], index: int) -> None:
        self._series = attached._series
        self._attached = attached
        self._index = index

    @property
    def value(self) -> float | None:
        """The value at the latest finished bar; None until ready."""
        values = self._attached.value
        return None if values is None else float(values[self._index])

    @property
    def previous(self) -> float | None:
        """The value at the bar before the latest one; None if there was no value."""
        values = self._attached.previous
        return None if values is None else float(values[self._index])

    def _at_both(self) -> tuple[Any, Any]:
        now, before = self._attached.value, self._attached.previous
        return (None, None) if now is None or before is None else (now[self._index], before[self._index])

    @property
    def ready(self) -> bool:
        """True once there is a value."""
        return self.value is not None

    def __repr__(self) -> str:
        return f"{self._attached.name} {self._attached.indicator.fields[self._index]}"


def _getter(inputs: Sequence[str]) -> Callable[[Any], Any]:
    """Return a function that reads these inputs from a bar or trade, as one value or a tuple."""
    if "typical" not in inputs:
        return attrgetter(*inputs)
    getters = [BAR_INPUTS[name] for name in inputs]
    if len(getters) == 1:
        return getters[0]
    return lambda bar: tuple(get(bar) for get in getters)


#: what a line is compared with over a whole block: another line, or a level
_CROSSED_AHEAD: Final = frozenset({Attached, float, int})
