"""Chooses the points of a search: the full grid, random points, or points guided by the results of earlier trials
(tpe).

A sampler returns batches of points and receives their results in trial order. Only the driver uses the sampler, so a
search visits the same points on one core as it does on many machines.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Protocol

from botkit.errors import ConfigError
from botkit.research.search.axes import Axis, Choices, Point, Range, points_of_grid
from botkit.research.search.where import Where

__all__ = ["SAMPLERS", "Sampler", "grid_size", "make_sampler"]

SAMPLERS = ("grid", "random", "tpe")
#: a sampler gives up after this many consecutive draws without a new valid point
_DRAWS_MOST = 10_000


class Sampler(Protocol):
    """Chooses points, possibly based on the objectives of earlier points."""

    #: True if the points depend on the objectives of earlier batches
    learns: bool

    def ask(self, count: int) -> list[Point]:
        """Return up to ``count`` points to try next. Returns fewer points, or none, if the sampler has run out of
        points.
        """

    def tell(self, points: Sequence[Point], values: Sequence[float | None]) -> None:
        """Process the objectives of the last batch. Higher is better; None means that a trial has no objective."""


def make_sampler(kind: str, axes: Sequence[Axis], where: Where | None, fixed: Point, seed: int) -> Sampler:
    """Return the sampler of the given ``kind``, one of `SAMPLERS`.

    ``fixed`` contains the values of the parameters that are not searched, for use by ``where``. Raises ConfigError.
    """
    if kind == "grid":
        points_of_grid(axes)
        return _Grid(axes, where, fixed)
    if kind == "random":
        return _Random(axes, where, fixed, seed)
    if kind == "tpe":
        return _Tpe(axes, where, fixed, seed)
    raise ConfigError(f"--sampler {kind}: there is no such sampler; choose {', '.join(SAMPLERS)}")


def grid_size(axes: Sequence[Axis], where: Where | None, fixed: Point) -> int:
    """Return the number of grid points that satisfy ``where``."""
    if where is None:
        return points_of_grid(axes)
    return sum(1 for point in _grid_points(axes) if where.holds(fixed | point))


def _grid_points(axes: Sequence[Axis]) -> Iterator[Point]:
    """Yield the points of a grid. The last axis varies fastest."""
    names = [axis.name for axis in axes]
    for values in itertools.product(*(axis.values for axis in axes if isinstance(axis, Choices))):
        yield dict(zip(names, values, strict=True))


class _Grid:
    learns = False

    def __init__(self, axes: Sequence[Axis], where: Where | None, fixed: Point) -> None:
        valid = (point for point in _grid_points(axes) if where is None or where.holds(fixed | point))
        self._points = valid

    def ask(self, count: int) -> list[Point]:
        return list(itertools.islice(self._points, count))

    def tell(self, points: Sequence[Point], values: Sequence[float | None]) -> None:
        pass


class _Random:
    """Draws points uniformly, each at most once."""

    learns = False

    def __init__(self, axes: Sequence[Axis], where: Where | None, fixed: Point, seed: int) -> None:
        self._axes = axes
        self._where = where
        self._fixed = fixed
        self._random = Random(seed)
        self._seen: set[tuple[Any, ...]] = set()
        self._size = _size(axes)

    def ask(self, count: int) -> list[Point]:
        points: list[Point] = []
        draws = 0
        while len(points) < count and len(self._seen) < self._size and draws < _DRAWS_MOST:
            draws += 1
            point = {axis.name: self._draw(axis) for axis in self._axes}
            key = tuple(point.values())
            if key in self._seen:
                continue
            self._seen.add(key)
            if self._where is None or self._where.holds(self._fixed | point):
                points.append(point)
        return points

    def tell(self, points: Sequence[Point], values: Sequence[float | None]) -> None:
        pass

    def _draw(self, axis: Axis) -> Any:
        if isinstance(axis, Range):
            return axis.at(self._random.random())
        return axis.values[self._random.randrange(len(axis.values))]


class _Tpe:
    """Optuna's tree-structured Parzen estimator. It proposes points in batches, so it cannot learn within a batch."""

    learns = True

    def __init__(self, axes: Sequence[Axis], where: Where | None, fixed: Point, seed: int) -> None:
        try:
            import optuna
        except ImportError:
            raise ConfigError(
                "--sampler tpe needs Optuna: pip install 'botkit[optimize]'; grid and random need nothing"
            ) from None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna = optuna
        self._axes = axes
        self._where = where
        self._fixed = fixed
        # constant_liar spreads out the points within a batch
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(seed=seed % 2**32, multivariate=True, constant_liar=True)
        self._study = optuna.create_study(sampler=sampler, direction="maximize")
        self._asked: list[Any] = []
        self._seen: set[tuple[Any, ...]] = set()
        self._size = _size(axes)

    def ask(self, count: int) -> list[Point]:
        fail = self._optuna.trial.TrialState.FAIL
        points: list[Point] = []
        self._asked = []
        draws = 0
        while len(points) < count and len(self._seen) < self._size and draws < _DRAWS_MOST:
            draws += 1
            trial = self._study.ask()
            point = {axis.name: self._suggest(trial, axis) for axis in self._axes}
            key = tuple(point.values())
            is_valid = self._where is None or self._where.holds(self._fixed | point)
            if key in self._seen or not is_valid:
                # Optuna does not support conditions between parameters, so mark the point as a failed trial, which
                # Optuna ignores when learning.
                self._study.tell(trial, state=fail)
                self._seen.add(key)
                continue
            self._seen.add(key)
            self._asked.append(trial)
            points.append(point)
        return points

    def tell(self, points: Sequence[Point], values: Sequence[float | None]) -> None:
        fail = self._optuna.trial.TrialState.FAIL
        for trial, value in zip(self._asked, values, strict=True):
            if value is None or not math.isfinite(value):
                self._study.tell(trial, state=fail)
            else:
                self._study.tell(trial, value)
        self._asked = []

    def _suggest(self, trial: Any, axis: Axis) -> Any:
        if isinstance(axis, Range):
            return axis.at(trial.suggest_float(axis.name, 0.0, 1.0))
        if axis.is_ordered:
            return axis.values[trial.suggest_int(axis.name, 0, len(axis.values) - 1)]
        return axis.values[trial.suggest_categorical(axis.name, list(range(len(axis.values))))]


def _size(axes: Sequence[Axis]) -> float:
    """Return the number of distinct points, which is infinite if any axis has no steps."""
    return math.prod(len(axis.values) if isinstance(axis, Choices) else math.inf for axis in axes)
