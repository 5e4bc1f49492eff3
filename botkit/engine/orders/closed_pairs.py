"""The pairs that take no orders because of what the exchange lists: its maintenance, or rules that the bot cannot
follow.
"""

from __future__ import annotations

from botkit.model.orders import Order
from botkit.model.pairs import Pair


class ClosedPairs:
    """Pairs whose new orders are refused, each with the reason. `botkit.engine.market.listed_rules` closes and reopens
    them.
    """

    def __init__(self) -> None:
        #: why each closed pair is closed
        self.reasons: dict[Pair, str] = {}
        #: the pairs in which orders that reduce a position may still be sent
        self.halted: set[Pair] = set()

    def refusal(self, order: Order) -> str | None:
        """Return the reason to refuse an order in a closed pair, or None."""
        reason = self.reasons.get(order.pair)
        if reason is None or (order.reduces and order.pair in self.halted):
            return None
        return reason
