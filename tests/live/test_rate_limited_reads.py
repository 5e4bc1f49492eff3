"""Reads outside a bot respect the exchange's limits under all network conditions."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from botkit.engine.router.router import Priority
from botkit.errors import Refused, TryAgain
from botkit.exchange.bitopro.limit_table import load_limit_table
from botkit.live.limits.leases import Identity, SharedLimits
from botkit.live.limits.protocol import Join, Report, SharedPool, SharedWindow, Sync
from botkit.live.limits.rate_limited_reads import RateLimitedReads
from botkit.model.clock import NS_PER_S
from botkit.model.requests import Answer, CancelAll, CancelBatch, Ending, GetCandles, ListOpenOrders, Request
from tests.live.shared_world import LoopClock, LossyLink, Process, Server, VirtualLoop, run_virtually
from tests.router_world import exceeded, table

pytestmark = pytest.mark.virtual_time

S = NS_PER_S


class Clock:
    time = 1_735_700_000 * S

    def now(self) -> int:
        return self.time

    async def sleep(self, seconds: float) -> None:
        # like a real loop, sleep slightly longer than requested, and never for zero seconds, because a waiting loop
        # would not terminate
        self.time += max(1, round(seconds * S))


class Exchange:
    """Records the arrival time of each request. The transit time in each direction is random."""

    def __init__(self, clock: Clock, outcomes: list[Ending], seed: int = 0) -> None:
        self.arrivals: list[int] = []
        self._clock, self._outcomes, self._random = clock, outcomes, Random(seed)

    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        self._clock.time += self._random.randrange(0, 60_000_000)
        self.arrivals.append(self._clock.time)
        self._clock.time += self._random.randrange(0, 60_000_000)
        outcome = self._outcomes.pop(0) if self._outcomes else Ending.OK
        return Answer(request_id=request.id, outcome=outcome, status=200, text="as scripted", body=())


def make(request_id: int) -> GetCandles:
    return GetCandles(id=request_id, pair="btc_twd", resolution="1m", start=0, end=1)  # type: ignore[arg-type]


async def test_a_thousand_reads_never_exceed_a_rate_limit_window() -> None:
    clock = Clock()
    limits = load_limit_table(overrides={"public": "60/10s"})
    exchange = Exchange(clock, [])
    reads = RateLimitedReads(exchange, limits, clock, sleep=clock.sleep)
    began = clock.now()
    for _ in range(1_000):
        await reads.ask(make, "trading_history")
    arrivals = exchange.arrivals
    assert all(b - a > 10 * S for a, b in zip(arrivals, arrivals[60:], strict=False))
    # but not much slower than the window and the round trip allow
    assert clock.now() - began < 1_000 / 60 * 10.7 * S + 300 * S


async def test_temporary_failures_are_retried_with_increasing_pauses_and_then_reported() -> None:
    clock = Clock()
    exchange = Exchange(clock, [Ending.UNKNOWN, Ending.NOT_SENT, Ending.RATE_LIMITED])
    reads = RateLimitedReads(exchange, load_limit_table(), clock, sleep=clock.sleep)
    assert (await reads.ask(make, "trading_history")).outcome is Ending.OK
    assert len(exchange.arrivals) == 4
    exchange = Exchange(clock, [Ending.UNKNOWN] * 9)
    reads = RateLimitedReads(exchange, load_limit_table(), clock, sleep=clock.sleep)
    with pytest.raises(TryAgain, match="tried 3 times; the last result: as scripted"):
        await reads.ask(make, "trading_history", tries=3)
    assert len(exchange.arrivals) == 3
    assert exchange.arrivals[2] - exchange.arrivals[1] > 2 * S


async def test_a_refused_request_is_not_retried() -> None:
    clock = Clock()
    exchange = Exchange(clock, [Ending.REFUSED])
    reads = RateLimitedReads(exchange, load_limit_table(), clock, sleep=clock.sleep)
    with pytest.raises(Refused, match="as scripted"):
        await reads.ask(make, "trading_history")
    assert len(exchange.arrivals) == 1


def test_a_read_waits_for_slots_held_by_other_processes() -> None:
    arrivals: dict[str, list[int]] = {}

    async def main(loop: VirtualLoop) -> None:
        server = Server(LoopClock(loop))
        pool = SharedPool("open_orders", 0, 0, (SharedWindow("v|ip=shared|open_orders|5/1s", 5, 1),))
        server.apply(Join("other", "", (pool,)))
        assert server.apply(Sync("other", 1, (Report(pool=0, wanted=5),))).granted == ((0, 5),)
        patient = reads_of(loop, LossyLink(server, Random(1), 0.0), arrivals, [], hurries=False)
        async with patient:
            asking = asyncio.create_task(patient.send(ListOpenOrders(id=1)))
            await asyncio.sleep(3)
            assert not asking.done()  # waits until the other process is declared dead
            assert (await asking).outcome is Ending.OK

    run_virtually(main)


# -- windows shared with others, in virtual time ------------------------------------------------------------------

LIMITS = table(open_orders=(5, 1), cancel_batch=(2, 1), cancel_all=(1, 1))


class Desk:
    """Responds to each request after 30 ms."""

    def __init__(self, clock: LoopClock, arrivals: dict[str, list[int]]) -> None:
        self._clock, self._arrivals = clock, arrivals

    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        await asyncio.sleep(0.015)
        self._arrivals.setdefault(request.endpoint, []).append(self._clock.now())
        await asyncio.sleep(0.015)
        return Answer(request_id=request.id, outcome=Ending.OK, status=200, text="", body=())


def reads_of(
    loop: VirtualLoop, link: LossyLink, arrivals: dict[str, list[int]], said: list[str], *, hurries: bool = True
) -> RateLimitedReads:
    clock = LoopClock(loop)
    shared = SharedLimits(
        LIMITS,
        link,
        identity=Identity(venue="v", account="one"),
        holder="panic",
        clock=clock,
        latest_accept_ns=2 * S,
        read_latest_ns=2 * S,
        keeps_stock=False,
    )
    return RateLimitedReads(
        Desk(clock, arrivals), LIMITS, clock, shared=shared, latest_ns=2 * S, hurries=hurries, say=said.append
    )


async def five_rounds(reads: RateLimitedReads) -> None:
    for n in range(5):
        await reads.send(ListOpenOrders(id=n), urgent=True)
        await reads.send(CancelBatch(id=n, orders=()), urgent=True)
        await reads.send(CancelAll(id=n), urgent=True)


def test_an_urgent_request_waits_for_slots_returned_by_a_busy_bot() -> None:
    arrivals: dict[str, list[int]] = {}
    said: list[str] = []

    async def main(loop: VirtualLoop) -> None:
        server = Server(LoopClock(loop))
        bot = Process("bot", LIMITS, server, loop, arrivals, seed=1)
        await bot.shared.start()
        for n in range(60):  # more open-order reads than the window allows
            bot.router.read(
                lambda i: ListOpenOrders(id=i), endpoint="open_orders", owner=f"{n}", priority=Priority.PRIVATE_READ,
                now=bot._clock.now(),
            )  # fmt: skip
        bot.pump()
        await asyncio.sleep(2)
        async with reads_of(loop, LossyLink(server, Random(1), 0.0), arrivals, said) as reads:
            began = loop.virtual_s
            await five_rounds(reads)
            assert loop.virtual_s - began < 8  # five mass cancels, one per second, plus short waits for leases
        await asyncio.sleep(2)

    run_virtually(main)
    assert said == []
    assert len(arrivals["cancel_all"]) == 5
    assert exceeded(arrivals, LIMITS) == []


def test_an_urgent_request_without_a_ledger_uses_its_own_windows_and_the_user_is_notified_once() -> None:
    arrivals: dict[str, list[int]] = {}
    said: list[str] = []

    async def main(loop: VirtualLoop) -> None:
        server = Server(LoopClock(loop))
        link = LossyLink(server, Random(1), 0.0)
        link.is_cut = True
        began = loop.virtual_s
        async with reads_of(loop, link, arrivals, said) as reads:
            await reads.send(ListOpenOrders(id=1), urgent=True)
            assert loop.virtual_s - began < 1
            await five_rounds(reads)
            link.is_cut = False
        # once the ledger is back, the requests that were sent without it are reported to it
        known = {key: len(window.held) for key, window in server.ledger.windows.items()}
        assert known["v|ip=shared|cancel_all|1/1s"] == 1

    run_virtually(main)
    assert len(said) == 1
    assert "the ledger cannot be reached; continuing without it" in said[0]
    assert exceeded(arrivals, LIMITS) == []


def test_an_urgent_request_is_sent_anyway_if_the_windows_stay_full() -> None:
    arrivals: dict[str, list[int]] = {}
    said: list[str] = []

    async def main(loop: VirtualLoop) -> None:
        server = Server(LoopClock(loop))
        link = LossyLink(server, Random(1), 0.0)
        async with reads_of(loop, link, arrivals, said) as reads:
            await reads.send(CancelAll(id=1), urgent=True)
            for window in server.ledger.windows.values():
                window.lost_at, window.late = server.clock.now(), 60 * S
            began = loop.virtual_s
            await reads.send(CancelAll(id=2), urgent=True)
            assert 2.5 < loop.virtual_s - began < 5

    run_virtually(main)
    assert "the ledger has no free slots; continuing without it" in said[0]
    assert len(arrivals["cancel_all"]) == 2
