"""What commands for a bot need of its configuration: no strategy file is imported for any of it.

A strategy file that is being edited, or that ended the bot, must not stand between the user and `botkit panic`.
"""

from __future__ import annotations

from pathlib import Path

from botkit.config.essentials import load_essentials
from botkit.config.load import LoadedConfig, load_config
from botkit.engine.money.portfolio import CapitalShare, Portfolio
from botkit.engine.money.valuation import pairs_on_the_way
from botkit.errors import BotkitError, ConfigError
from botkit.live.journal import Journal
from botkit.live.state_folder import StateFolder
from botkit.model.money import UNIT
from botkit.model.pairs import Pair
from botkit.project.plugins import assemble_plugins
from botkit.project.project import Project, exchange_facts


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


def stopped_books(project: Project, folder: StateFolder) -> Portfolio:
    """The books of a bot that does not run, neither opened nor restored, over the pairs that they know themselves.

    Raises BotkitError.
    """
    journal = Journal.open(folder.journal, read_only=True)
    try:
        with journal.reading("document portfolio"):
            positions = (journal.document("portfolio") or {}).get("positions", {})
    finally:
        journal.close()
    config, known = project.config, project.pairs
    pairs_of: dict[str, list[Pair]] = {
        name: [known[pair] for pair in pairs if pair in known] for name, pairs in positions.items()
    }
    shares = [
        CapitalShare(
            strategy=strategy.label,
            pairs=tuple(pairs_of.get(strategy.label, ())),
            capital={currency: int(amount * UNIT) for currency, amount in strategy.capital.items()}
            if isinstance(strategy.capital, dict)
            else strategy.capital_percent,
        )
        for strategy in config.strategies
    ]
    named = list(dict.fromkeys(pair for pairs in pairs_of.values() for pair in pairs))
    currency = config.currency or (named[0].quote if named else "")
    try:
        return Portfolio(
            pairs={str(pair): pair for pair in (*named, *pairs_on_the_way(known, named, currency))},
            shares=shares,
            reserve={currency: int(amount * UNIT) for currency, amount in config.reserve.items()},
            currency=currency,
        )
    except ValueError as error:
        raise ConfigError(f"{project.loaded.path}: {error}") from None
