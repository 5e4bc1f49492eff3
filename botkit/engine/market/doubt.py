"""A pair's price range that is not trusted yet."""

from __future__ import annotations

import msgspec

from botkit.model.clock import Nanos


class Doubt(msgspec.Struct):
    """A price range that is not trusted yet: ``low`` to ``high`` (NaN if the value is not a price), last seen at
    ``at``.
    """

    low: float
    high: float
    at: Nanos
    agreed: int = 0
    withheld: int = 0
    is_told: bool = False
