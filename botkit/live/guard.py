"""A guard is a separate process that cancels a bot's open orders when the bot's heartbeats stop.

A bot cannot cancel its orders after it is killed or while it is stuck in a plugin's endless loop. As a heartbeat, the
bot updates the timestamp of its lock file every second, which works even on a full disk. On a disk that cannot be
written to (read-only or failing), missing heartbeats do not show that the bot is dead, so the guard waits for the bot's
process to exit. A restarted bot starts its own guard, and the previous guard exits.

`Guarding` is the bot's side and replaces a guard that has exited. A guard records its intervention in the bot's folder
(`Strike`). After the bot wakes up or is restarted, it reports the intervention to the user.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

from botkit.live.panic import PanicResult
from botkit.live.ports import MachineClock
from botkit.live.state_folder import StateFolder, Strike
from botkit.model.clock import Nanos

_LOOK_S = 0.5
#: If the time between two checks is longer than this, the guard itself was suspended (the machine slept or is very
#: busy), and perhaps the bot was too. Each check therefore adds at most this much to the silence.
_LOOK_COUNTS_S = 2.0
_AGAIN_S = 5.0
#: a guard that keeps failing is restarted at increasing intervals
_PAUSE_S = 1.0
_PAUSE_MAX_S = 60.0
_LASTED_S = 60.0


# -- the bot's side ---------------------------------------------------------------------------------------------------


class GuardProcess(Protocol):
    """The methods of a guard process that are used here (`subprocess.Popen` provides them)."""

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        ...

    def terminate(self) -> None:
        """Terminate the process."""
        ...

    def wait(self) -> int:
        """Wait for the process to exit and return its exit code."""
        ...


class Guarding:
    """Keeps a guard process running for a bot. ``start`` starts a guard. ``tell`` warns the user."""

    def __init__(self, start: Callable[[], GuardProcess], tell: Callable[[str], None], clock: MachineClock) -> None:
        self._start = start
        self._tell = tell
        self._now_s = clock.monotonic_s
        self._guard: GuardProcess | None = start()
        self._started_at = self._now_s()
        self._pause_s = _PAUSE_S
        self._again_at = 0.0

    async def watch(self) -> None:
        """Check the guard until this task is cancelled."""
        while True:
            await asyncio.sleep(_PAUSE_S)
            self.look()

    def look(self) -> None:
        """Replace the guard if it has exited."""
        now = self._now_s()
        if self._guard is not None:
            code = self._guard.poll()
            if code is None:
                return
            self._guard = None
            has_lasted = now - self._started_at >= _LASTED_S
            self._pause_s = _PAUSE_S if has_lasted else min(_PAUSE_MAX_S, 2 * self._pause_s)
            self._again_at = now if has_lasted else now + self._pause_s
            why = f"signal {-code}" if code < 0 else f"exit code {code}"
            self._tell(f"this bot's guard has exited ({why}); starting a new one")
        if now < self._again_at:
            return
        try:
            self._guard, self._started_at = self._start(), now
        except OSError as error:
            self._again_at = now + _PAUSE_MAX_S
            self._tell(f"the guard cannot be started ({error}); retrying in a minute")

    def end(self) -> None:
        """Terminate the guard, because the bot has stopped cleanly."""
        if self._guard is not None:
            self._guard.terminate()
            self._guard.wait()


# -- the guard's side -------------------------------------------------------------------------------------------------


class Silence:
    """Measures how long a bot has been silent by watching its heartbeat.

    The file's timestamp is never compared with a clock, because clocks can be set. Silence is the time for which this
    process has watched the timestamp and it has not changed.
    """

    def __init__(self, folder: StateFolder, clock: MachineClock) -> None:
        self._folder = folder
        self._now_s = clock.monotonic_s
        self._looked_at = clock.monotonic_s()
        self._found: Nanos | None = None
        self._silent_s = 0.0

    def look(self) -> float:
        """Return the number of seconds without a heartbeat."""
        now = self._now_s()
        passed, self._looked_at = now - self._looked_at, now
        found = self._folder.heartbeat()
        if found != self._found:
            self._found, self._silent_s = found, 0.0
        else:
            self._silent_s += min(passed, _LOOK_COUNTS_S)
        return self._silent_s


def has_successor(folder: StateFolder, bot: int) -> bool:
    """Return whether the bot has been restarted, so that another process is now trading."""
    return bool((folder.read_status() or {}).get("process", bot) != bot)


class Guard:
    """Watches the bot whose process is ``bot``. ``cancel`` cancels the bot's orders and may be called again if it
    failed.
    """

    def __init__(
        self,
        folder: StateFolder,
        guard_s: float,
        bot: int,
        cancel: Callable[[], PanicResult],
        *,
        clock: MachineClock,
        say: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._guard_s = guard_s
        self._bot = bot
        self._cancel = cancel
        self._clock = clock
        self._say = say
        self._silence = Silence(folder, clock)
        self._problem = ""
        #: the orders that were to be cancelled during this silence, in several attempts if the first ones failed
        self._hit: set[str] = set()

    def run(self) -> None:
        """Watch until the bot has a successor, its folder is removed, or it is dead and its orders are cancelled."""
        has_struck, again_at = False, 0.0
        while not has_successor(self._folder, self._bot):
            silent_s = self._silence.look()
            if silent_s < self._guard_s:
                # the bot is alive or has recovered, so keep watching
                has_struck, again_at, self._problem = False, 0.0, ""
                self._hit = set()
            elif not has_struck and self._clock.monotonic_s() >= again_at and self._proves_something(silent_s):
                if not again_at:
                    self._say(f"the bot has been silent for {silent_s:.0f} s; its open orders are being cancelled")
                has_struck = self._strike(silent_s)
                again_at = self._clock.monotonic_s() + _AGAIN_S
            if (has_struck or self._knows_nothing()) and self._folder.holder() is None:
                return
            self._clock.sleep(_LOOK_S)

    def _proves_something(self, silent_s: float) -> bool:
        """Return whether the silence shows that the bot is dead. It does not if the disk accepts no heartbeats while
        the bot's process is still running.
        """
        if self._folder.takes_heartbeats() or self._folder.holder() is None:
            return True
        problem = f"the disk that holds {self._folder.path} is not writable, so heartbeats cannot be saved"
        if problem != self._problem:
            self._problem = problem
            self._say(
                f"the bot has been silent for {silent_s:.0f} s, but {problem}; its process is still running, so its "
                "orders stay open until it exits"
            )
        return False

    def _knows_nothing(self) -> bool:
        """Return whether the journal is missing. Without it, there is no list of orders to cancel."""
        try:
            return self._folder.disk.files.identity(self._folder.journal) is None
        except OSError:
            return False

    def _strike(self, silent_s: float) -> bool:
        """Cancel the bot's orders. Return True if none of them are still open."""
        try:
            result = self._cancel()
        except Exception as error:  # the failure may be temporary, and nothing else would cancel the orders
            problem = str(error) or type(error).__name__
            if problem != self._problem:
                self._problem = problem
                self._say(f"the orders cannot be cancelled ({problem}); retrying")
            return False
        self._hit |= result.hit
        if result.left != ():
            return False
        strike = Strike(silent_s=silent_s, cancelled=len(self._hit), time=self._clock.wall_ns())
        with contextlib.suppress(OSError):
            self._folder.leave_strike(strike)
        return True
