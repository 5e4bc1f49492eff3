"""Replays a real session's orders against the simulated exchange, at their original times and with the market data that
the bot received.

The strategies do not run again; their orders are replayed unchanged. Therefore an order that fills differently does not
change all later orders, and each order's real fills can be compared with its simulated fills. The account has unlimited
funds.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import msgspec

from botkit.backtesting.audit import Execution
from botkit.engine.market.book import without_orders
from botkit.model.clock import Nanos
from botkit.model.events import OrderBook, OrderReport, TradeReport
from botkit.model.order_spec import OrderSpec
from botkit.model.pairs import Pair
from botkit.model.requests import CancelOrder, CreateBatch, CreateOrder
from botkit.sim.kernel import Kernel


class SentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request that the bot sent: orders to create, or client ids of orders to cancel."""

    time: Nanos
    creates: tuple[OrderSpec, ...] = ()
    cancels: tuple[int, ...] = ()


class Resting(msgspec.Struct, frozen=True, kw_only=True):
    """A change to an order at the real exchange: from ``time`` on, ``remaining_lots`` lots are resting. A value of 0
    means that the order is no longer in the book.
    """

    time: Nanos
    client_id: int
    remaining_lots: int


Moment: TypeAlias = SentRequest | Resting


class _Standing:
    """One of the bot's orders in the real book, in the form that `without_orders` expects."""

    def __init__(self, order: OrderSpec, remaining_lots: int) -> None:
        self.side, self.price_ticks, self.remaining_lots = order.side, order.price_ticks, remaining_lots


class Resimulation:
    """Runs the simulated exchange alongside a recorded session. For each market event, first call `pass_time` with its
    time, then `load` it.
    """

    def __init__(
        self, kernel: Kernel, account: str, orders: Mapping[int, OrderSpec], moments: Iterable[Moment]
    ) -> None:
        """Prepare the resimulation. ``moments`` must be sorted by time."""
        self._kernel = kernel
        self._account = account
        self._orders = orders
        self._coming = list(reversed(list(moments)))
        self._ids: dict[int, str] = {}
        self._client_ids: dict[str, int] = {}
        #: cancels of orders whose order ids the bot has not received yet
        self._held: list[int] = []
        self._standing: dict[int, _Standing] = {}
        self._request_id = 0
        #: (order id, execution); the execution's client id has not been filled in yet
        self._executed: list[tuple[str, Execution]] = []
        self.last: dict[str, float] = {}
        #: client id -> mid price when the order was sent
        self.mids: dict[int, float] = {}
        self._mid: dict[str, float] = {}

    def pass_time(self, to: Nanos) -> None:
        """Send the requests that the bot sent before ``to``, and advance the exchange to ``to``."""
        while self._coming and self._coming[-1].time < to:
            moment = self._coming.pop()
            self._advance(moment.time)
            if isinstance(moment, Resting):
                self._stands(moment)
            else:
                self._send(moment)
        self._advance(to)

    @property
    def executions(self) -> list[Execution]:
        """All executions so far, in publication order."""
        ids = self._client_ids  # an execution is published before the report that maps its order id to a client id
        return [msgspec.structs.replace(one, client_id=ids[order_id]) for order_id, one in self._executed]

    def book_without_own(self, book: OrderBook) -> OrderBook:
        """Return a book with the bot's real orders removed."""
        mine = [one for client_id, one in self._standing.items() if self._orders[client_id].pair == book.pair]
        return without_orders(book, cast(list[Any], mine))

    def load(self, pair: Pair, columns: Any, *, mid: float | None = None, price: float | None = None) -> None:
        """Add a row of market data that has just been received. Call `pass_time` first."""
        self._kernel.load(columns)
        if mid is not None:
            self._mid[pair] = self.last[pair] = mid
        elif price is not None and pair not in self._mid:
            self.last[pair] = price
        self._advance(self._kernel.now)

    # -- within -------------------------------------------------------------------------------------------------------

    def _stands(self, moment: Resting) -> None:
        if moment.remaining_lots:
            self._standing[moment.client_id] = _Standing(self._orders[moment.client_id], moment.remaining_lots)
        else:
            self._standing.pop(moment.client_id, None)

    def _send(self, sent: SentRequest) -> None:
        for order in sent.creates:
            if order.pair in self._mid:
                self.mids[order.client_id] = self._mid[order.pair]
        if len(sent.creates) == 1:
            self._submit(CreateOrder(id=self._next(), order=sent.creates[0], timestamp=sent.time), sent.time)
        elif sent.creates:
            self._submit(CreateBatch(id=self._next(), orders=sent.creates, timestamp=sent.time), sent.time)
        for client_id in sent.cancels:
            self._cancel(client_id, sent.time)

    def _cancel(self, client_id: int, now: Nanos) -> None:
        order_id = self._ids.get(client_id)
        if order_id is None:
            self._held.append(client_id)
            return
        pair = self._orders[client_id].pair
        self._submit(CancelOrder(id=self._next(), pair=pair, order_id=order_id, client_id=client_id), now)

    def _submit(self, request: CreateOrder | CreateBatch | CancelOrder, now: Nanos) -> None:
        self._kernel.submit(self._account, request, now)

    def _next(self) -> int:
        self._request_id += 1
        return self._request_id

    def _advance(self, to: Nanos) -> None:
        for published in self._kernel.advance(to):
            if published.account != self._account:
                continue
            for event in published.events:
                if isinstance(event, OrderReport) and event.client_id is not None:
                    self._known(event.client_id, event.order_id, published.at)
                elif isinstance(event, TradeReport):
                    self._executed.append((event.order_id, _execution(event, published.at)))

    def _known(self, client_id: int, order_id: str, now: Nanos) -> None:
        if client_id in self._ids:
            return
        self._ids[client_id], self._client_ids[order_id] = order_id, client_id
        if client_id in self._held:
            self._held.remove(client_id)
            self._cancel(client_id, now)


def _execution(event: TradeReport, at: Nanos) -> Execution:
    return Execution(
        client_id=0,
        time=at,
        price_ticks=event.price_ticks,
        lots=event.lots,
        fee_units=event.fee_units,
        fee_currency=event.fee_currency,
        is_maker=event.is_maker,
    )


def merged(*streams: Sequence[Moment]) -> list[Moment]:
    """Return all moments sorted by time. When times are equal, moments from earlier streams come first."""
    return list(heapq.merge(*streams, key=lambda moment: moment.time))
