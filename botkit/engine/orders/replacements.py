"""Orders that replace others. The exchange cannot change an order, so the old one is cancelled first, and the new one
is sent once the old one is final, less what the old one has filled in the meantime.
"""

from __future__ import annotations

from typing import Protocol

from botkit.engine.money.portfolio import Portfolio
from botkit.engine.orders.checks import Gate
from botkit.engine.orders.table import OrderTable
from botkit.engine.risk.review import RiskDesk
from botkit.engine.router.router import Router
from botkit.model.clock import Nanos
from botkit.model.orders import FINAL_STATES, Order, OrderState

_BEFORE_SENT = "replaced before it was sent"


class Placing(Protocol):
    """Places and cancels the orders: the order desk."""

    def admit(self, order: Order, now: Nanos) -> str | None:
        """Queue an order. Returns why it may not be sent, if it may not."""

    def cancel(self, order: Order, now: Nanos) -> None:
        """Cancel an order."""

    def end_unsent(self, order: Order, state: OrderState, now: Nanos, reason: str) -> None:
        """Move an order that is neither queued nor sent to a final state."""

    def follow_expiry(self, order: Order, now: Nanos) -> None:
        """End a queued order when its ``expire_s`` is over."""


class Replacements:
    """The orders that wait for the order that they replace to become final."""

    def __init__(
        self, *, table: OrderTable, portfolio: Portfolio, risk: RiskDesk, router: Router, gate: Gate, placing: Placing
    ) -> None:
        self._table = table
        self._open = table.open
        self._portfolio = portfolio
        self._risk = risk
        self._router = router
        self._gate = gate
        self._placing = placing
        #: client id of the old order -> (new order, lots of the old one executed at the time of the call)
        self.waiting: dict[int, tuple[Order, int]] = {}

    def replace(self, old: Order, new: Order, now: Nanos) -> str | None:
        """Replace ``old`` with ``new``: immediately if ``old`` is still queued, otherwise when ``old`` is final.
        Returns why ``new`` is refused, if it is.
        """
        if old.state is OrderState.QUEUED and not self.is_waiting(old):
            return self._take_place(old, new, now)
        if old.state in FINAL_STATES:
            return f"the order to replace is {old.state.value}"
        self._wait(old, new, now)
        return None

    def is_waiting(self, order: Order) -> bool:
        """Return True if an order waits for the order that it replaces."""
        return order.client_id in self._replaced

    def remaining_lots(self, order: Order) -> int:
        """Return how much of an order is still to be filled. A waiting replacement is reduced by what the old order has
        filled since it was requested, because that much of it will never be sent.
        """
        if not self.is_waiting(order):
            return order.remaining_lots
        old = self._replaced[order.client_id]
        filled_since = self._table.by_client_id[old].executed_lots - self.waiting[old][1]
        return max(0, order.remaining_lots - filled_since)

    def old_is_final(self, old: Order, now: Nanos) -> None:
        """Send the order that waited for ``old``, if any of it is left."""
        new, executed_before = self.waiting.pop(old.client_id)
        self._open[new.strategy].pop(new.client_id, None)
        filled_since = old.executed_lots - executed_before
        new.shrink_to(max(0, new.amount_lots - filled_since))
        if old.state is OrderState.FILLED:
            self._placing.end_unsent(new, OrderState.CANCELLED, now, "the order to replace was filled")
        elif new.amount_lots < new.pair.rules.least_lots:
            self._placing.end_unsent(new, OrderState.CANCELLED, now, "the remaining amount is below the minimum")
        else:
            refusal = self._placing.admit(new, now)
            if refusal is not None:
                self._placing.end_unsent(new, OrderState.REFUSED, now, refusal)

    def drop(self, new: Order, now: Nanos) -> None:
        """Cancel an order that waits for the order that it replaces."""
        del self.waiting[self._replaced[new.client_id]]
        self._open[new.strategy].pop(new.client_id, None)
        self._placing.end_unsent(new, OrderState.CANCELLED, now, "cancelled before it was sent")

    @property
    def _replaced(self) -> dict[int, int]:
        """The client id of the old order, by the new one's."""
        return {new.client_id: old for old, (new, _) in self.waiting.items()}

    def _take_place(self, old: Order, new: Order, now: Nanos) -> str | None:
        """Put ``new`` where ``old`` stands in the router's queue."""
        # The old order's money pays for the new one, so it is released first. Nothing else can happen in between.
        self._portfolio.release(old)
        self._risk.order_closed(old)
        refusal = self._gate.when_admitted(new) or self._portfolio.lock(new)
        if refusal is not None:
            relocked = self._portfolio.lock(old)
            assert relocked is None, relocked
            self._risk.order_opened(old)
            return refusal
        has_replaced = self._router.replace_waiting(old, new, now)
        assert has_replaced, old
        self._open[old.strategy].pop(old.client_id, None)
        self._placing.end_unsent(old, OrderState.CANCELLED, now, _BEFORE_SENT)
        self._open[new.strategy][new.client_id] = new
        self._risk.order_opened(new)
        self._placing.follow_expiry(new, now)
        return None

    def _wait(self, old: Order, new: Order, now: Nanos) -> None:
        # ``old`` may itself be a waiting replacement, or may have one: the newest order replaces both the old order and
        # its replacement
        rested = self._table.by_client_id[self._replaced.get(old.client_id, old.client_id)]
        superseded = self.waiting.pop(rested.client_id, None)
        if superseded is not None:
            self._open[superseded[0].strategy].pop(superseded[0].client_id, None)
            self._placing.end_unsent(superseded[0], OrderState.CANCELLED, now, _BEFORE_SENT)
        self.waiting[rested.client_id] = (new, rested.executed_lots)
        self._open[new.strategy][new.client_id] = new
        self._placing.cancel(rested, now)
