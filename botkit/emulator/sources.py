"""The emulator's market data: the endless synthetic market, or a recorded tape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec
import numpy as np

from botkit.emulator.companions import Companions
from botkit.errors import ConfigError
from botkit.model.clock import NS_PER_MINUTE, NS_PER_S, Nanos
from botkit.model.columns import CandleColumns, MarketColumns
from botkit.model.pairs import Pair
from botkit.tape.synthetic import PAIRS, SyntheticMarket

if TYPE_CHECKING:
    from botkit.tape.feed import Feed, Slice

_ROWS_MAX = 200_000
_CHUNK: Nanos = 8 * NS_PER_S
_Columns = TypeVar("_Columns", bound=MarketColumns)


class MarketSource(Protocol):
    """Market data as rows ordered by receipt time, returned in chunks."""

    #: a description shown in the state
    name: str
    #: True if the market is synthetic
    synthetic: bool
    #: True if there are no more rows
    ended: bool
    #: every row received before this time has been returned
    known_until: Nanos

    def history(self) -> list[CandleColumns]:
        """Return one-minute candles from before the first row."""
        ...

    def chunk(self, until: Nanos) -> list[MarketColumns]:
        """Return the next rows, including all remaining rows received before ``until``. The last rows may be received
        later than ``until``.
        """
        ...

    def is_wire(self, pair: str) -> bool:
        """Return True if the pair's books were recorded from the exchange's stream and therefore already have the
        stream's timing.
        """
        ...


class SyntheticSource:
    """The synthetic market with ``history_days`` of candles before ``start``. Equal seeds and starts yield equal
    rows.
    """

    synthetic = True

    def __init__(
        self, pairs: Mapping[str, Pair], *, seed: int, start: Nanos, history_days: float, speed: float = 1.0
    ) -> None:
        self.name = f"synthetic, seed {seed}"
        self.ended = False
        minutes = max(1, int(history_days * 1440))
        begin = start // NS_PER_MINUTE * NS_PER_MINUTE - minutes * NS_PER_MINUTE
        self._market = SyntheticMarket(pairs, seed=seed, start=begin)
        self._minutes = minutes
        # use larger chunks if the clock runs fast, because distributing 42 streams costs more than generating their
        # rows
        self._chunk = _CHUNK * max(1, int(speed / 15))
        self._companions = Companions({name: pair for name, pair in pairs.items() if name not in PAIRS})
        self.known_until: Nanos = begin

    def is_wire(self, pair: str) -> bool:
        """Return False, because this market's books change more often than a stream publishes books."""
        return False

    def history(self) -> list[CandleColumns]:
        """Return candles up to the minute before the start."""
        found: list[CandleColumns] = []
        for day in self._market.history(self._minutes):
            found += day
            found += [part for part in self._companions.rows(list(day)) if isinstance(part, CandleColumns)]
        self.known_until = self._market.time
        return found

    def chunk(self, until: Nanos) -> list[MarketColumns]:
        """Return books and trades for all pairs, each stream as a single item."""
        found: list[MarketColumns] = []
        while self.known_until <= until:
            # always generate the same number of seconds, so that a companion's rows do not depend on when chunks are
            # requested
            rows = self._market.advance(self.known_until + self._chunk)
            # some rows may be received after the last generated second, but no earlier row is missing
            self.known_until = self._market.time
            found += rows + self._companions.rows(rows)
        return by_stream(found)


class TapeMarket:
    """A recorded tape with books or trades, or part of a tape; ``shift_ns`` is added to all times."""

    def __init__(self, path: Path, pairs: Mapping[str, Pair], span: tuple[Nanos, Nanos] | None = None) -> None:
        # imported here because reading tapes loads pyarrow, which a synthetic market does not need
        from botkit.tape.feed import Feed, TapeSource

        if not path.exists():
            raise ConfigError(f"--market {path}: there is no such tape; use a tape's folder, or synthetic")
        source = TapeSource(path, pairs)
        self._feed: Feed = Feed([source])
        streams = [info for info in self._feed.streams if info.kind in ("books", "trades")]
        if not streams:
            raise ConfigError(f"--market {path}: it has no books or trades; candles alone only work in backtests")
        self.name, self.synthetic = f"tape {source.name}", source.synthetic
        self.ended = False
        self.start = min(info.start for info in streams)
        self.end = max(info.end for info in streams)
        if span is not None:
            self.start, self.end = max(self.start, span[0]), min(self.end, span[1] - 1)
        self._keys = [info.key for info in streams]
        self._candles = [info for info in self._feed.streams if info.kind == "candles" and info.resolution == "1m"]
        self._slices: Iterator[Slice] | None = None
        self.shift_ns: Nanos = 0
        self.known_until: Nanos = self.start

    def is_wire(self, pair: str) -> bool:
        """Return whether the tape states that its books were recorded from a stream."""
        return self._feed.is_wire(pair)

    def history(self) -> list[CandleColumns]:
        """Return the tape's own one-minute candles from before its first row."""
        found: list[CandleColumns] = []
        for info in self._candles:
            for piece in self._feed.slices([info.key], info.start, self.start // NS_PER_MINUTE * NS_PER_MINUTE + 1):
                found += [part for part in piece.columns if isinstance(part, CandleColumns)]
        return [_shifted(part, self.shift_ns) for part in found]

    def chunk(self, until: Nanos) -> list[MarketColumns]:
        """Return the next slices of the tape."""
        if self._slices is None:
            self._slices = self._feed.slices(self._keys, self.start, self.end + 1, rows_max=_ROWS_MAX)
            self.known_until = self.start + self.shift_ns
        found: list[MarketColumns] = []
        while self.known_until <= until and not self.ended:
            piece = next(self._slices, None)
            if piece is None:
                self.ended = True
                break
            self.known_until = piece.end + self.shift_ns
            found += [_shifted(part, self.shift_ns) for part in piece.columns]
        return found


def _shifted(columns: _Columns, by: Nanos) -> _Columns:
    """Return the rows with all receipt times and timestamps shifted."""
    if not by:
        return columns
    return msgspec.structs.replace(columns, received=columns.received + by, time=columns.time + by)


def by_stream(parts: Iterable[MarketColumns]) -> list[MarketColumns]:
    """Join the parts of each stream, because loading a minute costs no more than loading a second, and an emulator
    starts with a minute.
    """
    found: dict[tuple[str, str], list[MarketColumns]] = {}
    for part in parts:
        found.setdefault((part.pair, part.kind), []).append(part)
    return [rows[0] if len(rows) == 1 else _joined(rows) for rows in found.values()]


def _joined(parts: list[_Columns]) -> _Columns:
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in parts[0].__struct_fields__
        if isinstance(getattr(parts[0], name), np.ndarray)
    }
    return msgspec.structs.replace(parts[0], **arrays)
