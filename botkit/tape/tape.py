"""A tape: a folder of recorded data, ``<exchange>/<pair>/<kind>/<date>.parquet`` and ``manifest.json``.

Trades and books have a file a day, candles a file a month (1,440 rows do not pay for a file). Dates are UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from botkit.errors import DataError
from botkit.model.clock import Nanos, format_time
from botkit.model.columns import MarketColumns
from botkit.model.pairs import Pair
from botkit.tape.manifest import FileEntry, Kind, Manifest, StreamInfo, read_manifest
from botkit.tape.parquet import read_file


class Tape:
    """Recorded streams of one exchange, read in bounded memory."""

    def __init__(self, path: Path, pairs: Mapping[str, Pair], manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._pairs = pairs
        self._files: dict[tuple[str, Kind, str | None], list[FileEntry]] = {}
        for entry in sorted(manifest.files, key=lambda f: f.start):
            self._files.setdefault((entry.pair, entry.kind, entry.resolution), []).append(entry)

    @classmethod
    def open(cls, path: Path | str, pairs: Mapping[str, Pair]) -> Tape:
        """Open the folder; ``pairs`` says what its prices and amounts mean. Raises DataError."""
        root = Path(path)
        return cls(root, pairs, read_manifest(root))

    @property
    def streams(self) -> tuple[StreamInfo, ...]:
        """The streams of pairs that are known; `unknown_pairs` names the others."""
        return tuple(s for s in self.manifest.streams if s.pair in self._pairs)

    @property
    def unknown_pairs(self) -> tuple[str, ...]:
        """Pairs on the tape that the exchange does not list."""
        return tuple(sorted({s.pair for s in self.manifest.streams if s.pair not in self._pairs}))

    def stream(self, pair: str, kind: Kind, resolution: str | None = None) -> StreamInfo | None:
        """One stream's description, or None where the tape has no such stream."""
        return next((s for s in self.streams if s.key == (pair, kind, resolution)), None)

    def read(
        self,
        pair: str,
        kind: Kind,
        resolution: str | None = None,
        start: Nanos | None = None,
        end: Nanos | None = None,
        rows_max: int = 262_144,
    ) -> Iterator[MarketColumns]:
        """Rows with ``start <= received < end`` in order, at most ``rows_max`` at a time.

        Raises DataError for a stream that is not there, and for a file that is damaged or out of order.
        """
        if self.stream(pair, kind, resolution) is None:
            have = ", ".join(s.label for s in self.streams) or "nothing"
            wanted = " ".join(part for part in (pair, kind, resolution) if part)
            raise DataError(f"{self.path} has no {wanted}; it holds {have}")
        known = self._pairs[pair]
        last: Nanos | None = None
        for entry in self._files.get((pair, kind, resolution), ()):
            if (start is not None and entry.end < start) or (end is not None and entry.start >= end):
                continue
            path = self.path / entry.path
            for columns in read_file(path, known, kind, resolution, start=start, end=end, rows_max=rows_max):
                first = int(columns.received[0])
                if last is not None and first < last:
                    raise DataError(
                        f"{path}: rows from {format_time(first)} come after rows of {format_time(last)}; "
                        f"`botkit data check {self.path}` lists what is wrong"
                    )
                last = int(columns.received[-1])
                yield columns

    def read_entry(self, entry: FileEntry, rows_max: int = 65_536) -> Iterator[MarketColumns]:
        """All rows of one file of the manifest. Raises DataError."""
        yield from read_file(
            self.path / entry.path, self._pairs[entry.pair], entry.kind, entry.resolution, rows_max=rows_max
        )
