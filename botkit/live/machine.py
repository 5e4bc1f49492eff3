"""Provides this machine as a running bot's ports, for `botkit run` and related commands. Simulations provide their own
ports.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random, SystemRandom

from botkit.live.background import THREADS
from botkit.live.clock import REAL_CLOCK
from botkit.live.disk import REAL_DISK
from botkit.live.ports import Machine, MachineClock
from botkit.model.clock import NS_PER_S

#: Where the system has no id for a boot, boots are told apart by the wall time at which they began, to this precision.
#: Two boots are always further apart: a bot ran during the first of them.
_BOOTS_APART_NS = 10 * NS_PER_S


def this_machine() -> Machine:
    """Return the ports of this machine, with an unseeded random number generator."""
    return Machine(clock=REAL_CLOCK, random=Random(), background=THREADS, disk=REAL_DISK, resident_bytes=resident_bytes)


def secret_random() -> Random:
    """Return a random number generator with unpredictable output, for tokens."""
    return SystemRandom()


def boot_id(clock: MachineClock = REAL_CLOCK) -> str:
    """Return a text that stays the same until the machine is booted again, also while it sleeps."""
    try:
        if sys.platform == "linux":
            return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        if sys.platform == "darwin":  # pragma: no cover
            asked = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
            found = subprocess.run(asked, capture_output=True, check=True, text=True, timeout=5).stdout.strip()
            if found:
                return found
    except (OSError, ValueError, subprocess.SubprocessError):
        pass
    return boot_by_clock(clock)


def boot_by_clock(clock: MachineClock) -> str:
    """Return roughly when the machine was booted. A wall clock that is set, or drifts by seconds, looks like another
    boot. That is the safe side: the user waits, but nothing from before a boot is taken for current.
    """
    return f"about {(clock.wall_ns() - clock.counter_ns()) // _BOOTS_APART_NS}"


def resident_bytes() -> int | None:
    """Return the process's resident memory in bytes, or None if the system does not report it in a file."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return None
