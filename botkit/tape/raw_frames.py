"""Raw frames beside a tape: every frame as received, in the format that ``botkit data import`` and backtests read.

    <tape>/raw/<time of start>.frames.jsonl.gz      a line a frame: {"received": <ms>, "frame": {...}}

A file being written ends in ``.part``. It is flushed every second, and after a kill it is repaired at
the next start: whole lines stay, the torn end goes.
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
    """Keeps frames in one file a day. `take` only buffers; `sync`, which may run in another thread, writes."""

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER
        self._lock = threading.Lock()
        self._waiting: list[tuple[Nanos, bytes]] = []
        self._last: Nanos = 0
        self._path: Path | None = None
        self._file: gzip.GzipFile | None = None
        self._under: IO[bytes] | None = None  # GzipFile does not close what it was handed
        self._day = -1
        self.frames = 0

    def open(self) -> None:
        """Repair what an earlier run left unfinished. Raises DataError if the folder cannot be written."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for part in sorted(self._folder.glob(f"*{ENDING}{_PART}")):
                _mend(part)
        except OSError as error:
            raise DataError(f"{self._folder} cannot be written: {error.strerror or error}") from None

    def take(self, data: str | bytes, received: Nanos) -> None:
        """Remember a frame."""
        frame = data.encode() if isinstance(data, str) else data
        with self._lock:
            # times in a file never go back, as its readers require
            self._last = received = max(received, self._last)
            self._waiting.append((received, frame))

    def sync(self) -> None:
        """Write the buffer. Raises DataError on a full disk."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        try:
            for received, frame in waiting:
                if received // NS_PER_DAY != self._day:
                    self._next_day(received)
                assert self._file is not None
                # a frame is one line, whatever white space it came with: JSON needs no newline
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
        """Close the file as it is; the next start repairs it."""
        file, self._file = self._file, None
        if file is not None and self._under is not None:
            self._under.close()
            file.fileobj = None  # type: ignore[assignment]  # so that it does not try to write its end

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
