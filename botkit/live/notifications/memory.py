"""Watches the process's memory, because a strategy that stores all of its data can exhaust any machine's memory within
days.
"""

from __future__ import annotations

from collections.abc import Callable

_MB = 2**20
#: no warning below this memory usage
WARN_FROM_MB = 400


class MemoryWatch:
    """Warns when memory usage has grown to ``WARN_FROM_MB``, and again each time it has doubled.

    ``read`` returns the resident memory of the process in bytes (`botkit.live.ports.Machine.resident_bytes`).
    """

    def __init__(self, tell: Callable[[str, str], None], *, read: Callable[[], int | None]) -> None:
        self._tell = tell
        self._read = read
        self._first_mb: float | None = None
        self._told_from_mb = 0.0

    def look(self) -> None:
        """Check the memory usage. Called periodically."""
        held = self._read()
        if held is None:
            return
        held_mb = held / _MB
        if self._first_mb is None:
            self._first_mb = held_mb
            # with several strategies and long series, memory usage may be high from the start
            self._told_from_mb = max(WARN_FROM_MB, 2 * held_mb)
        if held_mb >= self._told_from_mb:
            self._told_from_mb = 2 * held_mb
            self._tell(
                "warning",
                f"the bot uses {held_mb:,.0f} MB of memory, up from {self._first_mb:,.0f} MB at its start. The usual "
                "cause is a strategy that stores all the data it receives: limit the length of its lists, and restart "
                "the bot before memory runs out",
            )
