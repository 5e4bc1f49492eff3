"""All network, response and stream faults hit a trading bot at random and simultaneously. Its records stay correct."""

from __future__ import annotations

from typing import Any

import pytest

from botkit.live.bot import Bot
from botkit.model.orders import OrderState
from tests.live.books import differences, exchange_rows
from tests.live.test_faults_streams import trade_for_a_while
from tests.live.world import World, far_buy, kept, puppet, settled, told, until

pytestmark = pytest.mark.virtual_time

REQUESTS: tuple[dict[str, Any], ...] = (
    {"kind": "error_before"},
    {"kind": "error_before", "value": 408},
    {"kind": "error_after"},
    {"kind": "error_after", "value": 422},
    {"kind": "reset"},
    {"kind": "reset_after"},
    {"kind": "garbage"},
    {"kind": "truncated"},
    {"kind": "storm_429"},
    {"kind": "late_arrival", "value": 10_000},
    {"kind": "delay_request", "value": 500, "jitter": 5_000},
    {"kind": "delay_answer", "value": 500, "jitter": 5_000},
    {"kind": "redirect", "put": "http://127.0.0.1:9/v3/orders"},
    {"kind": "unfiltered"},
    {"kind": "shuffled"},
    {"kind": "altered", "find": '"amount":"[^"]*"', "put": '"amount":"NaN"'},
    {"kind": "altered", "find": "^{", "put": '{"orderId":"7",'},
)
FRAMES: tuple[dict[str, Any], ...] = (
    {"kind": "ws_abort"},
    {"kind": "ws_close", "value": 1000},
    {"kind": "ws_garbage"},
    {"kind": "ws_duplicate"},
    {"kind": "ws_reorder"},
    {"kind": "ws_drop", "where": "active_orders"},
    {"kind": "ws_drop", "where": "user_trades"},
    {"kind": "ws_drop", "where": "account_balance"},
    {"kind": "ws_altered", "find": '"status":0', "put": '"status":9'},
    {"kind": "ws_refuse"},
    {"kind": "ws_huge", "value": 5},
)


def booked(bot: Bot) -> dict[int, int]:
    """Return the journaled fills of each order, in lots."""
    found: dict[int, int] = {}
    for fill in bot.journal.fills():
        found[fill.client_id] = found.get(fill.client_id, 0) + fill.lots
    return found


@pytest.mark.parametrize("share", [0.05])
async def test_the_bots_records_are_correct_after_all_faults_combined(share: float, world: World) -> None:
    bot = await world.start()
    async with kept(bot):
        faults = [
            world.emulator.add_fault({**fault, "share": fault.get("share", of * share)})
            for kinds, of in ((REQUESTS, 1.0), (FRAMES, 0.2))
            for fault in kinds
        ]
        for _ in range(4):
            await trade_for_a_while(bot, 40)
        assert sum(fault.fired > 0 for fault in faults) > len(faults) // 2, [f for f in faults if not f.fired]
        world.emulator.remove_faults()

        in_doubt = (OrderState.QUEUED, OrderState.SENDING, OrderState.UNKNOWN)
        await until(lambda: not any(o.state in in_doubt for o in bot.view.open_orders()), 60)
        await bot.driver.wait(20)
        bot.comparisons.suspect(bot.driver.now())
        await until(lambda: not differences(bot, world.emulator), 60)
        assert bot.driver.fault is None
        assert bot.view.halted is None or "in a row" in bot.view.halted, told(bot)
        bot.parts.folder.clear_halt()
        await until(lambda: bot.view.halted is None, 20)
        order = far_buy(bot, 0.003)
        await settled(order)
        assert order.state is OrderState.OPEN
    ids = [row.client_id for row in exchange_rows(world.emulator)]
    assert len(ids) == len(set(ids)) > 10
    executed = {row.client_id: row.executed_lots for row in exchange_rows(world.emulator) if row.executed_lots}
    await until(lambda: booked(bot) == executed)
    assert puppet(bot).open_orders()
