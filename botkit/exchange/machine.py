"""What a client lives by where nobody hands it a clock and a source of chance. A bot always does.

Nothing else under ``exchange`` reads the machine: so a bot can run on a loop whose time a test carries.
"""

from __future__ import annotations

import time
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


__all__ = ["SystemClock", "system_random"]
