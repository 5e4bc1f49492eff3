"""`botkit capital add|take`: on a running bot, on a stopped bot, across restarts, and in a replay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from botkit.assembly.replay import replay_run
from botkit.cli.main import main
from botkit.emulator import DEFAULT_ACCOUNT
from botkit.errors import ConfigError
from botkit.exchange.bitopro import sign
from botkit.live import commands
from botkit.live.bot import Bot
from botkit.live.capital import parse_amounts
from botkit.live.journal import Journal
from botkit.live.starting import StartRefused
from botkit.live.stopping import stop
from botkit.live.supervisor import Supervisor
from botkit.model.events import BalanceReport
from botkit.model.inputs import MoveCapital
from tests.live.books import differences
from tests.live.test_replay import STRATEGY, run_folder
from tests.live.world import World, far_buy, kept, make_world, puppet, settled, told, until

pytestmark = pytest.mark.virtual_time

CONFIG = """
name: world
plugins: [plugins]
strategies:
  - {name: p, use: puppet, capital: {usdt: "50000"}, params: {pair: btc_usdt}, risk: {max_daily_loss: {usdt: 2000}}}
reserve: {usdt: "10000"}
emulator:
  balances: {usdt: 100000, btc: 1}
"""

#: a strategy whose parameters name no pair
CHOOSES = """
from botkit import Strategy, hookimpl

class Chooses(Strategy):
    pass

@hookimpl
def botkit_register_strategies(register):
    register("chooses", Chooses)
"""


@pytest.fixture
async def funded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Yield a world whose state folder is in the location where the command line expects it."""
    monkeypatch.setattr(sign, "_nonces", sign._LastNonces())
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "root"))
    place = tmp_path / "root" / "world" / "emulator"
    place.mkdir(parents=True)
    (place / "account").symlink_to(tmp_path / "state", target_is_directory=True)
    async with make_world(tmp_path, config=CONFIG) as world:
        yield world


async def said(world: World, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run a capital command, and return its exit code and output."""
    code = await asyncio.to_thread(main, ["capital", arguments[0], str(world.config), *arguments[1:]])
    out, err = capsys.readouterr()
    return code, out + err


def available(bot: Bot, currency: str) -> float:
    return float(puppet(bot).balance(currency).available)


async def test_capital_can_be_added_to_and_taken_from_a_running_bot(
    funded: World, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = await funded.start()
    supervisor = Supervisor()
    running = asyncio.create_task(supervisor.run(bot, None))
    await until(lambda: bot.opening_equity is not None)
    loss_before = bot.view.money.day_pnl("p")
    assert loss_before is not None

    code, text = await said(funded, capsys, "add", "p", "usdt=20000", "btc=0.5")
    assert code == 0, text
    assert text.startswith(
        'p was given 20000 usdt and 0.5 btc; its `capital:` may stay unchanged, or become {usdt: "70000"'
    )
    assert (
        "the capital of p was changed by +20000 usdt and +0.5 btc on the command line, "
        "from 50000 usdt to 70000 usdt, 0.5 btc"
    ) in told(bot)
    assert available(bot, "usdt") == 70_000
    assert puppet(bot).position("btc_usdt").amount == 0.5
    # meanwhile, the price moves and changes the value of half a coin, but the added capital counts as neither profit
    # nor loss
    pnl = bot.view.money.day_pnl("p")
    opening, equity = bot.opening_equity, bot.view.money.equity()
    assert isinstance(pnl, int)
    assert isinstance(opening, int)
    assert isinstance(equity, int)
    assert abs(pnl) < 500 * 10**8
    assert abs(equity - opening) < 500 * 10**8

    order = far_buy(bot, 1.0)
    await settled(order)
    locked = puppet(bot).balance("usdt").locked
    code, text = await said(funded, capsys, "take", "p", "usdt=69000")
    assert code == 2
    assert f"p has {70_000 - locked:.10g} usdt available, but 69000 was requested" in text
    assert "is locked in 1 order" in text
    for arguments, words in (
        (("add", "p", "usdt=20001"), "20001 usdt is more than the 20000 usdt that belongs to no strategy (of 30000,"),
        (("add", "pp", "usdt=1"), "there is no strategy 'pp'; did you mean p"),
        (("add", "p", "twd=1"), "twd is neither base nor quote of a pair of this bot"),
        (("add", "p", "usdt=1e3"), "the amount of usdt '1e3' is not a plain decimal number"),
        (("add", "p", "usdt"), "write CURRENCY=AMOUNT"),
    ):
        code, text = await said(funded, capsys, *arguments)
        assert code == 2
        assert words in text
    puppet(bot).cancel(order)
    bot.driver.wake()
    await until(lambda: order.is_final)
    code, text = await said(funded, capsys, "take", "p", "usdt=20000", "btc=0.5")
    assert code == 0, text
    assert puppet(bot).position("btc_usdt").amount == 0
    supervisor.request_stop("by the test")
    await running
    await supervisor.stop(bot)
    await bot.close()
    notes = [text for _, kind, text in _notes(funded) if kind == "capital"]
    assert notes == ["p usdt +20000 btc +0.5", "p usdt -20000 btc -0.5"]

    again = await funded.start()
    assert available(again, "usdt") == 50_000
    assert not differences(again, funded.emulator)


def _notes(world: World) -> list[tuple[int, str, str]]:
    journal = Journal.open(world.folder / "state" / "journal.sqlite", read_only=True)
    rows = journal.notes()
    journal.close()
    return rows


async def test_capital_that_no_pair_has_is_refused_in_whole_sentences_if_a_strategy_chooses_its_pairs_in_code(
    funded: World,
) -> None:
    (funded.config.parent / "plugins" / "chooses.py").write_text(CHOOSES)
    more = "  - {name: q, use: chooses, capital: {eth: 1}}\nreserve"
    funded.config.write_text(CONFIG.replace("reserve", more))
    with pytest.raises(StartRefused) as error:
        await funded.start()
    assert str(error.value).endswith("neither base nor quote of a pair of this bot (btc, usdt). Nothing was traded")


async def test_capital_that_exceeds_the_account_balance_is_reported_at_the_first_start(funded: World) -> None:
    funded.config.write_text(CONFIG.replace("50000", "500000"))
    with pytest.raises(StartRefused) as error:
        await funded.start()
    assert "capital of 'p' is 500000 usdt, but only 90000 is left of the account's 100000 usdt" in str(error.value)
    assert "internal error" not in str(error.value)
    assert str(error.value).endswith("into the account. Nothing was traded")
    funded.config.write_text(CONFIG)
    bot = await funded.start()
    assert available(bot, "usdt") == 50_000


async def test_coins_are_added_at_their_cost_for_both_running_and_stopped_bots(
    funded: World, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = await funded.start()
    await until(lambda: puppet(bot).last_price("btc_usdt"))
    async with kept(bot):
        code, text = await said(funded, capsys, "add", "p", "btc=0.25", "--cost", "40000.5")
        assert (code, "p was given 0.25 btc" in text) == (0, True), text
        code, text = await said(funded, capsys, "add", "p", "usdt=1", "--cost", "40000")
        assert (code, "omit the cost" in text) == (2, True), text
    position = puppet(bot).position("btc_usdt")
    assert (position.amount, position.given, position.average_entry) == (0.25, 0.25, 40_000.5)
    await stop(bot)
    await bot.close()
    for cost, why in (("0", "above 0"), ("-5", "above 0"), ("much", "not a plain decimal")):
        code, text = await said(funded, capsys, "add", "p", "btc=0.25", f"--cost={cost}")
        assert (code, why in text) == (2, True), text
    code, text = await said(funded, capsys, "add", "p", "btc=0.25", "--cost", "60000.5")
    assert code == 0, text
    again = await funded.start()
    position = puppet(again).position("btc_usdt")
    assert (position.amount, position.given, position.average_entry) == (0.5, 0.5, 50_000.5)
    pnl = again.view.money.day_pnl("p")
    assert pnl is not None
    assert abs(pnl) < 500 * 10**8, "the market moved a little, and the cost is neither profit nor loss"
    assert [text for _, kind, text in _notes(funded) if kind == "capital"] == [
        "p btc +0.25 at 40000.5",
        "p btc +0.25 at 60000.5",
    ]


async def test_a_replay_reproduces_capital_moves(funded: World) -> None:
    (funded.folder / "plugins" / "puppet.py").write_text(STRATEGY)
    bot = await funded.start()
    supervisor = Supervisor()
    running = asyncio.create_task(supervisor.run(bot, None))
    await until(lambda: bot.opening_equity is not None)
    for units, cost_e8 in (({"usdt": 20_000 * 10**8, "btc": 10**7}, 5 * 10**12), ({"usdt": -(10**8)}, None)):
        count = bot.view.strategies()[0].orders
        moved: dict[str, Any] = {"strategy": "p", "units": units, "cost_e8": cost_e8}
        await asyncio.to_thread(commands.ask, bot.parts.folder, "capital", timeout_s=30.0, **moved)
        await until(lambda: bot.view.strategies()[0].orders > count + 3, 60)  # noqa: B023
    with pytest.raises(commands.CommandFailed, match="belongs to no strategy"):
        await asyncio.to_thread(
            commands.ask, bot.parts.folder, "capital", timeout_s=30.0, strategy="p", units={"usdt": 10**18}
        )
    supervisor.request_stop("by the test")
    await running
    await supervisor.stop(bot)
    await bot.close()
    assert replay_run(run_folder(bot)).difference is None
    assert (run_folder(bot) / "decisions.jsonl").read_text().count('"k":"capital"') == 2


async def test_after_capital_moves_on_a_stopped_bot_its_configuration_may_state_the_old_or_new_capital(
    funded: World, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = await funded.start()
    pnl = bot.view.money.day_pnl("p")
    await stop(bot)
    await bot.close()
    assert pnl is not None

    # the user edits the file, is told by the error to use the command, and does so
    funded.config.write_text(CONFIG.replace("50000", "65000"))
    with pytest.raises(ConfigError, match="`botkit capital add CONFIG p usdt=15000`"):
        await funded.start()
    code, text = await said(funded, capsys, "add", "p", "usdt=40001")
    assert code == 2
    assert "is more than the 40000 usdt" in text
    code, text = await said(funded, capsys, "add", "p", "usdt=15000", "btc=0.25")
    assert code == 0, text
    code, text = await said(funded, capsys, "take", "p", "btc=0.25")
    assert code == 0, text
    for amount in ("65000", "50000"):
        funded.config.write_text(CONFIG.replace("50000", amount))
        again = await funded.start()
        assert available(again, "usdt") == 65_000
        assert again.view.money.day_pnl("p") == pnl
        assert far_buy(again).state.value != "refused"
        await stop(again)
        await again.close()
    assert [text for _, kind, text in _notes(funded) if kind == "capital"] == [
        "p usdt +15000 btc +0.25",
        "p btc -0.25",
    ]


async def test_money_locked_by_a_stopped_bots_orders_cannot_be_withdrawn(
    funded: World, capsys: pytest.CaptureFixture[str]
) -> None:
    funded.config.write_text(CONFIG + "live: {on_stop: keep}\n")
    bot = await funded.start()
    order = far_buy(bot, 0.5)
    await settled(order)
    free = available(bot, "usdt")
    await stop(bot)
    await bot.close()
    assert len(funded.exchange_orders(open_only=True)) == 1
    code, text = await said(funded, capsys, "take", "p", f"usdt={free + 1:.8f}")
    assert code == 2
    assert f"p has {free:.10g} usdt available" in text
    assert "is locked in 1 order" in text
    code, text = await said(funded, capsys, "take", "p", f"usdt={free:.8f}")
    assert code == 0, text
    again = await funded.start()
    assert available(again, "usdt") == 0
    assert not differences(again, funded.emulator)
    await stop(again)
    await again.close()

    funded.config.write_text(CONFIG.replace("name: p,", "name: q,").replace('capital: {usdt: "50000"}', "capital: 1%"))
    code, text = await said(funded, capsys, "take", "p", "usdt=1")
    assert code == 2
    assert "p is no longer in the configuration, but its orders may still be open" in text


async def test_capital_is_not_moved_if_the_move_cannot_be_journaled(funded: World) -> None:
    bot = await funded.start()
    supervisor = Supervisor()
    running = asyncio.create_task(supervisor.run(bot, None))
    await until(lambda: bot.opening_equity is not None)
    before = bot.view.money.unassigned
    with funded.disk.read_only("journal.sqlite"), pytest.raises(commands.CommandFailed, match="cannot be written"):
        await asyncio.to_thread(
            commands.ask, bot.parts.folder, "capital", timeout_s=30.0, strategy="p", units={"usdt": 100}
        )
    assert bot.view.money.unassigned == before
    supervisor.leave_now()
    await running


async def test_taking_the_missing_capital_from_the_strategy_resolves_a_shortage(funded: World) -> None:
    bot = await funded.start()
    # 5,000 of the strategy's money was withdrawn outside the bot
    withdrawn = BalanceReport({"usdt": (45_000 * 10**8, 45_000 * 10**8)})
    bot.say(withdrawn)
    [shortage] = [text for text in told(bot).splitlines() if "only orders that reduce a position are allowed" in text]
    assert "take capital from a strategy" in shortage
    assert far_buy(bot).is_refused
    assert bot.say(MoveCapital("p", {"usdt": -20_000 * 10**8})).refusal is None
    assert "the account again holds everything its strategies own" in told(bot)
    assert not far_buy(bot).is_refused


async def test_money_withdrawn_while_the_bot_was_down_blocks_new_orders_from_the_start(funded: World) -> None:
    bot = await funded.start()
    await funded.crash(bot)
    # of 100,000, 40,000 remain, but the strategy owns 50,000
    funded.emulator.venue.kernel.transfer(DEFAULT_ACCOUNT.email, "usdt", -60_000 * 10**8)
    again = await funded.start()
    assert "only orders that reduce a position are allowed: the account has 10000 usdt less" in told(again)
    refused = far_buy(again)
    assert refused.is_refused
    assert "the account has 10000 usdt less than its strategies own" in refused.reason


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["twd=0"], "must be above 0"),
        (["twd=-5"], "must be above 0"),
        (["twd=0.000000001"], "has more than 8 decimals"),
        (["twd=1_000"], "not a plain decimal"),
        (["twd=١"], "not a plain decimal"),
        (["twd=1", "TWD=2"], "given twice"),
        (["=1"], "write CURRENCY=AMOUNT"),
        (["twd=99999999999999999999"], "a realistic amount"),
    ],
)
def test_invalid_capital_amounts_are_refused(texts: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_amounts(texts)


def test_capital_amounts_are_parsed_exactly() -> None:
    found: dict[str, Any] = parse_amounts(["TWD=5000", "btc=0.00000001"])
    assert found == {"twd": 5000 * 10**8, "btc": 1}
