"""Runs a search: gets batches of points from the sampler, runs their trials, and ranks the results.

The sampler provides up to 16 points at a time and receives their results in trial order. This order does not depend on
the number of workers or on which trial finishes first. Therefore a search yields the same result on one core as it does
on many machines.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from botkit.model.clock import Nanos
from botkit.research.search.axes import Point
from botkit.research.search.interrupts import NEVER, Interrupts
from botkit.research.search.objectives import Objective
from botkit.research.search.samplers import Sampler

__all__ = ["BATCH", "Evaluation", "Runner", "Study", "Trial", "TrialRun", "ranked"]

#: The number of points to request from the sampler at once. It does not depend on the number of workers, so the results
#: do not depend on it either.
BATCH = 16
#: this many batches run together if neither the sampler nor pruning depends on their results
_TOGETHER = 8
#: with pruning, the fractions of the span after which the trials in a batch are compared
RUNGS = (0.25, 0.5)
#: the minimum number of trials for a comparison
_PRUNE_FROM = 4


class TrialRun(msgspec.Struct, frozen=True):
    """A backtest of trial ``number`` with the parameters ``point``, over the first ``share`` of the span.

    ``start`` and ``end`` are the span in nanoseconds, end exclusive. None means the worker's default span.
    """

    number: int
    point: Point
    share: float = 1.0
    start: Nanos | None = None
    end: Nanos | None = None

    def span(self, start: Nanos, end: Nanos) -> tuple[Nanos, Nanos]:
        """Return the span that the backtest covers, end exclusive. [start, end) is the worker's default span."""
        begin = start if self.start is None else self.start
        until = end if self.end is None else self.end
        return begin, until if self.share == 1 else begin + int((until - begin) * self.share)


class Evaluation(msgspec.Struct, frozen=True):
    """The result that a worker returns for a job. ``error`` is the reason why the job could not run, or "" if it ran.

    ``returns`` are daily returns starting on day ``first_day`` (days since 1970), for the ledger of looks. They are not
    stored with the trial.
    """

    summary: dict[str, Any]
    journal_sha256: str
    error: str = ""
    first_day: int = 0
    returns: tuple[float, ...] = ()


class Trial(msgspec.Struct, frozen=True):
    """A finished trial.

    ``state`` is ``done``, ``few_trades``, ``no_value`` (the objective is undefined), ``pruned``, or ``failed`` (the
    backtest could not run; ``reason`` explains why). ``value`` is the objective, which only ``done`` trials have.
    """

    number: int
    params: Point
    state: str
    value: float | None
    reason: str
    summary: dict[str, Any]
    journal_sha256: str


class Runner(Protocol):
    """Runs backtests in this process, in other processes, or on other machines."""

    def run(
        self,
        jobs: Sequence[TrialRun],
        done: Callable[[TrialRun, Evaluation], None],
        interrupts: Interrupts = NEVER,
    ) -> None:
        """Run ``jobs`` and call ``done`` for each one when it finishes, in any order. Raises KeyboardInterrupt soon
        after Ctrl-C, but never while ``done`` is running.
        """


class Study:
    """A search over the points of one sampler."""

    def __init__(
        self,
        sampler: Sampler,
        objective: Objective,
        runner: Runner,
        *,
        trials: int,
        min_trades: int,
        prune: bool,
        span: tuple[Nanos, Nanos] | None = None,
        known: Mapping[tuple[int, float], Evaluation],
        on_evaluation: Callable[[TrialRun, Evaluation], None],
        on_trial: Callable[[Trial], None],
        interrupts: Interrupts = NEVER,
    ) -> None:
        """Prepare a search. ``trials`` is the maximum number of trials. ``span`` is the span of every trial; None means
        the workers' default.

        ``known`` contains evaluations from an earlier session by (number, share), which are not run again.
        ``on_evaluation`` receives each new evaluation when it completes, and ``on_trial`` receives each trial in order.
        """
        self._sampler = sampler
        self._objective = objective
        self._runner = runner
        self._most = trials
        self._min_trades = min_trades
        self._prune = prune
        self._span = span
        self._known = known
        self._on_evaluation = on_evaluation
        self._on_trial = on_trial
        self._interrupts = interrupts
        self._rungs: dict[float, list[float]] = {rung: [] for rung in RUNGS}
        self.trials: list[Trial] = []

    def run(self) -> list[Trial]:
        """Run the search to completion and return its trials, ordered by number. Raises ConfigError."""
        while len(self.trials) < self._most:
            self._interrupts.check()
            points = self._sampler.ask(min(BATCH, self._most - len(self.trials)))
            if not points:
                break
            if self._prune or self._sampler.learns:
                trials = self._run_batch(self._jobs(points))
                self._sampler.tell(points, [self._objective.rank(trial.value) for trial in trials])
                for trial in trials:
                    self._add(trial)
            else:
                self._run_together(points)
        return self.trials

    def _jobs(self, points: Sequence[Point]) -> list[TrialRun]:
        first = len(self.trials)
        begin, end = self._span or (None, None)
        return [TrialRun(first + i, point, 1.0, begin, end) for i, point in enumerate(points)]

    def _add(self, trial: Trial) -> None:
        self.trials.append(trial)
        self._on_trial(trial)

    def _run_together(self, points: list[Point]) -> None:
        """Run several batches whose trials do not depend on each other, starting with ``points``, so that no worker
        waits for the others at the end of each. Each trial is added as soon as all earlier ones have been.
        """
        for _ in range(_TOGETHER - 1):
            more = self._sampler.ask(min(BATCH, self._most - len(self.trials) - len(points)))
            if not more:
                break
            points = points + more
        ended: dict[int, Trial] = {}

        def done(job: TrialRun, evaluation: Evaluation) -> None:
            ended[job.number] = self._judge(job, evaluation)
            while (trial := ended.pop(len(self.trials), None)) is not None:
                self._add(trial)

        try:
            self._evaluate(self._jobs(points), done)
        finally:
            for _, trial in sorted(ended.items()):  # after Ctrl-C, those that finished before an earlier one
                self._add(trial)

    def _run_batch(self, batch: Sequence[TrialRun]) -> list[Trial]:
        ended: dict[int, Trial] = {}
        going = list(batch)
        for rung in RUNGS if self._prune else ():
            found = self._evaluate([msgspec.structs.replace(job, share=rung) for job in going])
            for job in going:
                evaluation = found[job.number]
                if evaluation.error:
                    ended[job.number] = _failed(job, evaluation)
            going = [job for job in going if job.number not in ended]
            for job, value in self._pruned(rung, going, found):
                reason = f"pruned after {rung:.0%} of the span, at {value:.4g}"
                evaluation = found[job.number]
                ended[job.number] = Trial(job.number, job.point, "pruned", None, reason, evaluation.summary, "")
            going = [job for job in going if job.number not in ended]
        found = self._evaluate(going)
        for job in going:
            ended[job.number] = self._judge(job, found[job.number])
        return [ended[job.number] for job in batch]

    def _evaluate(
        self, jobs: Sequence[TrialRun], then: Callable[[TrialRun, Evaluation], None] = lambda job, evaluation: None
    ) -> dict[int, Evaluation]:
        """Return the evaluations of ``jobs``, including those from an earlier session. Each is passed to ``then`` once
        it is known.
        """
        found: dict[int, Evaluation] = {}
        missing = []
        for job in jobs:
            known = self._known.get((job.number, job.share))
            if known is None:
                missing.append(job)
            else:
                found[job.number] = known
                then(job, known)

        def done(job: TrialRun, evaluation: Evaluation) -> None:
            found[job.number] = evaluation
            self._on_evaluation(job, evaluation)
            then(job, evaluation)

        if missing:
            self._runner.run(missing, done, self._interrupts)
        assert len(found) == len(jobs), (len(found), len(jobs))
        return found

    def _pruned(
        self, rung: float, jobs: Sequence[TrialRun], found: Mapping[int, Evaluation]
    ) -> Iterable[tuple[TrialRun, float]]:
        """Return the trials whose value is below the median of all trials that have reached this rung, including those
        in this batch.
        """
        values: dict[int, float] = {}
        for job in jobs:
            value = self._objective.rank(self._objective.figure(found[job.number].summary))
            # never prune a trial whose objective is still undefined this early in the span
            if value is not None:
                values[job.number] = value
        self._rungs[rung] += values.values()
        if len(self._rungs[rung]) < _PRUNE_FROM:
            return []
        median = statistics.median(self._rungs[rung])
        return [(job, values[job.number]) for job in jobs if values.get(job.number, median) < median]

    def _judge(self, job: TrialRun, evaluation: Evaluation) -> Trial:
        if evaluation.error:
            return _failed(job, evaluation)
        # intern the keys, so that they are stored only once for ten thousand summaries
        summary = {sys.intern(key): value for key, value in evaluation.summary.items()}
        value = self._objective.figure(summary)
        trades = int(summary.get("round_trips") or 0)
        state, reason = "done", ""
        if trades < self._min_trades:
            state, reason = "few_trades", f"{trades} trades, fewer than {self._min_trades}"
        elif value is None:
            why = self._objective.nothing_lost(summary)
            is_undefined = f"{self._objective.text} is undefined"
            state, reason = "no_value", f"{is_undefined}, because {why}" if why else is_undefined
        return Trial(
            job.number,
            job.point,
            state,
            value if state == "done" else None,
            reason,
            summary,
            evaluation.journal_sha256,
        )


def ranked(trials: Iterable[Trial], objective: Objective) -> list[Trial]:
    """Return the trials from best to worst. Ties are ordered by trial number. Trials without a value come last, by
    number.
    """

    def key(trial: Trial) -> tuple[bool, float, int]:
        rank = objective.rank(trial.value)
        return rank is None, -(rank or 0.0), trial.number

    return sorted(trials, key=key)


def explain_no_value(trials: Sequence[Trial], objective: Objective) -> str:
    """Return a sentence that explains why no trial has a value."""
    reasons = [trial.reason for trial in trials]
    most = max(set(reasons), key=reasons.count)
    return f"none of {len(trials)} trials has a value for {objective.text}; the most frequent reason: {most}"


def _failed(job: TrialRun, evaluation: Evaluation) -> Trial:
    return Trial(job.number, job.point, "failed", None, evaluation.error, {}, "")
