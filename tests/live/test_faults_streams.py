"""Stream faults: connections closed, cut or garbled, and frames lost, duplicated or out of order while orders fill."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from botkit.engine.market import quiet_books
from botkit.exchange.bitopro.stream import StreamTimes
from botkit.live.bot import Bot
from botkit.model.clock import NS_PER_S
from botkit.model.events import BalanceReport, Connection, ConnectionState
from botkit.model.orders import OrderState
from tests.live.books import compared, differences, exchange_rows
from tests.live.world import World, far_buy, kept, make_world, puppet, settled, told, until

pytestmark = pytest.mark.virtual_time

STREAMS: dict[str, list[dict[str, Any]]] = {
    "closed without a reason": [{"kind": "ws_close", "share": 0.05, "value": 1000}],
    "cut": [{"kind": "ws_abort", "share": 0.05}],
    "half a frame": [{"kind": "ws_garbage", "share": 0.05}],
    "frames doubled": [{"kind": "ws_duplicate", "share": 0.5}],
    "frames out of order": [{"kind": "ws_reorder", "share": 0.5}],
    "all of it": [
        {"kind": kind, "share": 0.03} for kind in ("ws_abort", "ws_garbage", "ws_duplicate", "ws_reorder", "ws_close")
    ],
}


class Overheard:
    """Wraps an adapter so that a test receives its events before the bot does."""

    def __init__(self, adapter: Any, hear: Callable[[Any], object]) -> None:
        self._adapter, self._hear = adapter, hear

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def watch(self, sink: Callable[[Any], None], **options: Any) -> None:
        def heard(event: Any) -> None:
            self._hear(event)
            sink(event)

        self._adapter.watch(heard, **options)


async def trade_for_a_while(bot: Bot, rounds: int = 60) -> None:
    """Trade fast, with some orders that rest, some that fill immediately and some that are cancelled."""
    strategy = puppet(bot)
    for i in range(rounds):
        book = strategy.book("btc_usdt")
        if book is not None and book.best_bid is not None and book.best_ask is not None:
            if i % 3 == 0:
                strategy.buy("btc_usdt", amount=0.002, price=book.best_ask + 5)
            elif i % 3 == 1:
                strategy.sell("btc_usdt", amount=0.002, price=book.best_bid - 5)
            else:
                strategy.buy("btc_usdt", amount=0.002, price=round(book.best_bid * 0.7))
        resting = strategy.open_orders()
        if len(resting) > 5:
            strategy.cancel(resting[0])
        bot.driver.wake()
        await asyncio.sleep(0.03)


@pytest.mark.parametrize("name", STREAMS)
async def test_each_fill_is_booked_exactly_once_when_frames_are_garbled_duplicated_or_reordered(
    name: str, world: World
) -> None:
    bot = await world.start()
    struck = [world.emulator.add_fault(fault) for fault in STREAMS[name]]
    for _ in range(8):  # faults occur at random, and the number of frames depends on the machine
        await trade_for_a_while(bot)
        if all(fault.fired for fault in struck):
            break
    assert all(fault.fired for fault in struck), struck
    world.emulator.remove_faults()
    await bot.driver.wait(20)
    await compared(bot)  # perhaps no later frame reveals the gap, so this comparison has to find the missing events
    await until(lambda: not differences(bot, world.emulator), 30)
    rows = exchange_rows(world.emulator)
    assert sum(row.executed_lots > 0 for row in rows) > 10
    booked: dict[int, int] = {}
    for fill in bot.journal.fills():
        booked[fill.client_id] = booked.get(fill.client_id, 0) + fill.lots
    assert booked == {row.client_id: row.executed_lots for row in rows if row.executed_lots}
    assert bot.driver.fault is None
    if name in ("closed without a reason", "cut", "half a frame"):
        assert "was lost" in told(bot)
        assert "is back" in told(bot)


async def test_a_fill_whose_frame_was_dropped_is_found_by_the_next_comparison(world: World) -> None:
    bot = await world.start()
    for where in ("active_orders", "user_trades", "account_balance"):
        world.emulator.add_fault({"kind": "ws_drop", "where": where})
    await until(lambda: puppet(bot).book("btc_usdt").best_ask)
    order = puppet(bot).buy("btc_usdt", amount=0.01, price=puppet(bot).book("btc_usdt").best_ask + 10)
    bot.driver.wake()
    await settled(order)
    assert order.state is OrderState.OPEN  # neither the stream nor a listing has reported the fill yet
    await until(lambda: any(row.executed_lots == order.amount_lots for row in exchange_rows(world.emulator)), 30)
    world.emulator.remove_faults()
    bot.comparisons.at_once()
    await until(lambda: order.state is OrderState.FILLED, 20)
    await until(lambda: not differences(bot, world.emulator), 20)
    await until(bot.journal.fills)
    await until(lambda: f"order {order.client_id} of btc_usdt was open and is filled" in told(bot))


async def test_a_fill_that_arrives_before_the_create_response_is_booked_once(world: World) -> None:
    bot = await world.start()
    world.emulator.add_fault({"kind": "delay_answer", "where": "create_order", "value": 10_000, "count": 1})
    await until(lambda: puppet(bot).book("btc_usdt").best_ask)
    order = puppet(bot).buy("btc_usdt", amount=0.01, price=puppet(bot).book("btc_usdt").best_ask + 10)
    bot.driver.wake()
    await until(lambda: order.state is OrderState.FILLED)
    await bot.driver.wait(15)
    assert sum(fill.lots for fill in bot.journal.fills()) == order.amount_lots
    await until(lambda: not differences(bot, world.emulator))


async def test_the_newest_balance_takes_effect_when_balance_frames_are_reordered(world: World) -> None:
    seen: list[BalanceReport] = []
    bot = await world.start(
        wrap=lambda adapter: Overheard(adapter, lambda event: isinstance(event, BalanceReport) and seen.append(event))
    )
    compared_at = bot.comparisons.ended
    seen.clear()
    swapped = world.emulator.add_fault({"kind": "ws_reorder", "where": "account_balance", "count": 1})
    for coins in (500, 300, 7):
        world.emulator.wallet.deposit("emulator@botkit.local", "usdt" if coins > 7 else "btc", coins * 10**8)
        moment = world.emulator.clock.now()
        await until(lambda moment=moment: world.emulator.venue.now > moment + NS_PER_S // 10)
    await until(lambda: bot.view.money.account["btc"] == 8 * 10**8)
    assert swapped.fired == 1
    # the timestamp of the overtaken frame lies between these two timestamps
    assert [set(report.balances) for report in seen] == [{"usdt"}, {"btc"}]
    assert bot.view.money.unassigned["usdt"] == 800 * 10**8
    assert bot.comparisons.ended == compared_at
    assert not differences(bot, world.emulator)


async def test_a_balance_change_reported_only_by_a_stream_soon_triggers_a_comparison(world: World) -> None:
    bot = await world.start()
    compared_at = bot.comparisons.ended
    find, put = r'("currency":"USDT","amount":")\d+', r"\g<1>55"
    async with kept(bot):
        world.emulator.add_fault(
            {"kind": "ws_altered", "where": "account_balance", "find": find, "put": put, "count": 1}
        )
        order = far_buy(bot)
        await settled(order)
        puppet(bot).cancel(order)
        bot.driver.wake()
        await until(lambda: order.is_final)
        world.emulator.add_fault(
            {"kind": "ws_altered", "where": "account_balance", "find": find, "put": put, "count": 1}
        )
        world.emulator.wallet.deposit("emulator@botkit.local", "usdt", 500 * 10**8)
        await until(lambda: not differences(bot, world.emulator) and bot.comparisons.ended > compared_at, 20)
        await until(lambda: "outside this bot; it is booked as unassigned" in told(bot), 20)
    assert bot.view.money.unassigned["usdt"] == 500 * 10**8


#: events that close a connection: the fault and the user message
ENDS: dict[str, tuple[dict[str, Any], str]] = {
    "missed pong": ({"kind": "ws_deaf"}, "was lost: the connection was closed, code 1006; reconnecting"),
    "closed without a reason": (
        {"kind": "ws_close", "value": 1000},
        "was lost: the connection was closed, code 1000; reconnecting",
    ),
    "a frame of 10 MB": ({"kind": "ws_huge", "value": 10}, "was lost: a frame larger than 4 MB was rejected; "),
    "half a frame": ({"kind": "ws_garbage"}, "was lost: stream frame: Input data was truncated"),
}


@pytest.mark.parametrize("name", ENDS)
async def test_events_missed_while_a_connection_was_closed_are_recovered_by_reads(name: str, tmp_path: Path) -> None:
    fault, says = ENDS[name]
    streams = ("active_orders", "order_history", "user_trades", "account_balance")
    async with make_world(tmp_path, switches={"keepalive": "observed"}) as world:
        bot = await world.start()
        await until(lambda: puppet(bot).book("btc_usdt").best_ask)
        struck = [world.emulator.add_fault({**fault, "where": where, "count": 1}) for where in streams]
        order = puppet(bot).buy("btc_usdt", amount=0.01, price=puppet(bot).book("btc_usdt").best_ask + 10)
        bot.driver.wake()
        await until(lambda: all(fault.fired for fault in struck), 20)
        for where in streams:
            await until(lambda where=where: f"the stream {where} {says}" in told(bot), 20)
            await until(lambda where=where: f"the stream {where} is back" in told(bot), 20)
        assert "missed data is fetched once it is back" in told(bot)
        await until(lambda: order.state is OrderState.FILLED, 20)
        await until(lambda: not differences(bot, world.emulator), 20)


async def test_a_frame_with_an_unknown_event_loses_no_data_and_is_reported_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    bot = await world.start()
    await until(lambda: puppet(bot).book("btc_usdt").best_ask)
    renamed = world.emulator.add_fault(
        {"kind": "ws_altered", "where": "user_trades", "find": "USER_TRADE", "put": "USER_TRADE_V2"}
    )
    for _ in range(2):
        order = puppet(bot).buy("btc_usdt", amount=0.01, price=puppet(bot).book("btc_usdt").best_ask + 10)
        bot.driver.wake()
        # its executions are instead read from a listing
        await until(lambda order=order: order.state is OrderState.FILLED, 20)
    assert renamed.fired >= 2
    told_of = [r.getMessage() for r in caplog.records if "USER_TRADE_V2" in r.getMessage()]
    assert len(told_of) == 1
    assert (
        "frames with the unknown event USER_TRADE_V2 are ignored, and everything else continues; check for"
        in told_of[0]
    )
    await until(lambda: not differences(bot, world.emulator), 20)


async def test_a_frozen_book_on_an_open_connection_halts_the_bot(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet_books, "QUIET_S", 0.5)
    bot = await world.start()
    resting = far_buy(bot)
    await settled(resting)
    async with kept(bot):
        frozen = world.emulator.add_fault({"kind": "ws_drop", "where": "order_book"})
        await until(lambda: bot.view.halted is not None, 40)
        assert frozen.fired
        assert bot.streams.connections["order_book", "btc_usdt"] is ConnectionState.CONNECTED
        text = "halted: the book of btc_usdt is changing, but the stream does not show it. Open orders are cancelled; "
        assert text + "`botkit resume` lifts it" in told(bot)
        await until(lambda: resting.state is OrderState.CANCELLED, 20)
        assert far_buy(bot).state is OrderState.REFUSED
    await until(lambda: not differences(bot, world.emulator), 20)


async def test_repeated_disconnects_lead_to_increasing_pauses(world: World) -> None:
    times = StreamTimes(backoff_first_s=0.1, backoff_max_s=0.8, healthy_after_s=3600.0)

    def patient(adapter: Any) -> Any:
        adapter.client._stream_times = times
        return adapter

    delays: dict[str, list[float]] = {}
    moments: dict[str, list[float]] = {}

    def note(event: Any) -> None:
        if type(event) is Connection and event.state is ConnectionState.LOST:
            found = re.search(r"; reconnecting in (\d+\.\d\d) s", event.detail)
            assert found is not None, event.detail
            delays.setdefault(event.stream, []).append(float(found[1]))
            moments.setdefault(event.stream, []).append(asyncio.get_running_loop().time())

    bot = await world.start(wrap=lambda adapter: Overheard(patient(adapter), note))
    storm = world.emulator.add_fault({"kind": "ws_abort"})
    world.emulator.add_fault({"kind": "ws_refuse", "share": 0.3})
    world.emulator.cut_sockets()
    order = far_buy(bot)
    # the sixth stream carries executions, and this test produces none
    talkative = ("order_book", "trades", "active_orders", "order_history", "account_balance")
    await until(lambda: all(len(delays.get(stream, ())) >= 6 for stream in talkative), 60)
    for found in delays.values():
        for i, delay in enumerate(found):
            whole = min(0.8, 0.1 * 2**i)  # the pause doubles up to its maximum, and half of it is random
            assert whole / 2 - 0.01 <= delay <= whole + 0.01, found
    for stream, times_lost in moments.items():  # the bot waited for at least the announced time
        waited = [later - earlier for earlier, later in itertools.pairwise(times_lost)]
        assert all(wait >= said - 0.01 for wait, said in zip(waited, delays[stream], strict=False)), stream
    # pauses are random, so that streams do not reconnect simultaneously
    assert len({tuple(delays[stream][:6]) for stream in talkative}) == 5
    assert StreamTimes().backoff_max_s <= 60
    assert storm.fired >= 6
    lost = [text for _, text in bot.told if "the stream trades btc_usdt was lost" in text]  # type: ignore[attr-defined]
    assert len(lost) <= 2  # the loss is reported once per reason

    world.emulator.remove_faults()
    await until(lambda: order.state is OrderState.OPEN, 30)
    for stream in delays:
        await until(lambda stream=stream: re.search(f"the stream {stream}[ a-z_]* is back", told(bot)), 30)
    await until(lambda: not differences(bot, world.emulator), 30)
    assert bot.driver.fault is None
