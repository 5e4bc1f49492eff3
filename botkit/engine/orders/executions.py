"""Merges an order's executions from two sources: the account stream and the exchange's listing.

Either source may report first, be incomplete or contain repeats, and the ids of the two sources are unrelated. Within a
source, an id identifies one execution; across sources, only price and amount can be compared. The number of equal rows
to book is therefore the larger of the two sources' counts, whichever source delivers them first.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from botkit.model.events import TradeReport

_Row = tuple[int, int]  # ticks, lots


class Executions(msgspec.Struct):
    """The known executions of one order."""

    #: One table has three kinds of keys, because a run has many orders and nearly all of them have one execution:
    #: (listed, id): seen; (listed, row): number of arrivals; (row): number of bookings.
    known: dict[tuple[bool, str] | tuple[bool, _Row] | _Row, int] = {}

    def is_new(self, report: TradeReport, *, listed: bool) -> bool:
        """Add a row from the stream or from the listing. Returns True if it must be booked."""
        known = self.known
        name = (listed, report.trade_id)
        if name in known:
            return False
        known[name] = 1
        row = (report.price_ticks, report.lots)
        key = (listed, row)
        count = known[key] = known.get(key, 0) + 1
        if count <= known.get(row, 0):
            return False  # the execution has already arrived from the other source
        known[row] = count
        return True

    def restore(self, rows: Iterable[_Row]) -> None:
        """Mark executions from an earlier run as booked, because both sources may repeat them."""
        for row in rows:
            booked = self.known[row] = self.known.get(row, 0) + 1
            # the stream sends each execution once, so a new row is a new execution; the listing repeats all of them
            self.known[False, row] = booked
