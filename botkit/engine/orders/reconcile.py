"""Comparing the bot's books with the exchange's: at the start, after a break of a stream, and every now and then.

One listing of the open orders tells most of it. An order of ours that is not in it is read by its id, and what it
executed by its trades; an order in it that nobody here knows is foreign: shown, and never touched. Balances come last,
when what the orders did is booked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import BalanceReport, OrderReport
from botkit.model.money import format_units
from botkit.model.orders import RESTING_STATES, Order, OrderState
from botkit.model.requests import Answer, GetBalances, ListOpenOrders, Outcome

if TYPE_CHECKING:
    from botkit.engine.turn import Engine

_OWNER = "(reconcile)"
#: a read that failed is asked again after so long
RETRY_NS: Nanos = 1 * NS_PER_S
#: a bot that trades all the time leaves the balances to the next comparison after so many readings
_OVERTAKEN_MAX = 5


class Difference(msgspec.Struct, frozen=True):
    """Something that the books and the exchange did not agree on, in a sentence for the user."""

    kind: str  # "order", "foreign", "balance"
    text: str


class Reconciliation:
    """One comparison. It asks through the desk; `is_done` when every row is classified."""

    def __init__(self, engine: Engine, now: Nanos, on_balances: Callable[[BalanceReport, Nanos], None]) -> None:
        self._engine = engine
        self._desk = engine.desk
        self._on_balances = on_balances
        self.began = now
        self.differences: list[Difference] = []
        self.open_at_exchange = 0
        self.foreign = 0
        self._read: list[tuple[Order, OrderState, int]] = []
        self._listed = self._balances_read = False
        self.failures: list[str] = []
        self._booked_before = self._overtaken = 0
        self._list_orders(now)

    @property
    def is_done(self) -> bool:
        """Every order of ours is explained, and the balances were compared."""
        return self._balances_read and not self.unexplained()

    def unexplained(self) -> list[Order]:
        """Orders that were to be read and still stand as before."""
        return [order for order, state, executed in self._read if order.client_id in self._desk.being_read]

    def _list_orders(self, now: Nanos) -> None:
        self._desk.read(
            lambda i: ListOpenOrders(id=i), self._on_orders, endpoint=ListOpenOrders.endpoint, owner=_OWNER, now=now
        )

    def _on_orders(self, answer: Answer, now: Nanos) -> None:
        if answer.outcome is not Outcome.OK or not isinstance(answer.body, tuple):
            self.failures.append(f"the open orders could not be read: {answer.text or answer.outcome.value}")
            self._desk.later(now + RETRY_NS, self._list_orders)
            return
        rows = [row for row in answer.body if isinstance(row, OrderReport)]
        self.open_at_exchange = len(rows)
        listed = {row.order_id: row.executed_lots for row in rows}
        # an order that changed after the question was asked says nothing about the answer
        stale = [
            (order, order.state, order.executed_lots)
            for order in self._desk.all_open()
            if order.state in RESTING_STATES
            and order.updated < self.began
            and not 0 <= listed.get(order.order_id, -1) <= order.executed_lots
        ]
        for row in rows:
            known = self._desk.is_known(row.order_id)
            self._desk.on_order_report(row, now)
            if not known and self._desk.is_known(row.order_id):
                self.differences.append(Difference("order", f"order {row.order_id} of {row.pair} is ours, and lives"))
            elif not known:
                self.foreign += 1
        self._read = stale
        for order, _, _ in stale:
            self._desk.look_at(order, now)
        self._list_balances(now)

    def _list_balances(self, now: Nanos) -> None:
        self._booked_before = self._desk.booked
        self._desk.read(
            lambda i: GetBalances(id=i), self._on_balance, endpoint=GetBalances.endpoint, owner=_OWNER, now=now
        )

    def _on_balance(self, answer: Answer, now: Nanos) -> None:
        if answer.outcome is not Outcome.OK or not isinstance(answer.body, BalanceReport):
            self.failures.append(f"the balances could not be read: {answer.text or answer.outcome.value}")
            self._desk.later(now + RETRY_NS, self._list_balances)
            return
        if self.unexplained():
            # their fills are still being read; balances before that would look like somebody else's doing
            self._desk.later(now + RETRY_NS // 4, self._list_balances)
            return
        if self._desk.booked != self._booked_before and self._overtaken < _OVERTAKEN_MAX:
            # it may be from before an execution that was booked meanwhile, which it would seem to deny
            self._overtaken += 1
            self._desk.later(now + RETRY_NS // 4, self._list_balances)
            return
        for order, state, executed in self._read:
            if order.state is not state or order.executed_lots != executed:
                what = f"{order.state.value}, executed {order.pair.rules.amount_text(order.executed_lots)}"
                self.differences.append(
                    Difference("order", f"order {order.client_id} of {order.pair} was {state.value} and is {what}")
                )
        if self._desk.booked == self._booked_before:
            self._compare(answer.body)
            self._on_balances(answer.body, now)
        self._balances_read = True

    def _compare(self, report: BalanceReport) -> None:
        account = self._engine.portfolio.account
        for currency, (total, _) in report.balances.items():
            expected = account.get(currency, 0)
            if account and total != expected:
                self.differences.append(
                    Difference(
                        "balance",
                        f"{currency}: the account has {format_units(total)}, the books say {format_units(expected)}",
                    )
                )
