"""What the user hears of streams that come and go, or say what nobody can read."""

from __future__ import annotations

import logging
from collections.abc import Callable

from botkit.model.events import Connection, ConnectionState

log = logging.getLogger("botkit.live")

CONNECTED = (ConnectionState.CONNECTED, ConnectionState.RESYNCHRONISED)


class StreamNews:
    """Watches connections change. ``tell(level, text)`` reaches the user."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        #: what was said last of each stream of the account that is not connected
        self.troubles: dict[str, str] = {}
        #: why a stream was not what it should be, the last time
        self._reasons: dict[str, str] = {}

    def changed(self, event: Connection, before: ConnectionState | None) -> None:
        """A stream's state, and the one before it."""
        name = event.stream if event.pair is None else f"{event.stream} {event.pair}"
        if event.state in CONNECTED:
            self.troubles.pop(event.stream, None)
            if before is ConnectionState.LOST and event.state is ConnectionState.CONNECTED:
                self._tell("info", f"the stream {name} is back")
            return
        if event.pair is None:
            self.troubles[event.stream] = event.detail
        reason = event.detail.partition(";")[0]
        is_news = event.state is not before or self._reasons.get(name) != reason
        self._reasons[name] = reason
        if not is_news:
            log.info("the stream %s: %s", name, event.detail)  # it was told of when it began
        elif event.state is ConnectionState.LOST:
            text = f"the stream {name} was lost: {event.detail}; what it missed is read when it is back"
            self._tell("warning", text)
        else:
            compared = ", and the books are compared with the exchange's" if event.pair is None else ""
            self._tell(
                "warning",
                f"the stream {name} sent what cannot be read ({event.detail}); it was left out{compared}. "
                "Look whether there is a newer botkit",
            )

    def summary(self) -> str:
        """The troubles of the account's streams in a line."""
        return "; ".join(f"{stream}: {text}" for stream, text in self.troubles.items())
