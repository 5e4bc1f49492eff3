"""The numbers that an exchange has given to orders. A set of Python integers would be most of what an order still takes
at the end of a long backtest.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left

import numpy as np

#: up to this many numbers are in a set; afterwards, a sixteenth of them
_NEW_LEAST = 4_096
_NEW_SHARE = 16


class OrderNumbers:
    """A set of integers, most of them sorted in an array, which takes a tenth of a set's memory."""

    __slots__ = ("_new", "_sorted")

    def __init__(self) -> None:
        self._new: set[int] = set()
        self._sorted: array[int] = array("q")

    def __contains__(self, number: int) -> bool:
        if number in self._new:
            return True
        place = bisect_left(self._sorted, number)
        return place < len(self._sorted) and self._sorted[place] == number

    def __len__(self) -> int:
        return len(self._new) + len(self._sorted)

    def add(self, number: int) -> None:
        """Add a number that is not contained yet."""
        self._new.add(number)
        if len(self._new) > max(_NEW_LEAST, len(self._sorted) // _NEW_SHARE):
            numbers = np.concatenate((np.frombuffer(self._sorted, np.int64), np.fromiter(self._new, np.int64)))
            numbers.sort(kind="stable")
            self._sorted = array("q", numbers.tobytes())
            self._new = set()
