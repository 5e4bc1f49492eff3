"""Reconciles the bot with the exchange: at the start, after a stream outage, and periodically.

Most of the work needs only a single listing of the open orders. Each of our orders that is missing from the listing is
read by its id, and its executions are read from its trades. A listed order that is not ours is foreign: it is shown,
but never touched. Balances are compared last, once all executions are booked.
"""

from __future__ import annotations

from collections.abc import Callable

from botkit.engine.money.portfolio import Portfolio
from botkit.engine.orders.desk import OrderDesk
from botkit.engine.orders.reads import LISTED_MAX, Reads
from botkit.engine.orders.table import OrderTable
from botkit.engine.outcome import Outbox
from botkit.engine.outcome_parts import Comparison, Difference
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import BalanceReport, OrderReport
from botkit.model.inputs import Unwritten
from botkit.model.money import format_units
from botkit.model.orders import RESTING_STATES, Order, OrderState
from botkit.model.requests import Answer, Ending, GetBalances, ListOpenOrders, ListOrders

_OWNER = "(reconcile)"
#: delay before a failed read is retried
RETRY_NS: Nanos = 1 * NS_PER_S
_WAIT_NS: Nanos = RETRY_NS // 4
#: maximum number of waits (90 s) for orders that cannot be read; after that, the balances are left to the next
#: comparison. Waits are counted, because no order is read while the machine sleeps. At startup, the bot gives up
#: earlier.
_WAITS_MAX = 90 * NS_PER_S // _WAIT_NS
#: after new fills have made this many reads outdated, the balances are left to the next comparison
_OVERTAKEN_MAX = 5


class Reconciliation:
    """One comparison, whose result is added to the outbox."""

    def __init__(
        self,
        *,
        now: Nanos,
        table: OrderTable,
        reads: Reads,
        desk: OrderDesk,
        portfolio: Portfolio,
        outbox: Outbox,
        watch_shortages: Callable[[], None],
        unwritten: Unwritten | None = None,
    ) -> None:
        self._table = table
        self._reads = reads
        self._desk = desk
        self._portfolio = portfolio
        self._outbox = outbox
        self._watch_shortages = watch_shortages
        self.began = now
        self.is_done = False
        self._differences: list[Difference] = []
        self._foreign = 0
        self._read: list[tuple[Order, OrderState, int]] = []
        #: orders that may have unbooked executions
        self._unsure: list[Order] = []
        self._booked_before = self._overtaken = self._waits = 0
        self._unwritten = unwritten
        self._known = frozenset(() if unwritten is None else unwritten.known)
        self._lost: list[str] = []
        self._lost_until = 0
        names = portfolio.strategies if unwritten is not None else ()
        self._to_list = list(dict.fromkeys(p.pair for name in names for p in portfolio.positions(name)))
        self._list_unwritten(now)

    def _unexplained(self) -> bool:
        """Return True while some executions may be missing, because the balances would then appear to have been changed
        from outside.
        """
        return any(self._desk.is_unread(order) for order in self._unsure)

    def _failed(self, what: str, answer: Answer) -> None:
        why = f"the {what} cannot be fetched: {answer.text or answer.outcome.value}"
        self._outbox.compare_failed(why, answer.outcome)

    def _list_unwritten(self, now: Nanos) -> None:
        """List orders that are missing from the journal, one pair at a time, and then the open orders."""
        wanted = self._unwritten
        if wanted is None or not self._to_list:
            self._list_orders(now)
            return
        pair, since = self._to_list[-1], wanted.since
        self._reads.read(
            lambda i: ListOrders(id=i, pair=pair, start=since, limit=LISTED_MAX),
            self._on_unwritten,
            endpoint=ListOrders.endpoint,
            owner=_OWNER,
            now=now,
        )

    def _on_unwritten(self, answer: Answer, now: Nanos) -> None:
        if answer.outcome is not Ending.OK or not isinstance(answer.body, tuple):
            self._failed("orders since the last run", answer)
            self._reads.later(now + RETRY_NS, self._list_unwritten)
            return
        assert self._unwritten is not None
        self._to_list.pop()
        for row in answer.body:
            if (
                isinstance(row, OrderReport)
                and self._unwritten.first_id <= (row.client_id or 0) < self._unwritten.end_id
                and row.client_id not in self._known
                and row.client_id not in self._table.by_client_id
            ):
                self._lost.append(f"{row.order_id} of {row.pair}")
                self._lost_until = max(self._lost_until, (row.client_id or 0) + 1)
        self._list_unwritten(now)

    def _list_orders(self, now: Nanos) -> None:
        self._reads.read(
            lambda i: ListOpenOrders(id=i), self._on_orders, endpoint=ListOpenOrders.endpoint, owner=_OWNER, now=now
        )

    def _on_orders(self, answer: Answer, now: Nanos) -> None:
        if answer.outcome is not Ending.OK or not isinstance(answer.body, tuple):
            self._failed("open orders", answer)
            self._reads.later(now + RETRY_NS, self._list_orders)
            return
        rows = [row for row in answer.body if isinstance(row, OrderReport)]
        listed = {row.order_id: row.executed_lots for row in rows}
        behind = [
            order
            for order in self._table.all_open()
            if order.state in RESTING_STATES
            and order.sent < self.began
            and not 0 <= listed.get(order.order_id, -1) <= order.executed_lots
        ]
        stale = [(order, order.state, order.executed_lots) for order in behind if order.updated < self.began]
        for row in rows:
            known = self._table.is_known(row.order_id)
            self._desk.on_order_report(row, now)
            if not known and self._table.is_known(row.order_id):
                self._differences.append(Difference("order", f"order {row.order_id} of {row.pair} is ours and live"))
            elif not known:
                self._foreign += 1
        self._read = stale
        self._desk.follow_ups.look_at((order for order, _, _ in stale), now)
        # a report that changed an order after the request was sent may be incomplete, and the rest may be lost
        self._desk.follow_ups.look_soon((order for order in behind if order.updated >= self.began), now)
        # an order whose create is unanswered has no id to be read by, and the report of its fill may have been lost
        self._desk.follow_ups.look_once_answered(
            order for order in self._table.all_open() if order.state is OrderState.SENDING and order.sent < self.began
        )
        # an order with an unknown outcome may turn up during this comparison; its fills then need another read
        self._unsure = behind + [order for order in self._table.all_open() if order.state is OrderState.UNKNOWN]
        self._list_balances(now)

    def _list_balances(self, now: Nanos) -> None:
        if self._must_wait(now):
            return
        self._booked_before = self._desk.booked
        self._reads.read(
            lambda i: GetBalances(id=i), self._on_balance, endpoint=GetBalances.endpoint, owner=_OWNER, now=now
        )

    def _must_wait(self, now: Nanos) -> bool:
        """Return True if the balances have to be read later, because some executions may be missing."""
        if not self._unexplained() or self._waits >= _WAITS_MAX:
            return False
        self._waits += 1
        self._reads.later(now + _WAIT_NS, self._list_balances)
        return True

    def _on_balance(self, answer: Answer, now: Nanos) -> None:
        if answer.outcome is not Ending.OK or not isinstance(answer.body, BalanceReport):
            self._failed("account's balances", answer)
            self._reads.later(now + RETRY_NS, self._list_balances)
            return
        if self._desk.booked != self._booked_before and self._overtaken < _OVERTAKEN_MAX:
            # the response may predate an execution booked in the meantime, and would then appear to contradict the
            # books
            self._overtaken += 1
            self._reads.later(now + _WAIT_NS, self._list_balances)
            return
        if self._must_wait(now):
            return
        for order, state, executed in self._read:
            if order.state is not state or order.executed_lots != executed:
                self._differences.append(Difference("order", difference_of(order, state, executed)))
        if not self._portfolio.account:  # this is the very first start
            refusal = self._open(answer.body, now)
            if refusal is not None:
                self._outbox.compare_failed(refusal, answer.outcome)
                return
        adopted: list[tuple[str, int]] = []
        if self._desk.booked == self._booked_before and not self._unexplained():
            adopted = self._take_balances(answer.body, now)
        # also if nothing was adopted, because the books of an earlier run may already have a shortage
        self._watch_shortages()
        self.is_done = True
        self._outbox.compared(
            Comparison(
                began=self.began,
                differences=tuple(self._differences),
                foreign=self._foreign,
                adopted=tuple(adopted),
                unwritten=tuple(self._lost),
                unwritten_until=self._lost_until,
            )
        )

    def _open(self, report: BalanceReport, now: Nanos) -> str | None:
        """Open the books with the account's current balances. If the balances do not cover the capital, return the
        reason.
        """
        try:
            self._portfolio.open({currency: available for currency, (_, available) in report.balances.items()})
        except ValueError as error:
            return str(error)
        # no strategy owns money locked by foreign orders
        self._portfolio.balances.compare(report, now, quiet=True)
        return None

    def _take_balances(self, report: BalanceReport, now: Nanos) -> list[tuple[str, int]]:
        portfolio = self._portfolio
        for currency, (total, _) in report.balances.items():
            expected = portfolio.account.get(currency, 0)
            if total != expected:
                have, books = format_units(total), format_units(expected)
                self._differences.append(
                    Difference("balance", f"{currency}: the account has {have}, the bot's records show {books}")
                )
        found = portfolio.balances.compare(report, now, quiet=not self._table.has_live)
        return [(item.currency, item.adopted_units) for item in found if item.adopted_units]


def difference_of(order: Order, state: OrderState, executed: int) -> str:
    """Say how an order differs from its earlier ``state`` and ``executed`` lots."""
    name, done = f"order {order.client_id} of {order.pair}", order.pair.rules.amount_text(order.executed_lots)
    if order.state is state and order.executed_lots > executed:
        more = order.pair.rules.amount_text(order.executed_lots - executed)
        return f"{name}: {more} more of it was filled, executed {done}"
    before, after = (one.value.replace("_", " ") for one in (state, order.state))
    return f"{name} was {before} and is {after}, executed {done}"
