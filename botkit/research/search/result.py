"""What a search reports: its progress while it runs, and its result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import pandas as pd

from botkit.research.search.noting import Luck
from botkit.research.search.study import Trial


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
