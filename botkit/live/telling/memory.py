"""Watches how much memory the process holds: a strategy that keeps all it sees fills any machine after some days."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

_MB = 2**20
#: less than this is no reason for a word
WARN_FROM_MB = 400


def resident_bytes() -> int | None:
    """Memory that the process holds in RAM; None where the system does not show it as a file."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return None


class MemoryWatch:
    """Warns when the memory has grown to ``WARN_FROM_MB``, and again each time that it has doubled."""

    def __init__(self, tell: Callable[[str, str], None], *, read: Callable[[], int | None] = resident_bytes) -> None:
        self._tell = tell
        self._read = read
        self._first_mb: float | None = None
        self._told_from_mb = 0.0

    def look(self) -> None:
        """Look at it; called now and then."""
        held = self._read()
        if held is None:
            return
        held_mb = held / _MB
        if self._first_mb is None:
            self._first_mb = held_mb
            # a bot that is large from the start, with several strategies and long series, may be so
            self._told_from_mb = max(WARN_FROM_MB, 2 * held_mb)
        if held_mb >= self._told_from_mb:
            self._told_from_mb = 2 * held_mb
            self._tell(
                "warning",
                f"the bot holds {held_mb:,.0f} MB of memory, {self._first_mb:,.0f} MB at its start. A strategy that "
                "keeps all it has seen is the usual reason: bound its lists, and restart before the machine has none "
                "left",
            )
