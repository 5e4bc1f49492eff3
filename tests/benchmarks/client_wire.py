"""Measures the client's overhead: frames decoded per second, microseconds from frame to event, and microseconds to sign
and send a request.

    python tests/benchmarks/client_wire.py [--seconds 1]

The frames come from the emulator and have a typical size (books of 20 levels, lists of 50 trades). Rates are per second
of CPU time on one core, and the best of five rounds is reported, so that other load on the machine does not affect
them. Medians and 99th percentiles for single frames are in wall time, across all rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import aiohttp

from botkit.assembly.emulator import emulator_options, make_emulator
from botkit.emulator import DEFAULT_ACCOUNT
from botkit.exchange.bitopro import BitoProClient, translate
from botkit.exchange.bitopro.adapter import BitoProAdapter
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.exchange.bitopro.sign import Credentials, nonce_headers, signed_headers
from botkit.exchange.bitopro.wire.codec import encode
from botkit.exchange.bitopro.wire.endpoints import STREAMS
from botkit.exchange.bitopro.wire.frames import decode_frame
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import OrderType, Side
from botkit.model.requests import CreateOrder, Ending

PAIRS = packaged_pairs()
PAIR = PAIRS["btc_usdt"]
ROUNDS = 5


async def captured() -> dict[str, list[bytes]]:
    """Return frames of every stream, captured from a busy market and account."""
    credentials = Credentials(DEFAULT_ACCOUNT.email, DEFAULT_ACCOUNT.key, DEFAULT_ACCOUNT.secret)
    found: dict[str, list[bytes]] = {}
    options = emulator_options(speed=20.0, switches=["rate_limits=off"], balance="twd=100000000,usdt=10000000,btc=100")
    async with make_emulator(options) as emulator, aiohttp.ClientSession() as session:

        async def listen(stream_id: str, count: int) -> None:
            stream = STREAMS[stream_id]
            depth = ":20" if stream_id == "order_book" else ""
            url = emulator.ws + stream.path + ("" if stream.private else f"/BTC_USDT{depth}")
            headers = nonce_headers(credentials, emulator.clock.now() // 10**6) if stream.private else {}
            async with session.ws_connect(url, headers=headers) as socket:
                frames = [str((await socket.receive()).data).encode() for _ in range(count)]
            found[stream_id] = frames[1:]  # the first frame is a snapshot

        tasks = [asyncio.create_task(listen(stream_id, 25)) for stream_id in STREAMS]
        account = BitoProClient(
            credentials=credentials, rest_url=emulator.rest, ws_url=emulator.ws, clock=emulator.clock
        )
        async with account as client:
            while not all(task.done() for task in tasks):
                await client.create_order("btc_usdt", "BUY", "MARKET", amount="100", client_id=7)
                await client.create_order("btc_usdt", "SELL", "MARKET", amount="0.001", client_id=8)
                await asyncio.sleep(0.02)
    return found


def rate(work: Callable[[], int], seconds: float) -> float:
    """Return the units of ``work`` completed per second of this process's CPU time, taking the best of several
    rounds.
    """
    best = 0.0
    for _ in range(ROUNDS):
        done, began = 0, time.process_time()
        while (passed := time.process_time() - began) < seconds / ROUNDS:
            done += work()
        best = max(best, done / passed)
    return best


def decoding(frames: dict[str, list[bytes]], seconds: float) -> None:
    """Measure decoding frames alone, and decoding frames into model events."""
    print(f"{'stream':<16}{'bytes':>7}{'decoded/s':>12}{'into events/s':>15}{'median us':>11}{'p99 us':>8}")
    for stream_id, data in frames.items():
        texts = [frame.decode() for frame in data]

        def decode(texts: list[str] = texts) -> int:
            for text in texts:
                decode_frame(text)
            return len(texts)

        took: list[int] = []

        def deliver(texts: list[str] = texts, stream_id: str = stream_id, took: list[int] = took) -> int:
            # a new adapter for each round, because an adapter that has already seen an order's state ignores duplicates
            adapter = BitoProAdapter(BitoProClient(credentials=_CREDENTIALS), PAIRS)
            stream = adapter.client.stream(
                stream_id,
                {} if STREAMS[stream_id].private and stream_id != "user_trades" else {"btc_usdt": None},
                trade_key=lambda pair, row: translate.rounded_trade_key(row, PAIRS[pair]),
            )
            events: list[Any] = []
            for text in texts:
                began = time.perf_counter_ns()
                received = stream._frame(text, began)
                events.extend(adapter.events(stream_id, received, [None]))
                took.append(time.perf_counter_ns() - began)
            assert events or stream_id == "trades"
            return len(texts)

        decoded, delivered = rate(decode, seconds), rate(deliver, seconds)
        took.sort()
        size = sum(map(len, data)) // len(data)
        print(
            f"{stream_id:<16}{size:>7,}{decoded:>12,.0f}{delivered:>15,.0f}"
            f"{took[len(took) // 2] / 1000:>11.1f}{took[len(took) * 99 // 100] / 1000:>8.1f}"
        )


_CREDENTIALS = Credentials("me@example.com", "key", "secret-of-thirty-two-characters--")


def signing(seconds: float) -> None:
    """Measure the time from the engine's request to the signed bytes."""
    order = OrderSpec(
        client_id=123456, pair=PAIR, side=Side.BUY, type=OrderType.LIMIT, price_ticks=8_612_345, amount_lots=1_250_000
    )

    def create() -> int:
        for _ in range(200):
            signed_headers(
                _CREDENTIALS, encode(translate.create_body(order, 1_790_300_000_000_000_000, in_batch=False))
            )
        return 200

    def nonce() -> int:
        for _ in range(200):
            nonce_headers(_CREDENTIALS, 1_790_300_000_000)
        return 200

    print(f"create: encoded and signed in {1e6 / rate(create, seconds):.1f} us")
    print(f"nonce of a read or a cancel signed in {1e6 / rate(nonce, seconds):.1f} us")


async def sending(seconds: float) -> None:
    """Measure the time from a request until its bytes arrive at the other end of a loopback connection, and until its
    response is delivered.
    """
    reply = b'{"orderId":1,"timestamp":1,"action":"BUY","amount":"0.0125","price":"86123.45","timeInForce":"GTC"}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(reply) + reply
    arrived: list[int] = []

    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            # the head and body of a POST arrive in one or two chunks; the request ends with the body
            if data.rstrip().endswith(b"}"):
                arrived.append(time.perf_counter_ns())
                assert isinstance(self.transport, asyncio.WriteTransport)
                self.transport.write(answer)

    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    out: list[int] = []
    back: list[int] = []
    client = BitoProClient(credentials=_CREDENTIALS, rest_url=f"http://127.0.0.1:{port}/v3")
    async with BitoProAdapter(client, PAIRS) as adapter:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            order = OrderSpec(
                client_id=1,
                pair=PAIR,
                side=Side.BUY,
                type=OrderType.LIMIT,
                price_ticks=8_612_345,
                amount_lots=1_250_000,
            )
            began = time.perf_counter_ns()
            done = await adapter.send(CreateOrder(id=1, order=order, timestamp=client.clock.now()))
            back.append(time.perf_counter_ns() - began)
            out.append(arrived[-1] - began)
            assert done.outcome is Ending.OK, done
    server.close()
    for name, times in (("at the server", out), ("answered", back)):
        times.sort()
        print(
            f"create from request to {name}: median {times[len(times) // 2] / 1000:.0f} us,"
            f" p99 {times[len(times) * 99 // 100] / 1000:.0f} us ({len(times):,} sent)"
        )


def main() -> None:
    """Print all measurements as human-readable text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="of measuring, for each figure")
    arguments = parser.parse_args()
    frames = asyncio.run(captured())
    assert all(json.loads(frame) for data in frames.values() for frame in data)
    decoding(frames, arguments.seconds)
    signing(arguments.seconds)
    asyncio.run(sending(arguments.seconds))


if __name__ == "__main__":
    main()
