"""Reports each strategy's funds in an account and the unassigned funds, with instructions for handing the unassigned
funds over to a strategy.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from botkit.model.money import format_units


class Owner(msgspec.Struct, frozen=True):
    """The funds of one part of the account, in units by currency. Several ``strategies`` may share one part."""

    strategies: tuple[str, ...]
    units: dict[str, int]


class Offer(msgspec.Struct, frozen=True):
    """Unowned coins that a strategy trades but was not given. ``money`` is the strategy's own money, which the
    configuration must list along with the coins; an amount is None if strategies share it.
    """

    strategy: str
    coins: dict[str, int]
    money: dict[str, int | None]

    def capital_line(self) -> str:
        """Return the configuration line that hands the coins over."""
        amounts = {c: format_units(units) for c, units in self.coins.items()}
        amounts |= {c: "AMOUNT" if units is None else format_units(units) for c, units in self.money.items()}
        return "capital: {" + ", ".join(f'{currency}: "{amount}"' for currency, amount in amounts.items()) + "}"

    def capital_add(self, config: str) -> str:
        """Return the commands that hand the coins over in a bot's books: one per coin, because `--cost` applies to one
        coin.
        """
        return " and ".join(
            f"`botkit capital add {config} {self.strategy} {currency}={format_units(units)} --cost PRICE`"
            for currency, units in self.coins.items()
        )


class Ownership(msgspec.Struct, frozen=True):
    """The ownership of an account's money. ``left`` is the money that is neither owned by a strategy of this bot nor
    ``reserved``.

    ``elsewhere`` is the money owned by other bots.
    """

    owners: tuple[Owner, ...]
    left: dict[str, int]
    reserved: dict[str, int]
    elsewhere: dict[str, int]
    offers: tuple[Offer, ...]

    def sentence(self) -> str:
        """Return a one-line summary of each strategy's funds and of the unused funds."""
        text = "; ".join(f"{_names(owner.strategies)} {_amounts(owner.units) or 'nothing'}" for owner in self.owners)
        left = [
            f"{_amounts(units)} ({why})"
            for units, why in (
                (self.left, "owned by no strategy"),
                (self.reserved, "reserve"),
                (self.elsewhere, "owned by other bots"),
            )
            if units
        ]
        return text + (f"; not used: {'; '.join(left)}" if left else "")

    def remedy(self, config: str | None) -> str:
        """Return the instructions for handing over unowned coins, or "" if there are none: a command if the bot keeps a
        journal (``config``), otherwise a configuration line.
        """
        if not self.offers:
            return ""
        if config is not None:
            return f"assign coins with {' and '.join(offer.capital_add(config) for offer in self.offers)}"
        lines = " and ".join(f"`{offer.capital_line()}` to {offer.strategy}" for offer in self.offers)
        return f"to assign coins, add {lines}"


def _names(strategies: tuple[str, ...]) -> str:
    if len(strategies) == 1:
        return f"{strategies[0]} owns"
    return f"{', '.join(strategies[:-1])} and {strategies[-1]} share"


def _amounts(units: Mapping[str, int]) -> str:
    return ", ".join(f"{format_units(amount)} {currency}" for currency, amount in units.items() if amount)
