"""Telling new trades from repeated ones in the lists that the exchange sends.

A TRADE frame is the whole list of recent trades, newest first, again at each update, and a trade has no id. Comparing
row by row would lose trades: 1,855 of 9,757 real ones share second, price, amount and side with another. So a list is
aligned with the one before, and the rows in front of the overlap are new.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, NamedTuple, TypeVar

R = TypeVar("R")


class Aligned(NamedTuple, Generic[R]):
    """``new`` trades, oldest first. ``gap``: the lists do not overlap, so trades in between may be missing."""

    new: tuple[R, ...]
    gap: bool


def overlap_at(before: Sequence[Hashable], after: Sequence[Hashable]) -> int | None:
    """How many rows of ``after`` lie in front of ``before`` (both newest first), or None without an overlap.

    Where several overlaps fit, the longest is taken. A list that grew is an exception: it still holds the whole list
    before as its end, so of ``[a]`` and ``[a, a]`` one row is new, not none.
    """
    grown = len(after) - len(before)
    if grown > 0 and list(after[grown:]) == list(before):
        return grown
    for new in range(len(after)):
        length = min(len(after) - new, len(before))
        if length and after[new] == before[0] and list(after[new : new + length]) == list(before[:length]):
            return new
    return None


class TradeListAligner(Generic[R]):
    """Keeps the last list of one pair and returns what is new in each next one.

    ``key`` identifies a trade across frames (the wire rounds amounts after the first frame, so
    the raw rows may differ). The first list is history from before the stream began: nothing of it is new, unless
    ``first_is_new``.
    """

    __slots__ = ("_first_is_new", "_key", "_keys")

    def __init__(self, key: Callable[[R], Hashable], *, first_is_new: bool = False) -> None:
        self._key = key
        self._first_is_new = first_is_new
        self._keys: list[Hashable] | None = None

    def feed(self, rows: Sequence[R]) -> Aligned[R]:
        """Take the next list, newest first."""
        before, keys = self._keys, [self._key(row) for row in rows]
        if before is None:
            self._keys = keys
            return Aligned(tuple(reversed(rows)) if self._first_is_new else (), gap=False)
        if not keys:
            return Aligned((), gap=False)
        self._keys = keys
        if not before:
            return Aligned(tuple(reversed(rows)), gap=False)
        new = overlap_at(before, keys)
        if new is None:
            return Aligned(tuple(reversed(rows)), gap=True)
        return Aligned(tuple(reversed(rows[:new])), gap=False)
