"""A search from a configuration: checks what was asked, runs it, keeps it, and notes every look."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from botkit.assembly.operations import state_root
from botkit.config.load import with_parameters
from botkit.config.show import resolved, resolved_yaml
from botkit.engine.strategy.parameters import Parameter, parameters_of
from botkit.errors import ConfigError
from botkit.model.clock import Nanos
from botkit.model.pairs import Pair
from botkit.project.project import Project
from botkit.research.looks import (
    Look,
    LookLedger,
    LooksError,
    Market,
    content_hash,
    distinct,
    is_test_running,
    returns_matrix,
)
from botkit.research.luck.sharpe import expected_best, of_days
from botkit.research.search.axes import Axis, Choices, Point, Value, parse_axis
from botkit.research.search.cluster import Cluster
from botkit.research.search.folder import SEARCHES, SearchFolder, newest_search, next_search
from botkit.research.search.objectives import Objective
from botkit.research.search.parcel import pack
from botkit.research.search.pool import Evaluate, InProcess, ProcessPool, cores
from botkit.research.search.samplers import grid_size, make_sampler
from botkit.research.search.study import BATCH, Evaluation, Study, Trial, TrialRun, explain_no_value, ranked
from botkit.research.search.where import Where
from botkit.research.search.worker import BenchRecipe, bench_of, by_strategy, span_of
from botkit.version import __version__

__all__ = ["Luck", "Progress", "SearchResult", "SearchSettings", "search"]

#: trials of random and tpe if the user gives no number
TRIALS_DEFAULT = 100


class SearchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What to search and how. ``params`` are texts such as ``sma.fast=5:50:5``; ``trials`` None is the whole grid, or
    100 of another sampler; ``jobs`` None is one worker a core."""

    params: Sequence[str]
    where: str | None = None
    objective: str = "sharpe"
    sampler: str = "grid"
    trials: int | None = None
    min_trades: int = 30
    jobs: int | None = None
    prune: bool = False
    is_continued: bool = False
    out: Path | None = None
    cluster: str | None = None
    cluster_certs: Path | None = None
    is_insecure: bool = False


class Progress(msgspec.Struct, frozen=True):
    """How far a search has come: ``ended`` of ``trials`` (None: not known), and the best so far."""

    ended: int
    trials: int | None
    best: Trial | None


class Luck(msgspec.Struct, frozen=True):
    """How many looks at this market there were, and the annual Sharpe ratio that the best of so many reaches without
    any skill; None if the days are too few to say."""

    looks: int
    days: int
    sharpe_by_luck: float | None


class SearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """A search at its end. ``trials`` are in the order of their numbers, ``ranking`` from best to worst.

    ``notes`` are sentences that the user should read. ``luck`` is None if the looks could not be counted.
    """

    trials: list[Trial]
    ranking: list[Trial]
    objective: str
    folder: Path
    best_config: Path | None
    is_synthetic: bool
    luck: Luck | None
    notes: list[str]
    was_interrupted: bool

    @property
    def best(self) -> Trial | None:
        """The best trial; None if no trial has a value."""
        first = self.ranking[0] if self.ranking else None
        return first if first is not None and first.value is not None else None

    def plain(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        best = self.best
        return {
            "best": None if best is None else _plain(best),
            "trials": [_plain(trial) for trial in self.trials],
            "objective": self.objective,
            "folder": str(self.folder),
            "best_config": None if self.best_config is None else str(self.best_config),
            "synthetic": self.is_synthetic,
            "luck": None if self.luck is None else msgspec.to_builtins(self.luck),
            "notes": self.notes,
            "interrupted": self.was_interrupted,
        }


def search(
    recipe: BenchRecipe,
    settings: SearchSettings,
    progress: Callable[[Progress], None] = lambda progress: None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> SearchResult:
    """Search a configuration's parameters. Ctrl-C ends the search early and keeps what is done.

    ``progress`` is called after every trial, ``tell`` with sentences for the user while the search runs.

    Raises ConfigError or DataError for what cannot be searched, before anything is written.
    """
    project = Project.load(recipe.config, overrides=recipe.overrides)
    axes, fixed = _axes(project, settings.params)
    where = None if settings.where is None else Where(settings.where, {**fixed, **{a.name: 0 for a in axes}})
    objective = Objective(settings.objective)
    seed = project.config.seed if recipe.seed is None else recipe.seed
    sampler = make_sampler(settings.sampler, axes, where, fixed, seed)
    trials = _trials(settings, axes, where, fixed)
    bench = bench_of(project, recipe)  # the data is checked before a folder is made
    start, end = span_of(bench)
    code = _code_hash(project)
    definition = {
        "botkit": __version__,
        "code": code,
        "config": content_hash(_without_seed(resolved(project.loaded))),
        "seed": seed,
        "params": list(settings.params),
        "where": settings.where,
        "objective": settings.objective,
        "sampler": settings.sampler,
        "batch": BATCH,
        "min_trades": settings.min_trades,
        "prune": settings.prune,
        "start_ns": start,
        "end_ns": end,
    }
    looks = _Looks(project, code, start, end, bench.feed.synthetic, fixed)
    ended: list[Trial] = []
    best: list[Trial] = []

    def on_trial(trial: Trial) -> None:
        ended.append(trial)
        best[:] = ranked([*best, trial], objective)[:1]
        progress(Progress(len(ended), trials, best[0] if best[0].value is not None else None))

    runner = _runner(project, recipe, settings, trials, tell)
    was_interrupted = False
    try:
        with SearchFolder(_folder(project, settings), definition, is_continued=settings.is_continued) as folder:

            def on_evaluation(job: TrialRun, evaluation: Evaluation) -> None:
                folder.add(job, evaluation)
                if job.share == 1:
                    looks.add(job, evaluation)

            study = Study(
                sampler,
                objective,
                runner,
                trials=trials,
                min_trades=settings.min_trades,
                prune=settings.prune,
                known=folder.known,
                on_evaluation=on_evaluation,
                on_trial=on_trial,
            )
            try:
                study.run()
            except KeyboardInterrupt:
                was_interrupted = True
            finally:
                looks.flush()
            order = ranked(ended, objective)
            written = None
            if order and order[0].value is not None:
                written = folder.write_best(_best_yaml(project, order[0], settings.objective))
    finally:
        runner.close()
    return SearchResult(
        trials=ended,
        ranking=order,
        objective=settings.objective,
        folder=folder.path,
        best_config=written,
        is_synthetic=bench.feed.synthetic,
        luck=looks.luck(),
        notes=[*_notes(ended, order, objective), *looks.notes],
        was_interrupted=was_interrupted,
    )


def _plain(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "params": trial.params,
        "value": trial.value,
        "state": trial.state,
        "reason": trial.reason,
        "journal_sha256": trial.journal_sha256,
        "summary": trial.summary,
    }


def _axes(project: Project, texts: Sequence[str]) -> tuple[list[Axis], Point]:
    """Return the axes, and the values of all parameters that are not searched."""
    if not texts:
        raise ConfigError("there is nothing to search; give at least one --param, such as --param sma.fast=5:50:5")
    parameters: dict[str, Mapping[str, Parameter]] = {}
    fixed: Point = {}
    for strategy, spec in zip(project.config.strategies, project.specs(), strict=True):
        parameters[strategy.label] = parameters_of(type(spec.strategy))
        for name, value in spec.parameters.items():
            fixed[f"{strategy.label}.{name}"] = _plain_value(value)
    axes = [parse_axis(text, parameters, project.pairs) for text in texts]
    names = [axis.name for axis in axes]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--param {name} is given twice; give one range")
        del fixed[name]
    return axes, fixed


def _plain_value(value: Any) -> Value:
    if isinstance(value, (bool, int, float)) and not isinstance(value, Pair):
        return value
    return str(getattr(value, "value", value))


def _trials(settings: SearchSettings, axes: Sequence[Axis], where: Where | None, fixed: Point) -> int:
    if settings.trials is not None and settings.trials < 1:
        raise ConfigError(f"--trials {settings.trials}: give at least 1")
    if settings.min_trades < 0:
        raise ConfigError(f"--min-trades {settings.min_trades}: this cannot be negative")
    if not all(isinstance(axis, Choices) for axis in axes):
        return settings.trials or TRIALS_DEFAULT
    valid = grid_size(axes, where, fixed)
    if valid == 0:
        raise ConfigError(f"--where {settings.where!r}: no combination of the ranges satisfies it")
    wanted = settings.trials or (valid if settings.sampler == "grid" else TRIALS_DEFAULT)
    return min(wanted, valid)


def _runner(
    project: Project, recipe: BenchRecipe, settings: SearchSettings, trials: int, tell: Callable[[str], None]
) -> InProcess | ProcessPool | Cluster:
    if settings.cluster is not None:
        return Cluster(
            settings.cluster,
            pack(project.loaded, None if recipe.data is None else Path(recipe.data)),
            recipe,
            certificates=settings.cluster_certs,
            is_insecure=settings.is_insecure,
            tell=tell,
        )
    count = min(cores() if settings.jobs is None else settings.jobs, trials)
    make: Callable[[], Evaluate] = recipe
    return InProcess(make) if count == 1 else ProcessPool(make, count)


def _folder(project: Project, settings: SearchSettings) -> Path:
    parent = Path("out") / project.config.name / SEARCHES
    if settings.out is not None:
        return settings.out
    return newest_search(parent) if settings.is_continued else next_search(parent)


def _best_yaml(project: Project, best: Trial, objective: str) -> str:
    chosen = ", ".join(f"{name} = {value}" for name, value in best.params.items())
    return (
        f"# The best of a search: trial {best.number}, {objective} {best.value:.6g}, with {chosen}.\n"
        "# All trials: trials.jsonl. The best of many looks better than it is; see `botkit guide research`.\n"
        + resolved_yaml(with_parameters(project.loaded, by_strategy(best.params)))
    )


def _code_hash(project: Project) -> str:
    """Return a hash of the strategies' source files and of botkit's version."""
    parts = [__version__]
    for strategy in project.config.strategies:
        file = project.plugins.pick("strategies", strategy.use, "").file
        with suppress(OSError):
            parts.append(hashlib.sha256(Path(file).read_bytes()).hexdigest())
    return content_hash(parts)


def _without_seed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without its seed and without the parameters, which a look names itself."""
    plain: dict[str, Any] = json.loads(json.dumps(config, default=str))
    plain.pop("seed", None)
    for strategy in plain.get("strategies") or ():
        strategy.pop("params", None)
    return plain


def _notes(trials: Sequence[Trial], order: Sequence[Trial], objective: Objective) -> list[str]:
    notes = []
    if trials and order[0].value is None:
        notes.append(explain_no_value(trials, objective))
    failed = [trial for trial in trials if trial.state == "failed"]
    if failed:
        notes.append(
            f"{len(failed)} of {len(trials)} trials could not run; trial {failed[0].number}: {failed[0].reason}"
        )
    return notes


class _Looks:
    """Notes a search's looks in batches, and counts all that were taken at its market."""

    def __init__(self, project: Project, code: str, start: Nanos, end: Nanos, is_synthetic: bool, fixed: Point) -> None:
        self._ledger = LookLedger(state_root())
        uses = [strategy.use for strategy in project.config.strategies]
        pairs = [str(pair) for pair in project.bot_pairs()]
        self._market = Market.of(uses, pairs, is_synthetic=is_synthetic)
        self._code = code
        self._config = content_hash(_without_seed(resolved(project.loaded)))
        self._span = start, end
        self._fixed = fixed
        self._waiting: list[Look] = []
        self._is_off = is_test_running()
        self.notes: list[str] = []

    def add(self, job: TrialRun, evaluation: Evaluation) -> None:
        """Note one whole backtest."""
        if evaluation.error or self._is_off:
            return
        start, end = self._span
        self._waiting.append(
            Look(
                code=self._code,
                config=self._config,
                params={**self._fixed, **job.point},
                start=start,
                end=end,
                noted=time.time_ns(),
                command="optimize",
                first_day=evaluation.first_day,
                returns=evaluation.returns,
                trades=int(evaluation.summary.get("round_trips") or 0),
            )
        )
        if len(self._waiting) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Write the looks that wait. A ledger that cannot be written is a note, never an end of the search."""
        waiting, self._waiting = self._waiting, []
        try:
            self._ledger.note(self._market, waiting)
        except LooksError as error:
            self._is_off = True
            self.notes.append(f"the looks of this search are not noted: {error}")

    def luck(self) -> Luck | None:
        """Return what the best of all looks reaches by luck; None if the ledger cannot be read."""
        start, end = self._span
        try:
            looks = distinct(self._ledger.looks(self._market, start, end))
        except LooksError:
            return None
        days = max((len(look.returns) for look in looks), default=0)
        if len(looks) < 2 or days < 30:
            return Luck(len(looks), days, None)
        first = min(look.first_day for look in looks)
        ratios = of_days(returns_matrix(looks, first, days).T)
        return Luck(len(looks), days, expected_best(len(looks), float(np.var(ratios))) * math.sqrt(365))
