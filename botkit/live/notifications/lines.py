"""Stores the lines that strategies draw (attached indicators and plots) for the live page and the session's report:
``lines.jsonl`` in the run's folder.

    ["maker", "btc_usdt", "SMA(20)", "price", 1796027880, 104479.1]

Each row contains the strategy, pair, name and pane of a line, the start of a minute in seconds, and the line's last
value in that minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import msgspec

from botkit.live.notifications.row_file import RowFile
from botkit.live.ports import Disk
from botkit.model.clock import NS_PER_MINUTE, Nanos
from botkit.model.results import IndicatorLine

LINES = "lines.jsonl"
#: number of a line's latest points to check at each call
LATEST = 64

LineRow: TypeAlias = tuple[str, str, str, str, int, float]
_Key: TypeAlias = tuple[str, str, str]


def title_of(line: IndicatorLine) -> str:
    """Return the name of a line followed by the name of its value: ``BB(20) upper``."""
    return f"{line.name} {line.field}".strip()


class Lines:
    """Collects the lines of one run. ``tell`` is called with the reason if they can no longer be written."""

    def __init__(self, folder: Path, disk: Disk, tell: Callable[[str], None]) -> None:
        #: the time of each line's last point
        self._seen: dict[_Key, Nanos] = {}
        self._running: dict[_Key, LineRow] = {}
        self._finished: list[LineRow] = []
        self._file = RowFile(folder / LINES, disk, tell, "the lines that strategies draw")

    def saw(self, lines: Iterable[IndicatorLine]) -> None:
        """Collect the latest points of all lines."""
        for line in lines:
            key = (line.strategy, line.pair, title_of(line))
            seen = self._seen.get(key, -1)
            for time, value in zip(line.times, line.values, strict=True):
                if time > seen:
                    self._add(key, line.pane, time, value)
            self._seen[key] = max(seen, line.times[-1])

    def _add(self, key: _Key, pane: str, time: Nanos, value: float) -> None:
        start = time // NS_PER_MINUTE * 60
        row = self._running.get(key)
        if row is not None and row[4] != start:
            self._finished.append(row)
        self._running[key] = (*key, pane, start, value)

    def flush(self) -> None:
        """Write the finished minutes."""
        rows, self._finished = self._finished, []
        self._file.write(rows)

    def close(self) -> None:
        """Write all remaining rows, including the unfinished minutes, and close the file."""
        self._finished += self._running.values()
        self._running.clear()
        self.flush()
        self._file.close()


def lines_in(written: bytes) -> list[IndicatorLine]:
    """Return the lines in the content of a ``lines.jsonl`` file, with one value per minute."""
    found: dict[_Key, IndicatorLine] = {}
    decode = msgspec.json.Decoder(LineRow).decode
    for text in written[: written.rfind(b"\n") + 1].splitlines():
        try:
            strategy, pair, name, pane, start, value = decode(text)
        except msgspec.MsgspecError:
            continue  # another version of botkit may have written it
        line = found.setdefault((strategy, pair, name), IndicatorLine(pair, strategy, name, pane, [], []))
        line.times.append(start * NS_PER_MINUTE // 60)
        line.values.append(value)
    return list(found.values())
