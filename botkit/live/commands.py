"""Passes commands from other processes to a running bot. Commands are files in the bot's folder. They are processed in
name order, and the replies are written to the folder as well.

Files need no port and no password, and can be written even while no bot is running. Anyone who can write to the folder
controls the bot.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from botkit.errors import BotkitError
from botkit.live.clock import REAL_CLOCK
from botkit.live.ports import MachineClock
from botkit.live.state_folder import StateFolder

#: the value of ``by`` that marks a command as coming from a Telegram chat
TELEGRAM = "telegram"
_POLL_S = 0.05


class CommandFailed(BotkitError):
    """The running bot did not accept a command, or no bot is running."""


def leave(folder: StateFolder, command: str, *, clock: MachineClock = REAL_CLOCK, **arguments: Any) -> Path:
    """Write a command for the running bot and return the path of the command file."""
    path = folder.commands / f"{clock.wall_ns():020d}-{os.getpid()}.json"
    folder.disk.files.write(path, json.dumps({"command": command, **arguments}).encode())
    return path


def ask(
    folder: StateFolder, command: str, *, timeout_s: float = 10.0, clock: MachineClock = REAL_CLOCK, **arguments: Any
) -> str:
    """Write a command and wait for the bot's reply. Raises CommandFailed."""
    if folder.holder() is None:
        raise CommandFailed("this bot is not running; start it with `botkit run`")
    files = folder.disk.files
    path = leave(folder, command, clock=clock, **arguments)
    answer = path.with_suffix(".answer")
    until = clock.monotonic_s() + timeout_s
    try:
        while clock.monotonic_s() < until:
            with contextlib.suppress(OSError, ValueError):
                found = json.loads(files.read(answer))
                if not found["ok"]:
                    raise CommandFailed(found["text"])
                return str(found["text"])
            clock.sleep(_POLL_S)
    finally:
        # even after Ctrl-C: a command that was given up must not be obeyed later
        for left in (path, answer):
            with contextlib.suppress(OSError):
                files.remove(left)
    raise CommandFailed(f"the bot did not answer within {timeout_s:.0f} s; `botkit panic` works without it")


def take(folder: StateFolder) -> list[tuple[Path, dict[str, Any]]]:
    """Remove the waiting commands from the folder and return them, oldest first."""
    files = folder.disk.files
    try:
        names = [name for name in files.names(folder.commands) if name.endswith(".json")]
    except OSError:
        return []
    found = []
    for name in names:
        path = folder.commands / name
        document = None
        with contextlib.suppress(OSError, ValueError, RecursionError):
            document = json.loads(files.read(path))
        try:
            files.remove(path)
        except OSError:
            continue  # not returned: on a disk that became read-only, the bot would otherwise repeat it forever
        if isinstance(document, dict) and isinstance(document.get("command"), str):
            found.append((path, document))
    return found


def drop(folder: StateFolder) -> list[str]:
    """Remove the commands and answers of earlier runs, and return the commands' names. Call this when the folder has
    just been locked.
    """
    files = folder.disk.files
    dropped = [document["command"] for _, document in take(folder)]
    with contextlib.suppress(OSError):
        for name in files.names(folder.commands):
            if name.endswith(".answer"):
                with contextlib.suppress(OSError):
                    files.remove(folder.commands / name)
    return dropped


def answer(folder: StateFolder, path: Path, *, ok: bool, text: str) -> None:
    """Write the reply for the process that sent a command. Raises OSError."""
    content = json.dumps({"ok": ok, "text": text}).encode()
    folder.disk.files.write(path.with_suffix(".answer"), content, durable=False)
