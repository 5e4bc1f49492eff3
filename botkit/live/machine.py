"""Provides this machine as a running bot's ports, for `botkit run` and related commands. Simulations provide their own
ports.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random, SystemRandom

from botkit.live.background import THREADS
from botkit.live.clock import REAL_CLOCK
from botkit.live.disk import REAL_DISK
from botkit.live.ports import Machine


def this_machine() -> Machine:
    """Return the ports of this machine, with an unseeded random number generator."""
    return Machine(clock=REAL_CLOCK, random=Random(), background=THREADS, disk=REAL_DISK, resident_bytes=resident_bytes)


def secret_random() -> Random:
    """Return a random number generator with unpredictable output, for tokens."""
    return SystemRandom()


def resident_bytes() -> int | None:
    """Return the process's resident memory in bytes, or None if the system does not report it in a file."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return None
