"""Clock jumps and suspended machines: the bot does not trade on stale data, and it notifies the user."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from botkit.assembly.live_parts import LiveParts
from botkit.emulator import DEFAULT_ACCOUNT
from botkit.exchange.bitopro import sign
from botkit.exchange.bitopro.wire.codec import WireError, to_ns
from botkit.live.clock import REAL_CLOCK, SteadyClock
from botkit.live.standstill import STANDSTILL_S
from botkit.model.clock import NS_PER_HOUR, NS_PER_S
from botkit.model.events import Connection, ConnectionState
from botkit.model.orders import OrderState
from botkit.project.connect import connect
from tests.live.books import differences, exchange_rows
from tests.live.test_faults_streams import Overheard
from tests.live.world import World, far_buy, kept, make_world, puppet, settled, told, until

pytestmark = pytest.mark.virtual_time

TEN_MINUTES = 600


class Wall:
    """A machine's wall clock that can be set by a test."""

    def __init__(self) -> None:
        self.moved = 0

    def __call__(self) -> int:
        return REAL_CLOCK.wall_ns() + self.moved


@pytest.fixture
async def calm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Yield a world at real-time speed, so that a second on this machine is not a minute in the emulator."""
    monkeypatch.setattr(sign, "_nonces", sign._LastNonces())
    async with make_world(tmp_path, speed=1.0) as found:
        yield found


def on_a_clock(world: World, clock: SteadyClock) -> None:
    """Make the next bot started in the world use ``clock``."""
    plain = world.parts

    def parts(**options: Any) -> LiveParts:
        made = plain(**options)
        adapter = connect(
            made.project, DEFAULT_ACCOUNT, world.emulator.rest, world.emulator.ws, clock, random=Random(0)
        )
        return msgspec.structs.replace(made, clock=clock, adapter=adapter)

    world.parts = parts  # type: ignore[method-assign]


def sleep_for(world: World, seconds: float) -> None:
    """Suspend the machine: time advances on the machine and at the exchange, but nothing runs."""
    clock = world.emulator.clock
    clock.hold()
    clock.move(clock.now() + int(seconds * NS_PER_S))
    clock.resume()


@pytest.mark.parametrize("hours", [1, -1], ids=["forward", "back"])
async def test_a_one_hour_wall_clock_jump_is_reported_but_changes_neither_timers_nor_timestamps(
    hours: int, calm: World
) -> None:
    wall = Wall()
    on_a_clock(calm, SteadyClock(wall=wall))
    bot = await calm.start()
    async with kept(bot):
        before = bot.driver.now()
        wall.moved = hours * NS_PER_HOUR
        way = "forward" if hours > 0 else "back"
        await until(lambda: f"this machine's clock was set 3,600 s {way}; the bot's own clock" in told(bot))
        order = far_buy(bot)
        await settled(order)
        # an order whose timestamp is an hour off would have been rejected with 409
        assert order.state is OrderState.OPEN
        assert 0 <= bot.driver.now() - before < 60 * NS_PER_S
        puppet(bot).cancel(order)
        bot.driver.wake()
        await until(lambda: order.is_final)
        assert told(bot).count("clock was set") == 1
        assert bot.view.halted is None
        stamps = bot.journal._ask("SELECT created, updated FROM orders")[0]
        assert all(abs(stamp - before) < 60 * NS_PER_S for stamp in stamps)
        await until(lambda: not differences(bot, calm.emulator))


async def test_a_wrong_clock_halts_the_bot_and_the_difference_is_reported(calm: World) -> None:
    bot = await calm.start()
    async with kept(bot):
        calm.emulator.add_fault({"kind": "clock_skew", "value": -3_600_000})
        bot.comparisons.at_once()
        await until(lambda: bot.view.halted is not None)
        # the exchange's Date header has a resolution of one second
        assert re.search(r"this machine's clock is 3,(599|600),\d{3} ms", told(bot))
        assert "ms ahead of the exchange's; set it, restart the bot, then resume" in told(bot)
        assert far_buy(bot).is_refused
        await asyncio.sleep(0.5)  # two checks by the supervisor
        assert told(bot).count("set it, restart the bot") == 1  # halted only once, not again at every check
        assert exchange_rows(calm.emulator) == []


async def test_after_ten_minutes_of_sleep_the_bot_reconciles_before_it_sends_any_new_order(calm: World) -> None:
    changes: list[ConnectionState] = []
    bot = await calm.start(
        wrap=lambda adapter: Overheard(
            adapter, lambda event: isinstance(event, Connection) and changes.append(event.state)
        )
    )
    async with kept(bot):
        resting = far_buy(bot)
        await settled(resting)
        changes.clear()
        await until(lambda: bot.standstill._beat_at is not None)
        # the response to the comparison's balance read is late, and no new order may be sent before it arrives
        calm.emulator.add_fault({"kind": "delay_answer", "where": "balance", "value": 2_000, "count": 1})
        sleep_for(calm, TEN_MINUTES)
        early = far_buy(bot, 0.02)
        await until(lambda: early.is_final)
        assert early.state is OrderState.NOT_SENT
        assert early.reason.startswith("not sent: the bot was suspended for 60")
        assert early.reason.endswith("it must be reconciled with the exchange first")
        assert "the bot was suspended for 60" in told(bot)
        assert "it is reconnecting, and sends no new orders until it is reconciled" in told(bot)
        assert len(exchange_rows(calm.emulator)) == 1
        free = puppet(bot).balance("usdt").exact.available

        await until(lambda: bot.standstill.gate(bot.driver.now()) is None, 30)
        assert changes.count(ConnectionState.LOST) >= 6  # all streams reconnect, even those that are still connected
        await until(lambda: changes.count(ConnectionState.CONNECTED) >= changes.count(ConnectionState.LOST), 30)
        again = far_buy(bot, 0.02)
        await settled(again)
        assert again.state is OrderState.OPEN
        assert puppet(bot).balance("usdt").exact.available < free
        assert resting.state is OrderState.OPEN
        assert told(bot).count("the machine slept, or the process was stopped") == 1
        await until(lambda: not differences(bot, calm.emulator), 30)
    assert bot.driver.fault is None


async def test_cancels_are_sent_immediately_after_the_machine_wakes_up(calm: World) -> None:
    bot = await calm.start()
    async with kept(bot):
        resting = far_buy(bot)
        await settled(resting)
        await until(lambda: bot.standstill._beat_at is not None)
        calm.emulator.add_fault({"kind": "delay_answer", "where": "balance", "value": 60_000, "count": 1})
        sleep_for(calm, TEN_MINUTES)
        puppet(bot).cancel(resting)
        bot.driver.wake()
        await until(lambda: resting.state is OrderState.CANCELLED)
        assert bot.standstill.gate(bot.driver.now()) is not None


async def test_a_busy_second_is_not_mistaken_for_a_suspended_process(calm: World) -> None:
    bot = await calm.start()
    async with kept(bot):
        await until(lambda: bot.standstill._beat_at is not None)
        sleep_for(calm, STANDSTILL_S / 3)
        order = far_buy(bot)
        await settled(order)
        assert order.state is OrderState.OPEN
        assert "was suspended" not in told(bot)


def test_the_counter_advances_while_the_machine_sleeps_and_cannot_be_set() -> None:
    wall, slept = Wall(), [0]
    clock = SteadyClock(wall=wall, counter=lambda: REAL_CLOCK.counter_ns() + slept[0])
    before = clock.now()
    wall.moved = -5 * NS_PER_HOUR
    assert clock.now() >= before
    assert abs(clock.drift_ns() + 5 * NS_PER_HOUR) < NS_PER_S
    slept[0] = TEN_MINUTES * NS_PER_S
    assert clock.now() - before >= TEN_MINUTES * NS_PER_S


@pytest.mark.parametrize("stamp", [1_700_000_000, 1_700_000_000_000])
def test_the_magnitude_of_a_timestamp_distinguishes_seconds_from_milliseconds(stamp: int) -> None:
    assert to_ns(stamp) == 1_700_000_000 * NS_PER_S


@pytest.mark.parametrize("stamp", [-1, 10**19])
def test_an_impossible_timestamp_is_refused(stamp: int) -> None:
    with pytest.raises(WireError, match="not a plausible time"):
        to_ns(stamp)
