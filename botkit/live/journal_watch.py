"""Reports when the journal cannot be written or has been moved, and when it recovers.

If the file is deleted or replaced while open, all later writes are lost. After a restart, the bot would not recognise
the orders placed during that time. New orders are therefore blocked, as on a full disk, and only cancels continue.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from botkit.live.journal import Journal


class JournalWatch:
    """Watches one bot's journal. Call `look` several times a second."""

    def __init__(self, journal: Journal, tell: Callable[[str, str], None]) -> None:
        self._journal = journal
        self._path = journal.path
        self._identity = journal.disk.files.identity(journal.path)
        self._tell = tell
        self._gone = ""
        self._fault_told = False

    def _missing(self) -> Path | None:
        """Return the first journal file that is missing or has been replaced, or None."""
        files, log = self._journal.disk.files, self._journal.log
        wanted = [(self._path, self._identity), *([] if log is None else [(log.file, log.identity)])]
        for path, identity in wanted:
            try:
                if files.identity(path) != identity:
                    return path
            except OSError:
                return path
        return None

    def gate(self) -> str | None:
        """Return the reason why no new order may be sent, or None."""
        return self._gone or None

    def look(self, fault: str | None) -> None:
        """Check the journal and report changes. ``fault`` is the reason why the last write failed, or None."""
        self._look_for_the_file()
        if fault is not None and not self._fault_told:
            self._fault_told = True
            self._tell(
                "error",
                f"{fault}. No new orders are sent until it can be written, but cancels continue; check whether the "
                "disk is full or read-only",
            )
        elif fault is None and self._fault_told:
            self._fault_told = False
            self._tell("info", f"the journal {self._path} can be written again; new orders are allowed")

    def _look_for_the_file(self) -> None:
        missing = self._missing()
        if missing is not None and not self._gone:
            what = "journal" if missing == self._path else "journal's log"
            self._gone = f"the {what} {missing} was deleted or replaced while the bot was running"
            self._tell(
                "error",
                f"{self._gone}. Writes to it are lost, so no new orders are sent, but cancels continue. Put it back, "
                "or stop the bot (which cancels its orders) and start it again",
            )
        elif missing is None and self._gone:
            self._gone = ""
            self._tell("info", f"the journal {self._path} is back; new orders are allowed")
