"""Runs trials in a worker: loads a project and its data once, then runs one backtest per job."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from botkit.backtesting.plan import first_moment
from botkit.errors import BotkitError, DataError
from botkit.model.clock import NS_PER_DAY, Nanos
from botkit.model.results import DayRow
from botkit.project.data import asked_span, backtest_feed
from botkit.project.project import Project
from botkit.research.bench import Bench
from botkit.research.search.axes import Point
from botkit.research.search.study import Evaluation, TrialRun

__all__ = ["BenchRecipe", "bench_of", "by_strategy", "daily_returns", "evaluator", "span_of"]


class BenchRecipe(msgspec.Struct, frozen=True, kw_only=True):
    """The settings from which a worker builds its bench. They are plain values, because they are sent to other
    processes.

    ``folder`` is the working directory, against which relative paths are resolved. If it is None, the working directory
    stays unchanged. Workers on one machine share one copy of the rows if they use the same ``shared`` folder.
    """

    config: str
    folder: str | None = None
    overrides: tuple[str, ...] = ()
    data: str | None = None
    start: str | None = None
    end: str | None = None
    seed: int | None = None
    shared: str | None = None

    def __call__(self) -> Callable[[TrialRun], Evaluation]:
        """Load the project and its data, and return the function that runs trials. Raises ConfigError or DataError."""
        if self.folder is not None:
            os.chdir(self.folder)
        return evaluator(bench_of(Project.load(self.config, overrides=self.overrides), self))


def evaluator(bench: Bench) -> Callable[[TrialRun], Evaluation]:
    """Return a function that runs trials on a bench. Raises DataError if the data contains none of the bench's
    pairs.
    """
    start, end = span_of(bench)

    def evaluate(job: TrialRun) -> Evaluation:
        return _evaluation(bench, job, *job.span(start, end))

    return evaluate


def bench_of(project: Project, recipe: BenchRecipe) -> Bench:
    """Return the bench for a recipe. Raises ConfigError or DataError."""
    feed = backtest_feed(project, Path(recipe.data) if recipe.data is not None else None)
    start, end = asked_span(project, recipe.start, recipe.end)
    shared = None if recipe.shared is None else Path(recipe.shared)
    return Bench(project, feed, start=start, end=end, seed=recipe.seed, shared=shared)


def span_of(bench: Bench) -> tuple[Nanos, Nanos]:
    """Return the span of a bench's runs, end exclusive: the requested span, or otherwise the span of all rows of the
    strategies' pairs.

    Raises DataError if the data contains none of the pairs.
    """
    pairs = {str(pair) for pair in bench.project.bot_pairs()}
    infos = [info for info in bench.feed.streams if info.pair in pairs]
    if not infos:
        raise DataError(f"there is no data for {', '.join(sorted(pairs)) or 'any pair'}")
    start = bench.start if bench.start is not None else first_moment(bench.feed, pairs)
    end = bench.end if bench.end is not None else max(info.end for info in infos) + 1
    return start, end


def by_strategy(point: Point) -> Mapping[str, Mapping[str, Any]]:
    """Group parameters by strategy: ``{"sma.fast": 5}`` becomes ``{"sma": {"fast": 5}}``."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in point.items():
        label, _, parameter = name.rpartition(".")
        found.setdefault(label, {})[parameter] = value
    return found


def _evaluation(bench: Bench, job: TrialRun, start: Nanos, end: Nanos) -> Evaluation:
    try:
        run = bench.run(by_strategy(job.point), start=start, end=end)
    except BotkitError as error:
        # the first line contains the problem and its location; a traceback may follow
        return Evaluation({}, "", (str(error) or type(error).__name__).splitlines()[0])
    first_day, returns = daily_returns(run.days)
    return Evaluation(dict(run.figures), run.journal_sha256, "", first_day, returns)


def daily_returns(days: list[DayRow]) -> tuple[int, tuple[float, ...]]:
    """Return the first day as a number of days since 1970, and each day's return. Partial days are NaN."""
    if not days:
        return 0, ()
    first = (days[0].end - 1) // NS_PER_DAY
    return first, tuple(float("nan") if day.return_ is None else day.return_ for day in days)
