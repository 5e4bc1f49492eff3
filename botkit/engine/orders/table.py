"""All of the bot's orders, indexed by client id, exchange id and strategy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from botkit.engine.orders.executions import Executions
from botkit.model.clock import Nanos
from botkit.model.orders import FINAL_STATES, LIVE_STATES, RESTING_STATES, Order
from botkit.model.pairs import Pair


class OrderTable:
    """The table of orders. Only the order desk writes to it."""

    def __init__(self) -> None:
        self.by_client_id: dict[int, Order] = {}
        self.by_order_id: dict[str, Order] = {}
        #: non-final orders, by strategy and client id; a replacement is included before it is sent
        self.open: defaultdict[str, dict[int, Order]] = defaultdict(dict)
        #: the executions seen for each order, by client id, so that repeats are dropped
        self.executions: defaultdict[int, Executions] = defaultdict(Executions)

    def __iter__(self) -> Iterator[Order]:
        return iter(self.by_client_id.values())

    def open_of(self, strategy: str, pair: Pair | None = None) -> list[Order]:
        """Return a strategy's orders that are not final, oldest first, including queued and unknown ones."""
        mine = self.open.get(strategy)
        if not mine:
            return []
        if pair is None:
            return list(mine.values())
        return [order for order in mine.values() if order.pair == pair]

    def all_open(self) -> list[Order]:
        """Return every order that is not final, strategy by strategy."""
        return [order for orders in self.open.values() for order in orders.values()]

    def resting(self, pair: Pair) -> list[Order]:
        """Return the orders resting in the pair's book."""
        return [order for order in self.all_open() if order.pair == pair and order.state in RESTING_STATES]

    @property
    def has_live(self) -> bool:
        """True while at least one order is, or may be, at the exchange."""
        for orders in self.open.values():
            for order in orders.values():
                if order.state in LIVE_STATES:
                    return True
        return False

    def is_known(self, order_id: str) -> bool:
        """Return True if the exchange's order id is the id of one of our orders."""
        return order_id in self.by_order_id

    def forget_before(self, time: Nanos) -> list[Order]:
        """Drop orders that became final before ``time``, so that a bot can run for months.

        Returns the dropped orders, oldest first. Orders that became final before they were sent are dropped
        immediately: no report about them can arrive, and a strategy that keeps placing orders while the bot is halted
        produces thousands.
        """
        old = [
            order
            for order in self.by_client_id.values()
            if order.state in FINAL_STATES and (order.updated < time or not order.sent)
        ]
        for order in old:
            self.drop(order)
        return old

    def drop(self, order: Order) -> None:
        """Drop an order, so that its reports are no longer recognised."""
        del self.by_client_id[order.client_id]
        self.by_order_id.pop(order.order_id, None)
        self.executions.pop(order.client_id, None)
