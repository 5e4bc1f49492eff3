"""Reads of the exchange outside of a bot, inside its documented limits: the bot's own router, on wall time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from botkit.engine.router import Priority, Router
from botkit.engine.routes import SlotSource, memory_slots
from botkit.errors import Refused, TryAgain
from botkit.model.clock import NS_PER_S, Clock
from botkit.model.limits import LimitTable
from botkit.model.requests import Answer, Outcome, Request

#: how often one read is tried before it is given up, and the first pause; pauses double
TRIES = 6
_FIRST_PAUSE_S = 1.0

Sleep = Callable[[float], Awaitable[None]]


class Sender(Protocol):
    """What makes the call (`botkit.exchange.bitopro.adapter.BitoProAdapter` does)."""

    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        """Make the call of a request, once, and say how it ended."""
        ...


class PacedReads:
    """Asks one read after the other, each when its slot is free."""

    def __init__(
        self,
        sender: Sender,
        limits: LimitTable,
        clock: Clock,
        *,
        sleep: Sleep = asyncio.sleep,
        slots: SlotSource = memory_slots,
    ) -> None:
        """``slots`` may be shared with other processes (`botkit.live.slots`); then tell `slots_changed`."""
        self._sender = sender
        self._clock = clock
        self._sleep = sleep
        # reads alone pass here, so how late an order may still be acted on is of no matter
        self._router = Router(limits, latest_accept_ns=0, slots=slots)
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    def slots_changed(self) -> None:
        """Slots that are shared with other processes have come."""
        self._router.slots_changed()
        self._changed.set()

    async def ask(self, make: Callable[[int], Request], endpoint: str, *, tries: int = TRIES) -> Answer:
        """The answer to ``make(request_id)``; a read that failed for the moment is tried again.

        Raises Refused for what the exchange will not do, and TryAgain when it could not be reached ``tries`` times.
        """
        pause_s = _FIRST_PAUSE_S
        for left in reversed(range(tries)):
            async with self._turn:
                answer = await self._once(make, endpoint)
            if answer.outcome is Outcome.OK:
                return answer
            if answer.outcome is Outcome.REFUSED:
                raise Refused(f"{endpoint}: {answer.status} {answer.text}", status=answer.status, text=answer.text)
            if left:
                await self._sleep(pause_s)
                pause_s *= 2
        raise TryAgain(
            f"{endpoint}: tried {tries} times, the last time: {answer.text or answer.outcome.value}",
            status=answer.status,
            text=answer.text,
        )

    async def _once(self, make: Callable[[int], Request], endpoint: str) -> Answer:
        router, clock = self._router, self._clock
        router.read(make, endpoint=endpoint, owner="reads", priority=Priority.PUBLIC_READ, now=clock.now())
        while True:
            due = router.due(clock.now())
            assert not due.dropped, "a read alone fills no queue"
            if due.requests:
                [request] = due.requests
                break
            at = router.next_due()
            if at is None:  # only shared slots can help
                self._changed.clear()
                await self._changed.wait()
            else:
                await self._sleep(max(0, at - clock.now()) / NS_PER_S)
        outcome = Outcome.UNKNOWN
        try:
            answer = await self._sender.send(request)
            outcome = answer.outcome
        finally:
            router.answered(request.id, clock.now(), outcome)
        return answer
