"""The prices at which a pair's orders can be touched."""

from __future__ import annotations

import msgspec

#: one price above and one price below every recorded price
NEVER_UP = 1 << 62
NEVER_DOWN = -1


class Bounds(msgspec.Struct):
    """The prices at which a pair's orders can be touched, in ticks.

    Resting buys are touched by sellers at or below ``buy``, and resting sells by buyers at or above ``sell``. Stops are
    touched when the last price is at or above ``stop_up`` or at or below ``stop_down``. Orders that are filled from
    trades (on tapes without books) are touched by any trade at or below ``take_buy`` or at or above ``take_sell``.
    """

    buy: int = NEVER_DOWN
    sell: int = NEVER_UP
    stop_up: int = NEVER_UP
    stop_down: int = NEVER_DOWN
    take_buy: int = NEVER_DOWN
    take_sell: int = NEVER_UP

    def of_book(self) -> Bounds:
        """Return the bounds for book snapshots, without the bounds that only trades can touch."""
        return Bounds(self.buy, self.sell)


#: bounds that nothing touches
NO_BOUNDS = Bounds()
