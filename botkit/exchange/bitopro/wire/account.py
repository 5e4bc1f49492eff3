"""The wire format of account data: orders, executions and balances, as sent by private endpoints and streams.

Inconsistencies handled here: order ids are sent as numbers or text; REST spells ``clientId`` and streams spell
``clientID``; lists may be null; responses to cancels name pairs in upper case.
"""

from __future__ import annotations

import msgspec

from botkit.exchange.bitopro.wire.shapes import WireReply, WireRow


class AttachedStrategy(WireRow, frozen=True, kw_only=True):
    """A take-profit or stop-loss attached to an order on the website."""

    stop_price: str | None = None
    price: str | None = None
    price_percentage: str | None = None
    price_input_type: str | int | None = None
    strategies_id: str | int | None = msgspec.field(default=None, name="strategiesID")
    strategy_setting_id: str | int | None = msgspec.field(default=None, name="strategySettingID")
    order_id: str | int | None = msgspec.field(default=None, name="orderID")
    parent_order_id: str | int | None = msgspec.field(default=None, name="parentOrderID")


class OwnOrderRow(WireReply, frozen=True, kw_only=True):
    """An order as shown by the get and list endpoints and the order streams.

    ``status`` is -1 not triggered, 0 open, 1 partly filled, 2 filled, 3 cancelled after a partial fill, 4 cancelled
    without a fill, 6 post-only cancelled. The unit of ``original_amount`` for a market buy is unknown (Q12).
    """

    id: str | int
    pair: str
    price: str
    avg_execution_price: str
    action: str
    type: str
    status: int
    original_amount: str
    remaining_amount: str
    executed_amount: str
    fee: str = ""
    fee_symbol: str = ""
    bito_fee: str = ""
    total: str
    seq: str = ""
    time_in_force: str = ""
    created_timestamp: int | str
    updated_timestamp: int | str
    stop_price: str | None = None
    condition: str | None = None
    client_id: int | str | None = None
    #: the field ``clientId`` as spelled in the streams
    client_id_stream: int | str | None = msgspec.field(default=None, name="clientID")
    timestamp: int | str | None = None
    stop_profit_setting: AttachedStrategy | None = None
    stop_loss_setting: AttachedStrategy | None = None
    self_order_strategy_setting: AttachedStrategy | None = None

    @property
    def order_id(self) -> str:
        """The order id as text, including an ``SL-`` prefix if present."""
        return str(self.id)

    @property
    def client(self) -> int | None:
        """The client id from whichever spelling is present, or None if it is 0 or absent."""
        found = self.client_id if self.client_id is not None else self.client_id_stream
        return client_id(found)


class BlankOrder(WireRow, frozen=True, kw_only=True):
    """The response for an order that does not exist: status 200 with a blank ``id`` (Q8)."""

    id: str | int | None = None

    @property
    def is_blank(self) -> bool:
        """True if the response contains no order."""
        return self.id in (None, "", 0, "0")


class OrdersReply(WireReply, frozen=True, kw_only=True):
    """GET /orders/open and GET /orders/all/{pair}."""

    data: tuple[OwnOrderRow, ...] | None


class OwnTradeRow(WireRow, frozen=True, kw_only=True):
    """One execution of one of the account's orders.

    ``fee_symbol`` is the base currency on every row, even for sells, whose fee is in quote currency. Do not rely on it.
    """

    trade_id: str | int
    order_id: str | int
    price: str
    action: str
    base_amount: str
    quote_amount: str
    fee: str
    fee_symbol: str
    is_taker: bool
    timestamp: int | str | None = None
    created_timestamp: int | str | None = None


class OwnTradesReply(WireReply, frozen=True, kw_only=True):
    """GET /orders/trades/{pair}. A self-trade appears twice, with the same trade id."""

    data: tuple[OwnTradeRow, ...] | None


class CreateReply(WireRow, frozen=True, kw_only=True):
    """The response to POST /orders/{pair}. ``order_id`` is a number, but some clients expect text, so both are
    accepted.
    """

    order_id: str | int
    timestamp: int
    action: str
    amount: str
    price: str | None = None
    time_in_force: str | None = None
    client_id: int | str | None = None

    @property
    def client(self) -> int | None:
        """The echoed client id, or None if it is 0 or absent."""
        return client_id(self.client_id)


class CreateBatchReply(WireReply, frozen=True, kw_only=True):
    """POST /orders/batch: one row per order, in request order."""

    data: tuple[CreateReply, ...] | None


class CancelReply(WireRow, frozen=True, kw_only=True):
    """The response to DELETE /orders/{pair}/{orderId}. It means that the cancel was accepted, not that the order is
    final.
    """

    order_id: str | int
    action: str | None = None
    timestamp: int | None = None
    price: str | None = None
    amount: str | None = None


class CancelManyReply(WireReply, frozen=True, kw_only=True):
    """The cancelled ids by uppercase pair, from a PUT batch or DELETE-all. Null if no order was cancelled."""

    data: dict[str, tuple[str | int, ...] | None] | None = None

    @property
    def orders(self) -> tuple[tuple[str, str], ...]:
        """The cancelled orders as (lowercase pair, order id)."""
        if not self.data:
            return ()
        return tuple((pair.lower(), str(order_id)) for pair, ids in self.data.items() for order_id in ids or ())


class BalanceRow(WireRow, frozen=True, kw_only=True):
    """The balance of one currency. ``amount`` is the total, ``available`` is the spendable amount, and ``stake`` is
    separate (Q20).
    """

    currency: str
    amount: str
    available: str
    stake: str | None = None
    tradable: bool | None = None


class BalancesReply(WireReply, frozen=True, kw_only=True):
    """GET /accounts/balance: every currency, including those with a zero balance."""

    data: tuple[BalanceRow, ...] | None


def client_id(value: int | str | None) -> int | None:
    """Convert a client id from the wire to an integer, or to None if it is absent (0 or "" on the wire)."""
    if isinstance(value, str):
        return int(value) or None if value.isdigit() and value.isascii() and len(value) <= 10 else None
    return value or None
