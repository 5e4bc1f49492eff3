"""The bot's requests to the exchange, and the exchange's answers.

Every request names the *endpoint* whose documented rate limit applies to it (`botkit.model.limits`). The engine's
router creates a request when it grants a slot. ``id`` is unique within a run and is repeated in the `Answer`.
"""

from __future__ import annotations

import enum
from typing import ClassVar, TypeAlias

import msgspec

from botkit.model.clock import Nanos
from botkit.model.events import BalanceReport, Candle, OrderBook, OrderReport, Trade, TradeReport
from botkit.model.limits import PAIRS_ENDPOINT
from botkit.model.order_spec import OrderSpec
from botkit.model.pairs import Pair, PairRules

__all__ = [
    "Answer",
    "AnswerBody",
    "CancelAck",
    "CancelAll",
    "CancelBatch",
    "CancelOrder",
    "CreateBatch",
    "CreateOrder",
    "Ending",
    "GetBalances",
    "GetBook",
    "GetCandles",
    "GetOrder",
    "GetPairs",
    "ListOpenOrders",
    "ListOrders",
    "ListTrades",
    "ListedRules",
    "OrderAck",
    "Request",
]


class CreateOrder(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """POST /orders/{pair}. ``timestamp`` is t0, the time at which the router granted the slot, and is sent in the
    body.
    """

    endpoint: ClassVar[str] = "create_order"
    id: int
    order: OrderSpec
    timestamp: Nanos


class CreateBatch(msgspec.Struct, frozen=True, kw_only=True):
    """POST /orders/batch: 1 to 10 LIMIT or MARKET orders from one strategy."""

    endpoint: ClassVar[str] = "create_batch"
    id: int
    orders: tuple[OrderSpec, ...]
    timestamp: Nanos


class CancelOrder(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """DELETE /orders/{pair}/{orderId}. ``client_id`` is for the bot's own records; only the order id is sent."""

    endpoint: ClassVar[str] = "cancel_order"
    id: int
    pair: Pair
    order_id: str
    client_id: int = 0


class CancelBatch(msgspec.Struct, frozen=True, kw_only=True):
    """PUT /orders: cancel several orders by id. ``client_ids`` are in the same order as ``orders``."""

    endpoint: ClassVar[str] = "cancel_batch"
    id: int
    orders: tuple[tuple[Pair, str], ...]
    client_ids: tuple[int, ...] = ()


class CancelAll(msgspec.Struct, frozen=True, kw_only=True):
    """DELETE /orders/all, or DELETE /orders/{pair}. This also cancels orders that the bot did not create, so only panic
    sends it.
    """

    endpoint: ClassVar[str] = "cancel_all"
    id: int
    pair: Pair | None = None


class GetOrder(msgspec.Struct, frozen=True, kw_only=True):
    """GET /orders/{pair}/{orderId}."""

    endpoint: ClassVar[str] = "get_order"
    id: int
    pair: Pair
    order_id: str


class ListOrders(msgspec.Struct, frozen=True, kw_only=True):
    """GET /orders/all/{pair} with statusKind=ALL: orders created in ``start`` <= time < ``end``, optionally only those
    with ``client_id``.

    ``order_ids`` requests only these orders, regardless of creation time. An exchange may ignore ``order_ids``
    (`botkit.engine.orders.by_ids`).
    """

    endpoint: ClassVar[str] = "all_orders"
    id: int
    pair: Pair
    client_id: int | None = None
    start: Nanos | None = None
    end: Nanos | None = None
    limit: int = 100
    order_ids: tuple[str, ...] = ()


class ListOpenOrders(msgspec.Struct, frozen=True, kw_only=True):
    """GET /orders/open."""

    endpoint: ClassVar[str] = "open_orders"
    id: int
    pair: Pair | None = None


class ListTrades(msgspec.Struct, frozen=True, kw_only=True):
    """GET /orders/trades/{pair}: the account's executions, for one order or for a time span."""

    endpoint: ClassVar[str] = "my_trades"
    id: int
    pair: Pair
    order_id: str | None = None
    start: Nanos | None = None
    end: Nanos | None = None
    limit: int = 100


class GetBalances(msgspec.Struct, frozen=True, kw_only=True):
    """GET /accounts/balance."""

    endpoint: ClassVar[str] = "balance"
    id: int


class GetBook(msgspec.Struct, frozen=True, kw_only=True):
    """GET /order-book/{pair}."""

    endpoint: ClassVar[str] = "order_book"
    id: int
    pair: Pair
    depth: int = 5


class GetCandles(msgspec.Struct, frozen=True, kw_only=True):
    """GET /trading-history/{pair}: candles with ``start`` <= bucket start < ``end``. If ``running`` is set, the
    unfinished candle is included.
    """

    endpoint: ClassVar[str] = "trading_history"
    id: int
    pair: Pair
    resolution: str
    start: Nanos
    end: Nanos
    running: bool = False


class GetPairs(msgspec.Struct, frozen=True, kw_only=True):
    """GET /provisioning/trading-pairs: the current rules of every pair."""

    endpoint: ClassVar[str] = PAIRS_ENDPOINT
    id: int


Request: TypeAlias = (
    CreateOrder
    | CreateBatch
    | CancelOrder
    | CancelBatch
    | CancelAll
    | GetOrder
    | ListOrders
    | ListOpenOrders
    | ListTrades
    | GetBalances
    | GetBook
    | GetCandles
    | GetPairs
)


class Ending(enum.Enum):
    """The possible outcomes of a request, as far as the bot knows."""

    OK = "ok"  # 200, with a body that matches the request
    REFUSED = "refused"  # a 4xx: according to the exchange, the request had no effect
    RATE_LIMITED = "rate_limited"  # 429: refused, but counted toward the limit
    UNKNOWN = "unknown"  # timeout, reset, 408, 5xx or garbage: the request may have taken effect, or may still do so
    NOT_SENT = "not_sent"  # no byte was written: the request had no effect and did not count

    __hash__ = object.__hash__  # `Enum.__hash__` costs a Python call per lookup


class OrderAck(msgspec.Struct, frozen=True, gc=False):
    """The exchange's acceptance of an order. ``client_id`` is the id echoed by the exchange, or None if it returned
    none.
    """

    order_id: str
    client_id: int | None


class CancelAck(msgspec.Struct, frozen=True):
    """The exchange's acceptance of cancels. Only a pushed report or a query proves that the orders have been
    cancelled.
    """

    orders: tuple[tuple[str, str], ...]  # (lowercase pair, order id)


class ListedRules(msgspec.Struct, frozen=True):
    """A pair that the exchange lists, by its lowercase name, and its current rules. The pair may be one that botkit
    cannot trade.
    """

    pair: str
    rules: PairRules


AnswerBody: TypeAlias = (
    OrderAck
    | CancelAck
    | BalanceReport
    | OrderBook
    | tuple[OrderAck, ...]
    | tuple[OrderReport, ...]
    | tuple[TradeReport, ...]
    | tuple[Candle, ...]
    | tuple[Trade, ...]
    | tuple[ListedRules, ...]
    | None
)


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer to a request. It takes effect at the ``now`` of its turn. ``text`` is the exchange's own message,
    without a full stop at its end, because it becomes part of sentences. A ``status`` of 401 means that the exchange
    does not accept the account's API key.

    ``body`` depends on the request: a tuple of reports for a listing, an `OrderAck` for a create, a tuple of `OrderAck`
    in request order for a batch, a `CancelAck` for a cancel, a `BalanceReport` for balances, and a tuple of
    `ListedRules` for the pairs. A listing with an unreadable order is UNKNOWN, and its ``body`` contains the other
    orders. They show that an order exists, but never that it does not.
    """

    request_id: int
    outcome: Ending
    status: int = 200
    text: str = ""
    body: AnswerBody = None
