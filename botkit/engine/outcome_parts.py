"""The parts of an `Outcome` (`botkit.engine.outcome`)."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from botkit.model.clock import Nanos
from botkit.model.pairs import Pair

#: ``message`` is a text that a strategy sends to the user (`Strategy.notify`), regardless of a notifier's minimum level
Level = Literal["info", "warning", "error", "message"]


class Note(msgspec.Struct, frozen=True):
    """A message for the user. A note with a ``kind`` is also journaled."""

    level: Level
    text: str
    kind: str = ""
    #: True if a strategy wrote the note with ``self.log``, so that it is already in the log
    is_logged: bool = False


class StrategyFailure(msgspec.Struct, frozen=True):
    """The failure of a strategy that raised an exception or had to be stopped. ``where`` is the file and line, ``text``
    the traceback.
    """

    strategy: str
    callback: str
    where: str
    error: str
    text: str
    time: Nanos
    #: True if the strategy rejected its parameters (ConfigError in on_start): a user error, for which no traceback is
    #: shown
    is_config: bool = False
    #: True if botkit refused a value that the strategy passed to it; the message and the line say it all
    is_argument: bool = False


class Withheld(msgspec.Struct, frozen=True):
    """The price of a withheld trade or candle, and its arrival time."""

    pair: Pair
    time: Nanos
    price: float


class StreamWanted(msgspec.Struct, frozen=True):
    """A stream to which a strategy subscribed. ``kind`` is trades, books, tickers or bars; ``depth`` is the number of
    book levels per side.
    """

    pair: Pair
    kind: Literal["trades", "books", "tickers", "bars"]
    depth: int = 0
    resolution: str = ""


class HistoryWanted(msgspec.Struct, frozen=True):
    """A series' request for a given number of finished bars from before the start."""

    pair: Pair
    resolution: str
    count: int


class Difference(msgspec.Struct, frozen=True):
    """A difference between the books and the exchange, as a message for the user."""

    kind: Literal["order", "balance"]
    text: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The result of reconciling the bot with the exchange. ``began`` is the time at which the comparison was
    requested.
    """

    began: Nanos
    differences: tuple[Difference, ...] = ()
    foreign: int = 0
    #: currency -> units added or taken from outside, which are now part of unassigned
    adopted: tuple[tuple[str, int], ...] = ()
    #: our orders at the exchange that are missing from the journal (`botkit.model.inputs.Unwritten`)
    unwritten: tuple[str, ...] = ()
    #: the largest client id of those orders, plus one
    unwritten_until: int = 0


class Halted(msgspec.Struct, frozen=True):
    """A halt that the bot initiated. ``kind`` is loss or breaker."""

    kind: Literal["loss", "breaker"]
    reason: str


class Reply(msgspec.Struct, frozen=True):
    """The result of a command: a value, or a sentence that explains why the command was refused."""

    value: Any = None
    refusal: str | None = None
