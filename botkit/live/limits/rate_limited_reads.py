"""Sends requests outside a bot's router, within the exchange's documented limits.

Downloads, `botkit account` and reads by a bot that has no router yet wait for their slots like all other requests.
`botkit panic` waits only briefly. After that, or if the ledger is unreachable, it uses private windows and reports this
to the user. It reports its requests to the ledger once the ledger answers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType

from botkit.engine.router.router import READ_LATEST_NS, Priority, Router
from botkit.errors import Refused, TryAgain
from botkit.live.limits.leases import SharedLimits
from botkit.live.limits.protocol import LedgerUnreachable
from botkit.model.adapter import RequestSender
from botkit.model.clock import NS_PER_S, Clock, Nanos
from botkit.model.inputs import SentBefore
from botkit.model.limits import LimitTable, SlotsChanged
from botkit.model.requests import Answer, Ending, ListOpenOrders, Request

#: number of read attempts, and the initial pause, which doubles each time
TRIES = 6
_FIRST_PAUSE_S = 1.0
#: how long an urgent request waits for the ledger, and then for a slot; most read and mass-cancel windows are one
#: second long, so a slot that is not free after this time will not be free soon
LEDGER_PATIENCE_S = 0.5
SLOT_PATIENCE_S = 3.0
#: how long to keep trying, before exiting, to report the requests that were sent
_REPORT_S = 2.0

Sleep = Callable[[float], Awaitable[None]]


class ReadSlot:
    """A slot taken for one request. Set ``outcome`` to the request's outcome. If it is not set, the outcome is treated
    as unknown.
    """

    outcome = Ending.UNKNOWN


class RateLimitedReads:
    """Sends requests one after another, each as soon as a slot is free. It is an async context manager."""

    def __init__(
        self,
        sender: RequestSender,
        limits: LimitTable,
        clock: Clock,
        *,
        sleep: Sleep = asyncio.sleep,
        shared: SharedLimits | None = None,
        latest_ns: Nanos = READ_LATEST_NS,
        hurries: bool = False,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """``shared`` contains the counters shared with other processes. ``latest_ns`` is how long after an abort the
        exchange may still act on a request. With ``hurries``, requests are sent without a slot instead of after a long
        wait, and ``say`` is called to report that.
        """
        self.sender = sender
        self._clock = clock
        self._sleep = sleep
        self._shared = shared
        self._say = say
        self._router = Router(
            limits,
            latest_accept_ns=latest_ns,
            read_latest_ns=latest_ns,
            leased=None if shared is None else shared.leased,
        )
        #: private windows for sending without a slot; they count all sent requests
        self._own = Router(limits, latest_accept_ns=latest_ns, read_latest_ns=latest_ns) if hurries else None
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._is_joined = shared is None
        self._has_said = False
        if shared is not None:
            shared.on_change = self.slots_changed
            shared.on_notice = lambda text, good: None if good else say(text)

    # -- sharing ------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> RateLimitedReads:
        """Join the ledger. Raises LedgerUnreachable, except with ``hurries``."""
        if self._shared is not None:
            if self._own is None:
                await self._shared.start()
                self._is_joined = True
            else:
                await self._join(LEDGER_PATIENCE_S)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shared is not None:
            if not self._is_joined:
                await self._join(_REPORT_S)
            await self._shared.stop()

    async def _join(self, patience_s: float) -> None:
        assert self._shared is not None
        with contextlib.suppress(LedgerUnreachable, TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._shared.start(patience_s, waits_for_opening=False)
            self._is_joined = True

    def slots_changed(self, change: SlotsChanged) -> None:
        """Apply a change in the slots leased from the ledger."""
        self._router.slots_changed(change)
        self._changed.set()

    # -- requests -----------------------------------------------------------------------------------------------------

    async def ask(self, make: Callable[[int], Request], endpoint: str, *, tries: int = TRIES) -> Answer:
        """Send ``make(request_id)`` and return the response. A request that failed temporarily is retried.

        Raises Refused if the exchange refuses the request, and TryAgain if ``tries`` attempts have failed.
        """
        pause_s = _FIRST_PAUSE_S
        for left in reversed(range(tries)):
            answer = await self.send(make(left + 1))
            if answer.outcome is Ending.OK:
                return answer
            if answer.outcome is Ending.REFUSED:
                raise Refused(f"{endpoint}: {answer.status} {answer.text}", status=answer.status, text=answer.text)
            if left:
                await self._sleep(pause_s)
                pause_s *= 2
        raise TryAgain(
            f"{endpoint}: tried {tries} times; the last result: {answer.text or answer.outcome.value}",
            status=answer.status,
            text=answer.text,
        )

    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        """Send a request once its slot is free. ``urgent`` requests may use the reserve."""
        async with self.slot(request.endpoint, urgent=urgent) as slot:
            answer = await self.sender.send(request, urgent=urgent)
            slot.outcome = answer.outcome
        return answer

    @contextlib.asynccontextmanager
    async def slot(self, endpoint: str, *, urgent: bool = False) -> AsyncIterator[ReadSlot]:
        """Take one of an endpoint's slots for a request that is sent within the block."""
        async with self._turn:
            router, other = self._router, self._own
            ticket = await self._granted(router, endpoint, urgent)
            if ticket is None:
                assert other is not None
                router, other = other, router
                ticket = await self._granted(router, endpoint, urgent)
                assert ticket is not None
            slot, sent = ReadSlot(), self._clock.now()
            try:
                yield slot
            finally:
                now = self._clock.now()
                router.answered(ticket, now, slot.outcome)
                if other is not None and slot.outcome is not Ending.NOT_SENT:
                    answered = None if slot.outcome is Ending.UNKNOWN else now
                    other.cool_down([SentBefore(endpoint=endpoint, sent=sent, answered=answered)], now)

    async def _granted(self, router: Router, endpoint: str, urgent: bool) -> int | None:
        """Return the ticket of a request that may be sent now, or None if the request should be sent without a slot."""
        clock = self._clock
        may_give_up = self._own is not None and router is self._router and self._shared is not None
        if may_give_up and not self._is_joined:
            self._go_ahead("cannot be reached")
            return None
        ticket = router.read(
            lambda request_id: ListOpenOrders(id=request_id),  # only a placeholder; the caller sends the request
            endpoint=endpoint,
            owner="outside",
            priority=Priority.PRIVATE_READ,
            now=clock.now(),
            urgent=urgent,
        )
        give_up_at = clock.now() + round(SLOT_PATIENCE_S * NS_PER_S)
        while True:
            due = router.due(clock.now())
            assert not due.dropped, "a single request cannot fill the queue"
            if due.requests:
                return ticket
            if may_give_up and (clock.now() >= give_up_at or not self._is_reachable):
                router.forget_read(ticket)
                self._go_ahead("has no free slots" if self._is_reachable else "cannot be reached")
                return None
            at = router.next_due()
            if may_give_up:
                at = give_up_at if at is None else min(at, give_up_at)
            await self._until(at)

    async def _until(self, at: Nanos | None) -> None:
        """Wait until ``at``, or until the leased slots change."""
        if self._shared is None and at is not None:
            await self._sleep(max(0, at - self._clock.now()) / NS_PER_S)
            return
        self._changed.clear()
        left_s = None if at is None else max(0.0, (at - self._clock.now()) / NS_PER_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left_s):
                await self._changed.wait()

    @property
    def _is_reachable(self) -> bool:
        return self._shared is None or self._shared.is_reachable

    def _go_ahead(self, why: str) -> None:
        if not self._has_said:
            assert self._shared is not None
            self._has_said = True
            self._say(f"{self._shared.name} {why}; continuing without it; the exchange may reject some requests (429)")
