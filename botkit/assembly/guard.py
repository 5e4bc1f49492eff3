"""Starts a guard's process (`botkit.live.guard`) and connects it to the account.

    python -m botkit.assembly.guard CONFIG FOLDER GUARD_S REST WS PID

PID is the bot's process ID. Credentials are read from the configuration, never passed on the command line.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from pathlib import Path

from botkit.assembly.account import account_access
from botkit.errors import BotkitError
from botkit.live.clock import REAL_CLOCK
from botkit.live.guard import Guard
from botkit.live.journal import Journal
from botkit.live.panic import PanicResult, own_orders, panic
from botkit.live.state_folder import StateFolder
from botkit.project.project import Project
from botkit.project.without_strategies import without_strategies


def start_guard(
    config: Path, folder: StateFolder, guard_s: int, address: tuple[str | None, str | None]
) -> subprocess.Popen[bytes]:
    """Start a bot's guard and return its process. Call ``terminate`` on the process once the bot has stopped
    cleanly.
    """
    arguments = [str(config), str(folder.path), str(guard_s), *(part or "" for part in address), str(os.getpid())]
    return subprocess.Popen(
        [sys.executable, "-m", "botkit.assembly.guard", *arguments],
        stdin=subprocess.DEVNULL,
        # in its own session, so that Ctrl-C for the bot or a closed terminal does not also stop the guard
        start_new_session=os.name == "posix",
    )


async def cancel_own(project: Project, folder: StateFolder, rest: str | None, ws: str | None) -> PanicResult:
    """Cancel only the open orders of the bot that uses this folder."""
    journal = Journal.open(folder.journal, read_only=True)
    own = own_orders(journal)
    journal.close()
    async with account_access(project, folder.path.parent.name, rest=rest, ws=ws, hurries=True, say=_say) as access:
        # do not halt the bot, because it can continue from its journal after a restart
        return await panic(access, own, own_only=True, can=access.sender.capabilities, say=_say)


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # closing the terminal must not stop the guard
        sys.stderr.write(f"guard: {text}\n")
        sys.stderr.flush()


def main(arguments: list[str]) -> int:
    """Run a guard for one bot, configured by command-line arguments."""
    config, folder = Path(arguments[0]), StateFolder(Path(arguments[1]))
    rest, ws = (part or None for part in arguments[3:5])
    # read the configuration now, as the bot did, because a user may be editing the file when the bot dies
    at_start: Project | None = None
    with contextlib.suppress(BotkitError):
        at_start = without_strategies(config)

    def cancel() -> PanicResult:
        try:
            project = without_strategies(config)
        except BotkitError:
            if at_start is None:
                raise
            project = at_start
        return asyncio.run(cancel_own(project, folder, rest, ws))

    Guard(folder, float(arguments[2]), int(arguments[5]), cancel, clock=REAL_CLOCK, say=_say).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
