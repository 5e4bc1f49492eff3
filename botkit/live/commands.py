"""What other processes ask of a running bot: files in its folder, taken in the order of their names, answered beside.

Files need no port, no password and no running bot to leave them; whoever may write into the folder owns the bot.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from botkit.errors import BotkitError
from botkit.live.state_folder import StateFolder, write_whole

_POLL_S = 0.05


class CommandFailed(BotkitError):
    """The running bot did not take a command, or none runs."""


def leave(folder: StateFolder, command: str, **arguments: Any) -> Path:
    """Leave a command for the running bot; returns its file."""
    folder.commands.mkdir(parents=True, exist_ok=True)
    path = folder.commands / f"{time.time_ns():020d}-{os.getpid()}.json"
    write_whole(path, json.dumps({"command": command, **arguments}).encode())
    return path


def ask(folder: StateFolder, command: str, *, timeout_s: float = 10.0, **arguments: Any) -> str:
    """Leave a command and wait for the bot's sentence about it. Raises CommandFailed."""
    if folder.holder() is None:
        raise CommandFailed("this bot does not run; start it with `botkit run`")
    path = leave(folder, command, **arguments)
    answer = path.with_suffix(".answer")
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(answer.read_bytes())
            answer.unlink(missing_ok=True)
            if not found["ok"]:
                raise CommandFailed(found["text"])
            return str(found["text"])
        time.sleep(_POLL_S)
    path.unlink(missing_ok=True)
    raise CommandFailed(f"the bot did not answer within {timeout_s:.0f} s; `botkit panic` works without it")


def take(folder: StateFolder) -> list[tuple[Path, dict[str, Any]]]:
    """The commands that wait, oldest first; each is gone from the folder once taken."""
    try:
        names = sorted(name for name in os.listdir(folder.commands) if name.endswith(".json"))  # noqa: PTH208  hot
    except OSError:
        return []
    found = []
    for name in names:
        path = folder.commands / name
        with contextlib.suppress(OSError, ValueError):
            document = json.loads(path.read_bytes())
            if isinstance(document, dict) and isinstance(document.get("command"), str):
                found.append((path, document))
        path.unlink(missing_ok=True)
    return found


def answer(path: Path, *, ok: bool, text: str) -> None:
    """Tell whoever left a command what became of it."""
    write_whole(path.with_suffix(".answer"), json.dumps({"ok": ok, "text": text}).encode(), durable=False)
