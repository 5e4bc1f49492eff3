"""An account's executions. The emulator has a list of its own that moves old ones to disk, so this module stays plain
Python where others are compiled: compiled code accepts no subclass of a compiled list.
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
        """Return the executions that a listing selects, newest first. The caller cuts them to its limit."""
        return (trade for trade in reversed(self) if is_listed_trade(trade, request))


def is_listed_trade(trade: TradeReport, request: ListTrades) -> bool:
    """Return True if a listing selects an execution."""
    return (
        trade.pair == request.pair
        and (request.order_id is None or trade.order_id == request.order_id)
        and (request.start is None or trade.time >= request.start)
        and (request.end is None or trade.time < request.end)
    )
