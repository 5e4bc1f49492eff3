"""Frees the slots that a killed run still holds in the shared limits, when the bot is started again.

The ledger has no record of the requests that a dead process has sent, so it holds every slot leased by that process
until no request can arrive any more. The journal does have this record, because every request is journaled before it is
sent. The next run holds the folder's lock, so the journal cannot change any more. Without this step, a bot that crashes
and restarts a few times within a minute would have to wait for its own reads, and later for its own cancels.
"""

from __future__ import annotations

import json

from botkit.live.journal import Journal
from botkit.live.journal_rows import JournalError
from botkit.live.limits.leases import Predecessor, SharedLimits
from botkit.model.clock import Nanos

_META = "shared"


def predecessor(journal: Journal, since: Nanos) -> Predecessor | None:
    """Return the previous run's holder name in the shared limits and the requests sent ``since`` a given time, or None
    if that run did not share limits.
    """
    found = journal.document(_META)
    if not found:
        return None
    with journal.reading(f"document {_META}"):
        return Predecessor(
            ledger=found["ledger"], holder=found["holder"], sent=journal.sends_since(since, run=found["run"])
        )


def keep_identity(journal: Journal, shared: SharedLimits | None) -> None:
    """Save the holder name of this run each time the run joins the ledger."""

    def on_join(ledger: str, holder: str) -> bool:
        # if this fails, the journal still names the previous holder, which the ledger has already removed
        try:
            journal.put_meta({_META: json.dumps({"ledger": ledger, "holder": holder, "run": journal.run})})
        except JournalError:
            return False
        return True

    if shared is not None:
        shared.on_join = on_join
    elif journal.meta(_META):
        journal.put_meta({_META: ""})
