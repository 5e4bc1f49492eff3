"""The bench: a project and its data, loaded once for any number of runs with different parameters.

    bench = Bench(Project.load("configs/sma_cross.yaml"))
    for fast in range(5, 30, 5):
        run = bench.run({"sma": {"fast": fast}})
        print(fast, run.figures["return"], run.journal_sha256)

Runs execute in this process, on the calling thread, and write no files. A run's result depends only on the project, the
rows, the parameters, the span and the seed. Therefore identical inputs yield identical metrics and an identical
decision hash on any machine. Only converted rows of the data remain in memory after a run, up to a fixed number, so
memory use stays constant across ten thousand runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from botkit.assembly.backtest import parts_over
from botkit.assembly.seals import sealed_end
from botkit.backtesting.parts import BacktestParts
from botkit.backtesting.session import run_backtest, run_decisions, run_figures
from botkit.engine.market.blocks import SharedBlocks
from botkit.model.clock import Nanos
from botkit.model.pairs import Pair
from botkit.model.results import BacktestResult, DayRow, Figure
from botkit.project.data import asked_span, backtest_feed
from botkit.project.project import Project
from botkit.research.decision_lines import DecisionLines
from botkit.tape.feed import Feed
from botkit.tape.held import HeldSource
from botkit.tape.mapped import MappedRows


class BenchRun(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one run on the bench: its metrics, the hash of its decisions, and each day's close.

    ``figures`` has the keys of ``summary.json`` except those that depend on the machine (``wall_s``,
    ``events_per_second``); an undefined metric is None.
    """

    figures: dict[str, Figure]
    journal_sha256: str
    days: list[DayRow]

    @property
    def daily_returns(self) -> list[float]:
        """The returns of the run's full calendar days, from which the ratios are computed."""
        return [day.return_ for day in self.days if day.return_ is not None]


class Bench:
    """A project with its data in memory.

    ``feed`` is the data (default: the data named by the project's configuration). Each of its streams is read when a
    run first needs it, and then stays in memory. ``start`` and ``end`` bound every run, in nanoseconds, end exclusive
    (default: the configuration's span, or otherwise all of the data). Rows before ``start`` warm up the indicators.
    Benches in several processes share one copy of the rows if they use the same ``shared`` folder. Raises ConfigError
    or DataError.
    """

    def __init__(
        self,
        project: Project,
        feed: Feed | None = None,
        *,
        start: Nanos | None = None,
        end: Nanos | None = None,
        seed: int | None = None,
        shared: Path | None = None,
    ) -> None:
        self.project = project
        self.feed = held(backtest_feed(project, None) if feed is None else feed, project.pairs, shared)
        begin, until = asked_span(project, None, None)
        self.start = begin if start is None else start
        # Exclude sealed data from the span here. Runs would exclude it anyway, but searches and the doctor divide the
        # span into parts, so they need the correct end.
        self.end, _ = sealed_end(project, self.feed, self.start, until if end is None else end)
        self.seed = project.config.seed if seed is None else seed
        self._blocks = SharedBlocks()

    def run(
        self,
        parameters: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        start: Nanos | None = None,
        end: Nanos | None = None,
    ) -> BenchRun:
        """Run with the given parameters: strategy -> name -> value. ``start`` and ``end`` replace those of the bench.

        Raises ConfigError for invalid parameters, and BotkitError if the strategy fails.
        """
        figures, days = run_figures(self._parts(parameters, start, end, is_described=False))
        return BenchRun(figures=figures, journal_sha256=str(figures["journal_sha256"]), days=days)

    def result(
        self,
        parameters: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        start: Nanos | None = None,
        end: Nanos | None = None,
        readings: bool = False,
    ) -> BacktestResult:
        """Run the backtest as `run` does, but return all data shown in a report: orders, fills, curves, indicators.
        This requires more time and memory.
        """
        return run_backtest(self._parts(parameters, start, end, is_described=True), readings=readings)

    def decisions(self) -> DecisionLines:
        """Run the backtest as `run` does, but return only its decisions."""
        found = DecisionLines()
        found.streams = run_decisions(self.parts(), found.add)
        return found

    def parts(self) -> BacktestParts:
        """Return the parts of a new run, without the parts that only a report needs."""
        return self._parts(None, None, None, is_described=False)

    def _parts(
        self,
        parameters: Mapping[str, Mapping[str, Any]] | None,
        start: Nanos | None,
        end: Nanos | None,
        *,
        is_described: bool,
    ) -> BacktestParts:
        return parts_over(
            self.project.with_parameters(parameters) if parameters else self.project,
            self.feed,
            self.start if start is None else start,
            self.end if end is None else end,
            seed=self.seed,
            is_described=is_described,
            shared_blocks=self._blocks,
        )


def held(feed: Feed, pairs: Mapping[str, Pair], shared: Path | None = None) -> Feed:
    """Return a feed that keeps its rows in memory once they have been read, or maps them from files below
    ``shared``.
    """
    if all(isinstance(source, HeldSource) for source in feed.sources):
        return feed
    sources = [
        source
        if isinstance(source, HeldSource)
        else HeldSource(source, None if shared is None else MappedRows(shared / str(number), pairs))
        for number, source in enumerate(feed.sources)
    ]
    return Feed(sources, feed_ms=feed.feed_ms)
