"""Fills that are booked but not yet reported to their strategy.

A fill is booked immediately, but `on_fill` may have to wait: up to a second for the rest of its match
(`botkit.engine.orders.agreement`) or, at startup, until `on_ready`. If the bot is killed in the meantime, the journal
contains the fill, but the strategy's state does not reflect it. Unreported fills are therefore saved with that state,
and each is reported exactly once after the restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from botkit.model.events import Fill
from botkit.model.orders import Order

_FIGURES = ("time", "price_ticks", "lots", "value_units", "fee_units", "fee_currency", "is_maker", "executed_lots")


class Untold:
    """All strategies' unreported fills, oldest first."""

    def __init__(self) -> None:
        #: fills waiting for the rest of their match
        self.held: list[Fill] = []
        #: fills in the mailbox before it opens, after `on_ready`
        self.mailed: list[Fill] = []

    def opened(self) -> None:
        """Forget the fills in the mailbox, because the mailbox is now open and its contents will be delivered in this
        turn.
        """
        self.mailed.clear()

    def kept(self, strategy: str) -> list[dict[str, Any]]:
        """Return a strategy's unreported fills as JSON values."""
        return [
            {"client_id": fill.order.client_id} | {name: getattr(fill, name) for name in _FIGURES}
            for fill in (*self.mailed, *self.held)
            if fill.order.strategy == strategy
        ]

    @staticmethod
    def recalled(kept: Iterable[Mapping[str, Any]], order_of: Callable[[int], Order | None]) -> list[Fill]:
        """Return the fills that an earlier run saved, except those of forgotten orders."""
        fills = []
        for row in kept:
            order = order_of(row["client_id"])
            if order is not None:
                figures = {name: row[name] for name in _FIGURES}
                fills.append(Fill(order=order, pair=order.pair, side=order.side, **figures))
        return fills
