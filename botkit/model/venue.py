"""The interface of a simulated exchange: market data and requests go in, timed events and answers come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from botkit.model.clock import Nanos
from botkit.model.columns import MarketColumns
from botkit.model.events import BalanceReport, OrderBook, OrderReport, Trade, TradeReport
from botkit.model.pairs import PairRules
from botkit.model.requests import Answer, Request


class Published(Protocol):
    """Events that became known to one account, or to all accounts if ``account`` is None."""

    @property
    def account(self) -> str | None:
        """The account that receives the events, or None for all accounts."""
        ...

    @property
    def events(self) -> Sequence[Answer | OrderReport | TradeReport | BalanceReport | OrderBook | Trade]:
        """A single event, or all effects of a match on one account."""
        ...


class Venue(Protocol):
    """A simulated exchange that matches requests against the loaded market data. It reads no clock; `advance` sets its
    time.
    """

    def load(self, columns: MarketColumns) -> None:
        """Add the next rows of market data. Raises ValueError for rows older than those already loaded."""
        ...

    def submit(self, account: str, request: Request, now: Nanos) -> None:
        """Send a request for an account. `advance` returns the answer."""
        ...

    def advance(self, to: Nanos) -> Sequence[Published]:
        """Process all events up to and including ``to``. Returns the events that became known by then, in order."""
        ...

    def change_rules(self, name: str, rules: PairRules) -> None:
        """Apply rules that a real exchange lists now to new orders of the pair with this name. Rules with other ticks
        or lots are ignored, as is a pair that this exchange does not have.
        """
        ...

    def next_at(self) -> Nanos | None:
        """Return the earliest time at which an event may become known, or None if there will be no event without new
        input.
        """
        ...


__all__ = ["Published", "Venue"]
