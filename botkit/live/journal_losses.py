"""Detects whether a journal has lost its latest commits: its log is missing, cut or damaged, or a copy was restored.

The log itself shows most of it (`botkit.live.journal_log`). Where a copy of all files was put back, two things do.
Client ids are reserved in the journal first and then counted in a file beside it, so a count that the journal does not
have is one that it lost. And the exchange may have orders of ours that it should know.
"""

from __future__ import annotations

from botkit.live.journal import DAMAGE, ID_BLOCK, Journal
from botkit.model.clock import NS_PER_MINUTE, Nanos
from botkit.model.inputs import Unwritten

#: how far the exchange's timestamps may be from this machine's clock
_CLOCKS_APART: Nanos = NS_PER_MINUTE
_WRITTEN_OFF = "written_off"


def has_lost_ids(journal: Journal) -> bool:
    """Return whether client ids were reserved that the journal does not know. A new journal knows of none."""
    reach = journal.reach()
    return not journal.is_new and reach.counted > reach.reserved


def unwritten_orders(journal: Journal) -> Unwritten | None:
    """Return which orders at the exchange would prove that commits are gone, or None if no id can belong to such an
    order.
    """
    reach = journal.reach()
    end_id = max(reach.reserved, reach.counted)
    first_id = max(
        end_id - ID_BLOCK if reach.last_id is None else reach.last_id + 1, int(journal.meta(_WRITTEN_OFF) or 0)
    )
    return Unwritten(max(0, reach.last_time - _CLOCKS_APART), first_id, end_id) if 0 < first_id < end_id else None


def write_off(journal: Journal) -> None:
    """Record that the user was told of the loss, so that a later start does not repeat it. Raises JournalError."""
    reach = journal.reach()
    journal.put_meta({_WRITTEN_OFF: max(reach.reserved, reach.counted), DAMAGE: ""})
