"""The orders that count at one level, a strategy or the bot, as the risk rules read them."""

from __future__ import annotations

from collections import deque

from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.orders import BUY, Side
from botkit.model.pairs import Pair


class LevelCounts:
    """The open orders at one level, and the orders placed in the second before ``now``, the time of the last review."""

    __slots__ = ("buys", "by_pair", "now", "seen", "sells", "times", "total")

    def __init__(self) -> None:
        self.now: Nanos = 0
        self.total = 0
        self.by_pair: dict[str, int] = {}
        self.buys: dict[str, int] = {}  # unfilled lots, by pair
        self.sells: dict[str, int] = {}
        self.times: deque[tuple[Nanos, int]] = deque()  # (created, client id) of the orders in about the last second
        # client ids in ``times``, so that a reopened order is counted only once
        self.seen: set[int] = set()

    def pending_lots(self, pair: Pair, side: Side) -> int:
        """Return the total unfilled lots of live and queued orders on one side. Unknown orders are treated as live."""
        return (self.buys if side is BUY else self.sells).get(pair, 0)

    def open_orders(self, pair: Pair | None = None) -> int:
        """Return the number of orders that are live or queued."""
        return self.total if pair is None else self.by_pair.get(pair, 0)

    def orders_in_last_second(self) -> int:
        """Return the number of orders that passed the review in the last second, excluding the one under review."""
        self.forget_before(self.now - NS_PER_S)
        return len(self.times)

    def place(self, created: Nanos, client_id: int) -> None:
        """Count an order that was placed or reopened."""
        times, seen = self.times, self.seen
        if client_id not in seen and (not times or created >= times[-1][0]):
            self.forget_before(created - NS_PER_S)
            times.append((created, client_id))
            seen.add(client_id)

    def forget_before(self, time: Nanos) -> None:
        """Drop orders placed at or before ``time``."""
        times = self.times
        while times and times[0][0] <= time:
            self.seen.discard(times.popleft()[1])
