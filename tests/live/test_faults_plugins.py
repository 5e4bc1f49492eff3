"""No matter what a strategy does, other strategies, orders and records remain intact, and the reason is reported to the
user.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from botkit.exchange.bitopro import sign
from botkit.live import watchdog
from botkit.live.bot import Bot
from botkit.live.machine import resident_bytes
from botkit.live.notifications.memory import WARN_FROM_MB, MemoryWatch
from botkit.live.notifications.notify import Channel, Notifications
from botkit.live.notifications.outbox import Policy
from botkit.model.orders import OrderState
from tests.live.books import differences, exchange_rows
from tests.live.world import CONFIG, World, far_buy, kept, make_world, puppet, settled, strategy_of, told, until
from tests.waiting import PATIENCE_S, wait_for

pytestmark = pytest.mark.virtual_time

ROGUE = """
import asyncio
import sys
import time
from botkit import Pair, Strategy, hookimpl

class Rogue(Strategy):
    pair: Pair

    def on_start(self):
        self.subscribe_book(self.pair, depth=5)
        self.series = self.subscribe_bars(self.pair, "1m", warm_up=5)
        self.deed = None
        self.go_on = False

    def on_book(self, book):
        deed, self.deed = self.deed, None
        if deed is not None:
            getattr(self, deed)(book)

    def exception(self, book):
        raise KeyError("what")  # the line

    def base(self, book):
        raise BaseException("as such")  # the line

    def exits(self, book):
        sys.exit(3)  # the line

    def interrupts(self, book):
        raise KeyboardInterrupt("by hand")  # the line

    def cancelled(self, book):
        raise asyncio.CancelledError  # the line

    def recursion(self, book):
        self.recursion(book)  # the line

    def sleeps(self, book):
        while not self.go_on:
            time.sleep(0.05)  # the line

    def spins(self, book):
        while not self.go_on:
            pass  # the line

    def floods(self, book):
        for _ in range(1_000_000):
            self.buy(self.pair, amount=0.001, price=round(book.best_bid / 2))  # the line

    def mutates_book(self, book):
        book.bid_levels = ((1, 1),)  # the line

    def mutates_level(self, book):
        book.bids[0].price = 1.0  # the line

    def mutates_bars(self, book):
        self.series.close[-1] = 1.0  # the line

    def mutates_bar(self, book):
        self.series[-1].close = 1.0  # the line

@hookimpl
def botkit_register_strategies(register):
    register("rogue", Rogue)
"""
LINES = {
    name: next(i for i, line in enumerate(ROGUE.splitlines(), 1) if "# the line" in line and i > start)
    for start, name in (
        (i, line.split("def ")[1].split("(")[0]) for i, line in enumerate(ROGUE.splitlines(), 1) if "    def " in line
    )
    if name not in ("on_start", "on_book")
}


@pytest.fixture
async def crowd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Yield a world whose bot has a well-behaved strategy and a rogue one."""
    monkeypatch.setattr(sign, "_nonces", sign._LastNonces())
    rogue = "  - {name: r, use: rogue, capital: {usdt: 50000}, params: {pair: btc_usdt}}\n"
    config = CONFIG.replace("params: {pair: btc_usdt}}\n", "params: {pair: btc_usdt}}\n" + rogue)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "rogue.py").write_text(ROGUE)
    async with make_world(tmp_path, config=config.replace("[plugins]", "[plugins, more]")) as found:
        yield found


def rogue(bot: Bot) -> Any:
    return strategy_of(bot, "r")


def is_active(bot: Bot) -> bool:
    """Return True if the rogue strategy is still running."""
    return {view.name: view.active for view in bot.view.strategies()}["r"]


async def resting_orders(bot: Bot) -> tuple[Any, Any]:
    """Place one resting order for each strategy and return both orders."""
    price = round(puppet(bot).last_price("btc_usdt") / 2)
    orders = puppet(bot).buy("btc_usdt", amount=0.01, price=price), rogue(bot).buy("btc_usdt", amount=0.02, price=price)
    bot.driver.wake()
    for order in orders:
        await settled(order)
    return orders


async def judge_the_others(world: World, bot: Bot, honest: Any) -> None:
    """Check that the well-behaved strategy still trades, that its order is open, and that the bot's records match the
    exchange's.
    """
    assert honest.state is OrderState.OPEN
    again = far_buy(bot, 0.003)
    await settled(again)
    assert again.state is OrderState.OPEN
    await until(lambda: not differences(bot, world.emulator))
    assert bot.driver.fault is None


ERRORS = {
    "exception": "KeyError: 'what'",
    "base": "BaseException: as such",
    "exits": "SystemExit: 3",
    "interrupts": "KeyboardInterrupt: by hand",
    "cancelled": "CancelledError: ",
    "recursion": "RecursionError: maximum recursion depth exceeded",
    "mutates_book": "AttributeError: property 'bid_levels' of 'OrderBook' object has no setter",
    "mutates_level": "AttributeError: immutable type: 'Level'",
    "mutates_bar": "AttributeError: immutable type: 'Bar'",
    "mutates_bars": "ValueError: assignment destination is read-only",
}


@pytest.mark.parametrize("deed", ERRORS)
async def test_a_failing_strategy_is_stopped_and_reported_with_its_line_without_affecting_others(
    deed: str, crowd: World
) -> None:
    bot = await crowd.start()
    honest, own = await resting_orders(bot)
    book = puppet(bot).book("btc_usdt").exact
    rogue(bot).deed = deed
    await until(lambda: not is_active(bot))
    await until(lambda: "strategy 'r' was stopped: " + ERRORS[deed] in told(bot))
    assert f"in on_book at {crowd.folder / 'more' / 'rogue.py'}:{LINES[deed]}" in told(bot)
    await until(lambda: own.is_final)
    assert own.state is OrderState.CANCELLED
    if deed.startswith("mutates"):
        assert book.best_bid > 1
        assert puppet(bot).series[-1].close > 1
    await judge_the_others(crowd, bot, honest)


@pytest.mark.real_time  # the watchdog checks in its own thread
@pytest.mark.parametrize("deed", ["sleeps", "spins"])
async def test_a_hanging_callback_is_reported_with_its_line_within_two_seconds(deed: str, crowd: World) -> None:
    bot = await crowd.start()
    honest, _ = await resting_orders(bot)
    strategy = rogue(bot)
    watched: list[str] = []
    rescued: list[str] = []

    class Listening(logging.Handler):
        """Returns from the callback once the watchdog, in its own thread, has reported it."""

        def emit(self, record: logging.LogRecord) -> None:
            if "has blocked the bot" in record.getMessage():
                watched.append(record.getMessage())
                strategy.go_on = True

    def rescue() -> None:
        """Return from the callback after a timeout, so that the test finishes even if the watchdog fails."""
        rescued.append(deed)
        strategy.go_on = True

    rescuing = threading.Timer(PATIENCE_S, rescue)
    rescuing.start()
    listening = Listening()
    logging.getLogger("botkit.live").addHandler(listening)
    try:
        strategy.deed = deed
        await until(lambda: watched or rescued, 2 * PATIENCE_S)
    finally:
        rescuing.cancel()
        logging.getLogger("botkit.live").removeHandler(listening)
    assert watched, "only the watchdog ends the callback, so it told of it while nothing else could run"
    # the watchdog checks every _LOOK_S, so it reports within this time unless the machine is too busy to run its
    # threads
    assert bot.watchdog._limit_s + 2 * watchdog._LOOK_S < 2.0
    await until(lambda: "rogue has blocked the bot for" in told(bot))
    place = f"{crowd.folder / 'more' / 'rogue.py'}:"
    assert f"s at {place}" in told(bot)
    line = int(told(bot).split(place)[1].split(" ")[0])
    assert abs(line - LINES[deed]) <= 1, "either the loop's line or its body's"
    assert is_active(bot), "it is only slow, so it is reported and continues"
    await judge_the_others(crowd, bot, honest)


async def test_placing_a_million_orders_in_one_callback_stops_the_strategy_after_a_few_requests(crowd: World) -> None:
    bot = await crowd.start()
    honest, _ = await resting_orders(bot)
    rogue(bot).deed = "floods"
    await until(lambda: not is_active(bot), 60)
    await until(lambda: "more than 100 orders were refused in one turn: 200 orders for btc_usdt are open" in told(bot))
    await until(lambda: "Runaway: it placed 1,001 orders at the same timestamp after it was stopped" in told(bot))
    await until(lambda: not [o for o in bot.view.open_orders() if o.strategy == "r"], 30)
    assert len(exchange_rows(crowd.emulator)) <= 202
    assert not [row for row in crowd.exchange_orders(open_only=True) if row.client_id != honest.client_id]
    await judge_the_others(crowd, bot, honest)


async def test_orders_above_the_strategys_order_rate_limit_are_refused_with_a_reason(crowd: World) -> None:
    text = crowd.config.read_text()
    crowd.config.write_text(
        text.replace("{name: r, use: rogue,", "{name: r, use: rogue, risk: {max_orders_per_second: 5},")
    )
    bot = await crowd.start()
    price = round(puppet(bot).last_price("btc_usdt") / 2)
    orders = [rogue(bot).buy("btc_usdt", amount=0.001, price=price) for _ in range(20)]
    assert sum(not order.is_refused for order in orders) == 5
    assert orders[-1].reason == "5 orders in the last second, max_orders_per_second is 5"
    honest = far_buy(bot)
    await settled(honest)
    await judge_the_others(crowd, bot, honest)


async def test_a_loss_above_the_strategys_loss_limit_stops_the_strategy_with_a_reason(crowd: World) -> None:
    text = crowd.config.read_text()
    crowd.config.write_text(
        text.replace("{name: r, use: rogue,", "{name: r, use: rogue, risk: {max_daily_loss: {usdt: 1}},")
    )
    bot = await crowd.start()
    honest, own = await resting_orders(bot)
    await until(lambda: puppet(bot).book("btc_usdt").best_ask)
    ask = puppet(bot).book("btc_usdt").best_ask
    bought = rogue(bot).buy("btc_usdt", amount=0.3, price=ask * 1.02)  # the fee alone exceeds the loss limit
    bot.driver.wake()
    await until(lambda: bought.state is OrderState.FILLED)
    await until(lambda: not is_active(bot), 20)
    await until(lambda: "strategy 'r' was stopped: " in told(bot))
    assert "max_daily_loss" in told(bot)
    await until(lambda: own.is_final)
    assert bot.view.halted is None
    await judge_the_others(crowd, bot, honest)


# -- memory -----------------------------------------------------------------------------------------------------------


def test_a_doubling_of_memory_use_is_reported_with_figures() -> None:
    said: list[str] = []
    held = [90]
    watch = MemoryWatch(lambda level, text: said.append(f"{level}: {text}"), read=lambda: held[0] * 2**20)
    for held[0] in (90, 200, WARN_FROM_MB - 1):
        watch.look()
    assert said == []
    for held[0] in (WARN_FROM_MB, WARN_FROM_MB + 50, 2 * WARN_FROM_MB - 1):
        watch.look()
    assert len(said) == 1
    assert said[0].startswith("warning: the bot uses 400 MB of memory, up from 90 MB at its start. The usual")
    held[0] = 2 * WARN_FROM_MB
    watch.look()
    assert "uses 800 MB" in said[1]


def test_memory_use_that_is_high_from_the_start_is_not_reported() -> None:
    said: list[str] = []
    watch = MemoryWatch(lambda level, text: said.append(text), read=lambda: 3_000 * 2**20)
    watch.look()
    watch.look()
    assert said == []


async def test_a_running_bot_monitors_its_memory_use(world: World) -> None:
    held = resident_bytes()
    if held is None:
        pytest.skip("this system does not show it")
    assert 10 * 2**20 < held < 64 * 2**30
    shown = itertools.chain([90 * 2**20], itertools.repeat(10**9))
    parts = world.parts()
    machine = dataclasses.replace(parts.machine, resident_bytes=lambda: next(shown))
    bot = await world.start_from(msgspec.structs.replace(parts, machine=machine))
    async with kept(bot):
        await until(lambda: "the bot uses 954 MB of memory, up from 90 MB at its start" in told(bot))


# -- notifiers --------------------------------------------------------------------------------------------------------


class Exits:
    def __init__(self) -> None:
        self.calls = 0

    def notify(self, level: str, title: str, text: str) -> None:
        self.calls += 1
        raise SystemExit


def test_a_notifier_that_calls_exit_stops_neither_the_bot_nor_the_notifications() -> None:
    from botkit.live.clock import SteadyClock

    exits = Exits()
    notifications = Notifications(
        [Channel("exits", exits, Policy(digest_s=0))], name="bot", clock=SteadyClock(), day_start=lambda now: 0
    )
    notifications.start()
    notifications.tell("info", "one")
    wait_for(lambda: notifications.figures["failed"])
    notifications.tell("info", "two")
    notifications.close()
    assert notifications.figures["failed"] == 2
