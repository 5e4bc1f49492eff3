"""The changes caused by one event at the exchange."""

from __future__ import annotations

import msgspec

from botkit.model.clock import Nanos
from botkit.model.events import TradeReport
from botkit.model.requests import Answer
from botkit.sim.order import Account, VenueOrder


class AccountChange(msgspec.Struct):
    """The changes to one account caused by one event, in order."""

    #: the latency key: the client id or request id that caused the changes
    key: int
    #: the endpoint of the account's own request; empty if another account or the market caused the changes
    endpoint: str = ""
    answer: Answer | None = None
    trades: list[TradeReport] = []
    orders: dict[str, VenueOrder] = {}
    currencies: dict[str, None] = {}


class VenueEvent(msgspec.Struct):
    """One event at the exchange: an arrival, or a recorded row that touches orders.

    ``trade_row`` is the row number of the recorded trade, if the event is a trade: later trades have not happened yet.
    """

    time: Nanos
    trade_row: int | None = None
    news: dict[Account, AccountChange] = {}

    def of(self, order: VenueOrder) -> AccountChange:
        """Return the changes to the order's account, and mark the order as touched."""
        news = self.news.get(order.account)
        if news is None:
            news = self.news[order.account] = AccountChange(order.new.client_id)
        news.orders[order.order_id] = order
        return news
