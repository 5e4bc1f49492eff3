"""Determines the funds in a configuration: opening balances, and claims by several bots that count the same funds
twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from botkit.config.load import LoadedConfig
from botkit.config.schema import BotConfig
from botkit.errors import ConfigError
from botkit.model.money import UNIT, format_units
from botkit.model.pairs import Pair

_ON_PAPER = 1_000_000


def opening_units(config: BotConfig, given: Mapping[str, Decimal] | None) -> dict[str, int] | None:
    """Return an account's opening balances in units: ``given``, or otherwise capital plus reserve. Returns None if
    neither is set.
    """
    if given is not None:
        return {currency: int(amount * UNIT) for currency, amount in given.items()}
    total: dict[str, int] = {currency: int(amount * UNIT) for currency, amount in config.reserve.items()}
    for currency, units in _fixed(config):
        total[currency] = total.get(currency, 0) + units
    return total or None


def backtest_balances(loaded: LoadedConfig, currency: str) -> dict[str, int]:
    """Return a backtest account's opening balances in units. Raises ConfigError if the configuration has none, or less
    than the reserve.
    """
    check_reserve(loaded)
    found = opening_units(loaded.config, loaded.config.backtest.balances)
    if found is None:
        raise loaded.error("backtest", f'there is no money to trade with; add `balances: {{{currency}: "1000000"}}`')
    return found


def emulator_balances(config: BotConfig) -> dict[str, int] | None:
    """Return an emulator account's opening balances: those under `emulator`, or otherwise those for backtests."""
    return opening_units(config, config.emulator.balances or config.backtest.balances)


def paper_balances(config: BotConfig, currency: str) -> dict[str, int]:
    """Return a paper account's opening balances: those of the emulator, or otherwise a default amount in
    ``currency``.
    """
    found = emulator_balances(config)
    return found if found is not None else {currency: _ON_PAPER * UNIT}


def check_reserve(loaded: LoadedConfig) -> None:
    """Raise ConfigError if a simulated account has less of a currency than its ``reserve``: nothing could be traded."""
    config = loaded.config
    for place, balances in (("backtest", config.backtest.balances), ("emulator", config.emulator.balances)):
        for currency, amount in config.reserve.items():
            has = (balances or {}).get(currency)
            if has is not None and amount > has:
                raise loaded.error(
                    f"reserve.{currency}",
                    f"the reserve of {amount:f} {currency} is more than the {has:f} {currency} in `{place}.balances`, "
                    f"so no {currency} could be traded; lower the reserve, or raise the balance",
                )


class Claim:
    """A bot's claim on the funds in an account. ``pairs`` lists each strategy's pairs, in order."""

    def __init__(self, loaded: LoadedConfig, currency: str, pairs: Sequence[Sequence[Pair]]) -> None:
        self.loaded = loaded
        self.currency = currency
        strategies = loaded.config.strategies
        #: the currencies in which strategies use the account's total balance, or a percentage of it
        self.divided: set[str] = set()
        for strategy, named in zip(strategies, pairs, strict=True):
            if not isinstance(strategy.capital, dict):
                quotes = [pair.quote for pair in named] or [currency]
                self.divided.update(quotes[:1] if strategy.capital is None else quotes)
        self.percent = sum(strategy.capital_percent or 0 for strategy in strategies)
        self.takes_all = any(strategy.capital is None for strategy in strategies)
        #: fixed amounts of capital: (currency, units)
        self.fixed = _fixed(loaded.config)


def check_shared_money(claims: Sequence[Claim]) -> None:
    """Raise ConfigError if several configurations for one account would count the same funds twice.

    Strategies without `capital`, or with a percentage, share the account's balance minus the `reserve` and do not take
    other bots into account.
    """
    problems = []
    for index, claim in enumerate(claims):
        for other in claims[index + 1 :]:
            common = sorted(claim.divided & other.divided)
            if common and (claim.takes_all or other.takes_all or claim.percent + other.percent > 100):
                example = claim.currency if claim.currency in common else common[-1]
                problems.append(
                    f"{claim.loaded.where('strategies')} and {other.loaded.where('strategies')}: both trade with "
                    f"the same account's {', '.join(common)} and would count it twice; give "
                    f'the strategies their own `capital`, such as {{{example}: "50000"}}'
                )
        given: dict[str, int] = {}
        for currency, units in (row for other in claims if other is not claim for row in other.fixed):
            given[currency] = given.get(currency, 0) + units
        for currency, units in given.items():
            if currency in claim.divided and int(claim.loaded.config.reserve.get(currency, 0) * UNIT) < units:
                amount = format_units(units)
                problems.append(
                    f"{claim.loaded.where('reserve')}: {amount} {currency} of this account belongs to the capital of "
                    f"{' and '.join(str(c.loaded.path) for c in claims if currency in dict(c.fixed))}; exclude "
                    f'them with `reserve: {{{currency}: "{amount}"}}`, or give every strategy a `capital`'
                )
    if problems:
        raise ConfigError("\n".join(problems))


def _fixed(config: BotConfig) -> list[tuple[str, int]]:
    return [
        (currency, int(amount * UNIT))
        for strategy in config.strategies
        if isinstance(strategy.capital, dict)
        for currency, amount in strategy.capital.items()
    ]
