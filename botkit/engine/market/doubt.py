"""A doubted price range of a pair."""

from __future__ import annotations

import msgspec

from botkit.model.clock import Nanos


class Doubt(msgspec.Struct):
    """A doubted price range: ``low`` to ``high`` (NaN: not a price), last seen at ``at``."""

    low: float
    high: float
    at: Nanos
    agreed: int = 0
    withheld: int = 0
    is_told: bool = False
