"""Gives bots on one account and in one process starting points for their client ids, far enough apart that the ids
never collide.

To the exchange, a client id is only a label, and it accepts duplicates. Each bot counts up from its own starting point,
kept in its journal; a bot that would start near another gets a new one.
"""

from __future__ import annotations

from random import Random

from botkit.live.journal import ID_MAX

#: at the 2,100 orders a minute that the exchange's limits allow, a bot uses this many in sixteen days
_APART = 50_000_000


class ClientIdPlaces:
    """The starting points of all bots on one account."""

    def __init__(self) -> None:
        self._firsts: dict[str, int] = {}

    def claim(self, bot: str, first: int, random: Random) -> int:
        """Return ``first``, or a random starting point if another bot is near it."""
        others = [place for name, place in self._firsts.items() if name != bot]
        # each bot blocks twice that distance, which still leaves at least half of all numbers free
        apart = min(_APART, ID_MAX // (4 * (len(others) + 1)))
        while any(abs(first - other) < apart for other in others):
            first = random.randrange(1, ID_MAX - apart)
        self._firsts[bot] = first
        return first
