"""Merges the rows of several streams into one stream, in the order received."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from botkit.model.columns import IntArray, MarketColumns

__all__ = ["MergedRows"]


class MergedRows:
    """The rows of several streams in a total order: by time, then kind, then pair, then row.

    ``streams`` must be sorted by kind and pair (`botkit.model.moment.rank`), and each stream's rows by receipt time.
    Positions are row numbers in the merged stream. ``received`` contains the receipt time of the row at each position.
    """

    __slots__ = ("_runs", "_starts", "received")

    def __init__(self, streams: Sequence[MarketColumns]) -> None:
        full = [columns for columns in streams if len(columns)]
        #: the positions at which runs of consecutive rows from one stream start; `_runs` contains the (stream, row) for
        #: each position
        self._starts: list[int] = []
        self._runs: list[tuple[MarketColumns, int]] = []
        if len(full) <= 1:
            self.received: IntArray = full[0].received if full else np.empty(0, np.int64)
            self._starts, self._runs = [0] * len(full), [(columns, 0) for columns in full]
            return
        times = np.concatenate([columns.received for columns in full])
        source = np.repeat(np.arange(len(full)), [len(columns) for columns in full])
        order = np.argsort(times, kind="stable")
        self.received = times[order]
        ordered = source[order]
        starts = np.concatenate(([0], np.flatnonzero(np.diff(ordered)) + 1))
        lengths = np.diff(np.append(starts, len(ordered)))
        done = [0] * len(full)
        self._starts = starts.tolist()
        for which, length in zip(ordered[starts].tolist(), lengths.tolist(), strict=True):
            self._runs.append((full[which], done[which]))
            done[which] += length

    def __len__(self) -> int:
        return len(self.received)

    def at(self, position: int) -> tuple[MarketColumns, int, int]:
        """Return (stream, row in the stream, end of the run) for a position. A run here is a sequence of consecutive
        rows from one stream.
        """
        index = bisect_right(self._starts, position) - 1
        columns, first = self._runs[index]
        end = self._starts[index + 1] if index + 1 < len(self._starts) else len(self.received)
        return columns, first + position - self._starts[index], end
