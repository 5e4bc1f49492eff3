"""`botkit resume` on a stopped bot lifts a halt for good, as it does on a running bot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from botkit.cli.main import main
from botkit.exchange.bitopro import sign
from botkit.live.bot import Bot
from botkit.live.journal import Journal
from botkit.live.journal_rows import JournalError
from botkit.live.latch import lifted_of
from botkit.live.starting import StartRefused
from botkit.live.stopping import stop
from botkit.model.inputs import Flatten
from botkit.model.orders import OrderState
from tests.live.world import World, far_buy, make_world, puppet, settled, until

pytestmark = pytest.mark.virtual_time

CONFIG = """
name: world
plugins: [plugins]
strategies:
  - {name: p, use: puppet, capital: {usdt: "50000"}, params: {pair: btc_usdt}}
emulator:
  balances: {usdt: 100000, btc: 1}
"""
RISK = "risk: {max_daily_loss: {usdt: 20}, max_drawdown: 0.0005}"  # less than the fees of the trades below


@pytest.fixture
async def limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Yield a world whose state folder is in the location where the command line expects it."""
    monkeypatch.setattr(sign, "_nonces", sign._LastNonces())
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "root"))
    place = tmp_path / "root" / "world" / "emulator"
    place.mkdir(parents=True)
    (place / "account").symlink_to(tmp_path / "state", target_is_directory=True)
    async with make_world(tmp_path, config=CONFIG) as world:
        yield world


async def lose(world: World, level: str | None) -> Bot:
    """Start a bot, let it lose more than its limits allow, and return it halted, without a position."""
    text = world.config.read_text()
    own, whole = (f", {RISK}}}", "") if level else ("}", f"{RISK}\n")
    world.config.write_text(text.replace("{pair: btc_usdt}}", "{pair: btc_usdt}" + own) + whole)
    bot = await world.start()
    await until(lambda: puppet(bot).book("btc_usdt").best_ask)
    bought = puppet(bot).buy("btc_usdt", amount=0.3, price=puppet(bot).book("btc_usdt").best_ask * 1.02)
    bot.driver.wake()
    await until(lambda: bought.state is OrderState.FILLED)
    await until(lambda: halts_of(bot)[level], 20)
    bot.say(Flatten("p"))
    await until(lambda: puppet(bot).position("btc_usdt").is_flat)
    return bot


def halts_of(bot: Bot) -> dict[str | None, str | None]:
    return {None: bot.view.halted, "p": bot.view.halts.get("p")}


async def resume(world: World, level: str | None) -> int:
    return await asyncio.to_thread(main, ["resume", str(world.config), *([level] if level else [])])


async def trades_on(bot: Bot) -> None:
    """Check that no limit halts the bot again, although prices arrive."""
    turns = bot.driver.turns
    await until(lambda: bot.driver.turns > turns + 20)
    order = far_buy(bot)
    await settled(order)
    assert (order.state, order.reason) == (OrderState.OPEN, "")


@pytest.mark.parametrize("level", [None, "p"])
@pytest.mark.parametrize("crashes", [False, True])
async def test_losses_from_before_the_resume_of_a_stopped_bot_do_not_halt_it_again(
    level: str | None, crashes: bool, limited: World
) -> None:
    bot = await lose(limited, level)
    if crashes:
        await limited.crash(bot)
    else:
        await stop(bot)
        await bot.close()
    halted = await limited.start()
    assert halts_of(halted)[level] is not None
    assert far_buy(halted).is_refused
    await limited.crash(halted)

    assert await resume(limited, level) == 0
    again = await limited.start()
    await trades_on(again)
    today = again.view.money.day_pnl(level)
    assert today is not None
    assert today < -10 * 10**8, "what is shown as today's is the whole day's"
    await limited.crash(again)
    await trades_on(await limited.start())


async def test_a_resume_is_taken_into_account_once(limited: World) -> None:
    bot = await lose(limited, "p")
    await limited.crash(bot)
    assert await resume(limited, "p") == 0
    assert await resume(limited, "p") == 0  # is not halted any more
    journal = Journal.open(limited.folder / "state" / "journal.sqlite", read_only=True)
    assert lifted_of(journal, is_halted=False) == ("p",)
    journal.close()
    with limited.disk.read_only("journal"), pytest.raises((JournalError, StartRefused)):
        await limited.start()
    again = await limited.start()
    assert again.latch.lifted == lifted_of(again.journal, is_halted=False) == ()


async def test_a_halt_that_could_not_be_written_does_not_count_as_lifted(limited: World) -> None:
    bot = await limited.start()
    with limited.disk.read_only("halt"):
        bot.latch.set("breaker", "a test")
        await until(lambda: bot.view.halted)
        bot.latch.keep(bot.view.halts)
        await limited.crash(bot)
    journal = Journal.open(limited.folder / "state" / "journal.sqlite", read_only=True)
    assert lifted_of(journal, is_halted=False) == ()
    journal.close()
