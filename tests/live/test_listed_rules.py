"""A running bot follows maintenance and changed rules of the emulator's pairs, in every mode."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from botkit.assembly.live import live_parts
from botkit.engine.market import listed_rules
from botkit.live.bot import Bot
from botkit.live.notices import Notices
from botkit.live.notifications.summary import summary_lines, summary_of
from botkit.live.starting import start
from botkit.model.clock import NS_PER_MINUTE, NS_PER_S
from botkit.model.orders import OrderState
from botkit.project.project import Project
from tests.live.world import (
    CONFIG,
    World,
    change_listed_rule,
    far_buy,
    make_world,
    puppet,
    settled,
    strategy_of,
    told,
    until,
)

pytestmark = pytest.mark.virtual_time

TWO_PAIRS = CONFIG.replace("emulator:", "  - {name: r, use: puppet, params: {pair: eth_usdt}}\nemulator:", 1)
IN_MAINTENANCE = "btc_usdt is in maintenance"


def asked(world: World, endpoint: str) -> int:
    """Return how many requests have arrived at an endpoint of the exchange."""
    counts = world.emulator.venue.limits.counts
    return counts[endpoint].arrivals if endpoint in counts else 0


async def reject_one(world: World, bot: Bot) -> None:
    """Let the exchange reject an order, which makes the bot read the list."""
    world.emulator.add_fault({"kind": "error_before", "where": "create_order", "value": 400, "count": 1})
    order = far_buy(bot)
    await until(lambda: order.state is OrderState.REJECTED)


async def test_a_bot_that_starts_during_maintenance_trades_once_it_has_ended(tmp_path: Path) -> None:
    async with make_world(tmp_path) as world:
        minutes = 5
        begun = world.emulator.clock.now()
        world.emulator.add_fault({"kind": "maintenance", "where": "btc_usdt", "for_s": 60 * minutes})
        bot = await world.start()
        order = far_buy(bot)
        await until(lambda: order.is_final)
        assert order.state is OrderState.REJECTED
        await until(lambda: far_buy(bot).reason == IN_MAINTENANCE)
        assert f"  {IN_MAINTENANCE}" in summary_lines(summary_of(bot.standing()))
        sent = asked(world, "create_order")
        orders: list[Any] = []

        def is_sent() -> bool:
            orders.append(far_buy(bot))
            return not orders[-1].is_refused

        await until(is_sent, 60 * (minutes + 2) / world.speed)
        await settled(orders[-1])
        assert orders[-1].state is OrderState.OPEN
        assert asked(world, "create_order") == sent + 1, "no order was tried in between"
        late_s = (world.emulator.clock.now() - begun) / NS_PER_S - 60 * minutes
        assert 0 <= late_s < 65
        assert asked(world, "trading_pairs") <= minutes + 2
        assert "btc_usdt is open again: its orders are sent" in told(bot)
        assert summary_lines(summary_of(bot.standing())).count(f"  {IN_MAINTENANCE}") == 0


async def test_another_pair_trades_during_maintenance(tmp_path: Path) -> None:
    async with make_world(tmp_path, config=TWO_PAIRS) as world:
        bot = await world.start()
        other = strategy_of(bot, "r")
        await until(lambda: other.last_price("eth_usdt"))
        resting = far_buy(bot)
        await settled(resting)
        world.emulator.add_fault({"kind": "maintenance", "where": "btc_usdt"})
        await until(lambda: far_buy(bot).reason == IN_MAINTENANCE)
        assert bot.view.halted is None
        order = other.buy("eth_usdt", amount=0.1, price=round(other.last_price("eth_usdt") / 2))
        bot.driver.wake()
        await settled(order)
        assert order.state is OrderState.OPEN
        puppet(bot).cancel(resting)
        bot.driver.wake()
        await until(lambda: resting.state is OrderState.CANCELLED)


async def test_a_grid_of_orders_in_the_only_pair_does_not_halt_the_bot_when_maintenance_begins(tmp_path: Path) -> None:
    async with make_world(tmp_path) as world:
        bot = await world.start()
        world.emulator.add_fault({"kind": "maintenance", "where": "btc_usdt"})
        price = round(puppet(bot).last_price("btc_usdt") / 2)
        orders = [puppet(bot).buy("btc_usdt", amount=0.001, price=price - n) for n in range(30)]
        bot.driver.wake()
        await until(lambda: all(order.is_final for order in orders))
        assert sum(order.state is OrderState.REJECTED for order in orders) >= 10
        await until(lambda: far_buy(bot).reason == IN_MAINTENANCE)
        assert bot.view.halted is None
        world.emulator.remove_faults()
        await until(lambda: not far_buy(bot).is_refused, 90)


async def test_a_changed_minimum_applies_to_the_next_order(tmp_path: Path) -> None:
    async with make_world(tmp_path) as world:
        bot = await world.start()
        change_listed_rule(world, '"0.0001"', '"0.5"')
        await reject_one(world, bot)
        await until(lambda: "minLimitBaseAmount" in told(bot))
        assert "btc_usdt: the exchange changed its minLimitBaseAmount from 0.0001 to 0.5" in told(bot)
        assert far_buy(bot).reason == "amount 0.01 btc is below the minimum 0.5"
        assert puppet(bot).pair.rules.least_amount == puppet(bot).rules("btc_usdt").least_amount == 0.5
        assert world.emulator.venue.pairs["btc_usdt"].rules.least_amount != 0.5, "the bot's pairs are its own"


async def test_ticks_of_another_size_halt_the_pair_and_cancel_its_orders(tmp_path: Path) -> None:
    async with make_world(tmp_path, config=TWO_PAIRS) as world:
        bot = await world.start()
        other = strategy_of(bot, "r")
        await until(lambda: other.last_price("eth_usdt"))
        resting = far_buy(bot)
        await settled(resting)
        change_listed_rule(world, '"quotePrecision":"2"', '"quotePrecision":"1"')
        await reject_one(world, bot)
        await until(lambda: resting.state is OrderState.CANCELLED)
        assert "btc_usdt is halted: the exchange changed its quotePrecision from 2 to 1, which the bot" in told(bot)
        assert "btc_usdt is halted" in far_buy(bot).reason
        assert bot.view.halted is None
        order = other.buy("eth_usdt", amount=0.1, price=round(other.last_price("eth_usdt") / 2))
        bot.driver.wake()
        await settled(order)
        assert order.state is OrderState.OPEN


@contextlib.asynccontextmanager
async def paper(world: World) -> AsyncIterator[Bot]:
    """Run a bot on paper, on the emulator's market."""
    # otherwise, market data reads would count toward the limits managed by this machine's broker
    world.config.write_text(world.config.read_text() + "limits: {ledger: none}\n")
    notices, said = Notices(), []
    notices.listeners.append(lambda level, text: said.append((level, text)))
    async with live_parts(Project.load(world.config), "paper", rest=world.emulator.rest, ws=world.emulator.ws) as parts:
        bot = await start(parts, notices)
    bot.told = said  # type: ignore[attr-defined]
    world.bots.append(bot)
    await until(lambda: puppet(bot).last_price("btc_usdt") is not None)
    yield bot


async def test_a_paper_bot_knows_of_maintenance_from_its_start(tmp_path: Path) -> None:
    async with make_world(tmp_path, speed=1.0) as world:
        world.emulator.add_fault({"kind": "maintenance", "where": "btc_usdt"})
        async with paper(world) as bot:
            assert far_buy(bot).reason == IN_MAINTENANCE
            assert f"{IN_MAINTENANCE}: its orders are refused until it is open again" in told(bot)
            world.emulator.remove_faults()
            order = far_buy(bot)
            assert order.is_refused
            await until(lambda: not far_buy(bot).is_refused, 70)


async def test_the_exchange_of_a_paper_bot_follows_changed_minima(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listed_rules, "EVERY_NS", NS_PER_MINUTE // 20)
    async with make_world(tmp_path, speed=1.0) as world, paper(world) as bot:
        change_listed_rule(world, '"0.0001"', '"0.00001"')
        await until(lambda: "minLimitBaseAmount from 0.0001 to 0.00001" in told(bot))
        order = far_buy(bot, amount=0.00002)
        await settled(order)
        assert order.state is OrderState.OPEN


async def test_the_list_is_read_without_the_accounts_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listed_rules, "EVERY_NS", NS_PER_MINUTE)
    async with make_world(tmp_path) as world:
        bot = await world.start()
        world.emulator.add_fault({"kind": "key_expired"})
        far_buy(bot)
        await until(lambda: bot.driver.key_refusal)
        before = asked(world, "trading_pairs")
        await until(lambda: asked(world, "trading_pairs") > before)
