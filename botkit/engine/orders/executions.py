"""Merges an order's executions from two sources: the account stream and the exchange's listing.

Either source may report first, be incomplete or contain repeats, and the ids of the two sources are unrelated. Within a
source, an id identifies one execution; across sources, only price, amount and fee can be compared. The number of
executions of equal price and amount to book is therefore the larger of the two sources' counts, whichever source
delivers them first.

The fee never decides how many are booked, only which: two equal executions can have different fees (one made, one
taken), while the two sources may state one fee differently (QUESTIONS.md, Q10).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from botkit.model.events import TradeReport
from botkit.model.inputs import BookedExecution

_Row = tuple[int, int]  # ticks, lots


class Executions(msgspec.Struct):
    """The known executions of one order."""

    #: One table has two kinds of keys, because a run has many orders and nearly all of them have one execution:
    #: (listed, id): nothing, the source has shown it; (listed, (ticks, lots)): the fees of bookings that the source
    #: has yet to show.
    known: dict[tuple[bool, str | _Row], tuple[int | None, ...]] = {}
    #: (listed, row) that were counted as one of those bookings although no fee agreed
    unlike: tuple[tuple[bool, TradeReport], ...] = ()

    def take(self, report: TradeReport, *, listed: bool) -> TradeReport | None:
        """Take a row from the stream or from the listing, and return the row to book, if any.

        That can be an earlier row: one counted as a booking whose own row arrives now.
        """
        known = self.known
        name = (listed, report.trade_id)
        if name in known:
            return None
        known[name] = ()
        row = (report.price_ticks, report.lots)
        if known.get((listed, row)):
            return self._compare(report, row, listed)
        other = (not listed, row)
        known[other] = (*known.get(other, ()), report.fee_units)
        return report

    def _compare(self, report: TradeReport, row: _Row, listed: bool) -> TradeReport | None:
        """Count a row as one of the bookings that its source has yet to show, or return the row to book."""
        awaited = list(self.known[listed, row])
        alike = [at for at, (source, held) in enumerate(self.unlike) if source == listed and _row(held) == row]
        new: TradeReport | None = None
        if report.fee_units in awaited:
            awaited.remove(report.fee_units)
            self.known[listed, row] = tuple(awaited)
            if len(alike) > len(awaited):
                new = self.unlike[alike[0]][1]
                self.unlike = self.unlike[: alike[0]] + self.unlike[alike[0] + 1 :]
        elif len(alike) < len(awaited):
            self.unlike = (*self.unlike, (listed, report))
        else:
            new = report
        if new is not None:
            other = (not listed, row)
            self.known[other] = (*self.known.get(other, ()), new.fee_units)
        return new

    def restore(self, booked: Iterable[BookedExecution]) -> None:
        """Mark executions from an earlier run as booked, because the listing repeats them. The stream sends each
        execution once, so a row from there is a new one.
        """
        for ticks, lots, fee in booked:
            key = (True, (ticks, lots))
            self.known[key] = (*self.known.get(key, ()), fee)


def _row(report: TradeReport) -> _Row:
    return report.price_ticks, report.lots
