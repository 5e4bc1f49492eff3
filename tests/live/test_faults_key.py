"""If the exchange rejects the key, the bot halts immediately and no longer uses the key."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from botkit.live.clock import REAL_CLOCK
from botkit.live.panic import OwnOrders, panic
from botkit.live.refused_key import key_ends_soon
from botkit.live.start_refused import StartRefused
from botkit.live.state_folder import StateFolder
from botkit.model.orders import OrderState
from tests.live.world import CONFIG, World, far_buy, make_world, settled, told, until

pytestmark = pytest.mark.virtual_time

REFUSED = "does not accept the account's key"
MEND = "check the address, the key and this machine's clock"


@pytest.mark.parametrize("streams", ["close", "silent"])
async def test_an_expired_key_halts_the_bot_until_resumed_and_leaves_its_orders_open(
    tmp_path: Path, streams: str
) -> None:
    async with make_world(tmp_path, switches={"key_expiry_streams": streams}) as world:
        bot = await world.start()
        resting = far_buy(bot)
        await settled(resting)
        world.emulator.add_fault({"kind": "key_expired"})
        if streams == "silent":
            far_buy(bot, 0.02)  # the rejection of this request shows that the key has expired
        await until(lambda: bot.view.halted is not None, 20)
        assert REFUSED in bot.view.halted
        assert "401" in bot.view.halted
        assert MEND in bot.view.halted
        await until(lambda: "Open orders stay as they are; `botkit resume` lifts it" in told(bot))
        assert told(bot).count("halted: ") == 1
        asked = world.emulator.received
        bot.comparisons.at_once()
        refused = far_buy(bot, 0.03)
        assert refused.state is OrderState.REFUSED
        await until(lambda: bot.comparisons.last_failure)
        assert world.emulator.received == asked  # neither requests nor streams use the key
        assert [row.state for row in world.exchange_orders(open_only=True)] == [OrderState.OPEN]
        assert not resting.cancel_requested
        await world.crash(bot)

        halt = StateFolder(tmp_path / "state").halt()
        assert halt is not None
        assert halt.kind == "key"
        world.emulator.remove_faults()
        again = await world.start()  # as if the user had created a new key
        assert again.view.halted
        assert len(world.exchange_orders(open_only=True)) == 1


async def test_a_start_with_a_wrong_key_is_refused_within_seconds(tmp_path: Path) -> None:
    async with make_world(tmp_path, config=CONFIG) as world:
        world.emulator.add_fault({"kind": "key_expired"})
        began = REAL_CLOCK.monotonic_s()
        with pytest.raises(StartRefused) as refused:
            await world.start()
        assert REAL_CLOCK.monotonic_s() - began < 5
        assert REFUSED in str(refused.value)
        assert "401 Invalid Signature" in str(refused.value)
        assert MEND in str(refused.value)
        assert "Nothing was traded" in str(refused.value)
        # no halt is stored, so another key can be tried at the next start
        assert StateFolder(tmp_path / "state").halt() is None


async def test_a_start_is_refused_if_the_key_expires_during_reconciliation(world: World) -> None:
    world.emulator.add_fault({"kind": "error_before", "where": "open_orders", "value": 401})
    with pytest.raises(StartRefused, match=REFUSED):
        await world.start()


async def test_a_start_with_an_unreachable_rest_address_is_refused_within_seconds(world: World) -> None:
    began = REAL_CLOCK.monotonic_s()
    with pytest.raises(StartRefused) as refused:
        await world.start(rest="http://127.0.0.1:9/v3")  # the streams still connect
    assert REAL_CLOCK.monotonic_s() - began < 15
    assert "open orders cannot be fetched: ClientConnectorError" in str(refused.value)
    assert "check the address" in str(refused.value)


async def test_a_start_is_refused_within_seconds_if_the_exchange_is_unreachable(world: World) -> None:
    began = REAL_CLOCK.monotonic_s()
    with pytest.raises(StartRefused) as refused:
        await world.start(rest="http://127.0.0.1:9/v3", ws="ws://127.0.0.1:9/ws")
    assert REAL_CLOCK.monotonic_s() - began < 15
    assert "did not connect within 5 s" in str(refused.value)
    assert "ClientConnectorError" in str(refused.value)


async def test_panic_with_a_rejected_key_tries_once_and_reports_the_reason(world: World) -> None:
    bot = await world.start()
    world.emulator.add_fault({"kind": "key_expired"})
    asked, said = world.emulator.received, list[str]()
    result = await panic(
        bot.parts.adapter, OwnOrders(()), own_only=False, can=bot.parts.adapter.capabilities, say=said.append
    )
    assert result.left is None
    assert world.emulator.received == asked + 1
    assert [REFUSED in text for text in said] == [True]


async def test_with_a_key_without_trading_permission_new_orders_are_rejected_with_the_exchanges_message(
    world: World,
) -> None:
    bot = await world.start()
    world.emulator.add_fault({"kind": "forbidden", "where": "create_order"})
    order = far_buy(bot)
    await until(lambda: order.is_final)
    assert order.state is OrderState.REJECTED
    assert order.reason == "api token is not allowed"
    assert bot.view.halted is None


def test_warnings_are_sent_30_days_7_days_and_one_day_before_a_key_expires() -> None:
    created, told, said = date(2026, 1, 31), None, {}
    for day in range(370):
        found = key_ends_soon(created, created + timedelta(days=day), told)
        if found is not None:
            said[365 - day], told = found
    assert sorted(said, reverse=True) == [30, 7, 0]
    assert "created on 2026-01-31 and expires in 30 days, unless it is bound to IP addresses" in said[30]
    late = key_ends_soon(created, date(2027, 3, 1), None)
    assert late is not None
    assert "should have expired by now" in late[0]
