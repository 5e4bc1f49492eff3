"""Bars made of streamed trades are held against the exchange's candles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from botkit.assembly.replay import replay_run
from botkit.exchange.bitopro import sign
from botkit.live.bar_check import agrees
from botkit.live.bot import Bot
from botkit.live.keeper import Keeper
from botkit.model.clock import NS_PER_S
from botkit.model.events import Bar, Candle
from tests.live.test_replay import run_folder
from tests.live.world import World, make_world, puppet, told, until
from tests.portfolio_cases import make_pair

PAIR = make_pair("btc_twd", price_decimals=0)  # amounts of eight decimals, shown with four


@pytest.fixture
async def fast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A world whose bars last half a second, or as long as the test says."""
    monkeypatch.setattr(sign, "_nonces", sign._LastNonces())
    async with make_world(tmp_path, speed=getattr(request, "param", 120.0)) as world:
        yield world


async def watched(world: World) -> Bot:
    """A bot whose bars are checked as often as they are looked at."""
    bot = await world.start()
    bot.bar_check._every, bot.bar_check._settle = 0, 5 * NS_PER_S
    return bot


def figures(bot: Bot) -> dict[str, int]:
    return bot.bar_check.figures.get("btc_usdt 1m", {"checked": 0, "different": 0})


async def looked(bot: Bot, until: Any, timeout_s: float = 60.0) -> None:
    """Look again and again until something holds."""
    async with asyncio.timeout(timeout_s):
        while not until():
            if bot.bar_check.look(bot.driver.now()):
                bot.driver.wake()
            await asyncio.sleep(0.02)


def warnings(bot: Bot) -> list[str]:
    """Those of trades that went missing for no reason that the bot knows: a machine that stands still knows one."""
    return [text for level, text in bot.told if level == "warning" and "trades were probably missed" in text]  # type: ignore[attr-defined]


@pytest.mark.parametrize("fast", [60.0], indirect=True)  # as a newcomer meets it
async def test_bars_of_a_healthy_stream_agree_at_sixty_times_the_speed(fast: World) -> None:
    bot = await watched(fast)
    await looked(bot, lambda: figures(bot)["checked"] >= 4)
    assert not warnings(bot), warnings(bot)[0]
    # a machine that stands still for half a second is another matter: it is told of as what it is
    assert not figures(bot)["different"] or "closed" in told(bot) or "between two frames" in told(bot)
    assert bot.driver.fault is None


async def test_lost_frames_of_trades_are_told_of_once_a_stretch(fast: World) -> None:
    bot = await watched(fast)
    await looked(bot, lambda: figures(bot)["checked"] >= 1)
    fault = fast.emulator.add_fault({"kind": "ws_drop", "where": "trades"})
    await looked(bot, lambda: figures(bot)["different"] >= 4)
    assert fault.fired
    (text,) = warnings(bot)
    assert "It stays as the strategies have seen it" in text
    assert ("bars", text) in [(kind, note) for _, kind, note in bot.journal.notes()]
    shown = list(puppet(bot).series)
    fast.emulator.remove_faults()
    await looked(bot, lambda: "bars agree with the exchange's again" in told(bot))
    assert list(puppet(bot).series)[: len(shown)] == shown, "no bar changes after it was shown"


async def test_bars_of_while_the_stream_was_down_are_expected_to_differ(fast: World) -> None:
    bot = await watched(fast)
    await looked(bot, lambda: figures(bot)["checked"] >= 1)
    fault = fast.emulator.add_fault({"kind": "ws_refuse", "where": "trades"})
    fast.emulator.cut_sockets()
    before = figures(bot)["different"]
    await looked(bot, lambda: figures(bot)["different"] >= before + 3)
    assert fault.fired
    assert not warnings(bot), warnings(bot)[0]
    assert told(bot).count("the stream of trades was down") == 1


async def test_a_read_that_fails_is_made_again(fast: World) -> None:
    bot = await watched(fast)
    fault = fast.emulator.add_fault({"kind": "error_before", "where": "trading_history", "count": 2})
    await looked(bot, lambda: figures(bot)["checked"] >= 2)
    assert fault.fired == 2
    assert not warnings(bot), warnings(bot)[0]


async def test_the_reads_of_candles_are_replayed(fast: World) -> None:
    bot = await watched(fast)
    keeper = Keeper(bot)
    running = asyncio.create_task(keeper.run(None))
    await until(lambda: figures(bot)["checked"] >= 2, 60)
    keeper.request_stop("by the test")
    await running
    await keeper.stop()
    await bot.close()
    assert replay_run(run_folder(bot)).difference is None
    assert '"endpoint":"trading_history"' in (run_folder(bot) / "decisions.jsonl").read_text()


def bar(*prices: float, volume: float = 1.0, empty: bool = False) -> Bar:
    return Bar(PAIR, 0, *prices, volume, "1m", empty)


def candle(*prices: float, volume: float = 1.0) -> Candle:
    return Candle(PAIR, "1m", 0, *prices, volume)


def test_what_counts_as_equal() -> None:
    ours = bar(10, 12, 9, 11)
    assert agrees(ours, candle(10, 12, 9, 11), 1)
    assert not agrees(ours, candle(10, 12, 8, 11), 1)
    assert not agrees(ours, None, 1)
    # each of three amounts was rounded to four decimals
    assert agrees(ours, candle(10, 12, 9, 11, volume=1.00015), 3)
    assert not agrees(ours, candle(10, 12, 9, 11, volume=1.00016), 3)
    nothing = bar(11, 11, 11, 11, volume=0.0, empty=True)
    assert agrees(nothing, None, 0)
    assert agrees(nothing, candle(11, 11, 11, 11, volume=0.0), 0)
    assert not agrees(nothing, candle(11, 11, 11, 11, volume=0.0001), 0)
