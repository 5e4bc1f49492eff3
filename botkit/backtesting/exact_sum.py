"""Adds floats without rounding in between, block by block."""

from __future__ import annotations

import math
from collections.abc import Iterable


class ExactSum:
    """The same sum as `math.fsum` of all values together, without keeping them."""

    __slots__ = ("_parts",)

    def __init__(self, values: Iterable[float] = ()) -> None:
        #: floats whose exact sum is that of the values so far
        self._parts: list[float] = []
        self.add(values)

    def add(self, values: Iterable[float]) -> None:
        """Add values."""
        left, parts = [*self._parts, *values], []
        while (rounded := math.fsum(left)) and math.isfinite(rounded):
            parts.append(rounded)
            left.append(-rounded)
        self._parts = parts if math.isfinite(rounded) else [rounded]

    @property
    def value(self) -> float:
        """The sum, rounded once."""
        return math.fsum(self._parts)
