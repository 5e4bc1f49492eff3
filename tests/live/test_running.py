"""A running bot: commands, halts, the breaker, the watchdog and shutdown."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from botkit.engine.market import quiet_books
from botkit.engine.orders.rejections import REJECTIONS_MAX
from botkit.live import commands
from botkit.live.background import OnLoop, Threads
from botkit.live.bot import Bot
from botkit.live.journal import Journal
from botkit.live.notifications.picture import picture_of
from botkit.live.notifications.status_text import standstills_of
from botkit.live.notifications.summary import summary_lines, summary_of
from botkit.live.panic import hold_back, panic
from botkit.live.ports import Repeating
from botkit.live.state_folder import KeptHalt, StateFolder
from botkit.live.stopping import orders_at_stop, stop
from botkit.live.supervisor import Supervisor
from botkit.live.watchdog import Blocked, Watchdog
from botkit.model.events import BalanceReport, OrderBook, Trade
from botkit.model.inputs import AccountEvents, Input, Pause
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import OrderState, OrderType, Side
from botkit.model.requests import CreateOrder
from tests.live.test_ports import HandClock
from tests.live.world import (
    CONFIG,
    WITH_COINS,
    World,
    far_buy,
    kept,
    make_world,
    puppet,
    settled,
    strategy_of,
    told,
    until,
)
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.virtual_time


async def asked(world: World, command: str, **arguments: Any) -> str:
    folder = StateFolder(world.folder / "state")
    return await asyncio.to_thread(commands.ask, folder, command, timeout_s=5.0, **arguments)


async def test_stopping_cancels_open_orders_and_waits_until_they_are_final(world: World) -> None:
    bot = await world.start()
    order = far_buy(bot)
    await settled(order)
    await stop(bot)
    assert order.state is OrderState.CANCELLED
    assert not world.exchange_orders(open_only=True)
    assert bot.remaining() == []


async def test_a_command_to_an_earlier_run_is_dropped_and_the_user_is_told(world: World) -> None:
    bot = await world.start()
    await world.crash(bot)
    folder = StateFolder(world.folder / "state")
    taken = commands.leave(folder, "stop")
    commands.take(folder)
    commands.answer(folder, taken, ok=True, text="its sender has stopped waiting")
    commands.leave(folder, "set", strategy="p", name="size", value="0.5")
    again = await world.start()
    assert not list(folder.commands.iterdir())
    assert "commands to an earlier run, which did not obey them, are dropped: set" in told(again)
    async with kept(again):
        assert await asked(world, "set", strategy="p", name="size", value="0.02") == "p.size is 0.02"


@pytest.mark.parametrize("error", [AssertionError("the books do not add up"), KeyboardInterrupt("in a risk rule")])
async def test_an_internal_error_stops_the_bot_but_its_orders_are_still_cancelled(
    error: BaseException, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = await world.start()
    order = far_buy(bot)
    await settled(order)
    sha = bot.standing().journal_sha256

    def broken(given: Input, now: int) -> None:
        raise error

    monkeypatch.setattr(bot, "went_in", broken)
    assert await Supervisor().run(bot, None) == "fault"
    assert bot.driver.fault is error
    await stop(bot)
    assert not world.exchange_orders(open_only=True)
    assert bot.standing().journal_sha256 == sha, "the engine must decide nothing after an internal error"


def test_a_stop_says_which_orders_it_leaves_open() -> None:
    assert orders_at_stop({"a": "cancel", "b": "flatten"}) == "cancelling open orders"
    assert orders_at_stop({"a": "keep", "b": "keep"}) == "open orders stay open (on_stop: keep)"
    assert orders_at_stop({"a": "keep", "b": "cancel"}) == "cancelling open orders, except those of a (on_stop: keep)"


async def test_on_stop_keep_leaves_orders_open(world: World) -> None:
    world.config.write_text(world.config.read_text() + "live: {on_stop: keep}\n")
    bot = await world.start()
    order = far_buy(bot)
    await settled(order)
    await stop(bot)
    assert order.state is OrderState.OPEN
    assert len(world.exchange_orders(open_only=True)) == 1


@pytest.mark.parametrize("capital", ['{usdt: "100000"}', '{usdt: "50000", btc: "0.25"}'])
@pytest.mark.parametrize("sells", [False, True])
async def test_on_stop_flatten_restores_the_given_holdings(world: World, capital: str, sells: bool) -> None:
    text = world.config.read_text().replace("use: puppet,", f"use: puppet, capital: {capital},")
    world.config.write_text(text + "live: {on_stop: flatten}\n")
    bot = await world.start()
    p = puppet(bot)
    await until(lambda: p.book("btc_usdt").best_bid)
    given = p.position("btc_usdt").given
    order = p.market_sell("btc_usdt", amount=0.05) if sells and given else p.market_buy("btc_usdt", spend=3000)
    bot.driver.wake()
    await until(lambda: order.is_final)
    assert abs(p.position("btc_usdt").amount - given) > 0.02
    await stop(bot)
    least = float(p.position("btc_usdt").pair.rules.least_amount)
    assert abs(p.position("btc_usdt").amount - given) < least + 0.0002, "except for the fees in coins"
    assert bot.view.money.unassigned["btc"] == round((1 - given) * 10**8)


@pytest.mark.parametrize("side", ["buy", "sell"])
async def test_a_stop_flattens_once_the_outcome_of_an_order_in_the_pair_is_known(world: World, side: str) -> None:
    capital = 'use: puppet, on_stop: flatten, capital: {usdt: "40000", btc: "0.25"},'
    other = '  - {name: other, use: puppet, on_stop: keep, capital: {usdt: "40000"}, params: {pair: btc_usdt}}\n'
    text = world.config.read_text().replace("use: puppet,", capital)
    world.config.write_text(text.replace("params: {pair: btc_usdt}}\n", "params: {pair: btc_usdt}}\n" + other, 1))
    bot = await world.start(latest_accept_s=60)
    p = puppet(bot)
    await until(lambda: p.book("btc_usdt").best_bid)
    order = p.market_buy("btc_usdt", spend=3000) if side == "buy" else p.market_sell("btc_usdt", amount=0.05)
    bot.driver.wake()
    await until(lambda: order.is_final)
    # the other strategy's order stays unknown for 100 s of the exchange
    world.emulator.add_fault({"kind": "late_arrival", "where": "create_order", "count": 1, "value": 100_000})
    late = strategy_of(bot, "other").buy("btc_usdt", amount=0.01, price=round(p.last_price("btc_usdt") / 2))
    bot.driver.wake()
    await until(lambda: late.state is OrderState.UNKNOWN, 30)
    await stop(bot)
    mine = [one for one in bot.view.orders() if one.strategy == "p"]
    assert not [one for one in mine if one.is_refused]
    assert late.state is OrderState.OPEN, "it was not cancelled, because its strategy keeps its orders"
    assert abs(p.position("btc_usdt").amount - 0.25) < 0.0003, "except for the fees in coins"
    assert "could not be" not in told(bot)


async def test_a_stop_sends_nothing_beside_an_order_whose_outcome_stays_unknown(world: World) -> None:
    world.config.write_text(world.config.read_text() + "live: {on_stop: flatten}\n")
    bot = await world.start(latest_accept_s=600)
    p = puppet(bot)
    await until(lambda: p.book("btc_usdt").best_bid)
    bought = p.market_buy("btc_usdt", spend=3000)
    bot.driver.wake()
    await until(lambda: bought.is_final)
    world.emulator.add_fault({"kind": "late_arrival", "where": "create_order", "count": 1, "value": 86_400_000})
    late = p.market_buy("btc_usdt", spend=1000)
    bot.driver.wake()
    await until(lambda: late.state is OrderState.UNKNOWN, 30)
    await stop(bot, wait_s=0.2)
    assert [one.client_id for one in bot.view.orders()] == [bought.client_id, late.client_id]
    assert "of btc_usdt could not be sold: the outcome of an order for btc_usdt is unknown" in told(bot)


async def test_orders_placed_while_a_strategy_is_stopping_do_not_stay_open(world: World) -> None:
    """The strategy receives the fills of its last orders and places a new order in response to each fill."""
    plugin = world.folder / "plugins" / "puppet.py"
    plugin.write_text(
        plugin.read_text().replace(
            "    def on_params",
            "    def on_fill(self, fill):\n"
            "        self.again = self.buy(self.pair, amount=self.size, price=fill.price * 0.5)\n\n"
            "    def on_params",
        )
    )
    world.config.write_text(world.config.read_text() + "live: {on_stop: flatten}\n")
    bot = await world.start()
    await until(lambda: puppet(bot).book("btc_usdt").best_bid)
    bought = puppet(bot).market_buy("btc_usdt", spend=3000)
    bot.driver.wake()
    await until(lambda: bought.is_final)
    assert bought.average_price
    del puppet(bot).again
    await stop(bot)
    assert puppet(bot).position("btc_usdt").amount < 0.0002
    assert puppet(bot).again.reason == "the bot is being stopped"
    assert not world.exchange_orders(open_only=True)


async def test_commands_from_another_process_are_executed(world: World) -> None:
    bot = await world.start()
    running = asyncio.create_task(Supervisor().run(bot, None))
    try:
        order = far_buy(bot)
        await settled(order)
        assert "paused" in await asked(world, "pause", strategy="p")
        await until(lambda: order.is_final)
        assert far_buy(bot).reason == "p is paused by hand"
        StateFolder(world.folder / "state").set_halt(KeptHalt(kind="panic", reason="by hand", time=0))
        await until(lambda: bot.view.halted is not None)
        assert "not paused any more, but the bot is halted" in await asked(world, "resume", strategy="p")
        StateFolder(world.folder / "state").clear_halt()
        await until(lambda: bot.view.halted is None)
        await asked(world, "pause", strategy="p")
        assert "again" in await asked(world, "resume", strategy="p")
        assert not far_buy(bot).is_refused
        assert "0.02" in await asked(world, "set", strategy="p", name="size", value=0.02)
        assert puppet(bot).size == 0.02
        await until(lambda: ("params", {"size": 0.02}) in puppet(bot).heard)
        with pytest.raises(commands.CommandFailed, match="only size can"):
            await asked(world, "set", strategy="p", name="fixed", value=2)
        assert await asked(world, "stop") == "stopping"
        assert await asyncio.wait_for(running, 5) == "command"
    finally:
        running.cancel()
    status = bot.parts.folder.read_status()
    assert status is not None
    assert status["name"] == "world"


async def test_a_pause_is_shown_with_its_remedy_while_the_bot_runs_and_after_a_restart(world: World) -> None:
    remedy = "p is paused; `botkit resume CONFIG p` lets it trade"
    folder = StateFolder(world.folder / "state")
    bot = await world.start()
    bot.say(Pause("p"))
    far_buy(bot)
    lines = summary_lines(summary_of(bot.standing()))
    assert f"  {remedy}" in lines
    assert "1 p is paused by hand" in "\n".join(lines)
    assert "halted" not in "\n".join(lines)
    [row] = picture_of(bot.standing()).strategies
    assert (row.state, row.why_not) == ("paused", "paused by hand")
    await until(lambda: standstills_of(folder) == [remedy])
    await world.crash(bot)
    again = await world.start()
    assert remedy in told(again)
    assert f"  {remedy}" in summary_lines(summary_of(again.standing()))


async def test_a_parameter_set_at_run_time_survives_a_restart(world: World) -> None:
    bot = await world.start()
    bot.journal.parameter("p", "size", 0.5, bot.driver.now())
    await world.crash(bot)
    assert puppet(await world.start()).size == 0.5


async def started_after_set(world: World, old: str, new: str, file: str = "world.yaml") -> Bot:
    """Set ``size`` by hand to 5, then replace a text in the configuration or in the strategy and start again."""
    bot = await world.start()
    async with kept(bot):
        await asked(world, "set", strategy="p", name="size", value=5.0)
    await world.crash(bot)
    return await changed(world, old, new, file)


async def changed(world: World, old: str, new: str, file: str = "world.yaml") -> Bot:
    path = world.folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    bot = await world.start()
    await world.crash(bot)
    return bot


async def test_each_start_tells_which_parameters_differ_from_the_configuration(world: World) -> None:
    bot = await started_after_set(world, "name: world", "name: world")
    for _ in range(2):
        assert puppet(bot).size == 5.0
        assert re.search(
            r"p\.size is 5\.0, set by hand on \d{4}-\S+; the configuration says 0\.01\. "
            r"`botkit set CONFIG p\.size=0\.01` returns to it",
            told(bot),
        )
        bot = await world.start()
        await world.crash(bot)


UNUSABLE = {
    "infinite order": '{"command": "cancel", "order": 1e999}',
    "huge order": '{"command": "cancel", "order": 1' + "0" * 30 + "}",
    "huge order as text": '{"command": "cancel", "order": "1' + "0" * 30 + '"}',
    "no order": '{"command": "cancel", "order": null}',
    "huge value": '{"command": "set", "strategy": "p", "name": "size", "value": 1' + "0" * 30 + "}",
    "infinite value": '{"command": "set", "strategy": "p", "name": "fixed", "value": -1e999}',
    "half a character": '{"command": "set", "strategy": "p", "name": "size", "value": "\\ud800"}',
    "name of half a character": '{"command": "pause", "strategy": "\\ud800"}',
    "huge capital": '{"command": "capital", "strategy": "p", "units": {"usdt": 1' + "0" * 30 + "}}",
    "capital without a shape": '{"command": "capital", "strategy": "p", "units": 5}',
    "deep value": '{"command": "set", "strategy": "p", "name": "size", "value": ' + "[" * 900 + "]" * 900 + "}",
}


@pytest.mark.parametrize("what", UNUSABLE)
async def test_a_bot_keeps_running_whatever_a_command_file_contains(what: str, world: World) -> None:
    bot = await world.start()
    folder = bot.parts.folder
    async with kept(bot) as supervisor:
        path = folder.commands / "1.json"
        folder.disk.files.write(path, UNUSABLE[what].encode())
        answer = path.with_suffix(".answer")
        await until(answer.exists)
        assert json.loads(answer.read_text())["ok"] is False
        await asked(world, "pause", strategy="p")  # the next command is still obeyed
        assert bot.driver.fault is None
        assert not supervisor._stop.is_set()


async def test_a_newer_value_in_the_configuration_ends_the_one_set_by_hand(world: World) -> None:
    bot = await started_after_set(world, "pair: btc_usdt}", "pair: btc_usdt, size: 0.002}")
    assert puppet(bot).size == 0.002
    assert "p.size is 0.002, as the configuration now says; it was set to 5.0 by hand on" in told(bot)
    bot = await changed(world, ", size: 0.002}", "}")
    assert puppet(bot).size == 0.01, "what has ended does not return with the earlier configuration"
    assert "p.size" not in told(bot)


async def test_a_value_set_by_hand_under_an_older_version_is_told(world: World) -> None:
    bot = await world.start()
    bot.journal.parameter("p", "size", 5.0, bot.driver.now())  # older versions did not record the configuration's value
    await world.crash(bot)
    bot = await changed(world, "pair: btc_usdt}", "pair: btc_usdt, size: 0.002}")
    assert puppet(bot).size == 5.0
    assert "the configuration says 0.002. `botkit set CONFIG p.size=0.002` returns to it" in told(bot)


@pytest.mark.parametrize(
    ("declared", "name", "why"),
    [
        ("size: float = param(0.01, gt=0, lt=1, live=True)", "size", "p.size: must be below 1, not 5"),
        ("lot: float = param(0.01, gt=0, live=True)", "lot", "p has no parameter 'size'; it has pair, lot, fixed"),
        ("size: float = param(0.01, gt=0)", "size", "p.size cannot be changed while running"),
    ],
)
async def test_a_value_set_by_hand_that_the_strategy_no_longer_allows_is_told_and_ignored(
    world: World, declared: str, name: str, why: str
) -> None:
    bot = await started_after_set(
        world, "size: float = param(0.01, gt=0, live=True)", declared, file="plugins/puppet.py"
    )
    assert getattr(puppet(bot), name) == 0.01
    assert "p.size was set to 5.0 by hand on" in told(bot)
    assert f"which is ignored from now on: {why}" in told(bot)
    assert ("; it is 0.01, as configured" in told(bot)) == (name == "size")


async def test_a_halt_cancels_orders_and_survives_a_restart_and_only_a_resume_lifts_it(world: World) -> None:
    bot = await world.start()
    order = far_buy(bot)
    await settled(order)
    bot.latch.set("loss", "the day's loss reached its limit")
    await until(lambda: order.is_final)
    assert far_buy(bot).is_refused
    await world.crash(bot)

    again = await world.start()
    assert "the day's loss" in told(again)
    assert far_buy(again).is_refused
    again.parts.folder.clear_halt()
    again.latch.look()
    assert not far_buy(again).is_refused


async def test_the_halt_is_rechecked_immediately_before_an_order_is_sent(world: World) -> None:
    bot = await world.start()
    order = puppet(bot).buy("btc_usdt", amount=0.01, price=1000)
    assert not order.is_refused
    # as if another process had set the halt between the decision and the sending of the order
    bot.parts.folder.set_halt(KeptHalt(kind="panic", reason="by another process", time=0))
    bot.driver.wake()
    await until(lambda: order.is_final)
    assert order.state is OrderState.NOT_SENT
    assert "by another process" in order.reason
    assert not world.exchange_orders()


async def test_panic_cancels_all_orders_or_on_request_skips_and_lists_foreign_orders(world: World) -> None:
    bot = await world.start()
    order = far_buy(bot)
    await settled(order)
    said: list[str] = []
    parts = world.parts()
    await parts.adapter.open()
    hold_back(parts.folder, 1, said.append)
    try:
        spared = await panic(
            parts.adapter, [], own_only=True, can=parts.adapter.capabilities, say=said.append, pause_s=0.01
        )
        assert spared.foreign == 1
        assert len(world.exchange_orders(open_only=True)) == 1
        assert any("spared" in text and order.order_id in text for text in said)
        done = await panic(
            parts.adapter, [], own_only=False, can=parts.adapter.capabilities, say=said.append, pause_s=0.01
        )
    finally:
        await parts.adapter.close()
    assert done.left == ()
    assert not world.exchange_orders(open_only=True)
    assert parts.folder.is_halted()


async def test_panic_cancels_orders_even_if_it_cannot_list_them_and_reports_each_problem_once(world: World) -> None:
    bot = await world.start()
    await settled(far_buy(bot))
    said: list[str] = []
    parts = world.parts()
    await parts.adapter.open()
    world.emulator.add_fault({"kind": "error_before", "where": "open_orders"})
    try:
        done = await panic(
            parts.adapter, [], own_only=False, can=parts.adapter.capabilities, say=said.append, pause_s=2 / world.speed
        )
    finally:
        await parts.adapter.close()
    assert done.left is None
    assert len(done.problems) > 1
    assert len([text for text in said if text.startswith("problem: ")]) == len(set(done.problems)) == 1
    assert not world.exchange_orders(open_only=True)


async def test_while_the_journal_cannot_be_written_only_cancels_are_sent(world: World) -> None:
    bot = await world.start()
    order = far_buy(bot)
    await settled(order)
    with world.disk.read_only("journal.sqlite"):
        held = far_buy(bot)
        await until(lambda: held.is_final)
        assert held.state is OrderState.NOT_SENT
        assert "cannot be written" in held.reason
        puppet(bot).cancel(order)
        bot.driver.wake()
        await until(lambda: order.is_final)
        assert not world.exchange_orders(open_only=True)
    await until(lambda: bot.driver.journal_fault is None)
    later = far_buy(bot)
    await settled(later)
    assert later.state is OrderState.OPEN


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
async def test_an_order_is_looked_up_if_its_request_task_is_cancelled_within_the_bot(world: World, steps: int) -> None:
    bot = await world.start()
    await until(lambda: not bot.driver._tasks)
    order = far_buy(bot)
    bot.driver.wake()
    while not bot.driver._tasks:
        await asyncio.sleep(0)
    (task,) = bot.driver._tasks
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await until(lambda: "its request was cancelled within the bot" in told(bot))
    await until(lambda: order.state in (OrderState.OPEN, OrderState.ABSENT), 60)
    assert (order.state is OrderState.OPEN) == bool(world.exchange_orders(open_only=True))


async def test_the_journal_row_is_on_disk_before_the_request_is_sent(world: World) -> None:
    seen: list[list[str]] = []
    path = world.folder / "state" / "journal.sqlite"

    class Looking:
        def __init__(self, adapter: Any) -> None:
            self._adapter = adapter

        def __getattr__(self, name: str) -> Any:
            return getattr(self._adapter, name)

        async def send(self, request: Any, *, urgent: bool = False) -> Any:
            if request.endpoint == "create_order":
                journal = Journal.open(path, read_only=True)
                rows = journal.order_rows()
                seen.append([row["state"] for row in rows if row["client_id"] == request.order.client_id])
                journal.close()
            return await self._adapter.send(request, urgent=urgent)

    bot = await world.start(wrap=Looking)
    await settled(far_buy(bot))
    assert seen == [["sending"]]


async def test_foreign_orders_are_shown_but_never_changed(world: World) -> None:
    bot = await world.start()
    order = far_buy(bot)
    await settled(order)
    await world.crash(bot)
    for path in (world.folder / "state").glob("journal.sqlite*"):
        path.unlink()
    again = await world.start()
    assert "not this bot's" in told(again)
    assert order.order_id in told(again)
    await stop(again)
    assert len(world.exchange_orders(open_only=True)) == 1
    again.view.money.check()


async def test_balance_changes_outside_the_bot_are_booked_as_unassigned(world: World) -> None:
    bot = await world.start()
    world.emulator.wallet.deposit("emulator@botkit.local", "usdt", 500 * 10**8)
    world.emulator.advance(world.emulator.venue.now)
    bot.comparisons.at_once()
    await until(lambda: bot.view.money.unassigned.get("usdt") == 500 * 10**8)
    assert puppet(bot).balance("usdt").total == 100_000


async def test_withdrawing_a_strategys_coins_outside_the_bot_blocks_new_orders_until_they_are_returned(
    world: World,
) -> None:
    world.config.write_text(WITH_COINS)
    bot = await world.start()
    emulator = world.emulator
    new = OrderSpec(
        client_id=1, pair=emulator.venue.pairs["btc_usdt"], side=Side.SELL, type=OrderType.MARKET, amount_lots=10**7
    )
    now = emulator.clock.now()
    emulator.venue.submit(
        "emulator@botkit.local", lambda i: CreateOrder(id=i, order=new, timestamp=now), now, lambda answer, at: None
    )
    short = "only orders that reduce a position are allowed: the account has 0.1 btc less than its"
    await until(lambda: short in told(bot))
    assert "was withdrawn or traded manually. Return it, or take capital from a strategy" in told(bot)
    order = far_buy(bot)
    assert order.state is OrderState.REFUSED
    emulator.wallet.deposit("emulator@botkit.local", "btc", 10**7)
    emulator.advance(emulator.venue.now)
    await until(lambda: "the account again holds everything its strategies own; new orders are allowed" in told(bot))
    again = far_buy(bot)
    await settled(again)
    assert again.state is OrderState.OPEN


async def test_a_lost_stream_is_reported_and_triggers_a_comparison(world: World) -> None:
    bot = await world.start()
    await until(lambda: len(bot.streams.connections) >= 6)
    order = far_buy(bot)
    await settled(order)
    compared = bot.comparisons.ended
    world.emulator.cut_sockets()
    await until(lambda: "was lost" in told(bot))
    await until(lambda: bot.comparisons.ended > compared, 20)
    assert order.state is OrderState.OPEN


# -- parts by themselves ----------------------------------------------------------------------------------------------


def test_the_watchdog_reports_the_plugin_file_and_line(tmp_path: Any) -> None:
    plugin = tmp_path / "sleepy.py"
    plugin.write_text(
        "import time\ndef on_book():\n    while not reports and time.monotonic() < end: time.sleep(0.005)\n"
    )
    reports: list[Blocked] = []
    space: dict[str, Any] = {"reports": reports, "end": time.monotonic() + PATIENCE_S}
    exec(compile(plugin.read_text(), str(plugin), "exec"), space)
    watchdog = Watchdog(reports.append, limit_s=0.05)
    watchdog.start()
    watchdog.enter()
    space["on_book"]()
    watchdog.leave()
    watchdog.stop()
    assert len(reports) == 1, "and that ended the callback"
    assert reports[0].plugin == "sleepy"
    assert reports[0].level == "error"
    assert reports[0].where.startswith(f"{plugin}:3")


def test_a_loop_that_no_plugin_blocks_is_a_warning_about_the_machine() -> None:
    reports: list[Blocked] = []
    clock, looks = HandClock(), Looks()

    async def busy() -> None:
        watchdog = Watchdog(reports.append, limit_s=0.2, clock=clock, background=looks)
        watchdog.start()
        watchdog.enter()
        clock.sleep(0.3)
        # a step of asyncio's own, with nothing of a plugin above it
        frame: FrameType | None = sys._getframe()
        while frame is not None and "asyncio" not in frame.f_code.co_filename:
            frame = frame.f_back
        watchdog._frame = lambda: frame
        looks.step()
        watchdog.leave()

    asyncio.run(busy())
    assert [(report.level, str(report)) for report in reports] == [
        ("warning", "the bot has been held up for 0.30 s, but not by a strategy; this machine is busy")
    ]


class Looks(Threads):
    """Runs the watchdog's checks when the test requests them."""

    def repeat(self, name: str, step: Callable[[], float | None]) -> Repeating:
        self.step = step
        return OnLoop().start(name, lambda: None)  # type: ignore[return-value]  it has nothing to stop


def test_the_watchdog_ignores_short_turns() -> None:
    reports: list[Blocked] = []
    clock, looks = HandClock(), Looks()
    watchdog = Watchdog(reports.append, limit_s=0.2, clock=clock, background=looks)
    watchdog.start()
    for _ in range(100):
        watchdog.enter()
        clock.sleep(0.19)
        looks.step()
        watchdog.leave()
        looks.step()
    assert reports == []
    watchdog.enter()
    clock.sleep(0.21)
    looks.step()
    assert len(reports) == 1
    watchdog.leave()


async def test_consecutive_rejections_trip_the_breaker(world: World) -> None:
    bot = await world.start()
    fault = world.emulator.add_fault({"kind": "error_before", "where": "create_order", "value": 400})
    for number in range(REJECTIONS_MAX):
        assert bot.view.halted is None, number
        order = far_buy(bot)
        await until(lambda: order.is_final)  # noqa: B023
        assert order.state is OrderState.REJECTED
    assert fault.fired == REJECTIONS_MAX
    assert f"the exchange rejected {REJECTIONS_MAX} orders in a row" in (bot.view.halted or "")
    halt = bot.parts.folder.halt()
    assert halt is not None
    assert halt.kind == "breaker"
    assert far_buy(bot).is_refused


async def test_a_pair_that_rejects_all_orders_is_held_while_another_trades(tmp_path: Path) -> None:
    config = CONFIG.replace("emulator:", "  - {name: r, use: puppet, params: {pair: eth_usdt}}\nemulator:", 1)
    async with make_world(tmp_path, config=config) as world:
        bot = await world.start()
        r = strategy_of(bot, "r")
        await until(lambda: r.last_price("eth_usdt"))
        world.emulator.add_fault({"kind": "error_before", "where": "create_order", "value": 400})
        for _ in range(REJECTIONS_MAX):
            order = far_buy(bot)
            await until(lambda: order.is_final)  # noqa: B023
            assert order.state is OrderState.REJECTED
        world.emulator.remove_faults()
        assert bot.view.halted is None
        assert far_buy(bot).is_refused
        [line] = [t for t in summary_lines(summary_of(bot.standing())) if t.startswith("  btc_usdt is held since")]
        assert "; one order is tried from" in line
        other = r.buy("eth_usdt", amount=0.1, price=round(r.last_price("eth_usdt") / 2))
        bot.driver.wake()
        await settled(other)
        assert other.state is OrderState.OPEN
        assert told(bot).count("btc_usdt is held: ") == 1
        await until(lambda: not far_buy(bot).is_refused, 90)  # the trial
        await until(lambda: not bot.view.router.held())
        assert "btc_usdt is no longer held: the exchange accepted an order again" in told(bot)
        assert not any(t.startswith("  btc_usdt is held") for t in summary_lines(summary_of(bot.standing())))


async def test_an_accepted_order_resets_the_count_of_consecutive_rejections(world: World) -> None:
    bot = await world.start()
    for count in (REJECTIONS_MAX - 1, 0, REJECTIONS_MAX - 1):
        if count:
            world.emulator.add_fault({"kind": "error_before", "where": "create_order", "value": 400, "count": count})
        for _ in range(count or 1):
            order = far_buy(bot)
            await settled(order)
            assert order.state is (OrderState.REJECTED if count else OrderState.OPEN)
    assert bot.view.halted is None


async def test_a_large_clock_difference_from_the_exchange_trips_the_breaker(tmp_path: Path) -> None:
    class Ahead:
        clock_skew_ms = 6_000

        def __init__(self, adapter: Any) -> None:
            self._adapter = adapter

        def __getattr__(self, name: str) -> Any:
            return getattr(self._adapter, name)

    async with make_world(tmp_path, speed=1.0) as world:
        bot = await world.start(wrap=Ahead)
        async with kept(bot):
            await until(lambda: bot.view.halted is not None)
        assert "this machine's clock is 6,000 ms ahead of the exchange's" in (bot.view.halted or "")
        assert bot.parts.folder.is_halted()


async def test_a_quiet_book_is_read_and_a_second_differing_read_trips_the_breaker(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiet_books, "QUIET_S", 0.5)
    bot = await world.start()
    await until(lambda: puppet(bot).book("btc_usdt").best_ask)
    # from now on, no book frames arrive even after reconnects, although the market keeps moving
    world.emulator.add_fault({"kind": "ws_silence", "where": "order_book"})
    await until(lambda: "and the stream is reconnecting" in told(bot), 40)
    assert bot.view.halted is None, "a single difference may be chance"
    await until(lambda: bot.view.halted is not None, 40)
    assert "is changing, but the stream does not show it" in (bot.view.halted or "")


async def test_simultaneous_events_are_processed_in_the_documented_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = await world.start()
    pair = puppet(bot).pair
    trade, book, balances = Trade(pair, 1, 1.0, 1.0), OrderBook(pair, 1, ((1, 1),), ((2, 1),)), BalanceReport({})
    seen: list[str] = []
    went_in = bot.went_in

    def seeing(given: Input, now: int) -> None:
        if given is trade or given is book or (type(given) is AccountEvents and balances in given.events):
            seen.append(type(given).__name__)
        went_in(given, now)

    monkeypatch.setattr(bot, "went_in", seeing)
    bot.driver.wake()  # otherwise the first would be processed at once
    for event in (trade, book, balances):
        bot.driver.sink(event)
    await until(lambda: len(seen) == 3)
    assert seen == ["AccountEvents", "OrderBook", "Trade"]


async def _books_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[Bot, list[OrderBook], list[OrderBook]]:
    """Return a bot with nothing to do, three books, and the list of those among them that it has processed."""
    bot = await world.start()
    pair = puppet(bot).pair
    books = [OrderBook(pair, i, ((1, 1),), ((2, 1),)) for i in range(3)]
    seen: list[OrderBook] = []
    went_in = bot.went_in

    def seeing(given: Input, now: int) -> None:
        if any(given is book for book in books):
            seen.append(given)  # type: ignore[arg-type]
        went_in(given, now)

    monkeypatch.setattr(bot, "went_in", seeing)
    await asyncio.sleep(0.001)  # what the start scheduled is done
    return bot, books, seen


async def test_a_book_that_arrives_alone_is_processed_at_once_and_those_behind_it_in_one_later_pass(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot, books, seen = await _books_seen(world, monkeypatch)
    commits: list[int] = []
    dispatch = bot.driver._dispatch
    monkeypatch.setattr(bot.driver, "_dispatch", lambda *given: (commits.append(len(seen)), dispatch(*given)))
    bot.driver.sink(books[0])
    assert seen == books[:1]
    bot.driver.sink(books[1])
    bot.driver.sink(books[2])
    assert seen == books[:1]
    await until(lambda: len(seen) == 3)
    assert seen == books
    assert commits[:2] == [1, 3], "books that have waited together share a commit"


async def test_a_book_waits_for_what_the_event_loop_runs_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    bot, books, _ = await _books_seen(world, monkeypatch)
    balances = BalanceReport({})
    order: list[str] = []
    went_in = bot.went_in

    def ordered(given: Input, now: int) -> None:
        if given is books[0] or (type(given) is AccountEvents and balances in given.events):
            order.append(type(given).__name__)
        went_in(given, now)

    monkeypatch.setattr(bot, "went_in", ordered)
    asyncio.get_running_loop().call_soon(bot.driver.sink, balances)  # as if its stream's task were ready, too
    bot.driver.sink(books[0])
    await until(lambda: len(order) == 2)
    assert order == ["AccountEvents", "OrderBook"]


async def test_a_book_that_arrives_during_a_turn_is_not_processed_within_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot, books, seen = await _books_seen(world, monkeypatch)
    turns: list[int] = []
    went_in = bot.went_in

    def delivering(given: Input, now: int) -> None:
        turns.append(bot.driver.turns)
        if given is books[0]:
            bot.driver.sink(books[1])
        went_in(given, now)

    monkeypatch.setattr(bot, "went_in", delivering)
    bot.driver.sink(books[0])
    await until(lambda: len(seen) == 2)
    assert turns[1] == turns[0] + 1


def test_the_pairs_of_one_coin_are_one_holding_in_the_summary() -> None:
    summary: dict[str, Any] = {
        "name": "maker", "currency": "usdt", "orders": 0, "fills": 0, "refused": 0, "pnl": None, "strategies": {},
        "open": [], "halted": None,
        "positions": {"mm btc_usdt": 0.4, "mm btc_twd": -0.01821789, "mm eth_usdt": 2.0, "other btc_usdt": 0.0},
    }  # fmt: skip
    assert summary_lines(summary)[1:] == [
        "  holds 0.38178211 btc (mm: 0.4 in btc_usdt, −0.01821789 in btc_twd)",
        "  holds 2 eth (mm: eth_usdt)",
    ]


async def test_orders_refused_at_once_are_counted_as_refused_and_not_as_orders(world: World) -> None:
    bot = await world.start()
    first = far_buy(bot)
    await settled(first)
    assert far_buy(bot, 10_000.0).is_refused
    assert puppet(bot).market_buy("btc_usdt", spend=0.0001).is_refused
    assert puppet(bot).replace(first, amount=0.0).is_refused
    summary = summary_of(bot.standing())
    assert (summary["orders"], summary["refused"]) == (1, 3)
    assert summary["strategies"]["p"]["orders"] == 1
    assert summary_lines(summary)[0].startswith("world: 1 order, 0 fills, 3 refused")
    assert picture_of(bot.standing()).strategies[0].orders == 1


async def test_quotes_that_a_halted_bot_refuses_are_not_counted_as_orders(world: World) -> None:
    bot = await world.start()
    bot.latch.set("panic", "by hand")
    for number, price in enumerate((50_000, 50_001, 50_002), 1):
        puppet(bot).quote("btc_usdt", bids=[(price, 0.01)])
        bot.driver.wake()
        await until(lambda number=number: sum(bot.view.strategies()[0].refusals.values()) == number)
    assert bot.view.strategies()[0].orders == 0


async def test_what_a_person_does_is_told_and_logged_in_one_line_each(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "botkit.live")
    bot = await world.start()
    supervisor = Supervisor()
    running = asyncio.create_task(supervisor.run(bot, None))
    await asked(world, "set", strategy="p", name="size", value="0.02", by="telegram")
    await asked(world, "pause", strategy="p")
    await asked(world, "resume", strategy="p")
    supervisor.request_stop("test")
    await running
    said = [text for level, text in bot.told if level == "info"]  # type: ignore[attr-defined]
    assert said[-3:] == [
        "p.size was set from 0.01 to 0.02 on Telegram",
        "p was paused by hand on the command line",
        "p was resumed by hand on the command line",
    ]
    assert [text for text in caplog.messages if text in said[-3:]] == said[-3:]
