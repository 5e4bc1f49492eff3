"""Formats fills as sentences for the terminal, the notifiers and the status."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo

from botkit.model.clock import format_time
from botkit.model.events import Fill
from botkit.model.figures import amount_figure, price_figure
from botkit.model.money import format_units

_LATEST = 20


class FillNews:
    """Reports every fill to its listeners and keeps the latest fills."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self.listeners: list[Callable[[str], None]] = []
        self.latest: list[str] = []

    def filled(self, fill: Fill) -> None:
        """Report that an execution was booked."""
        rules = fill.pair.rules
        text = (
            f"{format_time(fill.time, self._zone)} {fill.order.strategy}: "
            f"{'bought' if fill.side.sign > 0 else 'sold'} {amount_figure(rules, fill.lots)} {fill.pair.base} "
            f"at {price_figure(rules, fill.price_ticks)} {fill.pair.quote}, {'maker' if fill.is_maker else 'taker'}, "
            f"fee {format_units(fill.fee_units)} {fill.fee_currency}"
        )
        self.latest = [*self.latest[-(_LATEST - 1) :], text]
        for listener in self.listeners:
            listener(text)
