"""Recorded books with our accounts' orders added, in the form an exchange would publish."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from botkit.model.columns import IntArray
from botkit.model.order_book import Levels, RecordedBooks
from botkit.sim.bounds import NEVER_DOWN, NEVER_UP

#: one side of a book as (ticks, lots), best first
Side: TypeAlias = list[tuple[int, int]]

#: how many rows to convert to lists at once: a numpy call costs as much as converting twenty levels
_ROWS_AT_ONCE = 16


class BookRows(RecordedBooks):
    """Several rows of recorded books as arrays of shape (rows, depth), with the same set of our orders in each row.

    None of the rows may reach one of our orders from the opposite side.
    """

    __slots__ = ("_asks", "_bids", "_converted", "_depth", "_first", "_own_asks", "_own_bids")

    def __init__(
        self,
        bids: tuple[IntArray, IntArray],
        asks: tuple[IntArray, IntArray],
        own_bids: Side,
        own_asks: Side,
        depth: int,
        scale: int,
    ) -> None:
        """Store the rows. ``bids`` and ``asks`` are each row's (ticks, lots), and ``own_bids`` and ``own_asks`` are our
        orders. A book shows ``depth`` levels per side.
        """
        best_bid = np.where(bids[1][:, 0] > 0, bids[0][:, 0], NEVER_DOWN)
        best_ask = np.where(asks[1][:, 0] > 0, asks[0][:, 0], NEVER_UP)
        if own_bids:
            best_bid = np.maximum(best_bid, own_bids[0][0])
        if own_asks:
            best_ask = np.minimum(best_ask, own_asks[0][0])
        super().__init__(
            np.where(best_bid == NEVER_DOWN, 0, best_bid).tolist(),
            np.where(best_ask == NEVER_UP, 0, best_ask).tolist(),
            scale,
        )
        self._bids = bids
        self._asks = asks
        self._own_bids = own_bids
        self._own_asks = own_asks
        self._depth = depth
        # the most recently converted rows, starting at row ``_first``
        self._first = 0
        self._converted: list[list[list[int]]] = [[], [], [], []]

    def levels(self, row: int) -> tuple[Levels, Levels]:
        """Return the bids and asks of a row."""
        index = row - self._first
        if not 0 <= index < len(self._converted[0]):
            cut = slice(row, row + _ROWS_AT_ONCE)
            self._first, index = row, 0
            self._converted = [column[cut].tolist() for column in (*self._bids, *self._asks)]
        bid_ticks, bid_lots, ask_ticks, ask_lots = self._converted
        return lay_over(
            levels_of(bid_ticks[index], bid_lots[index]),
            levels_of(ask_ticks[index], ask_lots[index]),
            self._own_bids,
            self._own_asks,
            self._depth,
        )

    def are_equal(self) -> tuple[list[bool], list[bool]]:
        """Return, for each row after the first, whether it is known to equal the previous row, and whether it is known
        to differ from the previous row. If it is not known to equal or to differ, the rows must be compared level by
        level.
        """
        bids, asks, own_bids, own_asks = self._bids, self._asks, self._own_bids, self._own_asks
        count = len(bids[0])
        same = np.ones(count - 1, dtype=np.bool_)
        other = np.zeros(count - 1, dtype=np.bool_)
        for (ticks, lots), own, is_ahead in ((bids, own_bids, np.greater), (asks, own_asks, np.less)):
            same &= (ticks[1:] == ticks[:-1]).all(axis=1) & (lots[1:] == lots[:-1]).all(axis=1)
            best, shown = ticks[:, 0], lots[:, 0]
            # the first shown level is the recorded one, unchanged, if it exists and is better than all our orders
            alone = (shown > 0) if not own else (shown > 0) & is_ahead(best, own[0][0])
            other |= ((best[1:] != best[:-1]) | (shown[1:] != shown[:-1])) & alone[1:] & alone[:-1]
        return same.tolist(), other.tolist()


def levels_of(ticks: Sequence[int], lots: Sequence[int]) -> Side:
    """Return the levels of one side, without empty levels."""
    levels = list(zip(ticks, lots, strict=True))
    return levels if 0 not in lots else [level for level in levels if level[1]]


def lay_over(bids: Side, asks: Side, own_bids: Side, own_asks: Side, depth: int) -> tuple[Levels, Levels]:
    """Return the best ``depth`` levels of both sides, with our orders added.

    An order that the recorded opposite side has reached is omitted: the queue model may leave it unfilled, but no
    exchange shows a crossed book.
    """
    best_bid, best_ask = (bids[0][0] if bids else NEVER_DOWN), (asks[0][0] if asks else NEVER_UP)
    if own_bids:
        _insert(bids, own_bids, 1, best_ask)
    if own_asks:
        _insert(asks, own_asks, -1, best_bid)
    return tuple(bids[:depth]), tuple(asks[:depth])


def _insert(levels: Side, own: Side, sign: int, opposite: int) -> None:
    """Add one side's orders to its levels, both sorted best first. Orders reached by the best price of the ``opposite``
    side are omitted. ``sign`` is positive for the side on which higher prices are better.
    """
    place = 0
    for price, lots in own:
        if sign * price >= sign * opposite:
            continue
        while place < len(levels) and sign * levels[place][0] > sign * price:
            place += 1
        if place < len(levels) and levels[place][0] == price:
            levels[place] = (price, levels[place][1] + lots)
        else:
            levels.insert(place, (price, lots))
