"""A ledger of request slots within one process, for the bots that run in it.

The broker and Redis serve processes that live by the machine's time. Bots of one process may live by an emulator's,
which runs faster, or have been told to share with nobody else; between themselves they share all the same.
"""

from __future__ import annotations

from random import Random

from botkit.live.clock import DriverClock
from botkit.live.shared_limits.ledger import Ledger, Message, Reply, new_ledger_id


class OwnLedger:
    """A `Link` to a ledger that lives and dies with this process, so that it is never out of reach.

    ``clock`` is that of the bots: their windows are as long as the exchange's in its time.
    """

    name = "the limits of this process"

    def __init__(self, clock: DriverClock, random: Random) -> None:
        self._clock = clock
        self._ledger = Ledger(new_ledger_id(random))

    async def call(self, message: Message) -> Reply:
        """Apply a message. Nobody falls silent here: who ends says so, whatever ended it."""
        return self._ledger.apply(message, self._clock.now())

    async def close(self) -> None:
        """One of the bots has ended; the ledger is for the others."""
