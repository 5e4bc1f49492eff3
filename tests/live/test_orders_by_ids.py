"""Many orders are read with a single listing if the exchange verifiably applies the listing's ID filter, and
individually otherwise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from botkit.emulator import DEFAULT_ACCOUNT
from botkit.engine.orders.by_ids import LEAST
from botkit.exchange.bitopro import sign
from botkit.model.orders import OrderState
from botkit.model.requests import CancelOrder, GetOrder, ListOrders
from tests.live.books import differences
from tests.live.world import World, far_buy, make_world, puppet, settled, until

pytestmark = pytest.mark.virtual_time

ORDERS = 8


@pytest.fixture
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setattr(sign, "_nonces", sign._LastNonces())
    async with make_world(tmp_path, switches={"order_ids_filter": request.param}) as made:
        yield made


def asked(world: World) -> tuple[int, int]:
    """Return the numbers of single-order reads and of listings that the exchange has counted."""
    counts = world.emulator.venue.limits.counts
    single, listing = (counts.get(kind.endpoint) for kind in (GetOrder, ListOrders))
    return single.arrivals if single else 0, listing.arrivals if listing else 0


async def restarted(world: World, orders: int) -> tuple[int, int]:
    """Start a bot that places orders and dies, cancel all but one of its orders directly at the exchange, and restart
    the bot. Return how many GetOrder and ListOrders requests the new bot sent.
    """
    bot = await world.start()
    placed = [far_buy(bot, 0.001 * (number + 1)) for number in range(orders)]
    for order in placed:
        await settled(order)
    await until(lambda: {row["state"] for row in bot.journal.order_rows()} == {OrderState.OPEN.value})
    await world.crash(bot)
    kernel = world.emulator.venue.kernel
    for number, order in enumerate(placed[1:]):  # except the first order, which stays open
        kernel.submit(DEFAULT_ACCOUNT.email, CancelOrder(id=-number - 1, pair=order.pair, order_id=order.order_id), 0)
    await until(lambda: len(world.exchange_orders(open_only=True)) == 1)
    # without this fault, the stream would report the closed orders, as it does for up to a day or a hundred orders
    world.emulator.add_fault({"kind": "ws_drop", "where": "order_history"})
    before = asked(world)
    again = await world.start()
    assert [order.client_id for order in puppet(again).open_orders()] == [placed[0].client_id]
    await until(lambda: not differences(again, world.emulator))
    states = [row["state"] for row in again.journal.order_rows()]
    assert states.count(OrderState.CANCELLED.value) == orders - 1
    # one listing, which looks for orders that are missing from the journal, is not counted
    return asked(world)[0] - before[0], asked(world)[1] - before[1] - 1


@pytest.mark.parametrize("world", ["on"], indirect=True)
async def test_with_a_verified_filter_many_orders_are_read_in_one_request(world: World) -> None:
    assert await restarted(world, ORDERS) == (0, 3), "two listings for the proof, one for the orders"


@pytest.mark.parametrize("world", ["off"], indirect=True)
async def test_a_filter_ignored_by_the_exchange_is_detected_and_not_used(world: World) -> None:
    singles, lists = await restarted(world, ORDERS)
    assert singles == ORDERS - 1
    assert lists in (1, 2)


@pytest.mark.parametrize("world", ["refused"], indirect=True)
async def test_a_filter_refused_by_the_exchange_is_not_used(world: World) -> None:
    assert await restarted(world, ORDERS) == (ORDERS - 1, 1)


@pytest.mark.parametrize("world", ["on"], indirect=True)
async def test_the_filter_is_not_verified_if_only_a_few_orders_must_be_read(world: World) -> None:
    assert await restarted(world, LEAST) == (LEAST - 1, 0)
