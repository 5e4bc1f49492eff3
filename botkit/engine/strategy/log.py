"""``self.log``: the standard library's logger with the bot's time. It behaves identically in every mode.

Warnings and errors are also passed on as notes for the user, so that they reach the terminal and the notifiers.
Arguments are checked even if the level is disabled, so that a logging call that works in a backtest cannot raise an
error and stop the strategy in live trading.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import tzinfo
from typing import Any, Literal

from botkit.engine.agenda import BotClock
from botkit.model.clock import format_time

_TAKEN = frozenset({"exc_info", "stack_info", "stacklevel", "extra"})

#: called with (level, text), where text is a message for the user
Tell = Callable[[Literal["warning", "error"], str], None]


class StrategyLog(logging.LoggerAdapter[logging.Logger]):
    """Adds the strategy's name and the bot's time (which differs from the wall clock in a backtest) to log messages."""

    def __init__(self, name: str, clock: BotClock, zone: tzinfo, tell: Tell) -> None:
        super().__init__(logging.getLogger(f"botkit.strategy.{name}"), {})
        self._name = name
        self._clock = clock
        self._zone = zone
        self._tell = tell

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        """Prefix the message with time and name."""
        now = self._clock.now
        kwargs.setdefault("extra", {}).update(strategy=self._name, bot_time=now)
        return f"{format_time(now, self._zone)} {self._name}: {msg}", kwargs

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Write a record. Raises TypeError for extra keyword arguments, which the standard library's logger does not
        accept.
        """
        odd = [name for name in kwargs if name not in _TAKEN]
        if odd:
            raise TypeError(
                f"self.log does not take `{odd[0]}`; include it in the message, such as "
                f'self.log.info("{odd[0]} %s", {odd[0]})'
            )
        if level >= logging.WARNING:
            self._tell("error" if level >= logging.ERROR else "warning", f"{self._name}: {_filled_in(msg, args)}")
        # there is one extra stack frame between the strategy and the logger
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
        super().log(level, msg, *args, **kwargs)


def _filled_in(msg: object, args: tuple[object, ...]) -> str:
    """Return the formatted message. If the placeholders do not match, the values are appended."""
    text = str(msg)
    if not args:
        return text
    values: Any = args[0] if len(args) == 1 and isinstance(args[0], dict) else args
    try:
        filled: str = text % values
        return filled
    except (TypeError, ValueError, KeyError):
        return f"{text} {values!r}"
