"""The machine's clock and random number generator, for clients that are created without their own. A bot always passes
its clock and random number generator to its clients.

No other module under ``exchange`` reads the clock or generates random numbers, so a test can run a bot on virtual time.
"""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager
from random import Random

from botkit.model.clock import Nanos


class SystemClock:
    """The machine's clock."""

    def now(self) -> Nanos:
        """Return the time in nanoseconds since the epoch, UTC."""
        return time.time_ns()


def system_random() -> Random:
    """Return a random number generator that is seeded differently in every run."""
    return Random()


def thread_lock() -> AbstractContextManager[object]:
    """Return a lock for use in a ``with`` block. Only one thread of the process can hold the lock at a time."""
    return threading.Lock()


__all__ = ["SystemClock", "system_random", "thread_lock"]
