"""The order desk: from a strategy's intent to an order's end, one order at a time, exactly once.

It owns every `Order`, moves it through the one table of states, locks and releases its money, and turns what the
exchange says (answers, order reports, trade reports, listings) into fills and states, whichever way and in whichever
order they arrive. What it must look up goes through the router like everything else.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from botkit.engine.decisions import DecisionLog
from botkit.engine.orders.executions import Executions
from botkit.engine.orders.matching_reports import is_same_order, is_too_old
from botkit.engine.orders.resolution import Resolution
from botkit.engine.router.router import Priority, Router, Withdrawal
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import Fill, OrderReport, TradeReport
from botkit.model.orders import (
    FINAL_STATES,
    LIVE_STATES,
    MARKET,
    STOP_LIMIT,
    TRANSITIONS,
    Order,
    OrderState,
)
from botkit.model.pairs import Pair
from botkit.model.requests import (
    Answer,
    CancelBatch,
    CancelOrder,
    CreateBatch,
    CreateOrder,
    GetOrder,
    ListTrades,
    OrderAck,
    Outcome,
    Request,
)

if TYPE_CHECKING:
    from botkit.engine.money.portfolio import Portfolio
    from botkit.engine.risk.review import RiskDesk

#: how long a cancel's or a fill's push may be late before the order is read (order protocol)
READ_AFTER: Nanos = 1 * NS_PER_S
#: the n-th read comes n times that after the one before, up to so many times
_READ_LATEST = 30
_PAST_DEADLINE = "waited in the queue past its deadline"

#: states of an order that left this machine, and of which the exchange's id is not known yet
_MAY_APPEAR = frozenset({OrderState.SENDING, OrderState.UNKNOWN, OrderState.REJECTED, OrderState.ABSENT})

# globals, since a member costs much more to read off its class (`botkit.model.orders`)
_QUEUED: Final = OrderState.QUEUED
_SENDING: Final = OrderState.SENDING
_UNKNOWN: Final = OrderState.UNKNOWN
_UNTRIGGERED: Final = OrderState.UNTRIGGERED
_OPEN: Final = OrderState.OPEN
_OK: Final = Outcome.OK


class OrderDesk:
    """Every order of the bot. Pure: it is told the time and hands back requests."""

    def __init__(
        self,
        *,
        portfolio: Portfolio,
        risk: RiskDesk,
        router: Router,
        decisions: DecisionLog,
        latest_accept_ns: Nanos,
        last_gate: Callable[[Order], str | None],
        on_order: Callable[[Order], None],
        on_fill: Callable[[Fill], None],
        on_foreign: Callable[[OrderReport], None],
    ) -> None:
        self.portfolio = portfolio
        self.risk = risk
        self.router = router
        self.decisions = decisions
        self._last_gate = last_gate
        self._on_order = on_order
        self._on_fill = on_fill
        self._on_foreign = on_foreign
        self.orders: dict[int, Order] = {}
        self._open: dict[str, dict[int, Order]] = {}
        self._by_order_id: dict[str, Order] = {}
        #: requests under way -> what to do with the answer
        self._pending: dict[int, Callable[[Answer, Nanos], None]] = {}
        #: create and cancel requests under way
        self._creates: dict[int, tuple[Order, ...]] = {}
        self._cancels: dict[int, tuple[Order, ...]] = {}
        #: a replacement waits until the order it replaces is final: old client id -> (new order, executed at the call)
        self._replacements: dict[int, tuple[Order, int]] = {}
        #: reports that overtook the answer which would have told whose they are
        self._parked_trades: dict[str, list[TradeReport]] = {}
        #: executions seen, per order, to drop repeats
        self._executions: dict[int, Executions] = {}
        #: a final status whose executions have not all arrived: client id -> report
        self._final_reports: dict[int, OrderReport] = {}
        #: executed according to a report, while the executions themselves have not arrived
        self._behind: dict[int, int] = {}
        self._follow_ups: list[tuple[Nanos, int, int]] = []
        self._reading: set[int] = set()
        #: how often an order was read in vain: client id -> count
        self._reads: dict[int, int] = {}
        #: what somebody wants called at a time: (due, order of asking, function of the time)
        self._later: list[tuple[Nanos, int, Callable[[Nanos], None]]] = []
        self._sequence = 0
        #: executions that were booked since the start
        self.booked = 0
        self.resolution = Resolution(self, latest_accept_ns=latest_accept_ns)

    # -- what strategies ask --------------------------------------------------------------------------------------

    def place(self, order: Order, refusal: str | None, now: Nanos) -> Order:
        """Take an intent in: lock its money, ask risk, queue it. A refusal ends it at once, in state REFUSED."""
        self.orders[order.client_id] = order
        self.decisions.intent(order, now)
        if refusal is None:
            refusal = self._admit(order, now)
        if refusal is not None:
            order.move(OrderState.REFUSED, now, refusal)
            self.decisions.state(order, now)
            self._on_order(order)
        return order

    def _admit(self, order: Order, now: Nanos) -> str | None:
        blocked = self.resolution.blocks(order)
        if blocked is not None:
            return blocked
        refusal = self.risk.review(order, now)
        if refusal is None:
            refusal = self.portfolio.lock(order)
        if refusal is None:
            refusal = self.router.create(order, now)
            if refusal is not None:
                self.portfolio.release(order)
        if refusal is None:
            self._track(order, now)
        return refusal

    def _track(self, order: Order, now: Nanos) -> None:
        self._open.setdefault(order.strategy, {})[order.client_id] = order
        self.risk.order_opened(order)
        if order.expires is not None and order.type is not MARKET:
            # the time of a replacement may have run out while the old order ended
            self._follow(order, max(now, order.expires))

    def cancel(self, order: Order, now: Nanos) -> None:
        """Ask for an order's end, once. One that waits ends here; one on its way is cancelled when it is known."""
        if order.client_id in self._waiting_replacements:
            self._drop_replacement(order, OrderState.CANCELLED, now, "cancelled before it was sent")
            return
        if order.state in FINAL_STATES or order.cancel_requested:
            return
        order.cancel_requested = True
        self.decisions.cancel(order, now)
        if order.state is _QUEUED:
            if self.router.is_waiting(order):
                withdrawn = self.router.cancel(order, now)
                assert withdrawn is Withdrawal.WITHDRAWN, (order, withdrawn)
            # else its slot was granted in this very turn, and `_may_leave` will not let it go
            self._finish(order, OrderState.CANCELLED, now, "cancelled before it was sent")
        elif order.order_id:
            self.router.cancel(order, now)
        # else it is on its way or of unknown outcome: `_adopt` sends the cancel as soon as it has an exchange id

    @property
    def _waiting_replacements(self) -> dict[int, int]:
        return {new.client_id: old for old, (new, _) in self._replacements.items()}

    def replace(self, old: Order, new: Order, now: Nanos) -> Order:
        """``new`` in the place of ``old``: at once while ``old`` waits, else when ``old`` is final."""
        self.orders[new.client_id] = new
        self.decisions.intent(new, now)
        if old.state is _QUEUED and old.client_id not in self._waiting_replacements:
            # The old one's money pays for the new one, so release first; nothing else happens in between.
            self.portfolio.release(old)
            self.risk.order_closed(old)
            refusal = self.resolution.blocks(new) or self.risk.review(new) or self.portfolio.lock(new)
            if refusal is None:
                replaced = self.router.replace_waiting(old, new, now)
                assert replaced, old
                self._open[old.strategy].pop(old.client_id, None)
                old.move(OrderState.CANCELLED, now, "replaced before it was sent")
                self.decisions.state(old, now)
                self._on_order(old)
                self._track(new, now)
                return new
            relocked = self.portfolio.lock(old)
            assert relocked is None, relocked
            self.risk.order_opened(old)
        elif old.state in FINAL_STATES:
            refusal = f"the order to replace is {old.state.value}"
        else:
            self._replace_later(old, new, now)
            return new
        new.move(OrderState.REFUSED, now, refusal)
        self.decisions.state(new, now)
        self._on_order(new)
        return new

    def _replace_later(self, old: Order, new: Order, now: Nanos) -> None:
        # ``old`` may itself be a replacement that waits, or have one: the newest takes the place of either
        rested = self.orders[self._waiting_replacements.get(old.client_id, old.client_id)]
        waiting = self._replacements.pop(rested.client_id, None)
        if waiting is not None:
            self._open[new.strategy].pop(waiting[0].client_id, None)
            self._end_unsent(waiting[0], OrderState.CANCELLED, now, "replaced before it was sent")
        self._replacements[rested.client_id] = (new, rested.executed_lots)
        self._open.setdefault(new.strategy, {})[new.client_id] = new
        self.cancel(rested, now)

    def _send_replacement(self, old: Order, now: Nanos) -> None:
        new, executed_before = self._replacements.pop(old.client_id)
        self._open[new.strategy].pop(new.client_id, None)
        filled_since = old.executed_lots - executed_before
        new.amount_lots = max(0, new.amount_lots - filled_since)
        if old.state is OrderState.FILLED or new.amount_lots < new.pair.rules.least_lots:
            reason = (
                "the order to replace was filled"
                if old.state is OrderState.FILLED
                else "what is left is below the minimum"
            )
            self._end_unsent(new, OrderState.CANCELLED, now, reason)
            return
        refusal = self._admit(new, now)
        if refusal is not None:
            self._end_unsent(new, OrderState.REFUSED, now, refusal)

    def _drop_replacement(self, new: Order, state: OrderState, now: Nanos, reason: str) -> None:
        del self._replacements[self._waiting_replacements[new.client_id]]
        self._open[new.strategy].pop(new.client_id, None)
        self._end_unsent(new, state, now, reason)

    def _end_unsent(self, order: Order, state: OrderState, now: Nanos, reason: str) -> None:
        order.move(state, now, reason)
        self.decisions.state(order, now)
        self._on_order(order)

    def open_orders(self, strategy: str, pair: Pair | None = None) -> list[Order]:
        """A strategy's orders that are not final, oldest first: queued and unknown ones included."""
        mine = self._open.get(strategy)
        if not mine:
            return []
        if pair is None:
            return list(mine.values())
        return [order for order in mine.values() if order.pair == pair]

    def all_open(self) -> list[Order]:
        """Every order that is not final, strategy by strategy."""
        return [order for orders in self._open.values() for order in orders.values()]

    @property
    def has_live(self) -> bool:
        """True while an order is, or may be, at the exchange."""
        for orders in self._open.values():
            for order in orders.values():
                if order.state in LIVE_STATES:
                    return True
        return False

    # -- what may leave now ---------------------------------------------------------------------------------------

    def collect(self, now: Nanos) -> list[Request]:
        """Requests whose slots are granted: the orders in them are on their way from here on."""
        due = self.router.due(now)
        for order in due.expired:
            self._finish(order, OrderState.EXPIRED, now, _PAST_DEADLINE)
        for dropped in due.dropped:
            handler = self._pending.pop(dropped.ticket, None)
            if handler is not None:
                handler(Answer(request_id=dropped.ticket, outcome=Outcome.NOT_SENT, text=dropped.reason), now)
        if not due.requests:
            return []
        leaving: list[Request] = []
        for request in due.requests:
            checked = self._gate(request, now)
            if checked is not None:
                self.decisions.request(checked, now)
                leaving.append(checked)
        return leaving

    def _gate(self, request: Request, now: Nanos) -> Request | None:
        """The last check before the socket. Returns what may be sent of the request, or None."""
        if type(request) is CreateOrder:
            order = self.orders[request.order.client_id]
            if not self._may_leave(order, now):
                self.router.answered(request.id, now, Outcome.NOT_SENT)
                return None
            self._creates[request.id] = (order,)
        elif type(request) is CreateBatch:
            kept = tuple(o for o in request.orders if self._may_leave(self.orders[o.client_id], now))
            if not kept:
                self.router.answered(request.id, now, Outcome.NOT_SENT)
                return None
            self._creates[request.id] = tuple(self.orders[o.client_id] for o in kept)
            if len(kept) < len(request.orders):
                return CreateBatch(id=request.id, orders=kept, timestamp=request.timestamp)
        elif type(request) is CancelOrder:
            self._cancels[request.id] = (self.orders[request.client_id],)
        elif type(request) is CancelBatch:
            self._cancels[request.id] = tuple(self.orders[c] for c in request.client_ids)
        return request

    def _may_leave(self, order: Order, now: Nanos) -> bool:
        if order.state is not _QUEUED:
            return False
        # what waited while another order of the pair became unknown must not join it there
        refusal = self.resolution.blocks(order) or self._last_gate(order)
        if refusal is not None:
            self._finish(order, OrderState.NOT_SENT, now, refusal)
            return False
        order.move(_SENDING, now)
        order.sent = now
        return True

    def read(
        self,
        make: Callable[[int], Request],
        on_answer: Callable[[Answer, Nanos], None],
        *,
        endpoint: str,
        owner: str,
        now: Nanos,
        priority: Priority = Priority.PRIVATE_READ,
        urgent: bool = True,
    ) -> None:
        """Queue a read; ``on_answer`` gets its answer, whatever it is: NOT_SENT where the queue had no room for it.

        Reads of the order protocol decide whether money is free and whether an order lives, so they are urgent; what
        nobody waits for is not.
        """
        ticket = self.router.read(make, endpoint=endpoint, owner=owner, priority=priority, now=now, urgent=urgent)
        self._pending[ticket] = on_answer

    # -- what the exchange says -----------------------------------------------------------------------------------

    def on_answer(self, answer: Answer, now: Nanos) -> None:
        """An answer to any request that `collect` returned."""
        self.decisions.answer(answer, now)
        self.router.answered(answer.request_id, now, answer.outcome)
        created = self._creates.pop(answer.request_id, None)
        if created is not None:
            self._on_create_answer(created, answer, now)
            return
        cancelled = self._cancels.pop(answer.request_id, None)
        if cancelled is not None:
            # Neither a 200 nor a "not found" is final: the push of the final state is, or a read after a second.
            for order in cancelled:
                if order.state not in FINAL_STATES:
                    self._follow(order, now + READ_AFTER)
            return
        handler = self._pending.pop(answer.request_id, None)
        if handler is not None:
            handler(answer, now)

    def _on_create_answer(self, orders: tuple[Order, ...], answer: Answer, now: Nanos) -> None:
        if answer.outcome is _OK:
            body = answer.body
            if len(orders) == 1 and isinstance(body, OrderAck) and _fits(body, orders[0]):
                self._acknowledge(orders[0], body.order_id, now)
                return
            acks = answer.body if isinstance(answer.body, tuple) else (answer.body,)
            if len(acks) == len(orders) and all(_fits(a, o) for a, o in zip(acks, orders, strict=True)):
                for ack, order in zip(acks, orders, strict=True):
                    assert isinstance(ack, OrderAck)
                    self._acknowledge(order, ack.order_id, now)
                return
            # another client id, or fewer rows than orders: nothing in it can be trusted
            answer = Answer(request_id=answer.request_id, outcome=Outcome.UNKNOWN, text="the answer does not fit")
        for order in orders:
            if order.state is not _SENDING:
                # a push was faster and has told what became of it
                self.router.resolved(order.client_id, now)
                continue
            if answer.outcome is Outcome.NOT_SENT:
                self._finish(order, OrderState.NOT_SENT, now, answer.text or "no byte of it was sent")
            elif answer.outcome is Outcome.UNKNOWN:
                order.move(_UNKNOWN, now, answer.text or "no answer")
                self.decisions.state(order, now)
                self._on_order(order)
                self.resolution.begin(order, now)
            else:
                order.reason = answer.text or f"status {answer.status}"
                self.resolution.confirm_rejection(order, now)

    def _acknowledge(self, order: Order, order_id: str, now: Nanos) -> None:
        if order.order_id:
            return  # a report was faster
        self._by_order_id[order_id] = order
        order.order_id = order_id
        if order.state in (_SENDING, _UNKNOWN):
            state = _UNTRIGGERED if order.type is STOP_LIMIT else _OPEN
            self._move(order, state, now)
        self._adopted(order, now)

    def _adopted(self, order: Order, now: Nanos) -> None:
        """An order has got its exchange id: apply what came too early, send the cancel that had to wait."""
        for report in self._parked_trades.pop(order.order_id, ()):
            self.on_trade_report(report, now)
        if order.cancel_requested and order.state not in FINAL_STATES:
            self.router.cancel(order, now)

    def on_order_report(self, report: OrderReport, now: Nanos) -> None:
        """The exchange's row of an order: pushed, or read."""
        order = self._by_order_id.get(report.order_id)
        if order is None:
            order = self._match(report)
            if order is None:
                self._on_foreign(report)
                return
            self.adopt(order, report, now)
            return
        self._apply(order, report, now)

    def _match(self, report: OrderReport) -> Order | None:
        """An order of ours on its way that the report can only be, by client id and everything else it says."""
        if report.client_id is None:
            return None
        order = self.orders.get(report.client_id)
        if order is None or order.order_id or order.state not in _MAY_APPEAR:
            return None
        if not is_same_order(order, report) or is_too_old(order, report):
            return None  # somebody else's, or one of an earlier run, under the same label
        return order

    def adopt(self, order: Order, report: OrderReport, now: Nanos) -> None:
        """The report shows that the order exists at the exchange."""
        revived = order.state in FINAL_STATES
        self._by_order_id[report.order_id] = order
        order.order_id = report.order_id
        self.resolution.settled(order, now)
        if revived:
            # It was taken for refused or absent, and its money given back: it counts again from here.
            self._open.setdefault(order.strategy, {})[order.client_id] = order
            self.risk.order_opened(order)
            self.portfolio.relock(order)
            self.decisions.note("late_order", now, f"{order.client_id} was taken for {order.state.value}, but lives")
            # nobody counts on it any more: its strategy was told that it is dead, and may have placed another
            order.cancel_requested = True
        if order.state not in (OrderState.UNTRIGGERED, OrderState.OPEN, OrderState.PARTLY_FILLED):
            self._move(order, _UNTRIGGERED if report.state is _UNTRIGGERED else _OPEN, now)
        self._adopted(order, now)
        self._apply(order, report, now)

    def _apply(self, order: Order, report: OrderReport, now: Nanos) -> None:
        if order.state in FINAL_STATES:
            return
        behind = report.executed_lots > order.executed_lots
        if behind and report.executed_lots > self._behind.get(order.client_id, 0):
            # Its executions come apart from it. If they have not come after a second they are read.
            self._behind[order.client_id] = report.executed_lots
            self._follow(order, now + READ_AFTER)
        if report.state in FINAL_STATES:
            if behind:
                self._final_reports[order.client_id] = report
            else:
                if report.executed_lots < order.executed_lots:  # final is final; but somebody has miscounted
                    self.decisions.note("mismatch", now, f"{order.client_id} final with {report.executed_lots}")
                self._finish(order, report.state, now)
            return
        state = report.state
        if state is not order.state and state in TRANSITIONS[order.state]:
            self._move(order, state, now)

    def is_known(self, order_id: str) -> bool:
        """True when the exchange's order id belongs to an order of ours."""
        return order_id in self._by_order_id

    def on_trade_report(self, report: TradeReport, now: Nanos) -> None:
        """One execution, from the account's stream."""
        order = self._by_order_id.get(report.order_id)
        if order is None:
            if self._creates or self.resolution.is_busy:
                self._parked_trades.setdefault(report.order_id, []).append(report)
            else:
                self._parked_trades.clear()  # nothing is on its way, so those that were kept were not ours either
            return
        if not self._executions_of(order).is_new(report, listed=False):
            return
        self._book(order, report, now)
        final = self._final_reports.get(order.client_id)
        if final is not None:
            self._apply(order, final, now)

    def _executions_of(self, order: Order) -> Executions:
        found = self._executions.get(order.client_id)
        if found is None:
            found = self._executions[order.client_id] = Executions()
        return found

    def _book(self, order: Order, report: TradeReport, now: Nanos) -> None:
        if order.state in FINAL_STATES:
            # The exchange said final, and yet there is one more execution: its money must be counted all the same.
            self.decisions.note("late_fill", now, f"{order.client_id} {report.lots}")
        self.booked += 1
        fill = self.portfolio.fill(order, report, now)
        self.risk.order_filled(order, report.lots)
        self.decisions.fill(fill, now)
        self._on_fill(fill)

    def on_listed_trades(self, order: Order, reports: tuple[TradeReport, ...], now: Nanos) -> None:
        """All executions of an order as the exchange lists them: book those that the stream did not bring."""
        executions = self._executions_of(order)
        for report in sorted(reports, key=lambda r: r.time):
            if executions.is_new(report, listed=True):
                self._book(order, report, now)
        final = self._final_reports.get(order.client_id)
        if final is not None:
            self._apply(order, final, now)

    # -- following up ---------------------------------------------------------------------------------------------

    def next_check(self) -> Nanos | None:
        """When `check` has something to do."""
        first = self._follow_ups[0][0] if self._follow_ups else None
        if self._later and (first is None or self._later[0][0] < first):
            first = self._later[0][0]
        second = self.resolution.next_check()
        if first is None or (second is not None and second < first):
            return second
        return first

    def check(self, now: Nanos) -> None:
        """Read what should have been pushed by now, and cancel what has outlived its ``expire_s``."""
        while self._follow_ups and self._follow_ups[0][0] <= now:
            _, _, client_id = heapq.heappop(self._follow_ups)
            order = self.orders[client_id]
            if order.state in FINAL_STATES:
                continue
            if order.expires is not None and now >= order.expires and not order.cancel_requested:
                if order.state is _QUEUED:
                    self._expire(order, now)
                else:
                    order.reason = "expired"
                    self.cancel(order, now)
            elif order.order_id and (order.cancel_requested or self._behind.get(client_id, 0) > order.executed_lots):
                self._read_order(order, now)
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)[2](now)
        self.resolution.check(now)

    def later(self, due: Nanos, call: Callable[[Nanos], None]) -> None:
        """Call a function at its time, with the time."""
        self._sequence += 1
        heapq.heappush(self._later, (due, self._sequence, call))

    @property
    def being_read(self) -> frozenset[int]:
        """Client ids of the orders that are being read just now."""
        return frozenset(self._reading)

    def _expire(self, order: Order, now: Nanos) -> None:
        if self.router.is_waiting(order):
            self.router.cancel(order, now)
        self._finish(order, OrderState.EXPIRED, now, _PAST_DEADLINE)

    def restore(self, order: Order, executed: Iterable[tuple[int, int]], now: Nanos) -> None:
        """Take over an order of an earlier run with the (ticks, lots) of its booked executions.

        One whose create was on its way is of unknown outcome now: it is looked up, and never sent again. The money of
        live ones is locked anew; final ones are kept to recognise late arrivals.
        """
        self.orders[order.client_id] = order
        self._executions_of(order).restore(executed)
        if order.order_id:
            self._by_order_id[order.order_id] = order
        if order.state in FINAL_STATES:
            return
        assert order.state in LIVE_STATES, order
        self._open.setdefault(order.strategy, {})[order.client_id] = order
        self.risk.order_opened(order)
        self.portfolio.relock(order)
        if order.state is _SENDING:
            self._move(order, _UNKNOWN, now)
            order.reason = "the bot ended before the answer came"
        if order.state is _UNKNOWN:
            self.resolution.begin(order, now)
        elif order.cancel_requested or order.expires is not None:
            self._follow(order, max(now, order.expires or now) if not order.cancel_requested else now)

    def look_at(self, order: Order, now: Nanos) -> None:
        """Read an order, and its executions where it shows some that are not booked."""
        if order.order_id and order.state not in FINAL_STATES:
            self._read_order(order, now)

    def forget_before(self, time: Nanos) -> int:
        """Drop orders that were final before ``time``, so that a bot may run for months; how many went.

        Those that ended before they were sent go at once: nothing can be heard of them, and a strategy that keeps
        asking while the bot is halted makes them by the thousand.
        """
        old = [
            client_id
            for client_id, order in self.orders.items()
            if order.state in FINAL_STATES and (order.updated < time or not order.sent)
        ]
        for client_id in old:
            order = self.orders.pop(client_id)
            self._by_order_id.pop(order.order_id, None)
            self._executions.pop(client_id, None)
        return len(old)

    def _follow(self, order: Order, due: Nanos) -> None:
        self._sequence += 1
        heapq.heappush(self._follow_ups, (due, self._sequence, order.client_id))

    def _read_order(self, order: Order, now: Nanos) -> None:
        if order.client_id in self._reading:
            return
        self._reading.add(order.client_id)
        pair, order_id = order.pair, order.order_id

        def on_order(answer: Answer, at: Nanos) -> None:
            self._reading.discard(order.client_id)
            if order.state in FINAL_STATES:
                return
            if answer.outcome is Outcome.OK and isinstance(answer.body, tuple) and answer.body:
                report = answer.body[0]
                assert isinstance(report, OrderReport)
                self._apply(order, report, at)
                if order.state in FINAL_STATES:
                    return
                if report.executed_lots > order.executed_lots:
                    self._read_trades(order, at)
                    return
                if order.cancel_requested and report.state not in FINAL_STATES:
                    self.router.cancel(order, at)  # still alive after its cancel: ask again
                    return
                return
            self._read_again(order, at)

        self.read(
            lambda i: GetOrder(id=i, pair=pair, order_id=order_id),
            on_order,
            endpoint=GetOrder.endpoint,
            owner=order.strategy,
            now=now,
        )

    def _read_again(self, order: Order, now: Nanos) -> None:
        """Look once more, after a second and then ever later: what a listing does not show costs no more than that."""
        count = self._reads[order.client_id] = self._reads.get(order.client_id, 0) + 1
        self._follow(order, now + READ_AFTER * min(count, _READ_LATEST))

    def _read_trades(self, order: Order, now: Nanos) -> None:
        pair, order_id = order.pair, order.order_id
        self._reading.add(order.client_id)

        def on_trades(answer: Answer, at: Nanos) -> None:
            self._reading.discard(order.client_id)
            if answer.outcome is Outcome.OK and isinstance(answer.body, tuple):
                self.on_listed_trades(order, answer.body, at)  # type: ignore[arg-type]
            if order.state not in FINAL_STATES:
                self._read_again(order, at)

        self.read(
            lambda i: ListTrades(id=i, pair=pair, order_id=order_id, limit=1000),
            on_trades,
            endpoint=ListTrades.endpoint,
            owner=order.strategy,
            now=now,
        )

    # -- states ---------------------------------------------------------------------------------------------------

    def _move(self, order: Order, state: OrderState, now: Nanos) -> None:
        order.move(state, now)
        self.decisions.state(order, now)
        self._on_order(order)

    def finish(self, order: Order, state: OrderState, now: Nanos, reason: str = "") -> None:
        """End an order for the resolution: REJECTED or ABSENT."""
        self._finish(order, state, now, reason)

    def _finish(self, order: Order, state: OrderState, now: Nanos, reason: str = "") -> None:
        order.move(state, now, reason)
        self.portfolio.release(order)
        self.risk.order_closed(order)
        self._open[order.strategy].pop(order.client_id, None)
        self._final_reports.pop(order.client_id, None)
        self._behind.pop(order.client_id, None)
        self._reads.pop(order.client_id, None)
        self.decisions.state(order, now)
        self._on_order(order)
        if order.client_id in self._replacements:
            self._send_replacement(order, now)


def _fits(ack: object, order: Order) -> bool:
    return isinstance(ack, OrderAck) and (ack.client_id is None or ack.client_id == order.client_id)
