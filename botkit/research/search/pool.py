"""Runs trials in this process, or in worker processes on this machine.

Each worker loads the project and the tape once. If a worker dies, only its current trial is lost: the pool is restarted
and the trial runs again. A trial that kills its worker twice is marked as failed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from botkit.errors import BotkitError, ConfigError
from botkit.research.search.interrupts import NEVER, Interrupts, born_deaf
from botkit.research.search.study import Evaluation, TrialRun

__all__ = ["Evaluate", "InProcess", "ProcessPool"]

#: runs one job
Evaluate = Callable[[TrialRun], Evaluation]

#: how often the driver checks for Ctrl-C while all workers are busy
_LOOK_S = 0.2

# set once when a worker process starts: the function that runs jobs, or the error that prevents jobs from running
_evaluate: Evaluate | None = None
_unprepared: BotkitError | None = None


class InProcess:
    """Runs trials sequentially in this process."""

    def __init__(self, make: Callable[[], Evaluate]) -> None:
        self._evaluate = make()

    def run(
        self,
        jobs: Sequence[TrialRun],
        done: Callable[[TrialRun, Evaluation], None],
        interrupts: Interrupts = NEVER,
    ) -> None:
        """Run ``jobs`` in order."""
        for job in jobs:
            with interrupts.at_once():
                evaluation = self._evaluate(job)
            done(job, evaluation)

    def close(self) -> None:
        """Do nothing: there are no workers."""


class ProcessPool:
    """Runs trials in ``count`` processes. ``make`` prepares each process and must be picklable. ``clean`` is called
    after all processes have exited.
    """

    def __init__(self, make: Callable[[], Evaluate], count: int, clean: Callable[[], None] = lambda: None) -> None:
        """Start the pool. Raises ConfigError if ``count`` is below 1."""
        self._clean = clean
        if count < 1:
            raise ConfigError(f"--jobs {count}: must be at least 1")
        self._make = make
        self._count = count
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        # spawn, because a fork would copy locks held by threads, and Windows has no fork
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._count, mp_context=context, initializer=_prepare, initargs=(self._make,))

    def run(
        self,
        jobs: Sequence[TrialRun],
        done: Callable[[TrialRun, Evaluation], None],
        interrupts: Interrupts = NEVER,
    ) -> None:
        """Run ``jobs``, calling ``done`` for each one when it finishes."""
        deaths: dict[int, int] = {}
        left = {job.number: job for job in jobs}
        while left:
            # After a worker has died, it is unknown which trial killed it. Run one trial at a time, so that the next
            # crash identifies the trial.
            wide = self._count if not deaths else 1
            if not self._pass(list(left.values()), wide, left, deaths, done, interrupts):
                self._pool.shutdown(wait=True, cancel_futures=True)
                self._pool = self._start()

    def _pass(
        self,
        jobs: Sequence[TrialRun],
        wide: int,
        left: dict[int, TrialRun],
        deaths: dict[int, int],
        done: Callable[[TrialRun, Evaluation], None],
        interrupts: Interrupts,
    ) -> bool:
        """Run the remaining jobs until all have finished or a worker has died. Returns False if a worker has died."""
        waiting = list(reversed(jobs))
        running: dict[Future[Evaluation], TrialRun] = {}
        while waiting or running:
            try:
                while waiting and len(running) < wide:
                    job = waiting.pop()
                    with born_deaf():  # the first call starts the processes
                        running[self._pool.submit(_run, job)] = job
                ended, _ = wait(running, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
                for future in ended:
                    job = running[future]
                    evaluation = future.result()
                    del running[future], left[job.number]
                    done(job, evaluation)
                interrupts.check()
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
                done(job, Evaluation({}, "", "its worker process died twice, perhaps for lack of memory"))

    def close(self) -> None:
        """Stop the workers and abandon running trials."""
        for process in multiprocessing.active_children():
            process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._clean()


def _prepare(make: Callable[[], Evaluate]) -> None:
    global _evaluate, _unprepared
    # the driver handles Ctrl-C: it keeps the completed trials and stops the workers; see also `born_deaf`
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _evaluate = make()
    except BotkitError as error:
        # raised by the first job, because an error in an initializer is reported only as a broken pool
        _unprepared = error


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
