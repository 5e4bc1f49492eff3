"""Kills bots at every point in the order path, and compares their records with those of the exchange after each
restart.

Emulators run in this process. Each bot runs in its own process (`killed_bot`), over real sockets and with limits shared
through a broker. In each round, a bot trades fast until it dies in one of the phases. A third of all kills fall between
the journal write and the response. The bot is then restarted in this process, so that both sides can be compared at a
single point in time:

    lost      an order that the exchange has but no journal row contains
    doubled   a client ID under which the exchange has two orders
    orphaned  an order that is open only at the exchange, or only according to the restarted bot
    money     executed amounts, account totals, or sums of sub-accounts that differ from those at the exchange
    429       the exchange refused a request because of a rate limit
    command   a command was acknowledged but not executed, or executed incorrectly
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import msgspec

from botkit.assembly.emulator import make_emulator
from botkit.assembly.live import live_parts
from botkit.emulator import DEFAULT_ACCOUNT, Emulator, EmulatorOptions
from botkit.live import commands
from botkit.live.bot import Bot
from botkit.live.journal import Journal
from botkit.live.limits.broker import FOLDER_VARIABLE
from botkit.live.notices import Notices
from botkit.live.starting import start
from botkit.live.state_folder import STATE_VARIABLE, StateFolder
from botkit.model.orders import OrderState
from botkit.project.project import Project
from tests.live.books import differences, exchange_rows
from tests.live.killed_bot import (
    ANSWER_DELAY_S,
    BATCH,
    FILLED,
    INSIDE,
    NOT_ANSWERED,
    NOT_SENT,
    SEVERAL,
    SIGTERM,
    Life,
)
from tests.live.world import World, puppet, until

STARTING, STOPPING, ANY_TIME = "starting", "stopping", "any time"
SETTING, MOVING = "while a parameter is set", "capital being moved"
OUTSIDE = (STARTING, STOPPING, ANY_TIME, SETTING, MOVING)
PHASES = (*INSIDE, *OUTSIDE)
#: a third of the kills fall between the journal write and the response
BETWEEN = (NOT_SENT, NOT_ANSWERED)
#: number of kills before a new exchange is started. The slots of a killed bot are held for minutes, because it is
#: unknown which of them were used. After about forty kills within that time, the next bot would have no cancel slots
#: left.
KILLS_A_WORLD = 20
_LANES = 2
_UNIT = 10**8
_PATIENCE_S = 60.0
#: the longest interval between the supervisor's checks for commands
_COMMANDS_S = 0.25

STRATEGY = '''
from botkit import Pair, Strategy, hookimpl, param


class Restless(Strategy):
    """Orders of every kind, by chance: resting, at the touch, at the market, quotes, cancels, many at once."""

    pair: Pair
    trades: bool = True
    keep: int = 25
    size: float = param(0.001, gt=0, live=True)

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
        if len(orders) > self.keep or draw < 0.22:
            for order in orders if draw < 0.03 else orders[:1]:
                self.cancel(order)
        elif draw < 0.50:
            self.buy(self.pair, amount=self.size, price=book.best_bid * chance.uniform(0.8, 0.99))
        elif draw < 0.65:
            self.sell(self.pair, amount=self.size, price=book.best_ask * chance.uniform(1.01, 1.2), tag="far")
        elif draw < 0.72:
            for _ in range(6):
                self.buy(self.pair, amount=self.size, price=book.best_bid * chance.uniform(0.8, 0.99), tag="many")
        elif draw < 0.80:
            self.buy(self.pair, amount=2 * self.size, price=book.best_ask)
        elif draw < 0.88:
            self.market_sell(self.pair, amount=self.size)
        else:
            level = chance.randrange(1, 4)
            self.quote(self.pair, bids=[(book.best_bid * (1 - 0.001 * level), self.size)], asks=[], tag="quote")


@hookimpl
def botkit_register_strategies(register):
    register("restless", Restless)
'''
CONFIG = f"""
name: NAME
plugins: [NAME-plugins]
strategies:
  - name: r
    use: restless
    params: {{pair: btc_usdt, trades: TRADES}}
    capital: {{usdt: "5000000", btc: "50"}}
live: {{on_stop: keep}}
limits: {{ledger: LEDGER}}
emulator:
  account: {{email: "{DEFAULT_ACCOUNT.email}", key: "{DEFAULT_ACCOUNT.key}", secret: "{DEFAULT_ACCOUNT.secret}"}}
  latest_accept_s: 1
"""


class Findings:
    """The results of all kills and restarts."""

    def __init__(self) -> None:
        self.kills: collections.Counter[str] = collections.Counter()
        self.broken: list[str] = []
        #: orders whose outcome was unknown when their bot died
        self.in_doubt: collections.Counter[str] = collections.Counter()
        self.restarts_s: list[float] = []
        self.orders = self.executed = 0

    def lines(self) -> list[str]:
        """Return a table of the kills by phase, followed by the totals."""
        rows = [f"{'phase':32} {'kills':>5} {'in doubt':>9}"]
        rows += [f"{phase:32} {self.kills[phase]:5} {self.in_doubt[phase]:9}" for phase in PHASES]
        kinds = collections.Counter(text.split(":")[0] for text in self.broken)
        slowest, middle = max(self.restarts_s), sorted(self.restarts_s)[len(self.restarts_s) // 2]
        return [
            *rows,
            f"{sum(self.kills.values())} kills, {self.orders} orders at the exchange, {self.executed} with executions",
            ", ".join(f"{kinds[kind]} {kind}" for kind in ("lost", "doubled", "orphaned", "money", "429", "command")),
            f"restart to reconciled, {_LANES} at a time: median {middle:.2f} s, slowest {slowest:.2f} s",
        ]


class Forks:
    """The process from which bots are forked."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls) -> AsyncIterator[Forks]:
        """Start the fork process, which loads all modules once."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.live.killed_bot",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        try:
            yield cls(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _PATIENCE_S)
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def start(self, life: Life) -> int:
        """Start a bot and return its process ID."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(life) + b"\n")
        return await self._number()

    async def ended(self) -> int:
        """Wait for the latest bot to exit. Return its exit code, or the negative signal number."""
        return await self._number()

    async def _number(self) -> int:
        assert self._process.stdout is not None
        return int(await self._process.stdout.readline())


class KillWorld:
    """One exchange, and a bot that trades on it and is killed repeatedly."""

    def __init__(self, folder: Path, name: str, emulator: Emulator, findings: Findings, *, ledger: str) -> None:
        self.emulator = emulator
        self.folder = folder
        self.name = name
        self.told = folder / f"{name}.told"
        self.trading, self.watching = folder / f"{name}.yaml", folder / f"{name}.watching.yaml"
        # a separate folder for each world, because another world's bot may read the file while it is being rewritten
        plugins = folder / f"{name}-plugins"
        plugins.mkdir()
        (plugins / "restless.py").write_text(STRATEGY)
        for path, trades in ((self.trading, "true"), (self.watching, "false")):
            path.write_text(CONFIG.replace("NAME", name).replace("TRADES", trades).replace("LEDGER", ledger))
            path.chmod(0o600)
        self.findings = findings
        #: maximum time for a restarted bot to resolve all unknown outcomes
        self.patience_s = _PATIENCE_S

    # -- a bot's life and death -----------------------------------------------------------------------------------

    async def kill(self, forks: Forks, phase: str, random: Random, *, settings: Sequence[str] = ()) -> None:
        """Run a bot until it dies in ``phase``. ``settings`` are KEY=VALUE overrides of its configuration."""
        seed = random.randrange(10**6)
        arguments = ["run", str(self.trading), "--rest", self.emulator.rest, "--ws", self.emulator.ws, "--plain"]
        for setting in (f"seed={seed}", *(["live.on_stop=cancel"] if phase == SIGTERM else ()), *settings):
            arguments += ["--set", setting]
        life = Life(
            phase=phase,
            count=random.randrange(1, 3 if phase in (SEVERAL, BATCH, FILLED) else 8),
            seed=seed,
            arguments=arguments,
            environ={name: os.environ[name] for name in (STATE_VARIABLE, FOLDER_VARIABLE)},
            told=str(self.told),
        )
        self.told.unlink(missing_ok=True)
        bot = await forks.start(life)
        if phase in OUTSIDE:
            await self._from_outside(bot, phase, random)
        try:
            code = await asyncio.wait_for(asyncio.shield(ending := asyncio.ensure_future(forks.ended())), _PATIENCE_S)
        except TimeoutError:
            os.kill(bot, signal.SIGKILL)
            await ending
            raise RuntimeError(f"the bot never reached {phase!r}: {self._last_words()}") from None
        # a bot that is stopping may have exited before the kill
        if code not in {SIGTERM: (0,), STOPPING: (0, -signal.SIGKILL)}.get(phase, (-signal.SIGKILL,)):
            raise RuntimeError(f"the bot ended by itself, with {code}, before {phase!r}: {self._last_words()}")

    def _last_words(self) -> str:
        return self.told.read_text()[-2000:]

    async def _from_outside(self, bot: int, phase: str, random: Random) -> None:
        if phase == STARTING:
            await asyncio.sleep(random.uniform(0, 0.4))
        else:
            until = time.monotonic() + _PATIENCE_S
            # the bot is trading once this is printed
            while not (self.told.exists() and "Ctrl-C stops" in self.told.read_text()):
                if time.monotonic() > until:
                    break
                await asyncio.sleep(0.01)
            if phase in (SETTING, MOVING):
                await self._command(bot, phase, random)
            else:
                await asyncio.sleep(random.uniform(0.05, 0.8))
            if phase == STOPPING:
                os.kill(bot, signal.SIGTERM)
                await asyncio.sleep(random.uniform(0, 0.15))
        with contextlib.suppress(ProcessLookupError):
            os.kill(bot, signal.SIGKILL)

    async def _command(self, bot: int, phase: str, random: Random) -> None:
        """Write a command, and kill the bot before, during or after its execution."""
        folder = self._state_folder()
        was = self._commanded(phase)
        if phase == SETTING:
            wanted: float = round(random.uniform(0.001, 0.002), 6)
            command = commands.leave(folder, "set", strategy="r", name="size", value=wanted)
        else:
            change = random.randrange(-5000, 5000) * _UNIT
            wanted = was + change
            command = commands.leave(folder, "capital", strategy="r", units={"usdt": change})
        await asyncio.sleep(random.uniform(0, 1.5 * _COMMANDS_S))
        os.kill(bot, signal.SIGKILL)
        command.unlink(missing_ok=True)
        answer = command.with_suffix(".answer")
        found = self._commanded(phase)
        if answer.exists() and not json.loads(answer.read_bytes())["ok"]:
            self.findings.broken.append(f"command: {phase}: {answer.read_text()}")
        if found != wanted and (answer.exists() or found != was):
            self.findings.broken.append(f"command: {phase}: {found}, and it was {was} and should be {wanted}")

    def _commanded(self, phase: str) -> float:
        """Return the journaled value that is changed by the phase's command."""
        journal = Journal.open(self._state_folder().journal, read_only=True)
        try:
            if phase == SETTING:
                return next((value for *_, value in reversed(journal.parameters())), 0.001)
            return int(json.loads(journal.meta("portfolio"))["given"]["r"]["usdt"])
        finally:
            journal.close()

    def _state_folder(self) -> StateFolder:
        [journal] = Path(os.environ[STATE_VARIABLE], self.name, "emulator").glob("*/journal.sqlite")
        return StateFolder(journal.parent)

    # -- restart and verdict -----------------------------------------------------------------------------------------

    async def judge(self, phase: str) -> None:
        """Restart the bot, let it resolve all orders with unknown outcomes, and compare its records with the exchange's
        at a single point in time.
        """
        findings = self.findings
        project = Project.load(self.watching)
        async with live_parts(project, "emulator", rest=self.emulator.rest, ws=self.emulator.ws) as parts:
            began = time.monotonic()
            bot = await start(parts, Notices())
            try:
                doubtful = [o for o in bot.view.open_orders() if o.state is OrderState.UNKNOWN]
                findings.in_doubt[phase] += len(doubtful)
                findings.restarts_s.append(time.monotonic() - began)
                await self._explained(bot)
                findings.broken += [f"{text} (after {phase!r})" for text in differences(bot, self.emulator)]
                if phase == SIGTERM and (left := bot.view.open_orders()):
                    findings.broken.append(f"orphaned: {left} are still open after a clean stop")
            finally:
                bot.driver.fault = bot.driver.fault or RuntimeError("dropped")
                await bot.driver.close()
                await bot.close()

    async def _explained(self, bot: Bot) -> None:
        """Wait until no order has an unknown outcome and both the bot and the exchange have booked the latest fills."""
        until = time.monotonic() + self.patience_s
        while time.monotonic() < until:
            busy = [o for o in bot.view.open_orders() if o.state in (OrderState.UNKNOWN, OrderState.SENDING)]
            if not busy and not differences(bot, self.emulator):
                return
            await asyncio.sleep(0.05)

    def close(self) -> None:
        """Check for requests refused by the exchange, and add the exchange's totals to the findings."""
        rows = exchange_rows(self.emulator)
        self.findings.orders += len(rows)
        self.findings.executed += sum(bool(row.executed_lots) for row in rows)
        refused = self.emulator.venue.limits.refused
        self.findings.broken += [f"429: {refused} requests were refused"] if refused else []


@contextlib.asynccontextmanager
async def kill_world(
    folder: Path, *, name: str = "killed", seed: int = 1, findings: Findings | None = None, ledger: str = "null"
) -> AsyncIterator[KillWorld]:
    """Run an emulator at real-time speed with slow responses and an account that has enough money for prolonged
    trading.

    ``ledger`` is the configured ledger through which bots share their limits: ``null`` for the broker, or ``none``.
    """
    balances = {"usdt": 10_000_000 * _UNIT, "btc": 100 * _UNIT}
    options = EmulatorOptions(balances=balances, seed=seed, history_days=0.02)
    async with make_emulator(options) as emulator:
        for where in ("create_order", "create_batch", "cancel_order", "cancel_batch"):
            emulator.add_fault({"kind": "delay_answer", "where": where, "value": 1, "jitter": ANSWER_DELAY_S * 1000})
        world = KillWorld(folder, name, emulator, findings or Findings(), ledger=ledger)
        try:
            yield world
        finally:
            world.close()


@contextlib.contextmanager
def own_machine(folder: Path) -> Iterator[None]:
    """Use a separate state folder and limits broker, because dozens of dead bots would burden other users of the
    default broker.
    """
    broker = tempfile.mkdtemp(prefix="bk")  # a temporary folder, because a socket path must be short
    before = {name: os.environ.get(name) for name in (STATE_VARIABLE, FOLDER_VARIABLE)}
    os.environ.update({STATE_VARIABLE: str(folder / "state"), FOLDER_VARIABLE: broker})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
        shutil.rmtree(broker, ignore_errors=True)  # the broker exits on its own after being idle for a while


async def restart_with_open_orders(world: World, count: int) -> float:
    """Crash a bot with ``count`` open orders, and return the number of seconds from the restart until it trades
    again.
    """
    bot = await world.start()
    orders = [puppet(bot).buy("btc_usdt", amount=0.001, price=20_000 - 10 * i) for i in range(count)]
    bot.driver.wake()
    await until(lambda: all(order.state is OrderState.OPEN or order.is_final for order in orders), 60)
    await world.crash(bot)
    clock = asyncio.get_running_loop()
    began = clock.time()
    await world.start()
    return clock.time() - began


def plan(kills: int, random: Random) -> list[str]:
    """Return the kill phases in random order: a third between the journal write and the response, the others evenly
    distributed.
    """
    others = [phase for phase in PHASES if phase not in BETWEEN]
    third = -(-kills // 3)
    phases = [BETWEEN[i % len(BETWEEN)] for i in range(third)]
    phases += [others[i % len(others)] for i in range(kills - third)]
    random.shuffle(phases)
    return phases


async def run_kills(
    folder: Path, phases: list[str], *, seed: int, say: Callable[[str], None] = lambda text: None
) -> Findings:
    """Kill and restart a bot once for each phase in ``phases``, on a few exchanges in parallel."""
    findings = Findings()
    worlds = [phases[at : at + KILLS_A_WORLD] for at in range(0, len(phases), KILLS_A_WORLD)]
    if len(worlds) < _LANES:
        worlds = [phases[lane::_LANES] for lane in range(_LANES)]
    lanes = asyncio.Semaphore(_LANES)

    async def one(number: int, phases: list[str]) -> None:
        random = Random(f"{seed} {number}")
        name = f"killed{number}"
        async with (
            lanes,
            Forks.open() as forks,
            kill_world(folder, name=name, seed=seed + number, findings=findings) as world,
        ):
            for phase in phases:
                known = len(findings.broken)
                await world.kill(forks, phase, random)
                await world.judge(phase)
                findings.kills[phase] += 1
                for text in findings.broken[known:]:
                    say(f"BROKEN {text}")
                say(f"{sum(findings.kills.values()):4} {phase}: restarted in {findings.restarts_s[-1]:.2f} s")

    with own_machine(folder):
        async with asyncio.TaskGroup() as group:
            for number, part in enumerate(worlds):
                group.create_task(one(number, part))
    return findings
