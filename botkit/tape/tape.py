"""A tape: a folder of recorded data, ``<exchange>/<pair>/<kind>/<date>.parquet`` and ``manifest.json``.

Trades and books have one file per day. Candles have one file per month, because a day's 1,440 rows are too few for a
file. Dates are in UTC. Rows that a recorder has not yet converted to Parquet are read from its journal
(`botkit.tape.journal`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from botkit.errors import DataError
from botkit.model.clock import Nanos, format_time
from botkit.model.columns import MarketColumns
from botkit.model.pairs import Pair
from botkit.tape.journal import JournalKey, TapeJournal, journal_files
from botkit.tape.manifest import (
    GAPS_KEPT,
    MANIFEST_NAME,
    FileEntry,
    Kind,
    Manifest,
    StreamInfo,
    content_hash,
    read_manifest,
)
from botkit.tape.parquet import read_file


class Tape:
    """Recorded streams from one exchange, read in bounded memory."""

    def __init__(
        self, path: Path, pairs: Mapping[str, Pair], manifest: Manifest, journals: Sequence[TapeJournal] = ()
    ) -> None:
        self.path = path
        self.manifest = manifest
        self._journals = journals
        #: the end of each stream in Parquet. After a crash, a journal may still contain rows that have already been
        #: converted
        self._written: dict[JournalKey, Nanos] = {(s.pair, s.kind): s.end for s in manifest.streams if not s.resolution}
        self._all_streams = _with_journals(manifest.streams, [j.streams(self._written) for j in journals])
        self._pairs = pairs
        self._files: dict[tuple[str, Kind, str | None], list[FileEntry]] = {}
        for entry in sorted(manifest.files, key=lambda f: f.start):
            self._files.setdefault((entry.pair, entry.kind, entry.resolution), []).append(entry)

    @classmethod
    def open(cls, path: Path | str, pairs: Mapping[str, Pair]) -> Tape:
        """Open the folder. ``pairs`` define the decimals of its prices and amounts. Raises DataError."""
        root = Path(path)
        journals = [journal for file in journal_files(root) if (journal := TapeJournal.open(file, pairs)) is not None]
        if journals and not (root / MANIFEST_NAME).exists():  # still the first day: no manifest yet
            heading = journals[0].heading
            manifest = Manifest(
                name=root.name,
                exchange=heading.exchange,
                source=heading.source,
                recorded=heading.recorded,
                synthetic=heading.synthetic,
                content_sha256=content_hash(()),
            )
        else:
            manifest = read_manifest(root)
        return cls(root, pairs, manifest, journals)

    @property
    def streams(self) -> tuple[StreamInfo, ...]:
        """The streams of known pairs. `unknown_pairs` contains the other pairs."""
        return tuple(s for s in self._all_streams if s.pair in self._pairs)

    @property
    def unknown_pairs(self) -> tuple[str, ...]:
        """Pairs on the tape that the exchange does not list."""
        return tuple(sorted({s.pair for s in self._all_streams if s.pair not in self._pairs}))

    def stream(self, pair: str, kind: Kind, resolution: str | None = None) -> StreamInfo | None:
        """Return one stream's description, or None if the tape has no such stream."""
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
        """Yield rows with ``start <= received < end`` in order, at most ``rows_max`` at a time.

        Raises DataError for a stream that is not on the tape, and for a file that is damaged or out of order.
        """
        if self.stream(pair, kind, resolution) is None:
            have = ", ".join(s.label for s in self.streams) or "nothing"
            wanted = " ".join(part for part in (pair, kind, resolution) if part)
            raise DataError(f"{self.path} has no {wanted}; it has {have}")
        last: Nanos | None = None
        for path, columns in self._chunks(pair, kind, resolution, start, end, rows_max):
            first = int(columns.received[0])
            if last is not None and first < last:
                raise DataError(
                    f"{path}: rows from {format_time(first)} come after rows from {format_time(last)}; "
                    f"`botkit data check {self.path}` lists the errors"
                )
            last = int(columns.received[-1])
            yield columns

    def _chunks(
        self, pair: str, kind: Kind, resolution: str | None, start: Nanos | None, end: Nanos | None, rows_max: int
    ) -> Iterator[tuple[Path, MarketColumns]]:
        known = self._pairs[pair]
        for entry in self._files.get((pair, kind, resolution), ()):
            if (start is not None and entry.end < start) or (end is not None and entry.start >= end):
                continue
            path = self.path / entry.path
            # rows after the entry's end were written by a recorder that was killed before it updated the manifest; its
            # journal still contains them
            until = entry.end + 1 if end is None else min(end, entry.end + 1)
            for columns in read_file(path, known, kind, resolution, start=start, end=until, rows_max=rows_max):
                yield path, columns
        if kind == "candles":
            return
        for journal in self._journals:
            for columns in journal.read(
                only=(pair, kind), after=self._written, start=start, end=end, rows_max=rows_max
            ):
                yield journal.path, columns

    def journal_damage(self) -> list[str]:
        """Describe the damage in the recording's journals."""
        return [sentence for journal in self._journals for sentence in journal.damage()]

    def read_entry(self, entry: FileEntry, rows_max: int = 65_536) -> Iterator[MarketColumns]:
        """Yield all rows of one file in the manifest. Raises DataError."""
        yield from read_file(
            self.path / entry.path, self._pairs[entry.pair], entry.kind, entry.resolution, rows_max=rows_max
        )


def _with_journals(written: Sequence[StreamInfo], journals: Sequence[Sequence[StreamInfo]]) -> tuple[StreamInfo, ...]:
    """Return the manifest's streams, each extended by the rows in the journals."""
    streams = {info.key: info for info in written}
    for info in (info for infos in journals for info in infos):
        before = streams.get(info.key)
        streams[info.key] = (
            info
            if before is None
            else StreamInfo(
                pair=info.pair,
                kind=info.kind,
                rows=before.rows + info.rows,
                start=before.start,
                end=info.end,
                has_receive_times=before.has_receive_times,
                gaps=(before.gaps + info.gaps)[:GAPS_KEPT],
            )
        )
    return tuple(streams[key] for key in sorted(streams, key=lambda key: tuple(map(str, key))))
