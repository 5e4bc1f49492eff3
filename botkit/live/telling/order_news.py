"""What the user hears of single orders: those in doubt, and those that the exchange or the bot did not take."""

from __future__ import annotations

import re
from collections.abc import Callable

from botkit.model.clock import NS_PER_MINUTE, Nanos
from botkit.model.orders import Order, OrderState

#: the same reason is told once in so long: an exchange that is closed rejects every order alike
_REPEATED_AFTER: Nanos = 10 * NS_PER_MINUTE
_REASONS_MAX = 1_000
_GIVEN_UP_MAX = 10_000
_DIGITS = re.compile(r"\d+")


class OrderNews:
    """Watches orders change. ``tell(level, text)`` reaches the user."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        self._in_doubt: set[int] = set()
        #: orders that are taken for dead by what was read, the latest ones
        self._given_up: dict[int, str] = {}
        self._told: dict[tuple[str, str, str], Nanos] = {}

    def changed(self, order: Order, state: OrderState) -> None:
        """An order went to a state."""
        if state is OrderState.UNKNOWN:
            self._in_doubt.add(order.client_id)
            self._tell(
                "warning",
                f"{order!r} is of unknown outcome; {order.pair} waits for it: it is looked up until it is found or "
                "proved absent, and never sent again",
            )
            return
        given_up = self._given_up.pop(order.client_id, None)
        if given_up is not None:
            self._tell(
                "error",
                f"{order!r} was taken for {given_up}, but lives at the exchange: it counts again and is cancelled. "
                "Requests are acted on later than `live: {latest_accept_s}` says; raise it",
            )
        elif order.client_id in self._in_doubt:
            self._in_doubt.discard(order.client_id)
            self._tell("info", f"{order!r}: its outcome is known now")
        elif state is OrderState.REJECTED:
            self._ended(order, "was rejected by the exchange")
        elif state is OrderState.NOT_SENT:
            self._ended(order, "was not sent")
        if state in (OrderState.ABSENT, OrderState.REJECTED):
            if len(self._given_up) >= _GIVEN_UP_MAX:
                del self._given_up[next(iter(self._given_up))]
            self._given_up[order.client_id] = state.value

    def _ended(self, order: Order, what: str) -> None:
        reason = order.reason.removeprefix("not sent: ")
        key = (what, str(order.pair), _DIGITS.sub("", reason))
        before = self._told.get(key)
        if before is not None and order.updated - before < _REPEATED_AFTER:
            return
        if len(self._told) >= _REASONS_MAX:
            self._told.clear()
        self._told[key] = order.updated
        self._tell(
            "warning",
            f"{order.strategy}'s {order.side.value} of {order.pair}, order {order.client_id}, {what}: {reason}; "
            "its money is free again, and more of the same reason are not told of for ten minutes",
        )
