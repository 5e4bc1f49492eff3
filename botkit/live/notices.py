"""Delivers messages to the user, in order."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger("botkit.live")


class Notices:
    """Delivers messages for the user to its subscribers, which may be called from any thread."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[str, str], None]] = []

    def tell(self, level: str, text: str, *, is_logged: bool = False) -> None:
        """Publish one sentence at level info, warning, error or breaker. ``is_logged`` means that it is already in the
        log.
        """
        if not is_logged:
            number = {"info": logging.INFO, "warning": logging.WARNING}.get(level, logging.ERROR)
            log.log(number, "%s", text)
        for listener in self.listeners:
            listener(level, text)
