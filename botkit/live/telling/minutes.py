"""Stores a run's prices as one row per minute and pair, for the live page: ``minutes.jsonl`` in the run's folder.

    ["btc_usdt", 1796027880, 104479.1, 104483.0, 104470.2, 104471.0, 1.25]
    ["", 1796027880, 20450.47]

A pair's row contains the start of the minute in seconds, followed by open, high, low, close and volume. A row without a
pair is the bot's equity.

The trades come from the recording, which passes them on after the resulting orders have been sent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from botkit.live.ports import Appending, Disk
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import Trade

MINUTES = "minutes.jsonl"
_NS_PER_MINUTE: Nanos = 60 * NS_PER_S
#: a row has about 60 bytes, so this is enough for more than a year of data for one pair
_BYTES_MAX = 64 << 20

Row = list[str | int | float]


class Minutes:
    """Collects the rows of one run. ``tell`` is called with the reason if they can no longer be written."""

    def __init__(self, folder: Path, disk: Disk, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._encode = msgspec.json.Encoder().encode
        self._running: dict[str, Row] = {}
        self._finished: list[Row] = []
        self._bytes_left = _BYTES_MAX
        self._file: Appending | None = None
        with contextlib.suppress(OSError):  # the run's other files fail as well, which is reported
            disk.files.remove(folder / MINUTES)  # left over from an earlier emulator's run with this number
            self._file = disk.files.append(folder / MINUTES)

    def saw(self, trade: Trade) -> None:
        """Add a trade to its minute. A late trade is added to the current minute."""
        pair, price, start = trade.pair, trade.price, trade.time // _NS_PER_MINUTE * 60
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

    def worth(self, now: Nanos, equity: float | None) -> None:
        """Record the equity, once per minute."""
        start, row = now // _NS_PER_MINUTE * 60, self._running.get("")
        if equity is None or (row is not None and start == row[1]):
            return
        self._running[""] = row = ["", start, equity]
        self._finished.append(row)

    def running(self) -> list[Row]:
        """Return the unfinished row of each pair."""
        return [row for pair, row in self._running.items() if pair]

    def flush(self) -> None:
        """Write the finished rows."""
        if not self._finished:
            return
        rows, self._finished = self._finished, []
        if self._file is None:
            return
        block = b"".join(self._encode(row) + b"\n" for row in rows)
        self._bytes_left -= len(block)
        try:
            if self._bytes_left < 0:
                raise OSError(f"it has reached {_BYTES_MAX >> 20} MB")
            self._file.write(block)
            self._file.flush()
        except OSError as error:
            self._end()
            self._tell(f"{MINUTES} of this run, the live page's chart, ends here: {error}")

    def close(self) -> None:
        """Write all remaining rows, including the unfinished ones, and close the file."""
        self._finished += self.running()
        self._running.clear()
        self.flush()
        self._end()

    def _end(self) -> None:
        file, self._file = self._file, None
        with contextlib.suppress(OSError):
            if file is not None:
                file.close()
