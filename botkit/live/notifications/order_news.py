"""Reports individual orders: orders whose outcome is unknown, orders rejected by the exchange, and orders that were not
sent.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable

from botkit.live.notifications.summary import order_text
from botkit.model.clock import NS_PER_MINUTE, Nanos
from botkit.model.money import format_scaled, format_units
from botkit.model.orders import Order, OrderState

log = logging.getLogger("botkit.live")

#: the interval between reports with a given reason; a closed exchange rejects every order for the same reason
_REPEATED_AFTER: Nanos = 10 * NS_PER_MINUTE
_REASONS_MAX = 1_000
_GIVEN_UP_MAX = 10_000
#: an unknown outcome that is resolved sooner is not reported
PATIENCE_S = 5.0
_COUNT_EVERY_S = 600.0
_DIGITS = re.compile(r"\d+")


class OrderNews:
    """Watches orders for changes. ``tell(level, text)`` notifies the user.

    An order whose outcome is unknown is reported after `PATIENCE_S` seconds of machine time. Orders that are resolved
    earlier are only counted, because a bad connection can cause two of these orders per second. The count is reported
    periodically.
    """

    def __init__(self, tell: Callable[[str, str], None], *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """``loop`` is the event loop used for waiting. The default is the running loop."""
        self._tell = tell
        self._loop = loop
        #: orders whose outcome is unknown, each with the event-loop time at which it became unknown
        self._in_doubt: dict[int, tuple[Order, float]] = {}
        #: client ids of the orders already reported as having an unknown outcome
        self._told_doubts: set[int] = set()
        #: since the last report: the number of orders resolved before they were reported, and the longest time to
        #: resolve one
        self._passed = 0
        self._longest_s = 0.0
        self._count_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        #: the latest orders that were presumed dead after a read or a rejection
        self._given_up: dict[int, str] = {}
        self._told: dict[tuple[str, str, str], Nanos] = {}

    def changed(self, order: Order, state: OrderState) -> None:
        """Handle an order's state change."""
        if log.isEnabledFor(logging.DEBUG):
            log.debug("order %s of %s: %s", order.client_id, order.strategy, order_text(order, state))
        if state is OrderState.UNKNOWN:
            self._doubt(order)
            return
        given_up = self._given_up.pop(order.client_id, None)
        was_told = self._resolve(order)
        if given_up is not None:
            self._tell(
                "error",
                f"{in_words(order)} was assumed {given_up}, but is live at the exchange, so it counts again and is "
                "cancelled. The exchange acted on a request later than `live: {latest_accept_s}` allows; raise it",
            )
        elif was_told:
            self._tell("info", f"the outcome of {in_words(order)} is now known")
        elif state is OrderState.REJECTED:
            self._ended(order, "was rejected by the exchange")
        elif state is OrderState.NOT_SENT:
            self._ended(order, "was not sent")
        if state in (OrderState.ABSENT, OrderState.REJECTED):
            if len(self._given_up) >= _GIVEN_UP_MAX:
                del self._given_up[next(iter(self._given_up))]
            self._given_up[order.client_id] = state.value

    # -- outcomes that are unknown ----------------------------------------------------------------------------------

    def _doubt(self, order: Order) -> None:
        if order.client_id not in self._in_doubt:
            log.info("%r has an unknown outcome", order)
            self._in_doubt[order.client_id] = (order, self._now())
            self._look()

    def _resolve(self, order: Order) -> bool:
        """Record that an outcome is known. Return True if the unknown outcome had been reported to the user."""
        found = self._in_doubt.pop(order.client_id, None)
        if found is None:
            return False
        if order.client_id in self._told_doubts:
            self._told_doubts.discard(order.client_id)
            return True
        if not self._passed:
            self._count_at = max(self._count_at, self._now() + PATIENCE_S)
        self._passed += 1
        self._longest_s = max(self._longest_s, self._now() - found[1])
        self._look()
        return False

    def _look(self) -> None:
        """Report overdue orders and schedule the next check."""
        now = self._now()
        overdue = [
            order
            for client_id, (order, since) in self._in_doubt.items()
            if client_id not in self._told_doubts and since + PATIENCE_S <= now
        ]
        for order in overdue:
            self._told_doubts.add(order.client_id)
            self._tell(
                "warning",
                f"the outcome of {in_words(order)} is unknown, and {order.pair} accepts no new orders until it is "
                f"known: the order is looked up until it is found or proved absent, and is never resent"
                f"{f' ({order.reason})' if order.reason else ''}",
            )
        if self._passed and self._count_at <= now:
            were = "1 order was" if self._passed == 1 else f"{self._passed:,} orders were"
            self._tell(
                "info", f"{were} in an unknown state for up to {self._longest_s:.1f} s; all outcomes are now known"
            )
            self._passed, self._longest_s = 0, 0.0
            self._count_at = now + _COUNT_EVERY_S
        self._arm(now)

    def _arm(self, now: float) -> None:
        waiting = [s + PATIENCE_S for i, (_, s) in self._in_doubt.items() if i not in self._told_doubts]
        if self._passed:
            waiting.append(self._count_at)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if waiting:
            self._timer = self._loop_of().call_later(max(0.0, min(waiting) - now), self._look)

    def _now(self) -> float:
        return self._loop_of().time()

    def _loop_of(self) -> asyncio.AbstractEventLoop:
        return self._loop or asyncio.get_running_loop()

    # -- failed orders ------------------------------------------------------------------------------------------------

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
            f"{order.strategy}'s {order.side.value} of {order.pair}, order {order.client_id}, {what}: {reason}; its "
            f"funds are released, and further orders with the same reason are not reported for ten minutes",
        )


def in_words(order: Order) -> str:
    """Describe an order as a trader would, for example ``the order to sell 0.01 btc at 3370591 twd (client id
    47861850)``.
    """
    pair, rules = order.pair, order.pair.rules
    if order.spend_units:
        what = f"{order.side.value} {pair.base} for {format_units(order.spend_units)} {pair.quote}"
    else:
        what = f"{order.side.value} {format_scaled(order.amount_lots, rules.amount_decimals)} {pair.base}"
    at = f" at {rules.price_text(order.price_ticks)} {pair.quote}" if order.price_ticks else ""
    return f"the order to {what}{at} (client id {order.client_id})"
