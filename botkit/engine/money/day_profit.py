"""The profit of a trading day, measured from the equity at the start of the day."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from botkit.engine.money.baselines import Baselines, Holdings
from botkit.engine.money.ledger import AccountLedger
from botkit.engine.money.valuation import Valuation
from botkit.model.clock import Nanos


class DayProfit(Baselines):
    """Baselines that restart with each trading day."""

    __slots__ = ("day",)

    def __init__(self, holdings: Holdings, valuation: Valuation, ledger: AccountLedger) -> None:
        super().__init__(holdings, valuation, ledger)
        #: start of the trading day whose profit is measured; None before the first day
        self.day: Nanos | None = None

    def start(self, now: Nanos) -> None:
        """Start a trading day at ``now``: the daily profit is measured from this time."""
        self.day = now
        self.begin(list(self.baselines))
        self._aside = {"baselines": [], "unsettled": []}  # a baseline is worth nothing on another day

    def pnl_units(self, level: str | None, currency: str) -> int | None:
        """Return the change in equity since the start of the trading day, including unrealised profit, or None while
        it is unknown: a coin that had a price at the start has none now, or one without a price was traded.
        """
        before = self.baselines.get((level, currency))
        after = None if before is None else self.equity_units(level, currency)
        return None if before is None or after is None else after - before

    def is_resumed(self, today: DayProfit, level: str | None, currency: str) -> bool:
        """Return True if a resume has restarted this measurement since ``today``, the whole day's, began."""
        return self.baseline_units(level, currency) != today.baseline_units(level, currency)

    def state(self) -> dict[str, Any]:
        """Return the day and its baselines as plain data."""
        return {"day": self.day, **super().state()}

    def restore(self, state: Mapping[str, Any], strategies: Collection[str]) -> None:
        """Restore the result of `state`: see `Baselines.restore`."""
        super().restore(state, strategies)
        self.day = state["day"]
