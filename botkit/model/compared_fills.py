"""Value types for comparing a real session's fills with those of its simulation."""

from __future__ import annotations

from typing import Literal

import msgspec

from botkit.model.clock import Nanos
from botkit.model.order_spec import Side

__all__ = ["AuditFigures", "ComparedKind", "FillLeg", "FillPair"]

ComparedKind = Literal["matched", "missed", "extra"]
_BPS = 10_000


class FillLeg(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a comparison. ``price`` is an average. ``fee`` is in quote currency, or None if it was paid in a
    third currency that nothing values.
    """

    price: float
    fee: float | None
    time: Nanos
    is_maker: bool


class FillPair(msgspec.Struct, frozen=True, kw_only=True):
    """Part of an order, with its real and its simulated execution, either of which may be missing.

    ``money`` is the amount, in quote currency, by which the real execution left the account better off than the
    simulated execution. If one of them is missing, the other is valued against the pair's last price. It includes the
    fees if they are known on both sides.
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
        """The value of the amount in quote currency at the real price, or at the simulated price if there was no real
        execution.
        """
        leg = self.real or self.simulated
        assert leg is not None
        return leg.price * self.amount

    @property
    def worse_bps(self) -> float | None:
        """How much worse the real price was than the simulated price, in basis points of the simulated price."""
        if self.real is None or self.simulated is None:
            return None
        sign = 1 if self.side == Side.BUY.value else -1
        return sign * (self.real.price / self.simulated.price - 1) * _BPS


class AuditFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Totals over all compared fills. Shares are fractions of the real value, or of the simulated value if there were
    no real executions. ``later_s`` is the median delay of the real fills relative to the simulated ones. ``money_bps``
    is relative to the same base value as the shares.
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
