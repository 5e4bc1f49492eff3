"""Decides which messages one notifier sends, and when: minimum level, digest, daily cap. It uses no clock, thread or
network.

* messages below the minimum level are dropped, except messages that a strategy wants the user to read;
* info messages and warnings are held briefly and combined, so that fifty fills become one message;
* errors are sent immediately; breaker messages are sent immediately and are never held back;
* above the daily cap, all messages except breaker messages are only counted; the count is sent when the next day
  starts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from botkit.model.clock import NS_PER_S, Nanos

Level: TypeAlias = Literal["info", "warning", "error", "breaker"]
LEVELS: tuple[Level, ...] = ("info", "warning", "error", "breaker")
#: a message that a strategy wants the user to read; notifiers get it as ``info``, regardless of their minimum level
MESSAGE = "message"

#: the maximum number of lines in a digest; further lines are only counted
LINES_MAX = 30
_LINE_MAX = 400
_TEXT_MAX = 3_000


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Limits on the messages of one notifier. ``daily_cap`` is the maximum number of messages per day. A digest is
    counted as one message.
    """

    level: Level = "info"
    digest_s: float = 30.0
    daily_cap: int = 100


class Message(msgspec.Struct, frozen=True):
    """A message to send."""

    level: Level
    title: str
    text: str


class NotifierOutbox:
    """The pending messages of one notifier. ``day_start`` returns the start of the day that contains a time."""

    def __init__(self, policy: Policy, *, name: str, day_start: Callable[[Nanos], Nanos]) -> None:
        self._policy = policy
        self._name = name
        self._day_start = day_start
        self._least = LEVELS.index(policy.level)
        self._digest_ns: Nanos = round(policy.digest_s * NS_PER_S)
        self._ready: deque[Message] = deque()
        self._lines: dict[str, int] = {}  # number of occurrences of each line, in order of first occurrence
        self._more = 0
        self._worst = 0
        self._due: Nanos | None = None
        self._day: Nanos | None = None
        self._sent_today = 0
        self._held_back = 0

    def tell(self, level: Level, text: str, now: Nanos, *, is_wanted: bool = False) -> None:
        """Add a message at ``now``. A message that ``is_wanted`` is sent at any level."""
        rank = LEVELS.index(level)
        if rank < self._least and not is_wanted:
            return
        self._new_day(now)
        if level == "breaker":
            self._ready.append(self._message(level, text))
        elif level == "error":
            self._spend(self._message(level, text))
        else:
            self._collect(rank, text, now)

    def _collect(self, rank: int, text: str, now: Nanos) -> None:
        line = text if len(text) <= _LINE_MAX else text[: _LINE_MAX - 3] + "..."
        if line in self._lines:
            self._lines[line] += 1
        elif len(self._lines) < LINES_MAX:
            self._lines[line] = 1
        else:
            self._more += 1
        self._worst = max(self._worst, rank)
        if self._due is None:
            self._due = now + self._digest_ns

    def take(self, now: Nanos, *, all_of_it: bool = False) -> list[Message]:
        """Return the messages to send now, urgent ones first. ``all_of_it`` also returns messages that would otherwise
        wait, for use when the bot is stopping.
        """
        self._new_day(now)
        if self._lines and self._due is not None and (all_of_it or self._due <= now):
            lines = [line if count == 1 else f"{line} ({count} times)" for line, count in self._lines.items()]
            self._spend(self._message(LEVELS[self._worst], _digest(lines, self._more)))
            self._lines.clear()
            self._more, self._worst, self._due = 0, 0, None
        messages = sorted(self._ready, key=lambda message: message.level != "breaker")
        self._ready.clear()
        return messages

    def wake_at(self) -> Nanos | None:
        """Return the time at which `take` will return messages, or None if no message is waiting. 0 means
        immediately.
        """
        return 0 if self._ready else self._due

    def _spend(self, message: Message) -> None:
        if self._sent_today >= self._policy.daily_cap:
            self._held_back += 1
            return
        self._sent_today += 1
        if self._sent_today == self._policy.daily_cap:
            last = f"\n(message {self._policy.daily_cap} today: from now on only breaker messages are sent)"
            message = Message(message.level, message.title, message.text + last)
        self._ready.append(message)

    def _new_day(self, now: Nanos) -> None:
        day = self._day_start(now)
        if day == self._day:
            return
        self._day, self._sent_today = day, 0
        held, self._held_back = self._held_back, 0
        if held:
            were = "1 message was" if held == 1 else f"{held:,} messages were"
            self._collect(LEVELS.index("warning"), f"{were} held back on the previous day", now)

    def _message(self, level: Level, text: str) -> Message:
        title = {"info": "", "warning": "warning", "error": "error", "breaker": "HALTED"}[level]
        return Message(level, f"{self._name}: {title}" if title else self._name, text[:_TEXT_MAX])


def _digest(lines: list[str], more: int) -> str:
    """Join as many whole lines as a message can hold, and count the others, with the ``more`` that were not kept."""
    for shown in range(len(lines), 0, -1):
        left = more + len(lines) - shown
        text = "\n".join([*lines[:shown], *([f"and {left} more"] if left else [])])
        if len(text) <= _TEXT_MAX:
            return text
    return lines[0]
