"""Assigns starting points for client ids to the bots on one account. The starting points are so far apart that ids
never collide.

The exchange treats a client id as a mere label and accepts duplicates. Each bot counts up from its own starting point,
which is stored in its journal. A bot that would start near another bot of its process gets a new starting point, and so
does a new bot that would start near another bot of its machine: it would take that bot's orders for its own lost ones
(`botkit.live.journal_losses`).
"""

from __future__ import annotations

from random import Random

from botkit.live.journal import ID_MAX
from botkit.live.journal_reading import counted, counter_of
from botkit.live.state_folder import StateFolder

#: enough client ids for sixteen days at 2,100 orders per minute, the maximum rate that the exchange's limits allow
_APART = 50_000_000


class ClientIdPlaces:
    """The starting points of all bots on one account."""

    def __init__(self) -> None:
        self._firsts: dict[str, int] = {}

    def note_others(self, folder: StateFolder) -> None:
        """Note where the ids of all other bots of this account on this machine are, whether they are running or not."""
        for other, beside in folder.neighbours():
            reserved = counted(counter_of(beside.journal), folder.disk)
            if reserved:
                self._firsts.setdefault(other, reserved)

    def claim(self, bot: str, first: int, random: Random) -> int:
        """Return ``first``, or a random starting point if another bot is near it."""
        others = [place for name, place in self._firsts.items() if name != bot]
        # each bot blocks twice this distance; even so, at least half of all numbers stay free
        apart = min(_APART, ID_MAX // (4 * (len(others) + 1)))
        while any(abs(first - other) < apart for other in others):
            first = random.randrange(1, ID_MAX - apart)
        self._firsts[bot] = first
        return first
