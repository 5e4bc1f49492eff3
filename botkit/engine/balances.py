"""Compares the exchange's reported balances with the books, and passes the balances on to strategies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from botkit.engine.agenda import BotClock
from botkit.engine.decisions import DecisionLog
from botkit.engine.money.portfolio import Portfolio
from botkit.engine.orders.desk import OrderDesk
from botkit.engine.orders.table import OrderTable
from botkit.engine.outcome import Outbox
from botkit.engine.strategy.callbacks import Callbacks
from botkit.engine.strategy.record import StrategyRecord
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import Balance, BalanceReport

#: the maximum delay between an execution and the arrival of the resulting balance changes
BALANCES_FOLLOW_WITHIN: Nanos = 5 * NS_PER_S


class Balances:
    """Reports the account's balances to the strategies, and halts new orders during a shortage."""

    def __init__(
        self,
        *,
        clock: BotClock,
        outbox: Outbox,
        decisions: DecisionLog,
        portfolio: Portfolio,
        callbacks: Callbacks,
        table: OrderTable,
        desk: OrderDesk,
        records: Mapping[str, StrategyRecord],
    ) -> None:
        self._clock = clock
        self._outbox = outbox
        self._decisions = decisions
        self._portfolio = portfolio
        self._callbacks = callbacks
        self._table = table
        self._desk = desk
        self._records = records
        #: True after the `Begin` input; before that, balances are only requested and reports are ignored
        self.has_begun = False
        self._last: dict[tuple[str, str], Balance] = {}
        #: the strategies that define ``on_balance``; set by the `Begin` input
        self._listeners: tuple[StrategyRecord, ...] | None = None

    def reported(self, report: BalanceReport, now: Nanos) -> None:
        """Handle balances from the account stream."""
        if not self.has_begun:
            return
        ledger, unassigned = self._portfolio.ledger, self._portfolio.ledger.unassigned
        # a comparison would nearly always find no differences, so first check whether it can be skipped
        is_as_expected = not (report.snapshot or self._portfolio.balances.suspects) and (
            self._desk.gate.shortage is None and (not unassigned or min(unassigned.values()) >= 0)
        )
        for currency, (actual, _) in report.balances.items() if is_as_expected else ():
            if actual != ledger.account.get(currency, 0):
                is_as_expected = False
        if not is_as_expected:
            if now - self._desk.booked_at >= BALANCES_FOLLOW_WITHIN:
                self._portfolio.balances.compare(report, now, quiet=not self._table.has_live)
            # otherwise this frame may predate the latest execution; trusting it, even if it is repeated, would make
            # that execution look like an outside deposit or withdrawal
            self.watch_shortages()
        if self._listeners != ():
            self.tell(report.balances)

    def tell(self, currencies: Iterable[str]) -> None:
        """Notify strategies of their balances in the given currencies if these balances have changed since the last
        notification.
        """
        listeners = self._listeners
        if listeners is None:
            of = self._callbacks.of
            listeners = tuple(record for record in self._records.values() if of(record, "on_balance") is not None)
            self._listeners = listeners
        for record in listeners:
            for currency in currencies if record.active else ():
                balance = self._portfolio.balance(record.name, currency)
                key = (record.name, currency)
                if self._last.get(key) != balance:
                    self._last[key] = balance
                    self._callbacks.notify(record, "on_balance", balance)

    def watch_shortages(self) -> None:
        """Halt new orders while the account holds less of a currency than its strategies own in total."""
        shortage = "; ".join(map(str, self._portfolio.balances.shortages())) or None
        if shortage != self._desk.gate.shortage:
            if shortage is None:
                self._outbox.note(
                    "info", "the account again holds everything its strategies own; new orders are allowed"
                )
            elif self._desk.gate.shortage is None:
                self._outbox.note("error", f"only orders that reduce a position are allowed: {shortage}")
            self._desk.gate.shortage = shortage
            self._decisions.note("shortage", self._clock.now, shortage or "over")
