"""A simulated exchange as its users see it: market data in, requests in, and out of it what becomes known when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from botkit.model.clock import Nanos
from botkit.model.columns import MarketColumns
from botkit.model.events import BalanceReport, OrderBook, OrderReport, Trade, TradeReport
from botkit.model.requests import Answer, Request


class Published(Protocol):
    """Something that became known: to one account, or to everybody where ``account`` is None."""

    @property
    def account(self) -> str | None:
        """Whose it is."""
        ...

    @property
    def events(self) -> Sequence[Answer | OrderReport | TradeReport | BalanceReport | OrderBook | Trade]:
        """What it is: one event, or all that a match did to an account."""
        ...


class Venue(Protocol):
    """Matches requests against the market data that it is given. It reads no clock: time is carried by `advance`."""

    def load(self, columns: MarketColumns) -> None:
        """The next rows of the market, not before those that it has. Raises ValueError for older ones."""
        ...

    def submit(self, account: str, request: Request, now: Nanos) -> None:
        """An account sends a request. Its answer comes out of `advance`."""
        ...

    def advance(self, to: Nanos) -> Sequence[Published]:
        """Let everything up to and including ``to`` happen; what became known by then, in order."""
        ...

    def next_at(self) -> Nanos | None:
        """When something may become known, at the earliest; None when nothing will by itself."""
        ...


__all__ = ["Published", "Venue"]
