"""Measures the emulator's throughput: signed creates accepted into its book per second, and WebSocket frames sent per
second.

    python tests/benchmarks/emulator_throughput.py [--seconds 5]

The emulator runs in a separate process on one core, and this process generates the load. Creates are signed in advance,
so only the emulator's work is measured. Every response is counted, and at the end the total must match the number of
orders in the emulator's book.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from botkit.assembly.emulator import emulator_options, make_emulator
from botkit.emulator import DEFAULT_ACCOUNT
from botkit.exchange.bitopro.facts import BitoPro
from botkit.exchange.bitopro.sign import Credentials, signed_headers

CONNECTIONS = 16
GOAL_CREATES, GOAL_FRAMES = 3_000, 50_000


async def serve() -> None:
    """Run an emulator without rate limits and with room for a million open orders."""
    facts = BitoPro().facts({})
    roomy = {
        name: pair.with_rules(msgspec.structs.replace(pair.rules, open_orders_max=1_000_000))
        for name, pair in facts.pairs.items()
    }
    options = emulator_options(balance="twd=1000000000000,btc=1000", switches=["rate_limits=off"], history_days=0.1)
    async with make_emulator(options, msgspec.structs.replace(facts, pairs=roomy)) as emulator:
        gc.collect()
        gc.freeze()  # as in `botkit emulator`
        print(json.dumps({"rest": emulator.rest, "ws": emulator.ws, "port": emulator.port}), flush=True)
        await asyncio.Event().wait()


def signed_creates(count: int) -> list[bytes]:
    """Return complete HTTP requests for separate limit buys far below the market."""
    credentials = Credentials(DEFAULT_ACCOUNT.email, DEFAULT_ACCOUNT.key, DEFAULT_ACCOUNT.secret)
    now_ms = time.time_ns() // 1_000_000
    made = []
    for number in range(1, count + 1):
        body = json.dumps(
            {"action": "BUY", "type": "LIMIT", "price": str(1_000_000 + number % 5000), "amount": "0.0001",
             "timestamp": now_ms, "clientId": number}
        ).encode()  # fmt: skip
        head = "".join(f"{name}: {value}\r\n" for name, value in signed_headers(credentials, body).items())
        made.append(
            f"POST /v3/orders/btc_twd HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{head}\r\n".encode()
            + body
        )
    return made


async def one_connection(port: int, requests: list[bytes], until: float) -> int:
    """Send requests one at a time until the measurement period ends, and return the number of responses with status
    200.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    accepted = 0
    while requests and time.perf_counter() < until:
        writer.write(requests.pop())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        accepted += head.startswith(b"HTTP/1.1 200")
    writer.close()
    return accepted


def orders_in_book(port: int) -> int:
    """Return the number of orders in the emulator's own book."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_emulator/counters") as answer:
        counters = json.load(answer)
    return int(counters["endpoints"]["create_order"]["arrivals"])


def cpu_s(pid: int) -> float | None:
    """Return a process's CPU time in seconds, or None if the system does not report it."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return None
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def creates(port: int, seconds: float, pid: int) -> None:
    """Measure signed creates per second, in wall time and in the emulator's own CPU time."""
    requests = signed_creates(int(seconds * 9_000))
    used, began = cpu_s(pid), time.perf_counter()
    until = began + seconds
    counts = await asyncio.gather(*(one_connection(port, requests, until) for _ in range(CONNECTIONS)))
    rate = sum(counts) / (time.perf_counter() - began)
    assert orders_in_book(port) >= sum(counts) > 0
    print(f"signed creates accepted into the book: {rate:>9,.0f} a second (goal {GOAL_CREATES:,})")
    after = cpu_s(pid)
    if used is not None and after is not None:
        each = (after - used) / sum(counts)
        print(f"    {each * 1e6:,.0f} us of processor time each: {1 / each:,.0f} a second on a core of its own")


async def frames(seconds: float, sockets: int = 8) -> None:
    """Measure how many frames per second `Socket` sends over loopback connections.

    Trades happen as fast as the emulator can publish them. The readers process raw bytes in another process.
    """
    from botkit.emulator.venue import Delivery
    from botkit.sim.publish import TRADES

    async with make_emulator(emulator_options(history_days=0.05)) as emulator:
        emulator.clock.hold()
        reader = subprocess.Popen(
            [sys.executable, __file__, "--read", str(emulator.port), str(sockets)], stdout=subprocess.PIPE
        )
        while emulator.sockets < sockets:
            await asyncio.sleep(0.01)
        pair = emulator.venue.pairs["btc_usdt"]
        told = Delivery(emulator.venue.now, TRADES, pair, None, pair, emulator.venue.recent_trades(pair))
        before, began, used = emulator.hub.frames, time.perf_counter(), time.process_time()
        while time.perf_counter() - began < seconds:
            for _ in range(50):
                emulator.hub.deliver([told])
            for socket in list(emulator._sockets):
                await socket.idle.wait()
        passed, used = time.perf_counter() - began, time.process_time() - used
        sent = emulator.hub.frames - before
        reader.kill()
        reader.wait()
    print(f"WebSocket frames sent to {sockets} sockets:     {sent / passed:>9,.0f} a second (goal {GOAL_FRAMES:,})")
    print(f"    {sent / used:,.0f} a second of processor time")


def read_only(port: int, sockets: int) -> None:
    """Act as the client of `frames`: send the WebSocket upgrade as raw bytes, and discard all received data."""
    import selectors
    import socket

    selector = selectors.DefaultSelector()
    for _ in range(sockets):
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(
            b"GET /ws/v1/pub/trades/BTC_USDT HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        selector.register(client, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            assert isinstance(key.fileobj, socket.socket)
            if not key.fileobj.recv(1 << 20):
                return


def main() -> None:
    """Run both measurements and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--read", nargs=2, type=int)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve())
        return
    if arguments.read:
        read_only(*arguments.read)
        return
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = json.loads(server.stdout.readline())["port"]
        asyncio.run(creates(port, arguments.seconds, server.pid))
    finally:
        server.kill()
        server.wait()
    asyncio.run(frames(arguments.seconds))


if __name__ == "__main__":
    main()
