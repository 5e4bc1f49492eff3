"""The built-in queue assumptions: how trades and snapshots move a resting order forward in the queue.

A recorded book shows amounts, not orders, so it is unknown which cancelled orders were ahead of ours and which were
behind. The true result lies within the bounds set by these three assumptions. Run all three to see how much the result
depends on luck in the queue.
"""

from __future__ import annotations

#: more lots than any order has, used as an unlimited amount
WHOLE = 1 << 62


class Queue:
    """The default: the order joins behind the amount shown. Trades at its price and smaller snapshots reduce the amount
    ahead.
    """

    assumptions: tuple[str, ...] = (
        "Queue (default assumption): an order joins behind the entire amount recorded at its price on arrival, and "
        "ahead of later orders; trades at its price use up the amount ahead, then fill the order with the rest.",
        "A snapshot that shows less at the price caps the amount ahead: cancels are assumed to be ahead of the order "
        "only as far as the snapshot proves it.",
        "A trade beyond the price fills an order with the trade's amount, at the order's price; an opposite best at or"
        " beyond the price fills it with the amount shown there.",
    )

    def on_arrival(self, shown: int) -> int:
        """Return the full amount shown as the amount ahead."""
        return shown

    def on_snapshot(self, ahead: int, shown: int) -> int:
        """Cap the amount ahead at the amount shown."""
        return ahead if ahead < shown else shown

    def on_trade(self, ahead: int, lots: int) -> tuple[int, int]:
        """Return the lots still ahead after a trade, and the lots left to fill our order."""
        return (ahead - lots, 0) if lots <= ahead else (0, lots - ahead)

    def on_through(self, lots: int) -> int:
        """Return the trade's amount."""
        return lots

    def on_cross(self, lots: int) -> int:
        """Return the amount shown."""
        return lots


class Optimistic:
    """Assumes that nothing is ahead of an order, and that any touch fills the order completely: an upper bound."""

    assumptions: tuple[str, ...] = (
        "Queue (optimistic assumption): nothing is ahead of an order, and any trade at or beyond its price, or an "
        "opposite best there, fills it completely, regardless of the trade's amount. This is an upper bound.",
    )

    def on_arrival(self, shown: int) -> int:
        """Return 0: nothing is ahead."""
        return 0

    def on_snapshot(self, ahead: int, shown: int) -> int:
        """Return 0: nothing is ahead."""
        return 0

    def on_trade(self, ahead: int, lots: int) -> tuple[int, int]:
        """Return an unlimited amount, so that the order fills completely."""
        return 0, WHOLE

    def on_through(self, lots: int) -> int:
        """Return an unlimited amount, so that the order fills completely."""
        return WHOLE

    def on_cross(self, lots: int) -> int:
        """Return an unlimited amount, so that the order fills completely."""
        return WHOLE


class Pessimistic:
    """Assumes that the order is always last at its price, so only trades beyond the price fill it: a lower bound."""

    assumptions: tuple[str, ...] = (
        "Queue (pessimistic assumption): an order is always last at its price, so only a recorded trade beyond the"
        " price fills it, with that trade's amount; neither trades at the price nor the visible book fills it. This "
        "is a lower bound.",
    )

    def on_arrival(self, shown: int) -> int:
        """Treat all lots as ahead, permanently."""
        return shown

    def on_snapshot(self, ahead: int, shown: int) -> int:
        """Leave the amount unchanged, because a smaller snapshot does not prove that the order has moved forward."""
        return ahead

    def on_trade(self, ahead: int, lots: int) -> tuple[int, int]:
        """Fill nothing, because trades at the price fill other orders."""
        return ahead, 0

    def on_through(self, lots: int) -> int:
        """Return the trade's amount."""
        return lots

    def on_cross(self, lots: int) -> int:
        """Return 0, because an amount in the book is not a trade."""
        return 0
