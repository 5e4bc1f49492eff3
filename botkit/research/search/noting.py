"""Records a search's trials in the ledger of looks, and computes the Sharpe ratio that luck alone would achieve given
the number of looks.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from botkit.assembly.operations import state_root
from botkit.config.show import resolved
from botkit.model.clock import Nanos
from botkit.model.results import BacktestResult
from botkit.plugins.discovery import PLUGIN_MODULE
from botkit.project.project import Project
from botkit.research.looks import (
    Look,
    LookLedger,
    LooksError,
    Market,
    content_hash,
    distinct,
    is_test_running,
)
from botkit.research.luck.sharpe import expected_best, of_days, variance_by_luck
from botkit.research.search.asked import plain_parameters
from botkit.research.search.axes import Point
from botkit.research.search.study import BATCH, Evaluation, TrialRun
from botkit.research.search.worker import by_strategy, daily_returns
from botkit.version import __version__

#: folders of installed packages
_INSTALLED = {"site-packages", "dist-packages"}

__all__ = ["Luck", "NotedLooks", "code_hash", "config_hash", "note_backtest"]


class Luck(msgspec.Struct, frozen=True):
    """The number of looks at this market, and the annual Sharpe ratio that the best of these looks would achieve
    without any skill over the full ``days`` of one trial: of the search's span, or of a walk-forward's training window.
    The ratio is None if there are too few days.
    """

    looks: int
    days: int
    sharpe_by_luck: float | None


class NotedLooks:
    """Records a search's looks in batches, and counts all looks at the search's market.

    Every backtest that ran is a look at the days that it covered. A pruned trial is one too: it was compared with the
    others and discarded, so the best has been chosen from among more. A trial's backtests over parts of the span count
    together with the one over all of it, because a look is counted by its code, configuration and parameters.
    """

    def __init__(
        self, project: Project, start: Nanos, end: Nanos, *, is_synthetic: bool, fixed: Point, command: str
    ) -> None:
        self._ledger = LookLedger(state_root())
        self._project = project
        self._is_synthetic = is_synthetic
        #: the markets of the trials: the configuration's own market, and others if pairs are searched
        self._markets: dict[tuple[tuple[str, Any], ...], Market] = {}
        self.code = code_hash(project)
        self.config = config_hash(project)
        self._command = command
        self._span = start, end
        self._fixed = fixed
        self._waiting: list[tuple[Market, Look]] = []
        self._is_off = is_test_running()
        self._days = 0  # of the longest trial
        self.notes: list[str] = []

    def add(self, job: TrialRun, evaluation: Evaluation) -> None:
        """Record a backtest as a look, unless it failed."""
        if evaluation.error or self._is_off:
            return
        self._days = max(self._days, len(_full_days(evaluation.returns)))
        start, end = job.span(*self._span)
        look = Look(
            code=self.code,
            config=self.config,
            params={**self._fixed, **job.point},
            start=start,
            end=end,
            noted=time.time_ns(),
            command=self._command,
            first_day=evaluation.first_day,
            returns=evaluation.returns,
            trades=int(evaluation.summary.get("round_trips") or 0),
        )
        self._waiting.append((self._market_of(job.point), look))
        if len(self._waiting) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Write the pending looks. If the ledger cannot be written, the problem is reported and the search
        continues.
        """
        try:
            for market in dict.fromkeys(market for market, _ in self._waiting):
                self._ledger.note(market, [look for of, look in self._waiting if of == market])
        except LooksError as error:
            self._is_off = True
            self.notes.append(f"the looks are not recorded: {error}")
        # cleared only after the write, because an interrupted search flushes again and recording a look twice has no
        # effect
        self._waiting = []

    def _market_of(self, point: Point) -> Market:
        """Return the market of a trial, whose parameters may select the pairs."""
        chosen = tuple((name, value) for name, value in point.items() if str(value) in self._project.pairs)
        if chosen not in self._markets:
            project = self._project.with_parameters(by_strategy(dict(chosen))) if chosen else self._project
            uses = [strategy.use for strategy in project.config.strategies]
            pairs = [str(pair) for pair in project.bot_pairs()]
            self._markets[chosen] = Market.of(uses, pairs, is_synthetic=self._is_synthetic)
        return self._markets[chosen]

    def luck(self) -> Luck | None:
        """Return the ratio that the best of all looks would achieve by luck, or None if the ledger cannot be read.

        If pairs were searched, the looks at all of these pairs count, because the best pair was chosen among them.
        """
        start, end = self._span
        markets = dict.fromkeys(self._markets.values()) or [self._market_of({})]
        try:
            looks = [look for market in markets for look in distinct(self._ledger.looks(market, start, end))]
        except LooksError:
            return None
        days = self._days or max((len(_full_days(look.returns)) for look in looks), default=0)
        if len(looks) < 2 or days < 30:
            return Luck(len(looks), days, None)
        # the variance of a ratio without skill is 1 / days, so a ratio over other days is put on the scale of a trial's
        own = [_full_days(look.returns) for look in looks]
        ratios = np.array([_ratio(full) * math.sqrt(len(full) / days) for full in own])
        return Luck(len(looks), days, expected_best(len(looks), variance_by_luck(ratios, days)) * math.sqrt(365))


def _full_days(returns: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return the returns of the full days. Partial days, whose return is NaN, are no days of a Sharpe ratio."""
    found = np.array(returns, dtype=np.float64)
    return found[~np.isnan(found)]


def _ratio(full_days: npt.NDArray[np.float64]) -> float:
    return float(of_days(full_days)) if len(full_days) > 1 else 0.0


def note_backtest(project: Project, result: BacktestResult) -> list[str]:
    """Record a backtest whose result the user looked at. If it cannot be recorded, returns sentences that explain the
    reason to the user.
    """
    looks = NotedLooks(
        project,
        result.start,
        result.end,
        is_synthetic=bool(result.data.synthetic),
        fixed=plain_parameters(project),
        command="backtest",
    )
    first_day, returns = daily_returns(result.days)
    looks.add(TrialRun(0, {}), Evaluation(dict(result.summary), "", "", first_day, returns))
    looks.flush()
    return looks.notes


def code_hash(project: Project) -> str:
    """Return a hash of the strategies' source files, of the imported modules beside them, and of botkit's version."""
    parts = [__version__]
    for strategy in project.config.strategies:
        registration = project.plugins.pick("strategies", strategy.use, "")
        own = Path(registration.file)
        for file in (own, *_modules_beside(own)):
            with suppress(OSError):
                parts.append(hashlib.sha256(file.read_bytes()).hexdigest())
    return content_hash(parts)


def _modules_beside(file: Path) -> list[Path]:
    """Return the sorted files of the imported modules in the folder of a strategy's file, at any depth.

    Other plugins of the folder are left out, because a change to them changes no trial. So are modules installed beside
    a plugin: the folder of a one-file plugin that is installed is that of all packages.
    """
    folder = file.resolve().parent
    if folder.name in _INSTALLED:
        return []
    found = set()
    for name, module in list(sys.modules.items()):
        text = getattr(module, "__file__", None)
        if not isinstance(text, str) or name == "__main__" or name.startswith(PLUGIN_MODULE):
            continue
        path = Path(text).resolve()
        if path.is_relative_to(folder) and not _INSTALLED & set(path.relative_to(folder).parts):
            found.add(path)
    return sorted(found - {file.resolve()})


def config_hash(project: Project) -> str:
    """Return a hash of the configuration without its seed and parameters."""
    return content_hash(_without_seed(resolved(project.loaded)))


def _without_seed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without its seed and its parameters. A look records the parameters separately."""
    plain: dict[str, Any] = json.loads(json.dumps(config, default=str))
    plain.pop("seed", None)
    for strategy in plain.get("strategies") or ():
        strategy.pop("params", None)
    return plain
