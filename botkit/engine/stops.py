"""Stops trading from inside the engine: loss limits, the breaker, and strategies that fail or loop."""

from __future__ import annotations

from collections.abc import Container, Mapping

from botkit.engine.agenda import BotClock
from botkit.engine.decisions import DecisionLog
from botkit.engine.market.markets import Markets
from botkit.engine.money.portfolio import Portfolio
from botkit.engine.orders.desk import OrderDesk
from botkit.engine.orders.protection import Protector
from botkit.engine.orders.quoting import Quoter
from botkit.engine.orders.table import OrderTable
from botkit.engine.orders.targets import Targets
from botkit.engine.outcome import Outbox
from botkit.engine.risk.review import RiskDesk
from botkit.engine.strategy.callbacks import Callbacks
from botkit.engine.strategy.record import StrategyRecord
from botkit.engine.strategy.timers import TimerBook
from botkit.model.pairs import Pair


class Stops:
    """Halts the bot and stops strategies. Orders that reduce a position are still allowed."""

    def __init__(
        self,
        *,
        clock: BotClock,
        outbox: Outbox,
        decisions: DecisionLog,
        portfolio: Portfolio,
        risk: RiskDesk,
        callbacks: Callbacks,
        markets: Markets,
        timers: TimerBook,
        table: OrderTable,
        desk: OrderDesk,
        quoter: Quoter,
        targets: Targets,
        protector: Protector,
        records: Mapping[str, StrategyRecord],
    ) -> None:
        self._clock = clock
        self._outbox = outbox
        self._decisions = decisions
        self._portfolio = portfolio
        self._risk = risk
        self._callbacks = callbacks
        self._markets = markets
        self._timers = timers
        self._table = table
        self._desk = desk
        self._quoter = quoter
        self._targets = targets
        self._protector = protector
        self._records = records

    def check_losses(self) -> None:
        """Halt the bot, or stop a strategy, if a loss limit has been reached."""
        now = self._clock.now
        while (breach := self._risk.breached(now)) is not None:
            self._decisions.note("loss_limit", now, str(breach))
            if breach.level is None:
                self.halt(str(breach))
                self._outbox.halt("loss", str(breach))
            else:
                self.stop_strategy(self._records[breach.level], str(breach))

    def trip(self, reason: str) -> None:
        """Trip the breaker: halt the bot, unless it is already halted."""
        if self._risk.halted(None) is None:
            self.halt(reason)
            self._outbox.halt("breaker", reason)

    def halt(self, reason: str, *, keeps_orders: bool = False, leaves: Container[int] = ()) -> None:
        """Refuse new orders and cancel the open ones, except those with a client id in ``leaves``. Orders that reduce a
        position are still allowed. Only a resume ends the halt.
        """
        if self._risk.halted(None) is None:
            self._risk.halt(None, reason)
        for order in () if keeps_orders else self._table.all_open():
            if not order.reduces and order.client_id not in leaves:
                self._desk.cancel(order, self._clock.now)

    def cancel_pair(self, pair: Pair) -> None:
        """Cancel the open orders in a pair, except those that reduce a position."""
        for order in self._table.all_open():
            if order.pair == pair and not order.reduces:
                self._desk.cancel(order, self._clock.now)

    def stop_strategy(self, record: StrategyRecord, reason: str) -> None:
        """Stop a strategy and cancel its orders. Orders that reduce its position are still allowed, and protective
        exits stay active.
        """
        if not record.active:
            return
        record.active = False
        record.stopped_because = reason
        self._decisions.note("stopped", self._clock.now, f"{record.name}: {reason}")
        for market in self._markets.all():
            market.drop(record)
        self._timers.drop(record)
        self._quoter.drop(record)
        self._targets.forget(record)
        for order in self._table.open_of(record.name):
            if not order.reduces:
                self._desk.cancel(order, self._clock.now)
        self._say_stopped(record)

    def _say_stopped(self, record: StrategyRecord) -> None:
        # if this strategy was the last to fail, its traceback is shown instead
        if self._callbacks.failed_last != record.name:
            self._outbox.note("error", f"strategy {record.name!r} was stopped: {record.stopped_because}")
        protected = self._protector.strategy_stopped(record)
        for position in self._portfolio.positions(record.name):
            if not position.is_flat:
                what = (
                    "its protective exits stay active"
                    if position.pair in protected
                    else "nothing manages this position any more"
                )
                self._outbox.note(
                    "warning",
                    f"{record.name} was stopped and holds {position.amount:.8g} of {position.pair}; {what}",
                )
