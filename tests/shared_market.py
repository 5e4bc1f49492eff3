"""Synthetic markets that are generated once and then read by many emulators, because generating a market takes more
time than most tests.

In virtual time every test starts at the same moment, so emulators with the same options have the same rows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import pytest

from botkit.emulator import server
from botkit.emulator.sources import MarketSource, SyntheticSource, by_stream
from botkit.model.clock import NS_PER_MINUTE, Nanos
from botkit.model.columns import CandleColumns, MarketColumns
from botkit.model.pairs import Pair

#: the number of markets that are kept, and how much of each: enough for all but the longest runs
_MARKETS_KEPT = 8
_KEPT: Nanos = 40 * NS_PER_MINUTE


class Rows:
    """The rows of one market, generated on demand. Rows up to ``kept`` after the first are kept for other readers."""

    def __init__(self, make: Callable[[], MarketSource], kept: Nanos = _KEPT) -> None:
        self._make = make
        source = make()
        self._source: MarketSource | None = source
        self.name = source.name
        self.history = source.history()
        self.first = source.known_until
        self._end = self.first + kept
        self._pieces: list[tuple[Nanos, list[MarketColumns]]] = []

    def piece(self, index: int) -> tuple[Nanos, list[MarketColumns]] | None:
        """Return piece number ``index`` of the rows, and the time up to which this piece extends the known market. No
        piece is kept after the end.
        """
        while len(self._pieces) <= index:
            if self._source is None or self._source.known_until >= self._end:
                return None
            rows = self._source.chunk(self._source.known_until)
            self._pieces.append((self._source.known_until, rows))
        return self._pieces[index]

    def rest(self) -> MarketSource:
        """Return the market after the kept pieces. The first reader that gets there continues it."""
        source, self._source = self._source, None
        if source is None:
            source = self._make()
            source.history()
            while source.known_until < self._end:
                source.chunk(source.known_until)
        return source


class Market:
    """A `MarketSource` that reads kept rows."""

    synthetic = True
    ended = False

    def __init__(self, rows: Rows) -> None:
        self.name = rows.name
        self._rows = rows
        self._next = 0
        self._rest: MarketSource | None = None
        self.known_until: Nanos = rows.first

    def history(self) -> list[CandleColumns]:
        """Return the candles that precede the start."""
        return list(self._rows.history)

    def chunk(self, until: Nanos) -> list[MarketColumns]:
        """Return the next rows, each stream as a single item."""
        found: list[MarketColumns] = []
        while self.known_until <= until:
            piece = self._rows.piece(self._next)
            if piece is None:
                self._rest = self._rest or self._rows.rest()
                found += self._rest.chunk(self.known_until)
                self.known_until = self._rest.known_until
            else:
                self.known_until, rows = piece
                self._next += 1
                found += rows
        return by_stream(found)

    def is_wire(self, pair: str) -> bool:
        """Return False, because this market's books change more often than a stream publishes them."""
        return False


_rows: OrderedDict[object, Rows] = OrderedDict()


def shared_market(
    pairs: Mapping[str, Pair], *, seed: int, start: Nanos, history_days: float, speed: float = 1.0
) -> Market:
    """Return the market that `SyntheticSource` generates."""
    rules = tuple((name, pair.rules) for name, pair in pairs.items())
    key = (rules, seed, start // NS_PER_MINUTE, history_days, speed)
    make = partial(SyntheticSource, pairs, seed=seed, start=start, history_days=history_days, speed=speed)
    rows = _rows.pop(key, None) or Rows(make)
    _rows[key] = rows
    if len(_rows) > _MARKETS_KEPT:
        _rows.popitem(last=False)
    return Market(rows)


@pytest.fixture(scope="session", autouse=True)
def _emulators_share_their_markets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "SyntheticSource", shared_market)
        yield
        _rows.clear()
