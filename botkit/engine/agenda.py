"""What is due, and when: the one place that decides when the engine wants a turn without an event.

Each room that ever wants to be woken has a `Slot`: a question ("when?") and a piece of work. A room says
`Slot.changed` when its answer may have changed, and `Agenda.head` asks again. Nothing else wakes the engine.

`Changes` counts everything that may end a quiet span: an answer that changed, and whatever a room puts into the
outcome or into a strategy's mailbox. A span compares two integers instead of trusting a flag that somebody has to
remember.
"""

from __future__ import annotations

from collections.abc import Callable

from botkit.model.clock import Nanos


def earliest(*times: Nanos | None) -> Nanos | None:
    """The first of several times; None where none is set."""
    first: Nanos | None = None
    for time in times:
        if time is not None and (first is None or time < first):
            first = time
    return first


#: everything that may ever wake the engine, in the order in which what is due at one time is done
SLOTS = ("bars", "day", "orders", "reads", "look-ups", "agreement", "timers", "watch", "router")


class BotClock:
    """The time of the turn, in nanoseconds since the epoch, UTC. The engine writes it, everybody reads it."""

    __slots__ = ("events", "now")

    def __init__(self) -> None:
        self.now: Nanos = 0
        #: inputs taken in, rows of spans included: tells one event from the next of the same time
        self.events = 0


class Changes:
    """Counts what may end a quiet span."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Slot:
    """One room's place in the agenda."""

    __slots__ = ("_agenda", "due", "is_known", "when", "work")

    def __init__(self, agenda: Agenda, when: Callable[[], Nanos | None], work: Callable[[Nanos], None]) -> None:
        self._agenda = agenda
        self.when = when
        self.work = work
        self.due: Nanos | None = None
        self.is_known = False

    def changed(self) -> None:
        """The room wants to be woken at another time than before, or may want to."""
        self.is_known = False
        agenda = self._agenda
        agenda.is_known = False
        agenda.changes.count += 1

    def set(self, due: Nanos | None) -> None:
        """The room wants to be woken at ``due``: `changed`, for who knows already what its question would answer."""
        self.due, self.is_known = due, True
        agenda = self._agenda
        agenda.is_known = False
        agenda.changes.count += 1

    def ask(self) -> Nanos | None:
        """When the room wants to be woken."""
        if not self.is_known:
            self.due = self.when()
            self.is_known = True
        return self.due


class Agenda:
    """The slots of one engine. Work that is due at one time is done in the order of `SLOTS`."""

    __slots__ = ("_ranked", "_slots", "changes", "is_known", "known_head")

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        #: False when a slot has changed since the head was found
        self.is_known = False
        #: what `head` found last; true while ``is_known``
        self.known_head: Nanos | None = None
        self._ranked: list[tuple[int, Slot]] = []
        self._slots: list[Slot] = []

    def slot(self, name: str, when: Callable[[], Nanos | None], work: Callable[[Nanos], None]) -> Slot:
        """A new place: ``when`` is asked after each `Slot.changed`, ``work`` done when its time has come."""
        slot = Slot(self, when, work)
        self._ranked.append((SLOTS.index(name), slot))
        self._ranked.sort(key=lambda ranked: ranked[0])
        self._slots = [slot for _, slot in self._ranked]
        self.is_known = False
        return slot

    def head(self) -> Nanos | None:
        """The earliest time at which anybody wants to be woken."""
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
        """Do everything that is due, once each."""
        for slot in self._slots:
            due = slot.due if slot.is_known else slot.ask()
            if due is not None and due <= now:
                slot.work(now)
                slot.changed()
