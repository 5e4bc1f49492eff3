"""Saves the raw frames of a tape: every frame as received, in a format that ``botkit data import`` and backtests read.

    <tape>/raw/<start time>.frames.jsonl.gz         one frame per line: {"received": <ms>, "frame": {...}}

An unfinished file ends in ``.part``. It is flushed every second. After a kill, the next start repairs the file:
complete lines are kept, and a truncated last line is dropped.
"""

from __future__ import annotations

import gzip
import os
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from botkit.errors import DataError
from botkit.model.clock import NS_PER_DAY, NS_PER_MS, Nanos, format_time

FOLDER = "raw"
ENDING = ".frames.jsonl.gz"
_PART = ".part"
_CHUNK = 1 << 20


class RawFrames:
    """Writes frames to one file per day. `take` only buffers; `sync` writes, and may run in another thread."""

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER
        self._lock = threading.Lock()
        self._waiting: list[tuple[Nanos, bytes]] = []
        self._last: Nanos = 0
        self._path: Path | None = None
        self._file: gzip.GzipFile | None = None
        self._under: IO[bytes] | None = None  # GzipFile does not close a file object passed to it
        self._day = -1
        self.frames = 0

    def open(self) -> None:
        """Repair any file left unfinished by an earlier run. Raises DataError if the folder cannot be written."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for part in sorted(self._folder.glob(f"*{ENDING}{_PART}")):
                _mend(part)
        except OSError as error:
            raise DataError(f"{self._folder} cannot be written: {error.strerror or error}") from None

    def take(self, data: str | bytes, received: Nanos) -> None:
        """Buffer a frame."""
        frame = data.encode() if isinstance(data, str) else data
        with self._lock:
            # times in a file must never decrease, because readers rely on the order
            self._last = received = max(received, self._last)
            self._waiting.append((received, frame))

    def sync(self) -> None:
        """Write the buffer. Raises DataError if the disk is full."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        try:
            for received, frame in waiting:
                if received // NS_PER_DAY != self._day:
                    self._next_day(received)
                assert self._file is not None
                # one frame per line; JSON needs no newlines, so replace any that a frame contains
                self._file.write(b'{"received":%d,"frame":%b}\n' % (received // NS_PER_MS, frame.replace(b"\n", b" ")))
                self.frames += 1
            if self._file is not None and waiting:
                self._file.flush(zlib.Z_SYNC_FLUSH)
        except OSError as error:
            raise DataError(f"{self._path} cannot be written: {error.strerror or error}") from None

    def _next_day(self, now: Nanos) -> None:
        self._finish()
        self._day = now // NS_PER_DAY
        self._path = self._folder / f"{format_time(now).replace(':', '').removesuffix('Z')}{ENDING}"
        part = self._path.with_name(self._path.name + _PART)
        self._under = part.open("xb")
        self._file = gzip.GzipFile(self._path.name, "wb", 6, self._under)

    def _finish(self) -> None:
        file, self._file = self._file, None
        if file is None or self._path is None:
            return
        assert self._under is not None
        with self._under:
            file.close()
        self._path.with_name(self._path.name + _PART).replace(self._path)

    def abandon(self) -> None:
        """Leave the file unfinished; the next start repairs it."""
        file, self._file = self._file, None
        if file is not None and self._under is not None:
            self._under.close()
            file.fileobj = None  # type: ignore[assignment]  # keeps it from writing a trailer

    def close(self) -> None:
        """Write the buffer and give the file its final name."""
        self.sync()
        self._finish()


def _mend(part: Path) -> None:
    whole = part.with_name(part.name.removesuffix(_PART))
    fresh = part.with_name(f".{whole.name}.{os.getpid()}.tmp")
    with gzip.open(fresh, "wb", 6) as file:
        file.writelines(_whole_lines(part))
    fresh.replace(whole)
    part.unlink()


def _whole_lines(part: Path) -> Iterator[bytes]:
    unpack, rest = zlib.decompressobj(wbits=31), b""
    with part.open("rb") as file:
        while chunk := file.read(_CHUNK):
            try:
                text = rest + unpack.decompress(chunk)
            except zlib.error:
                return
            whole, _, rest = text.rpartition(b"\n")
            if whole:
                yield whole + b"\n"
