"""Orders of strategies that are no longer in the configuration: what they execute is booked, and none is given up
before its end is known.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from botkit.emulator import DEFAULT_ACCOUNT
from botkit.live.bot import Bot
from botkit.live.journal import Journal
from botkit.live.latch import lift
from botkit.live.notices import Notices
from botkit.live.notifications.summary import summary_lines, summary_of
from botkit.live.start_refused import StartRefused
from botkit.live.starting import OrphanChoice, start
from botkit.live.state_folder import KeptHalt, StateFolder
from botkit.model.clock import NS_PER_S
from botkit.model.orders import Order, OrderState
from tests.live.world import World, far_buy, make_world, settled, strategy_of, told, until

pytestmark = pytest.mark.virtual_time

_CONFIG = """
name: world
plugins: [plugins]
strategies:
  - {name: p, use: puppet, capital: {usdt: "60000"}, params: {pair: btc_usdt}}
  - {name: r, use: puppet, capital: {usdt: "40000"}, params: {pair: btc_usdt}}
emulator:
  balances: {usdt: 100000, btc: 1}
"""


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[World]:
    """A world with two strategies, p and r."""
    async with make_world(tmp_path, config=_CONFIG) as world:
        yield world


def remove(world: World) -> str:
    """Remove the strategy r from the configuration, and return the text with it."""
    text = world.config.read_text()
    world.config.write_text("\n".join(line for line in text.split("\n") if "name: r" not in line))
    return text


def in_books(bot: Bot) -> dict[str, int]:
    return {currency: bot.view.money.account[currency] for currency in ("btc", "usdt")}


def at_exchange(world: World) -> dict[str, int]:
    reported = world.emulator.venue.kernel.account(DEFAULT_ACCOUNT.email).balances().balances
    return {currency: reported[currency][0] for currency in ("btc", "usdt")}


async def bought(bot: Bot, strategy: Any, pair: str, **order: float) -> Any:
    """Let a strategy buy at the market, and return its position."""
    await until(lambda: strategy.last_price(pair) and strategy.book(pair).best_ask)
    placed = strategy.market_buy(pair, **order)
    bot.driver.wake()
    await until(lambda: placed.is_final)
    return strategy.position(pair)


async def bought_while_down(world: World) -> Order:
    """Let the strategy r place an order that the market fills after the bot has crashed."""
    bot = await world.start()
    strategy = strategy_of(bot, "r")
    await until(lambda: strategy.book("btc_usdt").best_ask)
    order: Order = strategy.buy("btc_usdt", amount=0.01, price=strategy.book("btc_usdt").best_ask - 0.5)
    bot.driver.wake()
    await settled(order)
    await world.crash(bot)
    await until(lambda: any(row.state is OrderState.FILLED for row in world.exchange_orders()), 30)
    return order


async def sent_while_dying(world: World, arrives_ms: int) -> Order:
    """Let the strategy r send an order that reaches the exchange only after the bot has crashed."""
    bot = await world.start()
    world.emulator.add_fault({"kind": "late_arrival", "where": "create_order", "count": 1, "value": arrives_ms})
    strategy = strategy_of(bot, "r")
    order: Order = strategy.buy("btc_usdt", amount=0.01, price=round(strategy.last_price("btc_usdt") / 2))
    bot.driver.wake()
    await until(lambda: order.sent)
    await world.crash(bot)
    assert not world.exchange_orders()
    return order


@pytest.mark.parametrize("choice", ["cancel", "adopt"])
@pytest.mark.parametrize("is_pooled", [(False, False), (False, True), (True, True)])
async def test_fills_of_a_removed_strategy_while_the_bot_was_down_are_booked_to_it_once(
    tmp_path: Path, choice: OrphanChoice, is_pooled: tuple[bool, bool]
) -> None:
    config = _CONFIG
    for is_one, capital in zip(is_pooled, ('capital: {usdt: "60000"}, ', 'capital: {usdt: "40000"}, '), strict=True):
        config = config.replace(capital, "") if is_one else config
    async with make_world(tmp_path, config=config) as world:
        await bought_while_down(world)
        text = remove(world)
        second = await world.start(orphans=choice)
        assert in_books(second) == at_exchange(world)
        assert (second.view.money.unassigned["usdt"], second.view.money.unassigned["btc"]) == (0, 10**8)
        assert "1 order of removed strategies was filled" in told(second)
        assert "entered or left the account" not in told(second)
        second.view.money.check()
        await world.crash(second)

        world.config.write_text(text)
        third = await world.start()
        assert strategy_of(third, "r").position("btc_usdt").amount == pytest.approx(0.01, abs=1e-4)
        assert in_books(third) == at_exchange(world)
        assert third.view.money.unassigned["btc"] == 10**8
        assert third.view.money.holdings("r")["btc"] == third.view.money.account["btc"] - 10**8
        assert sum(fill.lots for fill in third.journal.fills()) == strategy_of(third, "r").rules("btc_usdt").lots(0.01)
        assert "entered or left the account" not in told(third)
        third.view.money.check()


async def test_an_order_in_flight_when_the_bot_died_is_cancelled_when_it_arrives_although_its_strategy_is_removed(
    two: World,
) -> None:
    order = await sent_while_dying(two, 30_000)
    remove(two)
    second = await two.start(orphans="cancel")
    assert "1 order of removed strategies was sent when the last run ended, and the outcome is unknown" in told(second)
    assert "was cancelled" not in told(second)
    assert not two.exchange_orders(), "it has not arrived yet"
    [found] = second.view.open_orders()
    await until(lambda: two.exchange_orders(), 30)
    await until(lambda: found.is_final, 30)
    assert (found.client_id, found.state) == (order.client_id, OrderState.CANCELLED)
    assert not two.exchange_orders(open_only=True)
    second.view.money.check()


async def test_an_order_that_never_arrived_is_absent_only_after_the_exchange_can_no_longer_accept_it(
    two: World,
) -> None:
    await sent_while_dying(two, 86_400_000)
    remove(two)
    began = two.emulator.clock.now()
    second = await two.start(orphans="cancel")
    [found] = second.view.open_orders()
    assert found.state is OrderState.UNKNOWN
    assert strategy_of(second, "p").buy("btc_usdt", amount=0.01, price=1000).is_refused, "its pair must wait for it"
    await until(lambda: found.is_final, 60)
    assert found.state is OrderState.ABSENT
    assert found.updated - began >= 2 * NS_PER_S  # `latest_accept_s` of these bots


async def test_a_second_start_goes_on_cancelling_what_the_first_was_told_to_cancel(two: World) -> None:
    order = await sent_while_dying(two, 60_000)
    remove(two)
    with pytest.raises(StartRefused, match="--cancel"):
        await start(two.parts(), Notices())
    second = await two.start(orphans="cancel")
    await two.crash(second)
    assert not two.exchange_orders(), "it has not arrived yet"
    third = await two.start()
    found = third.view.order(order.client_id)
    assert found is not None
    await until(lambda: two.exchange_orders(), 60)
    await until(lambda: found.is_final, 30)
    assert found.state is OrderState.CANCELLED
    assert not two.exchange_orders(open_only=True)


async def test_an_order_left_open_stays_foreign_even_if_its_strategy_returns(two: World) -> None:
    bot = await two.start()
    strategy = strategy_of(bot, "r")
    order = strategy.buy("btc_usdt", amount=0.01, price=round(strategy.last_price("btc_usdt") / 2))
    bot.driver.wake()
    await settled(order)
    await two.crash(bot)
    text = remove(two)
    second = await two.start(orphans="adopt")
    assert "1 order of removed strategies was left open as foreign orders" in told(second)
    assert "1 open order is not this bot's" in told(second)
    assert told(second).count("of removed strategies") == 1
    second.view.money.check()
    assert not second.view.open_orders()
    await two.crash(second)

    two.config.write_text(text)
    third = await two.start()
    assert [row.order_id for row in third.view.foreign_orders()] == [order.order_id]
    assert not strategy_of(third, "r").open_orders()
    third.view.money.check()


async def test_a_halted_bot_leaves_the_orders_of_a_removed_strategy_open_and_cancels_all_others(two: World) -> None:
    bot = await two.start()
    orders = []
    for name in ("p", "r"):
        strategy = strategy_of(bot, name)
        orders.append(strategy.buy("btc_usdt", amount=0.01, price=round(strategy.last_price("btc_usdt") / 2)))
    bot.driver.wake()
    for order in orders:
        await settled(order)
    await two.crash(bot)
    StateFolder(two.folder / "state").set_halt(KeptHalt(kind="panic", reason="by hand", time=0))
    remove(two)
    second = await two.start(orphans="adopt")
    assert second.view.halted is not None
    assert "1 order of removed strategies was left open as foreign orders" in told(second)
    await until(lambda: not second.view.open_orders(), 30)
    assert [row.order_id for row in two.exchange_orders(open_only=True)] == [orders[1].order_id]
    assert [row.order_id for row in second.view.foreign_orders()] == [orders[1].order_id]
    second.view.money.check()


async def test_quotes_of_a_removed_strategy_are_cancelled(two: World) -> None:
    bot = await two.start()
    strategy = strategy_of(bot, "r")
    strategy.quote("btc_usdt", bids=[(round(strategy.last_price("btc_usdt") / 2), 0.01)], asks=[])
    bot.driver.wake()
    await until(lambda: two.exchange_orders(open_only=True))
    await two.crash(bot)
    remove(two)
    second = await two.start(orphans="cancel")
    assert "1 order of removed strategies was cancelled" in told(second)
    assert not two.exchange_orders(open_only=True)
    second.view.money.check()


async def test_an_order_of_a_removed_strategy_that_cannot_be_cancelled_prevents_the_start(
    two: World,
) -> None:
    bot = await two.start()
    strategy = strategy_of(bot, "r")
    order = strategy.buy("btc_usdt", amount=0.01, price=round(strategy.last_price("btc_usdt") / 2))
    bot.driver.wake()
    await settled(order)
    await two.crash(bot)
    remove(two)
    for name in ("cancel_order", "cancel_batch"):
        two.emulator.add_fault({"kind": "error_before", "where": name})
    with pytest.raises(StartRefused, match=f"could not be cancelled within 60 s: {order.order_id}"):
        await two.start(orphans="cancel")
    assert len(two.exchange_orders(open_only=True)) == 1
    two.emulator.remove_faults()
    again = await two.start()  # what it has been told holds
    assert "1 order of removed strategies was cancelled" in told(again)
    assert not two.exchange_orders(open_only=True)


async def test_a_removed_strategy_keeps_its_position_in_a_pair_that_no_other_strategy_trades(tmp_path: Path) -> None:
    config = _CONFIG.replace('"40000"}, params: {pair: btc_usdt}', '"40000"}, params: {pair: eth_usdt}')
    async with make_world(tmp_path, config=config) as world:
        bot = await world.start()
        strategy = strategy_of(bot, "r")
        await until(lambda: strategy.book("eth_usdt").best_ask)
        bought = strategy.market_buy("eth_usdt", amount=1.0)
        bot.driver.wake()
        await until(lambda: bought.is_final)
        position = strategy.position("eth_usdt").exact.amount
        assert position > 0
        rests = strategy.buy("eth_usdt", amount=0.1, price=round(strategy.last_price("eth_usdt") / 2))
        bot.driver.wake()
        await settled(rests)
        await world.crash(bot)
        text = remove(world)
        second = await world.start(orphans="cancel")
        assert "1 order of removed strategies was cancelled" in told(second)
        await world.crash(second)
        world.config.write_text(text)
        third = await world.start()
        assert strategy_of(third, "r").position("eth_usdt").exact.amount == position


@pytest.mark.parametrize("capital", ['capital: {usdt: "40000"}, ', ""])
async def test_a_removed_strategys_position_outlasts_the_memory_of_its_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capital: str
) -> None:
    monkeypatch.setattr("botkit.live.starting.REMEMBERED", 0)  # as if its last order were longer ago
    before, after = 'capital: {usdt: "40000"}, params: {pair: btc_usdt}', f"{capital}params: {{pair: eth_usdt}}"
    config = _CONFIG.replace(before, after)
    config = config if capital else config.replace('capital: {usdt: "60000"}, ', "")
    async with make_world(tmp_path, config=config) as world:
        bot = await world.start()
        strategy = strategy_of(bot, "r")
        held = (await bought(bot, strategy, "eth_usdt", amount=1.0)).exact
        flows = bot.view.money.holdings("r")
        await until(lambda: not bot.persistence.is_dirty)
        await world.crash(bot)
        text = remove(world)
        for _ in range(2):
            second = await world.start()
            assert "r is not in the configuration any more, but holds 0.998" in told(second)
            second.view.money.check()
            far_buy(second, 0.01)
            await until(lambda: second.view.open_orders()[0].order_id)  # noqa: B023
            await world.crash(second)
        world.config.write_text(text)
        third = await world.start()
        again = strategy_of(third, "r").position("eth_usdt").exact
        assert (again.amount, again.average_entry) == (held.amount, held.average_entry)
        assert third.view.money.holdings("r") == flows
        third.view.money.check()


_UNLIMITED = "params: {pair: btc_usdt}}\nemulator"
_LIMITED = _CONFIG.replace(_UNLIMITED, "params: {pair: btc_usdt}, risk: {max_daily_loss: {usdt: 5}}}\nemulator")


@pytest.mark.parametrize("is_resumed", [False, True])
async def test_a_loss_halt_outlives_a_run_without_its_strategy(tmp_path: Path, is_resumed: bool) -> None:
    async with make_world(tmp_path, config=_LIMITED) as world:
        bot = await world.start()
        await until(lambda: strategy_of(bot, "r").book("btc_usdt").best_ask)
        bought = strategy_of(bot, "r").market_buy("btc_usdt", spend=15_000)
        bot.driver.wake()
        await until(lambda: bought.state is OrderState.FILLED)
        await until(lambda: bool(bot.view.halts.get("r")), 20)
        await world.crash(bot)
        text = remove(world)
        if is_resumed:
            journal = Journal.open(world.folder / "state" / "journal.sqlite")
            assert lift(journal, "r") is not None
            journal.close()
        without = await world.start(orphans="cancel")
        turns = without.driver.turns
        await until(lambda: without.driver.turns > turns + 20)
        assert not without.view.halts
        await world.crash(without)
        world.config.write_text(text)
        again = await world.start()
        assert bool(again.view.halts.get("r")) is not is_resumed
        order = strategy_of(again, "r").buy("btc_usdt", amount=0.01, price=1_000)
        assert order.is_refused is not is_resumed


async def test_the_summary_says_what_a_removed_strategy_still_owns(two: World) -> None:
    bot = await two.start()
    assert not [line for line in summary_lines(summary_of(bot.standing())) if "any more" in line]
    await two.crash(bot)
    remove(two)
    again = await two.start()
    (line,) = [line for line in summary_lines(summary_of(again.standing())) if "any more" in line]
    assert line.startswith("  r, not in the configuration any more, still owns 40,000 usdt: they count in equity")


@pytest.mark.parametrize("has_order", [False, True])
async def test_coins_and_orders_in_a_pair_that_a_strategy_no_longer_names_are_told_of_and_valued(
    two: World, has_order: bool
) -> None:
    bot = await two.start()
    strategy = strategy_of(bot, "r")
    held = (await bought(bot, strategy, "btc_usdt", spend=5000)).amount
    if has_order:
        order = strategy.buy("btc_usdt", amount=0.01, price=round(strategy.last_price("btc_usdt") / 2))
        bot.driver.wake()
        await settled(order)
    await two.crash(bot)
    text = two.config.read_text()
    two.config.write_text(text.replace("pair: btc_usdt", "pair: eth_usdt"))  # of both strategies
    again = await two.start()
    resting = " and has 1 open order" if has_order else ""
    assert f"r holds {held:.8f} btc{resting} in btc_usdt, but neither its parameters nor its" in told(again)
    assert "p holds" not in told(again)
    await until(lambda: any(market.last for market in again.view.markets() if market.pair == "btc_usdt"))
    equity = again.view.money.equity("r")
    assert equity is not None
    assert equity > 39_900 * 10**8, "the coins are counted"
    await two.crash(again)
    two.config.write_text(text)
    assert "any more, so perhaps nothing manages them" not in told(await two.start())


async def test_coins_in_a_pair_that_was_left_long_ago_are_told_of(two: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botkit.live.starting.REMEMBERED", 0)  # as if its last order were longer ago
    bot = await two.start()
    strategy = strategy_of(bot, "r")
    held = (await bought(bot, strategy, "btc_usdt", spend=5000)).amount
    await until(lambda: not bot.persistence.is_dirty)
    await two.crash(bot)
    two.config.write_text(two.config.read_text().replace("pair: btc_usdt", "pair: eth_usdt"))
    notices, said = Notices(), []
    notices.listeners.append(lambda level, text: said.append(text))
    two.bots.append(await start(two.parts(), notices))
    assert [text for text in said if text.startswith(f"r holds {held:.8f} btc in btc_usdt, but neither its parameters")]
