"""The clock of a running bot. It starts at the wall time and then advances like a monotonic clock.

If the bot followed a wall clock, setting the clock an hour forward would free the router's slots early, and setting it
back would stop every timer. The bot therefore reads the machine's wall time once, and after that only compares its own
time with the wall time (`SteadyClock.drift_ns`). If the system has a counter that keeps running during sleep, that
counter is used, so after ten minutes of sleep the bot's time is ten minutes later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from botkit.live.ports import MachineClock
from botkit.model.clock import Nanos


class DriverClock(Protocol):
    """The bot's time. With an emulator it may run faster than the machine's time (`botkit.live.ports`)."""

    #: seconds of this clock per second of machine time
    speed: float

    def now(self) -> Nanos:
        """Return the time in nanoseconds since the epoch, UTC. It never goes backward."""
        ...

    def drift_ns(self) -> Nanos:
        """Return how far the machine's wall time is ahead of this clock. 0 if this clock does not follow it, as with an
        emulator.
        """
        ...


def counter_ns() -> int:
    """Return a counter that starts at 0 at boot, is never adjusted, and is shared by all processes on this machine."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns() if boot is None else time.clock_gettime_ns(boot)


class RealClock:
    """The machine's own time (`botkit.live.ports.MachineClock`)."""

    # stored as attributes for speed, because the watchdog calls them twice a turn
    wall_ns = staticmethod(time.time_ns)
    monotonic_s = staticmethod(time.monotonic)
    counter_ns = staticmethod(counter_ns)
    sleep = staticmethod(time.sleep)


REAL_CLOCK = RealClock()


class SteadyClock:
    """A clock that starts at the wall time and advances with a counter that is never adjusted."""

    speed = 1.0

    def __init__(self, *, wall: Callable[[], int] | None = None, counter: Callable[[], int] | None = None) -> None:
        """``wall`` and ``counter`` default to this machine's wall clock and counter."""
        self._wall = wall or REAL_CLOCK.wall_ns
        self._counter = counter or REAL_CLOCK.counter_ns
        self._offset = self._wall() - self._counter()

    @classmethod
    def of(cls, clock: MachineClock) -> SteadyClock:
        """Create a steady clock for a machine, starting now."""
        return cls(wall=clock.wall_ns, counter=clock.counter_ns)

    def now(self) -> Nanos:
        """Return the time in nanoseconds since the epoch, UTC."""
        return self._offset + self._counter()

    def drift_ns(self) -> Nanos:
        """Return how far the machine's wall time is ahead of this clock. Negative if the wall time was set back."""
        return self._wall() - self.now()
