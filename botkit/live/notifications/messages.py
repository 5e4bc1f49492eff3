"""Stores a run's messages to its user for the live page: ``messages.jsonl`` in the run's folder.

    {"t": 1796027880000000000, "level": "warning", "text": "..."}      t in the bot's time

Messages may come from any thread and at any point in a turn. They are collected first, and written a few times a
second.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from botkit.live.ports import Appending, Disk
from botkit.model.clock import Nanos

MESSAGES = "messages.jsonl"
#: the maximum length of one message, and the maximum total length of a run's messages
_TEXT_MAX = 4_000
_BYTES_MAX = 16 << 20


class Messages:
    """Collects the messages of one run. ``now`` returns the bot's time."""

    def __init__(self, folder: Path, disk: Disk, now: Callable[[], Nanos]) -> None:
        self._now = now
        self._encode = msgspec.json.Encoder().encode
        self._waiting: deque[bytes] = deque(maxlen=10_000)
        self._bytes_left = _BYTES_MAX
        self._file: Appending | None = None
        with contextlib.suppress(OSError):  # the run's other files fail as well, which is reported
            disk.files.remove(folder / MESSAGES)  # left over from an earlier emulator's run with this number
            self._file = disk.files.append(folder / MESSAGES)

    def tell(self, level: str, text: str) -> None:
        """Collect a message."""
        if self._file is not None:
            self._waiting.append(self._encode({"t": self._now(), "level": level, "text": text[:_TEXT_MAX]}) + b"\n")

    def flush(self) -> None:
        """Write the collected messages. Disk errors are ignored here, because other code reports them."""
        if not self._waiting or self._file is None:
            return
        block = b"".join(self._waiting.popleft() for _ in range(len(self._waiting)))
        self._bytes_left -= len(block)
        try:
            if self._bytes_left >= 0:
                self._file.write(block)
                self._file.flush()
                return
        except OSError:
            pass
        self.close()

    def close(self) -> None:
        """Close the file."""
        file = self._file
        if file is not None and self._waiting and self._bytes_left >= 0:
            with contextlib.suppress(OSError):
                file.write(b"".join(self._waiting))
        self._waiting.clear()
        self._file = None
        with contextlib.suppress(OSError):
            if file is not None:
                file.close()
