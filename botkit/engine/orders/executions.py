"""One order's executions out of two sources: the account's stream, and the exchange's listing.

Either may come first, be incomplete or repeat itself, and their ids have nothing to do with each other. Within a source
an id stands for one execution; across them only price and amount can be compared. So of equal rows as many were
executed as the fuller source has, and that many are booked, whichever brings them first.
"""

from __future__ import annotations

from collections.abc import Iterable

from botkit.model.events import TradeReport

_Row = tuple[int, int]  # ticks, lots


class Executions:
    """What is known of one order's executions."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        # Three things in one table, since nearly every order has one execution and a run has many orders:
        # (listed, id) was seen; (listed, row) came so many times; (row) was booked so many times.
        self._known: dict[tuple[bool, str] | tuple[bool, _Row] | _Row, int] = {}

    def is_new(self, report: TradeReport, *, listed: bool) -> bool:
        """Take a row of the stream, or of the listing; True when it must be booked."""
        known = self._known
        name = (listed, report.trade_id)
        if name in known:
            return False
        known[name] = 1
        row = (report.price_ticks, report.lots)
        key = (listed, row)
        count = known[key] = known.get(key, 0) + 1
        if count <= known.get(row, 0):
            return False  # the other source brought it
        known[row] = count
        return True

    def restore(self, rows: Iterable[_Row]) -> None:
        """Take executions of an earlier run for booked: both sources may tell of them again, none of them counts."""
        for row in rows:
            booked = self._known[row] = self._known.get(row, 0) + 1
            # the stream tells an execution once, so one that comes now is another; the listing lists them all again
            self._known[False, row] = booked
