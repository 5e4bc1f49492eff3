"""``python -m botkit.live.limits.broker_process``: runs the limits broker, unless one is already running."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
from pathlib import Path

from botkit.live.limits.broker import Broker, BrokerFolder
from botkit.live.machine import boot_id, secret_random, this_machine


def main(arguments: list[str] | None = None) -> int:
    """Run the broker process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", type=Path, help="Where the broker keeps its files.")
    parser.add_argument("--port", action="store_true", help="Listen on a loopback port, as on Windows.")
    options = parser.parse_args(arguments)
    folder = BrokerFolder(options.folder, by_port=options.port or sys.platform == "win32")
    machine = this_machine()
    lock = machine.disk.lock(folder.lock, str(os.getpid()))
    if lock is None:
        return 0
    try:
        logging.basicConfig(filename=folder.errors, filemode="w", level=logging.WARNING)
        broker = Broker(folder, machine.disk.files, machine.clock.counter_ns, secret_random(), boot_id())
        asyncio.run(broker.serve())
    finally:
        lock.release()
    return 0


if __name__ == "__main__":
    if sys.platform != "win32":
        os.chdir(tempfile.gettempdir())  # do not keep a mounted file system busy
    sys.exit(main())
