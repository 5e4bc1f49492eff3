"""A server in a separate process that only records when requests arrive. Does not import botkit.

    python tests/benchmarks/judge_server.py --out arrivals.json [--least-ms 1] [--most-ms 80] [--seed 1]

Prints its port, then responds to requests until it receives SIGTERM. Each request is timestamped after a simulated
delay, and its response is sent after a second delay. ``arrivals.json``: a list of [counter, nanoseconds, orders]. While
the server runs, ``GET /judge/busiest/COUNTER/SECONDS`` immediately returns the maximum number of arrivals so far in any
window of that length; ``?since=N`` excludes the first N arrivals.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from pathlib import Path


def counter_of(method: str, path: str) -> str:
    """Return the exchange counter that a request counts toward."""
    if method == "POST":
        return "create_batch" if path == "/orders/batch" else "create_order"
    if method == "DELETE":
        return "cancel_order"
    if method == "PUT":
        return "cancel_batch"
    if path == "/orders/open":
        return "open_orders"
    return "private" if path == "/accounts/balance" else "public"


def busiest(times: list[int], length_ns: int) -> int:
    """Return the maximum number of arrivals in any window (t - length, t]."""
    most = first = 0
    for last, time_ns in enumerate(times):
        while times[first] <= time_ns - length_ns:
            first += 1
        most = max(most, last - first + 1)
    return most


class Judge:
    """Records the arrival time of every request."""

    def __init__(self, least_s: float, most_s: float, seed: int) -> None:
        self.arrivals: list[tuple[str, int, int]] = []
        self._random = random.Random(seed)
        self._least_s, self._most_s = least_s, most_s

    def way(self) -> float:
        """Return a random one-way network delay."""
        return self._random.uniform(self._least_s, self._most_s)

    def said(self, path: str) -> bytes:
        """Respond to a query about the arrivals so far with their total number and the maximum number in any one
        window.
        """
        path, _, since = path.partition("?since=")
        _, _, _, counter, seconds = path.split("/")
        times = sorted(at for name, at, _ in self.arrivals if name == counter)
        most = busiest(times[int(since or 0) :], round(float(seconds) * 1e9))
        return json.dumps({"arrivals": len(times), "busiest": most}).encode()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection, implementing the subset of HTTP/1.1 keep-alive that a well-behaved client needs."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                first, *headers = head.decode("latin-1").split("\r\n")
                method, path, _ = first.split(" ")
                size = next((int(h[15:]) for h in headers if h.lower().startswith("content-length:")), 0)
                body = await reader.readexactly(size)
                if path.startswith("/judge/busiest/"):
                    said = self.said(path)
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(said) + said)
                    await writer.drain()
                    continue
                counter = counter_of(method, path)
                orders = len(json.loads(body)) if counter == "create_batch" else int(counter == "create_order")
                await asyncio.sleep(self.way())
                self.arrivals.append((counter, time.monotonic_ns(), orders))
                await asyncio.sleep(self.way())
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client disconnected or was killed
        finally:
            writer.close()


async def serve(options: argparse.Namespace) -> None:
    """Run the server until SIGTERM."""
    judge = Judge(options.least_ms / 1000, options.most_ms / 1000, options.seed)
    server = await asyncio.start_server(judge.connected, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_signal_handler(signal.SIGINT, ended.set)
    await ended.wait()
    # requests that arrive from now on are irrelevant to the test
    options.out.write_text(json.dumps(judge.arrivals))


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--least-ms", type=float, default=1.0)
    parser.add_argument("--most-ms", type=float, default=80.0)
    parser.add_argument("--seed", type=int, default=1)
    asyncio.run(serve(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
