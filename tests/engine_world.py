"""A complete bot for the engine tests, with real strategies, portfolio, risk rules, router and desk, and an exchange.

Tests drive `Bot` step by step: `Bot` keeps its requests, and the test responds to them as the exchange would. `Sim`
adds the simulated exchange and advances time. Figures are round: a lot is 0.0001 BTC, and a tick is 1 TWD.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Any

from botkit.engine import outcome
from botkit.engine.decisions import DecisionLog
from botkit.engine.engine import Engine
from botkit.engine.money.portfolio import CapitalShare, Portfolio
from botkit.engine.outcome_parts import Comparison, HistoryWanted, Note, Reply, StrategyFailure
from botkit.engine.risk.review import RiskDesk
from botkit.engine.risk.rules import BUILT_IN
from botkit.engine.router.router import Router
from botkit.engine.settings import EngineSettings, StrategySpec
from botkit.engine.strategy.base import Strategy
from botkit.engine.view_values import StrategyView
from botkit.exchange.bitopro.limit_table import load_limit_table
from botkit.exchange.bitopro.wire.statuses import STATUS_STATES
from botkit.model.clock import NS_PER_DAY, NS_PER_S, Nanos
from botkit.model.events import (
    BalanceReport,
    Bar,
    Connection,
    ConnectionState,
    OrderBook,
    OrderReport,
    Ticker,
    Trade,
    TradeReport,
)
from botkit.model.extension import FeeRates
from botkit.model.inputs import AccountEvents, Begin, History, Input, PastBars, Restore
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import Order, OrderState, OrderType, Side
from botkit.model.pairs import Pair, PairRules
from botkit.model.requests import (
    Answer,
    AnswerBody,
    CancelBatch,
    CancelOrder,
    CreateBatch,
    CreateOrder,
    Ending,
    GetBalances,
    GetOrder,
    GetPairs,
    ListedRules,
    ListOpenOrders,
    ListOrders,
    ListTrades,
    OrderAck,
    Request,
)
from botkit.sim.account_setup import AccountSetup
from botkit.sim.fees import FixedFees
from botkit.sim.fills import Queue
from botkit.sim.kernel import Kernel
from botkit.sim.latency import Constant

UNIT = 10**8
S = NS_PER_S
MINUTE = 60 * S
T0 = 1_700_000_000 * S - 1_700_000_000 * S % NS_PER_DAY
BTC_LOTS = 10_000  # one coin, expressed in lots

RULES = PairRules(
    price_decimals=0,
    amount_decimals=4,
    display_decimals=4,
    least_lots=10,
    most_lots=10**9,
    least_spend_units=190 * UNIT,
    open_orders_max=8,
)
BTC = Pair("btc_twd", RULES)
ETH = Pair("eth_twd", RULES)
PAIRS: dict[str, Pair] = {"btc_twd": BTC, "eth_twd": ETH}
RICH = {"twd": 10**6 * UNIT, "btc": 100 * UNIT, "eth": 100 * UNIT}
RATES = FeeRates(
    maker_e8=100_000, taker_e8=200_000, discounted_maker_e8=80_000, discounted_taker_e8=160_000, source="test"
)

Deed = Callable[..., Any]
_READS = (ListOrders, ListOpenOrders, ListTrades, GetBalances, GetOrder)


class Listener(Strategy):
    """Records the events it receives and calls the test's function for each of them."""

    def __init__(self, *pairs: Pair, **deeds: Deed) -> None:
        self.pairs = pairs or (BTC,)
        #: the function to call for each callback (keyed by callback name without ``on_``), with the strategy and the
        #: event
        self.deeds = deeds
        self.heard: list[tuple[str, Any]] = []
        self.series: list[Any] = []

    def _hear(self, name: str, event: Any) -> None:
        self.heard.append((name, event))
        deed = self.deeds.get(name)
        if deed is not None:
            deed(self, event)

    def of(self, name: str) -> list[Any]:
        """Return the events received by one callback."""
        return [event for heard, event in self.heard if heard == name]

    def on_start(self) -> None:
        deed = self.deeds.get("start")
        if deed is not None:
            deed(self)

    def on_ready(self) -> None:
        deed = self.deeds.get("ready")
        if deed is not None:
            deed(self)

    def on_trade(self, trade: Trade) -> None:
        self._hear("trade", trade)

    def on_book(self, book: OrderBook) -> None:
        self._hear("book", book)

    def on_ticker(self, ticker: Ticker) -> None:
        self._hear("ticker", ticker)

    def on_bar(self, bar: Bar) -> None:
        self._hear("bar", bar)

    def on_order(self, order: Order) -> None:
        self._hear("order", (order, order.state))

    def on_fill(self, fill: Any) -> None:
        self._hear("fill", fill)

    def on_balance(self, balance: Any) -> None:
        self._hear("balance", balance)

    def on_timer(self, timer: Any) -> None:
        self._hear("timer", timer)

    def on_connection(self, connection: Any) -> None:
        self._hear("connection", connection)

    def on_stop(self) -> None:
        self._hear("stop", None)


class Bot:
    """An engine built from real parts, and the requests it has sent."""

    def __init__(
        self,
        *strategies: Strategy,
        balances: Mapping[str, int] | None = None,
        capital: Sequence[dict[str, int] | int | None] | None = None,
        risk: Mapping[str, Any] | None = None,
        strategy_risk: Mapping[str, Mapping[str, Any]] | None = None,
        limits: Mapping[str, int | str] | None = None,
        latest_accept_s: int = 2,
        pairs: Mapping[str, Pair] = PAIRS,
        traded: Mapping[str, Pair] | None = None,
        zone: tzinfo = UTC,
        seed: int = 0,
        history: Callable[[Pair, str, int], Sequence[Bar]] = lambda pair, resolution, count: (),
        candle_pairs: Iterable[str] = (),
        bar_grace_s: int = 0,
        batching: bool = True,
        log: list[bytes] | None = None,
        first_client_id: int = 1,
        watch_speed: float | None = None,
        start: bool = True,
    ) -> None:
        names = [f"s{i}" for i in range(len(strategies))]
        shares = [
            CapitalShare(
                strategy=name, pairs=tuple((traded or pairs).values()), capital=None if capital is None else capital[i]
            )
            for i, name in enumerate(names)
        ]
        self.log: list[bytes] = [] if log is None else log
        self.decisions = DecisionLog(self.log.append)
        self.pairs = pairs
        self.balances = dict(RICH if balances is None else balances)
        self.portfolio = Portfolio(pairs=traded or pairs, shares=shares, reserve={}, currency="twd")
        self.risk = RiskDesk(
            _rules(risk or {}),
            {name: _rules(rules) for name, rules in (strategy_risk or {}).items()},
            self.portfolio,
            lambda now: now - now % NS_PER_DAY,
        )
        table = load_limit_table(overrides=dict(limits) if limits else None)
        self.router = Router(table, latest_accept_ns=latest_accept_s * S, batching=batching, seed=seed)
        self.engine = Engine(
            pairs=pairs,
            strategies=[StrategySpec(name, s, {}) for name, s in zip(names, strategies, strict=True)],
            portfolio=self.portfolio,
            risk=self.risk,
            router=self.router,
            fee_rates=lambda pair, now: RATES,
            decisions=self.decisions,
            settings=EngineSettings(
                zone=zone,
                seed=seed,
                first_client_id=first_client_id,
                bar_grace_ns=bar_grace_s * S,
                latest_accept_ns=latest_accept_s * S,
                watch_speed=watch_speed,
            ),
        )
        self.strategies = strategies
        self.requests: list[Request] = []
        self.answered: set[int] = set()
        #: results of all turns, except requests, in order
        self.failures: list[StrategyFailure] = []
        self.notes: list[Note] = []
        self.halts: list[outcome.Halted] = []
        self.comparisons: list[Comparison] = []
        self.resynchronised: list[Pair] = []
        self.reply: Reply | None = None
        self.now = T0
        self._history = history
        self._candle_pairs = frozenset(candle_pairs)
        self._ids = 0
        self._out = outcome.Outcome()
        if start:
            self.begin()

    def begin(self, restore: Restore | None = None) -> None:
        """Initialize or restore the portfolio, then run ``on_start`` and ``on_ready`` of every strategy.

        Without ``capital``, the strategies share the entire account, including its coins.
        """
        self.tell(Restore(balances=self.balances) if restore is None else restore)
        portfolio = self.portfolio
        if restore is None and portfolio.transfers.refusal("pool", {}) is None:
            coins = {c: units for c, units in portfolio.unassigned.items() if units and c in self.known_currencies}
            portfolio.transfers.move("pool", coins)
        self.tell(Begin())

    @property
    def known_currencies(self) -> list[str]:
        """Return the currencies traded by the bot's pairs."""
        return self.portfolio.valuation.currencies

    # -- time and events ------------------------------------------------------------------------------------------

    @property
    def s(self) -> Any:
        """The bot's first strategy."""
        return self.strategies[0]

    def seen(self, index: int = 0) -> StrategyView:
        """Return the public view of the strategy at ``index``."""
        return self.engine.view.strategies()[index]

    @property
    def messages(self) -> list[tuple[str, str]]:
        """The messages to the user, as (level, sentence) tuples."""
        return [(note.level, note.text) for note in self.notes]

    def to(self, seconds: float) -> list[Request]:
        """Advance time to ``seconds`` after T0, running a turn whenever the engine requests one."""
        target = T0 + round(seconds * S)
        before = len(self.requests)
        while (wake := self.engine.wake_at()) is not None and wake <= target:
            self.now = max(self.now, wake)
            self.tell(None)
        self.now = max(self.now, target)
        return self.requests[before:]

    def tell(self, given: Input | None) -> list[Request]:
        """Run one turn with an input at the current time, and return the requests that may be sent."""
        out = self._out
        self.engine.turn(given, self.now, out)
        leaving = list(out.requests)
        self.requests += leaving
        self.failures += out.failures
        self.notes += out.notes
        self.halts += out.halts
        self.comparisons += out.comparisons
        self.resynchronised += out.resynchronise
        self.reply = out.reply
        wanted = list(out.history)
        out.clear()
        self.send(leaving)
        if wanted or isinstance(given, Begin):
            leaving += self.tell(self._past(wanted))
        return leaving

    def send(self, leaving: Sequence[Request]) -> None:
        """Do nothing with the requests. `Sim` overrides this method."""

    def _past(self, wanted: Iterable[HistoryWanted]) -> History:
        return History(
            bars=tuple(
                PastBars(item.pair, item.resolution, tuple(self._history(item.pair, item.resolution, item.count)))
                for item in wanted
            ),
            candle_pairs=self._candle_pairs,
        )

    def trade(self, price: int, lots: int = 100, pair: Pair = BTC, side: Side | None = Side.BUY) -> list[Request]:
        """Deliver a public trade at the current time."""
        return self.tell(Trade(pair, self.now, pair.rules.price(price), pair.rules.amount(lots), side))

    def book(self, bids: Sequence[tuple[int, int]], asks: Sequence[tuple[int, int]], pair: Pair = BTC) -> list[Request]:
        """Deliver a book at the current time, with levels as (ticks, lots)."""
        return self.tell(OrderBook(pair, self.now, tuple(bids), tuple(asks)))

    def end_turn(self) -> list[Request]:
        """Process the requests that a strategy made outside a callback, as the engine does at the end of a callback."""
        return self.tell(None)

    def break_strategy(self, index: int = 0, why: str = "test") -> list[Request]:
        """Make a `Listener` raise an exception, so that the engine stops the strategy."""
        strategy = self.strategies[index]
        assert isinstance(strategy, Listener)

        def fail(*_: object) -> None:
            raise RuntimeError(why)

        strategy.deeds["connection"] = fail
        return self.tell(Connection(ConnectionState.LOST, "trades"))

    # -- the exchange -------------------------------------------------------------------------------------

    def last(self, kind: type[Any]) -> Any:
        """Return the last request of type ``kind``."""
        return next(request for request in reversed(self.requests) if isinstance(request, kind))

    def all(self, kind: type[Any]) -> list[Any]:
        """Return all requests of type ``kind``."""
        return [request for request in self.requests if isinstance(request, kind)]

    def create_of(self, order: Order) -> Request:
        """Return the request that created an order."""
        return next(r for r in self.requests if order.client_id in [new.client_id for new in creates(r)])

    def answer(
        self,
        request: Request,
        outcome: Ending = Ending.OK,
        body: AnswerBody = None,
        status: int = 200,
        text: str = "",
    ) -> list[Request]:
        """Deliver the response to a request at the current time."""
        self.answered.add(request.id)
        return self.tell(Answer(request_id=request.id, outcome=outcome, body=body, status=status, text=text))

    def list_pairs(self, rules: Mapping[str, PairRules] | None = None) -> bool:
        """Answer a read of the pairs with their rules (default: those that the bot has). Return False if there is none
        to answer.
        """
        for request in self.all(GetPairs):
            if request.id not in self.answered:
                known = {name: pair.rules for name, pair in self.pairs.items()} if rules is None else rules
                self.answer(request, body=tuple(ListedRules(name, found) for name, found in known.items()))
                return True
        return False

    def accept(self, order: Order) -> list[Request]:
        """Let the exchange accept an order that was created in a request for a single order."""
        request = self.create_of(order)
        return self.answer(request, body=OrderAck(order_id_of(order), order.client_id))

    def push(self, order: Order, status: int, executed: int | None = None, **more: Any) -> list[Request]:
        """Report an order through the account stream."""
        return self.tell(report_of(order, status, order.executed_lots if executed is None else executed, **more))

    def execute(self, order: Order, lots: int, price: int | None = None, trade_id: str = "", fee: int = 0) -> Any:
        """Report an execution through the account stream."""
        return self.tell(self.execution(order, lots, price, trade_id, fee))

    def execution(
        self, order: Order, lots: int, price: int | None = None, trade_id: str = "", fee: int = 0
    ) -> TradeReport:
        """Build an execution of an order, with a new trade ID unless one is given."""
        self._ids += 1
        buying = order.side is Side.BUY
        return TradeReport(
            pair=order.pair,
            order_id=order_id_of(order),
            trade_id=trade_id or f"T{self._ids}",
            side=order.side,
            price_ticks=price or order.price_ticks,
            lots=lots,
            fee_units=fee,
            fee_currency=order.pair.base if buying else order.pair.quote,
            is_maker=True,
            time=self.now,
        )

    def listing(self, *rows: OrderReport | TradeReport) -> tuple[Any, ...]:
        """Build the response body of a listing."""
        return tuple(rows)

    def rest(self, order: Order) -> Order:
        """Let the exchange accept an order and report it as open."""
        self.accept(order)
        self.push(order, 0)
        return order

    def exact_balances(self) -> BalanceReport:
        """Return the expected balances according to the portfolio, including the locks of live orders."""
        ledger = self.portfolio.ledger
        return BalanceReport(
            {c: (units, units - ledger.locked_units(c)) for c, units in ledger.account.items()}, snapshot=True
        )

    def check(self) -> None:
        """Check that the portfolio is consistent."""
        self.portfolio.check()


class Exchange:
    """Responds to a bot's look-ups with rows set by a test."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.orders: list[OrderReport] = []
        self.open: list[OrderReport] = []
        self.trades: list[Any] = []
        self.balances: BalanceReport | None = None
        self.lost: set[type[Any]] = set()
        #: kinds of reads that are left to the test
        self.held: set[type[Any]] = set()
        self.asked: list[Request] = []

    def body(self, request: Request) -> Any:
        if isinstance(request, ListOrders):
            rows = [r for r in self.orders if request.client_id in (None, r.client_id)]
            rows = [r for r in rows if request.end is None or r.created < request.end]
            return tuple(sorted(rows, key=lambda r: -r.created)[: request.limit])
        if isinstance(request, ListOpenOrders):
            return tuple(self.open)
        if isinstance(request, ListTrades):
            fills = [t for t in self.trades if request.end is None or t.time < request.end]
            return tuple(sorted(fills, key=lambda t: -t.time)[: request.limit])
        if isinstance(request, GetOrder):
            return tuple(r for r in self.orders if r.order_id == request.order_id)
        balances = {c: (u, u) for c, u in self.bot.portfolio.account.items()}
        return self.balances or BalanceReport(balances, snapshot=True)

    def serve(self, seconds: float) -> None:
        """Respond to every read until ``seconds`` after T0."""
        target = seconds
        while True:
            mine = tuple(kind for kind in _READS if kind not in self.held)
            waiting = [r for r in self.bot.requests if isinstance(r, mine) and r not in self.asked]
            if waiting:
                request = waiting[0]
                self.asked.append(request)
                if type(request) in self.lost:
                    self.bot.answer(request, Ending.UNKNOWN)
                else:
                    self.bot.answer(request, body=self.body(request))
                continue
            wake = self.bot.engine.wake_at()
            if wake is None or wake > T0 + round(target * S):
                self.bot.to(target)
                return
            self.bot.to((wake - T0) / S)


class Sim(Bot):
    """A bot connected to the simulated exchange, which is fed with books and trades or candles loaded by the test."""

    def __init__(
        self, *strategies: Strategy, columns: Sequence[Any] = (), latency_ms: int = 10, book_depth: int = 5, **more: Any
    ) -> None:
        super().__init__(*strategies, start=False, **more)
        self.kernel = Kernel(
            pairs=PAIRS,
            accounts={"bot": AccountSetup(dict(self.balances), FixedFees({"maker": "0.001", "taker": "0.002"}))},
            queue=Queue(),
            latency=Constant({"order_ms": latency_ms, "answer_ms": latency_ms}),
            limits=load_limit_table(),
            slippage_e8=0,
        )
        for chunk in columns:
            self.kernel.load(chunk)
        for pair in {chunk.pair for chunk in columns if chunk.kind == "books"}:
            self.kernel.publish_books(pair, book_depth)
        self.begin()

    def send(self, leaving: Sequence[Request]) -> None:
        """Send requests to the exchange."""
        for request in leaving:
            self.kernel.submit("bot", request, self.now)

    def to(self, seconds: float) -> list[Request]:
        """Advance the exchange and the bot to ``seconds`` after T0."""
        target = T0 + round(seconds * S)
        before = len(self.requests)
        while True:
            due, wake = self.kernel.next_at(), self.engine.wake_at()
            times = [at for at in (due, wake) if at is not None]
            if not times or min(times) > target:
                break
            if due is not None and (wake is None or due <= wake):
                self.publish(due)
            else:
                assert wake is not None
                self.now = max(self.now, wake)
                self.tell(None)
        self.now = max(self.now, target)
        return self.requests[before:]

    def publish(self, due: Nanos) -> None:
        """Deliver the exchange's messages that are due at or before the time ``due``."""
        for publication in self.kernel.advance(due):
            self.now = max(self.now, publication.at)
            event = publication.event
            self.tell(AccountEvents(event) if isinstance(event, tuple) else event)

    def check(self) -> None:
        """Check that the balances of the bot and the exchange agree to the last unit."""
        super().check()
        self.kernel.check()
        real = {currency: total for currency, (total, _) in self.kernel.account("bot").balances().balances.items()}
        for currency, units in self.portfolio.account.items():
            assert units == real.get(currency, 0), (currency, units, real)


def _rules(given: Mapping[str, Any]) -> list[Any]:
    return [BUILT_IN[name](value) for name, value in given.items()]


def order_id_of(order: Order) -> str:
    """Return the exchange's order ID for an order in these tests."""
    return f"X{order.client_id}"


def report_of(order: Order, status: int, executed: int = 0, **more: Any) -> OrderReport:
    """Return the exchange's row for an order. ``status`` is BitoPro's numeric code, which is shorter than a state
    name.
    """
    fields: dict[str, Any] = {
        "pair": order.pair,
        "order_id": order_id_of(order),
        "client_id": order.client_id,
        "side": order.side,
        "type": order.type,
        "state": STATUS_STATES[status],
        "price_ticks": order.price_ticks,
        "original_lots": order.amount_lots,
        "executed_lots": executed,
        "executed_units": 0,
        "created": order.sent,
        "updated": order.sent,
        **more,
    }
    return OrderReport(**fields)


def creates(request: Request) -> Sequence[OrderSpec]:
    """Return the orders created by a request."""
    if isinstance(request, CreateOrder):
        return (request.order,)
    return request.orders if isinstance(request, CreateBatch) else ()


def cancelled_ids(requests: Iterable[Request]) -> list[int]:
    """Return the client IDs of the cancelled orders, in send order."""
    ids: list[int] = []
    for request in requests:
        if isinstance(request, CancelOrder):
            ids.append(request.client_id)
        elif isinstance(request, CancelBatch):
            ids += request.client_ids
    return ids


def is_market(order: Order) -> bool:
    """Return True if an order is a market order."""
    return order.type is OrderType.MARKET


def unknown(amount: float = 1, price: int = 900, **more: Any) -> tuple[Bot, Order]:
    """Return a bot with a buy whose response was lost."""
    b = Bot(Listener(start=lambda s: s.subscribe_trades(BTC)), **more)
    b.trade(1_000)
    order = b.s.buy(BTC, amount=amount, price=price)
    b.end_turn()
    b.answer(b.create_of(order), Ending.UNKNOWN, text="timeout")
    assert order.state is OrderState.UNKNOWN
    return b, order
