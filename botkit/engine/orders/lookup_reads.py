"""The reads in which an order of unknown outcome may be found, and which together prove it absent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from botkit.engine.orders.reads import LISTED_MAX
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import TradeReport
from botkit.model.orders import Order
from botkit.model.requests import GetBalances, GetOrder, ListOpenOrders, ListOrders, ListTrades, Request

#: listings start this long before the order was sent, because the clocks may differ
_LOOK_BACK_NS = 60 * NS_PER_S


class LookUpRead(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One kind of read in which an order may be found. ``make`` builds its request from the request's id, the order,
    and the time up to which rows are wanted (None: up to now).
    """

    endpoint: str
    make: Callable[[int, Order, Nanos | None], Request]
    #: False for a listing that is never cut off
    is_paged: bool = False
    #: True if the response is the same for every order, so that the cases share it
    is_shared: bool = False
    #: True if an empty response means that the exchange does not know the row yet
    must_find: bool = False


def _start(order: Order) -> Nanos:
    return order.sent - _LOOK_BACK_NS


def _orders(request_id: int, order: Order, client_id: int | None, end: Nanos | None) -> ListOrders:
    return ListOrders(
        id=request_id, pair=order.pair, client_id=client_id, start=_start(order), end=end, limit=LISTED_MAX
    )


def _trades(request_id: int, order: Order, end: Nanos | None) -> ListTrades:
    return ListTrades(id=request_id, pair=order.pair, start=_start(order), end=end, limit=LISTED_MAX)


BY_CLIENT_ID: Final = LookUpRead(
    endpoint=ListOrders.endpoint, make=lambda i, order, end: _orders(i, order, order.client_id, end), is_paged=True
)
_ALL_ORDERS: Final = LookUpRead(
    endpoint=ListOrders.endpoint, make=lambda i, order, end: _orders(i, order, None, end), is_paged=True
)
OPEN_ORDERS: Final = LookUpRead(
    endpoint=ListOpenOrders.endpoint, make=lambda i, order, end: ListOpenOrders(id=i), is_shared=True
)
BALANCES: Final = LookUpRead(
    endpoint=GetBalances.endpoint, make=lambda i, order, end: GetBalances(id=i), is_shared=True
)
_TRADES: Final = LookUpRead(endpoint=ListTrades.endpoint, make=_trades, is_paged=True)
#: the reads that must all succeed after the time limit, in this order, before an order is proved absent; the balances
#: are compared with the open orders read just before
PROOF: Final = (BY_CLIENT_ID, _ALL_ORDERS, OPEN_ORDERS, BALANCES, _TRADES)


def order_of(row: TradeReport) -> LookUpRead:
    """Return the read of the order that an unexplained trade belongs to."""
    return LookUpRead(
        endpoint=GetOrder.endpoint,
        make=lambda i, order, end: GetOrder(id=i, pair=row.pair, order_id=row.order_id),
        must_find=True,
    )
