"""Reports streams that connect, disconnect, or send unreadable data."""

from __future__ import annotations

import logging
from collections.abc import Callable

from botkit.model.clock import NS_PER_MINUTE, Nanos
from botkit.model.events import Connection, ConnectionState

log = logging.getLogger("botkit.live")

CONNECTED = (ConnectionState.CONNECTED, ConnectionState.RESYNCHRONISED)
#: the interval between reports about an unstable stream for a given reason; the log contains all events
_REPEATED_AFTER: Nanos = 10 * NS_PER_MINUTE
_REASONS_MAX = 100


class StreamNews:
    """Watches connections for changes. ``tell(level, text)`` notifies the user, once for all pairs on a connection."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        #: the latest problem of each account stream that is not connected
        self._troubles: dict[str, str] = {}
        #: changes since the last report: (stream, state, detail) -> pairs
        self._changes: dict[tuple[str, ConnectionState, str], list[str]] = {}
        #: when each reason was last reported: stream -> reason -> time
        self._reasons: dict[str, dict[str, Nanos]] = {}
        self._told_lost: set[str] = set()

    def changed(self, event: Connection) -> None:
        """Record a new state of a pair's stream or of an account stream."""
        if event.is_refused:  # reported once elsewhere rather than for each stream
            self._troubles[event.stream] = event.detail
            return
        pairs = self._changes.setdefault((event.stream, event.state, event.detail), [])
        if event.pair is not None:
            pairs.append(event.pair)
        elif event.state in CONNECTED:
            self._troubles.pop(event.stream, None)
        else:
            self._troubles[event.stream] = event.detail

    def tell(self, now: Nanos) -> None:
        """Report changes since the last call."""
        if not self._changes:
            return
        changes, self._changes = self._changes, {}
        for (stream, state, detail), pairs in changes.items():
            self._tell_of(f"{stream} {', '.join(pairs)}".rstrip(), state, detail, now, account=not pairs)

    def _tell_of(self, name: str, state: ConnectionState, detail: str, now: Nanos, *, account: bool) -> None:
        if state in CONNECTED:
            log.info("the stream %s: %s", name, f"{state.value}; {detail}" if detail else state.value)
            if name in self._told_lost and state is ConnectionState.CONNECTED:
                self._told_lost.discard(name)
                self._tell("info", f"the stream {name} is back")
        elif not self._is_news(name, detail.partition(";")[0], now):
            log.info("the stream %s: %s", name, detail)
        elif state is ConnectionState.LOST:
            self._told_lost.add(name)
            text = f"the stream {name} was lost: {detail}; missed data is fetched once it is back"
            self._tell("warning", text)
        else:
            compared = ", and the bot is reconciled with the exchange" if account else ""
            self._tell(
                "warning",
                f"the stream {name} sent data that cannot be read ({detail}); it was "
                f"skipped{compared}. Check whether there is a newer botkit",
            )

    def _is_news(self, name: str, reason: str, now: Nanos) -> bool:
        reasons = self._reasons.setdefault(name, {})
        before = reasons.get(reason)
        if before is not None and now - before < _REPEATED_AFTER:
            return False
        if len(reasons) >= _REASONS_MAX:
            reasons.clear()
        reasons[reason] = now
        return True

    def summary(self) -> str:
        """Return the problems of the account streams in one line."""
        return "; ".join(f"{stream}: {text}" for stream, text in self._troubles.items())
