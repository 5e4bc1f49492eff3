"""The baseline of a trading day's profit: equity at the start of the day, adjusted for money added or taken since.

A level is a strategy's name, or None for all strategies combined. Capital added or taken out moves the baseline by its
value. A deposit therefore does not appear as a profit, and a withdrawal does not appear as a loss that could trip a
loss limit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from botkit.engine.money.ledger import AccountLedger
from botkit.engine.money.valuation import Valuation
from botkit.model.clock import Nanos

Key = tuple[str | None, str]
Equity = Callable[[str | None, str], int | None]
Holdings = Callable[[str | None], Mapping[str, int]]


class DayProfit:
    """Baselines in units by (level, currency); None if no price for the valuation was known at the start of the day."""

    __slots__ = ("_aside", "_equity", "_holdings", "_ledger", "_unsettled", "_valuation", "baselines", "day")

    def __init__(self, equity: Equity, holdings: Holdings, valuation: Valuation, ledger: AccountLedger) -> None:
        self._equity = equity
        self._holdings = holdings
        self._valuation = valuation
        self._ledger = ledger
        #: start of the trading day whose profit is measured; None before the first day
        self.day: Nanos | None = None
        self.baselines: dict[Key, int | None] = {}
        #: coins added or taken out while their price was unknown; the first price determines their value
        self._unsettled: dict[Key, dict[str, int]] = {}
        #: the restored rows of strategies that are not configured, kept for the run that has them
        self._aside: dict[str, list[list[Any]]] = {"baselines": [], "unsettled": []}

    def watch(self, level: str | None, currency: str) -> None:
        """Track the daily profit of a strategy (None: all strategies combined) in ``currency``, from now on, restarting
        at each `start`.
        """
        # there is no equity before the books are opened or restored
        self.baselines.setdefault((level, currency), self._equity(level, currency) if self._ledger.account else None)

    def start(self, now: Nanos) -> None:
        """Start a trading day at ``now``: the daily profit is measured from this time."""
        self.day = now
        self.begin(self.baselines)
        self._aside = {"baselines": [], "unsettled": []}  # a baseline is worth nothing on another day

    def restart(self, level: str | None) -> None:
        """Restart the daily profit of a strategy (None: all strategies combined), because the strategy was resumed
        after a loss.
        """
        self.begin([key for key in self.baselines if key[0] == level])

    def baseline_units(self, level: str | None, currency: str) -> int | None:
        """Return the equity of a tracked level at the start of the trading day, or None while a price is missing."""
        return self.baselines.get((level, currency))

    def pnl_units(self, level: str | None, currency: str) -> int | None:
        """Return the change in equity since the start of the trading day, including unrealised profit, or None while a
        price is missing.
        """
        before = self.baselines.get((level, currency))
        after = None if before is None else self._equity(level, currency)
        return None if before is None or after is None else after - before

    def begin(self, keys: Iterable[Key]) -> None:
        """Reset the profit baselines with these keys to the current equity."""
        for key in keys:
            self.baselines[key] = self._equity(*key)
            self._unsettled.pop(key, None)

    def first_price(self) -> None:
        """Compute the values that depend on this pair's first price."""
        self.begin([key for key, units in self.baselines.items() if units is None])
        for key in list(self._unsettled):
            self._shift(key, self._unsettled.pop(key))

    def moving(self, levels: Iterable[str | None], move: Callable[[], None]) -> None:
        """Call ``move``, which changes the holdings of ``levels`` without profit or loss."""
        named = set(levels)
        keys = [key for key in self.baselines if key[0] in named]
        worth = {key: self._equity(*key) for key in keys}
        held = {level: dict(self._holdings(level)) for level, _ in keys}
        move()
        for key in keys:
            baseline, before, after = self.baselines[key], worth[key], self._equity(*key)
            if baseline is None:
                continue  # the day's baseline is set at the first price, and then includes the moved money
            if before is not None and after is not None:
                # exact, because the value of the moved money is not rounded
                self.baselines[key] = baseline + after - before
                continue
            has, had = self._holdings(key[0]), held[key[0]]
            self._shift(key, {c: has.get(c, 0) - had.get(c, 0) for c in {**had, **has}})

    def _shift(self, key: Key, units_by_currency: Mapping[str, int]) -> None:
        for currency, units in units_by_currency.items():
            if not units or (currency != key[1] and self._valuation.find_path(currency, key[1]) is None):
                # coins that no pair can value are not part of the equity, and therefore not part of the baseline
                continue
            worth = self._valuation.convert(abs(units), currency, key[1])
            if worth is None:
                waiting = self._unsettled.setdefault(key, {})
                waiting[currency] = waiting.get(currency, 0) + units
                continue
            baseline = self.baselines[key]
            assert baseline is not None, key
            self.baselines[key] = baseline + (worth if units > 0 else -worth)

    def state(self) -> dict[str, Any]:
        """Return the baselines as plain data."""
        return {
            "day": self.day,
            "baselines": [
                *([level, currency, units] for (level, currency), units in self.baselines.items()),
                *self._aside["baselines"],
            ],
            "unsettled": [
                *([level, currency, coins] for (level, currency), coins in self._unsettled.items()),
                *self._aside["unsettled"],
            ],
        }

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to keep."""
        return not self.baselines and not self._aside["baselines"]

    def restore(self, state: Mapping[str, Any], strategies: Collection[str]) -> None:
        """Restore the result of `state`, for all strategies combined and for those that still exist. The rows of the
        others are kept: otherwise a loss would be forgotten if the bot ran once without the strategy.

        The profit of a level that was not tracked before is measured from the first price on.
        """
        levels = {None, *strategies}
        self.day = state["day"]
        watched: dict[Key, int | None] = dict.fromkeys(self.baselines)
        kept = {(level, currency): units for level, currency, units in state["baselines"] if level in levels}
        self.baselines = watched | kept
        waiting = state.get("unsettled", ())
        self._unsettled = {(level, currency): dict(coins) for level, currency, coins in waiting if level in levels}
        for rows, found in (("baselines", state["baselines"]), ("unsettled", waiting)):
            self._aside[rows] = [list(row) for row in found if row[0] not in levels]
