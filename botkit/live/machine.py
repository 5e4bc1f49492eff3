"""This machine, as the ports of a running bot: `botkit run` and its sister commands use it, simulations another."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random, SystemRandom

from botkit.live.background import THREADS
from botkit.live.clock import REAL_CLOCK
from botkit.live.disk import REAL_DISK
from botkit.live.ports import Machine


def this_machine() -> Machine:
    """The machine that this process runs on; its chance begins anywhere."""
    return Machine(clock=REAL_CLOCK, random=Random(), background=THREADS, disk=REAL_DISK, resident_bytes=resident_bytes)


def secret_random() -> Random:
    """Chance that nobody can guess, for tokens."""
    return SystemRandom()


def resident_bytes() -> int | None:
    """Memory that the process holds in RAM; None where the system does not show it as a file."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return None
