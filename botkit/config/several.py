"""The configurations of one command: what keeps their bots apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from botkit.config.load import LoadedConfig


def clashes(all_loaded: Sequence[LoadedConfig]) -> list[str]:
    """What two of them must not share: their names, and their log files. A sentence for each."""
    problems = []
    names: dict[str, LoadedConfig] = {}
    logs: dict[Path, LoadedConfig] = {}
    for loaded in all_loaded:
        config = loaded.config
        # folders by these names are the same where the file system does not tell upper from lower case
        first = names.setdefault(config.name.lower(), loaded)
        if first is not loaded:
            problems.append(
                f"{loaded.where('name')}: {first.where('name')} is named {config.name!r} too, and a bot's state "
                "is kept under its name; give one of them another `name`"
            )
        if config.log.file is not None:
            other = logs.setdefault(config.log.file.absolute(), loaded)
            if other is not loaded:
                problems.append(
                    f"{loaded.where('log.file')}: {other.where('log.file')} writes the same file; give each bot "
                    "a log of its own"
                )
    return problems
