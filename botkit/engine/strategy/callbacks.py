"""Calls strategies: looks up their callbacks, queues notifications in a mailbox, and handles failures.

A call through pluggy takes 1.2 us, and a direct call to a bound method 0.06 us, so each function is looked up only
once. The effects of a turn (an order's new state, a fill) wait in the mailbox until the running callback has returned.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botkit.engine.agenda import BotClock, Changes
from botkit.engine.outcome import Outbox
from botkit.engine.outcome_parts import StrategyFailure
from botkit.engine.strategy.record import StrategyRecord
from botkit.errors import ConfigError

#: more callbacks than this in one turn indicate an endless loop
_NOTICES_A_TURN_MAX = 20_000

Callback = Callable[..., Any]


class Callbacks:
    """The callbacks of all of the bot's strategies.

    ``find(strategy's name, callback's name)`` returns the function, or None if the strategy does not use it.
    ``stop(record, reason)`` stops a strategy. With ``catches_interrupts``, a KeyboardInterrupt is a failure of the
    strategy that was called; otherwise it is passed on.
    """

    def __init__(
        self,
        *,
        clock: BotClock,
        changes: Changes,
        outbox: Outbox,
        find: Callable[[str, str], Callback | None],
        stop: Callable[[StrategyRecord, str], None],
        catches_interrupts: bool = False,
    ) -> None:
        self._clock = clock
        self._changes = changes
        self._outbox = outbox
        self._find = find
        self._stop = stop
        self._catches_interrupts = catches_interrupts
        self._found: dict[tuple[str, str], Callback | None] = {}
        #: pending notifications, in order
        self.mailbox: deque[tuple[StrategyRecord, Callback, Any]] = deque()
        #: False until the history has arrived; notifications queued earlier are delivered then
        self.is_open = False
        #: name of the last strategy to fail; its traceback is shown instead of a separate message that it was stopped
        self.failed_last = ""

    def of(self, record: StrategyRecord, name: str) -> Callback | None:
        """Return the function that handles an event, or None."""
        key = (record.name, name)
        try:
            return self._found[key]
        except KeyError:
            found = self._found[key] = self._find(record.name, name)
            return found

    def notify(self, record: StrategyRecord, name: str, event: object) -> None:
        """Queue a callback. It is called after the running callback has returned, at the same bot time."""
        key = (record.name, name)
        callback = self._found[key] if key in self._found else self.of(record, name)
        if callback is not None:
            self.mailbox.append((record, callback, event))
            self._changes.count += 1

    def deliver(self) -> None:
        """Deliver all notifications in the mailbox, including those that the callbacks add."""
        mailbox = self.mailbox
        counts: dict[str, int] = {}
        while mailbox:
            record, callback, event = mailbox.popleft()
            if record.active:
                try:
                    callback(event)
                except BaseException as error:  # BaseException, for the reason given in `call`
                    self.failed(record, callback, error)
                if not mailbox and not counts:
                    return  # the only notification in the mailbox, as is nearly always the case
                count = counts[record.name] = counts.get(record.name, 0) + 1
                if count == _NOTICES_A_TURN_MAX:
                    name = getattr(callback, "__name__", "callback")
                    self._stop(record, f"its callbacks, including {name}, trigger each other endlessly")

    def call(self, record: StrategyRecord, callback: Callback, *arguments: object) -> None:
        """Call a strategy's function now. An exception stops only that strategy."""
        try:
            callback(*arguments)
        except BaseException as error:  # sys.exit() in one strategy must not stop the others
            self.failed(record, callback, error)

    def failed(self, record: StrategyRecord, callback: Callback, error: BaseException) -> None:
        """Handle an exception raised by a strategy: record where it was raised, stop the strategy and cancel its
        orders. Other strategies continue. Raises a KeyboardInterrupt that is the user's.
        """
        if isinstance(error, KeyboardInterrupt) and not self._catches_interrupts:
            raise error
        name = getattr(callback, "__name__", "callback")
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if not _is_of_botkit(frame.filename)]
        frame = _users_last(own) or (own or frames)[-1]
        failure = StrategyFailure(
            strategy=record.name,
            callback=name,
            where=f"{frame.filename}:{frame.lineno}",
            error=f"{type(error).__name__}: {error}",
            text=_own_lines(own or list(frames), error),
            time=self._clock.now,
            is_config=isinstance(error, ConfigError) and name == "on_start",
            is_argument=_is_argument(error, frames),
        )
        self._changes.count += 1
        self._outbox.out.failures.append(failure)
        self.failed_last = record.name
        self._stop(record, f"{failure.error} in {name}")


_PACKAGE = Path(__file__).parents[2].as_posix()


def _is_of_botkit(file: str) -> bool:
    """Return True if a frame is part of botkit or of the plugin machinery around callbacks."""
    path = file.replace("\\", "/")
    # frames of a compiled module name the file relative to the package
    return path.startswith((f"{_PACKAGE}/", "botkit/")) or "/pluggy/" in path


def _is_argument(error: BaseException, frames: list[traceback.FrameSummary]) -> bool:
    """Return True if botkit refused a value that the strategy passed to it, so that the message says it all."""
    return isinstance(error, (ConfigError, ValueError)) and bool(frames) and _is_of_botkit(frames[-1].filename)


def _users_last(frames: list[traceback.FrameSummary]) -> traceback.FrameSummary | None:
    """Return the last line in the strategy's own files, because a line deep inside a library does not help the user."""
    if not frames:
        return None
    home = Path(frames[0].filename).parent
    own = [frame for frame in frames if _lies_in(Path(frame.filename), home)]
    return own[-1] if own else None


def _lies_in(file: Path, home: Path) -> bool:
    return home in file.parents and "site-packages" not in file.relative_to(home).parts


def _own_lines(frames: list[traceback.FrameSummary], error: BaseException) -> str:
    """Return a traceback with only the strategy's own lines, because the engine's frames do not help the user."""
    lines = ["Traceback (most recent call last):\n", *traceback.StackSummary.from_list(frames).format()]
    return "".join(lines + traceback.format_exception_only(error)).rstrip()
