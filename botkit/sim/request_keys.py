"""The key of a request's latency draw. It is identical in a backtest and over the wire, where request ids are unknown.

The key is the client id of the request's (first) order, so that an extra request does not shift other draws. For a
request without an order, the key is the number of requests without an order that the account has already made.
"""

from __future__ import annotations

from botkit.model.requests import CancelBatch, CancelOrder, CreateBatch, CreateOrder, GetOrder, ListOrders, Request
from botkit.sim.draws import mix, text_key
from botkit.sim.order import Account


class RequestKeys:
    """Assigns a key to each request."""

    def __init__(self) -> None:
        self._endpoints: dict[str, int] = {}
        self._made: dict[tuple[str, str], int] = {}

    def key_of(self, account: Account, request: Request) -> int:
        """Return the key of a request."""
        if type(request) is CreateOrder and request.order.client_id:
            return request.order.client_id
        client_id = _client_id(account, request)
        endpoint = request.endpoint
        base = self._endpoints.get(endpoint)
        if base is None:
            base = self._endpoints[endpoint] = text_key(endpoint)
        if not client_id:
            client_id = self._made.get((account.name, endpoint), 0) - 1  # keys below every client id
            self._made[account.name, endpoint] = client_id
        return mix(base + client_id)


def _client_id(account: Account, request: Request) -> int:
    match request:
        case CreateOrder():
            return request.order.client_id
        case CreateBatch():
            return request.orders[0].client_id if request.orders else 0
        case CancelOrder() | GetOrder():
            order_id = request.order_id
        case CancelBatch():
            order_id = request.orders[0][1] if request.orders else ""
        case ListOrders():
            return request.client_id or 0
        case _:
            return 0
    order = account.orders.get(order_id)
    return 0 if order is None else order.new.client_id
