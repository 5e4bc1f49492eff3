"""Detects conflicts between the configurations passed to one command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from botkit.config.load import LoadedConfig


def clashes(all_loaded: Sequence[LoadedConfig]) -> list[str]:
    """Return messages about bot names and log files that are used by more than one configuration. Each bot must have a
    unique name and log file.
    """
    problems = []
    names: dict[str, LoadedConfig] = {}
    logs: dict[Path, LoadedConfig] = {}
    for loaded in all_loaded:
        config = loaded.config
        # on case-insensitive file systems, names that differ only in case refer to the same folder
        first = names.setdefault(config.name.lower(), loaded)
        if first is not loaded:
            problems.append(
                f"{loaded.where('name')}: {first.where('name')} is also named {config.name!r}, and a bot's state "
                "is stored under its name; give one of them another `name`"
            )
        if config.log.file is not None:
            other = logs.setdefault(config.log.file.absolute(), loaded)
            if other is not loaded:
                problems.append(
                    f"{loaded.where('log.file')}: {other.where('log.file')} writes to the same file; give each bot "
                    "its own log"
                )
    return problems
