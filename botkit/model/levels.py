"""A level of an order book."""

from __future__ import annotations

import msgspec

__all__ = ["Level"]


class Level(msgspec.Struct, frozen=True, gc=False):
    """One price level of an order book."""

    price: float
    amount: float
