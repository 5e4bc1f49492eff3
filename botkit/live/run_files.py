"""The files of one run in the bot's folder: its decisions and the recording of its inputs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from botkit.engine.decisions import DecisionLog
from botkit.live.ports import Appending, Disk
from botkit.live.recording import Recording

DECISIONS = "decisions.jsonl"


class RunFiles:
    """The two files of a run. ``tell`` is called with the reason if writing to one of them stops before the run
    ends.
    """

    def __init__(
        self, folder: Path, header: Mapping[str, Any], bytes_max: int, tell: Callable[[str], None], disk: Disk
    ) -> None:
        self.folder = folder
        self._tell = tell
        disk.files.remove(folder / DECISIONS)  # left over from an earlier emulator's run with this number
        self._file: Appending | None = disk.files.append(folder / DECISIONS)
        self.decisions = DecisionLog(self._keep)
        self.recording = Recording(folder, header, disk, bytes_max=bytes_max, tell=tell)

    def _keep(self, block: bytes) -> None:
        if self._file is None or self.recording.is_full:
            return
        try:
            self._file.write(block)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._end()
        self._tell(f"{DECISIONS} of this run can no longer be written: {error}")

    def flush(self) -> None:
        """Write the collected data. Called a few times a second."""
        self.decisions.flush()
        self.recording.flush()

    def close(self) -> None:
        """Write the remaining data and close both files."""
        sha256 = self.decisions.sha256()
        # the last entry of the recording states the content of decisions.jsonl, so decisions.jsonl must reach the disk
        # first
        if self._file is not None:
            try:
                self._file.flush()
            except OSError as error:
                self._give_up(error)
        is_whole = self._file is not None and not self.recording.is_full
        self.recording.close((self.decisions.count, sha256) if is_whole else None)
        self._end()

    def _end(self) -> None:
        file, self._file = self._file, None
        with contextlib.suppress(OSError):  # the buffered data may not fit on the disk
            if file is not None:
                file.close()
