"""Crashes and restarts against the emulator over real sockets: no order is lost, doubled or orphaned."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Any

import pytest

from botkit.live.journal import Journal
from botkit.live.notices import Notices
from botkit.live.start_refused import StartRefused
from botkit.live.starting import OrphanChoice, start
from botkit.live.state_folder import AlreadyRunning
from botkit.model.clock import NS_PER_S
from botkit.model.orders import Order, OrderState
from botkit.model.requests import Answer, CreateOrder, Ending, GetBalances, ListOpenOrders, Request
from tests.live.world import World, cancel_by_hand, far_buy, puppet, settled, told, until

pytestmark = pytest.mark.virtual_time


async def test_an_open_order_is_adopted_after_a_crash(world: World) -> None:
    bot = await world.start()
    order = far_buy(bot)
    await settled(order)
    assert order.state is OrderState.OPEN
    await world.crash(bot)

    again = await world.start()
    [found] = puppet(again).open_orders()
    assert (found.client_id, found.order_id, found.state) == (order.client_id, order.order_id, OrderState.OPEN)
    locked = puppet(again).balance("usdt").exact.locked
    assert locked == found.exact.price * found.exact.amount
    puppet(again).cancel(found)
    again.driver.wake()
    await until(lambda: found.is_final)
    assert not world.exchange_orders(open_only=True)
    again.view.money.check()


async def test_fills_that_occurred_while_the_bot_was_down_are_booked_once(world: World) -> None:
    bot = await world.start()
    strategy = puppet(bot)
    rules = strategy.rules("btc_usdt")
    await until(lambda: strategy.book("btc_usdt").best_ask)
    # just below the best ask, so the order is first in the queue and is filled by the synthetic market within minutes
    # of market time
    order = strategy.buy("btc_usdt", amount=0.01, price=strategy.book("btc_usdt").best_ask - 0.5)
    bot.driver.wake()
    await settled(order)
    await world.crash(bot)
    venue = world.emulator.venue

    def is_filled() -> bool:
        return any(row.state is OrderState.FILLED for row in venue.kernel.orders("emulator@botkit.local"))

    await until(is_filled, 30)
    again = await world.start()
    position = puppet(again).position("btc_usdt")
    bought = sum(fill.lots for fill in again.journal.fills())
    assert bought == rules.lots(0.01)
    total = world.emulator.venue.kernel.account("emulator@botkit.local").balances().balances["btc"][0]
    assert again.view.money.account["btc"] == total
    assert position.amount == pytest.approx(0.01, abs=1e-4)
    assert "was" in told(again)
    assert again.start_failures == [], "no callback may come before on_start"
    assert all(strategy.active for strategy in again.view.strategies())
    assert (order.client_id, "filled") in puppet(again).heard
    assert again.view.money.unassigned["btc"] == 10**8, "coins that the account held before"
    again.view.money.check()


class LosingAnswers:
    """Wraps the bot's adapter so that a create is sent but its response never reaches the bot."""

    def __init__(self, adapter: Any) -> None:
        self._adapter = adapter
        self.sent = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    async def send(self, request: Any, *, urgent: bool = False) -> Answer:
        answer: Answer = await self._adapter.send(request, urgent=urgent)
        if isinstance(request, CreateOrder):
            self.sent.set()
            await asyncio.Event().wait()
        return answer


async def test_a_crash_between_a_create_and_its_response_neither_loses_nor_doubles_the_order(world: World) -> None:
    wrapped: list[LosingAnswers] = []

    def wrap(adapter: Any) -> Any:
        wrapped.append(LosingAnswers(adapter))
        return wrapped[0]

    bot = await world.start(wrap=wrap)
    order = far_buy(bot)
    await asyncio.wait_for(wrapped[0].sent.wait(), 5)
    await world.crash(bot)
    journal = Journal.open(world.folder / "state" / "journal.sqlite", read_only=True)
    assert [row["state"] for row in journal.order_rows()] in (["sending"], ["open"])
    journal.close()

    again = await world.start()
    [found] = puppet(again).open_orders()
    assert found.client_id == order.client_id
    await settled(found)
    assert found.state is OrderState.OPEN
    assert len(world.exchange_orders()) == 1


class NeverSending(LosingAnswers):
    async def send(self, request: Any, *, urgent: bool = False) -> Answer:
        if isinstance(request, CreateOrder):
            self.sent.set()
            await asyncio.Event().wait()
        answer: Answer = await self._adapter.send(request, urgent=urgent)
        return answer


async def test_an_order_journaled_but_not_sent_before_a_crash_is_proved_absent_and_its_money_is_freed(
    world: World,
) -> None:
    wrapped: list[NeverSending] = []

    def wrap(adapter: Any) -> Any:
        wrapped.append(NeverSending(adapter))
        return wrapped[0]

    bot = await world.start(wrap=wrap)
    far_buy(bot)
    await asyncio.wait_for(wrapped[0].sent.wait(), 5)
    await world.crash(bot)

    again = await world.start()
    assert "is unknown" in told(again)
    [found] = puppet(again).open_orders()
    assert puppet(again).buy("btc_usdt", amount=0.01, price=1000).is_refused, "its pair must wait for it"
    await until(lambda: found.is_final)
    assert found.state is OrderState.ABSENT
    assert puppet(again).balance("usdt").locked == 0
    assert not world.exchange_orders()


async def test_an_order_whose_response_was_lost_is_found_live_through_a_pushed_report(world: World) -> None:
    bot = await world.start()
    world.emulator.add_fault({"kind": "lost_answer", "where": "create_order", "count": 1})
    order = far_buy(bot)
    await until(lambda: order.state is OrderState.OPEN, 20)
    assert len(world.exchange_orders()) == 1


async def test_an_order_whose_request_was_lost_blocks_its_pair_until_proved_absent(world: World) -> None:
    bot = await world.start()
    world.emulator.add_fault({"kind": "reset", "where": "create_order", "count": 1})
    order = far_buy(bot)
    await until(lambda: order.is_final or order.state is OrderState.UNKNOWN)
    assert far_buy(bot).is_refused or order.is_final
    await until(lambda: order.is_final, 20)
    assert order.state in (OrderState.ABSENT, OrderState.NOT_SENT)
    assert not world.exchange_orders()
    assert not far_buy(bot).is_refused


async def test_a_second_instance_is_refused_with_the_process_id_of_the_holder(world: World) -> None:
    await world.start()
    with pytest.raises(AlreadyRunning, match=r"as process \d+"):
        await world.start()


async def test_open_orders_of_a_removed_strategy_prevent_the_start(world: World) -> None:
    bot = await world.start()
    await settled(far_buy(bot))
    await world.crash(bot)
    world.config.write_text(world.config.read_text().replace("name: p,", "name: q,"))
    with pytest.raises(StartRefused, match="--cancel"):
        await world.start()


async def test_request_slots_used_by_the_previous_run_still_count(world: World) -> None:
    bot = await world.start()
    await settled(far_buy(bot))
    await world.crash(bot)
    again = await world.start()
    held = {use.pool: use.held for use in again.view.router.usage(again.driver.now())}
    assert held["create_order"] >= 1


async def test_cancels_that_the_previous_run_could_not_journal_are_still_counted(world: World) -> None:
    bot = await world.start()
    await world.crash(bot)
    again = await world.start()
    held = {use.pool: use.held for use in again.view.router.usage(again.started_at)}
    assert held["cancel_batch"] == 2  # the last run may have sent a batch while its journal could not be written
    later = {use.pool: use.held for use in again.view.router.usage(again.started_at + 2 * NS_PER_S)}
    assert later["cancel_batch"] == 0


async def test_client_ids_are_never_reused_after_a_restart(world: World) -> None:
    ids = []
    for _ in range(3):
        bot = await world.start()
        order = far_buy(bot)
        await settled(order)
        ids.append(order.client_id)
        await world.crash(bot)
    assert len(set(ids)) == 3
    assert ids == sorted(ids)


async def test_warm_up_bars_are_available_at_the_start(world: World) -> None:
    bot = await world.start()
    series = puppet(bot).series
    assert len(series) == 5
    assert Ending.OK in bot.outcomes


@pytest.mark.parametrize(("choice", "left"), [("cancel", 0), ("adopt", 1)])
async def test_orders_of_a_removed_strategy_are_cancelled_or_adopted_once(
    world: World, choice: OrphanChoice, left: int
) -> None:
    bot = await world.start()
    await settled(far_buy(bot))
    await world.crash(bot)
    text = world.config.read_text()
    world.config.write_text(text.replace("name: p,", "name: q,"))
    second = await start(world.parts(), Notices(), orphans=choice)
    world.bots.append(second)
    await until(lambda: len(world.exchange_orders(open_only=True)) == left)
    await world.crash(second)
    third = await start(world.parts(), Notices())
    world.bots.append(third)
    third.view.money.check()


class Level(StrEnum):
    """A tag that is text, but not of the type ``str`` itself."""

    LOW = "low"


async def test_an_order_with_a_tag_of_any_type_of_text_is_known_after_a_restart(world: World) -> None:
    bot = await world.start()
    order = puppet(bot).buy("btc_usdt", amount=0.01, price=50_000, tag=Level.LOW, post_only=1)
    await settled(order)
    await world.crash(bot)
    again = await world.start()
    (known,) = again.view.open_orders()
    assert (known.client_id, known.tag, type(known.tag)) == (order.client_id, "low", str)


@pytest.mark.parametrize(
    "place",
    [
        lambda p: p.buy("btc_usdt", amount=0.01, price=50_000, tag=5),
        lambda p: p.sell("btc_usdt", amount=0.01, price=90_000, tag=5),
        lambda p: p.market_buy("btc_usdt", spend=100, tag=5),
        lambda p: p.market_sell("btc_usdt", amount=0.01, tag=5),
        lambda p: p.close("btc_usdt", tag=5),
        lambda p: p.order_target("btc_usdt", 0.1, tag=5),
        lambda p: p.rebalance({"btc_usdt": 0.1}, tag=5),
        lambda p: p.quote("btc_usdt", bids=[(50_000, 0.01)], tag=5),
    ],
)
async def test_a_tag_that_is_not_text_is_an_error_where_it_is_passed(world: World, place: Any) -> None:
    bot = await world.start()
    with pytest.raises(TypeError, match="tag is 5; it must be text, such as tag='5'"):
        place(puppet(bot))


async def test_keys_of_the_state_that_are_not_text_are_reported(world: World) -> None:
    bot = await world.start()
    puppet(bot).state["levels"] = [{"a": {1: 2}}]
    await settled(far_buy(bot))
    said = "self.state of 'p' would not survive a restart: 'levels': 'a': its key 1 would come back as text; use '1'"
    await until(lambda: said in told(bot))
    puppet(bot).state["levels"] = [{"a": {1: 2, 2: 3}}]
    await settled(far_buy(bot))
    assert told(bot).count("would not survive") == 1


async def test_what_streams_miss_during_a_start_is_read_once_they_are_back(world: World) -> None:
    first = await world.start()
    order = far_buy(first)
    await settled(order)
    await world.crash(first)
    outage = Outage(world, order)
    bot = await world.start(wrap=outage.around)
    [known] = [found for found in bot.view.orders() if found.client_id == order.client_id]
    await until(lambda: known.state is OrderState.CANCELLED, 10)


class Outage:
    """An outage of the streams between a start's listing of the open orders and its answer about the balances.
    Meanwhile, the user cancels an order on the website.
    """

    def __init__(self, world: World, order: Order) -> None:
        self._world, self._order = world, order
        self._task: asyncio.Task[None] | None = None

    def around(self, adapter: Any) -> Any:
        """Return the adapter with the outage."""
        send = adapter.send

        async def sent(request: Request, **options: Any) -> Answer:
            answer: Answer = await send(request, **options)
            if isinstance(request, ListOpenOrders) and self._task is None:
                self._task = asyncio.create_task(self._strike(adapter))
            elif isinstance(request, GetBalances):
                assert self._task is not None
                await self._task
            return answer

        adapter.send = sent
        return adapter

    async def _strike(self, adapter: Any) -> None:
        emulator = self._world.emulator
        refused = emulator.add_fault({"kind": "ws_refuse"})
        # the list that this stream begins with is lost, as an order that ended too long ago is not in it
        dropped = emulator.add_fault({"kind": "ws_drop", "where": "order_history"})
        adapter.reconnect()
        await asyncio.sleep(0.5)
        cancel_by_hand(self._world, self._order)
        await asyncio.sleep(0.5)
        emulator.remove_faults(refused.id)
        await asyncio.sleep(3)  # the streams are back
        emulator.remove_faults(dropped.id)


async def test_a_second_run_in_a_new_world_says_that_the_last_one_is_forgotten(world: World) -> None:
    first = await world.start(is_new_world=True)
    assert "this simulated exchange is new" not in told(first)
    await world.crash(first)
    assert "this simulated exchange is new: orders, positions, halts" in told(await world.start(is_new_world=True))
    await world.crash(world.bots[-1])
    assert "this simulated exchange is new" not in told(await world.start())
