"""An account's executions. This module stays plain Python while others are compiled, because the emulator subclasses
the list to move old executions to disk, and a compiled list cannot be subclassed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from botkit.model.events import TradeReport
from botkit.model.requests import ListTrades


class Trades(list[TradeReport]):
    """An account's executions, in order."""

    @property
    def total(self) -> int:
        """The number of executions so far."""
        return len(self)

    def since(self, number: int) -> Sequence[TradeReport]:
        """Return all executions except the first ``number``."""
        return self[number:]

    def made_within(self, request: ListTrades) -> Iterator[TradeReport]:
        """Return the executions that match a listing request, newest first. The caller applies the limit."""
        return (trade for trade in reversed(self) if is_listed_trade(trade, request))


def is_listed_trade(trade: TradeReport, request: ListTrades) -> bool:
    """Return True if an execution matches a listing request."""
    return (
        trade.pair == request.pair
        and (request.order_id is None or trade.order_id == request.order_id)
        and (request.start is None or trade.time >= request.start)
        and (request.end is None or trade.time < request.end)
    )
