"""The recipe of a recorded run: the configuration and settings from which its engine can be rebuilt."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from botkit.config.simulated import FeesConfig
from botkit.errors import ConfigError
from botkit.model.clock import Nanos
from botkit.model.listed_pairs import own_pairs
from botkit.model.pairs import Pair, PairRules
from botkit.project.project import Project


def recipe_of(
    project: Project, mode: str, *, speed: float, latest_accept_ns: Nanos, fees: FeesConfig, pairs: Iterable[Pair]
) -> dict[str, Any]:
    """Return a bot's configuration and its run's settings as plain JSON values without secrets."""
    loaded = project.loaded
    return {
        "config": str(loaded.path.absolute()),
        "config_sha256": hashlib.sha256(loaded.path.read_bytes()).hexdigest(),
        "overrides": list(loaded.overrides),
        "folder": str(Path.cwd()),
        "mode": mode,
        "speed": speed,
        "latest_accept_ns": latest_accept_ns,
        "fees": msgspec.to_builtins(fees),
        "pairs": {str(pair): msgspec.to_builtins(pair.rules) for pair in pairs},
    }


def recorded_project(recipe: Mapping[str, Any], config: Path | None) -> Project:
    """Return a recorded run's configuration, with the pairs as they were during the run. ``config`` replaces the run's
    own configuration.

    Raises ConfigError if the configuration is missing or has changed.
    """
    path = config or Path(recipe["config"])
    if config is None:
        _check_unchanged(path, recipe["config_sha256"])
    with contextlib.chdir(recipe["folder"]) if Path(recipe["folder"]).is_dir() else contextlib.nullcontext():
        project = Project.load(path, overrides=recipe["overrides"])
    rules = {name: msgspec.convert(found, PairRules) for name, found in recipe["pairs"].items()}
    project.pairs = {**project.pairs, **{name: Pair(name, found) for name, found in rules.items()}}
    project.pairs = own_pairs(project.pairs)
    return project


def recorded_fees(recipe: Mapping[str, Any]) -> FeesConfig:
    """Return the run's fees. Raises ConfigError."""
    try:
        return msgspec.convert(recipe["fees"], FeesConfig, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"the recorded run's fees cannot be read: {error}") from None


def _check_unchanged(path: Path, sha256: str) -> None:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: the run's configuration cannot be read ({error.strerror}); use --config") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ConfigError(
            f"{path}: the configuration has changed since the run; use --config {path} to replay it anyway"
        )
