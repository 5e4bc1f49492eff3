"""Delays requests even when slots are free, for pacing and for the pause after a 429.

A window used at full speed is exhausted within seconds. Every strategy then waits for the window to end: the
95th-percentile wait of a strategy with few orders was 57.6 s. If the requests are spread over the window, with a small
burst for occasional requests, the total number of requests is unchanged, but that wait falls to 0.22 s.
"""

from __future__ import annotations

from random import Random

from botkit.model.clock import NS_PER_S, Nanos

#: windows smaller than this are not paced, because they recover within about a second once exhausted
LEAST_PACED = 20
#: how many requests may be sent in a burst after a quiet period: a twentieth of the window, but at least this many
LEAST_BURST = 5
BURST_DIVISOR = 20
#: the pause after a 429: one second at first, doubled at each repeat, up to one minute (rate_limits.yaml)
FIRST_PAUSE_NS = NS_PER_S
LONGEST_PAUSE_NS = 60 * NS_PER_S
#: during a pause, urgent requests continue at a tenth of the limit
PAUSED_SHARE = 10


class Pace:
    """Spreads requests over a window: at a rate of limit/window, or more slowly if the remaining slots must last
    longer.
    """

    __slots__ = ("_tolerance", "_virtual", "earliest", "interval")

    def __init__(self, requests: int, length: Nanos, burst: int) -> None:
        self.interval = length // requests
        # nearly burst * interval, not (burst - 1) * interval, so that slightly longer steps during a burst do not end
        # the burst early
        self._tolerance = burst * self.interval - 1
        # the time at which the next request would be sent at an even pace (GCRA's arrival time)
        self._virtual: Nanos = 0
        #: the earliest time of the next request
        self.earliest: Nanos = 0

    @staticmethod
    def burst_of(requests: int) -> int:
        """Return how many of a window's requests may be sent in one burst."""
        return max(LEAST_BURST, requests // BURST_DIVISOR)

    def sent(self, now: Nanos, free: int, next_release: Nanos) -> None:
        """Record a request sent at ``now``; ``free`` slots remain, and the next slot becomes free at ``next_release``.

        If only a few slots must last until then, they are spread over that time. A burst then delays all requests a
        little instead of causing one long stop at the end of the window.
        """
        step = (next_release - now) // (free + 1)
        if step < self.interval:
            step = self.interval
        virtual = self._virtual
        self._virtual = virtual = (virtual if virtual > now else now) + step
        self.earliest = virtual - self._tolerance


class PauseAfter429:
    """The pause after a 429. During the pause, only some urgent requests are sent."""

    __slots__ = ("_interval", "_level", "_random", "_urgent_at", "_window", "since", "until")

    def __init__(self, interval: Nanos, window: Nanos, random: Random) -> None:
        self._interval = interval * PAUSED_SHARE
        self._window = window
        self._random = random
        self._level = 0
        self._urgent_at: Nanos = 0
        self.since: Nanos = -1
        self.until: Nanos = 0

    def refused(self, granted: Nanos, now: Nanos) -> bool:
        """Record a 429 at ``now`` for a request granted at ``granted``.

        Returns False if the 429 is part of an event already recorded. Several requests may be in flight when the first
        429 is read. Their 429s are part of that event, because counting each of them separately would close the
        endpoint for minutes.
        """
        if granted <= self.since:
            return False
        calm = now > self.until + self._window
        self._level = 1 if calm else self._level + 1
        pause = min(LONGEST_PAUSE_NS, FIRST_PAUSE_NS << min(self._level - 1, 10))
        # random jitter may lengthen the pause but never shorten it: several bots at one IP address must not resume
        # simultaneously, and none may resume within one second
        pause += int(self._random.random() * pause) // 2
        self.since = now
        self.until = now + pause
        self._urgent_at = max(self._urgent_at, now)
        return True

    def open_at(self, urgent: bool) -> Nanos:
        """Return the earliest time at which the next request may be sent, urgent or not."""
        return min(self._urgent_at, self.until) if urgent else self.until

    def sent_urgent(self, now: Nanos) -> None:
        """Record an urgent request that is sent at ``now`` despite the pause."""
        self._urgent_at = now + self._interval
