"""The projects of one command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from botkit.config.load import overrides_for
from botkit.config.several import clashes
from botkit.errors import BotkitError, ConfigError
from botkit.project.project import Project


def load_projects(paths: Sequence[Path], *, overrides: Sequence[str] = ()) -> list[Project]:
    """Load the configurations given to one command. Raises ConfigError listing every mistake in them."""
    if len(paths) == 1:
        return [Project.load(paths[0], overrides=overrides)]
    projects, problems = [], []
    for path, own in zip(paths, overrides_for(paths, overrides), strict=True):
        try:
            projects.append(Project.load(path, overrides=own))
        except BotkitError as error:
            problems.append(str(error))
    problems += clashes([project.loaded for project in projects])
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    return projects


def agreed_on(projects: Sequence[Project], key: str, value: Callable[[Project], Any]) -> Project | None:
    """The first configuration that sets ``key``; None if none does.

    Raises ConfigError if another one sets it differently.
    """
    found: Project | None = None
    for project in projects:
        origins = project.loaded.origins()
        if not any((path + ".").startswith(key + ".") and origin != "default" for path, origin in origins.items()):
            continue
        if found is None:
            found = project
        elif value(project) != value(found):
            raise ConfigError(
                f"{project.loaded.where(key)}: `{key}` differs from {found.loaded.where(key)}; bots in one "
                "command share one emulator: use the same value, or run the bots separately"
            )
    return found
