"""The exchange's publications, with the times at which they become known."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from botkit.model.clock import Nanos
from botkit.model.events import BalanceReport, OrderBook, OrderReport, Trade, TradeReport
from botkit.model.requests import Answer

AccountEvent: TypeAlias = OrderReport | TradeReport | BalanceReport
Event: TypeAlias = Answer | AccountEvent | OrderBook | Trade


class Publication(msgspec.Struct, frozen=True):
    """An event and the time at which it becomes known, to one account or to everyone (``account`` None).

    A tuple contains all effects that one match, or several simultaneous matches, had on an account: executions, then a
    row for each touched order, then the balances. The receiver should see the executions only once orders and balances
    include them. ``acted`` is the time at which the exchange acted, which is the timestamp of the frames on an
    account's streams.
    """

    at: Nanos
    account: str | None
    event: Event | tuple[AccountEvent, ...]
    acted: Nanos = 0

    @property
    def events(self) -> tuple[Event, ...]:
        """The individual events, in the order that the exchange's streams would send them."""
        event = self.event
        return event if isinstance(event, tuple) else (event,)
