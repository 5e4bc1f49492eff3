"""Finds the running bots on this machine that can be controlled through a Telegram bot, and passes commands on to them.

Each bot's folder contains a file, ``telegram.json``, with the chat and user from which the bot accepts commands. The
file is valid while the folder is locked. One process can therefore serve all bots, and a bot that was killed is not
found.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from botkit.live import commands
from botkit.live.clock import REAL_CLOCK
from botkit.live.notifications.status_text import status_lines, status_of, why_lines
from botkit.live.panic import hold_back
from botkit.live.ports import Disk, MachineClock
from botkit.live.state_folder import StateFolder
from botkit.model.clock import NS_PER_DAY, Nanos

_FILE = "telegram.json"
#: the kinds of halt that a chat may lift; a halt after a loss or a lost journal must be lifted on the bot's machine
_LIFTED = ("panic",)
#: how long a panic may take; enough for five listings and cancels
_PANIC_S = 45.0
_LOOK_BACK: Nanos = NS_PER_DAY


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """The chat and user from which a bot accepts commands. ``mark`` identifies the token
    (`botkit.live.notifications.telegram.api.mark_of`).
    """

    mark: str
    chat: int
    user: int


class Allowed(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``telegram.json``. ``since`` is the machine time at which the bot started listening."""

    process: int
    since: Nanos
    access: tuple[Access, ...]


class Commanded(Protocol):
    """A bot that accepts commands."""

    @property
    def name(self) -> str:
        """The bot's name."""
        ...

    @property
    def mode(self) -> str:
        """The mode in which the bot runs."""
        ...

    #: the machine time at which the bot started listening
    since: Nanos

    def do(self, command: str, strategy: str | None) -> str:
        """Execute a command and return the reply. Raises CommandFailed."""
        ...


def allow(folder: StateFolder, access: Access, now: Nanos) -> None:
    """Let the running bot with this folder accept commands from a chat. Entries from the bot's earlier runs are
    dropped.
    """
    holder, before = folder.holder() or 0, _read(folder)
    kept = before.access if before is not None and before.process == holder else ()
    content = Allowed(process=holder, since=now, access=(*(one for one in kept if one != access), access))
    with contextlib.suppress(OSError):  # on a full disk the bot runs without chat commands
        folder.disk.files.write(folder.path / _FILE, msgspec.json.encode(content), durable=False)


def reachable(root: Path, disk: Disk, mark: str, chat: int, user: int) -> list[ReachableBot]:
    """Return the running bots that accept this user's commands from this chat, ordered by name and mode."""
    found = []
    names = disk.files.names
    for name in names(root):
        if name.startswith("."):
            continue
        with contextlib.suppress(OSError):
            for mode in names(root / name):
                for account in names(root / name / mode):
                    folder = StateFolder(root / name / mode / account, disk, root)
                    allowed = _read(folder)
                    if allowed is None or Access(mark=mark, chat=chat, user=user) not in allowed.access:
                        continue
                    if folder.holder() == allowed.process:
                        found.append(ReachableBot(folder, allowed.since))
    return found


def _read(folder: StateFolder) -> Allowed | None:
    try:
        return msgspec.json.decode(folder.disk.files.read(folder.path / _FILE), type=Allowed)
    except (OSError, msgspec.DecodeError):
        return None


class ReachableBot:
    """A running bot in this process or a different one. Commands reach it through its folder, as with `botkit
    pause`.
    """

    def __init__(self, folder: StateFolder, since: Nanos, clock: MachineClock = REAL_CLOCK) -> None:
        self._folder = folder
        self._clock = clock
        self.since = since

    @property
    def name(self) -> str:
        """The bot's name."""
        return self._folder.path.parent.parent.name

    @property
    def mode(self) -> str:
        """The mode in which the bot runs."""
        return self._folder.path.parent.name

    def do(self, command: str, strategy: str | None) -> str:
        """Execute a command and return the reply. Raises CommandFailed."""
        return _DOES[command](self, strategy)

    def _ask(self, command: str, timeout_s: float = 10.0, **more: str) -> str:
        return commands.ask(self._folder, command, timeout_s=timeout_s, clock=self._clock, by=commands.TELEGRAM, **more)

    def _status(self, strategy: str | None) -> str:
        return "\n".join(status_lines(self._folder, status_of(self._folder, self._clock)))

    def _why(self, strategy: str | None) -> str:
        return "\n".join(why_lines(self._folder, _LOOK_BACK, "the last day"))

    def _pause(self, strategy: str | None) -> str:
        return self._ask("pause", strategy=strategy or "")

    def _stop(self, strategy: str | None) -> str:
        return self._ask("stop")

    def _resume(self, strategy: str | None) -> str:
        if strategy is not None:
            return self._ask("resume", strategy=strategy)
        halt = self._folder.halt()
        if halt is None:
            return "the bot is not halted"
        if halt.kind not in _LIFTED:
            raise commands.CommandFailed(
                f"halted ({halt.kind}): {halt.reason}. Only `botkit resume` on the bot's machine lifts this"
            )
        self._folder.clear_halt()
        return f"lifted ({halt.kind}): {halt.reason}"

    def _panic(self, strategy: str | None) -> str:
        said: list[str] = []
        # written to disk first, so that a bot that hangs and then resumes detects the halt before it sends its next
        # order
        hold_back(self._folder, self._clock.wall_ns(), said.append)
        try:
            said.append(self._ask("panic", timeout_s=_PANIC_S))
        except commands.CommandFailed as error:
            said.append(f"its orders may still be open: {error}")
            raise commands.CommandFailed("\n".join(said)) from None
        return "\n".join(said)


_DOES: dict[str, Callable[[ReachableBot, str | None], str]] = {
    "status": ReachableBot._status,
    "why": ReachableBot._why,
    "pause": ReachableBot._pause,
    "resume": ReachableBot._resume,
    "stop": ReachableBot._stop,
    "panic": ReachableBot._panic,
}
