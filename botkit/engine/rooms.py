"""The rooms of one engine, wired together, and the operations that involve several of them.

A room (one part of the engine) receives its dependencies at construction and has no reference to the engine. Events
that concern several rooms (an order's new state, a fill, a price, a failed strategy) arrive here and are dispatched in
a fixed order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from botkit.engine.agenda import Agenda, BotClock, Changes
from botkit.engine.balances import Balances
from botkit.engine.decisions import BLOCK_LINES, DecisionLog
from botkit.engine.market.fee_prices import FeePrices
from botkit.engine.market.listed_rules import ListedRulesWatch
from botkit.engine.market.markets import Markets
from botkit.engine.market.pair_market import PairMarket
from botkit.engine.market.quarantine import Quarantine
from botkit.engine.market.watch import Watch
from botkit.engine.money.portfolio import Portfolio
from botkit.engine.orders.agreement import Agreement
from botkit.engine.orders.checks import Gate, expected_price
from botkit.engine.orders.closed_pairs import ClosedPairs
from botkit.engine.orders.desk import OrderDesk
from botkit.engine.orders.entry import ClientIds, OrderEntry
from botkit.engine.orders.protection import Protector
from botkit.engine.orders.quoting import Quoter
from botkit.engine.orders.reads import Reads
from botkit.engine.orders.reconcile import Reconciliation
from botkit.engine.orders.rejections import Rejections
from botkit.engine.orders.resolution import Resolution
from botkit.engine.orders.table import OrderTable
from botkit.engine.orders.targets import Targets
from botkit.engine.outcome import Outbox
from botkit.engine.risk.review import RiskDesk
from botkit.engine.router.router import Router
from botkit.engine.settings import EngineSettings, StrategySpec
from botkit.engine.stops import Stops
from botkit.engine.strategy.base import Strategy, bind
from botkit.engine.strategy.callbacks import Callback, Callbacks
from botkit.engine.strategy.context import Context, KnownPairs, Rooms
from botkit.engine.strategy.history import PastBook
from botkit.engine.strategy.plots import PlotStore
from botkit.engine.strategy.record import StrategyRecord
from botkit.engine.strategy.subscriptions import Subscriptions
from botkit.engine.strategy.timers import TimerBook
from botkit.engine.strategy.untold import Untold
from botkit.model.clock import Nanos
from botkit.model.events import Fill, OrderReport
from botkit.model.extension import FeeRates
from botkit.model.inputs import Compare
from botkit.model.orders import FINAL_STATES, Order, OrderState
from botkit.model.pairs import Pair

#: more refusals than this in one turn indicate a looping strategy, so the strategy is stopped
REFUSALS_A_TURN_MAX = 100
#: the limit that applies while all orders, or all orders in a pair, are refused; many refusals in a turn are then not a
#: sign of a loop
REFUSALS_CLOSED_MAX = 1_000
#: maximum length of a message to the user, in characters; the rest is neither sent nor recorded
_MESSAGE_MAX = 1_000
_NOT_SENT = OrderState.NOT_SENT
_REFUSED = OrderState.REFUSED
_REJECTED = OrderState.REJECTED
_ACCEPTED = frozenset({OrderState.OPEN, OrderState.UNTRIGGERED, OrderState.PARTLY_FILLED, OrderState.FILLED})

#: finds the function for (strategy, callback name); None selects the plain method
FindCallback = Callable[[Strategy, str], Callback | None]


class BotRooms:
    """All rooms of one engine. `botkit.engine.engine` passes inputs to them."""

    def __init__(
        self,
        *,
        pairs: Mapping[str, Pair],
        strategies: Sequence[StrategySpec],
        portfolio: Portfolio,
        risk: RiskDesk,
        router: Router,
        fee_rates: Callable[[Pair, Nanos], FeeRates],
        decisions: DecisionLog,
        settings: EngineSettings,
        find_callback: FindCallback | None,
    ) -> None:
        # what the assembly has chosen
        self.pairs = pairs
        self.settings = settings
        self.portfolio = portfolio
        self.risk = risk
        self.router = router
        self.decisions = decisions
        self._fee_rates = fee_rates
        self._find_callback = find_callback
        self.strategies: dict[str, Strategy] = {spec.name: spec.strategy for spec in strategies}

        # what the engine and several rooms keep here
        #: True after the `Begin` input, so that market events and timers are processed
        self.has_begun = False
        #: True if an order was refused in this turn
        self.has_refused = False
        self.records: dict[str, StrategyRecord] = {}
        self.contexts: dict[str, Context] = {}
        self.foreign_orders: dict[str, OrderReport] = {}
        self.comparison: Reconciliation | None = None
        #: each strategy's functions for its orders and fills, found when they are first needed
        self._listeners: dict[str, tuple[Callback | None, Callback | None]] = {}

        # the rooms. Each is made from rooms above it, so no room can be used before it exists
        self.clock = BotClock()
        self.changes = Changes()
        self.outbox = Outbox(self.changes)
        self.agenda = Agenda(self.changes)
        self.callbacks = self._make_callbacks()
        self.quarantine = Quarantine(self._doubted, self.outbox.withheld)
        self.table = OrderTable()
        self.markets = self._make_markets()
        self.reads = Reads(router, self.agenda)
        self.closed = ClosedPairs()
        self.rejections = self._make_rejections()
        self.desk = self._make_desk()
        self.gate = self.desk.gate
        self._shown_lots = self.desk.follow_ups.shown_lots
        self.untold = Untold()
        self.agreement = self._make_agreement()
        self.quoter = Quoter(clock=self.clock, changes=self.changes, desk=self.desk, risk=risk, closed=self.closed)
        self.targets = Targets(changes=self.changes, markets=self.markets, portfolio=portfolio)
        self.protector = Protector(
            clock=self.clock, changes=self.changes, markets=self.markets, portfolio=portfolio, table=self.table
        )
        self.timers = TimerBook(self.agenda, self.callbacks)
        self.past = PastBook(self.markets, self.outbox)
        self.client_ids = ClientIds(settings.first_client_id)
        self.stops = self._make_stops()
        self.balances = self._make_balances()
        self.listed_rules = self._make_listed_rules()
        self.watch = self._make_watch()
        self.fee_prices = self._make_fee_prices()
        #: coins in which a fee was paid without a price, as the user was told
        self._told_of_fees: set[str] = set()
        self._day_slot = self.agenda.slot("day", risk.next_day, self._new_day)
        self.router_slot = self.agenda.slot("router", router.next_due, _nothing)

        # what existed before is connected, and each strategy gets the rooms that it may see
        router.take_listener(self.router_slot.changed, self.changes)
        risk.expected_price = self._expected_price
        rooms = self._rooms_of_strategies()
        for spec in strategies:
            self._add(spec, rooms)

    # -- making the rooms -----------------------------------------------------------------------------------------

    def _make_callbacks(self) -> Callbacks:
        return Callbacks(
            clock=self.clock,
            changes=self.changes,
            outbox=self.outbox,
            find=self._find,
            stop=self._stop_strategy,
            catches_interrupts=self.settings.catches_interrupts,
        )

    def _make_markets(self) -> Markets:
        return Markets(
            prices=self.portfolio.prices,
            clock=self.clock,
            agenda=self.agenda,
            callbacks=self.callbacks,
            quarantine=self.quarantine,
            bar_grace_ns=self.settings.bar_grace_ns,
            on_price=self._priced,
            resting=self.table.resting,
        )

    def _make_rejections(self) -> Rejections:
        return Rejections(
            clock=self.clock,
            outbox=self.outbox,
            decisions=self.decisions,
            pairs={pair for share in self.portfolio.shares for pair in share.pairs},
            closed=self.closed,
            zone=self.settings.zone,
        )

    def _make_desk(self) -> OrderDesk:
        return OrderDesk(
            table=self.table,
            reads=self.reads,
            portfolio=self.portfolio,
            risk=self.risk,
            router=self.router,
            decisions=self.decisions,
            agenda=self.agenda,
            latest_accept_ns=self.settings.latest_accept_ns,
            gate=self._make_gate,
            on_order=self._order_changed,
            on_fill=self._filled,
            on_foreign=self._foreign,
            alarm=lambda text: self.outbox.note("error", text, "executions"),
        )

    def _make_agreement(self) -> Agreement:
        return Agreement(
            clock=self.clock,
            agenda=self.agenda,
            shown=self.desk.follow_ups.shown_lots,
            tell=self._tell,
            look_at=lambda order, now: self.desk.follow_ups.look_at((order,), now),
        )

    def _rooms_of_strategies(self) -> Rooms:
        return Rooms(
            clock=self.clock,
            zone=self.settings.zone,
            pairs=KnownPairs(self.pairs),
            markets=self.markets,
            portfolio=self.portfolio,
            table=self.table,
            timers=self.timers,
            quoter=self.quoter,
            targets=self.targets,
            protector=self.protector,
            tell=self.outbox.logged,
            notify=self._notify,
            fee_rates=self._fee_rates,
        )

    def _make_stops(self) -> Stops:
        return Stops(
            clock=self.clock,
            outbox=self.outbox,
            decisions=self.decisions,
            portfolio=self.portfolio,
            risk=self.risk,
            callbacks=self.callbacks,
            markets=self.markets,
            timers=self.timers,
            table=self.table,
            desk=self.desk,
            quoter=self.quoter,
            targets=self.targets,
            protector=self.protector,
            records=self.records,
        )

    def _make_balances(self) -> Balances:
        return Balances(
            clock=self.clock,
            outbox=self.outbox,
            decisions=self.decisions,
            portfolio=self.portfolio,
            callbacks=self.callbacks,
            table=self.table,
            desk=self.desk,
            records=self.records,
        )

    def _make_listed_rules(self) -> ListedRulesWatch | None:
        if self.settings.watch_speed is None:
            return None
        return ListedRulesWatch(
            clock=self.clock,
            agenda=self.agenda,
            reads=self.reads,
            outbox=self.outbox,
            decisions=self.decisions,
            pairs=self.pairs,
            closed=self.closed,
            rejections=self.rejections,
            used=self.used_pairs,
            trip=self.stops.trip,
            cancel=self.stops.cancel_pair,
            reopened=self.quoter.reopened,
            speed=self.settings.watch_speed,
        )

    def _make_watch(self) -> Watch | None:
        if self.settings.watch_speed is None:
            return None
        return Watch(
            agenda=self.agenda,
            markets=self.markets,
            reads=self.reads,
            portfolio=self.portfolio,
            outbox=self.outbox,
            closed=self.closed,
            trip=self.stops.trip,
            zone=self.settings.zone,
            speed=self.settings.watch_speed,
        )

    def _make_fee_prices(self) -> FeePrices | None:
        if self.watch is None:
            return None
        return FeePrices(clock=self.clock, portfolio=self.portfolio, reads=self.reads, outbox=self.outbox)

    def used_pairs(self) -> set[Pair]:
        """Return the pairs that the bot trades or watches."""
        traded = {pair for share in self.portfolio.shares for pair in share.pairs}
        return traded | {market.pair for market in self.markets.all()}

    def _make_gate(self, resolution: Resolution) -> Gate:
        return Gate(
            clock=self.clock,
            markets=self.markets,
            risk=self.risk,
            resolution=resolution,
            rejections=self.rejections,
            closed=self.closed,
            max_book_age_ns=self.settings.max_book_age_ns,
        )

    def _add(self, spec: StrategySpec, rooms: Rooms) -> None:
        record = self.records[spec.name] = StrategyRecord(spec.name, self.settings.seed)
        self.gate.know(record)
        entry = OrderEntry(
            record,
            clock=self.clock,
            client_ids=self.client_ids,
            markets=self.markets,
            portfolio=self.portfolio,
            table=self.table,
            desk=self.desk,
        )
        draws = self.settings.draws_indicators
        is_live = self.settings.watch_speed is not None
        plots = PlotStore(spec.name, takes_indicators=draws or is_live, whole_run=draws)
        subscriptions = Subscriptions(
            record,
            markets=self.markets,
            callbacks=self.callbacks,
            outbox=self.outbox,
            past=self.past,
            plots=plots,
            method=lambda name: _method_of(spec.strategy, name),
        )
        context = self.contexts[spec.name] = Context(record, rooms, entry, subscriptions, plots)
        bind(spec.strategy, context, spec.parameters)

    # -- strategies -------------------------------------------------------------------------------------

    def _notify(self, strategy: str, text: str) -> None:
        line = f"{strategy}: {text if len(text) <= _MESSAGE_MAX else text[: _MESSAGE_MAX - 3] + '...'}"
        self.decisions.note("notify", self.clock.now, line)
        self.outbox.note("message", line)

    def _stop_strategy(self, record: StrategyRecord, reason: str) -> None:
        self.stops.stop_strategy(record, reason)

    def _find(self, strategy: str, name: str) -> Callback | None:
        instance = self.strategies[strategy]
        if self._find_callback is not None:
            found = self._find_callback(instance, name)
            if found is not None:
                return found
        if getattr(type(instance), name) is getattr(Strategy, name):
            return None
        method: Callback = getattr(instance, name)
        return method

    # -- orders ---------------------------------------------------------------------------------------------------

    def _order_changed(self, order: Order) -> None:
        state = order.state
        self.changes.count += 1
        self.outbox.out.states.append((order, state))
        if state in _ACCEPTED:
            if self.rejections.is_counting:
                self.rejections.accepted(order)
        elif state is _REJECTED and self.listed_rules is not None:
            why = self.rejections.rejected(order)
            if why is not None:
                self.listed_rules.halt_unless_closed(why)
            else:
                self.listed_rules.doubt()
        record = self.records.get(order.strategy)
        if record is None:
            return
        if state is _NOT_SENT:
            record.unsent_count += 1
        elif state is _REFUSED:
            record.refused(order.reason)
            self.has_refused = True
            if record.refused_this_turn > REFUSALS_A_TURN_MAX and record.active:
                is_closed = self.gate.is_closed or order.pair in self.closed.reasons
                most = REFUSALS_CLOSED_MAX if is_closed else REFUSALS_A_TURN_MAX
                if record.refused_this_turn > most:
                    self.stops.stop_strategy(
                        record, f"more than {most} orders were refused in one turn: {order.reason}"
                    )
        if self.quoter.quotes:
            self.quoter.order_changed(order)
        if self.targets.orders:
            self.targets.order_changed(order)
        if self.protector.watches:
            self.protector.order_changed(order)
        if record.active:
            if not order.executed_lots and not self.agreement.held and order.client_id not in self._shown_lots:
                # no pending execution could disagree with the order's state
                callback = (self._listeners.get(record.name) or self._listen(record))[0]
                if callback is not None:
                    self.callbacks.mailbox.append((record, callback, order))
            else:
                self.agreement.tell(order, order)

    def _filled(self, fill: Fill) -> None:
        self.changes.count += 1
        self.outbox.out.fills.append(fill)
        if fill.fee_currency != fill.pair.base and fill.fee_currency != fill.pair.quote:
            self._fee_in_third_coin(fill)
        record = self.records.get(fill.order.strategy)
        if record is None:
            return  # the strategy is no longer configured
        record.fills_count += 1
        if self.protector.watches or record.best_prices:
            self.protector.filled(fill, record)
        self.untold.held.append(fill)
        self.agreement.tell(fill.order, fill)

    def _fee_in_third_coin(self, fill: Fill) -> None:
        """Look for the price of a coin in which a fee was paid, and tell the user if there is none yet."""
        if self.fee_prices is None:
            return
        coin, fees = fill.fee_currency, self.portfolio.fees
        if fill.fee_units and coin not in self._told_of_fees and coin in fees.unvalued(self.portfolio.holdings(None)):
            self._told_of_fees.add(coin)
            what = f"a fee was paid in {coin.upper()}, which has no price here; fees in it are in no figure and no loss"
            if fees.may_be_valued(coin):
                followed = " and ".join(map(str, fees.pairs))
                self.outbox.note("info", f"{what} limit until it has one: the bot follows {followed} for that")
            else:
                self.outbox.note("warning", f"{what} limit, because no pair of the exchange values it")
        self.fee_prices.look(self.clock.now)

    def _tell(self, order: Order, events: Sequence[Order | Fill]) -> None:
        """Notify a strategy of an order's state or executions, now that the two agree."""
        record = self.records[order.strategy]
        on_order, on_fill = self._listeners.get(record.name) or self._listen(record)
        mailbox = self.callbacks.mailbox
        for event in events:
            if type(event) is Fill:
                self.untold.held.remove(event)
                if not self.callbacks.is_open:
                    self.untold.mailed.append(event)
                if self.quoter.quotes:
                    self.quoter.filled(order)
                if on_fill is not None and record.active:
                    mailbox.append((record, on_fill, event))
            elif on_order is not None:
                mailbox.append((record, on_order, order))
        self.changes.count += 1

    def _listen(self, record: StrategyRecord) -> tuple[Callback | None, Callback | None]:
        of = self.callbacks.of
        found = self._listeners[record.name] = of(record, "on_order"), of(record, "on_fill")
        return found

    def _foreign(self, report: OrderReport) -> None:
        if report.state in FINAL_STATES:
            # do not keep final foreign orders, since another bot on the account may trade for months
            self.foreign_orders.pop(report.order_id, None)
        else:
            self.foreign_orders[report.order_id] = report

    def work_off(self) -> None:
        """Deliver the mailbox and settle quotes and exits until there are no new effects."""
        callbacks, quoter, protector, targets = self.callbacks, self.quoter, self.protector, self.targets
        while (callbacks.mailbox and callbacks.is_open) or quoter.dirty or protector.again or targets.dirty:
            if callbacks.mailbox and callbacks.is_open:
                callbacks.deliver()
            if quoter.dirty:
                quoter.settle()
            if targets.dirty:
                targets.settle()
            if protector.again:
                protector.settle()

    def end_of_turn(self) -> None:
        """Pass on the router's alarms and reset the per-turn counts."""
        if self.router.alarms:
            for alarm in self.router.take_alarms():
                self.outbox.note("warning", alarm.text)
        if self.has_refused:
            self.has_refused = False
            if len(self.decisions.pending) >= BLOCK_LINES:
                self.decisions.flush()  # refused orders cause no requests, so nothing else flushes their decisions
            for record in self.records.values():
                record.refused_this_turn = 0

    # -- prices and losses ----------------------------------------------------------------------------------------

    def _priced(self, market: PairMarket, price: float) -> None:
        self.portfolio.mark(market.pair, price)
        if self.risk.has_loss_limits:
            self.stops.check_losses()
        if self.protector.watches:
            self.protector.on_price(market)

    def _new_day(self, now: Nanos) -> None:
        self.risk.turn_of_day(now)

    def begin_day(self, now: Nanos) -> None:
        """Start the trading day that contains ``now`` when the bot starts, unless an earlier run has already started
        it.
        """
        self.risk.turn_of_day(now)
        self._day_slot.changed()

    def _expected_price(self, order: Order) -> float | None:
        return expected_price(order, self.markets.of(order.pair))

    def _doubted(self, level: Literal["info", "warning"], text: str) -> None:
        self.outbox.note(level, text)
        self.decisions.note("quarantine", self.clock.now, text)

    # -- the account ----------------------------------------------------------------------------------------------

    def compare(self, now: Nanos, given: Compare) -> None:
        """Reconcile with the exchange, unless a comparison is already running."""
        if self.comparison is not None and not self.comparison.is_done:
            return
        self.comparison = Reconciliation(
            now=now,
            table=self.table,
            reads=self.reads,
            desk=self.desk,
            portfolio=self.portfolio,
            outbox=self.outbox,
            watch_shortages=self.balances.watch_shortages,
            unwritten=given.unwritten,
        )


def _nothing(now: Nanos) -> None:
    """Do nothing, because the router runs at the end of every turn anyway."""


def _method_of(strategy: Strategy, name: str) -> Callback | None:
    found = getattr(strategy, name, None)
    return found if callable(found) else None
