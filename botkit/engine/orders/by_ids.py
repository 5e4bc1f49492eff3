"""Reads many orders of a pair in a single listing, if a probe shows that the exchange's listing can filter by order
ids.

The filter is documented only in an unmerged draft, so the exchange may ignore it. It is probed once per run, the first
time it would save requests: a listing filtered by the id of an existing order must show that order, and one filtered by
an impossible id must not. Until the probe succeeds, and for the rest of the run if it fails, each order is read
separately.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from botkit.engine.orders.reads import LISTED_MAX, Reads
from botkit.model.clock import Nanos
from botkit.model.events import OrderReport
from botkit.model.pairs import Pair
from botkit.model.requests import Answer, Ending, ListOrders

_OWNER = "(orders by id)"
#: below this number of orders in a pair, a listing saves too few requests to justify the probe
LEAST = 5
#: maximum ids per request: the draft allows 1000, but many servers reject URLs over 8 KB
IDS_MAX = 200
#: an id that no order has: real ids have at least nine digits (API documentation, order model)
_NO_ORDER = "1"

#: a function that receives the rows, keyed by order
OnRows = Callable[[Mapping[str, OrderReport] | None, Nanos], None]


class OrdersByIds:
    """Listings filtered by order ids. ``proven`` is True if the filter works, False if it does not, and None until it
    has been probed.
    """

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self.proven: bool | None = None

    def pays(self, count: int) -> bool:
        """Return True if one listing is cheaper than reading this many of a pair's orders separately."""
        return count >= LEAST and self.proven is not False

    def read(self, pair: Pair, ids: Sequence[str], on_rows: OnRows, now: Nanos) -> None:
        """List the orders with these ids."""
        if self.proven:
            self._list(pair, list(ids), {}, on_rows, now)
            return

        def on_known(answer: Answer, at: Nanos) -> None:
            rows = _rows(answer)
            if rows is None:
                on_rows(None, at)  # the filter may be probed again
            elif [row.order_id for row in rows] != [ids[0]]:
                self.proven = False
                on_rows(None, at)
            else:
                self._ask(pair, [_NO_ORDER], on_unknown, at)

        def on_unknown(answer: Answer, at: Nanos) -> None:
            rows = _rows(answer)
            if rows is None:
                on_rows(None, at)
                return
            self.proven = not rows
            if self.proven:
                self._list(pair, list(ids), {}, on_rows, at)
            else:
                on_rows(None, at)

        self._ask(pair, [ids[0]], on_known, now)

    def _list(self, pair: Pair, ids: list[str], found: dict[str, OrderReport], on_rows: OnRows, now: Nanos) -> None:
        part, rest = ids[:IDS_MAX], ids[IDS_MAX:]

        def on_answer(answer: Answer, at: Nanos) -> None:
            rows = _rows(answer)
            if rows is not None and not {row.order_id for row in rows} <= set(part):
                self.proven, rows = False, None  # the exchange no longer applies the filter
            found.update({row.order_id: row for row in rows or ()})
            if rows is not None and rest:
                self._list(pair, rest, found, on_rows, at)
            else:
                on_rows(found or None, at)

        self._ask(pair, part, on_answer, now)

    def _ask(self, pair: Pair, ids: list[str], on_answer: Callable[[Answer, Nanos], None], now: Nanos) -> None:
        self._reads.read(
            lambda i: ListOrders(id=i, pair=pair, order_ids=tuple(ids), limit=LISTED_MAX),
            on_answer,
            endpoint=ListOrders.endpoint,
            owner=_OWNER,
            now=now,
        )


def _rows(answer: Answer) -> list[OrderReport] | None:
    """Return the rows of a response, or None if the listing failed."""
    if answer.outcome is not Ending.OK or not isinstance(answer.body, tuple):
        return None
    return [row for row in answer.body if isinstance(row, OrderReport)]
