"""Loads the projects for one command and checks that they are compatible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from botkit.config.ledger_address import shown_address
from botkit.config.load import overrides_for
from botkit.config.money import Claim, check_shared_money
from botkit.config.several import clashes
from botkit.engine.strategy.parameters import pairs_of
from botkit.errors import BotkitError, ConfigError
from botkit.project.project import Project


def load_projects(paths: Sequence[Path], *, overrides: Sequence[str] = ()) -> list[Project]:
    """Load the configurations of bots to run. Raises a ConfigError that lists all errors in these configurations."""
    if len(paths) == 1:
        return [_load(paths[0], overrides)]
    projects, problems = [], []
    for path, own in zip(paths, overrides_for(paths, overrides), strict=True):
        try:
            projects.append(_load(path, own))
        except BotkitError as error:
            problems.append(str(error))
    problems += clashes([project.loaded for project in projects])
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    return projects


class LimitsAgreement:
    """Checks that the configurations in one command agree on rate limits, because all of the command's bots share each
    exchange's limits.
    """

    def __init__(self) -> None:
        self._firsts: dict[str, Project] = {}

    def check(self, project: Project, venue: str, *, shares: bool) -> None:
        """Raise ConfigError if another configuration for the exchange has different limits. With ``shares``, other
        processes may use that exchange as well, so the configurations must also agree on the ledger.
        """
        first = self._firsts.setdefault(venue, project)
        together = f"the bots in one command share the limits of {venue}: use the same value in both"
        here, there = project.loaded.where("limits"), first.loaded.where("limits")
        if project.facts.limits != first.facts.limits:
            raise ConfigError(f"{here}: `limits` differs from {there}; {together}")
        if shares and project.config.limits.ledger != first.config.limits.ledger:
            one, other = (shown_address(p.config.limits.ledger or "the default") for p in (project, first))
            raise ConfigError(f"{here}: `limits.ledger` is {one}, but at {there} it is {other}; {together}")


def check_one_account(projects: Sequence[Project]) -> None:
    """Raise ConfigError if configurations for one account would count the same funds twice."""
    if len(projects) > 1:
        check_shared_money(
            [Claim(p.loaded, p.currency, [pairs_of(spec.parameters) for spec in p.specs()]) for p in projects]
        )


def agreed_on(projects: Sequence[Project], key: str, value: Callable[[Project], Any]) -> Project | None:
    """Return the first configuration that sets ``key``, or None if none does.

    Raises ConfigError if another configuration sets ``key`` differently.
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


def _load(path: Path, overrides: Sequence[str]) -> Project:
    project = Project.load(path, overrides=overrides)
    project.check_limits_of_run()
    return project
