"""The agenda decides when the engine needs a turn without an event.

Each room (a part of the engine) that may need to be woken has a `Slot` with two functions: one returns the wake time,
the other does the work due at that time. A room calls `Slot.changed` when its wake time may have changed, and
`Agenda.head` then calls the first function again. Nothing else wakes the engine.

`Changes` counts every change that may end a quiet span: a changed wake time, and any addition by a room to the outcome
or to a strategy's mailbox. A span detects a change by comparing two counts, so callers need not remember to set a flag.
"""

from __future__ import annotations

from collections.abc import Callable

from botkit.model.clock import Nanos


def earliest(*times: Nanos | None) -> Nanos | None:
    """Return the earliest of several times, or None if all of them are None."""
    first: Nanos | None = None
    for time in times:
        if time is not None and (first is None or time < first):
            first = time
    return first


#: all slots that may wake the engine; work due at the same time is done in this order
SLOTS = ("bars", "day", "orders", "reads", "look-ups", "agreement", "timers", "watch", "pair rules", "router")


class BotClock:
    """The turn's time, in nanoseconds since the epoch (UTC). The engine sets it, and all rooms read it."""

    __slots__ = ("events", "now")

    def __init__(self) -> None:
        self.now: Nanos = 0
        #: number of inputs processed, including rows of spans; it distinguishes events with equal timestamps
        self.events = 0


class Changes:
    """Counts the changes that may end a quiet span."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Slot:
    """One room's entry in the agenda."""

    __slots__ = ("_agenda", "due", "is_known", "when", "work")

    def __init__(self, agenda: Agenda, when: Callable[[], Nanos | None], work: Callable[[Nanos], None]) -> None:
        self._agenda = agenda
        self.when = when
        self.work = work
        self.due: Nanos | None = None
        self.is_known = False

    def changed(self) -> None:
        """Mark the room's wake time as possibly changed."""
        self.is_known = False
        agenda = self._agenda
        agenda.is_known = False
        agenda.changes.count += 1

    def set(self, due: Nanos | None) -> None:
        """Set the room's wake time to ``due``. Use this instead of `changed` if the new wake time is already known."""
        self.due, self.is_known = due, True
        agenda = self._agenda
        agenda.is_known = False
        agenda.changes.count += 1

    def set_in_turn(self, due: Nanos | None) -> None:
        """Set the wake time as `set` does, but without ending a span. For rooms that set their wake time only within a
        turn, or only when something else changes as well.
        """
        self.due, self.is_known = due, True
        self._agenda.is_known = False

    def ask(self) -> Nanos | None:
        """Return the room's wake time."""
        if not self.is_known:
            self.due = self.when()
            self.is_known = True
        return self.due


class Agenda:
    """The slots of one engine. Work due at the same time is done in the order of `SLOTS`."""

    __slots__ = ("_ranked", "_slots", "changes", "is_known", "known_head")

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        #: False if a slot has changed since the head was last computed
        self.is_known = False
        #: the last result of `head`; valid while ``is_known``
        self.known_head: Nanos | None = None
        self._ranked: list[tuple[int, Slot]] = []
        self._slots: list[Slot] = []

    def slot(self, name: str, when: Callable[[], Nanos | None], work: Callable[[Nanos], None]) -> Slot:
        """Add a slot. ``when`` is called after each `Slot.changed`, and ``work`` is called once the slot's wake time is
        reached.
        """
        slot = Slot(self, when, work)
        self._ranked.append((SLOTS.index(name), slot))
        self._ranked.sort(key=lambda ranked: ranked[0])
        self._slots = [slot for _, slot in self._ranked]
        self.is_known = False
        return slot

    def head(self) -> Nanos | None:
        """Return the earliest wake time of any room."""
        if not self.is_known:
            first: Nanos | None = None
            for slot in self._slots:
                due = slot.due if slot.is_known else slot.ask()
                if due is not None and (first is None or due < first):
                    first = due
            self.known_head = first
            self.is_known = True
        return self.known_head

    def ring(self, now: Nanos) -> None:
        """Run the work function of every slot that is due, once per slot."""
        for slot in self._slots:
            due = slot.due if slot.is_known else slot.ask()
            if due is not None and due <= now:
                slot.work(now)
                slot.changed()
