"""The ledger of the bots of one process, which live by one clock.

It is used where no other process can share: at an emulator that runs faster than the machine's time, and for
``limits: {ledger: none}``.
"""

from __future__ import annotations

from random import Random

import msgspec

from botkit.live.limits.ledger import WAITER_PATIENCE, new_ledger
from botkit.live.limits.protocol import LedgerReply, Message
from botkit.model.clock import Clock

#: no bot of this process falls silent: each says when it ends
_NEVER = 1 << 62


class InProcessLedger:
    """A `Link` to a ledger that lives and dies with this process, so it is never out of reach."""

    name = "the limits of this process"

    def __init__(self, clock: Clock, random: Random) -> None:
        """``clock`` is that of the bots."""
        self._clock = clock
        # how soon a bot can ask again is a matter of the machine, however fast the bots' clock runs
        patience = round(WAITER_PATIENCE * max(1.0, getattr(clock, "speed", 1.0)))
        self._ledger = msgspec.structs.replace(new_ledger(random), dead_after=_NEVER, waiter_patience=patience)

    async def call(self, message: Message) -> LedgerReply:
        """Carry a message out."""
        return self._ledger.apply(message, self._clock.now())

    async def close(self) -> None:
        """One of the bots has ended; the ledger is for the others."""
