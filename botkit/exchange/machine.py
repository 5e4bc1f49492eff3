"""What a client lives by where nobody hands it a clock and a source of chance. A bot always does.

Nothing else under ``exchange`` reads the machine: so a bot can run on a loop whose time a test carries.
"""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager
from random import Random

from botkit.model.clock import Nanos


class SystemClock:
    """The machine's own time of day."""

    def now(self) -> Nanos:
        """Nanoseconds since the epoch, UTC."""
        return time.time_ns()


def system_random() -> Random:
    """Chance that differs with every start."""
    return Random()


def thread_lock() -> AbstractContextManager[object]:
    """What only one thread of the process may do at a time, in a ``with`` block."""
    return threading.Lock()


__all__ = ["SystemClock", "system_random", "thread_lock"]
