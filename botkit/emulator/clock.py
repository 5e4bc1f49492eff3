"""The emulator's clock. It runs faster than the machine's clock by a factor, or is held and moved explicitly
(lockstep).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from botkit.model.clock import Nanos


class MachineTime:
    """The machine's time. Only this module reads it; a simulation passes a substitute object."""

    #: nanoseconds since the epoch; may be set forward or back
    wall_ns = staticmethod(time.time_ns)
    #: nanoseconds on a counter that is never adjusted
    monotonic_ns = staticmethod(time.monotonic_ns)


MACHINE_TIME = MachineTime()


class EmulatorClock:
    """A clock that starts at ``start`` and runs ``speed`` times as fast as the machine's clock, unless it is held.

    ``monotonic`` is a monotonic counter (default: the machine's monotonic clock), so adjusting the machine's wall clock
    does not change the exchange's time.
    """

    def __init__(
        self, start: Nanos, speed: float = 1.0, *, held: bool = False, monotonic: Callable[[], int] | None = None
    ) -> None:
        assert speed > 0, speed
        self.speed = speed
        self.held = held
        self._from = start
        self._monotonic = monotonic or MACHINE_TIME.monotonic_ns
        self._since = self._monotonic()
        #: called when the clock is held or its speed changes
        self.on_change: Callable[[], None] = lambda: None

    def now(self) -> Nanos:
        """Return the exchange's time, in nanoseconds since the epoch. It never decreases."""
        if self.held:
            return self._from
        passed = self._monotonic() - self._since
        return self._from + (passed if self.speed == 1.0 else int(passed * self.speed))

    def drift_ns(self) -> Nanos:
        """Return 0, because the exchange's time does not follow the machine's wall time."""
        return 0

    def move(self, to: Nanos) -> None:
        """Advance a held clock to ``to``."""
        assert self.held, "only a held clock can be moved manually"
        self._from = max(self._from, to)

    def hold(self) -> None:
        """Stop the clock."""
        self._from = self.now()
        self.held = True
        self.on_change()

    def resume(self, speed: float | None = None) -> None:
        """Let the clock run again, starting at its current time."""
        self._from = self.now()
        self._since = self._monotonic()
        self.speed = self.speed if speed is None else speed
        self.held = False
        self.on_change()
