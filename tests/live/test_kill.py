"""kill -9 at the awaits of an order's way: nothing lost, doubled or orphaned, by the exchange's own books."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from random import Random

import pytest

from botkit.emulator import DEFAULT_ACCOUNT
from botkit.model.orders import OrderState, OrderType, Side
from botkit.model.requests import CreateOrder, NewOrder
from tests.benchmarks.kill_runs import BETWEEN, INSIDE, OUTSIDE, kill_world, plan, run_kills
from tests.live.books import exchange_rows
from tests.live.world import World, puppet, until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")


async def test_nothing_is_lost_doubled_or_orphaned_wherever_the_bot_is_killed(tmp_path: Path) -> None:
    findings = await run_kills(tmp_path, [*INSIDE[1:4], INSIDE[5]], seed=5)
    assert findings.broken == []
    assert findings.in_doubt[INSIDE[1]], "nobody was killed between the row and the answer"
    assert findings.orders
    assert max(findings.restarts_s) < 10


def test_a_third_of_the_kills_fall_between_journal_row_and_answer_and_each_phase_has_its_share() -> None:
    phases = plan(200, Random(1))
    assert sum(phase in BETWEEN for phase in phases) >= 200 / 3
    assert min(phases.count(phase) for phase in (*INSIDE, *OUTSIDE)) >= 10


async def test_two_hundred_open_orders_are_reconciled_within_ten_seconds(world: World) -> None:
    bot = await world.start()
    prices = [20_000 - 10 * i for i in range(200)]
    orders = [puppet(bot).buy("btc_usdt", amount=0.001, price=price) for price in prices]
    bot.driver.wake()
    await until(lambda: all(o.state in (OrderState.OPEN, OrderState.REFUSED) for o in orders), 60)
    assert len(world.exchange_orders(open_only=True)) == 200
    await world.crash(bot)

    began = time.monotonic()
    again = await world.start()
    assert time.monotonic() - began < 10
    known = {order.order_id for order in puppet(again).open_orders()}
    assert known == {row.order_id for row in world.exchange_orders(open_only=True)}
    again.engine.portfolio.check()


async def test_the_judge_sees_an_order_that_no_journal_knows(tmp_path: Path) -> None:
    async with kill_world(tmp_path) as world:
        world.patience_s = 1.0
        await world.judge("nothing happened")
        assert world.findings.broken == []
        venue = world.emulator.venue
        order = NewOrder(
            client_id=77,
            pair=venue.pairs["btc_usdt"],
            side=Side.BUY,
            type=OrderType.LIMIT,
            price_ticks=1_000_000,
            amount_lots=10**6,
        )
        venue.kernel.submit(DEFAULT_ACCOUNT.email, CreateOrder(id=1, order=order, timestamp=venue.now), venue.now)
        await until(lambda: exchange_rows(world.emulator))
        await world.judge("an order by another hand")
        assert {text.split(":")[0] for text in world.findings.broken} == {"lost", "orphaned"}
