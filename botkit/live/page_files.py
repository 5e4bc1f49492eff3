"""The two files through which a bot and the live page's process communicate."""

from __future__ import annotations

from pathlib import Path

from botkit.live.ports import Disk
from botkit.model.clock import Nanos


class PageFiles:
    """``page.json``, which the bot writes while its page is being viewed, and ``viewed``, whose timestamp shows that
    the page is being viewed.
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        """``folder`` is the bot's folder."""
        self.path = folder / "page.json"
        self._viewed_path = folder / "viewed"
        self._disk = disk

    def view(self, time: Nanos) -> None:
        """Signal to the bot that its page is being viewed. ``time`` must change with each call. Raises OSError."""
        if self._disk.files.identity(self._viewed_path) is None:
            self._disk.files.write(self._viewed_path, b"", durable=False)
        self._disk.pulses.beat(self._viewed_path, time)

    def viewed(self) -> Nanos | None:
        """Return a value that keeps changing while the page is being viewed, or None."""
        try:
            return self._disk.pulses.last(self._viewed_path)
        except OSError:
            return None

    def write(self, content: bytes) -> None:
        """Write the content of the page. Raises OSError."""
        self._disk.files.write(self.path, content, durable=False)

    def read(self) -> bytes | None:
        """Return the page content that the bot last wrote, or None."""
        try:
            return self._disk.files.read(self.path)
        except OSError:
            return None
