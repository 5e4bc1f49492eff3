"""The highest equity so far, from which a drawdown is measured."""

from __future__ import annotations

from botkit.engine.money.day_profit import DayProfit


class Peaks(DayProfit):
    """Baselines that rise with equity. Capital added or taken shifts them, and a resume resets them."""

    __slots__ = ()

    def raise_to(self, level: str | None, currency: str, equity: int) -> None:
        """Raise the peak of a tracked level to this equity, if the equity is higher."""
        peak = self.baselines.get((level, currency))
        if peak is None or equity > peak:
            self.baselines[level, currency] = equity
