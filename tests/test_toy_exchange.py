"""A plugin provides a third-party exchange: a bot trades on it, is killed, and restarts from its journal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from botkit.assembly.account import account_access
from botkit.assembly.live import live_parts
from botkit.assembly.live_parts import Mode
from botkit.live.account import read_account
from botkit.live.bot import Bot
from botkit.live.clock import SteadyClock
from botkit.live.notices import Notices
from botkit.live.panic import panic
from botkit.live.starting import start
from botkit.live.stopping import stop
from botkit.model.money import UNIT
from botkit.model.orders import OrderState
from botkit.project.project import Project
from tests.live.world import puppet, until
from tests.toy_exchange import VENUES, ToyVenue

PLUGIN = """
from botkit import Pair, Strategy, hookimpl
from tests.toy_exchange import botkit_register_exchanges


class Puppet(Strategy):
    pair: Pair

    def on_start(self):
        self.subscribe_book(self.pair, depth=5)


@hookimpl
def botkit_register_strategies(register):
    register("puppet", Puppet)
"""
CONFIG = """
name: toy
exchange: {name: toy, venue: here, timeout_s: 60}
account: {email: me@example.com, key: '${TOY_KEY}', secret: '${TOY_SECRET}'}
plugins: [plugins]
strategies:
  - {name: p, use: puppet, params: {pair: gold_usd}}
live: {confirm: true}
limits: {ledger: none}
emulator: {balances: {usd: 10000}}
risk:
  max_order_value: {usd: 1000}
  max_position: {gold: "10"}
  max_daily_loss: {usd: 100}
  price_collar_pct: 50
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TOY_KEY", "toy-key")
    monkeypatch.setenv("TOY_SECRET", "toy-secret")
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "toy_plugin.py").write_text(PLUGIN)
    path = tmp_path / "toy.yaml"
    path.write_text(CONFIG)
    return path


@asynccontextmanager
async def running(config: Path, mode: Mode = "live") -> AsyncIterator[Bot]:
    """Run a bot as created by `botkit run --mode MODE`. At the end of the block, the bot is stopped cleanly, unless it
    was killed.
    """
    async with live_parts(Project.load(config), mode) as parts:
        bot = await start(parts, Notices())
        await until(lambda: puppet(bot).book("gold_usd").best_bid is not None)
        try:
            yield bot
        finally:
            if bot.driver.fault is None:
                await stop(bot)
                await bot.close()


async def kill(bot: Bot, venue: ToyVenue) -> None:
    """Kill the bot: it stops running turns, sending requests and writing data, and its connections are dropped. Only
    its open files are closed, as the operating system would close them.
    """
    venue.connections.clear()
    bot.driver.fault = RuntimeError("killed")
    await bot.driver.close()
    await bot.close()


async def test_a_killed_bot_finds_the_order_whose_response_was_lost(config: Path) -> None:
    venue = VENUES["here"] = ToyVenue(SteadyClock().now)
    async with running(config) as bot:
        first = puppet(bot).buy("gold_usd", amount=0.5, price=100)
        bot.driver.wake()
        await until(lambda: first.state is OrderState.OPEN)
        venue.sell(100_00, 20_000_000)
        await until(lambda: first.executed == 0.2)
        venue.loses_next_create = True
        lost = puppet(bot).buy("gold_usd", amount=1, price=98)
        bot.driver.wake()
        await until(lambda: len(venue.orders) == 2)
        assert lost.state is OrderState.SENDING
        await kill(bot, venue)
    # no bot is connected to receive this fill
    venue.sell(100_00, 10_000_000)

    async with running(config) as again:
        found = {order.client_id: order for order in puppet(again).open_orders()}
        await until(lambda: [order.state for order in found.values()] == [OrderState.PARTLY_FILLED, OrderState.OPEN])
        assert set(found) == {first.client_id, lost.client_id}
        assert found[first.client_id].executed == pytest.approx(0.3)
        assert found[lost.client_id].order_id == "T2"
        venue.sell(98_00, 120_000_000)
        await until(lambda: all(order.is_final for order in found.values()))
        third = puppet(again).buy("gold_usd", amount=0.1, price=97)
        again.driver.wake()
        await until(lambda: third.state is OrderState.OPEN)
        money = again.view.money
        assert money.account == venue.totals
        assert money.account["gold"] == 1_5000_0000 - 150_000
        assert money.account["usd"] == 10_000 * UNIT - (50 + 98) * UNIT
        assert puppet(again).position("gold_usd").amount == pytest.approx(1.4985)
        assert not again.view.foreign_orders()
        assert sum(fill.lots for fill in again.journal.fills()) == 150_000_000
        money.check()
    # the default policy for open orders when a bot stops
    assert [row.state for row in venue.orders.values()][-1] is OrderState.CANCELLED
    assert not venue.connections


async def test_without_batch_requests_the_account_can_be_read_and_panic_cancels_orders_individually(
    config: Path,
) -> None:
    venue = VENUES["here"] = ToyVenue(SteadyClock().now)
    async with running(config) as bot:
        orders = [puppet(bot).buy("gold_usd", amount=0.1, price=price) for price in (97, 98)]
        bot.driver.wake()
        await until(lambda: all(order.state is OrderState.OPEN for order in orders))
        project = Project.load(config)
        async with account_access(project, "live") as access:
            found = await read_account(access, project.facts)
            assert (found["works"], len(found["open_orders"])) == (True, 2)
            assert abs(found["skew_ms"]) < 1_000
            done = await panic(access, (), own_only=False, can=access.sender.capabilities, say=list, pause_s=0.01)
        assert (done.cancelled, done.left, done.problems) == (2, (), [])
        await until(lambda: all(order.state is OrderState.CANCELLED for order in orders))
        assert {row.state for row in venue.orders.values()} == {OrderState.CANCELLED}


async def test_paper_mode_trades_on_market_data_of_a_third_party_exchange(config: Path) -> None:
    venue = VENUES["here"] = ToyVenue(SteadyClock().now)
    async with running(config, "paper") as bot:
        order = puppet(bot).buy("gold_usd", amount=0.01, price=100)
        bot.driver.wake()
        await until(lambda: order.state is OrderState.OPEN)
        venue.sell(99_50, 10_000_000)
        await until(lambda: order.state is OrderState.FILLED)
        assert not venue.orders
