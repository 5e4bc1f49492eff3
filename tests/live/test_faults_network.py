"""The exchange is unreachable at the start, becomes unreachable and recovers, or its clock differs from the
machine's.
"""

from __future__ import annotations

import asyncio
import gc
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from botkit.exchange.bitopro.stream import StreamTimes
from botkit.live import connecting, starting
from botkit.live.start_refused import StartRefused
from botkit.live.state_folder import StateFolder
from botkit.model.orders import OrderState
from tests.exchange.venue import venue
from tests.live.books import differences, exchange_rows
from tests.live.self_signed import server_context
from tests.live.world import World, far_buy, kept, make_world, puppet, settled, told, until

pytestmark = pytest.mark.virtual_time


@pytest.fixture(autouse=True)
def impatient_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "_SETTLE_S", 2.0)


async def test_the_start_is_refused_with_a_reason_if_the_exchange_is_unreachable(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StartRefused, match=r"open orders cannot be fetched: .*Nothing was traded; check the address"):
        await world.start(rest="http://127.0.0.1:9/v3")
    await asyncio.sleep(0.3)  # six times the pause before a retry
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
    bot = await world.start()  # the refused start left nothing behind that would prevent another start
    assert bot.view.is_trading


async def test_the_start_is_refused_if_the_key_is_wrong(world: World) -> None:
    world.emulator.add_fault({"kind": "error_before", "where": "balance", "value": 401})
    with pytest.raises(StartRefused, match=r"does not accept the account's key .*check the address, the key and this"):
        await world.start()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
async def test_an_order_to_an_unreachable_exchange_is_not_sent_and_its_money_is_freed(world: World) -> None:
    bot = await world.start()
    free = puppet(bot).balance("usdt").exact.available
    await world.emulator.stop()
    order = far_buy(bot)
    await until(lambda: order.is_final or order.state is OrderState.UNKNOWN, 20)
    if order.state is OrderState.UNKNOWN:  # the bot sent it on a connection that it assumed to be open
        second = far_buy(bot, 0.02)
        await asyncio.sleep(1)
        assert second.state is not OrderState.OPEN
    else:
        assert order.state is OrderState.NOT_SENT
        assert puppet(bot).balance("usdt").exact.available == free
        assert f"order {order.client_id}, was not sent: ClientConnectorError" in told(bot)
    await until(lambda: "was lost" in told(bot))
    assert bot.driver.fault is None
    gc.collect()  # collect the connections accepted while the server was stopping


async def test_failed_reads_at_the_start_are_retried_until_all_orders_are_accounted_for(world: World) -> None:
    bot = await world.start()
    order = far_buy(bot)
    await settled(order)
    await world.crash(bot)
    for where in ("open_orders", "all_orders", "get_order"):
        world.emulator.add_fault({"kind": "error_before", "where": where, "count": 2})
    world.emulator.add_fault({"kind": "garbage", "where": "balance", "count": 1})
    again = await world.start()
    assert [o.client_id for o in puppet(again).open_orders()] == [order.client_id]
    assert not differences(again, world.emulator)


async def test_slow_requests_lose_no_order(world: World) -> None:
    bot = await world.start()
    world.emulator.add_fault({"kind": "delay_request", "value": 4_000, "jitter": 8_000})
    world.emulator.add_fault({"kind": "delay_answer", "value": 4_000, "jitter": 8_000})
    orders = [far_buy(bot, 0.001 * (i + 1)) for i in range(6)]
    for order in orders:
        await settled(order)
    for order in orders[:3]:
        puppet(bot).cancel(order)
    bot.driver.wake()
    await until(lambda: all(order.is_final for order in orders[:3]), 20)
    await until(lambda: not differences(bot, world.emulator), 20)
    assert len(exchange_rows(world.emulator)) == 6


# -- names and certificates -------------------------------------------------------------------------------------------


def by_name(world: World) -> dict[str, str]:
    """Return the emulator's addresses with a host name that must be resolved in place of the IP address."""
    return {
        "rest": world.emulator.rest.replace("127.0.0.1", "localhost"),
        "ws": world.emulator.ws.replace("127.0.0.1", "localhost"),
    }


class Names:
    """A name resolver that a test can break."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.works = True
        self._connectors: list[aiohttp.TCPConnector] = []
        make = aiohttp.TCPConnector

        def made(**options: Any) -> aiohttp.TCPConnector:
            self._connectors.append(make(**options))
            return self._connectors[-1]

        monkeypatch.setattr(aiohttp, "TCPConnector", made)
        self._look_up = asyncio.get_running_loop().getaddrinfo
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self._answer)

    async def _answer(self, host: Any, port: Any, **more: Any) -> Any:
        if not self.works:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return await self._look_up("127.0.0.1" if host == "localhost" else host, port, **more)

    def fail(self, world: World) -> None:
        """Stop resolving names, clear the cache and close all connections."""
        self.works = False
        for connector in self._connectors:
            connector.clear_dns_cache()
        runner: Any = world.emulator._runner
        for connection in list(runner.server.connections):
            connection.transport.abort()


async def test_the_start_is_refused_if_the_host_name_cannot_be_resolved(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "_CONNECT_S", 1.0)
    names = Names(monkeypatch)
    names.works = False
    with pytest.raises(StartRefused, match=r"failure in name resolution.*Nothing was traded; check the address"):
        await world.start(**by_name(world))
    names.works = True
    monkeypatch.setattr(connecting, "_CONNECT_S", 20.0)
    assert (await world.start(**by_name(world))).view.is_trading


async def test_nothing_is_sent_while_names_cannot_be_resolved_and_trading_resumes_afterward(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(monkeypatch)
    bot = await world.start(**by_name(world))
    free = puppet(bot).balance("usdt").exact.available
    names.fail(world)
    await until(lambda: "the stream active_orders was lost" in told(bot), 20)
    order = far_buy(bot)
    await until(lambda: order.is_final, 20)
    assert order.state is OrderState.NOT_SENT
    assert puppet(bot).balance("usdt").exact.available == free
    assert f"order {order.client_id}, was not sent: ClientConnectorDNSError" in told(bot)
    await until(lambda: "active_orders was lost: ClientConnectorDNSError" in told(bot), 20)
    assert exchange_rows(world.emulator) == []

    names.works = True
    await until(lambda: "the stream active_orders is back" in told(bot), 40)
    again = far_buy(bot)
    await settled(again)
    assert again.state is OrderState.OPEN
    await until(lambda: not differences(bot, world.emulator), 20)


@asynccontextmanager
async def untrusted(folder: Path) -> AsyncIterator[tuple[str, list[str]]]:
    """Run a server with an untrusted certificate, and yield its address and the list of received requests."""
    reached: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.Response(text='{"data":[{"currency":"usdt","amount":"1000","available":"1000"}]}')

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(folder)).start()
        yield f"127.0.0.1:{runner.addresses[0][1]}", reached
    finally:
        await runner.cleanup()


@pytest.mark.real_time
async def test_no_part_of_a_request_is_sent_to_a_server_with_an_untrusted_certificate(
    world: World, tmp_path: Path
) -> None:
    async with untrusted(tmp_path) as (address, reached):
        with pytest.raises(StartRefused, match=r"CERTIFICATE_VERIFY_FAILED.*invalid certificates are never accepted"):
            await world.start(rest=f"https://{address}/v3")
        assert reached == []


@pytest.mark.real_time
async def test_no_signed_upgrade_is_sent_to_a_server_with_an_untrusted_certificate(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "_CONNECT_SOON_S", 0.5)
    monkeypatch.setattr(connecting, "_CONNECT_S", 1.0)
    async with untrusted(tmp_path) as (address, reached):
        with pytest.raises(
            StartRefused, match=r"streams did not connect .*CERTIFICATE_VERIFY_FAILED.*check the address"
        ):
            await world.start(ws=f"wss://{address}/ws")
        assert reached == []


# -- redirects and silence ----------------------------------------------------------------------------------------


async def test_the_key_is_not_sent_to_another_origin_by_a_redirect(world: World) -> None:
    async with venue() as other:
        bot = await world.start()
        away = other.rest.removesuffix("/v3")
        resting = far_buy(bot, 0.02)
        await settled(resting)
        world.emulator.add_fault({"kind": "redirect", "put": f"{away}/v3/orders"})
        world.emulator.add_fault({"kind": "ws_redirect", "put": f"{away}/ws"})
        world.emulator.cut_sockets()
        order = far_buy(bot)
        await until(lambda: order.state is OrderState.UNKNOWN)
        puppet(bot).cancel(resting)
        bot.driver.wake()
        bot.comparisons.at_once()
        await until(
            lambda: f"(client id {order.client_id}) is unknown, and btc_usdt accepts no new orders" in told(bot)
        )
        assert "a redirect, which botkit does not follow" in order.reason
        await until(lambda: "the server sent a redirect, which botkit does not follow; reconnecting" in told(bot))
        # the look-up of the order is also redirected
        await until(lambda: "the bot cannot be reconciled with the exchange" in told(bot), 30)
        assert other.requests == []

        world.emulator.remove_faults()
        await until(lambda: order.state is OrderState.ABSENT and resting.is_final, 60)
        await until(lambda: not differences(bot, world.emulator), 20)
        assert other.requests == []


async def test_the_start_is_refused_if_the_exchange_responds_with_a_redirect(world: World) -> None:
    async with venue() as other:
        world.emulator.add_fault({"kind": "redirect", "put": other.rest})
        with pytest.raises(StartRefused, match=r"a redirect, which botkit does not follow.*check the address"):
            await world.start()
        assert other.requests == []


async def test_a_silent_connection_is_dropped_and_the_missed_events_are_recovered_by_reads(tmp_path: Path) -> None:
    assert StreamTimes().dead_after_s <= 30

    def impatient(adapter: Any) -> Any:
        adapter.client._stream_times = StreamTimes(dead_after_s=2.5)
        return adapter

    async with make_world(tmp_path, switches={"keepalive": "observed"}) as world:
        bot = await world.start(wrap=impatient)
        for where in ("active_orders", "order_history", "user_trades", "account_balance"):
            world.emulator.add_fault({"kind": "ws_silence", "where": where, "count": 1})
        await until(lambda: puppet(bot).book("btc_usdt").best_ask)
        order = puppet(bot).buy("btc_usdt", amount=0.01, price=puppet(bot).book("btc_usdt").best_ask + 10)
        bot.driver.wake()
        await until(lambda: any(row.executed_lots for row in exchange_rows(world.emulator)))
        await until(lambda: "user_trades was lost: no data was received for 2.5 s" in told(bot), 30)
        await until(lambda: order.state is OrderState.FILLED, 20)
        await until(lambda: not differences(bot, world.emulator), 20)


async def test_an_oversized_response_is_aborted_and_the_read_is_retried(world: World) -> None:
    for where in ("open_orders", "balance"):
        world.emulator.add_fault({"kind": "huge", "where": where, "value": 5, "count": 1})
    bot = await world.start()
    comparing = world.emulator.add_fault({"kind": "huge", "where": "open_orders", "value": 5})
    bot.comparisons.at_once()
    await until(
        lambda: "cannot be reconciled with the exchange: the open orders cannot be fetched: the answer has more than "
        "4194304 bytes" in told(bot), 30,
    )  # fmt: skip
    assert comparing.fired >= 3
    world.emulator.remove_faults()
    await until(lambda: "the bot is reconciled with the exchange again" in told(bot), 20)
    assert not differences(bot, world.emulator)


# -- wrong clocks -------------------------------------------------------------------------------------------------


async def test_a_clock_outside_the_exchanges_tolerance_halts_the_bot_and_the_difference_is_reported(
    tmp_path: Path,
) -> None:
    # at real-time speed, because a faster emulator is more tolerant of a wrong clock
    async with make_world(tmp_path, speed=1.0) as world:
        bot = await world.start()
        async with kept(bot):
            world.emulator.add_fault({"kind": "clock_skew", "value": 3_600_000})
            order = far_buy(bot)
            await until(lambda: bot.view.halted is not None)
            assert re.search(r"clock is 3,(599|600),\d{3} ms behind the exchange's; set it", told(bot))
            refused = far_buy(bot)
            assert refused.state is OrderState.REFUSED
            assert exchange_rows(world.emulator) == []
            assert StateFolder(world.folder / "state").is_halted()  # only `botkit resume` lifts the halt

            world.emulator.remove_faults()
            await until(lambda: order.is_final, 60)
            assert order.state in (OrderState.REJECTED, OrderState.ABSENT, OrderState.NOT_SENT)
            await until(lambda: abs(bot.parts.adapter.clock_skew_ms) < 5_000)  # type: ignore[arg-type]
            bot.parts.folder.clear_halt()
            await until(lambda: bot.view.halted is None)
            again = far_buy(bot)
            await settled(again)
            assert again.state is OrderState.OPEN
            assert len(exchange_rows(world.emulator)) == 1


async def test_the_start_is_refused_with_the_clock_difference_if_the_clock_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "_CONNECT_S", 1.0)
    async with make_world(tmp_path, speed=1.0) as world:
        world.emulator.add_fault({"kind": "clock_skew", "value": -120_000})
        with pytest.raises(StartRefused, match=r"clock is about 1(19|20)\d{3} ms ahead of the exchange's.*check the"):
            await world.start()
