"""The time that a running bot lives by: it begins at the time of day and then advances like a monotonic clock.

A time of day that is set an hour forward would free the router's slots early, and one set back would stop every timer.
So the machine's time of day is read once, and after that only compared (`SteadyClock.drift_ns`). Where the system has a
counter that goes on while the machine sleeps it is used: after ten minutes of sleep it is ten minutes later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from botkit.live.ports import MachineClock
from botkit.model.clock import Nanos


class DriverClock(Protocol):
    """The bot's time. An emulator's clock is one: it may run faster than the machine's (`botkit.live.ports`)."""

    #: seconds of this clock for each second of the machine
    speed: float

    def now(self) -> Nanos:
        """Nanoseconds since the epoch, UTC. It never goes back."""
        ...


def counter_ns() -> int:
    """A counter that every process of this machine shares, that nobody sets, and that starts at 0 with the system."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns() if boot is None else time.clock_gettime_ns(boot)


class RealClock:
    """The machine's own time (`botkit.live.ports.MachineClock`)."""

    # the system's own functions: the watchdog asks twice a turn
    wall_ns = staticmethod(time.time_ns)
    monotonic_s = staticmethod(time.monotonic)
    counter_ns = staticmethod(counter_ns)
    sleep = staticmethod(time.sleep)


REAL_CLOCK = RealClock()


class SteadyClock:
    """The time of day as of the start, carried on by a counter that nobody sets."""

    speed = 1.0

    def __init__(self, *, wall: Callable[[], int] = time.time_ns, counter: Callable[[], int] = counter_ns) -> None:
        self._wall = wall
        self._counter = counter
        self._offset = wall() - counter()

    @classmethod
    def of(cls, clock: MachineClock) -> SteadyClock:
        """The steady clock of a machine, from now on."""
        return cls(wall=clock.wall_ns, counter=clock.counter_ns)

    def now(self) -> Nanos:
        """Nanoseconds since the epoch, UTC."""
        return self._offset + self._counter()

    def drift_ns(self) -> Nanos:
        """How far the machine's time of day has been moved away from this clock; above zero: set forward."""
        return self._wall() - self.now()
