"""The lines of a run's decision log that tell what its strategies decided, for comparing two runs."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from typing import Any

from botkit.model.clock import Nanos
from botkit.tape.feed import StreamKey

__all__ = ["DecisionLines", "decided"]

#: Lines about what the exchange did, which follow from the decisions and the market. On candles they may come from the
#: next row: an order is filled at a candle's open, and the candle is received at its end.
_OF_THE_EXCHANGE = frozenset({"request", "answer", "fill"})
#: the states that an order reaches without the exchange; an order that was cancelled before it was sent has a reason
_UNSENT = frozenset({"refused", "expired", "cancelled"})


class DecisionLines:
    """What a run decided: the time and a hash of each line, in chronological order. 16 bytes per line are kept, because
    a market maker makes millions of decisions.

    The hashes are only valid in this process.
    """

    def __init__(self) -> None:
        #: the streams that the run read
        self.streams: tuple[StreamKey, ...] = ()
        self.times = array("q")
        self._hashes = array("q")

    def __len__(self) -> int:
        return len(self.times)

    def add(self, block: bytes) -> None:
        """Add a block of lines of the decision log."""
        for line in block.splitlines():
            found = decided(line)
            if found is not None:
                self.times.append(found["t"])
                self._hashes.append(hash(line))

    def until(self, cut: Nanos) -> array[int]:
        """Return everything that was decided up to ``cut``, inclusive, in a form that can be compared."""
        return self._hashes[: bisect_right(self.times, cut)]


def decided(line: bytes) -> dict[str, Any] | None:
    """Parse a line of the decision log. Return None if it records what the exchange did instead of a decision.

    Decisions are orders with everything asked for, cancels, notes such as messages, and orders that were withdrawn
    before they were sent.
    """
    found: dict[str, Any] = json.loads(line)
    kind = found["k"]
    if kind in _OF_THE_EXCHANGE or (kind == "state" and not (found["state"] in _UNSENT and "why" in found)):
        return None
    return found
