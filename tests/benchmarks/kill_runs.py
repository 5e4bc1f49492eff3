"""Kill -9 a trading bot again and again, and hold its books against the exchange's after every restart.

    python -m tests.benchmarks.kill_runs [--kills 200] [--seed 1] [--open-orders 200]

The emulator runs in this process, the bots in processes of their own, over real sockets. Each round a bot trades at a
brisk pace until it dies in one of the phases of an order's way; a third of all kills fall between the journal row and
the answer. Then the bot is started anew in this process, where both sides can be looked at in one moment:

    lost      an order that the exchange has and no row of the journal names
    doubled   a client id under which the exchange has two orders
    orphaned  an order open at the exchange that the restarted bot does not hold for open, or the other way round
    money     executed amounts, the account's totals, or the parts' sum that differ from the exchange's
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

from botkit.assembly import Project
from botkit.assembly.emulator import make_emulator
from botkit.assembly.live import live_parts
from botkit.emulator import DEFAULT_ACCOUNT, Emulator, EmulatorOptions
from botkit.live.bot import Bot
from botkit.model.orders import OrderState
from tests.benchmarks.killed_bot import ANSWER_DELAY_S, INSIDE
from tests.live.books import differences, exchange_rows

OUTSIDE = ("starting", "stopping", "any time")
#: a third of the kills between the journal row and the answer
BETWEEN = INSIDE[1:3]
_UNIT = 10**8
_PATIENCE_S = 30.0

STRATEGY = '''
from botkit import Pair, Strategy, hookimpl, param


class Restless(Strategy):
    """Orders of every kind, by chance: resting, at the touch, at the market, quotes, cancels."""

    pair: Pair
    trades: bool = True
    keep: int = 25

    def on_start(self):
        self.subscribe_book(self.pair, depth=5)
        if self.trades:
            self.set_timer(every_s=0.05)

    def on_timer(self, timer):
        book = self.book(self.pair)
        if book is None or book.best_bid is None or book.best_ask is None:
            return
        draw, chance = self.random.random(), self.random
        orders = self.open_orders(self.pair)
        if len(orders) > self.keep or draw < 0.25:
            if orders:
                self.cancel(chance.choice(orders))
        elif draw < 0.55:
            self.buy(self.pair, amount=0.001, price=book.best_bid * chance.uniform(0.8, 0.99))
        elif draw < 0.70:
            self.sell(self.pair, amount=0.001, price=book.best_ask * chance.uniform(1.01, 1.2), tag="far")
        elif draw < 0.80:
            self.buy(self.pair, amount=0.002, price=book.best_ask)
        elif draw < 0.88:
            self.market_sell(self.pair, amount=0.001)
        else:
            level = chance.randrange(1, 4)
            self.quote(self.pair, bids=[(book.best_bid * (1 - 0.001 * level), 0.001)], asks=[], tag="quote")


@hookimpl
def botkit_register_strategies(register):
    register("restless", Restless)
'''
CONFIG = f"""
name: killed
plugins: [plugins]
strategies:
  - {{name: r, use: restless, params: {{pair: btc_usdt, trades: TRADES}}, on_stop: keep}}
emulator:
  account: {{email: "{DEFAULT_ACCOUNT.email}", key: "{DEFAULT_ACCOUNT.key}", secret: "{DEFAULT_ACCOUNT.secret}"}}
limits: {{ledger: none}}  # hundreds of dead holders a minute would hold every cancel in stock; the journal cools down
"""


class Findings:
    """What the restarts showed."""

    def __init__(self) -> None:
        self.kills: collections.Counter[str] = collections.Counter()
        self.broken: list[str] = []
        #: orders whose outcome was not known when their bot died
        self.in_doubt: collections.Counter[str] = collections.Counter()
        self.restarts_s: list[float] = []
        self.orders = self.executed = 0

    def lines(self) -> list[str]:
        """A table by phase, then the totals."""
        rows = [f"{'phase':28} {'kills':>5} {'in doubt':>9}"]
        rows += [f"{phase:28} {self.kills[phase]:5} {self.in_doubt[phase]:9}" for phase in (*INSIDE, *OUTSIDE)]
        kinds = collections.Counter(text.split(":")[0] for text in self.broken)
        slowest, middle = max(self.restarts_s), sorted(self.restarts_s)[len(self.restarts_s) // 2]
        return [
            *rows,
            f"{sum(self.kills.values())} kills, {self.orders} orders at the exchange, {self.executed} with executions",
            ", ".join(f"{kinds[kind]} {kind}" for kind in ("lost", "doubled", "orphaned", "money", "429")),
            f"restart to reconciled: median {middle:.2f} s, slowest {slowest:.2f} s",
        ]


class KillWorld:
    """One exchange, and the folder of the bot that is killed."""

    def __init__(self, folder: Path, emulator: Emulator) -> None:
        self.emulator = emulator
        self.folder = folder
        self.trading, self.watching = folder / "trading.yaml", folder / "watching.yaml"
        (folder / "plugins").mkdir()
        (folder / "plugins" / "restless.py").write_text(STRATEGY)
        for path, trades in ((self.trading, "true"), (self.watching, "false")):
            path.write_text(CONFIG.replace("TRADES", trades))
            path.chmod(0o600)
        self.findings = Findings()
        #: how long a restarted bot is given to explain everything
        self.patience_s = _PATIENCE_S

    # -- a bot's life and death -----------------------------------------------------------------------------------

    async def kill(self, phase: str, random: Random) -> None:
        """Run a bot until it is dead of ``phase``."""
        inside = phase in INSIDE
        arguments = [phase if inside else "-", str(random.randrange(1, 12)), str(random.randrange(10**6))]
        command = [sys.executable, "-m", "tests.benchmarks.killed_bot", *arguments, str(self.trading)]
        errors = (self.folder / "stderr").open("wb")
        with errors:
            process = await asyncio.create_subprocess_exec(
                *command,
                self.emulator.rest,
                self.emulator.ws,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "BOTKIT_STATE": str(self.folder / "state")},
            )
        assert process.stdout is not None
        if inside:
            await self._ended(process, phase)
            return
        if phase == "starting":
            await asyncio.sleep(random.uniform(0.4, 2.0))
        else:
            try:
                opening = await asyncio.wait_for(process.stdout.readline(), _PATIENCE_S)  # from here on it trades
            except TimeoutError:
                opening = b""
            if not opening:
                process.kill()
                await process.communicate()
                raise RuntimeError(f"the bot did not start: {(self.folder / 'stderr').read_text()[-2000:]}")
            await asyncio.sleep(random.uniform(0.1, 1.5))
            if phase == "stopping":
                process.send_signal(signal.SIGTERM)
                await asyncio.sleep(random.uniform(0, 0.15))
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()

    async def _ended(self, process: asyncio.subprocess.Process, phase: str) -> None:
        try:
            await asyncio.wait_for(process.communicate(), _PATIENCE_S)
        except TimeoutError:
            process.kill()
            await process.communicate()
            raise RuntimeError(f"the bot never came to {phase!r}") from None
        if process.returncode != -signal.SIGKILL:
            raise RuntimeError(f"the bot ended by itself: {(self.folder / 'stderr').read_text()[-2000:]}")

    # -- the restart and the judgement ----------------------------------------------------------------------------

    async def judge(self, phase: str) -> None:
        """Start the bot anew, let it explain everything, and compare both sides' books in one moment."""
        findings = self.findings
        os.environ["BOTKIT_STATE"] = str(self.folder / "state")
        project = Project.load(self.watching)
        async with live_parts(project, "emulator", rest=self.emulator.rest, ws=self.emulator.ws) as parts:
            bot = Bot(parts)
            try:
                began = time.monotonic()
                await bot.start()
                doubtful = [o for o in bot.engine.desk.all_open() if o.state is OrderState.UNKNOWN]
                findings.in_doubt[phase] += len(doubtful)
                findings.restarts_s.append(time.monotonic() - began)
                await self._explained(bot)
                findings.broken += [f"{text} (after {phase!r})" for text in differences(bot, self.emulator)]
            finally:
                if hasattr(bot, "driver"):
                    bot.driver.fault = bot.driver.fault or RuntimeError("dropped")
                    await bot.driver.close()
                await bot.close()

    async def _explained(self, bot: Bot) -> None:
        """Until nothing is in doubt, and what fills meanwhile has been taken in on both sides."""
        until = time.monotonic() + self.patience_s
        while time.monotonic() < until:
            await asyncio.sleep(0.1)
            busy = [o for o in bot.engine.desk.all_open() if o.state in (OrderState.UNKNOWN, OrderState.SENDING)]
            if not busy and not differences(bot, self.emulator):
                return

    def close(self) -> None:
        """The totals of the whole run."""
        rows = exchange_rows(self.emulator)
        self.findings.orders = len(rows)
        self.findings.executed = sum(bool(row.executed_lots) for row in rows)
        refused = self.emulator.venue.limits.refused
        self.findings.broken += [f"429: {refused} requests were refused"] if refused else []


@contextlib.asynccontextmanager
async def kill_world(folder: Path, *, seed: int = 1) -> AsyncIterator[KillWorld]:
    """An emulator at the machine's speed, that takes its time to answer, and an account that can trade for long."""
    balances = {"usdt": 10_000_000 * _UNIT, "btc": 100 * _UNIT}
    options = EmulatorOptions(balances=balances, seed=seed, history_days=0.02)
    async with make_emulator(options) as emulator:
        for where in ("create_order", "create_batch", "cancel_order", "cancel_batch"):
            emulator.add_fault({"kind": "delay_answer", "where": where, "value": 1, "jitter": ANSWER_DELAY_S * 1000})
        world = KillWorld(folder, emulator)
        try:
            yield world
        finally:
            world.close()


def plan(kills: int, random: Random) -> list[str]:
    """The phases of the kills: a third between journal row and answer, the others evenly, in an order by chance."""
    others = [phase for phase in (*INSIDE, *OUTSIDE) if phase not in BETWEEN]
    third = -(-kills // 3)
    phases = [BETWEEN[i % len(BETWEEN)] for i in range(third)]
    phases += [others[i % len(others)] for i in range(kills - third)]
    random.shuffle(phases)
    return phases


async def run_kills(folder: Path, phases: list[str], *, seed: int, say: Any = lambda text: None) -> Findings:
    """Kill and restart once for each of ``phases``."""
    random = Random(seed)
    async with kill_world(folder, seed=seed) as world:
        for number, phase in enumerate(phases, 1):
            await world.kill(phase, random)
            await world.judge(phase)
            world.findings.kills[phase] += 1
            say(f"{number:4} {phase}: restarted in {world.findings.restarts_s[-1]:.2f} s")
    return world.findings


def main() -> int:
    """Kill, print by phase, and fail where anything is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    random = Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        say = lambda text: print(text, flush=True)  # noqa: E731
        findings = asyncio.run(run_kills(Path(folder), plan(given.kills, random), seed=given.seed, say=say))
    print("\n".join([*findings.lines(), *findings.broken]))
    return 1 if findings.broken else 0


if __name__ == "__main__":
    sys.exit(main())
