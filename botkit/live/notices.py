"""What the user is told, in order."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger("botkit.live")


class Notices:
    """Sentences for the user. Whoever shows them subscribes, and may be called from any thread."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[str, str], None]] = []

    def tell(self, level: str, text: str, *, is_logged: bool = False) -> None:
        """One sentence: level info, warning, error or breaker. ``is_logged``: the log has it already."""
        if not is_logged:
            number = {"info": logging.INFO, "warning": logging.WARNING}.get(level, logging.ERROR)
            log.log(number, "%s", text)
        for listener in self.listeners:
            listener(level, text)
