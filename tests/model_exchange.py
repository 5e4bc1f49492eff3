"""An exchange that loses, delays, duplicates and reorders messages at random, based on a seed. The order protocol must
tolerate these faults.

The exchange provides the guarantees on which the protocol relies: a request is executed no later than ``latest_accept``
after the bot has given up on it; listings show an order before that time; a request that was refused but executed
appears in listings immediately; and a stream that dropped frames is up to date again within a few seconds.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from botkit.model.clock import NS_PER_MS, NS_PER_S, Nanos
from botkit.model.events import BalanceReport, OrderReport, TradeReport
from botkit.model.money import divide_half_up
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import OrderState, OrderType, Side
from botkit.model.requests import (
    Answer,
    AnswerBody,
    CancelAck,
    CancelBatch,
    CancelOrder,
    CreateBatch,
    CreateOrder,
    Ending,
    GetBalances,
    GetOrder,
    ListOpenOrders,
    ListOrders,
    ListTrades,
    OrderAck,
    Request,
)

TIMEOUT: Nanos = 5 * NS_PER_S
MARKET_TICKS = 1_000


class Row:
    """An order at the exchange."""

    def __init__(self, new: OrderSpec, order_id: str, created: Nanos, visible: Nanos) -> None:
        self.new = new
        self.order_id = order_id
        self.created = created
        self.visible = visible
        self.state = OrderState.OPEN
        self.executed_lots = 0
        self.executed_units = 0
        self.trades: list[TradeReport] = []

    @property
    def is_open(self) -> bool:
        return self.state in (OrderState.OPEN, OrderState.PARTLY_FILLED)

    @property
    def lock(self) -> tuple[str, int]:
        new = self.new
        left = new.amount_lots - self.executed_lots
        if not self.is_open:
            return new.pair.quote, 0
        if new.side is Side.SELL:
            return new.pair.base, new.pair.rules.base_units(left)
        return new.pair.quote, new.pair.rules.value_units_up(new.price_ticks, left)

    def report(self) -> OrderReport:
        new = self.new
        lots = new.amount_lots or self.executed_lots
        return OrderReport(
            pair=new.pair,
            order_id=self.order_id,
            client_id=new.client_id,
            side=new.side,
            type=new.type,
            state=self.state,
            price_ticks=new.price_ticks,
            original_lots=lots,
            executed_lots=self.executed_lots,
            executed_units=self.executed_units,
            post_only=new.post_only,
            created=self.created - self.created % NS_PER_MS,
            updated=self.created,
        )


class ModelExchange:
    """An exchange with one account. `send` accepts the bot's requests, and `pop` returns the events that the bot
    receives next.
    """

    def __init__(self, seed: int, balances: dict[str, int], latest_accept: Nanos, faults: float = 0.15) -> None:
        self.random = Random(f"exchange:{seed}")
        self.totals = dict(balances)
        self.latest_accept = latest_accept
        self.faults = faults
        self.rows: dict[str, Row] = {}
        self.by_client: dict[int, list[Row]] = {}
        self.injected: dict[str, int] = {}
        self.resends = False  # True for a mutant that resends unanswered requests
        self._events: list[tuple[Nanos, int, Any]] = []
        self._deeds: list[tuple[Nanos, int, Callable[[Nanos], None]]] = []
        self._sequence = 0

    # -- time -----------------------------------------------------------------------------------------------------

    def next_at(self) -> Nanos | None:
        times = [queue[0][0] for queue in (self._events, self._deeds) if queue]
        return min(times, default=None)

    def pop(self, now: Nanos) -> list[Any]:
        """Execute all pending actions that are due, and return the events that reach the bot."""
        heard = []
        while (at := self.next_at()) is not None and at <= now:
            if self._deeds and self._deeds[0][0] == at:
                heapq.heappop(self._deeds)[2](at)
            else:
                heard.append(heapq.heappop(self._events)[2])
        return heard

    def _hear(self, at: Nanos, event: Any) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (at, self._sequence, event))

    def _do(self, at: Nanos, deed: Callable[[Nanos], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._deeds, (at, self._sequence, deed))

    def _way(self) -> Nanos:
        return self.random.randint(1, 80) * NS_PER_MS

    def _fault(self, name: str, share: float = 1.0) -> bool:
        if self.random.random() >= self.faults * share:
            return False
        self.injected[name] = self.injected.get(name, 0) + 1
        return True

    # -- requests -------------------------------------------------------------------------------------------------

    def send(self, requests: Iterable[Request], now: Nanos) -> None:
        for request in requests:
            self._send(request, now)

    def _send(self, request: Request, now: Nanos) -> None:
        if self._fault("request lost"):
            self._give_up(request, now)
            return
        if self._fault("5xx before apply", 0.5):
            self._hear(now + self._way(), Answer(request_id=request.id, outcome=Ending.UNKNOWN, status=502))
            return
        if self._fault("not sent", 0.2):
            self._hear(now, Answer(request_id=request.id, outcome=Ending.NOT_SENT))
            return
        late = self._fault("late arrival", 0.7)
        lag = 0
        if late:  # the exchange executes the request only after the bot has stopped waiting
            self._give_up(request, now)
            lag = self.random.randint(0, 1_000) * NS_PER_MS
            arrives = now + TIMEOUT + self.random.randint(0, (self.latest_accept - lag) // NS_PER_MS - 1) * NS_PER_MS
        else:
            arrives = now + self._way()

        def arrive(at: Nanos) -> None:
            refuse = (
                isinstance(request, CreateOrder | CreateBatch) and not late and self._fault("4xx though applied", 0.3)
            )
            body = self._apply(request, at, 0 if refuse else lag)
            if late:
                return
            answer = at + self._way()
            if self._fault("answer lost"):
                self._give_up(request, now)
            elif self._fault("5xx after apply", 0.5):
                self._hear(answer, Answer(request_id=request.id, outcome=Ending.UNKNOWN, status=500))
            elif refuse:
                self._hear(answer, Answer(request_id=request.id, outcome=Ending.REFUSED, status=400, text="bad"))
            elif body is None:
                self._hear(answer, Answer(request_id=request.id, outcome=Ending.REFUSED, status=404, text="no"))
            else:
                self._hear(answer, Answer(request_id=request.id, outcome=Ending.OK, body=body))

        self._do(arrives, arrive)

    def _give_up(self, request: Request, now: Nanos) -> None:
        self._hear(now + TIMEOUT, Answer(request_id=request.id, outcome=Ending.UNKNOWN, text="timeout"))
        if self.resends and isinstance(request, CreateOrder):
            self._do(now + TIMEOUT, lambda at: void(self._apply(request, at, 0)))

    def _apply(self, request: Request, now: Nanos, lag: Nanos) -> AnswerBody:
        match request:
            case CreateOrder():
                return self._create(request.order, now, lag)
            case CreateBatch():
                if any(not self._can(new) for new in request.orders):
                    return None
                acks = [self._create(new, now, lag) for new in request.orders]
                return tuple(ack for ack in acks if ack is not None)
            case CancelOrder():
                return self._cancel([request.order_id], now)
            case CancelBatch():
                return self._cancel([order_id for _, order_id in request.orders], now) or CancelAck(())
            case GetOrder():
                row = self.rows.get(request.order_id)
                return None if row is None else (row.report(),)
            case ListOrders():
                shown = [r for r in self.rows.values() if r.visible <= now and r.new.pair == request.pair]
                shown = [r for r in shown if request.client_id in (None, r.new.client_id)]
                shown = [r for r in shown if r.created >= (request.start or 0) and r.created < (request.end or 1 << 62)]
                return tuple(r.report() for r in reversed(shown))[: request.limit]
            case ListOpenOrders():
                return tuple(r.report() for r in self.rows.values() if r.visible <= now and r.is_open)
            case ListTrades():
                rows = [t for r in self.rows.values() if r.visible <= now for t in r.trades]
                listed = [t for t in rows if t.pair == request.pair and request.order_id in (None, t.order_id)]
                listed = [t for t in listed if t.time >= (request.start or 0)]
                return tuple(_renamed(t) for t in listed)
            case GetBalances():
                return self.balances()
        raise AssertionError(request)

    def balances(self) -> BalanceReport:
        locked: dict[str, int] = {}
        for row in self.rows.values():
            currency, units = row.lock
            locked[currency] = locked.get(currency, 0) + units
        return BalanceReport({c: (u, u - locked.get(c, 0)) for c, u in self.totals.items()}, snapshot=True)

    # -- orders ---------------------------------------------------------------------------------------------------

    def _can(self, new: OrderSpec) -> bool:
        available = {c: free for c, (_, free) in self.balances().balances.items()}
        rules = new.pair.rules
        if new.side is Side.SELL:
            return available[new.pair.base] >= rules.base_units(new.amount_lots)
        need = new.spend_units or rules.value_units_up(new.price_ticks, new.amount_lots)
        return available[new.pair.quote] >= need

    def _create(self, new: OrderSpec, now: Nanos, lag: Nanos) -> OrderAck | None:
        if not self._can(new):
            return None
        row = Row(new, f"E{len(self.rows) + 1}", now, now + lag)
        self.rows[row.order_id] = row
        self.by_client.setdefault(new.client_id, []).append(row)
        if new.type is OrderType.MARKET:
            lots = new.amount_lots or new.pair.rules.lots_for_value(MARKET_TICKS, new.spend_units)
            first = max(1, lots // 3)
            self._execute(row, first, MARKET_TICKS, now)
            self._execute(row, lots - first, MARKET_TICKS, now)
            row.state = OrderState.FILLED
            self._push(row, now)
        elif new.post_only and self.random.random() < 0.1:
            row.state = OrderState.POST_ONLY_CANCELLED
            self._push(row, now)
        else:
            self._push(row, now)
            if self.random.random() < 0.6:
                self._do(now + self.random.randint(1, 8_000) * NS_PER_MS, lambda at: self._trade(row, at))
        return OrderAck(row.order_id, new.client_id)

    def _trade(self, row: Row, now: Nanos) -> None:
        if not row.is_open:
            return
        left = row.new.amount_lots - row.executed_lots
        lots = left if self.random.random() < 0.5 else self.random.randint(1, left)
        self._execute(row, lots, row.new.price_ticks, now)
        row.state = OrderState.FILLED if lots == left else OrderState.PARTLY_FILLED
        self._push(row, now)
        if row.is_open:
            self._do(now + self.random.randint(1, 4_000) * NS_PER_MS, lambda at: self._trade(row, at))

    def _execute(self, row: Row, lots: int, ticks: int, now: Nanos) -> None:
        if not lots:
            return
        pair, rules = row.new.pair, row.new.pair.rules
        value, coins = rules.value_units(ticks, lots), rules.base_units(lots)
        buying = row.new.side is Side.BUY
        got, gave = (pair.base, pair.quote) if buying else (pair.quote, pair.base)
        income, cost = (coins, value) if buying else (value, coins)
        fee = divide_half_up(income, 1_000)
        self.totals[got] += income - fee
        self.totals[gave] -= cost
        row.executed_lots += lots
        row.executed_units += value
        trade = TradeReport(
            pair=pair,
            order_id=row.order_id,
            trade_id=f"M{row.order_id}-{len(row.trades)}",
            side=row.new.side,
            price_ticks=ticks,
            lots=lots,
            fee_units=fee,
            fee_currency=got,
            is_maker=row.new.type is not OrderType.MARKET,
            time=now,
        )
        row.trades.append(trade)
        self._publish(trade, now)

    def _cancel(self, order_ids: list[str], now: Nanos) -> CancelAck | None:
        done = []
        for order_id in order_ids:
            row = self.rows.get(order_id)
            if row is not None and row.is_open:
                row.state = OrderState.CANCELLED
                self._push(row, now)
                done.append((str(row.new.pair), order_id))
        return CancelAck(tuple(done)) if done else None

    # -- the stream -----------------------------------------------------------------------------------------------

    def _push(self, row: Row, now: Nanos) -> None:
        self._publish(row.report(), now)

    def _publish(self, event: OrderReport | TradeReport, now: Nanos) -> None:
        if self._fault("frame dropped", 0.7):
            # the stream detects the loss and reconnects, and the bot fetches the order's row
            row = self.rows[event.order_id]
            self._do(now + self.random.randint(500, 5_000) * NS_PER_MS, lambda at: self._hear(at, row.report()))
            return
        self._hear(now + self._way(), event)
        if self._fault("frame doubled"):
            self._hear(now + self._way() * 20, event)


def _renamed(trade: TradeReport) -> TradeReport:
    """Return an execution with a different ID, because IDs in listings differ from those in the stream."""
    fields = {name: getattr(trade, name) for name in trade.__struct_fields__}
    return TradeReport(**{**fields, "trade_id": "L" + trade.trade_id})


def void(_: object) -> None:
    """Do nothing, because the response is irrelevant."""
