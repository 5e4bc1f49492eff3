"""Equity at an earlier time, from which profits and drawdowns are measured, adjusted for money added or taken since.

A level is a strategy's name, or None for all strategies combined. Capital added or taken out moves the baseline by its
value. A deposit therefore does not appear as a profit, and a withdrawal does not appear as a loss that could trip a
loss limit.

Coins without a price are left out of the baseline and of the equity that is compared with it. Their first price adds
their value to both, so it is neither a profit nor a loss, and what was lost before it is not forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botkit.engine.money.ledger import AccountLedger
from botkit.engine.money.valuation import Valuation

Key = tuple[str | None, str]
Holdings = Callable[[str | None], Mapping[str, int]]


class Baselines:
    """Baselines in units by (level, currency); None before the books are opened or restored."""

    __slots__ = ("_aside", "_holdings", "_ledger", "_unsettled", "_valuation", "baselines")

    def __init__(self, holdings: Holdings, valuation: Valuation, ledger: AccountLedger) -> None:
        self._holdings = holdings
        self._valuation = valuation
        self._ledger = ledger
        self.baselines: dict[Key, int | None] = {}
        #: coins in the baseline whose price is unknown; the first price determines their value
        self._unsettled: dict[Key, dict[str, int]] = {}
        #: the restored rows of strategies that are not configured, kept for the run that has them
        self._aside: dict[str, list[list[Any]]] = {"baselines": [], "unsettled": []}

    def watch(self, level: str | None, currency: str) -> None:
        """Track a strategy (None: all strategies combined) in ``currency``, from now on."""
        if (level, currency) not in self.baselines:
            self.begin([(level, currency)])

    def restart(self, level: str | None) -> None:
        """Measure a strategy (None: all strategies combined) from now on, because it was resumed after a loss."""
        self.begin([key for key in self.baselines if key[0] == level])

    def opened(self) -> None:
        """Begin what could not begin before the books were opened or restored."""
        self.begin([key for key, units in self.baselines.items() if units is None])

    def begin(self, keys: Iterable[Key]) -> None:
        """Reset the baselines with these keys to the current equity."""
        for key in keys:
            self._unsettled.pop(key, None)
            self.baselines[key] = None
            if self._ledger.account:
                self.baselines[key] = 0
                self._shift(key, self._holdings(key[0]))

    def baseline_units(self, level: str | None, currency: str) -> int | None:
        """Return the baseline of a tracked level, without coins that have had no price yet."""
        return self.baselines.get((level, currency))

    def counted(self, level: str | None, currency: str) -> Mapping[str, int] | None:
        """Return the holdings to compare with the baseline, or None while they cannot be compared, because coins
        without a price were bought or sold.
        """
        waiting = self._unsettled.get((level, currency))
        held = self._holdings(level)
        if not waiting:
            return held
        # the late coin pays fees while it waits, and its first price makes them a loss
        late = self._valuation.late_coin
        if any(held.get(coin, 0) != units for coin, units in waiting.items() if coin != late):
            return None
        return {coin: units for coin, units in held.items() if coin not in waiting}

    def equity_units(self, level: str | None, currency: str) -> int | None:
        """Return the equity to compare with the baseline, or None while a price is missing that the comparison
        needs.
        """
        held = self.counted(level, currency)
        return None if held is None else self._valuation.worth(held, currency)

    def leave_out(self, coin: str) -> None:
        """Let what is held of a coin wait for its first price, because these baselines were begun without its value."""
        for key, units in self.baselines.items():
            held = self._holdings(key[0]).get(coin, 0)
            if units is not None and held:
                self._unsettled.setdefault(key, {}).setdefault(coin, held)

    def first_price(self) -> None:
        """Value what waited for a price."""
        for key in list(self._unsettled):
            self._shift(key, self._unsettled.pop(key))

    @contextmanager
    def moving(self, levels: Iterable[str | None]) -> Iterator[None]:
        """Enclose a change to the holdings of ``levels`` that is neither a profit nor a loss."""
        named = set(levels)
        keys = [key for key, units in self.baselines.items() if key[0] in named and units is not None]
        before = [(key, self.equity_units(*key), dict(self._holdings(key[0]))) for key in keys]
        yield
        for key, equity, had in before:
            has = self._holdings(key[0])
            self._follow(key, equity, {coin: has.get(coin, 0) - had.get(coin, 0) for coin in {**had, **has}})
        # without a price, the value of what a strategy that is not configured has left cannot be told apart from a loss
        for name, rows in self._aside.items():
            self._aside[name] = [row for row in rows if row[0] not in named]

    def _follow(self, key: Key, before: int | None, moved: Mapping[str, int]) -> None:
        """Adjust a baseline to capital that has moved. ``before`` is the equity before the move."""
        baseline, after = self.baselines[key], self.equity_units(*key)
        assert baseline is not None, key
        if before is not None and after is not None:
            # exact, because the value of the moved money is not rounded
            self.baselines[key] = baseline + after - before
        else:
            self._shift(key, moved)

    def _shift(self, key: Key, units_by_currency: Mapping[str, int]) -> None:
        for currency, units in units_by_currency.items():
            if not units or (currency != key[1] and self._valuation.find_path(currency, key[1]) is None):
                # coins that no pair can value are not part of the equity, and therefore not part of the baseline
                continue
            worth = self._valuation.convert(units, currency, key[1])
            if worth is None:
                waiting = self._unsettled.setdefault(key, {})
                waiting[currency] = waiting.get(currency, 0) + units
                continue
            baseline = self.baselines[key]
            assert baseline is not None, key
            self.baselines[key] = baseline + worth

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to keep."""
        return not self.baselines and not self._aside["baselines"]

    def state(self) -> dict[str, Any]:
        """Return the baselines as plain data."""
        return {
            "baselines": [
                *([level, currency, units] for (level, currency), units in self.baselines.items()),
                *self._aside["baselines"],
            ],
            "unsettled": [
                *([level, currency, coins] for (level, currency), coins in self._unsettled.items()),
                *self._aside["unsettled"],
            ],
        }

    def restore(self, state: Mapping[str, Any], strategies: Collection[str]) -> None:
        """Restore the result of `state`, for all strategies combined and for those that still exist. The rows of the
        others are kept: otherwise a loss would be forgotten if the bot ran once without the strategy.

        A level that was not tracked before begins with `opened`.
        """
        levels = {None, *strategies}
        watched: dict[Key, int | None] = dict.fromkeys(self.baselines)
        kept = {(level, currency): units for level, currency, units in state["baselines"] if level in levels}
        self.baselines = watched | kept
        waiting = state.get("unsettled", ())
        self._unsettled = {(level, currency): dict(coins) for level, currency, coins in waiting if level in levels}
        for rows, found in (("baselines", state["baselines"]), ("unsettled", waiting)):
            self._aside[rows] = [list(row) for row in found if row[0] not in levels]
