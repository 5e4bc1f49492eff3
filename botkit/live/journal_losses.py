"""Detects whether a journal has lost its latest commits, because its log is missing, truncated or damaged, or because
an older copy was restored.

The log itself reveals most losses (`botkit.live.journal_log`). If a copy of all files was restored, two other signs
remain. First, client ids are reserved in the journal before they are counted in a separate file. If the count in that
file is ahead of the journal, the journal has therefore lost commits. Second, the exchange may have orders from this bot
that are missing from the journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from botkit.live.journal import DAMAGE, ID_BLOCK, ID_MAX, SKIPPED_MAX, Journal
from botkit.model.clock import NS_PER_MINUTE, Nanos
from botkit.model.events import OrderReport
from botkit.model.inputs import Unwritten
from botkit.model.orders import Order

#: how far the exchange's timestamps may differ from this machine's clock
_CLOCKS_APART: Nanos = NS_PER_MINUTE
_WRITTEN_OFF = "written_off"
#: If starts of the bot are missing from the journal, the ids of each missing start begin at most `SKIPPED_MAX` after
#: the previous ids. This many consecutive missing starts are detected. A new bot starts its ids far from those of the
#: other bots of its machine (`botkit.live.client_ids`). The probability that a bot of another machine has ids that
#: close is one in two thousand.
_LOST_STARTS = 5


def has_lost_ids(journal: Journal) -> bool:
    """Return whether any reserved client ids are missing from the journal. A new journal is exempt, because it has no
    ids yet.
    """
    reach = journal.reach()
    return not journal.is_new and reach.counted > reach.reserved


def unwritten_orders(journal: Journal) -> Unwritten | None:
    """Return a filter for orders at the exchange that would prove lost commits, or None if no order id can prove
    this.
    """
    reach = journal.reach()
    reserved = max(reach.reserved, reach.counted)
    if reach.first_id is None or reach.last_id is None:
        first_id = reserved - ID_BLOCK
    else:
        # Orders are not sent in id order, because a replacement waits until the order it replaces is final. An order in
        # a lost commit may therefore have a smaller id than the last journaled order.
        first_id = max(reach.first_id, reach.last_id - ID_BLOCK)
    first_id = max(first_id, int(journal.meta(_WRITTEN_OFF) or 0))
    end_id = min(reserved + _LOST_STARTS * SKIPPED_MAX, ID_MAX) if reserved else 0
    if not 0 < first_id < end_id:
        return None
    known = tuple(client_id for client_id in reach.latest_ids if client_id >= first_id)
    return Unwritten(max(0, reach.last_time - _CLOCKS_APART), first_id, end_id, known)


class Unjournaled:
    """Orders of the last run that reach the exchange only after this start and that the journal does not contain.

    The start itself halts for those that it finds. A later one is reported, but does not halt a bot that trades: its
    books contain all that has been filled so far.
    """

    def __init__(self, wanted: Unwritten) -> None:
        self._wanted = wanted
        self._told: set[str] = set()

    def news(self, foreign: Iterable[OrderReport], own: Iterable[Order]) -> Iterator[str]:
        """Yield a sentence for each such order that is new among the ``foreign`` orders of the account."""
        wanted = self._wanted
        found = [row for row in foreign if wanted.first_id <= (row.client_id or 0) < wanted.end_id]
        found = [row for row in found if row.order_id not in self._told and row.client_id not in wanted.known]
        if not found:
            return
        known = {order.client_id for order in own}
        for row in found:
            self._told.add(row.order_id)
            if row.client_id not in known:
                yield (
                    f"the exchange has an order of this bot that the journal does not contain: {row.order_id} of "
                    f"{row.pair}. It was sent before this start and arrived after it, so the disk has lost the last "
                    "commit; the bot leaves it alone. Cancel it at the exchange, or count on its fill"
                )


def write_off(journal: Journal, until: int = 0) -> None:
    """Record that the loss has been reported to the user, so that a later start does not report it again. Raises
    JournalError.

    ``until`` is one past the largest client id that is at the exchange but missing from the journal.
    """
    reach = journal.reach()
    journal.put_meta({_WRITTEN_OFF: max(reach.reserved, reach.counted, until), DAMAGE: ""})
