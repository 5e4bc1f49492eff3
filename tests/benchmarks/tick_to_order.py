"""Measures tick-to-order latency over loopback: the time from handing a book frame to the server's socket until the
complete signed order has arrived at the server.

    python -m tests.benchmarks.tick_to_order [--rounds 3] [--seconds 10]

The server is the emulator in a separate process, which pushes 200 books a second with 20 + 20 levels. The bot runs with
all its components, including a durable journal, recording, risk rules and router, and uses uvloop if installed. Every
twentieth book triggers an order, which a later book cancels. A frame is timestamped before it is written, and an order
when the server has read its last byte. A bare client (only aiohttp and msgspec) alternates with the bot, and the time
to make 16 kB durable on disk is measured as well. On a machine with other load, these two measurements help to
interpret the bot's results.

Each step is named after the event that completes it. "own work" is the CPU time of the bot's thread.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_writer import StreamWriter
from aiohttp.web_protocol import RequestHandler

from botkit.assembly.live import live_parts
from botkit.emulator import DEFAULT_ACCOUNT, Emulator, EmulatorOptions
from botkit.emulator.sockets import Socket, _header
from botkit.exchange.bitopro.adapter import BitoProAdapter
from botkit.exchange.bitopro.connections import Connections
from botkit.exchange.bitopro.facts import BitoPro
from botkit.exchange.bitopro.sign import Credentials
from botkit.exchange.bitopro.stream import Stream
from botkit.exchange.bitopro.wire.codec import encode
from botkit.exchange.bitopro.wire.frames import OrderBookFrame
from botkit.exchange.bitopro.wire.market import LevelRow
from botkit.live.bot import Bot
from botkit.live.collector import quiet_collector
from botkit.live.driver import LiveDriver
from botkit.live.journal import Journal
from botkit.live.notices import Notices
from botkit.live.persistence import Persistence
from botkit.live.starting import start
from botkit.live.stopping import stop
from botkit.model.clock import NS_PER_MS
from botkit.model.requests import CreateOrder
from botkit.project.project import Project

FRAMES_PER_S = 200
ORDER_EVERY = 20
_BASE_CENTS = 6_000_000
_BELOW_CENTS = 500_000
_UNIT = 10**8
#: the duration of an empty method call on an idle machine of this kind
_IDLE_CALL_NS = 26

STRATEGY = f"""
from botkit import Pair, Strategy, hookimpl


class Quick(Strategy):
    pair: Pair

    def on_start(self):
        self.count = 0
        self.subscribe_book(self.pair, depth=20)

    def on_book(self, book):
        self.count += 1
        if self.count % {ORDER_EVERY} == 0:
            self.buy(self.pair, amount=0.0001, price=book.best_bid - {_BELOW_CENTS // 100})
        elif self.count % {ORDER_EVERY} == {ORDER_EVERY // 2}:
            self.cancel_all()


@hookimpl
def botkit_register_strategies(register):
    register("quick", Quick)
"""
CONFIG = f"""
name: quick
plugins: [plugins]
strategies:
  - {{name: q, use: quick, params: {{pair: btc_usdt}}}}
risk: {{max_open_orders: 50, max_order_value: {{usdt: 100000}}}}
emulator:
  account: {{email: "{DEFAULT_ACCOUNT.email}", key: "{DEFAULT_ACCOUNT.key}", secret: "{DEFAULT_ACCOUNT.secret}"}}
"""


# -- the server -------------------------------------------------------------------------------------------------------


class _Stamps:
    """Records when each frame was written, and when the order that it triggered had arrived completely. Frames and
    orders are matched by price.
    """

    def __init__(self) -> None:
        self.pushed: dict[int, int] = {}
        self.took: list[tuple[int, int, int]] = []

    def listen(self) -> None:
        """Inspect the data received on every connection before it is parsed."""
        original = RequestHandler.data_received
        stamps = self

        def data_received(self: RequestHandler, data: bytes) -> None:
            arrived = time.perf_counter_ns()
            if data.startswith(b"POST /v3/orders/"):
                found = _PRICE.search(data)  # aiohttp writes head and body in one call
                assert found is not None
                cents = round(float(found[1]) * 100) + _BELOW_CENTS
                if cents in stamps.pushed:
                    stamps.took.append((cents, stamps.pushed[cents], arrived))
            original(self, data)

        RequestHandler.data_received = data_received  # type: ignore[method-assign]


_PRICE = re.compile(rb'"price":"([0-9.]+)"')


async def _serve() -> None:
    options = EmulatorOptions(balances={"usdt": 10**7 * _UNIT, "btc": 100 * _UNIT}, history_days=0.02)
    server = Emulator(BitoPro().facts({}), options)
    stamps = _Stamps()
    stamps.listen()
    async with server:
        print(json.dumps({"rest": server.rest, "ws": server.ws}), flush=True)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)
        frames = asyncio.ensure_future(_push(server, stamps))
        await stop.wait()
        frames.cancel()
    print(json.dumps(stamps.took), flush=True)


async def _push(server: Emulator, stamps: _Stamps) -> None:
    number, due = 0, time.perf_counter()
    while True:
        listeners = [
            one for (stream, _), several in server.hub._public.items() if stream == "order_book" for one in several
        ]
        for listener in listeners:
            outlet = listener.outlet
            assert isinstance(outlet, Socket)
            transport = outlet._request.transport
            if transport is None:
                continue
            number += 1
            cents = _BASE_CENTS + number % 100_000
            data = encode(_frame(cents, server.venue.now))
            data = _header(len(data)) + data
            stamps.pushed[cents] = time.perf_counter_ns()
            transport.write(data)
        due = max(due + 1 / FRAMES_PER_S, time.perf_counter())
        await asyncio.sleep(due - time.perf_counter())


def _frame(cents: int, now: int) -> OrderBookFrame:
    def rows(step: int) -> tuple[LevelRow, ...]:
        first = cents if step < 0 else cents + 1_000_000
        return tuple(
            LevelRow(price=f"{(first + i * step) / 100:.2f}", amount="0.1234", count=1, total="1") for i in range(20)
        )

    return OrderBookFrame(
        timestamp=now // NS_PER_MS, datetime="", pair="BTC_USDT", limit=20, scale=0, bids=rows(-1), asks=rows(1)
    )


# -- the bot ----------------------------------------------------------------------------------------------------------


#: the events that complete each step of an order's path through the bot, in order
_STEPS = (
    "received",
    "woken",
    "decoded",
    "translated",
    "looked at",
    "turned",
    "gathered",
    "journaled",
    "carried",
    "encoded",
    "signed",
    "request made",
    "written",
)


#: the number of steps that also exist in the bare client: received, request built, written
_BARE_STEPS = 3


class _Trace:
    """The timestamps on an order's path through the bot, from socket bytes to socket bytes.

    Each step is named after the event that completes it. Two times are recorded: wall time, and the thread's own work.
    A book that arrives while an order is in flight does not change the order's timestamps.
    """

    def __init__(self) -> None:
        self.marks: list[tuple[int, int, int]] = []
        self.locked = False
        #: False: record only the timestamps that the bare client also records, because each timestamp costs about 2 us
        self.has_steps = True
        self.is_bare = False
        #: lists of (timestamps of the order, price in cents), for the bot and for the bare client
        self.done: list[tuple[list[tuple[int, int, int]], int]] = []
        self.bare: list[tuple[list[tuple[int, int, int]], int]] = []

    def mark(self, name: str) -> None:
        step, marks = _STEPS.index(name), self.marks
        if self.locked and (not marks or step <= marks[-1][0]):
            return
        while marks and marks[-1][0] >= step:
            marks.pop()
        marks.append((step, time.perf_counter_ns(), time.thread_time_ns()))

    def end(self, cents: int) -> None:
        self.mark("written")
        if len(self.marks) == (len(_STEPS) if self.has_steps and not self.is_bare else _BARE_STEPS):
            (self.bare if self.is_bare else self.done).append((self.marks, cents))
        self.marks, self.locked = [], False

    def around(self, owner: Any, name: str, before: str = "", after: str = "") -> None:
        original = getattr(owner, name)

        def marking(*arguments: Any, **options: Any) -> Any:
            if before:
                self.mark(before)
            try:
                return original(*arguments, **options)
            finally:
                if after:
                    self.mark(after)

        setattr(owner, name, marking)

    def install(self) -> None:
        received, commit, writelines = ResponseHandler.data_received, Persistence.commit, StreamWriter._writelines
        send = Connections.write

        def data_received(handler: ResponseHandler, data: bytes) -> None:
            if b'"ORDER_BOOK"' in data[:60]:
                self.mark("received")
            received(handler, data)

        def committing(persistence: Persistence, requests: Any, *arguments: Any) -> None:
            if any(type(request) is CreateOrder for request in requests):
                self.mark("turned")
                self.locked = True
            commit(persistence, requests, *arguments)

        def writing(writer: StreamWriter, chunks: Any) -> None:
            chunks = tuple(chunks)
            found = _PRICE.search(chunks[-1])
            if found is not None:
                self.mark("request made")
            writelines(writer, chunks)
            if found is not None:
                self.end(round(float(found[1]) * 100) + _BELOW_CENTS)

        def sending(connection: Connection, request: bytes) -> None:
            found = _PRICE.search(request)
            if found is not None:
                self.mark("request made")
            send(connection, request)
            if found is not None:
                self.end(round(float(found[1]) * 100) + _BELOW_CENTS)

        ResponseHandler.data_received = data_received  # type: ignore[assignment,method-assign]
        StreamWriter._writelines = writing  # type: ignore[assignment,method-assign]
        Connections.write = staticmethod(sending)  # type: ignore[method-assign]
        if not self.has_steps:
            return
        Persistence.commit = committing  # type: ignore[assignment,method-assign]
        self.around(Stream, "_frame", "woken", "decoded")
        self.around(LiveDriver, "sink", "translated")
        self.around(Bot, "went_in", "looked at")
        self.around(Journal, "commit", "gathered", "journaled")
        self.around(BitoProAdapter, "send", "carried")
        self.around(Credentials, "signed_head", "encoded", "signed")


async def _trade(folder: Path, addresses: dict[str, str], seconds: float) -> None:
    project = Project.load(folder / "quick.yaml")
    async with live_parts(project, "emulator", rest=addresses["rest"], ws=addresses["ws"]) as parts:
        bot = await start(parts, Notices())
        try:
            with quiet_collector():
                await asyncio.sleep(seconds)
            await stop(bot)
        finally:
            await bot.close()


class _Level(msgspec.Struct):
    price: str
    amount: str


class _Book(msgspec.Struct):
    bids: list[_Level]
    asks: list[_Level]


async def _trade_bare(addresses: dict[str, str], seconds: float) -> None:
    """Trade like the bot with as little work as possible: using only aiohttp and msgspec, and without books, limits,
    checks or a journal.
    """
    secret = DEFAULT_ACCOUNT.secret.encode()
    decode, number, order_id = msgspec.json.Decoder(_Book).decode, 0, ""

    def signed(body: bytes) -> dict[str, str]:
        payload = base64.b64encode(body).decode()
        signature = hmac.new(secret, payload.encode(), hashlib.sha384).hexdigest()
        return {
            "X-BITOPRO-APIKEY": DEFAULT_ACCOUNT.key,
            "X-BITOPRO-PAYLOAD": payload,
            "X-BITOPRO-SIGNATURE": signature,
        }

    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{addresses['ws']}/v1/pub/order-books/BTC_USDT:20") as socket,
    ):
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            book = decode(await socket.receive_str())
            number += 1
            now_ms = time.time_ns() // 10**6
            if number % ORDER_EVERY == 0:
                price = float(book.bids[0].price) - _BELOW_CENTS / 100
                order = {"action": "BUY", "type": "LIMIT", "price": f"{price:.2f}", "amount": "0.0001"}
                body = msgspec.json.encode({**order, "timestamp": now_ms, "clientId": number})
                url = f"{addresses['rest']}/orders/btc_usdt"
                async with session.post(url, data=body, headers=signed(body)) as response:
                    order_id = str(msgspec.json.decode(await response.read())["orderId"])
            elif number % ORDER_EVERY == ORDER_EVERY // 2 and order_id:
                nonce = msgspec.json.encode({"identity": DEFAULT_ACCOUNT.email, "nonce": now_ms})
                url = f"{addresses['rest']}/orders/btc_usdt/{order_id}"
                async with session.delete(url, headers=signed(nonce)) as response:
                    await response.read()


def disk_us(folder: Path) -> list[float]:
    """Return the microseconds needed to make 16 kB durable in this folder without a database, for each of several
    writes.
    """
    took: list[float] = []
    with (folder / "probe").open("wb", buffering=0) as file:
        for _ in range(200):
            time.sleep(1 / FRAMES_PER_S)
            began = time.perf_counter_ns()
            file.write(bytes(16_384))
            os.fsync(file.fileno())
            took.append((time.perf_counter_ns() - began) / 1000)
    return took


def empty_call_ns() -> float:
    """Return the cost of an empty method call in nanoseconds, the best of several rounds."""

    class Empty:
        def method(self) -> None:
            pass

    one, best = Empty(), float("inf")
    for _ in range(7):
        began = time.perf_counter_ns()
        for _ in range(100_000):
            one.method()
        best = min(best, (time.perf_counter_ns() - began) / 100_000)
    return best


def percentiles(values: list[float]) -> str:
    """Return p50 and p99 of values in microseconds, as text."""
    ordered = sorted(values)
    if not ordered:
        return "none"
    return f"p50 {statistics.median(ordered):8,.0f} us   p99 {ordered[int(len(ordered) * 0.99)]:8,.0f} us"


_Marks = tuple[list[tuple[int, int, int]], int]


def _ways(orders: list[_Marks], took: list[list[int]]) -> list[list[tuple[int, int]]]:
    """Return each order's timestamps as (time, own work), from when the server writes the frame until the order arrives
    at the server.
    """
    at_server = {cents: (pushed, arrived) for cents, pushed, arrived in took}
    ways = []
    for marks, cents in orders:
        if cents in at_server:
            pushed, arrived = at_server[cents]
            ways.append([(pushed, marks[0][2]), *(mark[1:] for mark in marks), (arrived, marks[-1][2])])
    return ways


def _totals(name: str, ways: list[list[tuple[int, int]]], call_ns: float) -> None:
    own_us = [(way[-1][1] - way[0][1]) / 1000 for way in ways]
    print(f"{name} ({len(ways)} orders)")
    print(f"  {'frame to order':15} {percentiles([(way[-1][0] - way[0][0]) / 1000 for way in ways])}")
    scaled_us = statistics.median(own_us or [0]) * _IDLE_CALL_NS / call_ns
    print(f"  {'own work':15} {percentiles(own_us)}   (p50 scaled to {_IDLE_CALL_NS} ns a call: {scaled_us:,.0f} us)")


def _report(trace: _Trace, took: list[list[int]], disk: list[float], call_ns: float) -> None:
    _totals("aiohttp and msgspec alone", _ways(trace.bare, took), call_ns)
    ways = _ways(trace.done, took)
    _totals("the bot", ways, call_ns)
    if not trace.has_steps:
        print(f"the disk, 16 kB: {percentiles(disk)}")
        return
    at = _STEPS.index("journaled")
    rest = [(way[-1][0] - way[0][0] - way[at + 1][0] + way[at][0]) / 1000 for way in ways]
    print(f"  {'less journal':15} {percentiles(rest)}")
    for i, name in enumerate((*_STEPS, "at the server")):
        wall = [(way[i + 1][0] - way[i][0]) / 1000 for way in ways]
        work = [(way[i + 1][1] - way[i][1]) / 1000 for way in ways]
        print(f"    {name:13} {percentiles(wall)}   own work p50 {statistics.median(work or [0]):6,.0f} us")
    print(f"the disk, 16 kB: {percentiles(disk)}")


def main() -> int:
    """Run the measurement and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of the bot in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--state", type=Path, help="the folder of the journal, to compare disks; default: the temporary one"
    )
    parser.add_argument(
        "--totals", action="store_true", help="leave out the steps, whose timestamps cost the bot about 30 us"
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    factory = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        if given.serve:
            runner.run(_serve())
            return 0
        with tempfile.TemporaryDirectory(dir=given.state) as name:
            folder = Path(name)
            (folder / "plugins").mkdir()
            (folder / "plugins" / "quick.py").write_text(STRATEGY)
            (folder / "quick.yaml").write_text(CONFIG)
            (folder / "quick.yaml").chmod(0o600)
            os.environ["BOTKIT_STATE"] = str(folder / "state")
            command = [sys.executable, "-m", "tests.benchmarks.tick_to_order", "--serve"]
            server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert server.stdout is not None
            addresses = json.loads(server.stdout.readline())
            trace = _Trace()
            trace.has_steps = not given.totals
            trace.install()
            disk: list[float] = []
            calls_ns: list[float] = []
            for _ in range(given.rounds):  # alternating, because other load on the machine varies
                trace.is_bare = True
                runner.run(_trade_bare(addresses, given.seconds / 2))
                trace.is_bare = False
                disk += disk_us(folder)
                calls_ns.append(empty_call_ns())
                runner.run(_trade(folder, addresses, given.seconds))
            out, _ = server.communicate("stop\n")
            took = json.loads(out)
    uvloop_text = "uvloop" if factory else "no uvloop"
    call_ns = statistics.median(calls_ns)
    print(f"{FRAMES_PER_S} frames/s of 20 + 20 levels, {uvloop_text}; an empty method call takes {call_ns:.0f} ns")
    _report(trace, took, disk, call_ns)
    return 0


if __name__ == "__main__":
    sys.exit(main())
