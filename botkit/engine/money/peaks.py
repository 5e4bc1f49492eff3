"""The highest equity so far, from which a drawdown is measured."""

from __future__ import annotations

from collections.abc import Mapping

from botkit.engine.money.baselines import Baselines, Key


class Peaks(Baselines):
    """Baselines that rise with equity. Capital added or taken scales them, and a resume resets them."""

    __slots__ = ()

    def raise_to(self, level: str | None, currency: str, equity: int) -> None:
        """Raise the peak of a tracked level to this equity, if the equity is higher."""
        peak = self.baselines.get((level, currency))
        if peak is None or equity > peak:
            self.baselines[level, currency] = equity

    def _follow(self, key: Key, before: int | None, moved: Mapping[str, int]) -> None:
        """Scale the peak, so that equity is as many percent below it as before the move. Where no percentage exists
        (without equity before the move, or without prices), the peak moves by the moved amount.
        """
        peak = self.baselines[key]
        assert peak is not None, key
        super()._follow(key, before, moved)
        after = self.equity_units(*key)
        if before is not None and before > 0 and after is not None and after >= 0:
            self.baselines[key] = -(-peak * after // before)
