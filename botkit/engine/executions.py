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

    __slots__ = ("_booked", "_counts", "_ids")

    def __init__(self) -> None:
        self._ids: set[tuple[bool, str]] = set()
        self._counts: dict[tuple[bool, _Row], int] = {}
        self._booked: dict[_Row, int] = {}

    def is_new(self, report: TradeReport, *, listed: bool) -> bool:
        """Take a row of the stream, or of the listing; True when it must be booked."""
        name = (listed, report.trade_id)
        if name in self._ids:
            return False
        self._ids.add(name)
        row = (report.price_ticks, report.lots)
        key = (listed, row)
        count = self._counts[key] = self._counts.get(key, 0) + 1
        if count <= self._booked.get(row, 0):
            return False  # the other source brought it
        self._booked[row] = count
        return True

    def restore(self, rows: Iterable[_Row]) -> None:
        """Take executions of an earlier run for booked: both sources may tell of them again, none of them counts."""
        for row in rows:
            self._booked[row] = self._booked.get(row, 0) + 1
            # the stream tells an execution once, so one that comes now is another; the listing lists them all again
            self._counts[False, row] = self._booked[row]
