"""Moves capital to and from strategies after the first start, without profit or loss."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from botkit.engine.money.baselines import Baselines
from botkit.engine.money.capital import CapitalRecord, not_available, not_unassigned
from botkit.engine.money.ledger import AccountLedger
from botkit.engine.money.stakes import Stakes
from botkit.engine.money.subaccounts import POOL, Fund, SubAccount
from botkit.engine.money.valuation import Valuation
from botkit.model.money import UNIT, format_units


class CapitalTransfers:
    """Moves money between a strategy's sub-account and unassigned. The ``reserve`` is never given away."""

    __slots__ = ("_baselines", "_capital", "_currency", "_ledger", "_reserve", "_stakes", "_valuation")

    def __init__(
        self,
        ledger: AccountLedger,
        stakes: Stakes,
        capital: CapitalRecord,
        baselines: Sequence[Baselines],
        valuation: Valuation,
        *,
        currency: str,
        reserve: Mapping[str, int],
    ) -> None:
        self._ledger = ledger
        self._stakes = stakes
        self._capital = capital
        self._baselines = baselines
        self._valuation = valuation
        self._currency = currency
        self._reserve = reserve

    def refusal(self, target: str, units_by_currency: Mapping[str, int]) -> str | None:
        """Return the reason why `move` is not possible, as a sentence with the amounts and the fix, or None if it is
        possible.
        """
        part = self._part_of(target)
        if part is None:
            return self._no_part(target)
        for currency, units in units_by_currency.items():
            fund = part.funds.get(currency)
            known = self._valuation.currencies
            if currency not in known and (units > 0 or fund is None):
                near = difflib.get_close_matches(currency, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else f" ({', '.join(known)})"
                return f"{currency} is neither base nor quote of a pair of this bot{hint}"
            if units > 0:
                has, kept = self._ledger.unassigned.get(currency, 0), self._reserve.get(currency, 0)
                refusal = not_unassigned(currency, units, has, kept)
            else:
                refusal = not_available(target, currency, -units, fund or Fund())
                if refusal is None and self._is_pooled(target):
                    refusal = self._not_its_own(target, currency, -units)
            if refusal is not None:
                return refusal
        return None

    def unpriced(self, units_by_currency: Mapping[str, int]) -> str | None:
        """Return the reason why the moved money cannot be valued, or None."""
        for currency in units_by_currency:
            known = currency == self._currency or self._valuation.find_path(currency, self._currency) is None
            if not known and self._valuation.convert(UNIT, currency, self._currency) is None:
                return f"{currency} has no price yet, so its value is unknown; try again once it has traded"
        return None

    def move(self, target: str, units_by_currency: Mapping[str, int], cost_e8: int | None = None) -> None:
        """Give a strategy money from unassigned, or take money back if negative.

        The ``pool`` is shared by the strategies without capital. Coins given to one of these strategies by name are
        added to its position, and money is added to the pool. A move is neither a profit nor a loss: the day's profit
        does not change, and coins move at the last price, or at an average cost of ``cost_e8`` (see `wrong_cost`). Call
        `refusal` first.
        """
        assert self.refusal(target, units_by_currency) is None, (target, units_by_currency)
        part = self._part_of(target)
        assert part is not None
        owners = [name for name, stake in self._stakes.everybody().items() if stake.part is part]
        if part.name != POOL:
            for currency, units in units_by_currency.items():
                self._capital.moved(target, currency, units)
        receivers = [target] if self._is_pooled(target) else owners
        self._moving([None, *owners], lambda: self._give(part.name, receivers, units_by_currency, cost_e8))
        self._ledger.check()

    def wrong_cost(self, target: str, units_by_currency: Mapping[str, int]) -> str | None:
        """Return the reason why a cost (the price of one coin) cannot apply to the given coins, or None."""
        stake = self._stakes.find(target)
        bases = {position.pair.base for position in stake.positions.values()} if stake is not None else set()
        coins = [currency for currency, units in units_by_currency.items() if units > 0 and currency in bases]
        if len(coins) == 1:
            return None
        if not coins:
            return f"a cost applies to coins, and {target} was given none that it trades; omit the cost"
        return f"a cost applies to one coin, and {' and '.join(coins)} were given; add them one at a time"

    def give_first(self, strategy: str, units_by_currency: Mapping[str, int]) -> None:
        """Move unassigned money to the sub-account of a strategy that joins an existing bot."""
        self._moving([None, strategy], lambda: self._give(strategy, [strategy], units_by_currency, None))

    def _moving(self, levels: Sequence[str | None], move: Callable[[], None]) -> None:
        """Call ``move``, which changes the holdings of ``levels`` without profit or loss."""
        with ExitStack() as stack:
            for baselines in self._baselines:
                stack.enter_context(baselines.moving(levels))
            move()

    def _give(
        self, part: str, owners: Sequence[str], units_by_currency: Mapping[str, int], cost_e8: int | None
    ) -> None:
        everybody = self._stakes.everybody()
        for currency, units in units_by_currency.items():
            self._ledger.assign(self._ledger.part(part), currency, units)
            left = units
            for name in owners:
                stake = everybody[name]
                for position in stake.positions.values():
                    moved = position.room_for(left) if position.pair.base == currency else 0
                    if moved:
                        position.move_coins(moved, cost_e8)
                        if stake.flows is not None:
                            stake.flows[currency] = stake.flows.get(currency, 0) + moved
                        left -= moved

    def _part_of(self, target: str) -> SubAccount | None:
        stake = self._stakes.find(target)
        if stake is not None:
            return stake.part if target in self._capital.given or self._is_pooled(target) else None
        return self._ledger.parts.get(POOL) if target in (POOL, "pool") else None

    def _is_pooled(self, target: str) -> bool:
        """Return True if a strategy with this name shares the pool and has started."""
        stake = self._stakes.present.get(target)
        return stake is not None and stake.part.name == POOL and target in self._capital.opened

    def _not_its_own(self, target: str, currency: str, units: int) -> str | None:
        """Return the reason why a strategy in the pool cannot give back these coins, or None."""
        positions = [p for p in self._stakes.present[target].positions.values() if p.pair.base == currency]
        has = sum(max(0, position.amount_units - position.locked_units) for position in positions)
        if not positions or units <= has:
            return None
        return (
            f"{target} has {format_units(has)} {currency} of its own to give back, but {format_units(units)} was "
            "requested; the rest of the pool belongs to other strategies"
        )

    def _no_part(self, target: str) -> str:
        stake = self._stakes.present.get(target)
        if stake is None:
            names = [*self._stakes.present, *self._stakes.departed]
            near = difflib.get_close_matches(target, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"this bot has {', '.join(names)}"
            return f"there is no strategy {target!r}; {hint}"
        return f"{target} has not started yet; its capital is allocated at its first start"
