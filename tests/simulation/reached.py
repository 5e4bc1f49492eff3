"""Counts how often runs reach named rare branches. A long run that never reaches a branch proves nothing about that
branch.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final
from unittest import mock

from botkit.live.bot import Bot
from botkit.model.orders import FINAL_STATES
from tests.simulation.branches import BRANCHES, reported

#: branches that a long run must reach at least once: an order transition ("unknown > open") or a branch name
NAMED: Final = {
    "unknown > open": "create timed out, found by client id",
    "unknown > absent": "create timed out, proved absent",
    "unknown > untriggered": "a stop timed out, found by client id",
    "sending > unknown": "the outcome of a create was unknown",
    "sending > rejected": "the exchange refused a create",
    "sending > not_sent": "no byte of a create left",
    "open > post_only_cancelled": "a post-only order would have taken",
    "queued > cancelled": "an order was cancelled while it waited",
    "queued > expired": "an order expired in the queue",
    "untriggered > open": "a stop was triggered",
    "untriggered > filled": "a stop was triggered and filled at once",
    "partly_filled > filled": "an order was filled in parts",
    "partly_filled > cancelled": "an order was cancelled when it was filled in part",
    "open > cancelled": "an order was cancelled",
    **{branch.name: branch.name for branch in BRANCHES if not branch.is_rarest},
}
_HEARD: Final = {
    "and the exchange has it": "a refused create was at the exchange",
    "was lost": "a stream was lost",
    "reconciled with the exchange again": "reconciling failed, and came through at last",
    "cannot be reconciled": "reconciling failed three times in a row",
    "the account outside this bot": "a balance was adopted",
    "halted": "a halt",
}


class Reached:
    """Counts how often each named branch was reached."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._states: dict[int, str] = {}
        #: called with the client ID and the state of each order that a bot considers final
        self.on_final: Callable[[int, str], None] = lambda client_id, state: None

    def __call__(self, name: str) -> None:
        """Count one more occurrence of a branch."""
        self.counts[name] += 1

    def heard(self, text: str) -> None:
        """Count the branches that a message to the user shows to have been reached."""
        for part, name in _HEARD.items():
            if part in text:
                self.counts[name] += 1

    def came_out(self, out: Any) -> None:
        """Count the branches that the results of a bot's turn show to have been reached."""
        for order, state in out.states:
            before = self._states.get(order.client_id) or ("sending" if order.sent else "queued")
            if before != state.value:
                self.counts[f"{before} > {state.value}"] += 1
            self._states[order.client_id] = state.value
            if state in FINAL_STATES:
                self.on_final(order.client_id, state.value)
        for fill in out.fills:
            self.counts["a maker's fill" if fill.is_maker else "a taker's fill"] += 1
        for request in out.requests:
            self.counts[f"request {request.endpoint}"] += 1

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Count the results of every bot's turns until the block exits."""
        came_out = Bot.came_out

        def watched(bot: Bot, out: Any, now: int) -> None:
            self.came_out(out)
            came_out(bot, out, now)

        with mock.patch.object(Bot, "came_out", watched), reported(self):
            yield
