"""Timers of strategies: which rings next, and what was missed."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Literal

from botkit.model.clock import Nanos
from botkit.model.events import Timer

if TYPE_CHECKING:
    from botkit.engine.strategy.context import Context
    from botkit.engine.strategy.schedule import Schedule


class TimerBook:
    """Every timer of the bot, in the order in which they ring; at one time in the order in which they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[Nanos, int, Context, str]] = []
        self._timers: dict[tuple[str, str], tuple[int, Schedule]] = {}
        self._sequence = 0

    def set(
        self, context: Context, name: str, schedule: Schedule, missed: Literal["skip", "once"], now: Nanos
    ) -> Timer | None:
        """Start or replace a timer. Returns the ring that is owed at once for missed ones, where that was asked for.

        The time of the last ring is kept in the strategy's state, so that a restart knows what it missed.
        """
        self._sequence += 1
        self._timers[context.name, name] = (self._sequence, schedule)
        heapq.heappush(self._heap, (schedule.next_after(now), self._sequence, context, name))
        last = context.timer_rings.get(name)
        context.timer_rings[name] = now
        if missed == "once" and last is not None:
            count = schedule.count_between(last, now)
            if count:
                return Timer(name, now, count)
        return None

    def cancel(self, context: Context, name: str) -> None:
        """End a timer; one that does not exist is no error."""
        self._timers.pop((context.name, name), None)

    def drop(self, context: Context) -> None:
        """End all timers of a strategy."""
        for key in [key for key in self._timers if key[0] == context.name]:
            del self._timers[key]

    def next_due(self) -> Nanos | None:
        """When the next timer rings."""
        heap = self._heap
        while heap:
            _, sequence, context, name = heap[0]
            current = self._timers.get((context.name, name))
            if current is not None and current[0] == sequence:
                return heap[0][0]
            heapq.heappop(heap)
        return None

    def ring(self, now: Nanos) -> list[tuple[Context, Timer]]:
        """The timers that are due, and when they ring again. What a pause skipped is counted, not rung."""
        due: list[tuple[Context, Timer]] = []
        while True:
            first = self.next_due()
            if first is None or first > now:
                return due
            at, sequence, context, name = heapq.heappop(self._heap)
            schedule = self._timers[context.name, name][1]
            following = schedule.next_after(at)
            missed = 0
            if following <= now:  # the clock jumped over several rings: one is enough, the rest is counted
                missed = schedule.count_between(at, now)
                following = schedule.next_after(now)
            heapq.heappush(self._heap, (following, sequence, context, name))
            context.timer_rings[name] = now
            due.append((context, Timer(name, at, missed)))
