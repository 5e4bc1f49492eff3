"""Writes rows of JSON to a file of a run, up to a maximum size."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from botkit.live.ports import Appending, Disk

#: a row has about 60 bytes, so this is enough for more than a year of data for one pair
_BYTES_MAX = 64 << 20


class RowFile:
    """One row per line. ``tell`` is called with the reason if rows can no longer be written; ``content`` says in that
    message what the file contains.
    """

    def __init__(self, path: Path, disk: Disk, tell: Callable[[str], None], content: str) -> None:
        self._tell = tell
        self._what = f"{path.name} of this run, {content}, ends here"
        self._encode = msgspec.json.Encoder().encode
        self._bytes_left = _BYTES_MAX
        self._file: Appending | None = None
        with contextlib.suppress(OSError):  # the run's other files fail as well, which is reported
            disk.files.remove(path)  # left over from an earlier emulator's run with this number
            self._file = disk.files.append(path)

    def write(self, rows: Iterable[Any]) -> None:
        """Append rows, unless the file has ended."""
        if self._file is None:
            return
        block = b"".join(self._encode(row) + b"\n" for row in rows)
        if not block:
            return
        self._bytes_left -= len(block)
        try:
            if self._bytes_left < 0:
                raise OSError(f"it has reached {_BYTES_MAX >> 20} MB")
            self._file.write(block)
            self._file.flush()
        except OSError as error:
            self.close()
            self._tell(f"{self._what}: {error}")

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        with contextlib.suppress(OSError):
            if file is not None:
                file.close()
