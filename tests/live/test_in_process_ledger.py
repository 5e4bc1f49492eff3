"""Bots in one process share limits fairly, no matter how fast their clocks run relative to the machine's clock."""

from __future__ import annotations

from random import Random

import pytest

from botkit.emulator.clock import EmulatorClock
from botkit.live.clock import DriverClock
from botkit.live.limits.in_process import InProcessLedger
from botkit.live.limits.protocol import Join, Report, SharedPool, SharedWindow, Sync
from botkit.live.lockstep import HeldClock
from botkit.model.clock import NS_PER_MS, NS_PER_S


class Hand:
    """A clock that runs at a given speed and is advanced by the test."""

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self.at = 1_000 * NS_PER_S

    def now(self) -> int:
        return self.at

    def drift_ns(self) -> int:
        return 0

    def machine_ms(self, ms: float) -> None:
        self.at += round(ms * NS_PER_MS * self.speed)


@pytest.mark.parametrize("clock", [EmulatorClock(0, 40.0), EmulatorClock(0, held=True), HeldClock(0)])
def test_a_clock_that_does_not_follow_the_machines_time_never_drifts_from_it(clock: DriverClock) -> None:
    assert clock.drift_ns() == 0


def test_a_clock_must_state_its_speed() -> None:
    clock = Hand(40.0)
    del clock.speed
    with pytest.raises(AttributeError):
        InProcessLedger(clock, Random(1))


@pytest.mark.parametrize("speed", [1.0, 40.0])
async def test_the_bot_that_has_waited_longest_is_served_first_even_on_a_slow_machine(speed: float) -> None:
    clock = Hand(speed)
    ledger = InProcessLedger(clock, Random(1))
    pool = SharedPool("create", 0, 0, (SharedWindow("create", 1, 1),))
    numbers = {"greedy": 0, "patient": 0}
    for name in numbers:
        await ledger.call(Join(name, "", (pool,)))

    async def ask(name: str, **report: object) -> int:
        numbers[name] += 1
        reply = await ledger.call(Sync(name, numbers[name], (Report(pool=0, wanted=1, **report),)))  # type: ignore[arg-type]
        return sum(count for _, count in reply.granted)

    assert await ask("greedy") == 1
    assert await ask("patient") == 0  # the patient bot starts waiting now
    # a delay typical of a busy machine, but shorter than the 150 ms after which a bot is no longer considered waiting
    clock.machine_ms(50)
    # the response to the greedy bot's request arrived long ago, so the greedy bot is the first to request slots again
    assert await ask("greedy", returned=1, arrivals=((0, -10 * NS_PER_S),)) == 0
    assert await ask("patient") == 1
