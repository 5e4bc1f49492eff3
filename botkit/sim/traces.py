"""The traces that our executions leave in a recorded market."""

from __future__ import annotations

import msgspec

from botkit.model.orders import Side
from botkit.sim.bounds import NEVER_DOWN, NEVER_UP


class Print(msgspec.Struct, frozen=True):
    """A public print of one of our executions: the taker's side, ticks, lots."""

    side: Side
    ticks: int
    lots: int


class Taken(msgspec.Struct):
    """The lots that our orders took from a recorded level. These lots count as taken until the level changes in the
    recording.
    """

    lots: int
    recorded: int
    row: int  # the snapshot up to which the level is known to be unchanged


class Swept(msgspec.Struct):
    """The lots that recorded trades have taken from a snapshot: all asks below ``buy_ticks``, and ``buy_lots`` at that
    price; all bids above ``sell_ticks``, and ``sell_lots`` at that price.
    """

    row: int
    upto: int  # number of the first trade that is not yet included
    buy_ticks: int = NEVER_DOWN
    buy_lots: int = 0
    sell_ticks: int = NEVER_UP
    sell_lots: int = 0
