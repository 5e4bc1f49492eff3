"""Tells new trades from repeated ones in the lists that the exchange sends.

Every update of a TRADE frame repeats the whole list of recent trades, newest first, and trades have no id. Comparing
row by row would lose trades: of 9,757 real ones, 1,855 share second, price, amount and side with another. So each list
is aligned with the previous one, and the rows in front of the overlap are new.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, NamedTuple, TypeVar

R = TypeVar("R")


class Aligned(NamedTuple, Generic[R]):
    """The ``new`` trades, oldest first. ``gap`` means that the lists do not overlap, so trades in between may be
    missing.
    """

    new: tuple[R, ...]
    gap: bool


def overlap_at(before: Sequence[Hashable], after: Sequence[Hashable]) -> int | None:
    """Return how many rows of ``after`` come before its overlap with ``before`` (both newest first), or None if the
    lists do not overlap.

    If several overlaps are possible, the longest is used. The exception is a list that only grew: it ends in the whole
    previous list, so going from ``[a]`` to ``[a, a]`` adds one row, not none.
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
    """Remembers one pair's last list and returns what is new in the next.

    ``key`` identifies a trade across frames (the wire rounds amounts after the first frame, so raw rows may differ).
    The first list is history from before the stream began, so none of it counts as new unless ``first_is_new``.
    """

    __slots__ = ("_first_is_new", "_key", "_keys")

    def __init__(self, key: Callable[[R], Hashable], *, first_is_new: bool = False) -> None:
        self._key = key
        self._first_is_new = first_is_new
        self._keys: list[Hashable] | None = None

    def feed(self, rows: Sequence[R]) -> Aligned[R]:
        """Accept the next list, newest first, and return what is new in it."""
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
