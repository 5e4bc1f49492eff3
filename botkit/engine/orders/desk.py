"""Manages each order from a strategy's intent to the order's final state.

The order desk owns every `Order`, moves it through the state table, and locks and releases its money. It turns the
exchange's messages (responses, order reports, trade reports, listings), in whatever order they arrive, into fills and
states. `botkit.engine.orders.follow_ups` reads what the exchange should have pushed, and
`botkit.engine.orders.resolution` finds out what became of a create without an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from botkit.engine.agenda import Agenda
from botkit.engine.decisions import ANSWER, BLOCK_LINES, CANCEL, FILL, INTENT, REQUEST, STATE, DecisionLog
from botkit.engine.money.portfolio import Portfolio
from botkit.engine.orders.checks import Gate
from botkit.engine.orders.follow_ups import READ_AFTER, FollowUps
from botkit.engine.orders.matching_reports import is_same_order, is_too_old
from botkit.engine.orders.reads import Reads
from botkit.engine.orders.replacements import Replacements
from botkit.engine.orders.resolution import Resolution
from botkit.engine.orders.table import OrderTable
from botkit.engine.risk.review import RiskDesk
from botkit.engine.router.router import Router, Withdrawal
from botkit.model.clock import Nanos
from botkit.model.events import Fill, OrderReport, TradeReport
from botkit.model.inputs import BookedExecution
from botkit.model.orders import (
    FINAL_STATES,
    LIVE_STATES,
    MARKET,
    REPORTED_STATES,
    STOP_LIMIT,
    TRANSITIONS,
    Order,
    OrderState,
)
from botkit.model.requests import (
    Answer,
    CancelBatch,
    CancelOrder,
    CreateBatch,
    CreateOrder,
    Ending,
    OrderAck,
    Request,
)

_PAST_DEADLINE = "waited in the queue past its deadline"

#: states of an order that was sent but has no known exchange id yet
_MAY_APPEAR = frozenset({OrderState.SENDING, OrderState.UNKNOWN, OrderState.REJECTED, OrderState.ABSENT})

# globals, because reading an enum member from its class costs much more (`botkit.model.orders`)
_QUEUED: Final = OrderState.QUEUED
_SENDING: Final = OrderState.SENDING
_UNKNOWN: Final = OrderState.UNKNOWN
_UNTRIGGERED: Final = OrderState.UNTRIGGERED
_OPEN: Final = OrderState.OPEN
_OK: Final = Ending.OK


class OrderDesk:
    """Implements the order protocol. It reads no clock: the time is an argument, and the router decides which requests
    may be sent.

    ``on_order`` is called with each state, ``on_fill`` with each execution, and ``on_foreign`` with rows of orders that
    are not ours. ``gate`` runs the checks, including those for orders whose outcome is unknown. ``alarm`` tells the
    user that the books are wrong.
    """

    def __init__(
        self,
        *,
        table: OrderTable,
        reads: Reads,
        portfolio: Portfolio,
        risk: RiskDesk,
        router: Router,
        decisions: DecisionLog,
        agenda: Agenda,
        latest_accept_ns: Nanos,
        gate: Callable[[Resolution], Gate],
        on_order: Callable[[Order], None],
        on_fill: Callable[[Fill], None],
        on_foreign: Callable[[OrderReport], None],
        alarm: Callable[[str], None],
    ) -> None:
        self._table = table
        self._open = table.open
        self._executions = table.executions
        self._reads = reads
        self._portfolio = portfolio
        self._risk = risk
        self._router = router
        self._decisions = decisions
        #: adds a decision to the log as a tuple (`botkit.engine.decisions`)
        self._decide = decisions.add
        self._on_order = on_order
        self._on_fill = on_fill
        self._on_foreign = on_foreign
        #: create and cancel requests in flight
        self._creates: dict[int, tuple[Order, ...]] = {}
        self._cancels: dict[int, tuple[Order, ...]] = {}
        #: reports that arrived before the response that identifies their order
        self._parked_trades: dict[str, list[TradeReport]] = {}
        #: final reports of orders with executions still missing: client id -> report
        self._final_reports: dict[int, OrderReport] = {}
        #: number of executions booked since the start
        self.booked = 0
        #: time at which the latest execution was booked
        self.booked_at: Nanos = 0
        self.follow_ups = FollowUps(table=table, reads=reads, router=router, agenda=agenda, results=self, alarm=alarm)
        self.resolution = Resolution(
            table=table,
            reads=reads,
            router=router,
            portfolio=portfolio,
            agenda=agenda,
            verdicts=self,
            latest_accept_ns=latest_accept_ns,
        )
        self.gate = self._gate = gate(self.resolution)
        self.replacements = Replacements(
            table=table, portfolio=portfolio, risk=risk, router=router, gate=self._gate, placing=self
        )
        self._waiting = self.replacements.waiting

    # -- requests from strategies ---------------------------------------------------------------------------------

    def place(self, order: Order, refusal: str | None, now: Nanos) -> Order:
        """Accept an intent: check it, lock its money, and queue it. A refused order immediately becomes final in state
        REFUSED.

        ``refusal`` is set if a reason to refuse the order was found before the order was created.
        """
        self._table.by_client_id[order.client_id] = order
        self._decide((INTENT, now, order.spec))
        if refusal is None:
            refusal = self._gate.when_placed(order) or self._enqueue(order, now)
        if refusal is not None:
            self.end_unsent(order, OrderState.REFUSED, now, refusal)
        return order

    def admit(self, order: Order, now: Nanos) -> str | None:
        """Queue an order that has waited. Returns why it may not be sent, if it may not."""
        return self._gate.when_admitted(order) or self._enqueue(order, now)

    def _enqueue(self, order: Order, now: Nanos) -> str | None:
        refusal = self._portfolio.lock(order)
        if refusal is not None:
            return refusal
        refusal = self._router.create(order, now)
        if refusal is not None:
            self._portfolio.release(order)
            return refusal
        self._open[order.strategy][order.client_id] = order
        self._risk.order_opened(order)
        if order.expires is not None:
            self.follow_expiry(order, now)
        return None

    def follow_expiry(self, order: Order, now: Nanos) -> None:
        """End an order when its ``expire_s`` is over."""
        if order.expires is not None and order.type is not MARKET:
            # a replacement may expire while the old order is still being cancelled
            self.follow_ups.at(order, max(now, order.expires))

    def cancel(self, order: Order, now: Nanos) -> None:
        """Cancel an order, at most once. A queued order becomes final here. An order in flight to the exchange is
        cancelled once its exchange id is known.
        """
        if self._waiting and self.replacements.is_waiting(order):
            self.replacements.drop(order, now)
            return
        if order.state in FINAL_STATES or order.cancel_requested:
            return
        order.cancel_requested = True
        self._decide((CANCEL, now, order.client_id))
        if order.state is _QUEUED:
            if self._router.is_waiting(order):
                withdrawn = self._router.cancel(order, now)
                assert withdrawn is Withdrawal.WITHDRAWN, (order, withdrawn)
            # if it is no longer queued, its slot was granted in this turn, and `collect` will hold it back
            self.finish(order, OrderState.CANCELLED, now, "cancelled before it was sent")
        elif order.order_id:
            self._router.cancel(order, now)
        # an order without an exchange id is in flight, or its outcome is unknown: `_adopted` sends the cancel as soon
        # as the order has an id

    def replace(self, old: Order, new: Order, refusal: str | None, now: Nanos) -> Order:
        """Replace ``old`` with ``new``: immediately if ``old`` is still queued, otherwise when ``old`` is final."""
        refusal = refusal or self._gate.when_asked(new, old)
        if refusal is not None:
            return self.place(new, refusal, now)
        self._table.by_client_id[new.client_id] = new
        self._decide((INTENT, now, new.spec))
        refusal = self.replacements.replace(old, new, now)
        if refusal is not None:
            self.end_unsent(new, OrderState.REFUSED, now, refusal)
        return new

    def end_unsent(self, order: Order, state: OrderState, now: Nanos, reason: str) -> None:
        """Move an order that is neither queued nor sent to a final state."""
        order.move(state, now, reason)
        self._decide((STATE, now, order.client_id, order.state, order.reason))
        self._on_order(order)

    # -- requests that may leave now ------------------------------------------------------------------------------

    def collect(self, now: Nanos) -> list[Request]:
        """Collect the requests that have been granted slots, and mark their orders as being sent."""
        router = self._router
        requests = router.send_express(now) if router.express else []
        if router.queued or router.dropped or not requests:
            due = router.due(now)
            requests += due.requests
            for order in due.expired:
                self.finish(order, OrderState.EXPIRED, now, _PAST_DEADLINE)
            for dropped in due.dropped:
                unsent = Answer(request_id=dropped.ticket, outcome=Ending.NOT_SENT, text=dropped.reason)
                self._reads.answered(unsent, now)
        leaving: list[Request] = []
        orders = self._table.by_client_id
        for request in requests:
            if type(request) is CreateOrder:
                order = orders[request.order.client_id]
                if order.state is not _QUEUED or self._gate.when_granted(order) is not None:
                    self._hold_back(order, now)
                    self._router.answered(request.id, now, Ending.NOT_SENT)
                    continue
                order.state = _SENDING
                order.sent = order.updated = now
                self._creates[request.id] = (order,)
            elif type(request) is CancelOrder:
                own = orders.get(request.client_id)
                if own is not None:
                    self._cancels[request.id] = (own,)
            else:
                checked = self._checked_batch(request, now)
                if checked is None:
                    continue
                request = checked
            self._decide((REQUEST, now, request))
            leaving.append(request)
        if len(self._decisions.pending) >= BLOCK_LINES:
            self._decisions.flush()
        return leaving

    def _checked_batch(self, request: Request, now: Nanos) -> Request | None:
        """Check a batch again just before it is sent. Returns the part of the batch that may be sent, or None."""
        if type(request) is CreateBatch:
            orders = [self._table.by_client_id[spec.client_id] for spec in request.orders]
            leaving: list[Order] = []
            for order in orders:
                if order.state is not _QUEUED or self._gate.when_granted(order) is not None:
                    self._hold_back(order, now)
                else:
                    order.state = _SENDING
                    order.sent = order.updated = now
                    leaving.append(order)
            if not leaving:
                self._router.answered(request.id, now, Ending.NOT_SENT)
                return None
            self._creates[request.id] = tuple(leaving)
            if len(leaving) < len(orders):
                kept = tuple([order.spec for order in leaving])
                return CreateBatch(id=request.id, orders=kept, timestamp=request.timestamp)
        elif type(request) is CancelBatch:
            self._cancels[request.id] = tuple(self._table.by_client_id[c] for c in request.client_ids)
        return request

    def _hold_back(self, order: Order, now: Nanos) -> None:
        """Withhold an order although its slot was granted: it is already final, or a later event forbids sending it.
        For example, the outcome of another order in the pair may have become unknown.
        """
        if order.state is _QUEUED:
            self.finish(order, OrderState.NOT_SENT, now, self._gate.when_granted(order) or "")

    # -- messages from the exchange ----------------------------------------------------------------------------------

    def on_answer(self, answer: Answer, now: Nanos) -> None:
        """Process the response to a request that `collect` returned."""
        self._decide((ANSWER, now, answer.request_id, answer.outcome, answer.status))
        self._router.answered(answer.request_id, now, answer.outcome, responded=answer.status > 0)
        created = self._creates.pop(answer.request_id, None)
        if created is not None:
            body = answer.body
            if (
                type(body) is OrderAck
                and answer.outcome is _OK
                and len(created) == 1
                and body.client_id == created[0].client_id
            ):
                self._acknowledge(created[0], body.order_id, now)
            else:
                self._on_create_answer(created, answer, now)
            return
        cancelled = self._cancels.pop(answer.request_id, None)
        if cancelled is not None:
            # Neither a 200 nor a "not found" proves that an order was cancelled. Only a pushed final state, or a read a
            # second later, proves it.
            for order in cancelled:
                if order.state not in FINAL_STATES:
                    self.follow_ups.at(order, now + READ_AFTER)
            return
        self._reads.answered(answer, now)

    def _on_create_answer(self, orders: tuple[Order, ...], answer: Answer, now: Nanos) -> None:
        if answer.outcome is _OK:
            acks = answer.body if isinstance(answer.body, tuple) else (answer.body,)
            if len(acks) == len(orders) and all(_fits(a, o) for a, o in zip(acks, orders, strict=True)):
                for ack, order in zip(acks, orders, strict=True):
                    assert isinstance(ack, OrderAck)
                    self._acknowledge(order, ack.order_id, now)
                return
            # a different client id, or fewer rows than orders: no part of the response can be trusted
            answer = Answer(
                request_id=answer.request_id, outcome=Ending.UNKNOWN, text="the answer does not match the request"
            )
        for order in orders:
            if order.state is not _SENDING:
                # a pushed report arrived before this response and settled the order's outcome
                self._router.resolved(order.client_id, now)
                continue
            if answer.outcome is Ending.NOT_SENT:
                self.finish(order, OrderState.NOT_SENT, now, answer.text or "no byte of the request was sent")
            elif answer.outcome is Ending.UNKNOWN:
                order.move(_UNKNOWN, now, answer.text or "no answer")
                self._decide((STATE, now, order.client_id, order.state, order.reason))
                self._on_order(order)
                self.resolution.begin(order, now)
            else:
                order.reason = answer.text or f"status {answer.status}"
                self.resolution.confirm_rejection(order, now)

    def _acknowledge(self, order: Order, order_id: str, now: Nanos) -> None:
        if order.order_id:
            return  # a report arrived before this response
        self._table.by_order_id[order_id] = order
        order.order_id = order_id
        if order.state is _SENDING or order.state is _UNKNOWN:
            order.state = _UNTRIGGERED if order.type is STOP_LIMIT else _OPEN
            order.updated = now
            self._decide((STATE, now, order.client_id, order.state, order.reason))
            self._on_order(order)
        if self._parked_trades or order.cancel_requested or self.follow_ups.unread:
            self._adopted(order, now)

    def _adopted(self, order: Order, now: Nanos) -> None:
        """Handle an order that now has its exchange id: apply reports that arrived before the id, send a cancel that
        was waiting for the id, and follow up on an order that a comparison could not read.
        """
        for report in self._parked_trades.pop(order.order_id, ()):
            self.on_trade_report(report, now)
        if order.cancel_requested and order.state not in FINAL_STATES:
            self._router.cancel(order, now)
        if order.client_id in self.follow_ups.unread and order.state not in FINAL_STATES:
            self.follow_ups.at(order, now + READ_AFTER)

    def on_order_report(self, report: OrderReport, now: Nanos) -> None:
        """Process an order row, whether pushed or read."""
        assert report.state in REPORTED_STATES, f"{report.state.value} is not a state that an exchange reports"
        order = self._table.by_order_id.get(report.order_id)
        if order is None:
            order = self._match(report)
            if order is None:
                self._on_foreign(report)
                return
            self.adopt(order, report, now)
        # otherwise the report contains nothing new
        elif report.state is not order.state or report.executed_lots > order.executed_lots:
            self.apply(order, report, now)

    def _match(self, report: OrderReport) -> Order | None:
        """Return our in-flight order whose client id and other figures all match the report."""
        if report.client_id is None:
            return None
        order = self._table.by_client_id.get(report.client_id)
        if order is None or order.order_id or order.state not in _MAY_APPEAR:
            return None
        if not is_same_order(order, report) or is_too_old(order, report):
            return None  # somebody else's order, or an order from an earlier run, with the same client id
        return order

    def adopt(self, order: Order, report: OrderReport, now: Nanos) -> None:
        """Adopt an order, because a report shows that it exists at the exchange."""
        revived = order.state in FINAL_STATES
        self._table.by_order_id[report.order_id] = order
        order.order_id = report.order_id
        self.resolution.settled(order, now)
        if revived:
            # The order was presumed refused or absent, and its money was released. From now on it is live again.
            self._open[order.strategy][order.client_id] = order
            self._risk.order_opened(order)
            self._portfolio.relock(order)
            self._decisions.note("late_order", now, f"{order.client_id} was assumed {order.state.value}, but is live")
            # its strategy considers the order dead and may have placed another
            order.cancel_requested = True
        if order.state not in (OrderState.UNTRIGGERED, OrderState.OPEN, OrderState.PARTLY_FILLED):
            self._move(order, _UNTRIGGERED if report.state is _UNTRIGGERED else _OPEN, now)
        self._adopted(order, now)
        self.apply(order, report, now)

    def apply(self, order: Order, report: OrderReport, now: Nanos) -> None:
        """Process the row of an order that is known to be ours."""
        if order.state in FINAL_STATES:
            return
        behind = report.executed_lots > order.executed_lots
        if behind:
            self.follow_ups.shown(order, report.executed_lots, now)
        if report.state in FINAL_STATES:
            if behind:
                self._final_reports[order.client_id] = report
            else:
                # a final order stays final, even if the counts disagree
                if report.executed_lots < order.executed_lots:
                    self._decisions.note("mismatch", now, f"{order.client_id} final with {report.executed_lots}")
                self.finish(order, report.state, now)
            return
        state = report.state
        if state is not order.state and state in TRANSITIONS[order.state]:
            self._move(order, state, now)

    def on_trade_report(self, report: TradeReport, now: Nanos) -> None:
        """Process one execution from the account stream."""
        order = self._table.by_order_id.get(report.order_id)
        if order is None:
            if self._creates or self.resolution.is_busy:
                self._parked_trades.setdefault(report.order_id, []).append(report)
            else:
                self._parked_trades.clear()  # no create is in flight, so the parked reports are not about our orders
            return
        new = self._executions[order.client_id].take(report, listed=False)
        if new is None:
            return
        self._book(order, new, now)
        final = self._final_reports.get(order.client_id)
        if final is not None:
            self.apply(order, final, now)

    def _book(self, order: Order, report: TradeReport, now: Nanos) -> None:
        if order.state in FINAL_STATES:
            # The exchange reported the order as final before this execution arrived, but the execution's money must
            # still be booked.
            self._decisions.note("late_fill", now, f"{order.client_id} {report.lots}")
        self.booked += 1
        self.booked_at = now
        fill = self._portfolio.fill(order, report, now)
        if self._risk.has_rules:  # only rules need the number of unfilled lots
            self._risk.order_filled(order, report.lots)
        self._decide((FILL, now, fill))
        self._on_fill(fill)

    def on_listed_trades(self, order: Order, reports: tuple[TradeReport, ...], now: Nanos) -> None:
        """Process all executions that the exchange lists for an order, and book those that the stream missed."""
        executions = self._executions[order.client_id]
        for report in sorted(reports, key=lambda r: r.time):
            new = executions.take(report, listed=True)
            if new is not None:
                self._book(order, new, now)
        final = self._final_reports.get(order.client_id)
        if final is not None:
            self.apply(order, final, now)

    # -- following up ---------------------------------------------------------------------------------------------

    def expire(self, order: Order, now: Nanos) -> None:
        """End an order whose ``expire_s`` is over: at once if it is still queued, otherwise by a cancel."""
        if order.state is not _QUEUED:
            order.reason = "expired"
            self.cancel(order, now)
            return
        if self._router.is_waiting(order):
            self._router.cancel(order, now)
        self.finish(order, OrderState.EXPIRED, now, _PAST_DEADLINE)

    def is_unread(self, order: Order) -> bool:
        """Return True while an order's state is uncertain, because a read of it is pending or under way."""
        return self.follow_ups.is_unread(order) or self.resolution.awaits_first_look(order)

    def restore(self, order: Order, booked: Iterable[BookedExecution], now: Nanos) -> None:
        """Restore an order from an earlier run, with the executions booked there.

        If the create was in flight, the order's outcome is now unknown: the order is looked up and never sent again.
        Live orders lock their money again. Final orders are kept so that late reports are recognised.
        """
        self._table.by_client_id[order.client_id] = order
        self._executions[order.client_id].restore(booked)
        if order.order_id:
            self._table.by_order_id[order.order_id] = order
        if order.state in FINAL_STATES:
            return
        assert order.state in LIVE_STATES, order
        self._open[order.strategy][order.client_id] = order
        self._risk.order_opened(order)
        self._portfolio.relock(order)
        if order.state is _SENDING:
            self._move(order, _UNKNOWN, now)
            order.reason = "the bot ended before the answer arrived"
        if order.state is _UNKNOWN:
            self.resolution.begin(order, now)
            self.follow_expiry(order, now)
        elif order.cancel_requested or order.expires is not None:
            self.follow_ups.at(order, max(now, order.expires or now) if not order.cancel_requested else now)

    def let_go(self, order: Order, now: Nanos, reason: str) -> None:
        """Stop following an order that stays open at the exchange. Its later reports are those of a foreign order."""
        self.resolution.settled(order, now)
        if order.state not in FINAL_STATES:
            # only the journal keeps this state; here, it ends the reads of the order that are under way
            self.finish(order, OrderState.ABSENT, now, reason, is_left=True)
        self._table.drop(order)

    # -- states ---------------------------------------------------------------------------------------------------

    def _move(self, order: Order, state: OrderState, now: Nanos) -> None:
        order.move(state, now)
        self._decide((STATE, now, order.client_id, order.state, order.reason))
        self._on_order(order)

    def finish(self, order: Order, state: OrderState, now: Nanos, reason: str = "", *, is_left: bool = False) -> None:
        """Clean up after an order reaches a final state: release its money, stop waiting for its reports, and send the
        requests that were held until then. An order that ``is_left`` open at the exchange has not really ended, so
        nobody is told.
        """
        client_id = order.client_id
        assert is_left or state in TRANSITIONS[order.state], (
            f"{order!r}: {order.state.value} -> {state.value} is not a transition"
        )
        order.state, order.updated = state, now
        if reason:
            order.reason = reason
        self._portfolio.release(order)
        self._risk.order_closed(order)
        self._open[order.strategy].pop(client_id, None)
        self._final_reports.pop(client_id, None)
        self.follow_ups.forget(order)
        if is_left:
            return
        self._decide((STATE, now, client_id, order.state, order.reason))
        self._on_order(order)
        if client_id in self._waiting:
            self.replacements.old_is_final(order, now)


def _fits(ack: object, order: Order) -> bool:
    return isinstance(ack, OrderAck) and (ack.client_id is None or ack.client_id == order.client_id)
