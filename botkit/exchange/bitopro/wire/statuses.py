"""BitoPro's order status codes (API documentation, order model) and their meanings. Code 5 is not documented."""

from __future__ import annotations

from typing import Final

from botkit.model.orders import OrderState

#: "completed with partial deal": cancelled after a partial execution
_PARTLY_CANCELLED: Final = 3

STATUS_STATES: Final[dict[int, OrderState]] = {
    -1: OrderState.UNTRIGGERED,
    0: OrderState.OPEN,
    1: OrderState.PARTLY_FILLED,
    2: OrderState.FILLED,
    _PARTLY_CANCELLED: OrderState.CANCELLED,
    4: OrderState.CANCELLED,
    6: OrderState.POST_ONLY_CANCELLED,
}
# two codes mean a cancelled order; the reverse mapping keeps the later code, which means that nothing was executed
_STATUSES: Final = {state: status for status, state in STATUS_STATES.items()}


def status_of(state: OrderState, executed_lots: int) -> int:
    """Return BitoPro's status code for an order in ``state`` with ``executed_lots`` executed."""
    if state is OrderState.CANCELLED and executed_lots:
        return _PARTLY_CANCELLED
    return _STATUSES[state]
