"""The process started by ``botkit run --page``: ``python -m botkit.page [--port N] [--lang LANGUAGE] FOLDER...``.

It prints its address, or an error, as one line of JSON. It exits when its standard input closes, which happens whenever
the bots' process exits, even after a crash.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
from pathlib import Path

from botkit.errors import BotkitError
from botkit.live.state_folder import state_root
from botkit.page.access import kept_token
from botkit.page.server import PageServer
from botkit.report.language import ENGLISH, LANGUAGES, using

#: a lower priority than the bot's, because both run on the same machine
_NICENESS = 5


def main(arguments: list[str] | None = None) -> int:
    """Serve the page for the bots in the given folders."""
    parser = argparse.ArgumentParser(prog="python -m botkit.page")
    parser.add_argument("--port", type=int)
    parser.add_argument("--lang", choices=LANGUAGES, default=ENGLISH)
    parser.add_argument("folders", nargs="+", type=Path)
    given = parser.parse_args(arguments)
    with contextlib.suppress(ValueError, OSError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is meant only for the bots
    if hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(_NICENESS)
    try:
        with using(given.lang):
            asyncio.run(_serve(given.port, given.folders))
    except (BotkitError, OSError) as error:
        _say({"error": str(error)})
        return 2
    return 0


async def _serve(port: int | None, folders: list[Path]) -> None:
    ended, loop = asyncio.Event(), asyncio.get_running_loop()

    def read() -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdin.buffer.read()
        with contextlib.suppress(RuntimeError):  # the event loop has already stopped
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, name="standard input", daemon=True).start()
    root = state_root()
    async with PageServer(root, kept_token(root), port=port, folders=folders) as server:
        _say({"address": server.address})
        await ended.wait()


def _say(row: dict[str, str]) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
