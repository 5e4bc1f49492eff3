"""Tick to order over loopback: from a book frame handed to the server's socket to the whole signed order at the server.

    python -m tests.benchmarks.tick_to_order [--seconds 30]

The server is the emulator in a process of its own, which pushes 200 books a second of 20 + 20 levels. The bot is whole,
with its durable journal, its recording, risk rules and router, on uvloop where that is installed. Every twentieth
book brings an order, which a later book cancels. Printed are the microseconds from the frame to the
order's last byte (the server's parsing of HTTP included), and what the bot's parts take of them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from botkit.assembly import Project
from botkit.assembly.live import live_parts
from botkit.emulator import DEFAULT_ACCOUNT, Emulator, EmulatorOptions
from botkit.exchange.bitopro import transport
from botkit.exchange.bitopro.facts import BitoPro
from botkit.exchange.bitopro.wire.codec import encode
from botkit.exchange.bitopro.wire.frames import OrderBookFrame
from botkit.exchange.bitopro.wire.market import LevelRow
from botkit.live.bot import Bot
from botkit.model.clock import NS_PER_MS

FRAMES_PER_S = 200
ORDER_EVERY = 20
_BASE_CENTS = 6_000_000
_BELOW_CENTS = 500_000
_UNIT = 10**8

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


class _Stamping(Emulator):
    """Writes down when frames leave, and when the orders come that they bring about."""

    pushed: dict[int, int]
    took_us: list[float]

    async def _work(self, request: Any, route: Any, body: bytes) -> Any:
        if route[0].id == "create_order":
            arrived = time.perf_counter_ns()
            cents = round(float(json.loads(body)["price"]) * 100) + _BELOW_CENTS
            if cents in self.pushed:
                self.took_us.append((arrived - self.pushed[cents]) / 1000)
        return await super()._work(request, route, body)


async def _serve() -> None:
    options = EmulatorOptions(balances={"usdt": 10**7 * _UNIT, "btc": 100 * _UNIT}, history_days=0.02)
    server = _Stamping(BitoPro().facts({}), options)
    server.pushed, server.took_us = {}, []
    async with server:
        print(json.dumps({"rest": server.rest, "ws": server.ws}), flush=True)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)
        frames = asyncio.ensure_future(_push(server))
        await stop.wait()
        frames.cancel()
    print(json.dumps(server.took_us), flush=True)


async def _push(server: _Stamping) -> None:
    number, due = 0, time.perf_counter()
    while True:
        listeners = [
            one for (stream, _), several in server.hub._public.items() if stream == "order_book" for one in several
        ]
        if listeners:
            number += 1
            cents = _BASE_CENTS + number % 100_000
            data = encode(_frame(cents, server.venue.now))
            server.pushed[cents] = time.perf_counter_ns()
            for listener in listeners:
                listener.outlet.push(data)
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


def _timed(owner: Any, name: str, took_us: list[float]) -> None:
    original = getattr(owner, name)

    def timed(*arguments: Any, **options: Any) -> Any:
        began = time.perf_counter_ns()
        try:
            return original(*arguments, **options)
        finally:
            took_us.append((time.perf_counter_ns() - began) / 1000)

    setattr(owner, name, timed)


async def _trade(folder: Path, addresses: dict[str, str], seconds: float) -> dict[str, list[float]]:
    parts_us: dict[str, list[float]] = {"turn": [], "journal commit": [], "sign": []}
    project = Project.load(folder / "quick.yaml")
    _timed(transport, "signed_headers", parts_us["sign"])
    async with live_parts(project, "emulator", rest=addresses["rest"], ws=addresses["ws"]) as parts:
        bot = Bot(parts)
        try:
            await bot.start()
            _timed(bot.driver, "_turns", parts_us["turn"])
            _timed(bot.journal, "commit", parts_us["journal commit"])
            await asyncio.sleep(seconds)
            await bot.stop()
        finally:
            await bot.close()
    return parts_us


def percentiles(values: list[float]) -> str:
    """p50 and p99 of microseconds."""
    ordered = sorted(values)
    if not ordered:
        return "none"
    return f"p50 {statistics.median(ordered):8,.0f} us   p99 {ordered[int(len(ordered) * 0.99)]:8,.0f} us"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
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
        with tempfile.TemporaryDirectory() as name:
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
            parts_us = runner.run(_trade(folder, addresses, given.seconds))
            out, _ = server.communicate("stop\n")
            took_us = json.loads(out)
    print(f"{len(took_us)} orders in {given.seconds:g} s, {FRAMES_PER_S} frames/s, uvloop {'yes' if factory else 'no'}")
    print(f"{'frame to order':16} {percentiles(took_us)}")
    for part, values in parts_us.items():
        print(f"  {part:14} {percentiles(values)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
