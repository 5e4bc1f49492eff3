"""Runs a search on a configuration: validates its settings, runs trials, stores the results, and records every look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import pandas as pd

from botkit.config.load import with_parameters
from botkit.config.show import resolved_yaml
from botkit.project.project import Project
from botkit.report.study import render_study
from botkit.research.bench import Bench
from botkit.research.search.asked import Asked, SearchSettings, asked
from botkit.research.search.cluster import Cluster
from botkit.research.search.folder import SEARCHES, SearchFolder, newest_search, next_search
from botkit.research.search.interrupts import Interrupts
from botkit.research.search.noting import Luck, NotedLooks
from botkit.research.search.objectives import Objective
from botkit.research.search.page import search_page
from botkit.research.search.pool import InProcess, ProcessPool
from botkit.research.search.runners import make_runner
from botkit.research.search.study import BATCH, Evaluation, Study, Trial, TrialRun, explain_no_value, ranked
from botkit.research.search.worker import BenchRecipe, bench_of, by_strategy, evaluator, span_of
from botkit.version import __version__

__all__ = ["Progress", "SearchResult", "search", "search_here"]


class Progress(msgspec.Struct, frozen=True):
    """The progress of a search: the number of completed trials, the total number of trials (None if unknown), and the
    best trial so far.
    """

    ended: int
    trials: int | None
    best: Trial | None


class SearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a search. ``trials`` is ordered by trial number; ``ranking`` is ordered from best to worst.

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
        """The best trial, or None if no trial has a value."""
        first = self.ranking[0] if self.ranking else None
        return first if first is not None and first.value is not None else None

    def frame(self) -> pd.DataFrame:
        """Return the trials from best to worst as a DataFrame: ``trial``, each parameter, ``value``, ``state``,
        ``reason`` and every metric of the summary.
        """
        import pandas as pd

        rows = [
            {
                "trial": trial.number,
                **trial.params,
                "value": trial.value,
                "state": trial.state,
                "reason": trial.reason,
                **trial.summary,
            }
            for trial in self.ranking
        ]
        return pd.DataFrame(rows)

    def plain(self) -> dict[str, Any]:
        """Return the JSON object for ``--json``."""
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
    """Search a configuration's parameters. Ctrl-C stops the search early and keeps the completed trials.

    ``progress`` is called after every trial. ``tell`` receives sentences for the user while the search runs.

    Raises ConfigError or DataError if the search cannot run. In that case, nothing has been written.
    """
    project = Project.load(recipe.config, overrides=recipe.overrides)
    seed = project.config.seed if recipe.seed is None else recipe.seed
    wanted = asked(project, settings, seed)  # validate the settings before opening the data
    bench = bench_of(project, recipe)
    return _search(
        bench, settings, wanted, lambda: make_runner(project, recipe, settings, wanted.trials, tell), progress
    )


def search_here(
    bench: Bench,
    settings: SearchSettings,
    progress: Callable[[Progress], None] = lambda progress: None,
    objective: Objective | None = None,
) -> SearchResult:
    """Run a search as `search` does, but on a bench in this process and one trial at a time. ``objective`` replaces the
    objective in the settings.
    """
    wanted = asked(bench.project, settings, bench.seed, objective)
    return _search(bench, settings, wanted, lambda: InProcess(lambda: evaluator(bench)), progress)


def _search(
    bench: Bench,
    settings: SearchSettings,
    wanted: Asked,
    make: Callable[[], InProcess | ProcessPool | Cluster],
    progress: Callable[[Progress], None],
) -> SearchResult:
    project, seed = bench.project, wanted.seed
    start, end = span_of(bench)
    looks = NotedLooks(project, start, end, is_synthetic=bench.feed.synthetic, fixed=wanted.fixed, command="optimize")
    objective, trials = wanted.objective, wanted.trials
    definition = {
        "botkit": __version__,
        "code": looks.code,
        "config": looks.config,
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
    ended: list[Trial] = []
    best: list[Trial] = []

    def on_trial(trial: Trial) -> None:
        ended.append(trial)
        best[:] = ranked([*best, trial], objective)[:1]
        progress(Progress(len(ended), trials, best[0] if best[0].value is not None else None))

    was_interrupted = False
    with Interrupts() as interrupts, ExitStack() as stack:
        with interrupts.at_once():
            runner = make()
        stack.callback(runner.close)
        with SearchFolder(_folder(project, settings), definition, is_continued=settings.is_continued) as folder:

            def on_evaluation(job: TrialRun, evaluation: Evaluation) -> None:
                folder.add(job, evaluation)
                looks.add(job, evaluation)

            study = Study(
                wanted.sampler(),
                objective,
                runner,
                trials=trials,
                min_trades=settings.min_trades,
                prune=settings.prune,
                # workers on other machines have no information about seals
                span=(start, end),
                known=folder.known,
                on_evaluation=on_evaluation,
                on_trial=on_trial,
                interrupts=interrupts,
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
            luck = looks.luck()
            notes = [*_notes(ended, order, objective), *looks.notes]
            page = search_page(
                *(project.config.name, settings.objective, ended, order),
                is_synthetic=bench.feed.synthetic,
                luck=luck,
                notes=notes,
            )
            folder.write_page(render_study(page))
    return SearchResult(
        trials=ended,
        ranking=order,
        objective=settings.objective,
        folder=folder.path,
        best_config=written,
        is_synthetic=bench.feed.synthetic,
        luck=luck,
        notes=notes,
        # this also handles a Ctrl-C pressed after the last trial has completed
        was_interrupted=was_interrupted or interrupts.came,
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


def _notes(trials: Sequence[Trial], order: Sequence[Trial], objective: Objective) -> list[str]:
    notes = []
    if trials and order[0].value is None:
        notes.append(explain_no_value(trials, objective))
    failed = [trial for trial in trials if trial.state == "failed"]
    if failed:
        notes.append(
            f"{len(failed)} of {len(trials)} trials failed, such as trial {failed[0].number}: {failed[0].reason}"
        )
    return notes
