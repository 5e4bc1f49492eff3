"""A temporary file to which blocks of bytes are appended, so that a long run does not keep them in memory."""

from __future__ import annotations

import tempfile
from typing import BinaryIO


class SpillFile:
    """The file is made when the first block is written, and removed with this object."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, block: bytes) -> int | None:
        """Append a block and return its offset, or None if it cannot be written, for example because the disk is
        full.
        """
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
            begin = self._file.seek(0, 2)
            is_whole = self._file.write(block) == len(block)
        except OSError:
            return None
        return begin if is_whole else None

    def read(self, begin: int, size: int) -> bytes:
        """Return part of what was written."""
        assert self._file is not None
        self._file.seek(begin)
        return self._file.read(size)
