"""This machine, as the ports of a running bot: `botkit run` and its sister commands use it, simulations another."""

from __future__ import annotations

from random import Random

from botkit.live.background import THREADS
from botkit.live.clock import REAL_CLOCK
from botkit.live.disk import REAL_DISK
from botkit.live.ports import Machine
from botkit.live.telling.memory import resident_bytes


def this_machine() -> Machine:
    """The machine that this process runs on; its chance begins anywhere."""
    return Machine(clock=REAL_CLOCK, random=Random(), background=THREADS, disk=REAL_DISK, resident_bytes=resident_bytes)
