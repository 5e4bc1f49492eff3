"""Records market events as durable rows of a tape. The recorder itself has no clock and no connection.

Events are written to a journal (`botkit.tape.journal`) that the driver syncs every second, so a kill -9 loses at most
one second of data. At the end of a day, the day's journal is converted to Parquet; after a crash, this happens at the
next start. The times of a stream's rows never decrease, and every span in which rows may be missing is recorded as a
gap:

* books: from the last row before an interruption to the first one after it;
* trades: only if the exchange's list of recent trades does not reach back to the last known trade, and between
  two runs of the recorder, because the first list in a run is history.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Any

from botkit.errors import DataError
from botkit.model.clock import NS_PER_DAY, Nanos, format_time
from botkit.model.columns import MarketColumns
from botkit.model.counts import counted
from botkit.model.events import Connection, ConnectionState, OrderBook, Trade
from botkit.model.orders import Side
from botkit.model.pairs import Pair
from botkit.tape.journal import (
    ENDING,
    FOLDER,
    BookRecord,
    GapRecord,
    Heading,
    JournalKey,
    JournalWriter,
    TapeJournal,
    TradeRecord,
    journal_files,
)
from botkit.tape.manifest import MANIFEST_NAME, Kind, read_manifest
from botkit.tape.writer import TapeWriter

LOCK_NAME = "recorder.lock"
#: suffix of a journal with rows that could not be added to the tape
DAMAGED = ".damaged"
#: the kind of rows for each stream name in `Connection` events
STREAM_KINDS: Mapping[str, Kind] = {"order_book": "books", "trades": "trades"}
RECORDED = (
    "botkit record: books as they were pushed, trades as they appeared in the pushed lists of recent trades; stamped "
    "with the arrival time on this machine's clock"
)
#: zstd level: a day is written once and read often, but the recorder shares its machine with a bot
_COMPRESSION_LEVEL = 9


class Recorder:
    """Records pairs into the tape at ``root``. A tape can have only one recorder at a time: a second one is refused.

    Call `open` (which converts an earlier run's journals to Parquet), `take` for every event, `sync` every second,
    `write_finished_days` from time to time, and `close`. Times come from the driver's clock.
    """

    def __init__(
        self,
        root: Path | str,
        pairs: Sequence[Pair],
        *,
        known: Mapping[str, Pair],
        depth: int,
        source: str,
        exchange: str = "bitopro",
        command: str = "",
        notes: tuple[str, ...] = (),
        synthetic: bool = False,
    ) -> None:
        """Create a recorder. ``known`` lists all of the exchange's pairs, because an earlier run may have left rows for
        pairs not in ``pairs``.

        ``synthetic`` means that the market is synthetic, such as an emulator's.
        """
        assert pairs, "no pairs to record"
        self.root = Path(root)
        self._known = known
        self._pairs = {str(pair): pair for pair in pairs}
        self._numbers = {str(pair): number for number, pair in enumerate(pairs)}
        self._depth = depth
        self._source, self._exchange, self._command, self._notes = source, exchange, command, notes
        self._synthetic = synthetic
        self._lock: IO[bytes] | None = None
        self._journal: JournalWriter | None = None
        self._day = 0
        self._last: Nanos = 0
        #: the time of each stream's last row, including rows from earlier runs
        self._ends: dict[JournalKey, Nanos] = {}
        #: streams for which the next row (for trades: the next connection) ends a gap
        self._broken: set[JournalKey] = set()
        self._finished: list[Path] = []
        self.rows: dict[JournalKey, int] = {}
        self.gaps = 0

    # -- the life of a recording ----------------------------------------------------------------------------------

    def open(self, now: Nanos) -> list[str]:
        """Lock the tape, convert an earlier run's journals, and start. Return messages about the conversion.

        Raises DataError if the tape is already being recorded, if this recorder may not add to it, or if its last row
        is later than ``now``.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.root / LOCK_NAME)
        try:
            told = finalise(self.root, self._known, command=self._command)
            if (self.root / MANIFEST_NAME).exists():
                manifest = read_manifest(self.root)
                if manifest.synthetic != self._synthetic or manifest.exchange != self._exchange:
                    raise DataError(
                        f"{self.root} is a {'synthetic' if manifest.synthetic else 'recorded'} tape from "
                        f"{manifest.exchange}; record into another folder"
                    )
                self._ends = {(s.pair, s.kind): s.end for s in manifest.streams if s.kind != "candles"}
            ahead = max((end for key, end in self._ends.items() if key[0] in self._pairs), default=0)
            if ahead >= now:
                raise DataError(
                    f"{self.root} ends at {format_time(ahead)}, which is later than this machine's clock "
                    f"({format_time(now)}); set the clock, or record into another folder"
                )
        except BaseException:
            self._unlock()
            raise
        self._broken = {key for key in self._ends if key[0] in self._pairs}
        self._begin(now)
        return told

    def _begin(self, now: Nanos) -> None:
        self._last = now
        self._day = now // NS_PER_DAY
        heading = Heading(
            exchange=self._exchange,
            source=self._source,
            recorded=RECORDED,
            started=now,
            depth=self._depth,
            pairs={name: (p.rules.price_decimals, p.rules.amount_decimals) for name, p in self._pairs.items()},
            notes=self._notes,
            synthetic=self._synthetic,
        )
        self._journal = JournalWriter(self.root / FOLDER / f"{now:020d}{ENDING}", heading)

    def sync(self) -> None:
        """Write all rows so far to disk. This may be called from another thread. Raises DataError if the disk is
        full.
        """
        journal = self._journal
        if journal is None:
            return
        try:
            journal.sync()
        except OSError as error:
            raise DataError(
                f"{journal.path} cannot be written: {error.strerror or error}; earlier rows are safe"
            ) from None

    def write_finished_days(self) -> list[str]:
        """Convert the journals of completed days to Parquet. This may take seconds, so call it from another thread."""
        finished, self._finished = self._finished, []
        return [
            sentence for path in finished for sentence in _write(self.root, path, self._known, command=self._command)
        ]

    @property
    def has_finished_days(self) -> bool:
        """True if there are journals for `write_finished_days` to convert."""
        return bool(self._finished)

    def close(self) -> list[str]:
        """Convert all journals to Parquet and unlock the tape. Return messages about the conversion."""
        journal, self._journal = self._journal, None
        try:
            if journal is not None:
                journal.close()
                self._finished.append(journal.path)
            return self.write_finished_days()
        finally:
            self._unlock()

    def abandon(self) -> None:
        """Unlock the tape without converting anything. The next start finds the synced rows in the journal."""
        journal, self._journal = self._journal, None
        if journal is not None:
            journal.abandon()
        self._unlock()

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()  # closing the file, or exiting the process, releases the lock

    # -- events ---------------------------------------------------------------------------------------------------

    def take(self, event: object, received: Nanos) -> None:
        """Record an event received at ``received``.

        Events that a tape cannot store are ignored. If the clock moves backward, the last time is reused, so that rows
        stay in order.
        """
        assert self._journal is not None, "the recorder is not open"
        received = max(received, self._last)
        self._last = received
        if isinstance(event, Connection):
            self._connection(event, received)
            return
        if not isinstance(event, (OrderBook, Trade)) or event.pair not in self._numbers:
            return
        if received // NS_PER_DAY != self._day:
            self._rotate(received)
        if isinstance(event, OrderBook):
            self._book(event, received)
        else:
            self._trade(event, received)

    def _rotate(self, now: Nanos) -> None:
        journal = self._journal
        assert journal is not None
        journal.close()
        self._finished.append(journal.path)
        self._begin(now)

    def _book(self, book: OrderBook, received: Nanos) -> None:
        key: JournalKey = (str(book.pair), "books")
        if key in self._broken:
            self._note_gap(key, received)
        depth = self._depth
        self._append(
            key,
            BookRecord(self._numbers[book.pair], received, book.time, book.bid_levels[:depth], book.ask_levels[:depth]),
        )

    def _trade(self, trade: Trade, received: Nanos) -> None:
        key: JournalKey = (str(trade.pair), "trades")
        if key in self._broken:
            self._note_gap(key, received)
        rules = trade.pair.rules
        side = 1 if trade.side is Side.BUY else -1 if trade.side is Side.SELL else 0
        # each float was computed by a single division of an integer, so rounding recovers the integer
        ticks = round(trade.price * 10**rules.price_decimals)
        lots = round(trade.amount * 10**rules.amount_decimals)
        self._append(key, TradeRecord(self._numbers[trade.pair], received, trade.time, ticks, lots, side))

    def _append(self, key: JournalKey, record: BookRecord | TradeRecord) -> None:
        assert self._journal is not None
        self._journal.append(record)
        self._ends[key] = record.received
        self.rows[key] = self.rows.get(key, 0) + 1

    def _connection(self, connection: Connection, received: Nanos) -> None:
        kind = STREAM_KINDS.get(connection.stream)
        if kind is None or connection.pair is None or connection.pair not in self._numbers:
            return
        key: JournalKey = (str(connection.pair), kind)
        if kind == "trades":
            if key in self._broken and connection.state is ConnectionState.CONNECTED:
                self._note_gap(key, received)  # the gap between two runs; from here on, the lists are complete
            elif connection.gap:
                self._note_gap(key, received)
        elif connection.state in (ConnectionState.LOST, ConnectionState.STALE):
            self._broken.add(key)

    def _note_gap(self, key: JournalKey, received: Nanos) -> None:
        self._broken.discard(key)
        start = self._ends.get(key)
        if start is None or start >= received:
            return  # the stream has no earlier rows, so there is no gap
        assert self._journal is not None
        self._journal.append(GapRecord(self._numbers[key[0]], key[1], start, received))
        self.gaps += 1


# -- converting journals to Parquet -------------------------------------------------------------------------------


def finalise(root: Path, pairs: Mapping[str, Pair], *, command: str = "") -> list[str]:
    """Convert all of a tape's journals to Parquet. Return messages about the journals' contents. No recorder may be
    running.
    """
    return [sentence for path in journal_files(root) for sentence in _write(root, path, pairs, command=command)]


def _write(root: Path, path: Path, pairs: Mapping[str, Pair], *, command: str) -> list[str]:
    """Write one journal's rows to the tape and remove the journal. If the process is killed midway, the conversion can
    be repeated without duplicating rows.
    """
    journal = TapeJournal.open(path, pairs)
    told = []
    if journal is not None:
        heading = journal.heading
        unknown = sorted(set(heading.pairs) - set(pairs))
        if unknown:
            raise DataError(
                f"{path} has rows for {', '.join(unknown)}, which the exchange does not list; move the file out of the "
                "folder"
            )
        written: dict[JournalKey, Nanos] = {}
        if (root / MANIFEST_NAME).exists():
            written = {(s.pair, s.kind): s.end for s in read_manifest(root).streams if s.kind != "candles"}
        chunks = journal.read(after=written)
        first = next(chunks, None)
        if first is not None:
            rows = _write_chunks(root, journal, chain([first], chunks), written, command)
            were = "was" if rows == 1 else "were"
            since = format_time(heading.started)[:19]
            told.append(f"{counted(rows, 'row')} recorded since {since}Z {were} added to the tape")
        damage = journal.damage()
        told += damage
        if damage:
            kept = path.with_name(path.name + DAMAGED)
            path.replace(kept)
            return [*told, f"the damaged file is kept as {kept}"]
    path.unlink()
    if not any(path.parent.iterdir()):
        path.parent.rmdir()
    return told


def _write_chunks(
    root: Path, journal: TapeJournal, chunks: Iterable[MarketColumns], written: Mapping[JournalKey, Nanos], command: str
) -> int:
    heading, rows = journal.heading, 0
    with TapeWriter(
        root,
        exchange=heading.exchange,
        source=heading.source,
        recorded=heading.recorded,
        command=command,
        notes=heading.notes,
        synthetic=heading.synthetic,
        compression_level=_COMPRESSION_LEVEL,
    ) as writer:
        for columns in chunks:
            writer.write(columns)
            rows += len(columns)
        for (pair, kind), start, end in journal.gaps():
            if end > written.get((pair, kind), -1):
                writer.note_gap(pair, kind, start, end)
    return rows


def _lock(path: Path) -> IO[bytes]:
    """Lock a file for the lifetime of the process. Raises DataError if another process has the lock."""
    file = path.open("a+b")
    try:
        _lock_file(file)
    except OSError:
        file.seek(0)
        holder = file.read(20).decode("ascii", "replace").strip()
        file.close()
        who = f" (process {holder})" if holder.isdigit() else ""
        raise DataError(
            f"{path.parent} is being recorded by another botkit record{who}; stop it, or choose another folder"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()).encode())
    file.flush()
    return file


def _lock_file(file: IO[bytes]) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        windows: Any = msvcrt
        # lock a byte far beyond the text, because Windows does not allow even reading a locked byte
        file.seek(1_000)
        windows.locking(file.fileno(), windows.LK_NBLCK, 1)
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
