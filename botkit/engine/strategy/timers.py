"""Keeps the strategies' timers in firing order, and tracks missed firings."""

from __future__ import annotations

import heapq
from typing import Literal

from botkit.engine.agenda import Agenda
from botkit.engine.strategy.callbacks import Callbacks
from botkit.engine.strategy.record import StrategyRecord
from botkit.engine.strategy.schedule import Schedule
from botkit.model.clock import Nanos
from botkit.model.events import Timer


class TimerBook:
    """All of the bot's timers in firing order; timers due at the same time keep the order in which they were set.

    Timers set before `arm` start when `arm` is called.
    """

    def __init__(self, agenda: Agenda, callbacks: Callbacks) -> None:
        self._callbacks = callbacks
        self._heap: list[tuple[Nanos, int, StrategyRecord, str]] = []
        self._timers: dict[tuple[str, str], tuple[int, Schedule]] = {}
        #: timers set before the start, in order
        self._unarmed: dict[tuple[str, str], tuple[StrategyRecord, Schedule, Literal["skip", "once"]]] | None = {}
        self._sequence = 0
        self._slot = agenda.slot("timers", self.next_due, self._ring)

    def set(
        self, record: StrategyRecord, name: str, schedule: Schedule, missed: Literal["skip", "once"], now: Nanos
    ) -> None:
        """Start or replace a timer. On request, a timer whose firings were missed while the bot was down fires once
        immediately.

        The time of the last firing is kept in the strategy's record, so that missed firings can be counted after a
        restart.
        """
        if self._unarmed is not None:
            self._unarmed.pop((record.name, name), None)
            self._unarmed[record.name, name] = (record, schedule, missed)
            return
        self._sequence += 1
        self._timers[record.name, name] = (self._sequence, schedule)
        heapq.heappush(self._heap, (schedule.next_after(now), self._sequence, record, name))
        self._slot.changed()
        last = record.timer_rings.get(name)
        record.timer_rings[name] = now
        if missed == "once" and last is not None:
            count = schedule.count_between(last, now)
            if count:
                self._callbacks.notify(record, "on_timer", Timer(name, now, count))

    def arm(self, now: Nanos) -> None:
        """Start the timers set so far. Called when the bot starts trading."""
        waiting, self._unarmed = self._unarmed, None
        for (_, name), (record, schedule, missed) in (waiting or {}).items():
            if record.active:
                self.set(record, name, schedule, missed, now)

    def cancel(self, record: StrategyRecord, name: str) -> None:
        """Cancel a timer. An unknown timer is not an error."""
        if self._unarmed is not None:
            self._unarmed.pop((record.name, name), None)
        self._timers.pop((record.name, name), None)
        self._slot.changed()

    def drop(self, record: StrategyRecord) -> None:
        """Cancel all of a strategy's timers."""
        for key in [key for key in self._timers if key[0] == record.name]:
            del self._timers[key]
        self._slot.changed()

    @property
    def is_empty(self) -> bool:
        """True while no timer is set."""
        return not self._timers and not self._unarmed

    def next_due(self) -> Nanos | None:
        """Return the time at which the next timer fires."""
        heap = self._heap
        while heap:
            _, sequence, record, name = heap[0]
            current = self._timers.get((record.name, name))
            if current is not None and current[0] == sequence:
                return heap[0][0]
            heapq.heappop(heap)
        return None

    def _ring(self, now: Nanos) -> None:
        """Fire due timers and schedule the next firing. Firings skipped because the clock jumped are only counted."""
        while True:
            first = self.next_due()
            if first is None or first > now:
                return
            at, sequence, record, name = heapq.heappop(self._heap)
            schedule = self._timers[record.name, name][1]
            following = schedule.next_after(at)
            missed = 0
            # the clock jumped over several firings, so the timer fires once and the rest are counted
            if following <= now:
                missed = schedule.count_between(at, now)
                following = schedule.next_after(now)
            heapq.heappush(self._heap, (following, sequence, record, name))
            record.timer_rings[name] = now
            self._callbacks.notify(record, "on_timer", Timer(name, at, missed))
