"""Delays notifications of an execution until the order's state agrees with its executions.

An execution, the order's new state and the balances arrive separately: in several frames on the wire, and one match may
have many executions. Money is booked immediately. Notifications wait until the order's state and its executions agree,
so a strategy never acts on a partially reported match. After a second, they are delivered in any case, and an order
whose new state has not come is read: its report may be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from botkit.engine.agenda import Agenda, BotClock
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import Fill
from botkit.model.orders import FINAL_STATES, Order, OrderState

#: maximum wait for the rest of a match
PATIENCE: Nanos = 1 * NS_PER_S

_PARTLY_FILLED = OrderState.PARTLY_FILLED
#: notifies a strategy of an order's executions and state changes; a state change is passed as the order itself
Tell = Callable[[Order, Sequence[Order | Fill]], None]


class Agreement:
    """Holds back notifications per order. ``shown`` maps each client id to the number of lots reported as executed, and
    ``look_at`` reads an order whose state is overdue.
    """

    def __init__(
        self,
        *,
        clock: BotClock,
        agenda: Agenda,
        shown: Mapping[int, int],
        tell: Tell,
        look_at: Callable[[Order, Nanos], None],
    ) -> None:
        self._clock = clock
        self._shown = shown
        self._tell = tell
        self._look_at = look_at
        #: client id -> (the order, deadline, notifications not delivered to its strategy yet)
        self.held: dict[int, tuple[Order, Nanos, list[Order | Fill]]] = {}
        #: True if `settle` must be called at the end of the turn
        self.is_unsettled = False
        self._slot = agenda.slot("agreement", self._next, self._give_up)

    def tell(self, order: Order, event: Order | Fill) -> None:
        """Notify the strategy now, or later when the order's state and executions agree."""
        client_id, executed, state = order.client_id, order.executed_lots, order.state
        agrees = self._shown.get(client_id, 0) <= executed and (
            not executed
            or state in FINAL_STATES
            or (state is _PARTLY_FILLED and (executed < order.amount_lots or not order.amount_lots))
        )
        held = self.held.get(client_id)
        if held is not None:
            held[2].append(event)
            if agrees:
                del self.held[client_id]
                self.is_unsettled = bool(self.held) or self._slot.due is not None
                self._tell(order, held[2])
        elif agrees:
            self._tell(order, (event,))
        else:
            self.held[client_id] = (order, self._clock.now + PATIENCE, [event])
            self.is_unsettled = True

    def settle(self) -> None:
        """Schedule a wake-up for notifications that are still held at the end of the turn. Usually there are none,
        because a match and the order's state nearly always arrive in one input.
        """
        self.is_unsettled = False
        due = self._next()
        if due != self._slot.due:
            self._slot.set(due)

    def _next(self) -> Nanos | None:
        # all notifications are held for the same duration, so the first one held is released first
        return next(iter(self.held.values()))[1] if self.held else None

    def _give_up(self, now: Nanos) -> None:
        for client_id in [client_id for client_id, (_, until, _) in self.held.items() if until <= now]:
            order, _, events = self.held.pop(client_id)
            self.is_unsettled = True
            self._tell(order, events)
            if self._shown.get(client_id, 0) <= order.executed_lots:  # otherwise its executions are what is missing
                self._look_at(order, now)
