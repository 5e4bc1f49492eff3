"""Loss limits of a risk rule, and their breaches."""

from __future__ import annotations

import msgspec

from botkit.engine.risk.rules import money_text
from botkit.model.money import UNIT


class LossLimit(msgspec.Struct, frozen=True):
    """The maximum loss of a strategy (or, if the level is None, of the bot) in a trading day."""

    level: str | None
    currency: str
    limit_units: int


class LossBreach(msgspec.Struct, frozen=True):
    """A loss limit was breached: the level is halted and its orders are cancelled."""

    level: str | None
    currency: str
    loss_units: int
    limit_units: int
    #: True if a resume within the day restarted the count
    is_since_resume: bool = False

    def __str__(self) -> str:
        loss, limit = money_text(self.loss_units, self.currency), money_text(self.limit_units, self.currency)
        if self.is_since_resume:
            return f"the loss since the resume {loss} has reached max_daily_loss {limit}"
        return f"the day's loss {loss} has reached max_daily_loss {limit}"


class DrawdownLimit(msgspec.Struct, frozen=True):
    """The maximum drawdown of a strategy (or, if the level is None, of the bot), as a fraction of peak equity in units
    of 1e-8.
    """

    level: str | None
    currency: str
    share_e8: int

    def is_reached(self, equity: int, peak: int) -> bool:
        """Return True if the drawdown from ``peak`` has reached the limit. The calculation is exact."""
        return peak > 0 and (peak - equity) * UNIT >= peak * self.share_e8


class DrawdownBreach(msgspec.Struct, frozen=True):
    """A drawdown limit was breached: the level is halted and its orders are cancelled."""

    level: str | None
    currency: str
    equity_units: int
    peak_units: int
    share_e8: int

    def __str__(self) -> str:
        fall = 100 * (self.peak_units - self.equity_units) / self.peak_units
        return (
            f"equity {money_text(self.equity_units, self.currency)} is {fall:.2f} % below its peak of "
            f"{money_text(self.peak_units, self.currency)}, and max_drawdown is {self.share_e8 / 10**6:g} %"
        )
