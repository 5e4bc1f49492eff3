"""The result of a backtest in Python: its metrics, its rows as DataFrames, its report, and its HTML for notebooks."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from botkit.backtesting.metrics import GROUPS
from botkit.backtesting.statistics import monthly_returns
from botkit.errors import BotkitError, ConfigError
from botkit.model.extension import ReportSection
from botkit.model.results import BacktestResult, Figure
from botkit.report.html import render
from botkit.report.notebook import notebook_html, one_line, result_svg
from botkit.research import tables

if TYPE_CHECKING:
    import pandas as pd


class Plot:
    """An SVG chart. A notebook displays the chart, and `save` writes it to a file."""

    def __init__(self, svg: str) -> None:
        self.svg = svg

    def __repr__(self) -> str:
        return f"<plot of {len(self.svg):,} bytes; save it with .save('plot.svg')>"

    def _repr_html_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> Path:
        """Write the chart as an SVG file. Raises ConfigError if it cannot be written."""
        return _written(path, self.svg)


class Result:
    """A finished backtest. It contains no secrets and can be pickled.

    ``figures`` is the summary as a dict; ``messages`` contains the first warnings and errors that strategies logged.
    Each table is created on first access.
    """

    def __init__(
        self, run: BacktestResult, sections: Sequence[ReportSection] = (), messages: Sequence[str] = ()
    ) -> None:
        self._run = run
        self._sections = tuple(sections)
        self.messages = tuple(messages)

    def __reduce__(self) -> tuple[Any, ...]:
        try:
            run, sections = pickle.dumps(self._run), pickle.dumps(self._sections)
        except Exception as error:
            raise BotkitError(
                f"this result cannot be pickled: a plugin added an object that cannot be pickled ({error})"
            ) from None
        return _unpickled, (run, sections, self.messages)

    def __repr__(self) -> str:
        return f"<backtest {self.name}: {one_line(self._run)}>"

    def _repr_html_(self) -> str:
        return notebook_html(self._run)

    # -- what it is -----------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The bot's name."""
        return self._run.name

    @property
    def figures(self) -> Mapping[str, Figure]:
        """Every metric of the summary by name. Undefined metrics are None."""
        return MappingProxyType(self._run.summary)

    @property
    def warnings(self) -> list[str]:
        """Facts that the reader must know before trusting the result, most serious first."""
        return [caution.text for caution in sorted(self._run.warnings, key=lambda caution: not caution.grave)]

    @property
    def config(self) -> str:
        """The resolved configuration as YAML, with secrets hidden."""
        return self._run.config_text

    @property
    def run(self) -> BacktestResult:
        """The complete result as plain data, with exact integers."""
        return self._run

    # -- tables ---------------------------------------------------------------------------------------------------

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Every metric, as a DataFrame with one row."""
        return tables.summary_frame(self._run.summary, self._run.name)

    @cached_property
    def orders(self) -> pd.DataFrame:
        """All orders, in the order they were placed."""
        return tables.orders_frame(self._run)

    @cached_property
    def fills(self) -> pd.DataFrame:
        """All fills in chronological order, with their markouts if there were order books."""
        return tables.fills_frame(self._run)

    @cached_property
    def trades(self) -> pd.DataFrame:
        """All trades, ordered by exit time."""
        return tables.trades_frame(self._run)

    @cached_property
    def equity(self) -> pd.DataFrame:
        """The sampled equity and drawdown by time."""
        return tables.equity_frame(self._run)

    @cached_property
    def daily(self) -> pd.DataFrame:
        """Each calendar day: date, equity, return."""
        return tables.daily_frame(self._run)

    @cached_property
    def drawdowns(self) -> pd.DataFrame:
        """The deepest drawdowns, with their durations."""
        return tables.drawdowns_frame(self._run)

    @cached_property
    def makers(self) -> pd.DataFrame:
        """The spread results of maker fills, by strategy and pair."""
        return tables.makers_frame(self._run)

    @cached_property
    def monthly(self) -> pd.Series[float]:
        """Each calendar month's return, keyed by month such as ``2025-01``."""
        import pandas as pd

        found = monthly_returns(self._run.days)
        index = pd.Index(pd.array(list(found), dtype="string"), name="month")
        return pd.Series(list(found.values()), index=index, name="return", dtype="float64")

    def by(self, group: str) -> pd.DataFrame:
        """Return the trades' metrics, grouped by ``pair``, ``strategy``, ``entry_tag``, ``exit_tag``, ``exit_reason``,
        ``kind`` or ``month`` (of the exit). Raises ConfigError for any other grouping.
        """
        if group not in GROUPS:
            raise ConfigError(f"trades cannot be grouped by {group!r}; use one of: {', '.join(GROUPS)}")
        return tables.grouped_frame(self._run.groups.get(group, {}), group)

    # -- pictures -------------------------------------------------------------------------------------------------

    def report(self, path: str | Path = "report.html") -> Path:
        """Write the report, a single HTML file that works offline, and return its path. Raises ConfigError if the file
        cannot be written.
        """
        return _written(path, render(self._run, self._sections))

    def plot(self) -> Plot:
        """Return a chart of equity and drawdown, with the benchmark if there is one."""
        return Plot(result_svg(self._run))


def _unpickled(run: bytes, sections: bytes, messages: Sequence[str]) -> Result:
    return Result(pickle.loads(run), pickle.loads(sections), messages)


def _written(path: str | Path, text: str) -> Path:
    place = Path(path).expanduser()
    try:
        place.write_bytes(text.encode("utf-8"))
    except OSError as error:
        raise ConfigError(f"{place} cannot be written: {error.strerror or error}") from None
    return place
