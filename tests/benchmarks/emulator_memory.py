"""Measures the emulator's memory usage over a long run: the process's resident memory as a function of the number of
accepted orders.

    python -m tests.benchmarks.emulator_memory [--orders 80000] [--speed 60]

The emulator runs in a separate process. One client places orders (limit orders that rest and are cancelled, limit and
market orders that fill) as fast as responses arrive. A second client reads every stream. A third client subscribes and
never reads.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path

import aiohttp

from botkit.exchange.bitopro.wire.endpoints import STREAMS
from tests.emulator.raw import Raw

_CONNECTIONS = 8


def resident_mb(process_id: int) -> float:
    """Return a process's resident memory in MB (Linux)."""
    pages = int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


async def _trade(raw: Raw, count: list[int], orders: int) -> None:
    while count[0] < orders:
        count[0] += 3
        shape = {"amount": "0.0001", "clientId": count[0]}
        _, made = await raw.create(action="BUY", type="LIMIT", price="1000000", **shape)
        await raw.create(action="SELL", type="LIMIT", price="2000000", **shape)
        await raw.create(action="BUY", type="MARKET", **(shape | {"amount": "400"}))
        status, text = await raw.delete(f"/orders/btc_twd/{made['orderId']}")
        assert status == 200, text


async def _read(session: aiohttp.ClientSession, raw: Raw, path: str) -> None:
    with contextlib.suppress(aiohttp.ClientError):
        async with session.ws_connect(raw.ws + path, headers=raw.nonce()) as socket:
            async for _ in socket:
                pass


async def _never_read(raw: Raw, path: str) -> None:
    """Subscribe to a stream over a socket that is never read, and reconnect after an hour."""
    port = int(raw.rest.split(":")[2].split("/")[0])
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        more = "".join(f"{name}: {value}\r\n" for name, value in raw.nonce().items())
        writer.write(
            f"GET /ws{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{more}\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(3600)


async def run(orders: int, speed: float, every: int) -> list[tuple[int, float]]:
    """Run the clients, and return (orders, resident MB) at several points during the run."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "botkit", "emulator", "--speed", str(speed), "--seed", "1"),
        *("--switch", "rate_limits=off", "--balance", "twd=1000000000,btc=1000", "--history-days", "1"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    rest = json.loads(await process.stdout.readline())["rest"]
    found: list[tuple[int, float]] = []
    count, began = [0], time.monotonic()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        raw = Raw(rest, session)
        paths = [s.path + ("" if s.private else "/BTC_TWD,ETH_TWD,BTC_USDT") for s in STREAMS.values()]
        listening = [asyncio.create_task(_read(session, raw, path)) for path in paths]
        listening += [asyncio.create_task(_never_read(raw, path)) for path in paths]
        try:
            while count[0] < orders:
                until = min(count[0] + every, orders)
                await asyncio.gather(*(_trade(raw, count, until) for _ in range(_CONNECTIONS)))
                found.append((count[0], resident_mb(process.pid)))
                print(f"{count[0]:>8,} orders {found[-1][1]:7.1f} MB {time.monotonic() - began:6.0f} s", flush=True)
        finally:
            for task in listening:
                task.cancel()
            await asyncio.gather(*listening, return_exceptions=True)
            process.terminate()
            await process.wait()
    return found


def main() -> None:
    """Run the measurement and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=80_000)
    parser.add_argument("--every", type=int, default=10_000)
    parser.add_argument("--speed", type=float, default=60.0)
    arguments = parser.parse_args()
    found = asyncio.run(run(arguments.orders, arguments.speed, arguments.every))
    (first, low), (last, high) = found[0], found[-1]
    if last > first:
        print(f"{(high - low) * 2**20 / (last - first):,.0f} bytes an order after the first {first:,}")


if __name__ == "__main__":
    main()
