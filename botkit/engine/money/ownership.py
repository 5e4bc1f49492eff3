"""Says what of an account each strategy owns, what belongs to nobody, and how to hand that over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from botkit.engine.money.ledger import AccountLedger
from botkit.engine.money.positions import Position
from botkit.engine.money.stakes import Stakes
from botkit.model.money import format_units


class Owner(msgspec.Struct, frozen=True):
    """What one part of the account owns, in units by currency. ``strategies`` share it, if they are several."""

    strategies: tuple[str, ...]
    units: dict[str, int]


class Offer(msgspec.Struct, frozen=True):
    """Unowned coins that a strategy trades and was given none of. ``money``: what it owns, to be named beside them;
    an amount is None where strategies share it.
    """

    strategy: str
    coins: dict[str, int]
    money: dict[str, int | None]

    def capital_line(self) -> str:
        """The line that hands the coins over in the configuration."""
        amounts = {c: format_units(units) for c, units in self.coins.items()}
        amounts |= {c: "AMOUNT" if units is None else format_units(units) for c, units in self.money.items()}
        return "capital: {" + ", ".join(f'{currency}: "{amount}"' for currency, amount in amounts.items()) + "}"

    def capital_add(self, config: str) -> str:
        """The commands that hand the coins over in the books of a bot; `--cost` is of one coin at a time."""
        return " and ".join(
            f"`botkit capital add {config} {self.strategy} {currency}={format_units(units)} --cost PRICE`"
            for currency, units in self.coins.items()
        )


class Ownership(msgspec.Struct, frozen=True):
    """Who owns what of an account. ``left`` belongs to no strategy of this bot and is not ``reserved``.

    ``elsewhere`` is what other bots own of the account.
    """

    owners: tuple[Owner, ...]
    left: dict[str, int]
    reserved: dict[str, int]
    elsewhere: dict[str, int]
    offers: tuple[Offer, ...]

    def sentence(self) -> str:
        """What each strategy owns and what is left alone, in one line."""
        text = "; ".join(f"{_names(owner.strategies)} {_amounts(owner.units) or 'nothing'}" for owner in self.owners)
        left = [
            f"{_amounts(units)}, which {why}"
            for units, why in (
                (self.left, "belong to no strategy"),
                (self.reserved, "are the reserve"),
                (self.elsewhere, "belong to other bots"),
            )
            if units
        ]
        return text + (f"; left alone: {'; '.join(left)}" if left else "")

    def remedy(self, config: str | None) -> str:
        """How to hand unowned coins over, "" if there is nothing to say: in the books of a bot that keeps a journal,
        by its ``config``, and else by a line of the configuration.
        """
        if not self.offers:
            return ""
        if config is not None:
            return f"hand coins over with {' and '.join(offer.capital_add(config) for offer in self.offers)}"
        lines = " and ".join(f"`{offer.capital_line()}` to {offer.strategy}" for offer in self.offers)
        return f"to hand coins over, add {lines}"


class AccountOwnership:
    """Who owns what of an account now, by its books."""

    __slots__ = ("_ledger", "_reserve", "_stakes")

    def __init__(self, ledger: AccountLedger, stakes: Stakes, reserve: Mapping[str, int]) -> None:
        self._ledger = ledger
        self._stakes = stakes
        self._reserve = reserve

    def free_units(self, currency: str) -> int:
        """What neither a strategy owns nor the reserve keeps, and may be handed over."""
        return max(0, self._ledger.unassigned.get(currency, 0) - self._reserve.get(currency, 0))

    def shown(self, elsewhere: Mapping[str, int]) -> Ownership:
        """Everything, to be told; ``elsewhere`` is what other bots own of the account."""
        left: dict[str, int] = {}
        reserved: dict[str, int] = {}
        others: dict[str, int] = {}
        for currency, units in self._ledger.unassigned.items():
            free = self.free_units(currency)
            theirs = min(free, elsewhere.get(currency, 0))
            for found, amount in ((reserved, units - free), (others, theirs), (left, free - theirs)):
                if amount > 0:
                    found[currency] = amount
        names: dict[str, list[str]] = {}
        for name, stake in self._stakes.everybody().items():
            names.setdefault(stake.part.name, []).append(name)
        owners = tuple(
            Owner(tuple(names.get(name, [name.strip("()")])), part.holdings())  # a pool may have lost its strategies
            for name, part in self._ledger.parts.items()
            if name in names or any(part.holdings().values())
        )
        return Ownership(owners, left, reserved, others, tuple(self._offers(owners, left)))

    def _offers(self, owners: Sequence[Owner], left: Mapping[str, int]) -> Iterator[Offer]:
        offered: set[str] = set()
        for name, stake in self._stakes.present.items():
            positions = stake.positions.values()
            given = {position.pair.base for position in positions if position.given_units}
            wanted = {position.pair.base for position in positions} - given - offered
            coins = {currency: units for currency, units in left.items() if currency in wanted}
            if not coins:
                continue
            offered.update(coins)
            owner = next(owner for owner in owners if name in owner.strategies)
            is_shared = len(owner.strategies) > 1
            money = {c: None if is_shared else units for c, units in owner.units.items() if c not in coins and units}
            yield Offer(name, coins, money)

    def surplus(self, strategy: str) -> list[tuple[Position, int]]:
        """Positions that are away from what was given, and by how many units; below zero, coins are missing.

        A coin bought in one pair and sold in another is no surplus: pairs with the same base are netted.
        """
        positions = list(self._stakes.present[strategy].positions.values())
        away = [position.amount_units - max(0, position.given_units) for position in positions]
        net: dict[str, int] = {}
        for position, units in zip(positions, away, strict=True):
            net[position.pair.base] = net.get(position.pair.base, 0) + units
        found = []
        for position, units in zip(positions, away, strict=True):
            left = net[position.pair.base]
            moved = min(units, left) if left > 0 else max(units, left)
            if moved * left > 0:
                found.append((position, moved))
                net[position.pair.base] -= moved
        return found


def _names(strategies: tuple[str, ...]) -> str:
    if len(strategies) == 1:
        return f"{strategies[0]} owns"
    return f"{', '.join(strategies[:-1])} and {strategies[-1]} share"


def _amounts(units: Mapping[str, int]) -> str:
    return ", ".join(f"{format_units(amount)} {currency}" for currency, amount in units.items() if amount)
