"""``python -m botkit.live.limits.broker_process``: be the limits broker, unless there is one."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
from pathlib import Path
from random import SystemRandom
from typing import IO

from botkit.live.clock import counter_ns
from botkit.live.limits.broker import Broker, BrokerFolder


def take_lock(path: Path) -> IO[bytes] | None:
    """Hold ``path`` for as long as the file stays open; None while another process does."""
    file = path.open("ab")
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def main(arguments: list[str] | None = None) -> int:
    """The process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", type=Path, help="Where the broker keeps its files.")
    parser.add_argument("--port", action="store_true", help="Listen on a loopback port, as on Windows.")
    options = parser.parse_args(arguments)
    folder = BrokerFolder(options.folder, by_port=options.port or sys.platform == "win32")
    logging.basicConfig(filename=folder.errors, filemode="w", level=logging.WARNING)
    lock = take_lock(folder.lock)
    if lock is None:
        return 0
    with lock:
        asyncio.run(Broker(folder, counter_ns, SystemRandom()).serve())
    return 0


if __name__ == "__main__":
    if sys.platform != "win32":
        os.chdir(tempfile.gettempdir())  # a folder that was mounted must not stay busy because of the broker
    sys.exit(main())
