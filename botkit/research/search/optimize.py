"""Runs a search on a configuration: validates its settings, runs trials, stores the results, and records every look."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from botkit.config.load import with_parameters, with_settings
from botkit.config.show import resolved_yaml
from botkit.project.project import Project
from botkit.report.study import render_study
from botkit.research.bench import Bench
from botkit.research.search.asked import Asked, SearchSettings, asked
from botkit.research.search.cluster import Cluster
from botkit.research.search.definition import definition_of
from botkit.research.search.folder import SEARCHES, SearchFolder, newest_search, next_search
from botkit.research.search.interrupts import Interrupts
from botkit.research.search.noting import NotedLooks
from botkit.research.search.objectives import Objective
from botkit.research.search.page import search_page
from botkit.research.search.pool import InProcess, ProcessPool
from botkit.research.search.result import Progress, SearchResult
from botkit.research.search.runners import make_runner
from botkit.research.search.study import Evaluation, Study, Trial, TrialRun, explain_no_value, ranked
from botkit.research.search.worker import BenchRecipe, bench_of, by_strategy, evaluator, span_of

__all__ = ["search", "search_here"]


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
        bench,
        settings,
        wanted,
        lambda: make_runner(project, recipe, settings, wanted.trials, tell),
        progress,
        {"seed": recipe.seed, "backtest.from": recipe.start, "backtest.to": recipe.end, "backtest.data": recipe.data},
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
    given: Mapping[str, Any] = MappingProxyType({}),
) -> SearchResult:
    """Run a search. ``given`` contains settings in place of the configuration's, where they are not None."""
    span = span_of(bench)
    looks = NotedLooks(bench.project, *span, is_synthetic=bench.feed.synthetic, fixed=wanted.fixed, command="optimize")
    definition = definition_of(settings, wanted, looks, bench.feed, span)
    tally = _Tally(wanted, progress)
    with Interrupts() as interrupts, ExitStack() as stack:
        with interrupts.at_once():
            runner = make()
        stack.callback(runner.close)
        path = _folder(bench.project, settings)
        with SearchFolder(path, definition, is_continued=settings.is_continued) as folder:

            def on_evaluation(job: TrialRun, evaluation: Evaluation) -> None:
                folder.add(job, evaluation)
                looks.add(job, evaluation)

            study = Study(
                wanted.sampler(),
                wanted.objective,
                runner,
                trials=wanted.trials,
                min_trades=settings.min_trades,
                prune=settings.prune,
                # workers on other machines have no information about seals
                span=span,
                known=folder.known,
                on_evaluation=on_evaluation,
                on_trial=tally.add,
                interrupts=interrupts,
            )
            was_interrupted = _was_stopped(study, looks)
            result = _written(bench, settings, wanted.objective, tally.ended, looks, folder, given)
    # a Ctrl-C pressed after the last trial has completed counts as well
    return msgspec.structs.replace(result, was_interrupted=was_interrupted or interrupts.came)


class _Tally:
    """Collects the completed trials, and reports the progress after each."""

    def __init__(self, wanted: Asked, progress: Callable[[Progress], None]) -> None:
        self.ended: list[Trial] = []
        self._best: list[Trial] = []
        self._wanted = wanted
        self._progress = progress

    def add(self, trial: Trial) -> None:
        self.ended.append(trial)
        self._best = ranked([*self._best, trial], self._wanted.objective)[:1]
        best = self._best[0]
        self._progress(Progress(len(self.ended), self._wanted.trials, best if best.value is not None else None))


def _was_stopped(study: Study, looks: NotedLooks) -> bool:
    """Run the trials, and return whether Ctrl-C stopped them. The looks are recorded in any case."""
    try:
        study.run()
    except KeyboardInterrupt:
        return True
    finally:
        looks.flush()
    return False


def _written(
    bench: Bench,
    settings: SearchSettings,
    objective: Objective,
    ended: list[Trial],
    looks: NotedLooks,
    folder: SearchFolder,
    given: Mapping[str, Any],
) -> SearchResult:
    """Write the best configuration and the page into the folder, and return the result."""
    project = bench.project
    order = ranked(ended, objective)
    best_config = None
    if order and order[0].value is not None:
        best_config = folder.write_best(_best_yaml(project, order[0], settings.objective, given))
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
        best_config=best_config,
        is_synthetic=bench.feed.synthetic,
        luck=luck,
        notes=notes,
        was_interrupted=False,
    )


def _folder(project: Project, settings: SearchSettings) -> Path:
    parent = Path("out") / project.config.name / SEARCHES
    if settings.out is not None:
        return settings.out
    return newest_search(parent) if settings.is_continued else next_search(parent)


def _best_yaml(project: Project, best: Trial, objective: str, given: Mapping[str, Any]) -> str:
    """Return the configuration that repeats the best trial, so it contains what was ``given`` to the search alone."""
    chosen = ", ".join(f"{name} = {value}" for name, value in best.params.items())
    loaded = with_parameters(project.loaded, by_strategy(best.params))
    return (
        f"# The best of a search: trial {best.number}, {objective} {best.value:.6g}, with {chosen}.\n"
        "# All trials: trials.jsonl. The best of many looks better than it is; see `botkit guide research`.\n"
        + resolved_yaml(with_settings(loaded, {key: value for key, value in given.items() if value is not None}))
    )


def _nothing_lost(trials: Sequence[Trial], objective: Objective) -> list[str]:
    """Return a sentence about the trials that rank last only because nothing was lost in them."""
    known = [(trial, objective.nothing_lost(trial.summary)) for trial in trials if trial.state == "no_value"]
    found = [(trial, why) for trial, why in known if why is not None]
    if not found:
        return []
    trial, why = found[0]
    return [
        f"in {len(found)} of {len(trials)} trials, such as trial {trial.number}, {why}, so {objective.text} is "
        "undefined: they rank last, but are not worse than the others; compare them by another objective"
    ]


def _notes(trials: Sequence[Trial], order: Sequence[Trial], objective: Objective) -> list[str]:
    notes = []
    if trials and order[0].value is None:
        notes.append(explain_no_value(trials, objective))
    else:
        notes += _nothing_lost(trials, objective)
    failed = [trial for trial in trials if trial.state == "failed"]
    if failed:
        notes.append(
            f"{len(failed)} of {len(trials)} trials failed, such as trial {failed[0].number}: {failed[0].reason}"
        )
    return notes
