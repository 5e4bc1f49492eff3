"""A small in-memory exchange, its adapter, and the plugin that lets bots trade on the exchange. The exchange outlives
the bots.

It has one account, one pair, limit orders, one user stream, and a fee of 0.1 % of the coins or cash that an order
receives. If a test requests it, the exchange drops the response to a create and the stream's report about that order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from botkit import Pair, PairRules, hookimpl
from botkit.errors import OutcomeUnknown, Refused
from botkit.model.adapter import Adapter, Capabilities, Lifetime, Sink, StreamKind
from botkit.model.clock import NS_PER_MINUTE, NS_PER_MS, Clock, Nanos
from botkit.model.events import (
    BalanceReport,
    Candle,
    Connection,
    ConnectionState,
    OrderBook,
    OrderReport,
    Trade,
    TradeReport,
)
from botkit.model.extension import ExchangeFacts, FeeRank, Options
from botkit.model.limits import NEEDED_ENDPOINTS, EndpointLimit, LimitTable, Scope, WindowLimit
from botkit.model.money import UNIT, divide_half_up
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import RESTING_STATES, OrderState, OrderType, Side
from botkit.model.requests import (
    Answer,
    AnswerBody,
    CancelAck,
    CancelOrder,
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

PAIR = Pair(
    "gold_usd",
    PairRules(
        price_decimals=2, amount_decimals=8, display_decimals=4, least_lots=100, most_lots=10**16,
        least_spend_units=UNIT, open_orders_max=50,
    ),
)  # fmt: skip
_WINDOW = WindowLimit(600, 60, Scope.ACCOUNT)
LIMITS = LimitTable(
    {
        name: EndpointLimit(endpoint=name, method="", path=name, private=True, pool=name, windows=(_WINDOW,))
        for name in NEEDED_ENDPOINTS
    }
)
FEES = FeeRank(
    rank=0, volume=0, held=0, needs_both=False, maker_e8=100_000, taker_e8=100_000, discounted_maker_e8=100_000,
    discounted_taker_e8=100_000,
)  # fmt: skip
#: exchanges, keyed by the names used for them in configurations
VENUES: dict[str, ToyVenue] = {}


class ToyVenue:
    """The exchange: its account, its orders and its streams."""

    def __init__(self, now: Callable[[], Nanos]) -> None:
        self.now = now
        self.totals = {"usd": 10_000 * UNIT, "gold": 0}
        self.orders: dict[str, OrderReport] = {}
        self.trades: list[TradeReport] = []
        self.connections: set[ToyAdapter] = set()
        self.loses_next_create = False

    def balances(self) -> BalanceReport:
        locked = dict.fromkeys(self.totals, 0)
        for row in self.orders.values():
            if row.state in RESTING_STATES:
                locked["usd"] += PAIR.rules.value_units_up(row.price_ticks, row.original_lots - row.executed_lots)
        return BalanceReport({c: (total, total - locked[c]) for c, total in self.totals.items()}, snapshot=True)

    def create(self, new: OrderSpec) -> OrderAck:
        if new.type is not OrderType.LIMIT or new.side is not Side.BUY:
            raise Refused("only limit buys are accepted")
        if PAIR.rules.value_units_up(new.price_ticks, new.amount_lots) > self.balances().balances["usd"][1]:
            raise Refused("not enough usd")
        row = OrderReport(
            pair=PAIR, order_id=f"T{len(self.orders) + 1}", client_id=new.client_id, side=new.side, type=new.type,
            state=OrderState.OPEN, price_ticks=new.price_ticks, original_lots=new.amount_lots, executed_lots=0,
            executed_units=0, created=self.now(), updated=self.now(),
        )  # fmt: skip
        lost, self.loses_next_create = self.loses_next_create, False
        self._keep(row, silently=lost)
        if lost:
            raise OutcomeUnknown("no answer")
        return OrderAck(row.order_id, row.client_id)

    def cancel(self, order_id: str) -> CancelAck:
        row = self.orders.get(order_id)
        if row is None or row.state not in RESTING_STATES:
            raise Refused(f"no open order {order_id}")
        self._keep(replace(row, state=OrderState.CANCELLED, updated=self.now()))
        return CancelAck(((str(PAIR), order_id),))

    def sell(self, ticks: int, lots: int) -> None:
        """Sell to all bids at or above ``ticks``."""
        for row in [row for row in self.orders.values() if row.state in RESTING_STATES and row.price_ticks >= ticks]:
            part = min(lots, row.original_lots - row.executed_lots)
            if not part:
                continue
            lots -= part
            value, got = PAIR.rules.value_units(row.price_ticks, part), PAIR.rules.base_units(part)
            fee = divide_half_up(got, 1000)
            self.totals["usd"] -= value
            self.totals["gold"] += got - fee
            trade = TradeReport(
                pair=PAIR, order_id=row.order_id, trade_id=str(len(self.trades) + 1), side=row.side,
                price_ticks=row.price_ticks, lots=part, fee_units=fee, fee_currency="gold", is_maker=True,
                time=self.now(),
            )  # fmt: skip
            self.trades.append(trade)
            self._push(trade)
            executed = row.executed_lots + part
            state = OrderState.FILLED if executed == row.original_lots else OrderState.PARTLY_FILLED
            units = row.executed_units + value
            self._keep(replace(row, state=state, executed_lots=executed, executed_units=units, updated=self.now()))
        for connection in tuple(self.connections):
            connection.tell_market(Trade(PAIR, self.now(), PAIR.rules.price(ticks), 0.01, Side.SELL))

    def book(self) -> OrderBook:
        return OrderBook(PAIR, self.now(), ((99_00, 10**9),), ((101_00, 10**9),))

    def _keep(self, row: OrderReport, *, silently: bool = False) -> None:
        self.orders[row.order_id] = row
        if not silently:
            self._push(row, self.balances())

    def _push(self, *events: Any) -> None:
        for connection in tuple(self.connections):
            for event in events:
                connection.tell_account(event)


class ToyAdapter(Lifetime):
    """Connects to the exchange (`botkit.model.adapter.Adapter`)."""

    account_streams: tuple[str, ...] = ("user",)
    limits = LIMITS
    capabilities = Capabilities(find_by_client_id=True)

    def __init__(self, venue: ToyVenue, clock: Clock, timeout_s: float = 0.01) -> None:
        self.clock_skew_ms: int | None = None
        self._venue, self._clock, self._timeout_s = venue, clock, timeout_s
        self._account: Sink | None = None
        self._market: list[Sink] = []
        self._is_open = self._is_connected = False

    async def open(self) -> None:
        self._is_open = self._is_connected = True
        self._venue.connections.add(self)

    async def close(self) -> None:
        self._is_open = False
        self._venue.connections.discard(self)

    # -- incoming events

    def watch(
        self,
        sink: Sink,
        *,
        books: Mapping[Pair, int] | None = None,
        trades: Iterable[Pair] = (),
        tickers: Iterable[Pair] = (),
        account: bool = True,
    ) -> None:
        if account:
            self._account = sink
            sink(Connection(ConnectionState.CONNECTED, "user"))
        if books or list(trades):
            self._market.append(sink)
            sink(Connection(ConnectionState.CONNECTED, "market", PAIR))
            sink(self._venue.book())

    def reconnect(self, kind: StreamKind | None = None) -> None:
        self._is_connected = False
        self._tell(ConnectionState.LOST)
        asyncio.get_running_loop().call_soon(self._connect)

    def _connect(self) -> None:
        self._is_connected = True
        self._tell(ConnectionState.CONNECTED)

    def _tell(self, state: ConnectionState) -> None:
        if self._account is not None:
            self._account(Connection(state, "user"))
        for sink in self._market:
            sink(Connection(state, "market", PAIR))

    def tell_account(self, event: Any) -> None:
        if self._account is not None and self._is_connected:
            self._account(event)

    def tell_market(self, event: Trade) -> None:
        for sink in self._market if self._is_connected else ():
            sink(event)
            sink(self._venue.book())

    # -- outgoing requests

    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        if not self._is_open:
            return Answer(request_id=request.id, outcome=Ending.NOT_SENT, text="not open")
        self.clock_skew_ms = (self._clock.now() - self._venue.now()) // NS_PER_MS
        await asyncio.sleep(0)
        try:
            return Answer(request_id=request.id, outcome=Ending.OK, body=self._perform(request))
        except Refused as error:
            return Answer(request_id=request.id, outcome=Ending.REFUSED, status=422, text=str(error))
        except OutcomeUnknown as error:
            await asyncio.sleep(self._timeout_s)
            return Answer(request_id=request.id, outcome=Ending.UNKNOWN, text=str(error))

    def _perform(self, request: Request) -> AnswerBody:
        venue = self._venue
        rows = venue.orders.values()
        match request:
            case CreateOrder():
                return venue.create(request.order)
            case CancelOrder():
                return venue.cancel(request.order_id)
            case GetOrder():
                if request.order_id not in venue.orders:
                    raise Refused(f"no order {request.order_id}")
                return (venue.orders[request.order_id],)
            case ListOrders():
                return tuple(row for row in rows if request.client_id in (None, row.client_id))
            case ListOpenOrders():
                return tuple(row for row in rows if row.state in RESTING_STATES)
            case ListTrades():
                return tuple(trade for trade in venue.trades if request.order_id in (None, trade.order_id))
            case GetBalances():
                return venue.balances()
            case GetBook():
                return venue.book()
            case GetCandles():
                starts = range(request.start // NS_PER_MINUTE, request.end // NS_PER_MINUTE)
                return tuple(Candle(PAIR, "1m", i * NS_PER_MINUTE, 100.0, 100.0, 100.0, 100.0, 0.0) for i in starts)
            case GetPairs():
                return (ListedRules(str(PAIR), PAIR.rules),)
            case _:
                raise Refused(f"there is no {request.endpoint}")

    async def pairs(self) -> Mapping[str, Pair]:
        return {str(PAIR): PAIR}


class Toy:
    """The exchange plugin, registered as ``toy``; ``venue`` in the configuration selects an exchange."""

    name = "toy"

    def facts(self, options: Options) -> ExchangeFacts:
        return ExchangeFacts(
            name="toy", pairs={str(PAIR): PAIR}, limits=LIMITS, fee_ranks=(FEES,), volume_currency="usd"
        )

    def connect(self, options: Options) -> Adapter:
        return ToyAdapter(VENUES[options["venue"]], options["clock"], options.get("timeout_s", 0.01))


@hookimpl
def botkit_register_exchanges(register: Callable[[str, Toy], None]) -> None:
    register("toy", Toy())
