"""What commands for a bot need of its configuration: no strategy file is imported for any of it.

A strategy file that is being edited, or that ended the bot, must not stand between the user and `botkit panic`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from botkit.config.essentials import load_essentials
from botkit.config.load import LoadedConfig, load_config
from botkit.engine.money.portfolio import Portfolio
from botkit.engine.money.valuation import pairs_on_the_way
from botkit.errors import BotkitError, ConfigError
from botkit.project.plugins import assemble_plugins
from botkit.project.project import Project, books_over, exchange_facts


def without_strategies(config: Path | LoadedConfig) -> Project:
    """What reaching the account takes. Only an exchange that is a plugin of the configuration's own makes importing
    its plugins necessary. Raises BotkitError."""
    loaded = load_config(config) if isinstance(config, Path) else config
    try:
        plugins = assemble_plugins(installed_only=True)
        return Project(loaded, plugins, exchange_facts(loaded, plugins))
    except BotkitError:
        plugins = assemble_plugins(loaded)
        return Project(loaded, plugins, exchange_facts(loaded, plugins))


def account_of(config: Path) -> Project:
    """What reaching the account takes, of a configuration that may have mistakes elsewhere. Raises BotkitError."""
    found = load_essentials(config)
    if not found.is_readable:
        raise ConfigError(found.problem)
    return without_strategies(found.loaded)


def stopped_books(project: Project, positions: Mapping[str, Iterable[str]]) -> Portfolio:
    """The books of a bot that does not run, neither opened nor restored. ``positions``: the pairs in which its kept
    books have positions, by strategy. Raises ConfigError."""
    known = project.pairs
    traded = {name: [known[pair] for pair in pairs if pair in known] for name, pairs in positions.items()}
    named = list(dict.fromkeys(pair for pairs in traded.values() for pair in pairs))
    currency = project.config.currency or (named[0].quote if named else "")
    pairs = {str(pair): pair for pair in (*named, *pairs_on_the_way(known, named, currency))}
    return books_over(project, pairs, traded, currency)
