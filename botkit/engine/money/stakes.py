"""Each strategy's stake: its part of the account, and its positions."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from botkit.engine.money.ledger import AccountLedger
from botkit.engine.money.positions import Position
from botkit.engine.money.subaccounts import SubAccount
from botkit.engine.money.valuation import Valuation
from botkit.model.pairs import Pair


class Stake:
    """The stake of one strategy.

    ``flows`` are the net amounts, per currency, of the strategy's opening coins and its fills. They are recorded only
    if the strategy shares the pool, because the pool's funds do not show the strategy's own profit.
    """

    __slots__ = ("flows", "name", "part", "positions")

    def __init__(self, name: str, part: SubAccount, shared: bool) -> None:
        self.name = name
        self.part = part
        self.positions: dict[str, Position] = {}
        self.flows: dict[str, int] | None = {} if shared else None

    def holdings(self) -> dict[str, int]:
        """Return the strategy's own holdings, in units per currency."""
        return self.part.holdings() if self.flows is None else self.flows

    def record(self, base: str, base_units: int, quote: str, quote_units: int, fee_currency: str, fee: int) -> None:
        """Record a fill's proceeds and cost, for a strategy that shares the pool."""
        flows = self.flows
        assert flows is not None
        flows[base] = flows.get(base, 0) + base_units
        flows[quote] = flows.get(quote, 0) + quote_units
        flows[fee_currency] = flows.get(fee_currency, 0) - fee


class Stakes:
    """The stakes of all strategies, by name in configuration order."""

    __slots__ = ("_ledger", "_valuation", "departed", "flows_aside", "known", "positions_aside", "present")

    def __init__(self, ledger: AccountLedger, valuation: Valuation) -> None:
        self._ledger = ledger
        self._valuation = valuation
        self.present: dict[str, Stake] = {}
        #: strategies that are no longer configured: those with a sub-account, which keep their money until it is taken
        #: back, and those with orders
        self.departed: dict[str, Stake] = {}
        #: the stakes of both
        self.known: dict[str, Stake] = {}
        #: restored figures, by strategy and pair, of positions that this run has no use for: their strategy is not
        #: configured, or names another pair. They are kept for the run that has
        self.positions_aside: dict[str, dict[str, list[int]]] = {}
        #: the same for the flows of strategies that shared the pool
        self.flows_aside: dict[str, dict[str, int]] = {}

    def add(self, name: str, part: str, *, shared: bool) -> Stake:
        """Add a configured strategy, with the part of the ledger from which it spends."""
        assert name not in self.present, name
        stake = self.present[name] = self.known[name] = Stake(name, self._ledger.part(part), shared)
        return stake

    def depart(self, name: str, part: str, *, shared: bool = False) -> None:
        """Mark a strategy as no longer configured. ``part`` is the part of the ledger from which it spent."""
        self.departed[name] = self.known[name] = Stake(name, self._ledger.part(part), shared)

    def find(self, name: str) -> Stake | None:
        """Return a strategy's stake, whether or not it is still configured, or None if the name is unknown."""
        return self.known.get(name)

    def everybody(self) -> dict[str, Stake]:
        """Return all stakes, starting with those of strategies that are no longer configured."""
        return {**self.departed, **self.present}

    def left(self) -> Iterator[tuple[str, int]]:
        """Yield (pair, units) of every position that no configured strategy has."""
        for stake in self.departed.values():
            for pair, position in stake.positions.items():
                yield pair, position.amount_units
        for positions in self.positions_aside.values():
            for pair, figures in positions.items():
                yield pair, figures[0]

    def left_units(self, pair: Pair) -> int:
        """Return the coins in a pair that are in positions that no configured strategy has."""
        return sum(units for name, units in self.left() if name == pair)

    def left_coins(self, beside: Collection[str]) -> dict[str, int]:
        """Return the same for each currency, in other pairs than ``beside``."""
        coins: dict[str, int] = {}
        for pair, units in self.left():
            if pair not in beside:
                base = pair.partition("_")[0]
                coins[base] = coins.get(base, 0) + units
        return coins

    def position(self, stake: Stake, pair: Pair) -> Position:
        """Return the stake's position in a pair. Every call returns the same object."""
        found = stake.positions.get(pair)
        if found is None:
            found = stake.positions[pair] = Position(pair, stake.part.funds[pair.base], self._valuation.add(pair))
            figures = self.positions_aside.get(stake.name, {}).pop(pair, None)
            if figures is not None:  # the strategy's code chose the pair, so only now is it known
                found.restore(figures)
        return found
