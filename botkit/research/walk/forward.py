"""Runs a walk-forward: searches each training window, tests the best parameters on the days that follow, and chains the
tests.

A test window starts with the configuration's balances and no position. Indicators are warmed up on the rows before the
window. The taker fee and slippage are charged for positions that are still open when the window ends. The growth
factors of all test windows are multiplied.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from botkit.backtesting.statistics import cagr, sharpe
from botkit.errors import BotkitError, ConfigError
from botkit.model.clock import NS_PER_DAY, Nanos
from botkit.model.results import BacktestResult
from botkit.project.project import Project
from botkit.research.bench import Bench
from botkit.research.search.asked import Asked, SearchSettings, asked
from botkit.research.search.axes import Point
from botkit.research.search.folder import SearchFolder, next_search
from botkit.research.search.interrupts import Interrupts
from botkit.research.search.noting import Luck, NotedLooks
from botkit.research.search.runners import make_runner
from botkit.research.search.study import Evaluation, Runner, Study, Trial, TrialRun, ranked
from botkit.research.search.worker import BenchRecipe, bench_of, by_strategy, span_of
from botkit.research.walk.windows import WalkWindow, windows

__all__ = ["WALKS", "Step", "WalkResult", "WalkSettings", "walk_forward"]

WALKS = "walks"


class WalkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The lengths of windows and gaps in days. If ``gap_days`` is None, the gap between training and test is the
    longest holding period in training.
    """

    train_days: int
    test_days: int
    is_anchored: bool = False
    gap_days: int | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One window and its results. ``best`` is None if no trial in training has a value. In that case, the strategy does
    not trade in the test.

    The test begins at ``test_start``, ``gap_days`` after its window does: the days of the gap are not tested.
    ``growth`` is the test's final equity after closing all positions, as a multiple of its opening equity. ``returns``
    are the daily returns of the test.
    """

    window: WalkWindow
    trials: int
    best: Trial | None
    in_sample: float | None
    out_of_sample: float | None
    gap_days: int
    test_start: Nanos
    growth: float
    closing_cost: float
    #: the highest and the lowest equity of the test as fractions of its opening equity, and its deepest drawdown
    high: float
    low: float
    max_drawdown: float
    trades: int
    #: of every day from the end of the training window to the end of the test window; days without trading are flat
    returns: tuple[float, ...]
    journal_sha256: str
    reason: str
    #: each trial's parameters and objective value, for the heat map of two parameters
    tried: tuple[tuple[Point, float | None], ...]

    @property
    def test_return(self) -> float:
        """The test's return after closing all positions, as a fraction."""
        return self.growth - 1


class WalkResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a walk-forward.

    ``figures`` describe the chained tests: ``return``, ``sharpe``, ``cagr``, ``max_drawdown``, ``trades``, ``days``,
    ``winning_windows`` (a fraction), ``in_sample_sharpe`` (the mean over the training windows) and ``efficiency``
    (daily growth in testing as a fraction of daily growth in training). Undefined metrics are None.
    """

    name: str
    currency: str
    timezone: str
    objective: str
    axes: tuple[str, ...]
    steps: list[Step]
    figures: dict[str, Any]
    folder: Path
    is_synthetic: bool
    luck: Luck | None
    notes: list[str]

    def plain(self) -> dict[str, Any]:
        """Return the JSON object for ``--json``."""
        return {
            "figures": self.figures,
            "windows": [_plain(step) for step in self.steps],
            "objective": self.objective,
            "folder": str(self.folder),
            "synthetic": self.is_synthetic,
            "luck": None if self.luck is None else msgspec.to_builtins(self.luck),
            "notes": self.notes,
        }


def walk_forward(
    recipe: BenchRecipe,
    settings: SearchSettings,
    walk: WalkSettings,
    progress: Callable[[int, int, int, int], None] = lambda window, count, ended, trials: None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> WalkResult:
    """Run a walk-forward and write its folder.

    ``progress`` is called with (window, number of windows, completed trials in the window, all trials in the window).
    Raises ConfigError or DataError if the walk-forward cannot run. In that case, nothing has been written.
    """
    project = Project.load(recipe.config, overrides=recipe.overrides)
    seed = project.config.seed if recipe.seed is None else recipe.seed
    wanted = asked(project, settings, seed)
    bench = bench_of(project, recipe)
    start, end = span_of(bench)
    laid = windows(
        start,
        end,
        train_days=walk.train_days,
        test_days=walk.test_days,
        is_anchored=walk.is_anchored,
        zone=project.config.zone,
    )
    if walk.gap_days is not None and not 0 <= walk.gap_days < walk.test_days:
        raise ConfigError(f"--gap {walk.gap_days}d: the gap must be shorter than the test ({walk.test_days} days)")
    folder = settings.out if settings.out is not None else next_search(Path("out") / project.config.name / WALKS)
    # Every training trial is a look at the days of its window, but the same parameters in several windows are one look.
    # The tests add none, because nothing is chosen by them.
    looks = NotedLooks(
        project,
        laid[0].train_start,
        laid[-1].train_end,
        is_synthetic=bench.feed.synthetic,
        fixed=wanted.fixed,
        command="walk-forward",
    )
    steps: list[Step] = []
    with Interrupts() as interrupts, ExitStack() as stack:
        with interrupts.at_once():
            runner = make_runner(project, recipe, settings, wanted.trials, tell)
        stack.callback(runner.close)
        with SearchFolder(folder, {"walk": msgspec.to_builtins(walk)}, is_continued=False) as kept:
            for window in laid:
                try:
                    trials = _train(wanted, settings, runner, window, looks, len(laid), progress, kept, interrupts)
                finally:
                    looks.flush()
                with interrupts.at_once():
                    steps.append(_test(bench, walk, wanted, window, trials))
    config = project.config
    return WalkResult(
        name=config.name,
        currency=project.currency,
        timezone=config.timezone,
        objective=settings.objective,
        axes=tuple(axis.name for axis in wanted.axes),
        steps=steps,
        figures=_figures(steps),
        folder=folder,
        is_synthetic=bench.feed.synthetic,
        luck=looks.luck(),
        notes=looks.notes,
    )


def _train(
    wanted: Asked,
    settings: SearchSettings,
    runner: Runner,
    window: WalkWindow,
    looks: NotedLooks,
    count: int,
    progress: Callable[[int, int, int, int], None],
    kept: SearchFolder,
    interrupts: Interrupts,
) -> list[Trial]:
    ended = 0

    def on_evaluation(job: TrialRun, evaluation: Evaluation) -> None:
        kept.add(job, evaluation)
        looks.add(job, evaluation)

    def on_trial(trial: Trial) -> None:
        nonlocal ended
        ended += 1
        progress(window.number, count, ended, wanted.trials)

    return Study(
        wanted.sampler(),
        wanted.objective,
        runner,
        trials=wanted.trials,
        min_trades=settings.min_trades,
        prune=settings.prune,
        span=(window.train_start, window.train_end),
        known={},
        on_evaluation=on_evaluation,
        on_trial=on_trial,
        interrupts=interrupts,
    ).run()


def _test(bench: Bench, walk: WalkSettings, wanted: Asked, window: WalkWindow, trials: Sequence[Trial]) -> Step:
    order = ranked(trials, wanted.objective)
    best = order[0] if order and order[0].value is not None else None
    tried = tuple((trial.params, trial.value) for trial in trials)

    def step(reason: str, gap: int = 0, result: BacktestResult | None = None, cost: float = 0.0) -> Step:
        opening = _figure(result, "opening_equity")
        final = _figure(result, "final_equity")
        growth = (final - cost) / opening if opening and final is not None else 1.0
        values = [] if result is None or not opening else [value / opening for value in result.equity.values]
        idle = walk.test_days if result is None else gap
        returns = [0.0] * idle
        if result is not None:
            returns += [day.return_ for day in result.days if day.return_ is not None]
        if result is not None and returns and cost and final:
            returns[-1] = (1 + returns[-1]) * (1 - cost / final) - 1
        return Step(
            window=window,
            trials=len(trials),
            best=best,
            in_sample=None if best is None else best.value,
            out_of_sample=None if result is None else wanted.objective.figure(result.summary),
            gap_days=gap,
            test_start=window.tested_from(gap),
            growth=growth,
            closing_cost=cost,
            high=max(values, default=1.0),
            low=min(values, default=1.0),
            max_drawdown=_figure(result, "max_drawdown") or 0.0,
            trades=0 if result is None else len(result.trades),
            returns=tuple(returns),
            journal_sha256="" if result is None else str(result.summary["journal_sha256"]),
            reason=reason,
            tried=tried,
        )

    if best is None:
        return step("no trial in the training window has a value for the objective")
    gap = walk.gap_days if walk.gap_days is not None else _holding_days(best)
    if gap >= walk.test_days:
        return step(f"the longest holding period in training, {gap} days, leaves no days for the test", gap)
    try:
        result = bench.result(by_strategy(best.params), start=window.tested_from(gap), end=window.test_end)
    except BotkitError as error:
        return step(f"the test could not run: {error}", gap)
    return step("", gap, result, _closing_cost(bench, result, window.test_end))


def _holding_days(best: Trial) -> int:
    seconds = best.summary.get("longest_holding_s")
    return math.ceil(seconds / 86_400) if isinstance(seconds, (int, float)) else 0


def _closing_cost(bench: Bench, result: BacktestResult, end: Nanos) -> float:
    """Return the cost of closing all remaining positions (taker fee and slippage) in the valuation currency."""
    section = bench.project.config.backtest
    rates = bench.project.fee_model(section.fees, "backtest.fees").rates(end)
    share = rates.taker_e8 / 1e8 + float(section.slippage or 0)
    prices = {str(prices.pair): prices.close[-1] for prices in result.prices if len(prices.close)}
    rate = {str(fill.pair): fill.value / (fill.value_units / 1e8) for fill in result.fills if fill.value_units}
    held = math.fsum(
        abs(lot.units) / 1e8 * prices.get(str(lot.pair), 0.0) * rate.get(str(lot.pair), 1.0)
        for lot in result.open_lots
        if not lot.is_given
    )
    return held * share


def _figures(steps: Sequence[Step]) -> dict[str, Any]:
    returns = [value for step in steps for value in step.returns]
    equity, peak, fall = 1.0, 1.0, 0.0
    for step in steps:
        # of a peak in an earlier test, or in the same one
        fall = max(fall, 1 - equity * step.low / peak, step.max_drawdown)
        peak = max(peak, equity * step.high)
        equity *= step.growth
        fall = max(fall, 1 - equity / peak)
    trained = [step.best.summary for step in steps if step.best is not None]
    ratios = [float(row["sharpe"]) for row in trained if row.get("sharpe") is not None]
    tested = [step for step in steps if step.best is not None and not step.reason]
    return {
        "return": equity - 1,
        "sharpe": sharpe(returns),
        "cagr": cagr(returns),
        "max_drawdown": fall,
        "trades": sum(step.trades for step in steps),
        "days": len(returns),
        "windows": len(steps),
        "winning_windows": sum(step.growth > 1 for step in tested) / len(tested) if tested else None,
        "in_sample_sharpe": math.fsum(ratios) / len(ratios) if ratios else None,
        "efficiency": _efficiency(tested),
    }


def _efficiency(steps: Sequence[Step]) -> float | None:
    """Return the mean log growth per day tested as a fraction of that per day of training, or None if training lost
    money. The days of the gaps are in neither.
    """
    trained = tested = train_days = test_days = 0.0
    for step in steps:
        assert step.best is not None
        earned = step.best.summary.get("return")
        if not isinstance(earned, (int, float)) or earned <= -1 or step.growth <= 0:
            return None
        trained += math.log1p(earned)
        tested += math.log(step.growth)
        train_days += (step.window.train_end - step.window.train_start) / NS_PER_DAY
        test_days += (step.window.test_end - step.test_start) / NS_PER_DAY
    if not steps or trained <= 0:
        return None
    return (tested / test_days) / (trained / train_days)


def _figure(result: BacktestResult | None, name: str) -> float | None:
    value = None if result is None else result.summary.get(name)
    return float(value) if isinstance(value, (int, float)) else None


def _plain(step: Step) -> dict[str, Any]:
    best = step.best
    return {
        "number": step.window.number,
        "train": [step.window.train_start, step.window.train_end],
        "test": [step.test_start, step.window.test_end],
        "params": None if best is None else best.params,
        "in_sample": step.in_sample,
        "out_of_sample": step.out_of_sample,
        "return": step.test_return,
        "closing_cost": step.closing_cost,
        "trades": step.trades,
        "gap_days": step.gap_days,
        "reason": step.reason,
        "journal_sha256": step.journal_sha256,
    }


def summary_json(result: WalkResult) -> str:
    """Return the result as JSON text."""
    return json.dumps(result.plain(), ensure_ascii=False, allow_nan=False)
