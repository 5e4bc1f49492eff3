"""Validates a search's settings against the configuration before any trial runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from botkit.engine.strategy.parameter import Parameter
from botkit.engine.strategy.parameter_classes import parameters_of
from botkit.errors import ConfigError
from botkit.model.pairs import Pair
from botkit.project.project import Project
from botkit.research.search.axes import Axis, Choices, Point, Value, parse_axis
from botkit.research.search.objectives import Objective
from botkit.research.search.samplers import Sampler, grid_size, make_sampler
from botkit.research.search.where import Where

__all__ = ["Asked", "SearchSettings", "asked", "plain_parameters", "range_texts", "where_text"]

#: the default number of trials for random and tpe
TRIALS_DEFAULT = 100


class SearchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The search space and the search method. ``params`` are strings such as ``sma.fast=5:50:5``. If ``trials`` is
    None, the grid sampler runs the full grid, and any other sampler runs 100 trials. If ``jobs`` is None, there is one
    worker per core.
    """

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


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The validated settings of a search. ``fixed`` contains the values of the parameters that are not searched."""

    axes: Sequence[Axis]
    fixed: Point
    where: Where | None
    objective: Objective
    kind: str
    trials: int
    seed: int

    def sampler(self) -> Sampler:
        """Return a new sampler that starts at trial 0."""
        return make_sampler(self.kind, self.axes, self.where, self.fixed, self.seed)


def asked(project: Project, settings: SearchSettings, seed: int, objective: Objective | None = None) -> Asked:
    """Validate a search's settings. ``objective`` replaces the objective in the settings. Raises ConfigError."""
    axes, fixed = _axes(project, settings.params)
    where = None if settings.where is None else Where(settings.where, {**fixed, **{axis.name: 0 for axis in axes}})
    found = Asked(
        axes=axes,
        fixed=fixed,
        where=where,
        objective=objective or Objective(settings.objective),
        kind=settings.sampler,
        trials=_trials(settings, axes, where, fixed),
        seed=seed,
    )
    found.sampler()  # create a sampler now, so that a missing library is reported immediately
    return found


def plain_parameters(project: Project) -> Point:
    """Return the value of every parameter in the form used in a configuration, such as ``{"sma.fast": 5}``."""
    return {
        f"{strategy.label}.{name}": _plain_value(value)
        for strategy, spec in zip(project.config.strategies, project.specs(), strict=True)
        for name, value in spec.parameters.items()
    }


def range_texts(ranges: Mapping[str, Any], labels: Sequence[str]) -> list[str]:
    """Convert ranges given in Python to the command line's format: ``{"fast": [5, 10]}`` becomes
    ``["sma.fast=5,10"]``.
    """
    texts = []
    for name, values in ranges.items():
        if isinstance(values, range):
            values = list(values)
        shown = values if isinstance(values, str) else ",".join(_shown(value) for value in _listed(name, values))
        texts.append(f"{_whole_name(name, labels)}={shown}")
    return texts


def where_text(where: str, ranges: Mapping[str, Any], labels: Sequence[str]) -> str:
    """Return a condition in which names from ``ranges`` that do not include a strategy are prefixed with the strategy's
    label.
    """
    for name in sorted(ranges, key=len, reverse=True):
        if "." not in name:
            where = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w.])", _whole_name(name, labels), where)
    return where


def _whole_name(name: str, labels: Sequence[str]) -> str:
    if "." in name:
        return name
    if len(labels) != 1:
        raise ConfigError(f"{name!r}: name the parameter's strategy too, such as {labels[0]}.{name}")
    return f"{labels[0]}.{name}"


def _listed(name: str, values: Any) -> Sequence[Any]:
    if isinstance(values, Iterable) and not isinstance(values, (bytes, Mapping)):
        return list(values)
    raise ConfigError(f"the range of {name!r} is {values!r}; pass a list of values, or text such as '5:50:5'")


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _axes(project: Project, texts: Sequence[str]) -> tuple[list[Axis], Point]:
    """Return the axes, and the values of all parameters that are not searched."""
    if not texts:
        raise ConfigError("there is nothing to search; give at least one --param, such as --param sma.fast=5:50:5")
    parameters: dict[str, Mapping[str, Parameter]] = {
        strategy.label: parameters_of(type(spec.strategy))
        for strategy, spec in zip(project.config.strategies, project.specs(), strict=True)
    }
    fixed = plain_parameters(project)
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
        raise ConfigError(f"--min-trades {settings.min_trades}: must not be negative")
    if not all(isinstance(axis, Choices) for axis in axes):
        return settings.trials or TRIALS_DEFAULT
    valid = grid_size(axes, where, fixed)
    if valid == 0:
        raise ConfigError(f"--where {settings.where!r}: no combination of the ranges satisfies it")
    wanted = settings.trials or (valid if settings.sampler == "grid" else TRIALS_DEFAULT)
    return min(wanted, valid)
