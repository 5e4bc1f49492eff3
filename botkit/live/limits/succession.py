"""When a bot starts after it was killed, frees the slots that the killed run still holds in the shared limits.

The ledger holds every slot leased by a dead process until no request can arrive any more, since it does not know what
was sent. The journal does: every request is in it before it is sent, and the next run holds the folder's lock, so
nothing more can be added. Without this a bot that crashes and restarts a few times within a minute would wait for its
own reads, and later for its own cancels.
"""

from __future__ import annotations

import json

from botkit.live.journal import Journal
from botkit.live.journal_rows import JournalError
from botkit.live.limits.leases import Predecessor, SharedLimits
from botkit.model.clock import Nanos

_META = "shared"


def predecessor(journal: Journal, since: Nanos) -> Predecessor | None:
    """Return the previous run's holder in the shared limits and what it sent ``since``, or None if it shared no
    limits.
    """
    found = journal.document(_META)
    if not found:
        return None
    with journal.reading(f"document {_META}"):
        return Predecessor(
            ledger=found["ledger"], holder=found["holder"], sent=journal.sends_since(since, run=found["run"])
        )


def keep_identity(journal: Journal, shared: SharedLimits | None) -> None:
    """Save the name of this run's holder each time it joins."""

    def on_join(ledger: str, holder: str) -> bool:
        # if this fails, the previous holder stays, which the ledger has ended by then
        try:
            journal.put_meta({_META: json.dumps({"ledger": ledger, "holder": holder, "run": journal.run})})
        except JournalError:
            return False
        return True

    if shared is not None:
        shared.on_join = on_join
    elif journal.meta(_META):
        journal.put_meta({_META: ""})
