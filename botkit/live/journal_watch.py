"""Reports when the journal cannot be written or has been moved, and when it recovers.

If the file was deleted or replaced while open, everything written to it is lost: after a restart the orders of that
time would be foreign. So new orders are blocked, as on a full disk; cancels go on.
"""

from __future__ import annotations

from collections.abc import Callable

from botkit.live.journal import Journal


class JournalWatch:
    """Watches one bot's journal. Call `look` several times a second."""

    def __init__(self, journal: Journal, tell: Callable[[str, str], None]) -> None:
        self._path = journal.path
        self._files = journal.disk.files
        self._tell = tell
        self._identity = self._found()
        self._gone = ""
        self._fault_told = False

    def _found(self) -> tuple[int, int] | None:
        try:
            return self._files.identity(self._path)
        except OSError:
            return None

    def gate(self) -> str | None:
        """Why no new order may leave, or None."""
        return self._gone or None

    def look(self, fault: str | None) -> None:
        """Check the journal and report changes. ``fault`` is why the last write failed, or None."""
        self._look_for_the_file()
        if fault is not None and not self._fault_told:
            self._fault_told = True
            self._tell(
                "error",
                f"{fault}. No new orders are sent until it can be written, and cancels go on; see whether the disk is "
                "full or read-only",
            )
        elif fault is None and self._fault_told:
            self._fault_told = False
            self._tell("info", f"the journal {self._path} can be written again; new orders are sent")

    def _look_for_the_file(self) -> None:
        is_gone = self._found() != self._identity
        if is_gone and not self._gone:
            self._gone = f"the journal {self._path} was deleted or replaced while the bot runs"
            self._tell(
                "error",
                f"{self._gone}. What is written goes nowhere, so no new orders are sent, and cancels go on: put it "
                "back, or stop the bot (which cancels its orders) and start it again",
            )
        elif not is_gone and self._gone:
            self._gone = ""
            self._tell("info", f"the journal {self._path} is back; new orders are sent")
