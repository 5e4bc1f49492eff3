"""The highest equity so far, which a fall is measured from."""

from __future__ import annotations

from botkit.engine.money.day_profit import DayProfit


class Peaks(DayProfit):
    """Baselines that rise with equity. Capital that comes or goes moves them along; a resume begins them again."""

    __slots__ = ()

    def raise_to(self, level: str | None, currency: str, equity: int) -> None:
        """A level that is watched is, or was, worth so much."""
        peak = self.baselines.get((level, currency))
        if peak is None or equity > peak:
            self.baselines[level, currency] = equity
