"""The pairs of an exchange, including those that cannot be traded here."""

from __future__ import annotations

from collections.abc import Mapping

from botkit.model.pairs import Pair

__all__ = ["ListedPairs"]


class ListedPairs(dict[str, Pair]):
    """Pairs by lowercase name. An adapter may return it from ``pairs()``, so that a strategy on a pair that was left
    out is refused with the reason.
    """

    def __init__(self, pairs: Mapping[str, Pair], left_out: Mapping[str, str]) -> None:
        super().__init__(pairs)
        #: the pairs that the exchange lists and botkit cannot trade, each with the reason
        self.left_out = dict(left_out)
