"""Loads the parts of a configuration needed by commands for a bot, without importing strategy files.

A strategy file that is being edited, or that crashed the bot, must not prevent `botkit panic` from working.
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
    """Load the parts needed to reach the account. A configuration's own plugins are imported only if one of them
    provides the exchange. Raises BotkitError.
    """
    loaded = load_config(config) if isinstance(config, Path) else config
    try:
        plugins = assemble_plugins(installed_only=True)
        return Project(loaded, plugins, exchange_facts(loaded, plugins))
    except BotkitError:
        plugins = assemble_plugins(loaded)
        return Project(loaded, plugins, exchange_facts(loaded, plugins))


def account_of(config: Path) -> Project:
    """Load the same parts as `without_strategies`, from a configuration whose other parts may contain errors. Raises
    BotkitError.
    """
    found = load_essentials(config)
    if not found.is_readable:
        raise ConfigError(found.problem)
    return without_strategies(found.loaded)


def stopped_books(project: Project, positions: Mapping[str, Iterable[str]]) -> Portfolio:
    """Return the books of a bot that is not running. The books have not yet been opened or restored. ``positions``
    lists, for each strategy, the pairs in which its saved books have positions. Raises ConfigError.
    """
    known = project.pairs
    traded = {name: [known[pair] for pair in pairs if pair in known] for name, pairs in positions.items()}
    named = list(dict.fromkeys(pair for pairs in traded.values() for pair in pairs))
    currency = project.config.currency or (named[0].quote if named else "")
    pairs = {str(pair): pair for pair in (*named, *pairs_on_the_way(known, named, currency))}
    return books_over(project, pairs, traded, currency)
