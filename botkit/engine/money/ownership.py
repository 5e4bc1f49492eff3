"""Reports who owns an account's money according to the books: the strategies, the reserve, or no one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from botkit.engine.money.ledger import AccountLedger
from botkit.engine.money.ownership_report import Offer, Owner, Ownership
from botkit.engine.money.positions import Position
from botkit.engine.money.stakes import Stakes


class AccountOwnership:
    """The current ownership of an account's money, according to the books."""

    __slots__ = ("_ledger", "_reserve", "_stakes")

    def __init__(self, ledger: AccountLedger, stakes: Stakes, reserve: Mapping[str, int]) -> None:
        self._ledger = ledger
        self._stakes = stakes
        self._reserve = reserve

    def free_units(self, currency: str) -> int:
        """Return the units that can be handed over to a strategy, because they are neither owned by a strategy nor part
        of the reserve.
        """
        return max(0, self._ledger.unassigned.get(currency, 0) - self._reserve.get(currency, 0))

    def shown(self, elsewhere: Mapping[str, int]) -> Ownership:
        """Return the ownership of the entire account, for a report. ``elsewhere`` lists the funds of other bots."""
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
            # the pool may no longer have any strategies
            Owner(tuple(names.get(name, [name.strip("()")])), part.holdings())
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
        """Compute how many units each position has in excess of the given holdings; negative if coins are missing.

        A coin bought in one pair and sold in another is not a surplus, because pairs with the same base are netted.
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
