"""The highest equity so far, from which a drawdown is measured."""

from __future__ import annotations

from botkit.engine.money.day_profit import DayProfit


class Peaks(DayProfit):
    """Baselines that rise with equity. Capital added or taken scales them, and a resume resets them."""

    __slots__ = ()

    def _moved(self, baseline: int, before: int, after: int) -> int:
        """Keep the drawdown, which is a fraction: taking capital must not deepen it, nor adding capital heal it. Where
        there was no equity, there was no drawdown to keep.
        """
        return baseline * after // before if before > 0 else super()._moved(baseline, before, after)

    def raise_to(self, level: str | None, currency: str, equity: int) -> None:
        """Raise the peak of a tracked level to this equity, if the equity is higher."""
        peak = self.baselines.get((level, currency))
        if peak is None or equity > peak:
            self.baselines[level, currency] = equity
