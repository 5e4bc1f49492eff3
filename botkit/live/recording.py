"""Records the engine's inputs, so that the bot can be run again with these inputs (`botkit.live.replay`).

The engine has no clock, no randomness and no I/O, so its decisions depend only on its inputs and their times. Each
input is one entry of ``inputs.bin``. A turn without an input is an empty entry.

An input is serialised once the orders that it caused have been sent (`Recording.settle`). Compression and writing wait
for `Recording.flush`, a few times a second, so a killed bot loses less than a second of inputs. A write error stops the
recording but never the bot. The recording also stops when it reaches its size limit and there are no older runs left to
delete.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import struct
import zlib
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from botkit.live.journal_rows import order_row
from botkit.live.ports import Appending, Disk, Files
from botkit.model.clock import Nanos
from botkit.model.events import Trade
from botkit.model.inputs import AccountEvents, Input, Restore
from botkit.model.order_book import OrderBook
from botkit.model.orders import Order
from botkit.model.requests import Answer

log = logging.getLogger("botkit.live")

#: version of the format, increased whenever the shape of an input changes
FORMAT = 9
INPUTS = "inputs.bin"
HEADER = "inputs.json"

#: the type name of the first entry, which holds the header's sha256
BEGUN = "begun"
#: the type names of the last entry: ``closed`` for a run that ended cleanly, ``full`` for a recording that stopped
#: before its run ended; a ``closed`` entry holds the number of lines in decisions.jsonl and their sha256
CLOSED, FULL = "closed", "full"
#: how many runs to keep in a bot's state folder, and how many of these, the newest, with their recordings
RUNS_KEPT = 100
RECORDINGS_KEPT = 20
#: the folder's size is measured each time this fraction of its limit has been written; exceeding the limit by this
#: fraction does no harm
_MEASURED_SHARE = 64
#: each entry is preceded by its size and CRC-32
PREFIX = struct.Struct(">II")
#: the fields that are stored for an order book
BOOK_FIELDS = ("pair", "time", "bid_levels", "ask_levels")
#: the input that contains orders; orders change later, so it is serialised immediately
_CHANGING = Restore


class Recording:
    """Records the inputs of one engine.

    ``folder`` is the run's folder. The total size of the files in all run folders stays within ``bytes_max``. ``tell``
    is called with the reason if a recording stops before its run ends.
    """

    def __init__(
        self,
        folder: Path,
        header: Mapping[str, Any],
        disk: Disk,
        *,
        bytes_max: int = 1 << 30,
        tell: Callable[[str], None] = log.warning,
    ) -> None:
        self._entries: list[bytes] = []
        #: inputs waiting to be serialised
        self._later: list[tuple[Nanos, Input | None]] = []
        self._packed: list[bytes] = []
        self._packer = zlib.compressobj(1)
        self._encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
        self._folder = folder
        self._bytes_max = bytes_max
        self._tell = tell
        self._disk = disk
        files = disk.files
        _drop_old(folder, disk)
        #: earlier runs with their sizes, oldest first
        self._older = [(run, disk.folder_bytes(run)) for run in _runs(folder.parent, files) if run != folder]
        #: bytes written since the folder was measured
        self._unmeasured = bytes_max
        #: True once the limit has been reached, after which nothing more is recorded
        self.is_full = False
        #: called with every trade after the resulting orders have been sent, even when nothing more is recorded
        self.on_trade: Callable[[Trade], None] | None = None
        document = (json.dumps({"format": FORMAT, **header}, indent=1) + "\n").encode()
        files.write(folder / HEADER, document, durable=False)
        files.remove(folder / INPUTS)  # left over from an earlier emulator's run with this number
        self._file: Appending | None = files.append(folder / INPUTS)
        self._add(BEGUN, 0, hashlib.sha256(document).hexdigest())

    def write(self, now: Nanos, given: Input | None) -> None:
        """Record an input that enters the engine at ``now``."""
        if self._file is not None or self.on_trade is not None:
            self._later.append((now, given))
            if type(given) is _CHANGING:
                self._catch_up()

    def settle(self) -> None:
        """Serialise and compress new inputs. Call this often, because processing a full second of inputs in one call
        would block the bot.
        """
        self._catch_up()
        if self._entries:
            entries, self._entries = self._entries, []
            self._packed.append(
                self._packer.compress(b"".join(PREFIX.pack(len(entry), zlib.crc32(entry)) + entry for entry in entries))
            )

    def _catch_up(self) -> None:
        later, self._later = self._later, []
        for now, given in later:
            if type(given) is Trade and self.on_trade is not None:
                self.on_trade(given)
            if self._file is not None:
                self._add("" if given is None else type(given).__name__, now, _packable(given))

    def _add(self, name: str, now: Nanos, content: Any) -> None:
        if self._file is None:
            return
        try:
            self._entries.append(self._encode((name, now, content)))
        except Exception:  # a failed recording must never stop the bot
            log.exception("this run can no longer be recorded, so it cannot be replayed: %s", name)
            self._give_up()

    def flush(self) -> None:
        """Write the collected entries."""
        self.settle()
        if self._file is None or not self._packed:
            return
        self._put(self._file)
        if self._file is not None and self._unmeasured >= self._bytes_max // _MEASURED_SHARE:
            self._keep_within_bound(self._file)

    def _put(self, file: Appending) -> None:
        self.settle()
        packed, self._packed = self._packed, []
        block = b"".join(packed) + self._packer.flush(zlib.Z_SYNC_FLUSH)
        self._unmeasured += len(block)
        try:
            file.write(block)
            file.flush()
        except OSError as error:
            self._tell(f"this run can no longer be recorded, so it cannot be replayed: {error}")
            self._give_up()

    def _keep_within_bound(self, file: Appending) -> None:
        """Delete older runs to make room. If that is not enough, stop the recording."""
        self._unmeasured = 0
        own = self._disk.folder_bytes(self._folder)
        while self._older and own + sum(size for _, size in self._older) > self._bytes_max:
            run, _ = self._older.pop(0)
            self._disk.remove_folder(run)
        if own <= self._bytes_max:
            return
        self.is_full = True
        self._tell(
            f"the recording of this run has reached {own / 2**20:,.0f} MB and ends here: `botkit replay` covers the "
            "run up to now. The bot continues; `log: {record_mb: ...}` sets the limit"
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

    def close(self, decisions: tuple[int, str] | None) -> None:
        """Write the remaining entries and close the file.

        ``decisions`` is (lines, sha256) of decisions.jsonl, or None if writing to that file stopped before the run
        ended.
        """
        self._catch_up()
        self._add(CLOSED, 0, decisions)
        self.flush()
        file, self._file = self._file, None
        with contextlib.suppress(OSError):
            if file is not None:
                file.write(self._packer.flush())
                file.close()


def _runs(runs: Path, files: Files) -> list[Path]:
    """Return the folders of runs, oldest first."""
    return [runs / name for name in sorted(filter(str.isdigit, files.names(runs)), key=int)]


def _drop_old(own: Path, disk: Disk) -> None:
    """Remove the oldest runs, and older runs' recordings. ``own`` is the folder of the run that begins; its number is
    not the highest if an earlier emulator's runs are still there.

    A command that is reading a removed run keeps the files that it has opened. On Windows, such a file stays until a
    later start.
    """
    files = disk.files
    others = [run for run in _runs(own.parent, files) if run != own]
    kept = others[-(RUNS_KEPT - 1) :]
    for run in others[: len(others) - len(kept)]:
        disk.remove_folder(run)
    recorded = [run for run in kept if INPUTS in files.names(run)]
    for run in recorded[: -(RECORDINGS_KEPT - 1)]:
        files.remove(run / INPUTS)


def _packable(given: Input | None) -> Any:
    """Convert an input to a form that msgpack can encode. Values of union types include the name of their type."""
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
        return str(value)  # a pair is stored by its name
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Order):
        return order_row(value)
    if isinstance(value, OrderBook):
        return {name: getattr(value, name) for name in BOOK_FIELDS}
    raise TypeError(f"{type(value).__name__} cannot be recorded")


__all__ = ["BEGUN", "BOOK_FIELDS", "CLOSED", "FORMAT", "FULL", "HEADER", "INPUTS", "PREFIX", "Recording"]
