"""A thread that notices when a strategy blocks the bot, and names the plugin, the file and the line.

While a callback runs nothing else can: no answer is read, no order is cancelled. The thread cannot end the callback
(Python has no safe way to), but it says who it is; `live.guard_s` has a second process for a bot that never comes back.
"""

from __future__ import annotations

import contextvars
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec

_OWN = str(Path(__file__).resolve().parents[1])
#: how often the thread looks, and how often it repeats itself while the same callback still runs
_LOOK_S = 0.05
_REPEAT_S = 10.0


class Blocked(msgspec.Struct, frozen=True, kw_only=True):
    """A callback that has run for ``seconds`` and still runs. ``where`` is file:line in the plugin."""

    plugin: str
    where: str
    seconds: float
    stack: str

    def __str__(self) -> str:
        return f"{self.plugin} has blocked the bot for {self.seconds:.2f} s at {self.where}"


class Watchdog:
    """Watches the thread that makes it. Call `enter` before a turn and `leave` after it: two attribute writes."""

    def __init__(self, report: Callable[[Blocked], None], *, limit_s: float = 0.25) -> None:
        self._report = report
        self._limit_s = limit_s
        self._thread_id = threading.get_ident()
        self._since: float | None = None
        self._turn = 0
        self._stopped = threading.Event()
        # in the context of the bot that it watches, so that what it logs is that bot's
        watch = contextvars.copy_context().run
        self._thread = threading.Thread(target=watch, args=(self._watch,), name="botkit watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2)

    def enter(self) -> None:
        """A turn begins."""
        self._turn += 1
        self._since = time.monotonic()

    def leave(self) -> None:
        """A turn has ended."""
        self._since = None

    def _watch(self) -> None:
        told, told_at = 0, 0.0
        while not self._stopped.wait(_LOOK_S):
            since, turn = self._since, self._turn
            if since is None:
                continue
            now = time.monotonic()
            if now - since < self._limit_s or (turn == told and now - told_at < _REPEAT_S):
                continue
            blocked = self._describe(now - since)
            if blocked is None or self._turn != turn or self._since is None:
                continue
            told, told_at = turn, now
            self._report(blocked)

    def _describe(self, seconds: float) -> Blocked | None:
        frame = sys._current_frames().get(self._thread_id)
        if frame is None:
            return None
        stack = traceback.extract_stack(frame)
        # the plugin is the first frame outside botkit that botkit called; what it calls in turn is its own doing
        own = [i for i, entry in enumerate(stack) if entry.filename.startswith(_OWN)]
        theirs = stack[own[-1] + 1 :] if own else []
        if own and not theirs:
            # a callback that asks botkit for something: the last plugin frame above it
            last = max((i for i, e in enumerate(stack) if not e.filename.startswith(_OWN) and i > own[0]), default=None)
            theirs = [stack[last]] if last is not None else [stack[-1]]
        # the plugin's own innermost line, not that of a library it waits in
        entry = next((e for e in reversed(theirs) if e.filename == theirs[0].filename), stack[-1])
        return Blocked(
            plugin=Path(entry.filename).stem,
            where=f"{entry.filename}:{entry.lineno} in {entry.name}",
            seconds=seconds,
            stack="".join(traceback.format_list(theirs or stack)),
        )
