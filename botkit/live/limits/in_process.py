"""The ledger for the bots of one process, which share a clock.

It is used when no other process can share the limits, which is the case for an emulator that runs faster than real
time, and for ``limits: {ledger: none}``.
"""

from __future__ import annotations

from random import Random

import msgspec

from botkit.live.clock import DriverClock
from botkit.live.limits.ledger import WAITER_PATIENCE, new_ledger
from botkit.live.limits.protocol import LedgerReply, Message

#: bots in one process are never presumed dead because of silence, because each bot reports that it has stopped
_NEVER = 1 << 62


class InProcessLedger:
    """A `Link` to a ledger within this process. The ledger is always reachable."""

    name = "the limits of this process"

    def __init__(self, clock: DriverClock, random: Random) -> None:
        """``clock`` is the bots' clock."""
        self._clock = clock
        # the delay before a bot can query the ledger again depends on the speed of the machine, not on the bots' clock
        patience = round(WAITER_PATIENCE * max(1.0, clock.speed))
        self._ledger = msgspec.structs.replace(new_ledger(random), dead_after=_NEVER, waiter_patience=patience)

    async def call(self, message: Message) -> LedgerReply:
        """Apply a message and return the reply."""
        return self._ledger.apply(message, self._clock.now())

    async def close(self) -> None:
        """Do nothing when a bot stops, because other bots still use the ledger."""
