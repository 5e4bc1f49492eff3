"""The description of a tape: ``manifest.json`` next to the data, and the file names.

The manifest contains each file's span, so that a tape of a thousand days can be opened without reading its files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from botkit.errors import DataError
from botkit.model.clock import Nanos

FORMAT_VERSION = 1
#: times are nanoseconds in 64 bits
_LAST: Nanos = (1 << 63) - 1
MANIFEST_NAME = "manifest.json"

Kind: TypeAlias = Literal["trades", "books", "candles"]
#: the order of kinds for rows with equal times, as in the total order of events
KINDS: tuple[Kind, ...] = ("candles", "books", "trades")


class StreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One stream in a source. ``start`` and ``end`` are the receipt times of its first and last rows, in ns."""

    pair: str
    kind: Kind
    resolution: str | None = None
    rows: int
    start: Nanos
    end: Nanos
    has_receive_times: bool
    #: spans (from, to) in which rows are known to be missing, in ns; at most `GAPS_KEPT` are listed
    gaps: tuple[tuple[Nanos, Nanos], ...] = ()

    @property
    def key(self) -> tuple[str, Kind, str | None]:
        """(pair, kind, resolution), which identifies a stream."""
        return (self.pair, self.kind, self.resolution)

    @property
    def label(self) -> str:
        """A readable name such as ``btc_usdt candles 1m``."""
        return " ".join(part for part in self.key if part)


GAPS_KEPT = 100
#: a manifest's description of candles built by the exchange
DOWNLOADED = (
    "botkit download: candles as the exchange made them, without intervals in which nothing was traded; "
    "receive time: the end of the candle"
)


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file. ``path`` is relative to the tape; ``sha256`` covers column contents, not file bytes."""

    path: str
    pair: str
    kind: Kind
    resolution: str | None = None
    rows: int
    start: Nanos
    end: Nanos
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A tape's origin and contents."""

    version: int = FORMAT_VERSION
    name: str = ""
    exchange: str
    source: str
    #: the origin of the rows: a recorder, an import or a generator
    recorded: str
    synthetic: bool
    #: the command that recreates this tape, or "" if there is none
    command: str = ""
    seed: int | None = None
    notes: tuple[str, ...] = ()
    content_sha256: str = ""
    streams: tuple[StreamInfo, ...] = ()
    files: tuple[FileEntry, ...] = ()


def content_hash(files: Iterable[FileEntry]) -> str:
    """Return the hash that identifies a tape. Equal rows have equal hashes, regardless of which library wrote the
    Parquet files.
    """
    digest = hashlib.sha256()
    for entry in sorted(files, key=lambda f: f.path):
        digest.update(f"{entry.path} {entry.rows} {entry.sha256}\n".encode())
    return digest.hexdigest()


def folder_name(kind: Kind, resolution: str | None) -> str:
    """Return a stream's folder name: ``trades``, ``books`` or ``candles-1m``. A month is ``1mo``, because some file
    systems do not distinguish 1M from 1m.
    """
    if kind != "candles":
        return kind
    assert resolution, "candles need a resolution"
    return f"candles-{'1mo' if resolution == '1M' else resolution}"


def read_manifest(root: Path) -> Manifest:
    """Read a tape's ``manifest.json``. Raises a DataError with an explanation if it is invalid."""
    path = root / MANIFEST_NAME
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        what = "is not a tape: it has no manifest.json" if root.is_dir() else "does not exist"
        raise DataError(f"{root} {what}; make a tape with `botkit data import FILE --pair PAIR --out {root}`") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {error}; import or generate the tape again") from None
    if manifest.version > FORMAT_VERSION:
        raise DataError(
            f"{path} has version {manifest.version}, but this botkit reads only up to {FORMAT_VERSION}; upgrade botkit"
        )
    parts: tuple[StreamInfo | FileEntry, ...] = (*manifest.streams, *manifest.files)
    for part in parts:
        if not 0 <= part.start <= part.end <= _LAST or part.rows < 0:
            raise DataError(
                f"{path} is damaged: the times or rows of {part.pair} {part.kind} are impossible; import or generate "
                "the tape again"
            )
    for entry in manifest.files:
        if not is_inside(entry.path):
            raise DataError(f"{path} cannot be trusted: it lists {entry.path!r}, which is outside the tape")
    return manifest


def is_inside(path: str) -> bool:
    """Return True if a manifest's path stays inside the tape's folder on every system, because files at that path may
    be overwritten.
    """
    return not (path.startswith("/") or any(sign in path for sign in "\\:\0") or ".." in path.split("/") or not path)


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as indented JSON with a trailing newline."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
