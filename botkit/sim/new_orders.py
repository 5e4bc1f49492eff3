"""Gives each accepted order its id and its rank in time."""

from __future__ import annotations

from botkit.model.clock import Nanos
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import STOP_LIMIT
from botkit.sim.draws import keyed, mix
from botkit.sim.order import Account, VenueOrder
from botkit.sim.order_numbers import OrderNumbers

_ORDER_IDS = 7  # the kind of draw, passed to `keyed`


class NewOrders:
    """Numbers the orders. ``ids`` is the set of order numbers already in use."""

    def __init__(self, ids: set[int] | OrderNumbers | None, seed: int) -> None:
        self._ids: set[int] | OrderNumbers = OrderNumbers() if ids is None else ids
        self._seed = keyed(seed, _ORDER_IDS, 0)
        #: the number of orders so far
        self.rank = 0

    def make(self, account: Account, new: OrderSpec, lock_units: int, sent: Nanos, now: Nanos) -> VenueOrder:
        """Return a new order, not yet placed in a market. Its id has ten digits, not increasing over time, prefixed
        with ``SL-`` for stops.
        """
        self.rank += 1
        key = account.key ^ new.client_id if new.client_id else self.rank
        attempt = 0
        while True:
            number = 1_000_000_000 + mix(key + attempt ^ self._seed) % 9_000_000_000
            if number not in self._ids:
                break
            attempt += 1
        self._ids.add(number)
        order_id = f"SL-{number}" if new.type is STOP_LIMIT else str(number)
        return VenueOrder(account, new, order_id, self.rank, sent, now, lock_units)
