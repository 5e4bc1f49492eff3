"""A worker that dies. It has a file of its own, because the processes of a pool load the whole file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from botkit.research.search.study import Evaluation, TrialRun


class Deadly:
    """A worker that dies at trial ``at``. If ``mark`` is given, it dies only the first time."""

    def __init__(self, at: int, mark: Path | None) -> None:
        self.at, self.mark = at, mark

    def __call__(self) -> Callable[[TrialRun], Evaluation]:
        return self.evaluate

    def evaluate(self, job: TrialRun) -> Evaluation:
        if job.number == self.at and not (self.mark and self.mark.exists()):
            if self.mark:
                self.mark.touch()
            os._exit(9)
        return Evaluation({"number": job.number}, "")
