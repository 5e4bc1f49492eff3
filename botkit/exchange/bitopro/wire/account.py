"""The account's data: orders, executions and balances, as the private endpoints and streams carry them.

Traps this module settles: order ids come as numbers and as text; ``clientId`` in REST is ``clientID`` in the streams;
lists may be null; a reply to a cancelling names pairs in upper case.
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
    """An order as get, list and the order streams show it.

    ``status``: -1 not triggered, 0 open, 1 partly filled, 2 filled, 3 cancelled with something filled, 4 cancelled
    with nothing filled, 6 post-only cancelled. ``original_amount`` of a market buy is of unknown unit (Q12).
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
    #: the same under the spelling of the streams
    client_id_stream: int | str | None = msgspec.field(default=None, name="clientID")
    timestamp: int | str | None = None
    stop_profit_setting: AttachedStrategy | None = None
    stop_loss_setting: AttachedStrategy | None = None
    self_order_strategy_setting: AttachedStrategy | None = None

    @property
    def order_id(self) -> str:
        """The id as text, ``SL-`` kept."""
        return str(self.id)

    @property
    def client(self) -> int | None:
        """The client id under either spelling; 0 and absent mean none."""
        found = self.client_id if self.client_id is not None else self.client_id_stream
        return client_id(found)


class BlankOrder(WireRow, frozen=True, kw_only=True):
    """The shape of a reply about an order that does not exist: 200 with a blank ``id`` (Q8)."""

    id: str | int | None = None

    @property
    def is_blank(self) -> bool:
        """True when there is no order in it."""
        return self.id in (None, "", 0, "0")


class OrdersReply(WireReply, frozen=True, kw_only=True):
    """GET /orders/open and GET /orders/all/{pair}."""

    data: tuple[OwnOrderRow, ...] | None


class OwnTradeRow(WireRow, frozen=True, kw_only=True):
    """One execution of one of the account's orders.

    ``fee_symbol`` is the base currency on every row, sells included, whose fee is in quote: never use it for that.
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
    """GET /orders/trades/{pair}. A self-trade is there twice, under one trade id."""

    data: tuple[OwnTradeRow, ...] | None


class CreateReply(WireRow, frozen=True, kw_only=True):
    """POST /orders/{pair}. ``order_id`` is a number; clients that expect text exist, so accept both."""

    order_id: str | int
    timestamp: int
    action: str
    amount: str
    price: str | None = None
    time_in_force: str | None = None
    client_id: int | str | None = None

    @property
    def client(self) -> int | None:
        """The echoed client id; 0 and absent mean none."""
        return client_id(self.client_id)


class CreateBatchReply(WireReply, frozen=True, kw_only=True):
    """POST /orders/batch: one row an order, in the order of the request."""

    data: tuple[CreateReply, ...] | None


class CancelReply(WireRow, frozen=True, kw_only=True):
    """DELETE /orders/{pair}/{orderId}: the cancel was accepted, which does not prove that the order has ended."""

    order_id: str | int
    action: str | None = None
    timestamp: int | None = None
    price: str | None = None
    amount: str | None = None


class CancelManyReply(WireReply, frozen=True, kw_only=True):
    """The ids cancelled by pair (upper case), of a PUT batch or of DELETE-all. Null when there were none."""

    data: dict[str, tuple[str | int, ...] | None] | None = None

    @property
    def orders(self) -> tuple[tuple[str, str], ...]:
        """(lowercase pair, order id) of each."""
        if not self.data:
            return ()
        return tuple((pair.lower(), str(order_id)) for pair, ids in self.data.items() for order_id in ids or ())


class BalanceRow(WireRow, frozen=True, kw_only=True):
    """One currency. ``amount`` is the total, ``available`` what can be spent; ``stake`` is a figure apart (Q20)."""

    currency: str
    amount: str
    available: str
    stake: str | None = None
    tradable: bool | None = None


class BalancesReply(WireReply, frozen=True, kw_only=True):
    """GET /accounts/balance: every currency, those with nothing included."""

    data: tuple[BalanceRow, ...] | None


def client_id(value: int | str | None) -> int | None:
    """A client id of the wire as an integer, or None where there is none (0 and "" are sent for none)."""
    if isinstance(value, str):
        return int(value) or None if value.isdigit() and value.isascii() and len(value) <= 10 else None
    return value or None
