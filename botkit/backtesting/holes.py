"""Finds gaps in a run's recorded books and trades: long periods without rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from botkit.model.clock import NS_PER_S, Nanos, format_time
from botkit.model.columns import BookColumns, CandleColumns
from botkit.tape.feed import Slice


class _Silence(msgspec.Struct):
    last: Nanos
    count: int = 0
    longest: Nanos = 0
    since: Nanos = 0


class Holes:
    """Finds gaps in a run's slices. A gap is a period of at least ``least_s`` without books, or without trades if the
    pair has no books.
    """

    def __init__(self, least_s: float) -> None:
        self._least_s = least_s
        self._streams: dict[tuple[str, str], _Silence] = {}

    def watch(self, slices: Iterable[Slice]) -> Iterator[Slice]:
        """Yield the slices unchanged, recording their gaps."""
        least = int(self._least_s * NS_PER_S)
        for piece in slices:
            for columns in piece.columns:
                if isinstance(columns, CandleColumns) or not len(columns):
                    continue
                kind = "books" if isinstance(columns, BookColumns) else "trades"
                received = columns.received
                silence = self._streams.setdefault((str(columns.pair), kind), _Silence(int(received[0])))
                steps = received.copy()
                steps[1:] -= received[:-1]
                steps[0] -= silence.last
                row = int(steps.argmax())
                silence.count += int((steps >= least).sum())
                if steps[row] > silence.longest:
                    silence.longest = int(steps[row])
                    silence.since = int(received[row]) - silence.longest
                silence.last = int(received[-1])
            yield piece

    def sentences(self) -> list[str]:
        """Return one sentence per stream with gaps, for the report."""
        found = []
        for (pair, kind), silence in self._streams.items():
            if not silence.count or (kind == "trades" and (pair, "books") in self._streams):
                continue
            many = "1 hole" if silence.count == 1 else f"{silence.count} holes"
            what = "market orders do not use books that old" if kind == "books" else "no orders fill during these holes"
            found.append(
                f"{pair} {kind}: {many} of {self._least_s:g} s or more, the longest lasting "
                f"{silence.longest / NS_PER_S:,.0f} s, from {format_time(silence.since)}; {what}"
            )
        return found
