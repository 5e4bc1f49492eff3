"""Everything that can leave a turn. A driver passes in an `Outcome`, reads it, and clears it before the next turn."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from botkit.engine.agenda import Changes
from botkit.model.clock import Nanos
from botkit.model.events import Fill
from botkit.model.orders import Order, OrderState
from botkit.model.pairs import Pair
from botkit.model.requests import Ending, Request

Level = Literal["info", "warning", "error"]


class Note(msgspec.Struct, frozen=True):
    """A sentence for the user. With a ``kind`` it is kept in the journal too."""

    level: Level
    text: str
    kind: str = ""
    #: a strategy wrote it with ``self.log``, so it is already in the log
    is_logged: bool = False


class StrategyFailure(msgspec.Struct, frozen=True):
    """A strategy raised, or had to be stopped. ``where`` is the file and line; ``text`` the traceback."""

    strategy: str
    callback: str
    where: str
    error: str
    text: str
    time: Nanos
    #: it refused its parameters (ConfigError in on_start): a user's mistake, where a traceback does not help
    is_config: bool = False


class Withheld(msgspec.Struct, frozen=True):
    """The price of a withheld trade or candle, and when it arrived."""

    pair: Pair
    time: Nanos
    price: float


class StreamWanted(msgspec.Struct, frozen=True):
    """A strategy subscribed: ``kind`` is trades, books, tickers or bars; ``depth`` the levels of a book a side."""

    pair: Pair
    kind: Literal["trades", "books", "tickers", "bars"]
    depth: int = 0
    resolution: str = ""


class HistoryWanted(msgspec.Struct, frozen=True):
    """A series needs this many finished bars from before the start."""

    pair: Pair
    resolution: str
    count: int


class Difference(msgspec.Struct, frozen=True):
    """A difference between the books and the exchange, as a sentence for the user."""

    kind: Literal["order", "balance"]
    text: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The bot was reconciled with the exchange. ``began`` is when the comparison was requested."""

    began: Nanos
    differences: tuple[Difference, ...] = ()
    foreign: int = 0
    #: currency -> units that somebody else added or took; they count as unassigned
    adopted: tuple[tuple[str, int], ...] = ()
    #: our orders at the exchange that the journal should know but does not (`botkit.model.inputs.Unwritten`)
    unwritten: tuple[str, ...] = ()


class Halted(msgspec.Struct, frozen=True):
    """The bot halted itself: ``kind`` is loss or breaker."""

    kind: Literal["loss", "breaker"]
    reason: str


class Reply(msgspec.Struct, frozen=True):
    """The result of a command: a value, or a sentence saying why not."""

    value: Any = None
    refusal: str | None = None


class Outcome:
    """The results of one turn, by kind, each in order."""

    __slots__ = (
        "compare_failures",
        "comparisons",
        "failures",
        "fills",
        "halts",
        "history",
        "notes",
        "orphans",
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
        #: every state that an order entered
        self.states: list[tuple[Order, OrderState]] = []
        self.fills: list[Fill] = []
        self.notes: list[Note] = []
        self.failures: list[StrategyFailure] = []
        self.streams: list[StreamWanted] = []
        self.history: list[HistoryWanted] = []
        self.comparisons: list[Comparison] = []
        #: why a comparison could not be made (it is tried again), and how the request for it ended
        self.compare_failures: list[tuple[str, Ending]] = []
        #: pairs whose book stream stays silent although the book changes
        self.resynchronise: list[Pair] = []
        self.halts: list[Halted] = []
        #: the end of `CancelOrphans`: the cancelled ids, or a sentence saying why not
        self.orphans: Reply | None = None
        self.withheld: list[Withheld] = []
        self.reply: Reply | None = None

    def clear(self) -> None:
        """Empty it for the next turn."""
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
        self.orphans = None
        self.reply = None


class Outbox:
    """Where the engine's rooms put their results. The engine sets ``out`` to the turn's `Outcome`."""

    __slots__ = ("_changes", "out")

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self.out = Outcome()

    def note(self, level: Level, text: str, kind: str = "") -> None:
        """Notify the user; with a ``kind``, also journal the note."""
        self._changes.count += 1
        self.out.notes.append(Note(level, text, kind))

    def logged(self, level: Level, text: str) -> None:
        """A strategy logged something that the user should see."""
        self._changes.count += 1
        self.out.notes.append(Note(level, text, is_logged=True))

    def withheld(self, withheld: Withheld) -> None:
        """A price was withheld."""
        self._changes.count += 1
        self.out.withheld.append(withheld)

    def stream(self, stream: StreamWanted) -> None:
        """A strategy subscribed."""
        self._changes.count += 1
        self.out.streams.append(stream)

    def compare_failed(self, why: str, ending: Ending) -> None:
        """The bot could not be reconciled with the exchange."""
        self._changes.count += 1
        self.out.compare_failures.append((why, ending))

    def compared(self, comparison: Comparison) -> None:
        """The bot was reconciled with the exchange."""
        self._changes.count += 1
        self.out.comparisons.append(comparison)

    def orphans_done(self, reply: Reply) -> None:
        """Orders of departed strategies were cancelled, or could not be."""
        self._changes.count += 1
        self.out.orphans = reply

    def resynchronise(self, pair: Pair) -> None:
        """The book stream of a pair must reconnect."""
        self._changes.count += 1
        self.out.resynchronise.append(pair)

    def halt(self, kind: Literal["loss", "breaker"], reason: str) -> None:
        """The bot halted itself."""
        self._changes.count += 1
        self.out.halts.append(Halted(kind, reason))
