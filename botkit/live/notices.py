"""Delivers messages to the user, in order."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger("botkit.live")

_NUMBERS = {"info": logging.INFO, "message": logging.INFO, "warning": logging.WARNING}


class Notices:
    """Delivers messages for the user to subscribers. The subscribers may be called from any thread."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[str, str], None]] = []

    def tell(self, level: str, text: str, *, is_logged: bool = False) -> None:
        """Publish one sentence at level info, warning, error, breaker or message (from a strategy to the user).
        ``is_logged`` means that the sentence is already in the log.
        """
        if not is_logged:
            log.log(_NUMBERS.get(level, logging.ERROR), "%s", text)
        for listener in self.listeners:
            listener(level, text)
