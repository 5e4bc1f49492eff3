"""Checks bars built from streamed trades against the exchange's candles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from botkit.assembly.replay import replay_run
from botkit.engine.market import watch
from botkit.engine.market.bar_check import BarCheck, agrees
from botkit.exchange.bitopro import sign
from botkit.live.bot import Bot
from botkit.live.supervisor import Supervisor
from botkit.model.events import Bar, Candle, Connection, ConnectionState, Trade
from botkit.model.requests import GetCandles
from tests.engine_world import BTC, MINUTE, T0, Listener, S
from tests.engine_world import Bot as EngineBot
from tests.live.test_replay import run_folder
from tests.live.world import World, make_world, puppet, told, until
from tests.portfolio_cases import make_pair

pytestmark = pytest.mark.virtual_time

PAIR = make_pair("btc_twd", price_decimals=0)  # the amounts have eight decimals and are displayed with four


@pytest.fixture
async def fast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Yield a world in which a minute bar takes half a second, unless the test sets a different speed."""
    monkeypatch.setattr(sign, "_nonces", sign._LastNonces())
    async with make_world(tmp_path, speed=getattr(request, "param", 120.0)) as world:
        yield world


async def watched(world: World, monkeypatch: pytest.MonkeyPatch) -> Bot:
    """Return a bot that checks its bars as often as possible."""
    monkeypatch.setattr(watch, "BarCheck", partial(BarCheck, every_s=0, settle_s=5))
    return await world.start()


def figures(bot: Bot) -> dict[str, int]:
    return bot.view.checks.bars().get("btc_usdt 1m", {"checked": 0, "different": 0})


async def looked(bot: Bot, is_so: Callable[[], Any]) -> None:
    """Wait until a condition is met, while the bot continues to check its bars."""
    await until(is_so, 60)


def warnings(bot: Bot) -> list[str]:
    """Return the reports of missed trades without a known cause (a suspended machine is a known cause)."""
    return [text for level, text in bot.told if level == "warning" and "trades were probably missed" in text]  # type: ignore[attr-defined]


@pytest.mark.parametrize("fast", [60.0], indirect=True)  # the default speed of the embedded emulator
async def test_bars_from_a_healthy_stream_agree_with_candles_at_sixty_times_real_time_speed(
    fast: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = await watched(fast, monkeypatch)
    await looked(bot, lambda: figures(bot)["checked"] >= 4)
    assert not warnings(bot), warnings(bot)[0]
    # if the machine was suspended for half a second, the differences are reported with that cause instead
    assert not figures(bot)["different"] or "closed" in told(bot) or "between two frames" in told(bot)
    assert bot.driver.fault is None


# at a higher speed, the machine may fall behind, and the stream would not recover
@pytest.mark.parametrize("fast", [40.0], indirect=True)
async def test_lost_trade_frames_are_reported_once_for_all_consecutive_affected_bars(
    fast: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = await watched(fast, monkeypatch)
    await looked(bot, lambda: figures(bot)["checked"] >= 1)
    fault = fast.emulator.add_fault({"kind": "ws_drop", "where": "trades"})
    await looked(bot, lambda: figures(bot)["different"] >= 4)
    assert fault.fired
    (text,) = warnings(bot)
    assert "The bar is not corrected, because strategies have already used it" in text
    assert ("bars", text) in [(kind, note) for _, kind, note in bot.journal.notes()]
    shown = list(puppet(bot).series)
    fast.emulator.remove_faults()
    await looked(bot, lambda: "bars match the exchange's candles again" in told(bot))
    assert list(puppet(bot).series)[: len(shown)] == shown, "a bar must not change after it was shown"


async def test_differences_in_bars_built_during_a_stream_outage_are_reported_as_expected(
    fast: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = await watched(fast, monkeypatch)
    await looked(bot, lambda: figures(bot)["checked"] >= 1)
    fault = fast.emulator.add_fault({"kind": "ws_refuse", "where": "trades"})
    fast.emulator.cut_sockets()
    before = figures(bot)["different"]
    await looked(bot, lambda: figures(bot)["different"] >= before + 3)
    assert fault.fired
    assert not warnings(bot), warnings(bot)[0]
    assert told(bot).count("the stream of trades was down") == 1


async def test_a_failed_candle_read_is_retried(fast: World, monkeypatch: pytest.MonkeyPatch) -> None:
    bot = await watched(fast, monkeypatch)
    fault = fast.emulator.add_fault({"kind": "error_before", "where": "trading_history", "count": 2})
    await looked(bot, lambda: figures(bot)["checked"] >= 2)
    assert fault.fired == 2
    assert not warnings(bot), warnings(bot)[0]


async def test_candle_reads_are_reproduced_in_a_replay(fast: World, monkeypatch: pytest.MonkeyPatch) -> None:
    bot = await watched(fast, monkeypatch)
    supervisor = Supervisor()
    running = asyncio.create_task(supervisor.run(bot, None))
    await until(lambda: figures(bot)["checked"] >= 2, 60)
    supervisor.request_stop("by the test")
    await running
    await supervisor.stop(bot)
    await bot.close()
    assert replay_run(run_folder(bot)).difference is None
    assert '"endpoint":"trading_history"' in (run_folder(bot) / "decisions.jsonl").read_text()


# -- the check by itself ---------------------------------------------------------------------------------------------


class Checked:
    """A bot that builds bars from the test's trades and checks them. Its candle reads get immediate responses."""

    def __init__(self, *resolutions: str) -> None:
        def start(strategy: Listener) -> None:
            for resolution in resolutions or ("1m",):
                strategy.subscribe_bars(BTC, resolution)

        self.bot = EngineBot(Listener(start=start), traded={"btc_twd": BTC}, watch_speed=1.0)
        self.stream(ConnectionState.CONNECTED)
        #: the exchange's candles, built from all trades and keyed by time
        self.candles: dict[int, Candle] = {}
        #: candle reads so far
        self.reads: list[GetCandles] = []

    def stream(self, state: ConnectionState, *, gap: bool = False) -> None:
        self.bot.tell(Connection(state, "trades", BTC, gap=gap))

    def to(self, seconds: float) -> None:
        """Advance second by second, so that each response arrives before the next check."""
        while (second := (self.bot.now - T0) // S + 1) <= seconds:
            for request in self.bot.to(second):
                if isinstance(request, GetCandles):
                    self.reads.append(request)
                    rows = [c for t, c in sorted(self.candles.items()) if request.start <= t <= request.end]
                    self.bot.answer(request, body=tuple(rows))

    def trade(self, price: int, *, seen: bool = True, made_s: float | None = None) -> None:
        """Create a trade of one coin, optionally at an earlier time. The stream delivers it if ``seen`` is True, and
        otherwise misses it.
        """
        made = self.bot.now if made_s is None else T0 + round(made_s * S)
        minute = made - made % MINUTE
        old = self.candles.get(minute)
        known = (price, price, price, price, 0.0) if old is None else (old.open, old.high, old.low, 0, old.volume)
        self.candles[minute] = Candle(
            BTC, "1m", minute, known[0], max(known[1], price), min(known[2], price), price, known[4] + 1.0
        )
        if seen:
            self.bot.tell(Trade(BTC, made, float(price), 1.0))

    def minutes(self, first: int, last: int, missed: tuple[int, ...] = ()) -> None:
        """Create two trades in each of the given minutes. In each minute listed in ``missed``, the stream misses the
        second trade.
        """
        for minute in range(first, last):
            self.to(minute * 60 + 10)
            self.trade(100 + minute)
            self.to(minute * 60 + 20)
            self.trade(101 + minute, seen=minute not in missed)

    @property
    def said(self) -> list[tuple[str, str]]:
        """Return the user messages about bars."""
        return [(note.level, note.text) for note in self.bot.notes if note.kind == "bars"]

    @property
    def counts(self) -> dict[str, int]:
        return self.bot.engine.view.checks.bars()["btc_twd 1m"]


def test_one_delayed_candle_read_covers_all_bars_since_the_last_read() -> None:
    c = Checked()
    c.minutes(0, 3)
    c.to(3 * 60 - 1)
    assert not c.reads, "the first minute was not seen whole, and no candle is expected to be whole at once"
    c.minutes(3, 6)
    [first] = c.reads
    assert (first.start, first.end) == (T0 + MINUTE, T0 + 2 * MINUTE)
    assert c.counts == {"checked": 1, "different": 0}
    c.to(6 * 60 - 1)
    assert len(c.reads) == 1, "not before three minutes"
    c.minutes(6, 8)
    [_, second] = c.reads
    assert (second.start, second.end) == (T0 + 2 * MINUTE, T0 + 5 * MINUTE)
    assert c.counts == {"checked": 4, "different": 0}
    assert not c.said


def test_a_late_candle_is_reread_once_before_anything_is_reported() -> None:
    c = Checked()
    c.minutes(0, 4)
    late = c.candles.pop(T0 + 2 * MINUTE)
    c.minutes(4, 7)
    assert len(c.reads) == 2
    assert c.counts == {"checked": 1, "different": 0}
    c.candles[late.time] = late
    c.minutes(7, 9)
    c.to(9 * 60)
    assert len(c.reads) == 3
    assert c.counts == {"checked": 7, "different": 0}
    assert not c.said


def test_a_series_of_missed_trades_is_reported_at_its_first_bar_and_at_its_end() -> None:
    c = Checked()
    c.minutes(0, 20, missed=(3, 4, 6))
    c.to(26 * 60)
    (warning, over) = c.said
    assert warning[0] == "warning"
    assert "btc_twd 1m: the bar of" in warning[1]
    assert "is open 103 high 103 low 103 close 103 volume 1 here and open 103 high 104 low 103" in warning[1]
    assert over == ("info", "btc_twd 1m: bars match the exchange's candles again, after 3 differences")
    assert c.counts["different"] == 3


@pytest.mark.parametrize(
    ("cause", "level", "told_of"),
    [
        ("down", "info", "the stream of trades was down"),
        ("gap", "warning", "more trades happened between two frames than the exchange lists"),
        ("late", "info", "trades arrived after the bar had closed"),
        ("very late", "warning", "trades arrived long after the bar had closed"),
        ("spike", "info", "an implausible price was withheld"),
    ],
)
def test_the_report_of_a_differing_bar_names_the_cause_if_known(cause: str, level: str, told_of: str) -> None:
    c = Checked()
    c.minutes(0, 3)
    c.to(3 * 60 + 10)
    c.trade(103)
    if cause == "down":
        c.stream(ConnectionState.LOST)
        c.trade(110, seen=False)
        c.to(3 * 60 + 50)
        c.stream(ConnectionState.CONNECTED)
    elif cause == "gap":
        c.trade(110, seen=False)
        c.stream(ConnectionState.RESYNCHRONISED, gap=True)
    elif cause == "late":
        c.to(4 * 60 + 3)
        c.trade(110, made_s=4 * 60 - 1)
    elif cause == "very late":
        c.to(4 * 60 + 30)
        c.trade(110, made_s=4 * 60 - 1)
    else:
        c.trade(1_000_000)
    c.minutes(4, 8)
    c.to(13 * 60)
    said, text = c.said[0]
    assert said == level
    assert told_of in text


def test_a_bar_that_was_unfinished_when_its_series_was_requested_is_not_checked() -> None:
    c = Checked()
    c.minutes(0, 7)
    c.to(7 * 60 + 30)
    c.bot.s.subscribe_bars(BTC, "5m")
    c.minutes(8, 17)
    c.to(17 * 60)
    assert [request.start for request in c.reads if request.resolution == "5m"] == [T0 + 10 * MINUTE]


def bar(*prices: float, volume: float = 1.0, empty: bool = False) -> Bar:
    return Bar(PAIR, 0, *prices, volume, "1m", empty)


def candle(*prices: float, volume: float = 1.0) -> Candle:
    return Candle(PAIR, "1m", 0, *prices, volume)


def test_bars_that_differ_only_by_rounding_are_treated_as_equal() -> None:
    ours = bar(10, 12, 9, 11)
    assert agrees(ours, candle(10, 12, 9, 11), 1)
    assert not agrees(ours, candle(10, 12, 8, 11), 1)
    assert not agrees(ours, None, 1)
    # each of the three amounts was rounded to four decimals
    assert agrees(ours, candle(10, 12, 9, 11, volume=1.00015), 3)
    assert not agrees(ours, candle(10, 12, 9, 11, volume=1.00016), 3)
    nothing = bar(11, 11, 11, 11, volume=0.0, empty=True)
    assert agrees(nothing, None, 0)
    assert agrees(nothing, candle(11, 11, 11, 11, volume=0.0), 0)
    assert not agrees(nothing, candle(11, 11, 11, 11, volume=0.0001), 0)
