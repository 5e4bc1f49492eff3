"""Handles requests: entry rules, cancels and reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final, TypeAlias

from botkit.model.clock import Nanos
from botkit.model.events import Candle
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import LIMIT, STOP_LIMIT
from botkit.model.requests import (
    Answer,
    AnswerBody,
    CancelAck,
    CancelAll,
    CancelBatch,
    CancelOrder,
    CreateBatch,
    CreateOrder,
    Ending,
    GetBalances,
    GetBook,
    GetCandles,
    GetOrder,
    GetPairs,
    ListedRules,
    ListOpenOrders,
    ListOrders,
    ListTrades,
    OrderAck,
    Request,
)
from botkit.sim.candles import CandleMatcher
from botkit.sim.history import held_candles
from botkit.sim.ledger import Ledger
from botkit.sim.market import VenueMarket
from botkit.sim.new_orders import NewOrders
from botkit.sim.order import CANCELLED, Account, VenueOrder
from botkit.sim.rules import BAD_BODY, BAD_TYPE, BATCH_MAX, UNKNOWN_ORDER, balance_refusal, entry_refusal, lock_of
from botkit.sim.venue_event import VenueEvent
from botkit.sim.venue_markets import VenueMarkets

_OK: Final = Ending.OK

Handled: TypeAlias = tuple[Answer, tuple[VenueMarket, ...]]


class Desk:
    """Answers requests. The second part of each result lists the markets in which orders changed."""

    def __init__(
        self,
        markets: VenueMarkets,
        new_orders: NewOrders,
        ledger: Ledger,
        matcher: CandleMatcher,
        *,
        batch_all_or_nothing: bool,
    ) -> None:
        self._markets = markets
        self._new_orders = new_orders
        self._ledger = ledger
        self._matcher = matcher
        self._all_or_nothing = batch_all_or_nothing
        #: the method that executes each type of request at the event's time; other types are reads
        self.handlers: dict[type, Callable[[Account, Any, VenueEvent, Nanos], Handled]] = {
            CreateOrder: self._create,
            CancelOrder: self._cancel,
            CreateBatch: self._batch,
            CancelBatch: self._cancel_batch,
            CancelAll: self._cancel_all,
        }

    # -- creating -------------------------------------------------------------------------------------------------

    def _create(self, account: Account, request: CreateOrder, event: VenueEvent, sent: Nanos) -> Handled:
        new = request.order
        refusal = entry_refusal(new, self._markets.pairs, account)
        if refusal is None:
            currency, units = lock_of(new)
            available = account.total.get(currency, 0) - account.locked.get(currency, 0)
            if units > available:
                refusal = balance_refusal(currency, units, available)
        if refusal is not None:
            return refused(request.id, refusal), ()
        order = self._new_orders.make(account, new, units, sent, event.time)
        self._ledger.open(order, event)
        market = self._markets.by_name.get(new.pair) or self._markets.of(new.pair)
        if order.type is STOP_LIMIT:
            self._enter_stop(order, market, event)
        elif market.candles is not None:
            self._matcher.enter_on_candles(order, market, event)
        else:
            self._matcher.enter_on_trades(order, market, event)
        ack = OrderAck(order.order_id, new.client_id or None)
        return Answer(request_id=request.id, outcome=_OK, body=ack), (market,)

    def _enter_stop(self, order: VenueOrder, market: VenueMarket, event: VenueEvent) -> None:
        last = market.last_ticks(event.time)
        market.stops.append(order)
        if last is not None and self._matcher.is_met(order, last, last):
            market.stops.remove(order)
            self._matcher.activate(order, market, event)

    def _batch(self, account: Account, request: CreateBatch, event: VenueEvent, sent: Nanos) -> Handled:
        if not 1 <= len(request.orders) <= BATCH_MAX:
            return refused(request.id, BAD_BODY), ()
        accepted: list[tuple[OrderSpec, int]] = []
        queued: dict[str, int] = {}
        spent: dict[str, int] = {}
        for new in request.orders:
            refusal: str | None = BAD_TYPE
            currency, units = "", 0
            if new.type is not STOP_LIMIT:
                refusal = entry_refusal(new, self._markets.pairs, account, queued.get(new.pair, 0))
            if refusal is None:
                currency, units = lock_of(new)
                refusal = balance_refusal(currency, units, account.available(currency) - spent.get(currency, 0))
            if refusal is None:
                accepted.append((new, units))
                spent[currency] = spent.get(currency, 0) + units
                if new.type is LIMIT:
                    queued[new.pair] = queued.get(new.pair, 0) + 1
            elif self._all_or_nothing:
                return refused(request.id, refusal), ()
        orders = [self._new_orders.make(account, new, units, sent, event.time) for new, units in accepted]
        # lock funds for all orders first, because a fee in BITO must not use funds that a later order has locked
        for order in orders:
            self._ledger.open(order, event)
        markets: dict[str, VenueMarket] = {}
        for order in orders:
            market = markets[order.pair] = self._markets.of(order.pair)
            self._matcher.enter(order, market, event)  # a batch never contains stops
        acks = tuple(OrderAck(order.order_id, order.new.client_id or None) for order in orders)
        return granted(request.id, acks), tuple(markets.values())

    # -- cancelling -----------------------------------------------------------------------------------------------

    def _cancel(self, account: Account, request: CancelOrder, event: VenueEvent, sent: Nanos) -> Handled:
        order = account.open.get(request.order_id)
        if order is None or order.pair != request.pair:
            return refused(request.id, UNKNOWN_ORDER), ()
        market = self._markets.by_name[order.pair]
        market.remove(order)
        self._ledger.close(order, event, CANCELLED)
        ack = CancelAck(((str(order.pair), order.order_id),))
        return Answer(request_id=request.id, outcome=_OK, body=ack), (market,)

    def _cancel_batch(self, account: Account, request: CancelBatch, event: VenueEvent, sent: Nanos) -> Handled:
        # on the wire, cancels are grouped by pair, in order of first occurrence
        places = {pair: place for place, pair in reversed(list(enumerate(pair for pair, _ in request.orders)))}
        named = sorted(request.orders, key=lambda row: places[row[0]])
        wanted = [account.open.get(order_id) for _, order_id in named]
        return self._cancel_several(request.id, event, [order for order in wanted if order is not None])

    def _cancel_all(self, account: Account, request: CancelAll, event: VenueEvent, sent: Nanos) -> Handled:
        chosen = [o for o in account.open.values() if request.pair is None or o.pair == request.pair]
        return self._cancel_several(request.id, event, chosen)

    def _cancel_several(self, request_id: int, event: VenueEvent, orders: Iterable[VenueOrder]) -> Handled:
        markets: dict[str, VenueMarket] = {}
        cancelled = []
        for order in dict.fromkeys(orders):
            market = markets[order.pair] = self._markets.of(order.pair)
            market.remove(order)
            self._ledger.close(order, event, CANCELLED)
            cancelled.append((str(order.pair), order.order_id))
        return granted(request_id, CancelAck(tuple(cancelled))), tuple(markets.values())

    # -- reading --------------------------------------------------------------------------------------------------

    def read(self, account: Account, request: Request, now: Nanos) -> Answer:
        """Answer a request that only reads."""
        body: AnswerBody
        match request:
            case GetOrder():
                order = account.orders.get(request.order_id)
                if order is None or order.pair != request.pair:
                    return refused(request.id, UNKNOWN_ORDER)
                body = (order.report(),)
            case ListOpenOrders():
                chosen = [o for o in account.open.values() if request.pair is None or o.pair == request.pair]
                chosen.sort(key=lambda o: (o.updated, o.rank), reverse=True)
                body = tuple([order.report() for order in chosen])
            case ListOrders():
                found = islice(account.orders.created_within(request), request.limit)
                body = tuple([order.report() for order in found])
            case ListTrades():
                body = tuple(islice(account.trades.made_within(request), request.limit))
            case GetBalances():
                body = account.balances()
            case GetBook():
                body = self._markets.book(request.pair, request.depth, now)
            case GetCandles():
                body = self._candles(request, now)
            case GetPairs():
                body = tuple([ListedRules(name, pair.rules) for name, pair in self._markets.pairs.items()])
            case _:
                return refused(request.id, BAD_BODY)
        return granted(request.id, body)

    def _candles(self, request: GetCandles, now: Nanos) -> tuple[Candle, ...]:
        market = self._markets.of(request.pair)
        if market.candles is not None:
            return held_candles(market.pair, market.candles, request.resolution, request.start, request.end, now)
        return self._markets.candles(market, now).candles(request.resolution, request.start, request.end, now)


def granted(request_id: int, body: AnswerBody) -> Answer:
    """Build an answer with status 200."""
    return Answer(request_id=request_id, outcome=_OK, body=body)


def refused(request_id: int, text: str) -> Answer:
    """Build an answer with status 422 and the exchange's message."""
    return Answer(request_id=request_id, outcome=Ending.REFUSED, status=422, text=text)
