"""The synthetic market. It is generated once for many seeds, because generating it would dominate the duration of a
short run.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from botkit.emulator.options import EmulatorOptions
from botkit.emulator.sources import SyntheticSource
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.columns import CandleColumns, MarketColumns
from botkit.model.extension import ExchangeFacts
from tests.simulation.plan import PAIRS

#: number of different markets; a seed selects one of them
MARKETS = 16
_PIECE: Nanos = 8 * NS_PER_S
#: how far before the exchange's start the market starts, so that every book exists immediately
_EARLIER: Nanos = 5 * NS_PER_S


class Rows:
    """The rows of one market, generated on demand."""

    def __init__(self, facts: ExchangeFacts, number: int, start: Nanos) -> None:
        self._source = SyntheticSource(facts.pairs, seed=number, start=start - _EARLIER, history_days=0.01)
        self.history = [part for part in self._source.history() if part.pair in PAIRS]
        self.first = self._source.known_until
        self._pieces: list[tuple[Nanos, list[MarketColumns]]] = []

    def piece(self, index: int) -> tuple[Nanos, list[MarketColumns]]:
        """Return piece number ``index`` of the rows, and the time up to which this piece extends the known market."""
        while len(self._pieces) <= index:
            rows = [part for part in self._source.chunk(self._source.known_until) if part.pair in PAIRS]
            self._pieces.append((self._source.known_until, rows))
        return self._pieces[index]


class Market:
    """A `botkit.emulator.sources.MarketSource` that reads pregenerated rows."""

    synthetic = True
    ended = False

    def __init__(self, rows: Rows) -> None:
        self.name = "synthetic"
        self._rows = rows
        self._next = 0
        self.known_until: Nanos = rows.first

    def history(self) -> Sequence[CandleColumns]:
        """Return the candles that precede the start."""
        return list(self._rows.history)

    def chunk(self, until: Nanos) -> list[MarketColumns]:
        """Return the next rows."""
        found: list[MarketColumns] = []
        while self.known_until <= until:
            self.known_until, rows = self._rows.piece(self._next)
            self._next += 1
            found += rows
        return found

    def is_wire(self, pair: str) -> bool:
        """Return False, because this market's books change more often than a stream publishes them."""
        return False


@functools.cache
def _rows(number: int, start: Nanos) -> Rows:
    assert _FACTS is not None
    return Rows(_FACTS, number, start)


_FACTS: ExchangeFacts | None = None


def market_source(facts: ExchangeFacts, options: EmulatorOptions, machine_now: Nanos) -> tuple[Market, Nanos]:
    """Return one of a few markets, and its start time. Replaces the emulator's built-in market."""
    global _FACTS
    _FACTS = _FACTS or facts
    return Market(_rows(options.seed % MARKETS, machine_now)), machine_now
