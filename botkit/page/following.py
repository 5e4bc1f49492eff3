"""Follows a file of JSON lines to which another process appends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

_READ_BYTES = 4 << 20


class FollowedFile:
    """Reads the lines appended since the last call. A file that was replaced or truncated is read from the start."""

    def __init__(self, path: Path, *, tail_bytes: int | None = None) -> None:
        """Prepare to follow the file. With ``tail_bytes``, the first call reads only the last ``tail_bytes`` of the
        file.
        """
        self.path = path
        self._tail_bytes = tail_bytes
        self._at = 0
        self._file_id: tuple[int, int] | None = None

    def new_rows(self) -> tuple[bool, list[Any]]:
        """Return (whether the file was replaced or truncated, the new rows). Incomplete and unreadable lines are
        omitted.
        """
        try:
            with self.path.open("rb") as file:
                found = os.fstat(file.fileno())
                file_id = (found.st_dev, found.st_ino)
                begins = self._file_id is not None and (file_id != self._file_id or found.st_size < self._at)
                if begins:
                    self._at = 0
                if self._file_id is None and self._tail_bytes is not None:
                    self._at = max(0, found.st_size - self._tail_bytes)
                self._file_id = file_id
                file.seek(self._at)
                block = file.read(_READ_BYTES)
        except OSError:
            return False, []
        whole = block[: block.rfind(b"\n") + 1]
        self._at += len(whole)
        rows = []
        for line in whole.splitlines():
            try:
                rows.append(msgspec.json.decode(line))
            except (msgspec.DecodeError, RecursionError):
                continue
        return begins, rows
