"""Collects the results of a turn. A driver passes in an `Outcome`, reads it, and clears it before the next turn."""

from __future__ import annotations

from typing import Literal

from botkit.engine.agenda import Changes
from botkit.engine.outcome_parts import (
    Comparison,
    Halted,
    HistoryWanted,
    Level,
    Note,
    Reply,
    StrategyFailure,
    StreamWanted,
    Withheld,
)
from botkit.model.events import Fill
from botkit.model.orders import Order, OrderState
from botkit.model.pairs import Pair
from botkit.model.requests import Ending, Request


class Outcome:
    """The results of one turn, grouped by kind, each group in order."""

    __slots__ = (
        "compare_failures",
        "comparisons",
        "failures",
        "fills",
        "halts",
        "history",
        "notes",
        "reply",
        "requests",
        "resynchronise",
        "states",
        "streams",
        "withheld",
    )

    def __init__(self) -> None:
        #: requests to send now, in this order
        self.requests: list[Request] = []
        #: every order state change: (order, new state)
        self.states: list[tuple[Order, OrderState]] = []
        self.fills: list[Fill] = []
        self.notes: list[Note] = []
        self.failures: list[StrategyFailure] = []
        self.streams: list[StreamWanted] = []
        self.history: list[HistoryWanted] = []
        self.comparisons: list[Comparison] = []
        #: the reason why a comparison failed (a failed comparison is retried), and the outcome of its request
        self.compare_failures: list[tuple[str, Ending]] = []
        #: pairs whose book stream has gone silent although the book is still changing
        self.resynchronise: list[Pair] = []
        self.halts: list[Halted] = []
        self.withheld: list[Withheld] = []
        self.reply: Reply | None = None

    def clear(self) -> None:
        """Empty the outcome for the next turn."""
        self.requests.clear()
        self.states.clear()
        self.fills.clear()
        self.notes.clear()
        self.failures.clear()
        self.streams.clear()
        self.history.clear()
        self.comparisons.clear()
        self.compare_failures.clear()
        self.resynchronise.clear()
        self.halts.clear()
        self.withheld.clear()
        self.reply = None


class Outbox:
    """Collects results from the engine's rooms. The engine sets ``out`` to the turn's `Outcome`."""

    __slots__ = ("_changes", "out")

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self.out = Outcome()

    def note(self, level: Level, text: str, kind: str = "") -> None:
        """Notify the user and, if there is a ``kind``, journal the note."""
        self._changes.count += 1
        self.out.notes.append(Note(level, text, kind))

    def logged(self, level: Level, text: str) -> None:
        """Add a message that a strategy logged for the user."""
        self._changes.count += 1
        self.out.notes.append(Note(level, text, is_logged=True))

    def withheld(self, withheld: Withheld) -> None:
        """Add a withheld price."""
        self._changes.count += 1
        self.out.withheld.append(withheld)

    def stream(self, stream: StreamWanted) -> None:
        """Add a stream to which a strategy subscribed."""
        self._changes.count += 1
        self.out.streams.append(stream)

    def compare_failed(self, why: str, ending: Ending) -> None:
        """Report that reconciling the bot with the exchange failed."""
        self._changes.count += 1
        self.out.compare_failures.append((why, ending))

    def compared(self, comparison: Comparison) -> None:
        """Add the result of reconciling the bot with the exchange."""
        self._changes.count += 1
        self.out.comparisons.append(comparison)

    def changed(self, order: Order) -> None:
        """Add an order whose state is the same but which must be journaled."""
        self._changes.count += 1
        self.out.states.append((order, order.state))

    def resynchronise(self, pair: Pair) -> None:
        """Request that a pair's book stream reconnect."""
        self._changes.count += 1
        self.out.resynchronise.append(pair)

    def halt(self, kind: Literal["loss", "breaker"], reason: str) -> None:
        """Report that the bot halted itself."""
        self._changes.count += 1
        self.out.halts.append(Halted(kind, reason))
