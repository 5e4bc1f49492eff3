"""What the profit of a trading day is measured from: equity at its beginning, and what was put in or taken out since.

A level is a strategy's name, or None for all strategies together. Capital that comes or goes moves the beginning by
its worth, so that a deposit is no profit and a withdrawal no loss, for whoever looks at the day's profit: a loss limit
above all.
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
    """Baselines in units by (level, currency); None where the day began before there was a price to value it with."""

    __slots__ = ("_equity", "_holdings", "_ledger", "_unsettled", "_valuation", "baselines", "day")

    def __init__(self, equity: Equity, holdings: Holdings, valuation: Valuation, ledger: AccountLedger) -> None:
        self._equity = equity
        self._holdings = holdings
        self._valuation = valuation
        self._ledger = ledger
        #: when the trading day began that profits count from, None before the first
        self.day: Nanos | None = None
        self.baselines: dict[Key, int | None] = {}
        #: coins that came or went while their price was not known; the first price settles what they are worth
        self._unsettled: dict[Key, dict[str, int]] = {}

    def watch(self, level: str | None, currency: str) -> None:
        """Keep the day's profit of a strategy (None: of all) in ``currency``, from now on and from each `start`."""
        # before the books are opened or restored there is no equity to begin with
        self.baselines.setdefault((level, currency), self._equity(level, currency) if self._ledger.account else None)

    def start(self, now: Nanos) -> None:
        """The trading day that begins at ``now`` has begun: every profit of the day counts from here."""
        self.day = now
        self.begin(self.baselines)

    def restart(self, level: str | None) -> None:
        """The day's profit of one strategy (None: of all together) counts from here: it was resumed after a loss."""
        self.begin([key for key in self.baselines if key[0] == level])

    def baseline_units(self, level: str | None, currency: str) -> int | None:
        """Equity at the beginning of the trading day, of a level that is watched; None while a price is missing."""
        return self.baselines.get((level, currency))

    def pnl_units(self, level: str | None, currency: str) -> int | None:
        """Change of equity since the trading day began, unrealised included; None while a price is missing."""
        before = self.baselines.get((level, currency))
        after = None if before is None else self._equity(level, currency)
        return None if before is None or after is None else after - before

    def begin(self, keys: Iterable[Key]) -> None:
        """These profits count from here."""
        for key in keys:
            self.baselines[key] = self._equity(*key)
            self._unsettled.pop(key, None)

    def first_price(self) -> None:
        """A pair has its first price: value what could not be valued before."""
        self.begin([key for key, units in self.baselines.items() if units is None])
        for key in list(self._unsettled):
            self._shift(key, self._unsettled.pop(key))

    def moving(self, levels: Iterable[str | None], move: Callable[[], None]) -> None:
        """Call ``move``, which changes what ``levels`` hold though nothing was won or lost."""
        named = set(levels)
        keys = [key for key in self.baselines if key[0] in named]
        worth = {key: self._equity(*key) for key in keys}
        held = {level: dict(self._holdings(level)) for level, _ in keys}
        move()
        for key in keys:
            baseline, before, after = self.baselines[key], worth[key], self._equity(*key)
            if baseline is None:
                continue  # the day begins with the first price, and by then the money is there
            if before is not None and after is not None:
                self.baselines[key] = baseline + after - before  # exact: no rounding of the move's own worth
                continue
            has, had = self._holdings(key[0]), held[key[0]]
            self._shift(key, {c: has.get(c, 0) - had.get(c, 0) for c in {**had, **has}})

    def _shift(self, key: Key, units_by_currency: Mapping[str, int]) -> None:
        for currency, units in units_by_currency.items():
            if not units or (currency != key[1] and self._valuation.find_path(currency, key[1]) is None):
                continue  # coins that no pair values count as nothing in equity too
            worth = self._valuation.convert(abs(units), currency, key[1])
            if worth is None:
                waiting = self._unsettled.setdefault(key, {})
                waiting[currency] = waiting.get(currency, 0) + units
                continue
            baseline = self.baselines[key]
            assert baseline is not None, key
            self.baselines[key] = baseline + (worth if units > 0 else -worth)

    def state(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "day": self.day,
            "baselines": [[level, currency, units] for (level, currency), units in self.baselines.items()],
            "unsettled": [[level, currency, coins] for (level, currency), coins in self._unsettled.items()],
        }

    def restore(self, state: Mapping[str, Any], strategies: Collection[str]) -> None:
        """Take over what `state` gave of all strategies together and of those that there are.

        A level that is watched for the first time counts from the first price on.
        """
        levels = {None, *strategies}
        self.day = state["day"]
        watched: dict[Key, int | None] = dict.fromkeys(self.baselines)
        kept = {(level, currency): units for level, currency, units in state["baselines"] if level in levels}
        self.baselines = watched | kept
        waiting = state.get("unsettled", ())
        self._unsettled = {(level, currency): dict(coins) for level, currency, coins in waiting if level in levels}
