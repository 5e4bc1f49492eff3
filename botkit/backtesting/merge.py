"""The one total order over several streams: by time, then kind, then pair, then row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from botkit.model.columns import MarketColumns


def runs(streams: Sequence[MarketColumns]) -> Iterator[tuple[MarketColumns, int, int]]:
    """Consecutive rows of one stream each, (columns, first row, row after the last), in the total order.

    ``streams`` must come sorted by kind and pair; rows of a stream are in order of receive time already.
    """
    full = [columns for columns in streams if len(columns)]
    if len(full) == 1:
        yield full[0], 0, len(full[0])
        return
    if not full:
        return
    times = np.concatenate([columns.received for columns in full])
    source = np.repeat(np.arange(len(full)), [len(columns) for columns in full])
    ordered = source[np.argsort(times, kind="stable")]
    starts = np.concatenate(([0], np.flatnonzero(np.diff(ordered)) + 1))
    lengths = np.diff(np.append(starts, len(ordered)))
    done = [0] * len(full)
    for which, length in zip(ordered[starts].tolist(), lengths.tolist(), strict=True):
        first = done[which]
        done[which] = first + length
        yield full[which], first, first + length
