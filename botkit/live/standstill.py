"""Blocks trading after the bot was suspended (machine asleep, process stopped, event loop blocked) until the bot is
reconciled.

The bot's clock keeps running during a suspension (`botkit.live.clock`), so all of the bot's data is stale afterwards:
prices, balances, and connections that may be dead without having been closed. No new order therefore passes the last
gate until the streams have reconnected and the books have been compared. Cancels and reads continue.
"""

from __future__ import annotations

from collections.abc import Callable

from botkit.model.clock import NS_PER_S, Nanos

#: a gap of this length between beats means that the bot was suspended; on a busy machine a beat may be a second or two
#: late
STANDSTILL_S = 15.0


class Standstill:
    """Detects gaps between the supervisor's beats. ``on_wake(seconds)`` is called after a gap."""

    def __init__(
        self, on_wake: Callable[[float], None], compared_at: Callable[[], Nanos], *, speed: float = 1.0
    ) -> None:
        """``compared_at`` returns the start time of the latest finished comparison of the books. Gaps are measured in
        machine time, because one busy second on a fast emulator can be a minute of bot time.
        """
        self._on_wake = on_wake
        self._compared_at = compared_at
        self._limit: Nanos = int(STANDSTILL_S * NS_PER_S * max(1.0, speed))
        self._beat_at: Nanos | None = None
        self._woke_at: Nanos | None = None
        self._slept_s = 0.0

    def beat(self, now: Nanos) -> None:
        """Report that the bot is alive. Called several times a second."""
        self._look(now)
        self._beat_at = now

    def end(self) -> None:
        """Stop expecting beats."""
        self._beat_at = None

    def gate(self, now: Nanos) -> str | None:
        """Return the reason why no new order may be sent at ``now``, or None. Also detects a gap if an order is sent
        before the next beat.
        """
        self._look(now)
        if self._woke_at is None:
            return None
        if self._compared_at() >= self._woke_at:
            self._woke_at = None
            return None
        return f"the bot was suspended for {self._slept_s:,.0f} s; it must be reconciled with the exchange first"

    def _look(self, now: Nanos) -> None:
        if self._beat_at is None or now - self._beat_at < self._limit:
            return
        self._slept_s = (now - self._beat_at) / NS_PER_S
        self._beat_at = self._woke_at = now
        self._on_wake(self._slept_s)
