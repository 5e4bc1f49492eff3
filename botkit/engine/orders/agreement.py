"""Notifies strategies of an execution once the order's state agrees with it.

An execution, the order's new state and the balances arrive separately: in several frames on the wire, and one match may
have many parts. Money counts at once; notifications wait until the order's state and its executions agree, so that a
strategy never acts on half of a match. After a second they are delivered anyway.
"""

from __future__ import annotations

from collections.abc import Callable

from botkit.engine.agenda import Agenda, BotClock
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.orders import FINAL_STATES, Order, OrderState

#: how long to wait for the rest of a match
PATIENCE: Nanos = 1 * NS_PER_S

_PARTLY_FILLED = OrderState.PARTLY_FILLED
Tell = Callable[[], None]


class Agreement:
    """Holds back notifications per order. ``missing(order)`` is the number of lots reported as executed whose
    executions have not arrived.
    """

    def __init__(self, *, clock: BotClock, agenda: Agenda, missing: Callable[[Order], int]) -> None:
        self._clock = clock
        self._missing = missing
        #: client id -> (the order, deadline, pending notifications)
        self._held: dict[int, tuple[Order, Nanos, list[Tell]]] = {}
        self._slot = agenda.slot("agreement", self._next, self._give_up)

    def tell(self, order: Order, tell: Tell) -> None:
        """Notify now, or when the order's state and executions agree."""
        held = self._held.get(order.client_id)
        if held is None:
            if self._agrees(order):
                tell()
                return
            self._held[order.client_id] = (order, self._clock.now + PATIENCE, [tell])
            self._slot.changed()
            return
        held[2].append(tell)
        if self._agrees(order):
            self._release(order.client_id)

    def _agrees(self, order: Order) -> bool:
        executed = order.executed_lots
        if self._missing(order):
            return False
        if not executed or order.state in FINAL_STATES:
            return True
        return order.state is _PARTLY_FILLED and (executed < order.amount_lots or not order.amount_lots)

    def _release(self, client_id: int) -> None:
        _, _, waiting = self._held.pop(client_id)
        self._slot.changed()
        for tell in waiting:
            tell()

    def _next(self) -> Nanos | None:
        return min((until for _, until, _ in self._held.values()), default=None)

    def _give_up(self, now: Nanos) -> None:
        for client_id in [client_id for client_id, (_, until, _) in self._held.items() if until <= now]:
            self._release(client_id)
