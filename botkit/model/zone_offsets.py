"""The UTC offsets of a time zone for a whole column of times."""

from __future__ import annotations

from datetime import timedelta, tzinfo

import numpy as np
from numpy.typing import NDArray

from botkit.model.clock import NS_PER_DAY, NS_PER_MINUTE, Nanos, to_datetime

__all__ = ["offsets_s"]


def offsets_s(times: NDArray[np.int64], zone: tzinfo) -> NDArray[np.int64]:
    """Return the zone's UTC offset at each time (nanoseconds since the epoch), in seconds.

    A day that starts and ends with the same offset has it throughout, because no zone changes its clocks twice within
    24 hours. Other days are looked up by the minute: most clocks change on the hour, but St. John's, for one, changed
    them at 00:01.
    """
    days, places = np.unique(times // NS_PER_DAY, return_inverse=True)
    firsts, lasts = (_looked_up(days + end, NS_PER_DAY, zone) for end in (0, 1))
    offsets = firsts[places]
    changing = np.flatnonzero((firsts != lasts)[places])
    if changing.size:
        minutes, places = np.unique(times[changing] // NS_PER_MINUTE, return_inverse=True)
        offsets[changing] = _looked_up(minutes, NS_PER_MINUTE, zone)[places]
    return offsets


def _looked_up(counts: NDArray[np.int64], unit: Nanos, zone: tzinfo) -> NDArray[np.int64]:
    moments = (to_datetime(count * unit, zone) for count in counts.tolist())
    return np.array([(moment.utcoffset() or timedelta()) // timedelta(seconds=1) for moment in moments], np.int64)
