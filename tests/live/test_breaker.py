"""Tests for frozen books: when a book is read over REST, the possible results of the read, and the bot's reaction to
each.
"""

from __future__ import annotations

from typing import Any

import pytest

from botkit.engine.market import quiet_books
from botkit.engine.market.quiet_books import QUIET_S
from botkit.live.bot import Bot as LiveBot
from botkit.model.events import OrderBook
from botkit.model.inputs import Resume
from botkit.model.orders import OrderState
from botkit.model.requests import Ending, GetBook
from tests.engine_world import BTC, T0, Bot, Listener, S
from tests.live.world import World, kept, puppet, told, until

pytestmark = pytest.mark.virtual_time

FIRST = ((100, 10),), ((110, 10),)


class Watched:
    """A bot that subscribes only to bars but monitors its books. The test responds to its book reads."""

    def __init__(self) -> None:
        listener = Listener(start=lambda strategy: strategy.subscribe_bars(BTC, "1m"))
        self.bot = Bot(listener, traded={"btc_twd": BTC}, watch_speed=1.0)

    @property
    def trips(self) -> list[str]:
        return [halt.reason for halt in self.bot.halts if halt.kind == "breaker"]

    @property
    def mended(self) -> list[str]:
        return list(self.bot.resynchronised)

    def frame(self, bids: Any, asks: Any) -> None:
        self.bot.tell(OrderBook(BTC, self.bot.now, bids, asks))

    def quiet(self, seconds: float = QUIET_S) -> list[Any]:
        """Let ``seconds`` pass without frames, and return the book reads sent during that time."""
        asked = self.bot.to((self.bot.now - T0) / S + seconds)
        return [request for request in asked if isinstance(request, GetBook)]

    def read(self, bids: Any, asks: Any) -> None:
        """Let a minute pass without frames, and respond to the book read that follows."""
        (request,) = self.quiet()
        self.bot.answer(request, body=OrderBook(BTC, self.bot.now, bids, asks))


def test_a_book_is_read_over_rest_only_after_a_long_silence() -> None:
    w = Watched()
    w.frame(*FIRST)
    assert not w.quiet(QUIET_S - 1)
    w.frame(*FIRST)
    assert not w.quiet(QUIET_S - 1)
    (request,) = w.quiet(1)
    assert request.depth == 5
    assert not w.quiet(QUIET_S), "only one read at a time"


def test_reads_that_match_the_book_never_halt_the_bot() -> None:
    w = Watched()
    w.frame(*FIRST)
    for _ in range(5):
        w.read(((100, 9),), ((110, 12),))  # the stream and REST round amounts differently
    assert not w.trips
    assert not w.mended


def test_a_differing_read_is_adopted_and_a_second_differing_read_halts_the_bot() -> None:
    w = Watched()
    w.frame(*FIRST)
    w.read(((101, 10),), ((111, 10),))
    assert w.bot.s.book(BTC).best_bid == 101
    assert w.mended == [BTC]
    assert not w.trips
    w.read(((102, 10),), ((112, 10),))
    assert w.bot.s.book(BTC).best_bid == 102
    (reason,) = w.trips
    assert "is changing, but the stream does not show it" in reason
    w.read(((103, 10),), ((113, 10),))
    assert len(w.trips) == 1, "told once"
    w.bot.tell(Resume())
    w.read(((104, 10),), ((114, 10),))
    assert len(w.trips) == 2, "a resumed bot whose book is still frozen is halted again"


def test_a_frame_between_two_differing_reads_prevents_a_halt() -> None:
    w = Watched()
    w.frame(*FIRST)
    w.read(((101, 10),), ((111, 10),))
    w.bot.now += S
    w.frame(((101, 10),), ((111, 10),))
    w.read(((102, 10),), ((112, 10),))
    assert not w.trips
    assert len(w.mended) == 2


def test_a_stream_that_never_sent_a_book_is_treated_like_a_frozen_one() -> None:
    w = Watched()
    w.read(*FIRST)
    assert w.bot.s.book(BTC).best_bid == 100
    w.read(*FIRST)
    assert not w.trips, "the book that was read stays in force"
    w.read(((101, 10),), ((111, 10),))
    assert len(w.trips) == 1


def test_a_book_that_cannot_be_read_halts_the_bot() -> None:
    w = Watched()
    w.frame(*FIRST)
    (request,) = w.quiet()
    w.bot.answer(request, Ending.UNKNOWN, text="no answer")
    (reason,) = w.trips
    assert reason == "no book of btc_twd for 60 s, and it cannot be fetched: no answer"


def test_the_time_in_which_the_bot_was_suspended_does_not_count_as_silence_of_a_book() -> None:
    w = Watched()
    w.frame(*FIRST)
    assert not w.quiet(QUIET_S - 1)
    w.bot.now += 900 * S  # the bot's clock goes on while the machine sleeps
    assert not w.quiet(QUIET_S - 1)
    (request,) = w.quiet(2)
    w.bot.answer(request, body=OrderBook(BTC, w.bot.now, *FIRST))
    assert not w.trips


def test_a_response_older_than_the_latest_frame_is_ignored() -> None:
    w = Watched()
    w.frame(*FIRST)
    (request,) = w.quiet()
    w.bot.now += S
    w.frame(((101, 10),), ((111, 10),))
    w.bot.answer(request, body=OrderBook(BTC, w.bot.now, *FIRST))
    assert not w.mended
    assert w.bot.s.book(BTC).best_bid == 101


# -- on a running bot -------------------------------------------------------------------------------------------------

BARS_ALONE = """
from botkit import Pair, Strategy, hookimpl

class Puppet(Strategy):
    pair: Pair

    def on_start(self):
        self.subscribe_bars(self.pair, "1m", warm_up=5)

@hookimpl
def botkit_register_strategies(register):
    register("puppet", Puppet)
"""
TIMER_ALONE = BARS_ALONE.replace('self.subscribe_bars(self.pair, "1m", warm_up=5)', "self.set_timer(every_s=3600)")


async def bot_of(world: World, plugin: str) -> LiveBot:
    (world.folder / "plugins" / "puppet.py").write_text(plugin)
    return await world.start()


@pytest.mark.parametrize("plugin", [BARS_ALONE, TIMER_ALONE], ids=["bars alone", "timer alone"])
async def test_every_traded_pair_has_a_book_regardless_of_its_strategys_subscriptions(
    world: World, plugin: str
) -> None:
    bot = await bot_of(world, plugin)
    strategy = puppet(bot)
    await until(lambda: strategy.book("btc_usdt").best_ask is not None)
    assert [(s.pair, s.depth) for s in bot.view.streams() if s.kind == "books"] == [(strategy.pair, 5)]
    order = strategy.market_buy("btc_usdt", spend=1_000, max_slippage_pct=1)
    assert not order.is_refused, order.reason
    bot.driver.wake()
    await until(lambda: order.state is OrderState.FILLED)


async def test_the_stream_of_a_frozen_book_reconnects_even_for_a_bot_that_uses_only_bars(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiet_books, "QUIET_S", 0.5)
    bot = await bot_of(world, BARS_ALONE)
    await until(lambda: puppet(bot).book("btc_usdt").best_ask is not None)
    async with kept(bot):
        frozen = world.emulator.add_fault({"kind": "ws_silence", "where": "order_book", "count": 1})
        await until(lambda: "and the stream is reconnecting" in told(bot), 40)
        assert frozen.fired
        [market] = bot.view.markets()
        seen = market.book_seen
        await until(lambda: bot.view.markets()[0].book_seen > seen + 60 * S, 40)
        assert bot.view.halted is None
