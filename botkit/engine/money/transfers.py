"""Capital that is given to a strategy or taken from it while the bot exists: neither is a profit or a loss."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence

from botkit.engine.money.capital import CapitalRecord, not_available, not_unassigned
from botkit.engine.money.day_profit import DayProfit
from botkit.engine.money.ledger import AccountLedger
from botkit.engine.money.stakes import Stakes
from botkit.engine.money.subaccounts import POOL, Fund, SubAccount
from botkit.engine.money.valuation import Valuation
from botkit.model.money import UNIT


class CapitalTransfers:
    """Moves money between a strategy's sub-account and what is unassigned. ``reserve`` is never given to any."""

    __slots__ = ("_capital", "_currency", "_days", "_ledger", "_peaks", "_reserve", "_stakes", "_valuation")

    def __init__(
        self,
        ledger: AccountLedger,
        stakes: Stakes,
        capital: CapitalRecord,
        days: DayProfit,
        peaks: DayProfit,
        valuation: Valuation,
        *,
        currency: str,
        reserve: Mapping[str, int],
    ) -> None:
        self._ledger = ledger
        self._stakes = stakes
        self._capital = capital
        self._days = days
        self._peaks = peaks
        self._valuation = valuation
        self._currency = currency
        self._reserve = reserve

    def refusal(self, target: str, units_by_currency: Mapping[str, int]) -> str | None:
        """Why `move` cannot be, if so: a sentence with figures that says what to do about it."""
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
            if refusal is not None:
                return refusal
        return None

    def unpriced(self, units_by_currency: Mapping[str, int]) -> str | None:
        """Why the worth of money that comes or goes is not known, if so."""
        for currency in units_by_currency:
            known = currency == self._currency or self._valuation.find_path(currency, self._currency) is None
            if not known and self._valuation.convert(UNIT, currency, self._currency) is None:
                return f"{currency} has no price yet, so what it is worth is not known; try again once it has traded"
        return None

    def move(self, target: str, units_by_currency: Mapping[str, int]) -> None:
        """Give a strategy with a sub-account money from unassigned, or where below zero take it back there.

        ``pool`` is what the strategies without capital share. Neither is a profit or a loss: the day's profit stays as
        it is, and coins come and go at the last price. `refusal` must have been asked.
        """
        assert self.refusal(target, units_by_currency) is None, (target, units_by_currency)
        part = self._part_of(target)
        assert part is not None
        owners = [name for name, stake in self._stakes.everybody().items() if stake.part is part]
        if part.name != POOL:
            for currency, units in units_by_currency.items():
                self._capital.moved(target, currency, units)
        self._moving([None, *owners], lambda: self._give(part.name, owners, units_by_currency))
        self._ledger.check()

    def give_first(self, strategy: str, units_by_currency: Mapping[str, int]) -> None:
        """A strategy that joins a running bot gets what opens its sub-account, from what belongs to nobody."""
        self._moving([None, strategy], lambda: self._give(strategy, [strategy], units_by_currency))

    def _moving(self, levels: Sequence[str | None], move: Callable[[], None]) -> None:
        """Call ``move``, which changes what ``levels`` hold though nothing was won or lost."""
        self._days.moving(levels, lambda: self._peaks.moving(levels, move))

    def _give(self, part: str, owners: Sequence[str], units_by_currency: Mapping[str, int]) -> None:
        everybody = self._stakes.everybody()
        for currency, units in units_by_currency.items():
            self._ledger.assign(self._ledger.part(part), currency, units)
            left = units
            for name in owners:
                stake = everybody[name]
                for position in stake.positions.values():
                    moved = position.room_for(left) if position.pair.base == currency else 0
                    if moved:
                        position.move_coins(moved)
                        if stake.flows is not None:
                            stake.flows[currency] = stake.flows.get(currency, 0) + moved
                        left -= moved

    def _part_of(self, target: str) -> SubAccount | None:
        stake = self._stakes.find(target)
        if stake is not None:
            return stake.part if target in self._capital.given else None
        return self._ledger.parts.get(POOL) if target in (POOL, "pool") else None

    def _no_part(self, target: str) -> str:
        stake = self._stakes.present.get(target)
        if stake is None:
            names = [*self._stakes.present, *self._stakes.departed]
            near = difflib.get_close_matches(target, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"this bot has {', '.join(names)}"
            return f"there is no strategy {target!r}; {hint}"
        if stake.part.name == POOL:
            return (
                f"{target} has no sub-account: it spends from the pool of the strategies without `capital:`. "
                f"Name pool instead of {target} to change what they have together"
            )
        return f"{target} has not started yet; its capital is set aside when it first does"
