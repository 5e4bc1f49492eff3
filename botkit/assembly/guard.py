"""A process beside a bot that cancels the bot's open orders when its heartbeats stop.

    python -m botkit.assembly.guard CONFIG FOLDER GUARD_S REST WS PID

A bot that is killed, or hangs in a plugin's endless loop, cannot cancel anything itself. Its heartbeat is the status
file that it writes each second. A bot that is started again brings a guard of its own, so the one of process PID
leaves. Credentials come from the configuration again, never from the command line.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from botkit.assembly import Project
from botkit.assembly.live import account_access
from botkit.live.journal import Journal
from botkit.live.panic import OwnOrders, PanicResult, panic
from botkit.live.state_folder import StateFolder

_LOOK_S = 0.5


def start_guard(
    config: Path, folder: StateFolder, guard_s: int, address: tuple[str | None, str | None]
) -> subprocess.Popen[bytes]:
    """Start the guard of a bot; end it with ``terminate`` when the bot has ended in order."""
    arguments = [str(config), str(folder.path), str(guard_s), *(part or "" for part in address), str(os.getpid())]
    return subprocess.Popen(
        [sys.executable, "-m", "botkit.assembly.guard", *arguments],
        stdin=subprocess.DEVNULL,
        # of its own, so that a Ctrl-C for the bot does not end its guard as well
        start_new_session=os.name == "posix",
    )


def heartbeat_age_s(folder: StateFolder) -> float:
    """Seconds since the bot last said that it is alive; infinite where it never did."""
    try:
        return time.time() - (folder.path / "status.json").stat().st_mtime
    except OSError:
        return float("inf")


def has_successor(folder: StateFolder, bot: int) -> bool:
    """Whether the bot has been started again, as another process, and trades."""
    return bool((folder.read_status() or {}).get("process", bot) != bot)


async def cancel_own(project: Project, folder: StateFolder, rest: str | None, ws: str | None) -> PanicResult:
    """Cancel the orders of the folder's bot; those of others stay."""
    journal = Journal.open(folder.journal, read_only=True)
    own = OwnOrders(journal.order_rows())
    journal.close()
    async with account_access(project, folder.path.parent.name, rest=rest, ws=ws, hurries=True, say=_say) as access:
        # without the latch: a bot that comes back knows its journal, and may go on
        return await panic(access, own, own_only=True, can=access.sender.capabilities, say=_say)


def _say(text: str) -> None:
    sys.stderr.write(f"guard: {text}\n")


def main(arguments: list[str]) -> int:
    """Watch until the heartbeats stop, then cancel, until it has worked; 0 when nothing is left to do."""
    config, folder = Path(arguments[0]), StateFolder(Path(arguments[1]))
    guard_s = float(arguments[2])
    rest, ws = (part or None for part in arguments[3:5])
    bot = int(arguments[5])
    began = time.monotonic()
    while heartbeat_age_s(folder) < guard_s or time.monotonic() - began < guard_s:
        if has_successor(folder, bot):
            return 0
        time.sleep(_LOOK_S)
    _say(f"the bot has been silent for {guard_s:.0f} s; its open orders are cancelled")
    project = Project.load(config)
    while not has_successor(folder, bot):
        result = asyncio.run(cancel_own(project, folder, rest, ws))
        if result.left == ():
            return 0
        time.sleep(5)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
