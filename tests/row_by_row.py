"""A driver that runs one turn per row, used as the reference for quiet spans. Quiet spans must produce identical
results.
"""

from __future__ import annotations

from botkit.backtesting.driver import Driver
from botkit.model.merged_rows import MergedRows


class RowByRow(Driver):
    """Runs one turn per row."""

    def _rows(self, rows: MergedRows) -> None:
        engine, row = self.engine, 0
        while row < len(rows):
            at = int(rows.received[row])
            due, wake = self.kernel.next_at(), engine.wake_at()
            told_at = self._prints[0][0].at if self._prints else None
            if due is not None and due <= at and (wake is None or due <= wake) and (told_at is None or due <= told_at):
                self._publish(due, rows, row)
            elif wake is not None and wake < at and (told_at is None or wake < told_at):
                self.turn(None, max(wake, engine.view.now))
            elif self._prints and self._print_comes_first(rows.at(row)[0], at):
                self._tell_print()
            else:
                self.turn(engine.event_at(rows, row), at)
                row += 1
