"""Stores a run's prices as one row per minute and pair, for the live page: ``minutes.jsonl`` in the run's folder.

    ["btc_usdt", 1796027880, 104479.1, 104483.0, 104470.2, 104471.0, 1.25]
    ["", 1796027880, 20450.47, -3.21]

A pair's row contains the start of the minute in seconds, followed by open, high, low, close and volume. A row without a
pair is the bot's equity and the run's profit, which capital moved meanwhile does not change; null while it is unknown.

The trades come from the recording, which passes them on after the resulting orders have been sent.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from botkit.live.notifications.row_file import RowFile
from botkit.live.ports import Disk
from botkit.model.clock import NS_PER_MINUTE, Nanos
from botkit.model.events import Trade

MINUTES = "minutes.jsonl"
Row = list[str | int | float | None]


class Minutes:
    """Collects the rows of one run. ``tell`` is called with the reason if they can no longer be written."""

    def __init__(self, folder: Path, disk: Disk, tell: Callable[[str], None]) -> None:
        self._running: dict[str, Row] = {}
        self._finished: list[Row] = []
        self._file = RowFile(folder / MINUTES, disk, tell, "the live page's chart")

    def saw(self, trade: Trade) -> None:
        """Add a trade to its minute. A late trade is added to the current minute."""
        pair, price, start = trade.pair, trade.price, trade.time // NS_PER_MINUTE * 60
        row = self._running.get(pair)
        if row is None or start > row[1]:  # type: ignore[operator]
            if row is not None:
                self._finished.append(row)
            self._running[pair] = [str(pair), start, price, price, price, price, trade.amount]
            return
        if price > row[3]:  # type: ignore[operator]
            row[3] = price
        elif price < row[4]:  # type: ignore[operator]
            row[4] = price
        row[5] = price
        row[6] += trade.amount  # type: ignore[operator]

    def worth(self, now: Nanos, equity: float | None, profit: float | None) -> None:
        """Record the equity and the run's profit, once per minute."""
        start, row = now // NS_PER_MINUTE * 60, self._running.get("")
        if equity is None or (row is not None and start == row[1]):
            return
        self._running[""] = row = ["", start, equity, profit]
        self._finished.append(row)

    def running(self) -> list[Row]:
        """Return the unfinished row of each pair."""
        return [row for pair, row in self._running.items() if pair]

    def flush(self) -> None:
        """Write the finished rows."""
        rows, self._finished = self._finished, []
        self._file.write(rows)

    def close(self) -> None:
        """Write all remaining rows, including the unfinished ones, and close the file."""
        self._finished += self.running()
        self._running.clear()
        self.flush()
        self._file.close()
