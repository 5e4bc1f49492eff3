"""Reads outside of a bot keep the exchange's windows, whatever the network does."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from botkit.engine.limits import SlotLog
from botkit.errors import Refused, TryAgain
from botkit.exchange.bitopro.limit_table import load_limit_table
from botkit.live.paced_reads import PacedReads
from botkit.model.clock import NS_PER_S
from botkit.model.requests import Answer, GetCandles, Outcome, Request

S = NS_PER_S


class Clock:
    time = 1_735_700_000 * S

    def now(self) -> int:
        return self.time

    async def sleep(self, seconds: float) -> None:
        # a little more than asked for, as a real loop does; never nothing, or a waiting loop would not end
        self.time += max(1, round(seconds * S))


class Exchange:
    """Notes when each request arrives; it takes a while each way."""

    def __init__(self, clock: Clock, outcomes: list[Outcome], seed: int = 0) -> None:
        self.arrivals: list[int] = []
        self._clock, self._outcomes, self._random = clock, outcomes, Random(seed)

    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        self._clock.time += self._random.randrange(0, 60_000_000)
        self.arrivals.append(self._clock.time)
        self._clock.time += self._random.randrange(0, 60_000_000)
        outcome = self._outcomes.pop(0) if self._outcomes else Outcome.OK
        return Answer(request_id=request.id, outcome=outcome, status=200, text="as scripted", body=())


def make(request_id: int) -> GetCandles:
    return GetCandles(id=request_id, pair="btc_twd", resolution="1m", start=0, end=1)  # type: ignore[arg-type]


async def test_a_thousand_reads_never_exceed_a_window() -> None:
    clock = Clock()
    limits = load_limit_table(overrides={"public": "60/10s"})
    exchange = Exchange(clock, [])
    reads = PacedReads(exchange, limits, clock, sleep=clock.sleep)
    began = clock.now()
    for _ in range(1_000):
        await reads.ask(make, "trading_history")
    arrivals = exchange.arrivals
    assert all(b - a > 10 * S for a, b in zip(arrivals, arrivals[60:], strict=False))
    # and it is not much slower than the window and the way there and back allow
    assert clock.now() - began < 1_000 / 60 * 10.7 * S + 300 * S


async def test_trouble_is_waited_out_with_growing_pauses_and_then_told() -> None:
    clock = Clock()
    exchange = Exchange(clock, [Outcome.UNKNOWN, Outcome.NOT_SENT, Outcome.RATE_LIMITED])
    reads = PacedReads(exchange, load_limit_table(), clock, sleep=clock.sleep)
    assert (await reads.ask(make, "trading_history")).outcome is Outcome.OK
    assert len(exchange.arrivals) == 4
    exchange = Exchange(clock, [Outcome.UNKNOWN] * 9)
    reads = PacedReads(exchange, load_limit_table(), clock, sleep=clock.sleep)
    with pytest.raises(TryAgain, match="tried 3 times, the last time: as scripted"):
        await reads.ask(make, "trading_history", tries=3)
    assert len(exchange.arrivals) == 3
    assert exchange.arrivals[2] - exchange.arrivals[1] > 2 * S


async def test_a_refusal_is_not_asked_again() -> None:
    clock = Clock()
    exchange = Exchange(clock, [Outcome.REFUSED])
    reads = PacedReads(exchange, load_limit_table(), clock, sleep=clock.sleep)
    with pytest.raises(Refused, match="as scripted"):
        await reads.ask(make, "trading_history")
    assert len(exchange.arrivals) == 1


async def test_a_read_waits_for_slots_that_other_processes_hold() -> None:
    held_elsewhere = True

    class Shared(SlotLog):
        def free(self, now: int) -> int:
            return 0 if held_elsewhere else super().free(now)

        def open_at(self, now: int, needed: int) -> int | None:
            return None if held_elsewhere else super().open_at(now, needed)

    clock = Clock()
    exchange = Exchange(clock, [])
    reads = PacedReads(
        exchange,
        load_limit_table(),
        clock,
        sleep=clock.sleep,
        slots=lambda pool, window, scopes: Shared(window, scopes),
    )
    asking = asyncio.create_task(reads.ask(make, "trading_history"))
    await asyncio.sleep(0.01)
    assert not asking.done()
    held_elsewhere = False
    reads.slots_changed()
    assert (await asyncio.wait_for(asking, 5)).outcome is Outcome.OK
