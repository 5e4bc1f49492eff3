"""Runs trials in this process, or in worker processes of this machine.

Each worker prepares the project and maps the tape once. A worker that dies takes only its trial with it: the pool is
started again and the trial runs once more; a trial that kills its worker twice has failed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from botkit.errors import BotkitError, ConfigError
from botkit.research.search.study import Evaluation, TrialRun

__all__ = ["Evaluate", "InProcess", "ProcessPool"]

#: runs one job
Evaluate = Callable[[TrialRun], Evaluation]

# of a worker process, set once when it starts: how it runs a job, or why it cannot
_evaluate: Evaluate | None = None
_unprepared: BotkitError | None = None


class InProcess:
    """Runs trials one after the other, here."""

    def __init__(self, make: Callable[[], Evaluate]) -> None:
        self._evaluate = make()

    def run(self, jobs: Sequence[TrialRun], done: Callable[[TrialRun, Evaluation], None]) -> None:
        """Run ``jobs`` in order."""
        for job in jobs:
            done(job, self._evaluate(job))

    def close(self) -> None:
        """Do nothing: there are no workers."""


class ProcessPool:
    """Runs trials in ``count`` processes. ``make`` prepares one, and must be picklable."""

    def __init__(self, make: Callable[[], Evaluate], count: int) -> None:
        """Raises ConfigError for a count below 1."""
        if count < 1:
            raise ConfigError(f"--jobs {count}: at least one")
        self._make = make
        self._count = count
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        # spawn: a fork would copy threads' locks, and Windows has none
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._count, mp_context=context, initializer=_prepare, initargs=(self._make,))

    def run(self, jobs: Sequence[TrialRun], done: Callable[[TrialRun, Evaluation], None]) -> None:
        """Run ``jobs``, calling ``done`` as each ends."""
        deaths: dict[int, int] = {}
        left = {job.number: job for job in jobs}
        while left:
            # after a death the culprit is unknown: run one by one, so that the next death has a name
            wide = self._count if not deaths else 1
            if not self._pass(list(left.values()), wide, left, deaths, done):
                self._pool.shutdown(wait=True, cancel_futures=True)
                self._pool = self._start()

    def _pass(
        self,
        jobs: Sequence[TrialRun],
        wide: int,
        left: dict[int, TrialRun],
        deaths: dict[int, int],
        done: Callable[[TrialRun, Evaluation], None],
    ) -> bool:
        """Run what is left until all is done or a worker has died; False if one has."""
        waiting = list(reversed(jobs))
        running: dict[Future[Evaluation], TrialRun] = {}
        while waiting or running:
            try:
                while waiting and len(running) < wide:
                    job = waiting.pop()
                    running[self._pool.submit(_run, job)] = job
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    job = running[future]
                    evaluation = future.result()
                    del running[future], left[job.number]
                    done(job, evaluation)
            except BrokenProcessPool:
                self._count_deaths(running, left, deaths, done)
                return False
        return True

    @staticmethod
    def _count_deaths(
        running: dict[Future[Evaluation], TrialRun],
        left: dict[int, TrialRun],
        deaths: dict[int, int],
        done: Callable[[TrialRun, Evaluation], None],
    ) -> None:
        for job in running.values():
            deaths[job.number] = deaths.get(job.number, 0) + 1
            if len(running) == 1 and deaths[job.number] > 1:
                del left[job.number]
                done(job, Evaluation({}, "", "its worker process died twice; is the memory too small?"))

    def close(self) -> None:
        """Stop the workers; what runs is given up."""
        for process in multiprocessing.active_children():
            process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)


def _prepare(make: Callable[[], Evaluate]) -> None:
    global _evaluate, _unprepared
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's: it keeps what is done and stops the workers
    try:
        _evaluate = make()
    except BotkitError as error:
        _unprepared = error  # raised by the first job: an initializer's error would only say "broken pool"


def _run(job: TrialRun) -> Evaluation:
    if _unprepared is not None:
        raise _unprepared
    assert _evaluate is not None, "the worker was not prepared"
    return _evaluate(job)


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
