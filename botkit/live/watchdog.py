"""Uses a separate thread to detect that a strategy is blocking the bot, and reports the plugin, the file and the line.

While a callback runs, the bot can do nothing else: it reads no responses and cancels no orders. The thread cannot abort
the callback, because Python has no safe way to do so, but it can report which callback is blocking. For a bot that
hangs forever, `live.guard_s` starts a second process that cancels its orders.
"""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec

from botkit.live.background import THREADS
from botkit.live.clock import REAL_CLOCK
from botkit.live.ports import Background, MachineClock, Repeating

_OWN = str(Path(__file__).resolve().parents[1])
_PYTHON = sysconfig.get_paths()["stdlib"]
#: how often the thread checks, and how often it repeats its report while one callback keeps running
_LOOK_S = 0.05
_REPEAT_S = 10.0
_STOP_S = 2.0


class Blocked(msgspec.Struct, frozen=True, kw_only=True):
    """A callback that has been running for ``seconds`` seconds. ``where`` is file:line in the plugin."""

    plugin: str
    where: str
    seconds: float
    stack: str
    #: False if no line of a plugin is running, only botkit's and Python's own
    is_of_plugin: bool = True

    @property
    def level(self) -> str:
        """The level at which this is reported. A busy machine is no fault of a plugin."""
        return "error" if self.is_of_plugin else "warning"

    def __str__(self) -> str:
        if not self.is_of_plugin:
            return f"the bot has been held up for {self.seconds:.2f} s, but not by a strategy; this machine is busy"
        return f"{self.plugin} has blocked the bot for {self.seconds:.2f} s at {self.where}"


class Watchdog:
    """Watches the thread that created it. Call `enter` before a turn and `leave` after it. Each call is a cheap
    attribute write.
    """

    def __init__(
        self,
        report: Callable[[Blocked], None],
        *,
        limit_s: float = 0.25,
        clock: MachineClock = REAL_CLOCK,
        background: Background = THREADS,
    ) -> None:
        """``report`` is called on the watchdog's thread."""
        self._report = report
        self._limit_s = limit_s
        self._now_s = clock.monotonic_s
        self._background = background
        self._frame = background.caller_frame()
        self._since: float | None = None
        self._turn = 0
        self._told, self._told_at = 0, 0.0
        self._has_stopped = False
        self._looking: Repeating | None = None

    def start(self) -> None:
        """Start watching."""
        self._looking = self._background.repeat("watchdog", self._look)

    def stop(self) -> None:
        """Stop watching."""
        self._has_stopped = True
        if self._looking is not None:
            self._looking.stop(_STOP_S)

    def enter(self) -> None:
        """Record the start of a turn."""
        self._turn += 1
        self._since = self._now_s()

    def leave(self) -> None:
        """Record the end of a turn."""
        self._since = None

    def _look(self) -> float | None:
        if self._has_stopped:
            return None
        since, turn = self._since, self._turn
        if since is None:
            return _LOOK_S
        now = self._now_s()
        if now - since < self._limit_s or (turn == self._told and now - self._told_at < _REPEAT_S):
            return _LOOK_S
        blocked = self._describe(now - since)
        if blocked is not None and self._turn == turn and self._since is not None:
            self._told, self._told_at = turn, now
            self._report(blocked)
        return _LOOK_S

    def _describe(self, seconds: float) -> Blocked | None:
        frame = self._frame()
        if frame is None:
            return None
        stack = traceback.extract_stack(frame)
        # the plugin starts at the first frame outside botkit that botkit called; deeper frames are attributed to the
        # plugin
        own = [i for i, entry in enumerate(stack) if entry.filename.startswith(_OWN)]
        theirs = stack[own[-1] + 1 :] if own else []
        if own and not theirs:
            # the callback has called botkit, so take the last plugin frame above that call
            last = max((i for i, e in enumerate(stack) if not e.filename.startswith(_OWN) and i > own[0]), default=None)
            theirs = [stack[last]] if last is not None else [stack[-1]]
        # take the innermost line of the plugin itself, not of a library
        entry = next((e for e in reversed(theirs) if e.filename == theirs[0].filename), stack[-1])
        return Blocked(
            is_of_plugin=not (entry.filename.startswith(_OWN) or _is_of_python(entry.filename)),
            plugin=Path(entry.filename).stem,
            where=f"{entry.filename}:{entry.lineno} in {entry.name}",
            seconds=seconds,
            stack="".join(traceback.format_list(theirs or stack)),
        )


def _is_of_python(file: str) -> bool:
    # on some systems, installed packages are in a folder within the standard library's
    return file.startswith("<frozen") or (
        file.startswith(_PYTHON) and not {"site-packages", "dist-packages"} & set(Path(file).parts)
    )
