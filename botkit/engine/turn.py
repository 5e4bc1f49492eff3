"""The engine: everything that must behave the same in a backtest, on the emulator and live, decided in one turn.

    Engine.turn(event, now) -> Sequence[Request]     strategies run, risk looks, the router says what may leave now
    Engine.wake_at() -> int | None               when it wants a turn without an event (timers, bars, limits, look-ups)

A driver only carries: events in, requests out, time forward. Events come in the one total order: by the time at which
the bot learns of them, then answers and account events, bars that have ended, books, trades, tickers, timers; then by
pair and row. A driver therefore gives market events of a time before the wake of that time; the engine itself closes
the bars that are due before it shows a market event of the same time.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from botkit.engine import spans
from botkit.engine.decisions import DecisionLog
from botkit.engine.market.pair_market import BarFeed, PairMarket, without_orders
from botkit.engine.market.quarantine import CANDLE_LEAST, CANDLE_MOST, LEAST, MOST, Quarantine, is_near, is_ordinary
from botkit.engine.money.portfolio import Portfolio
from botkit.engine.orders.desk import OrderDesk
from botkit.engine.orders.entry import book_refusal, expected_price
from botkit.engine.orders.protection import Protector
from botkit.engine.orders.quoting import Quoter
from botkit.engine.risk.review import RiskDesk
from botkit.engine.router.router import Router
from botkit.engine.strategy.base import Strategy, bind
from botkit.engine.strategy.context import Context
from botkit.engine.strategy.timers import TimerBook
from botkit.errors import ConfigError
from botkit.model.clock import NS_PER_MS, NS_PER_S, Nanos
from botkit.model.events import (
    MAX_BOOK_AGE_S,
    Balance,
    BalanceReport,
    Bar,
    Candle,
    Connection,
    Fill,
    OrderBook,
    OrderReport,
    Ticker,
    Trade,
    TradeReport,
)
from botkit.model.extension import FeeRates
from botkit.model.orders import FINAL_STATES, MARKET, RESTING_STATES, STATUS_STATES, Order, OrderState
from botkit.model.pairs import Pair
from botkit.model.requests import Answer, Request

if TYPE_CHECKING:
    from botkit.model.columns import MarketColumns

#: more refusals than this in one turn stop a strategy: it is asking in a loop
REFUSALS_A_TURN_MAX = 100
#: callbacks that one turn may cause before it is taken for a loop
_NOTICES_A_TURN_MAX = 20_000
_REFUSED: Final = OrderState.REFUSED


class StrategyFailure(msgspec.Struct, frozen=True):
    """A strategy raised, or had to be stopped. ``where`` is the file and line; ``text`` the traceback."""

    strategy: str
    callback: str
    where: str
    error: str
    text: str
    time: Nanos
    #: it refused its parameters (ConfigError in on_start): a user's mistake, for which a traceback explains nothing
    is_config: bool = False


class StrategySpec(msgspec.Struct, frozen=True):
    """An instance to run: its name in the configuration, and its checked parameters."""

    name: str
    strategy: Strategy
    parameters: Mapping[str, Any]


def _no_history(pair: Pair, resolution: str, count: int) -> Sequence[Bar]:
    return ()


class Engine:
    """The bot. See the module's text; `botkit.assembly` puts one together."""

    def __init__(
        self,
        *,
        pairs: Mapping[str, Pair],
        strategies: Sequence[StrategySpec],
        portfolio: Portfolio,
        risk: RiskDesk,
        router: Router,
        fee_rates: Callable[[Pair], FeeRates],
        decisions: DecisionLog,
        zone: tzinfo = UTC,
        seed: int = 0,
        first_client_id: int = 1,
        bar_grace_ns: Nanos = 2_000 * NS_PER_MS,
        max_book_age_ns: Nanos = MAX_BOOK_AGE_S * NS_PER_S,
        latest_accept_ns: Nanos = 2_000 * NS_PER_MS,
        history: Callable[[Pair, str, int], Sequence[Bar]] = _no_history,
        candle_pairs: frozenset[str] = frozenset(),
        callbacks: Callable[[Strategy, str], Callable[..., Any] | None] | None = None,
    ) -> None:
        self.pairs = pairs
        self.portfolio = portfolio
        self.risk = risk
        self.router = router
        self.fee_rates = fee_rates
        self.decisions = decisions
        self.zone = zone
        self.seed = seed
        self.bar_grace_ns = bar_grace_ns
        self.max_book_age_ns = max_book_age_ns
        self.history = history
        #: pairs whose bars come from a candle tape without gaps, which needs no timer to end a bar
        self.candle_pairs = candle_pairs
        self._callbacks = callbacks
        self.now: Nanos = 0
        #: set by every call of a strategy that may change what is due; a span stops after the row that set it
        self.touched = False
        #: which coin the account lacks, while it has less than its strategies own together: creates halt
        self.shortage: str | None = None
        self.failures: list[StrategyFailure] = []
        self.foreign_orders: dict[str, OrderReport] = {}
        #: (level, sentence) for the user, in order; whoever shows them takes them out
        self.messages: list[tuple[str, str]] = []
        self.quarantine = Quarantine(self._doubted)
        #: told of every fill as it is booked, before the strategy hears of it
        self.fill_observers: list[Callable[[Fill], None]] = []
        #: told of every change of an order's state, before the strategy hears of it
        self.order_observers: list[Callable[[Order], None]] = []
        self.events = 0
        #: an order was refused in this turn
        self._refused = False
        self._is_stopping = False
        self._client_id = first_client_id
        self._markets: dict[str, PairMarket] = {}
        self._notices: deque[tuple[Context, Callable[..., Any], Any]] = deque()
        self._last_balances: dict[tuple[str, str], Balance] = {}
        risk.expected_price = self._expected_price
        self.timers = TimerBook()
        self.desk = OrderDesk(
            portfolio=portfolio,
            risk=risk,
            router=router,
            decisions=decisions,
            latest_accept_ns=latest_accept_ns,
            last_gate=self._last_gate,
            on_order=self._order_changed,
            on_fill=self._filled,
            on_foreign=self._foreign,
        )
        self.blocks = spans.BlockCache()
        self.quoter = Quoter(self)
        self.protector = Protector(self)
        self.contexts: dict[str, Context] = {}
        for spec in strategies:
            context = Context(self, spec.name, spec.strategy)
            bind(spec.strategy, context, spec.parameters)
            self.contexts[spec.name] = context
        self._handlers = self._by_event()

    def _by_event(self) -> dict[type, Callable[[Any, Nanos], None]]:
        return {
            Trade: self._on_trade,
            OrderBook: self._on_book,
            Ticker: self._on_ticker,
            Candle: self._on_candle,
            Answer: self.desk.on_answer,
            OrderReport: self.desk.on_order_report,
            TradeReport: self.desk.on_trade_report,
            BalanceReport: self._on_balances,
            Connection: self._on_connection,
        }

    # -- the turn -------------------------------------------------------------------------------------------------

    def start(self, now: Nanos) -> list[Request]:
        """Run every strategy's ``on_start``, in the order of the configuration."""
        self.now = now
        for context in list(self.contexts.values()):
            callback = self.callback(context, "on_start")
            if callback is not None:
                self._call(context, callback)
            if context.active:
                self.risk.start(context.name, now)
        return self.end_turn()

    def restore(self, order: Order, executed: Iterable[tuple[int, int]], now: Nanos) -> None:
        """Take over an order of an earlier run with the (ticks, lots) of its booked executions, before `start`."""
        self.desk.restore(order, executed, now)
        if order.is_quote and not order.is_final:
            self.quoter.restore(order)

    def attend(self, now: Nanos) -> list[Request]:
        """Look-ups alone, for the time before `start`: no timer rings, no bar ends, no day begins.

        What strategies must hear of (a fill while the bot was down) waits until their ``on_start`` has run.
        """
        self.now = now
        self.desk.check(now)
        leaving: list[Request] = []
        while (due := self.router.next_due()) is not None and due <= now:
            leaving += self.desk.collect(now)
        return leaving

    def turn(self, event: object | None, now: Nanos) -> list[Request]:
        """Take one event in, or none to do what is due at ``now``; returns the requests that may leave now."""
        assert now >= self.now, f"time went back from {self.now} to {now}"
        self.now = now
        if event is None:
            self._wake(now)
        else:
            self.events += 1
            self._handlers[type(event)](event, now)
        return self.end_turn()

    def end_turn(self) -> list[Request]:
        """Deliver what the turn caused, then collect what may leave. Ends when nothing more is caused."""
        now = self.now
        leaving: list[Request] = []
        while True:
            if self._notices or self.quoter.dirty or self.protector.again:
                self._work_off()
            due = self.router.next_due()
            if due is None or due > now:
                break
            leaving += self.desk.collect(now)
        self.touched = False
        if self._refused:
            self._refused = False
            for context in self.contexts.values():
                context.refused_this_turn = 0
        return leaving

    def _work_off(self) -> None:
        while True:
            if self._notices:
                self._settle()
            self.quoter.settle()
            self.protector.settle()
            if not self._notices and not self.quoter.dirty and not self.protector.again:
                return

    def wake_at(self) -> Nanos | None:
        """When the engine wants a turn without an event. Exact: a driver need not poll."""
        earliest = self.router.next_due()
        for due in (self.desk.next_check(), self.timers.next_due(), self.next_bar_close(), self.risk.next_day()):
            if due is not None and (earliest is None or due < earliest):
                earliest = due
        return earliest

    def _wake(self, now: Nanos) -> None:
        self._close_bars(now)
        self.risk.turn_of_day(now)
        self.desk.check(now)
        for context, timer in self.timers.ring(now):
            self.notify(context, "on_timer", timer)

    def stop(self, now: Nanos) -> list[Request]:
        """Run every strategy's ``on_stop``. From then on it hears of its orders alone, and may ask for nothing but ways
        out: whoever stops it withdraws its orders, and what it placed after that would stay at the exchange."""
        self.now = now
        for context in list(self.contexts.values()):
            if context.active:
                callback = self.callback(context, "on_stop")
                if callback is not None:
                    self._call(context, callback)
            self.timers.drop(context)
            for market in self._markets.values():
                market.drop(context)
        self._work_off()
        self.protector.end()
        for context in self.contexts.values():
            self.quoter.drop(context)  # what fills from now on is not filled up
        self._is_stopping = True
        return self.end_turn()

    def span(self, columns: MarketColumns, start: int, stop: int) -> tuple[int, list[Request]]:
        """Rows ``start`` to ``stop`` of trades or candles in one go: (rows taken in, requests that may leave).

        Equal to a `turn` for each row, but faster. Stops after the row in which a callback acts or a loss limit
        breaks. Nothing else may be due before the last of the rows: the driver sees to that.
        """
        taken = spans.run(self, columns, start, stop)
        self.events += taken
        return taken, self.end_turn()

    def take_in(self, event: Trade | Bar) -> None:
        """A row of a span the plain way: a trade, or a candle in the shape of its bar."""
        if isinstance(event, Trade):
            self._on_trade(event, self.now)
        else:
            self._on_candle(event, self.now)

    # -- market events --------------------------------------------------------------------------------------------

    def market(self, pair: Pair) -> PairMarket:
        """The pair's market, made on first use."""
        market = self._markets.get(pair)
        if market is None:
            market = PairMarket(pair, self.portfolio.prices[pair])
            # sorted, since what happens at one time happens by pair; a new dict, since a callback may ask for a pair
            # while the markets are gone through
            self._markets = dict(sorted([*self._markets.items(), (str(pair), market)]))
        return market

    def markets(self) -> list[PairMarket]:
        """Every pair that somebody has looked at, by name."""
        return list(self._markets.values())

    def _mark(self, market: PairMarket, price: float) -> None:
        self.portfolio.mark(market.pair, price)
        if self.risk.has_loss_limits:
            self._check_losses()
        if self.protector.is_watching:
            self.protector.on_price(market)

    def _on_trade(self, trade: Trade, now: Nanos) -> None:
        self._close_bars(now)
        market = self._markets.get(trade.pair) or self.market(trade.pair)
        last, price = market.last.price, trade.price
        if (
            last is None or market.doubts or not last * LEAST < price < last * MOST
        ) and not self.quarantine.admits_trade(market, price, now):
            return
        for feed in list(market.bar_feeds.values()) if market.bar_feeds else ():
            for bar in feed.builder.on_trade(trade.time, trade.price, trade.amount):
                self.deliver_bar(feed, bar)
        self._mark(market, price)
        for context, callback in market.trade_listeners:
            self._call(context, callback, trade)

    def _on_candle(self, candle: Candle | Bar, now: Nanos) -> None:
        market = self._markets.get(candle.pair) or self.market(candle.pair)
        last = market.last.price
        if (
            last is None or market.doubts or not (last * CANDLE_LEAST < candle.low and candle.high < last * CANDLE_MOST)
        ) and not self.quarantine.admits_candle(market, candle, now):
            return
        self._mark(market, candle.close)
        for feed in list(market.bar_feeds.values()):
            bars = feed.builder.on_candle(
                candle.time, candle.open, candle.high, candle.low, candle.close, candle.volume, candle.resolution
            )
            for bar in bars:
                self.deliver_bar(feed, bar)

    def deliver_bar(self, feed: BarFeed, bar: Bar) -> None:
        """Put a finished bar into every series, then tell who wants to hear of it."""
        feed.settle()
        for _, series, _ in feed.listeners:
            series.append(bar)
        for context, _, callback in list(feed.listeners):
            if callback is not None and context.active:
                self._call(context, callback, bar)

    def _close_bars(self, now: Nanos) -> None:
        for name, market in self._markets.items():
            if not market.bar_feeds or name in self.candle_pairs:
                continue
            for feed in list(market.bar_feeds.values()):
                for bar in feed.builder.close_due(now):
                    self.deliver_bar(feed, bar)

    def next_bar_close(self) -> Nanos | None:
        """When the next bar ends by timer."""
        earliest: Nanos | None = None
        for name, market in self._markets.items():
            if not market.bar_feeds or name in self.candle_pairs:
                continue
            for feed in market.bar_feeds.values():
                due = feed.builder.next_close()
                if due is not None and (earliest is None or due < earliest):
                    earliest = due
        return earliest

    def _on_book(self, book: OrderBook, now: Nanos, *, is_read: bool = False) -> None:
        self._close_bars(now)
        market = self._markets.get(book.pair) or self.market(book.pair)
        if (is_ordinary(book, market.book) and not market.doubts) or self.quarantine.admits_book(
            market, without_orders(book, self.resting(market.pair)), now, is_read=is_read
        ):
            self._take_book(market, book, now)

    def resting(self, pair: Pair) -> list[Order]:
        """This bot's orders that stand in the pair's book."""
        return [order for order in self.desk.all_open() if order.pair == pair and order.state in RESTING_STATES]

    def _take_book(self, market: PairMarket, book: OrderBook, now: Nanos) -> None:
        market.book = book
        market.book_seen = now
        for context, callback, depth in market.book_listeners:
            if callback is None:
                continue
            shown = book
            if len(book.bid_levels) > depth or len(book.ask_levels) > depth:
                shown = OrderBook(book.pair, book.time, book.bid_levels[:depth], book.ask_levels[:depth])
            self._call(context, callback, shown)

    def take_book(self, book: OrderBook) -> None:
        """A book that was read because the stream was quiet, within the turn of its answer."""
        self._on_book(book, self.now, is_read=True)

    def _on_ticker(self, ticker: Ticker, now: Nanos) -> None:
        self._close_bars(now)
        market = self._markets.get(ticker.pair)
        if market is None or not is_near(market, ticker.last_price):
            return
        market.ticker = ticker
        for context, callback in market.ticker_listeners:
            self._call(context, callback, ticker)

    def warm_up_builder(self, feed: BarFeed) -> None:
        """Let a new builder know the last bar before now, so that the next one follows it without a gap."""
        pair = feed.builder.pair
        feed.builder.warm_start(self.history(pair, feed.resolution, 1))
        feed.builder.close_due(self.now)

    def _doubted(self, level: Literal["info", "warning"], text: str) -> None:
        self.messages.append((level, text))
        self.decisions.note("quarantine", self.now, text)

    # -- account events -------------------------------------------------------------------------------------------

    def _on_balances(self, report: BalanceReport, now: Nanos) -> None:
        quiet = not self.desk.has_live
        self.portfolio.on_balances(report, now, quiet=quiet)
        self._watch_shortages()
        self._tell_balances(report.balances)

    def _tell_balances(self, currencies: Iterable[str]) -> None:
        for context in self.contexts.values():
            if not context.active or not self.overrides(context, "on_balance"):
                continue
            for currency in currencies:
                balance = self.portfolio.balance(context.name, currency)
                key = (context.name, currency)
                if self._last_balances.get(key) != balance:
                    self._last_balances[key] = balance
                    self.notify(context, "on_balance", balance)

    def _watch_shortages(self) -> None:
        if self.shortage is None and not self.portfolio.may_be_short:
            return
        shortage = "; ".join(map(str, self.portfolio.shortages())) or None
        if shortage != self.shortage:
            if shortage is None:
                self.messages.append(("info", "the account has all that its strategies own; new orders go on"))
            elif self.shortage is None:
                self.messages.append(("error", f"no new orders but those that reduce: {shortage}"))
            self.shortage = shortage
            self.touched = True
            self.decisions.note("shortage", self.now, shortage or "over")

    def _on_connection(self, connection: Connection, now: Nanos) -> None:
        for context in self.contexts.values():
            if context.active:
                self.notify(context, "on_connection", connection)

    def _foreign(self, report: OrderReport) -> None:
        if STATUS_STATES.get(report.status) in FINAL_STATES:
            self.foreign_orders.pop(report.order_id, None)  # another bot on the account may trade for months
        else:
            self.foreign_orders[report.order_id] = report

    # -- orders ---------------------------------------------------------------------------------------------------

    def next_client_id(self) -> int:
        """The next client id; 2147483647 is never given, since the exchange's own tools put it on every order."""
        client_id = self._client_id
        self._client_id = client_id + 1 if client_id < 2_147_483_646 else 1
        return client_id

    @property
    def halted(self) -> str | None:
        """Why the bot takes no new orders, if so."""
        return self.risk.halted(None)

    def _closed(self, order: Order) -> str | None:
        """Why nothing but a way out may leave, if so."""
        if order.reduces:
            return None
        if self.shortage is not None:
            return f"no new orders: {self.shortage}"
        halted = self.risk.halted(None)
        return None if halted is None else f"the bot is halted: {halted}"

    @property
    def peek_client_id(self) -> int:
        """The client id that the next order will get."""
        return self._client_id

    def entry_refusal(self, context: Context, order: Order, replaced: Order | None = None) -> str | None:
        """What the bot as a whole says to a new order; ``replaced`` is the one that makes room for it, if any."""
        if not context.active and not order.reduces:
            return "the strategy is stopped"
        if self._is_stopping and not order.reduces:
            return "the bot is being stopped"
        refusal = self._closed(order)
        if refusal is not None or order.type is MARKET:
            return refusal
        pair = order.pair
        cap = pair.rules.open_orders_max
        room = cap if replaced is None or replaced.is_final else cap + 1
        if self.risk.open_count(pair) >= room:
            return f"{cap} orders of {pair} are open, which is all that the exchange allows"
        return None

    def _last_gate(self, order: Order) -> str | None:
        refusal = self._closed(order)
        if refusal is None and order.type is MARKET:
            return book_refusal(order, self._markets[order.pair], self.now, self.max_book_age_ns)
        return refusal

    def _expected_price(self, order: Order) -> float | None:
        return expected_price(order, self.market(order.pair))

    def _order_changed(self, order: Order) -> None:
        for observe in self.order_observers:
            observe(order)
        context = self.contexts.get(order.strategy)
        if context is None:
            return
        if order.state is _REFUSED:
            context.refused(order.reason)
            self._refused = True
            if context.refused_this_turn > REFUSALS_A_TURN_MAX and context.active:
                self.stop_strategy(
                    context, f"over {REFUSALS_A_TURN_MAX} orders were refused in one turn: {order.reason}"
                )
        self.quoter.order_changed(order)
        self.protector.order_changed(order)
        if context.active:
            self.notify(context, "on_order", order)

    def _filled(self, fill: Fill) -> None:
        context = self.contexts.get(fill.order.strategy)
        if context is None:
            return
        context.fills_count += 1
        for observe in self.fill_observers:
            observe(fill)
        self.quoter.filled(fill.order)
        self.protector.filled(fill)
        if context.active:
            self.notify(context, "on_fill", fill)

    # -- losses ---------------------------------------------------------------------------------------------------

    def _check_losses(self) -> None:
        while (breach := self.risk.breached(self.now)) is not None:
            self.decisions.note("loss_limit", self.now, str(breach))
            if breach.level is None:
                self.halt(str(breach))
            else:
                self.stop_strategy(self.contexts[breach.level], str(breach))

    def halt(self, reason: str) -> None:
        """Take no new orders, and cancel those that are open. Ways out stay open, and `resume` alone ends it."""
        if self.risk.halted(None) is None:
            self.risk.halt(None, reason)
        self.touched = True
        for order in self.desk.all_open():
            if not order.reduces:
                self.desk.cancel(order, self.now)

    def resume(self, level: str | None, now: Nanos) -> None:
        """Lift the halt of the bot (None) or of a strategy, whose day then counts from here.

        A strategy that was stopped stays so: it missed what happened meanwhile, and begins anew at the next start.
        """
        if self.risk.halted(level) is not None:
            self.now = now
            self.risk.resume(level)
            self.decisions.note("resume", now, "the bot" if level is None else level)

    def move_capital(self, target: str, units_by_currency: Mapping[str, int], now: Nanos) -> None:
        """Give a strategy (or the pool) money that belongs to nobody, or below zero take it back there.

        `Portfolio.capital_refusal` must have been asked. What is taken may end a shortage.
        """
        self.now = now
        self.portfolio.move_capital(target, units_by_currency)
        figures = " ".join(f"{currency}={units}" for currency, units in units_by_currency.items())
        self.decisions.note("capital", now, f"{target} {figures}")
        self.touched = True
        self._watch_shortages()
        self._tell_balances(units_by_currency)

    # -- strategies -----------------------------------------------------------------------------------------------

    def overrides(self, context: Context, name: str) -> bool:
        """True when the strategy has a callback of its own under this name, or a plugin wraps it."""
        return self.callback(context, name) is not None

    def callback(self, context: Context, name: str) -> Callable[..., Any] | None:
        """The function to call for an event, or None where the strategy does nothing with it. Asked once, then kept:
        a call through the plugin machinery costs twenty times a bound one."""
        try:
            return context.callbacks[name]
        except KeyError:
            found = context.callbacks[name] = self._find_callback(context, name)
            return found

    def _find_callback(self, context: Context, name: str) -> Callable[..., Any] | None:
        if self._callbacks is not None:
            found = self._callbacks(context.strategy, name)
            if found is not None:
                return found
        if getattr(type(context.strategy), name) is getattr(Strategy, name):
            return None
        method: Callable[..., Any] = getattr(context.strategy, name)
        return method

    def notify(self, context: Context, name: str, event: object) -> None:
        """Call a callback after the one at hand, at the same ``now``."""
        callback = self.callback(context, name)
        if callback is not None:
            self._notices.append((context, callback, event))
            self.touched = True

    def _settle(self) -> None:
        notices = self._notices
        counts: dict[str, int] = {}
        while notices:
            context, callback, event = notices.popleft()
            if context.active:
                self._call(context, callback, event)
                count = counts[context.name] = counts.get(context.name, 0) + 1
                if count == _NOTICES_A_TURN_MAX:
                    name = getattr(callback, "__name__", "callback")
                    self.stop_strategy(context, f"its callbacks cause each other without end, {name} among them")

    def _call(self, context: Context, callback: Callable[..., Any], *arguments: object) -> None:
        try:
            callback(*arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # sys.exit() in a strategy must not end the other strategies
            self.failed(context, callback, error)

    def failed(self, context: Context, callback: Callable[..., Any], error: BaseException) -> None:
        """A strategy raised: note where, stop it, cancel its orders. The others go on."""
        name = getattr(callback, "__name__", "callback")
        frames = traceback.extract_tb(error.__traceback__)
        # a compiled module's frames name its file from the package on
        own = [frame for frame in frames if "/botkit/engine/" not in "/" + frame.filename.replace("\\", "/")]
        frame = (own or frames)[-1]
        failure = StrategyFailure(
            strategy=context.name,
            callback=name,
            where=f"{frame.filename}:{frame.lineno}",
            error=f"{type(error).__name__}: {error}",
            text=_told(own or list(frames), error),
            time=self.now,
            is_config=isinstance(error, ConfigError) and name == "on_start",
        )
        self.failures.append(failure)
        self.stop_strategy(context, f"{failure.error} in {name}")

    def stop_strategy(self, context: Context, reason: str) -> None:
        """Take a strategy out of the running and cancel its orders. Ways out stay open, protective exits go on."""
        if not context.active:
            return
        context.active = False
        context.stopped_because = reason
        self.touched = True
        self.decisions.note("stopped", self.now, f"{context.name}: {reason}")
        for market in self._markets.values():
            market.drop(context)
        self.timers.drop(context)
        self.quoter.drop(context)
        for order in self.desk.open_orders(context.name):
            if not order.reduces:
                self.desk.cancel(order, self.now)
        self._tell_of_the_stop(context)

    def _tell_of_the_stop(self, context: Context) -> None:
        if not self.failures or self.failures[-1].strategy != context.name:  # else its traceback is shown
            self.messages.append(("error", f"strategy {context.name!r} was stopped: {context.stopped_because}"))
        protected = self.protector.strategy_stopped(context)
        for position in self.portfolio.positions(context.name):
            if not position.is_flat:
                what = "its protective exits go on" if position.pair in protected else "nothing looks after that now"
                text = f"{context.name} was stopped and holds {position.amount:.8g} of {position.pair}; {what}"
                self.messages.append(("warning", text))


def _told(frames: list[traceback.FrameSummary], error: BaseException) -> str:
    """A traceback of the strategy's own lines: the way to them through the engine helps nobody."""
    lines = ["Traceback (most recent call last):\n", *traceback.StackSummary.from_list(frames).format()]
    return "".join(lines + traceback.format_exception_only(error)).rstrip()
