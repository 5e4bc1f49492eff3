"""The pairs of an exchange, including those that cannot be traded here."""

from __future__ import annotations

from collections.abc import Mapping

from botkit.model.pairs import Pair

__all__ = ["ListedPairs", "own_pairs"]


class ListedPairs(dict[str, Pair]):
    """Pairs by lowercase name. An adapter may return it from ``pairs()``, so that a strategy on a pair that was left
    out is refused with the reason.
    """

    def __init__(self, pairs: Mapping[str, Pair], left_out: Mapping[str, str]) -> None:
        super().__init__(pairs)
        #: the pairs that the exchange lists and botkit cannot trade, each with the reason
        self.left_out = dict(left_out)


def own_pairs(pairs: Mapping[str, Pair]) -> Mapping[str, Pair]:
    """Return the same pairs as other objects, for a bot to run with. It updates their rules when the exchange changes
    them, and no other bot of the process, nor a simulated exchange in it, may see that.
    """
    own = {name: pair.copy() for name, pair in pairs.items()}
    return ListedPairs(own, pairs.left_out) if isinstance(pairs, ListedPairs) else own
