"""Loads each project once for all seeds in a process, because loading a configuration and its plugins takes longer than
a bot's life.

Lives and replays share data that is never changed: the schema's values, the plugins and the exchange's facts. Each life
or replay has its own `Project`, which creates new strategies. The first project with a given configuration is loaded by
`Project.load`, as outside a simulation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec

from botkit.config.load import LoadedConfig
from botkit.model.extension import ExchangeFacts
from botkit.model.limits import WindowLimit
from botkit.project.project import Project

#: loaded projects by configuration text, with the folder's path replaced
_READ: dict[str, Project] = {}
_load = Project.load
#: requests a second, by endpoint
_FEW_CREATES = {"create_order": 8, "create_batch": 2}


def _with_few_creates(facts: ExchangeFacts) -> ExchangeFacts:
    """Return the facts of an exchange that allows fewer creates a second than a strategy can ask for."""
    endpoints = dict(facts.limits.endpoints)
    for name, requests in _FEW_CREATES.items():
        windows = tuple(WindowLimit(requests, 1, window.scope) for window in endpoints[name].windows)
        endpoints[name] = msgspec.structs.replace(endpoints[name], windows=windows)
    return msgspec.structs.replace(facts, limits=msgspec.structs.replace(facts.limits, endpoints=endpoints))


def load_shared(path: str | Path, *, overrides: Sequence[str] = (), has_few_creates: bool = False) -> Project:
    """Return the project at ``path``. Strategy parameters may refer to files in its folder. Raises ConfigError."""
    path = Path(path)
    folder = str(path.parent)
    key = path.read_text(encoding="utf-8").replace(folder, "FOLDER")
    if overrides:
        return _load(path, overrides=overrides)
    if key not in _READ:
        _READ[key] = _load(path)
    first = _READ[key]
    then = str(first.loaded.path.parent)

    def here(value: Any) -> Any:
        return value.replace(then, folder) if isinstance(value, str) else value

    strategies = tuple(
        msgspec.structs.replace(strategy, params={name: here(value) for name, value in strategy.params.items()})
        for strategy in first.config.strategies
    )
    loaded = LoadedConfig(
        config=msgspec.structs.replace(first.config, strategies=strategies), path=path, root=first.loaded.root
    )
    return Project(loaded, first.plugins, _with_few_creates(first.facts) if has_few_creates else first.facts)


@contextlib.contextmanager
def projects_shared(*, has_few_creates: bool = False) -> Iterator[None]:
    """Make `Project.load` return shared projects until the block exits. ``has_few_creates`` lowers the limits of
    creates.
    """
    try:
        with mock.patch.object(Project, "load", partial(load_shared, has_few_creates=has_few_creates)):
            yield
    finally:
        # A dead bot's strategies would keep its whole run alive until the next one. Freed in between, its unstarted
        # requests would give their warnings to whatever test runs then.
        for project in _READ.values():
            project.plugins.release_strategies()
