"""The simulated network carries aiohttp's server, client and WebSocket traffic with the faults of a real network."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.simulation.loop import Process, Stuck, VirtualLoop, in_process, running
from tests.simulation.machine import on_virtual_time
from tests.simulation.network import Connection, Link

pytestmark = pytest.mark.virtual_time


@contextlib.asynccontextmanager
async def served(handler: Any) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(handler, access_log=None), shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    if request.path == "/ws":
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data.upper())
        return socket
    if request.path == "/slow":
        await asyncio.sleep(float(request.query["s"]))
    return web.Response(body=await request.read() or b"nothing")


async def test_aiohttp_requests_and_websocket_streams_work_over_the_simulated_network() -> None:
    async with served(echo) as base, aiohttp.ClientSession() as session:
        for size in (1, 1_000, 900_000):
            async with session.post(base, data=b"x" * size) as answer:
                assert await answer.read() == b"x" * size
        async with session.ws_connect(f"{base}/ws") as socket:
            for text in ("a", "b" * 200_000):
                await socket.send_str(text)
                assert (await socket.receive()).data == text.upper()
        before = asyncio.get_running_loop().time()
        async with session.get(f"{base}/slow", params={"s": "1800"}, timeout=aiohttp.ClientTimeout(None)) as answer:
            assert await answer.read() == b"nothing"
        assert asyncio.get_running_loop().time() - before == pytest.approx(1800, abs=1)
    assert not running().network.connections


async def test_idle_connections_are_kept_and_later_closed_as_in_real_time() -> None:
    async with served(echo) as base, aiohttp.ClientSession() as session:
        network = running().network
        for seconds, connections in ((0, 1), (5, 1), (60, 2)):
            await asyncio.sleep(seconds)
            async with session.get(base) as answer:
                await answer.read()
            assert network.made == connections


async def test_connections_to_an_unused_port_are_refused_and_a_port_in_use_cannot_be_opened() -> None:
    async with served(echo) as base, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError, match="Connect call failed"):
            await session.get("http://127.0.0.1:9")
        with pytest.raises(aiohttp.ClientConnectorDNSError):
            await session.get("http://nowhere.example")
        taken = int(base.rpartition(":")[2])
        with pytest.raises(OSError, match="already in use"):
            await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", taken)


async def test_a_connection_reset_reaches_both_sides() -> None:
    async with served(echo) as base, aiohttp.ClientSession() as session:
        asyncio.get_running_loop().call_later(1, lambda: next(iter(running().network.connections.values())).reset())
        with pytest.raises(aiohttp.ClientOSError, match="reset by peer"):
            await session.post(f"{base}/slow", params={"s": "10"})  # aiohttp would retry a GET
        async with session.get(base) as answer:
            assert answer.status == 200


async def test_a_connection_that_is_reset_while_it_is_made_is_refused() -> None:
    async with served(echo) as base, aiohttp.ClientSession() as session:
        network = running().network
        network.on_connect.append(lambda connection: connection.reset())
        with pytest.raises(aiohttp.ClientOSError, match="reset while it was being made"):
            await session.post(base)
        network.on_connect.clear()
        async with session.get(base) as answer:
            assert answer.status == 200


async def test_a_half_open_connection_stays_silent_and_a_stalled_one_resumes() -> None:
    async with served(echo) as base, aiohttp.ClientSession() as session:
        socket = await session.ws_connect(f"{base}/ws")
        connection = next(iter(running().network.connections.values()))
        connection.stall("server")
        await socket.send_str("a")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.receive(), 500)
        connection.go_on()
        assert (await socket.receive()).data == "A"
        connection.stall()
        await socket.send_str("b")
        with pytest.raises(Stuck):
            await _deadlocks(socket)
        connection.go_on()
        assert (await socket.receive()).data == "B"
        await socket.close()


async def _deadlocks(socket: Any) -> None:
    """Check that the loop would be stuck if no further event were scheduled."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(socket.receive(), 3)
        raise AssertionError("it is not half-open")
    raise Stuck("nothing came")


async def test_no_data_reaches_a_cut_off_port_until_it_is_restored() -> None:
    async with served(echo) as base, aiohttp.ClientSession() as session:
        network, port = running().network, int(base.rpartition(":")[2])
        socket = await session.ws_connect(f"{base}/ws")
        network.cut(port)
        await socket.send_str("a")
        for waits in (socket.receive(), session.get(base)):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(waits, 30)
        network.mend(port)
        assert (await asyncio.wait_for(socket.receive(), 1)).data == "A"
        async with session.get(base) as answer:
            assert answer.status == 200
        await socket.close()


async def test_data_on_a_slow_link_is_delayed_but_stays_in_order() -> None:
    async with served(echo) as base, aiohttp.ClientSession() as session:
        loop, network = running(), running().network
        network.link = Link(latency_s=(0.1, 0.9), cut=0.7, late=0.2, late_s=5.0)
        socket = await session.ws_connect(f"{base}/ws")
        texts = [f"text {i} {'x' * i}" for i in range(200)]
        began = loop.time()
        for text in texts:
            await socket.send_str(text)
        assert [(await socket.receive()).data for _ in texts] == [text.upper() for text in texts]
        assert loop.time() - began > 1.0
        await socket.close()


async def test_a_writer_is_paused_while_its_peer_does_not_read() -> None:
    got = bytearray()
    may_read, has_ended = asyncio.Event(), asyncio.Event()

    async def reads_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await may_read.wait()
        while piece := await reader.read(100_000):
            got.extend(piece)
        writer.close()
        has_ended.set()

    server = await asyncio.start_server(reads_late, "localhost", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    written = 0

    async def write() -> None:
        nonlocal written
        while True:
            writer.write(b"x" * 50_000)
            written += 50_000
            await writer.drain()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(write(), 10)
    assert 100_000 < written < 1_000_000
    may_read.set()
    await writer.drain()
    writer.close()
    await asyncio.wait_for(has_ended.wait(), 10)  # data written before the close still arrives
    assert len(got) == written
    server.close()


async def test_servers_and_connections_may_use_file_system_paths_as_addresses() -> None:
    async def says(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        writer.close()

    server = await asyncio.start_unix_server(says, "/tmp/nowhere.sock")
    reader, writer = await asyncio.open_unix_connection("/tmp/nowhere.sock")
    assert await reader.read() == b"hello\n"
    writer.close()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_unix_connection("/tmp/nowhere.sock")


@pytest.mark.parametrize(("silently", "expected"), [(False, (b"", 0.1)), (True, (None, 60.0))])
async def test_peers_notice_a_killed_process_as_on_a_real_network(silently: bool, expected: tuple[Any, float]) -> None:
    loop = running()

    async def serves_for_ever(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            writer.write(b"must never be seen")

    process = Process("server")
    server = await loop.create_task(asyncio.start_server(serves_for_ever, "127.0.0.1", 0), context=in_process(process))
    address = server.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(*address)
    await asyncio.sleep(1)
    began = loop.time()
    loop.kill(process, silently=silently)
    got = None
    with contextlib.suppress(TimeoutError):
        got = await asyncio.wait_for(reader.read(), 60)
    assert got == expected[0]
    assert loop.time() - began == pytest.approx(expected[1], abs=0.1)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)
    writer.close()


def test_equal_seeds_produce_identical_runs_and_different_seeds_produce_different_runs() -> None:
    def digest(seed: int) -> int:
        async def main() -> None:
            async with served(echo) as base, aiohttp.ClientSession() as session:

                async def calls(number: int) -> None:
                    for i in range(5):
                        async with session.post(base, data=b"x" * (number * 100 + i)) as answer:
                            await answer.read()
                        await asyncio.sleep(0.01)

                async with session.ws_connect(f"{base}/ws") as socket:
                    await asyncio.gather(*(calls(number) for number in range(8)), socket.send_str("hello"))
                    await socket.receive()

        loop = VirtualLoop(seed=seed)
        with asyncio.Runner(loop_factory=lambda: loop) as runner, on_virtual_time(loop):
            runner.run(main())
            return loop.digest

    digests = [digest(seed) for seed in range(5)]
    assert len(set(digests)) == 5
    assert [digest(seed) for seed in range(5)] == digests


def test_on_connect_is_called_before_the_first_byte() -> None:
    seen: list[Connection] = []

    async def main() -> None:
        running().network.on_connect.append(seen.append)
        async with served(echo) as base, aiohttp.ClientSession() as session, session.get(base) as answer:
            await answer.read()

    asyncio.run(main())
    assert [connection.number for connection in seen] == [1]
