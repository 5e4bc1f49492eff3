"""Where the bots of one process and account begin to count their client ids: so far apart that they never meet.

A client id is only a label to the exchange, which takes the same one twice. Each bot counts up from a place of its own,
which its journal keeps; a bot that would begin near another takes a new place.
"""

from __future__ import annotations

from random import Random

from botkit.live.journal import ID_MAX

#: at the 2,100 orders a minute that the exchange's limits allow, a bot counts so far in sixteen days
_APART = 50_000_000


class ClientIdPlaces:
    """The places at which the bots of one account began."""

    def __init__(self) -> None:
        self._firsts: dict[str, int] = {}

    def claim(self, bot: str, first: int, random: Random) -> int:
        """``first``, or a place of chance where another bot is near it."""
        others = [place for name, place in self._firsts.items() if name != bot]
        # each bot bars twice that distance, so half of all numbers are always free
        apart = min(_APART, ID_MAX // (4 * (len(others) + 1)))
        while any(abs(first - other) < apart for other in others):
            first = random.randrange(1, ID_MAX - apart)
        self._firsts[bot] = first
        return first
