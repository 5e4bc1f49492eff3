"""The fills of a real session beside those of its simulation."""

from __future__ import annotations

from typing import Literal

import msgspec

from botkit.model.clock import Nanos
from botkit.model.order_spec import Side

__all__ = ["AuditFigures", "ComparedKind", "FillLeg", "FillPair"]

ComparedKind = Literal["matched", "missed", "extra"]
_BPS = 10_000


class FillLeg(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a comparison. ``price`` is an average; ``fee`` is in quote currency, or None if its coin has no price
    here.
    """

    price: float
    fee: float | None
    time: Nanos
    is_maker: bool


class FillPair(msgspec.Struct, frozen=True, kw_only=True):
    """An amount of one order with its real and its simulated execution, of which one may be missing.

    ``money`` is how much better off reality left the account, in quote currency; what only one side has is valued at
    the pair's last price.
    """

    client_id: int
    strategy: str
    pair: str
    quote: str
    side: str
    kind: ComparedKind
    amount: float
    real: FillLeg | None
    simulated: FillLeg | None
    money: float

    @property
    def value(self) -> float:
        """The amount at the real price or, if there is none, at the simulated one, in quote currency."""
        leg = self.real or self.simulated
        assert leg is not None
        return leg.price * self.amount

    @property
    def worse_bps(self) -> float | None:
        """How much worse the real price was, in basis points of the simulated one."""
        if self.real is None or self.simulated is None:
            return None
        sign = 1 if self.side == Side.BUY.value else -1
        return sign * (self.real.price / self.simulated.price - 1) * _BPS


class AuditFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What the pairs come to. Shares are fractions of the real value (of the simulated one if nothing was executed
    really); ``later_s`` is the median by which the real fills came later; ``money_bps`` is relative to the real value.
    """

    real_fills: int
    simulated_fills: int
    matched: float
    missed: float
    extra: float
    worse_bps: float
    later_s: float
    roles_differ: int
    money: dict[str, float]
    money_bps: float
