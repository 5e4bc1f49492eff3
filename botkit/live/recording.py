"""What enters the engine, written down as it enters: enough to run the same bot over it again (`botkit.live.replay`).

The engine has no clock, no chance and no I/O, so its decisions are a function of its inputs and their times. Each is
one entry of ``inputs.bin``; a turn that only does what is due is an entry without an input.

An input is put into bytes once the orders that it brought about have left (`Recording.settle`); compression and writing
wait for `Recording.flush`, a few times a second, so a kill loses less than a second of it. A file that cannot be
written ends the recording and never the bot, and so does one that has reached its bound, when older runs have already
given way.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import msgspec

from botkit.live.journal_rows import order_row
from botkit.model.clock import Nanos
from botkit.model.inputs import AccountEvents, CancelOrphans, Input, Restore
from botkit.model.orders import Order
from botkit.model.requests import Answer

log = logging.getLogger("botkit.live")

FORMAT = 2
INPUTS = "inputs.bin"
HEADER = "inputs.json"

#: the last entry of a run that ended in order, and of one whose recording ended before the run did
CLOSED, FULL = "closed", "full"
#: recordings that are kept in a bot's state folder
RUNS_KEPT = 20
#: each entry follows its size
_SIZE_BYTES = 4
_READ_BYTES = 1 << 16
#: inputs that hold orders, which change: they are put into bytes at once
_CHANGING = (Restore, CancelOrphans)


class Recording:
    """Records the inputs of one engine.

    ``folder`` is the run's; what else is written there counts as well. All runs together stay within ``bytes_max``, and
    ``tell`` hears why a recording ended before its run.
    """

    def __init__(
        self,
        folder: Path,
        header: Mapping[str, Any],
        *,
        bytes_max: int = 1 << 30,
        tell: Callable[[str], None] = log.warning,
    ) -> None:
        self._entries: list[bytes] = []
        #: inputs that are not in bytes yet
        self._later: list[tuple[Nanos, Input | None]] = []
        self._packed: list[bytes] = []
        self._packer = zlib.compressobj(1)
        self._encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
        self._folder = folder
        self._bytes_max = bytes_max
        self._tell = tell
        _drop_old(folder.parent)
        #: the runs before this one with their bytes, oldest first
        self._older = [(run, _bytes_of(run)) for run in _runs(folder.parent) if run != folder]
        #: the bound was reached; nothing that belongs to the recording is written any more
        self.is_full = False
        (folder / HEADER).write_text(json.dumps({"format": FORMAT, **header}, indent=1) + "\n", encoding="utf-8")
        self._file: IO[bytes] | None = (folder / INPUTS).open("wb")

    def write(self, now: Nanos, given: Input | None) -> None:
        """An input enters the engine at ``now``."""
        if self._file is not None:
            self._later.append((now, given))
            if type(given) in _CHANGING:
                self._catch_up()

    def settle(self) -> None:
        """Put into bytes, and pack, what came in: little by little, since a second's worth would hold the bot up."""
        self._catch_up()
        if self._entries:
            entries, self._entries = self._entries, []
            self._packed.append(
                self._packer.compress(b"".join(len(entry).to_bytes(_SIZE_BYTES, "big") + entry for entry in entries))
            )

    def _catch_up(self) -> None:
        later, self._later = self._later, []
        for now, given in later:
            self._add("" if given is None else type(given).__name__, now, _packable(given))

    def _add(self, name: str, now: Nanos, content: Any) -> None:
        if self._file is None:
            return
        try:
            self._entries.append(self._encode((name, now, content)))
        except Exception:  # a recording must never end the bot
            log.exception("this run can no longer be recorded for a replay: %s", name)
            self._give_up()

    def flush(self) -> None:
        """Write what has gathered."""
        self.settle()
        if self._file is None or not self._packed:
            return
        self._put(self._file)
        if self._file is not None:
            self._keep_within_bound(self._file)

    def _put(self, file: IO[bytes]) -> None:
        self.settle()
        packed, self._packed = self._packed, []
        try:
            file.write(b"".join(packed) + self._packer.flush(zlib.Z_SYNC_FLUSH))
            file.flush()
        except OSError as error:
            self._tell(f"this run can no longer be recorded for a replay: {error}")
            self._give_up()

    def _keep_within_bound(self, file: IO[bytes]) -> None:
        """Older runs give way to this one, and where there are none, the recording ends."""
        own = _bytes_of(self._folder)
        while self._older and own + sum(size for _, size in self._older) > self._bytes_max:
            run, _ = self._older.pop(0)
            shutil.rmtree(run, ignore_errors=True)
        if own <= self._bytes_max:
            return
        self.is_full = True
        self._tell(
            f"the recording of this run has reached {own / 2**20:,.0f} MB and ends here: `botkit replay` will show the "
            "run up to now. The bot goes on; `log: {record_mb: ...}` sets the bound"
        )
        self._add(FULL, 0, None)
        self._put(file)
        self._give_up()

    def _give_up(self) -> None:
        file, self._file = self._file, None
        self._entries.clear()
        self._packed.clear()
        with contextlib.suppress(OSError):
            if file is not None:
                file.close()

    def close(self) -> None:
        """Write the rest and close the file."""
        self._catch_up()
        self._add(CLOSED, 0, None)
        self.flush()
        file, self._file = self._file, None
        with contextlib.suppress(OSError):
            if file is not None:
                file.write(self._packer.flush())
                file.close()


def _runs(runs: Path) -> list[Path]:
    """The folders of runs, oldest first."""
    return sorted((path for path in runs.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))


def _bytes_of(run: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(entry.stat().st_size for entry in os.scandir(run))
    return 0


def _drop_old(runs: Path) -> None:
    recorded = [run for run in _runs(runs) if (run / INPUTS).exists()]
    for run in recorded[:-RUNS_KEPT]:
        (run / INPUTS).unlink(missing_ok=True)


def _packable(given: Input | None) -> Any:
    """An input as msgpack takes it: where a value may be of several types, with the name of its own."""
    if type(given) is Answer:
        body = given.body
        kind = "" if body is None else type(body).__name__
        if isinstance(body, tuple):
            kind = "*" + type(body[0]).__name__ if body else "()"
        return (given.request_id, given.outcome, given.status, given.text, kind, body)
    if type(given) is AccountEvents:
        return [(type(event).__name__, event) for event in given.events]
    return given


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)  # a pair, by its name
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Order):
        return order_row(value)
    raise TypeError(f"{type(value).__name__} is not written down")


class Entries:
    """The entries of a recorded run as (type's name, time, content), in order, read as they are taken: a run may be
    longer than the memory. A torn end, as a kill leaves it, is left out."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._file = path.open("rb")
        self._unpacker = zlib.decompressobj()
        self._decode = msgspec.msgpack.Decoder(tuple[str, Nanos, msgspec.Raw]).decode
        self._data = bytearray()
        self._at = 0
        #: how many were taken
        self.taken = 0

    def take(self) -> tuple[str, Nanos, msgspec.Raw] | None:
        """The next entry; None at the end."""
        head = self._bytes(_SIZE_BYTES)
        data = None if head is None else self._bytes(int.from_bytes(head, "big"))
        if data is None:
            return None
        self.taken += 1
        return self._decode(data)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _bytes(self, count: int) -> bytes | None:
        while len(self._data) - self._at < count:
            packed = self._file.read(_READ_BYTES)
            if not packed:
                return None
            del self._data[: self._at]
            self._at = 0
            self._data += self._unpacker.decompress(packed)
        self._at += count
        return bytes(self._data[self._at - count : self._at])


__all__ = ["CLOSED", "FORMAT", "FULL", "HEADER", "INPUTS", "Entries", "Recording"]
