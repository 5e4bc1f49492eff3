"""The engine's own reads, and work scheduled for later.

The reads go through the router like all requests, so that no limit is ever exceeded. Their responses arrive like any
other response.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final

from botkit.engine.agenda import Agenda
from botkit.engine.router.router import Priority, Router
from botkit.model.clock import Nanos
from botkit.model.requests import Answer, Request

OnAnswer = Callable[[Answer, Nanos], None]

#: maximum rows in one listing (API documentation); a full listing may have cut off the relevant row
LISTED_MAX: Final = 1000


class SharedRead:
    """A read queued or in flight, and those who wait for its response or for the next one."""

    __slots__ = ("callers", "is_sent", "latecomers", "make")

    def __init__(self, make: Callable[[int], Request], callers: list[OnAnswer]) -> None:
        self.make = make
        self.callers = callers
        self.is_sent = False
        #: those who asked after it was sent; what they want to know may be newer than its response
        self.latecomers: list[OnAnswer] = []

    def send(self, request_id: int) -> Request:
        """Build the request, because it is sent now."""
        self.is_sent = True
        return self.make(request_id)


class Reads:
    """Reads in flight and scheduled work."""

    def __init__(self, router: Router, agenda: Agenda) -> None:
        self._router = router
        #: requests in flight -> the function that handles the response
        self._pending: dict[int, OnAnswer] = {}
        #: endpoints whose listing is the same for everyone who asks -> the read that they share
        self._shared: dict[str, SharedRead] = {}
        #: functions to call later: (due, sequence number, function that receives the time)
        self._later: list[tuple[Nanos, int, Callable[[Nanos], None]]] = []
        self._sequence = 0
        self._slot = agenda.slot("reads", self._next, self._ring)

    def read(
        self,
        make: Callable[[int], Request],
        on_answer: OnAnswer,
        *,
        endpoint: str,
        owner: str,
        now: Nanos,
        priority: Priority = Priority.PRIVATE_READ,
        urgent: bool = True,
    ) -> None:
        """Queue a read. ``on_answer`` always receives a response: NOT_SENT if the queue was full.

        Reads of the order protocol are urgent, because they determine whether money is free and whether an order is
        live. Other reads are not urgent.
        """
        ticket = self._router.read(make, endpoint=endpoint, owner=owner, priority=priority, now=now, urgent=urgent)
        self._pending[ticket] = on_answer

    def read_shared(
        self, make: Callable[[int], Request], on_answer: OnAnswer, *, endpoint: str, owner: str, now: Nanos
    ) -> None:
        """Queue a read whose response is the same for everyone who asks, such as the account's open orders.

        Everyone who asks before the read is sent shares it, and those who ask while it is in flight share the next one.
        Each response is therefore to a request sent no earlier than ``now``, and at most one such read per endpoint is
        in flight. Otherwise, if the bot died while several were, all of them would count against the limit for more
        than a minute, and the next start could not read the endpoint.
        """
        shared = self._shared.get(endpoint)
        if shared is None:
            self._share(SharedRead(make, [on_answer]), endpoint, owner, now)
        elif shared.is_sent:
            shared.latecomers.append(on_answer)
        else:
            shared.callers.append(on_answer)

    def _share(self, shared: SharedRead, endpoint: str, owner: str, now: Nanos) -> None:
        def on_answer(answer: Answer, at: Nanos) -> None:
            del self._shared[endpoint]
            if shared.latecomers:
                self._share(SharedRead(shared.make, shared.latecomers), endpoint, owner, at)
            for handle in shared.callers:
                handle(answer, at)

        self._shared[endpoint] = shared
        self.read(shared.send, on_answer, endpoint=endpoint, owner=owner, now=now)

    def answered(self, answer: Answer, now: Nanos) -> None:
        """Handle a response, if it belongs to one of our reads."""
        handler = self._pending.pop(answer.request_id, None)
        if handler is not None:
            handler(answer, now)

    def later(self, due: Nanos, call: Callable[[Nanos], None]) -> None:
        """Schedule a function to be called at the given time, with that time as its argument."""
        self._sequence += 1
        heapq.heappush(self._later, (due, self._sequence, call))
        self._slot.changed()

    def _next(self) -> Nanos | None:
        return self._later[0][0] if self._later else None

    def _ring(self, now: Nanos) -> None:
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)[2](now)
