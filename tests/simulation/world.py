"""One run: an exchange, a bot that dies and restarts, the faults in between, and the calm at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import msgspec

import botkit.emulator.server
from botkit.assembly.live_parts import LiveParts, make_parts
from botkit.assembly.replay import replay_run
from botkit.config.schema import FeesConfig
from botkit.emulator import EmulatorAccount, EmulatorOptions
from botkit.emulator.server import Emulator
from botkit.emulator.switches import choose
from botkit.errors import BotkitError
from botkit.live import commands
from botkit.live.bot import Bot
from botkit.live.clock import SteadyClock
from botkit.live.keeper import Keeper
from botkit.live.limits.in_process import InProcessLedger
from botkit.live.limits.sharing import ALONE
from botkit.live.notices import Notices
from botkit.live.starting import start
from botkit.live.state_folder import StateFolder
from botkit.model.clock import NS_PER_MS, NS_PER_S
from botkit.model.extension import ExchangeFacts
from botkit.project.connect import connect
from botkit.project.project import Project
from tests.simulation.checks import (
    EVENTS_MAX,
    TASKS_MAX,
    Books,
    Broken,
    Followed,
    Journaled,
    check_no_secret,
    check_rows,
)
from tests.simulation.core import CoreAdapter, CoreExchange
from tests.simulation.disk import SimulatedDisk
from tests.simulation.loop import Process, in_process
from tests.simulation.machine import MachineLoop, VirtualClock, ports
from tests.simulation.market import market_source
from tests.simulation.plan import PAIRS, Crash, Fault, Plan
from tests.simulation.project import projects_shared
from tests.simulation.reached import Reached

UNIT = 10**8
ACCOUNT = EmulatorAccount(email="sim@botkit.local", key="simulated-key", secret="canary-3f9c1e77-secret")
BALANCES = {"usdt": 200_000 * UNIT, "btc": UNIT // 2, "eth": 5 * UNIT}
#: ``max_position`` of the bot, in units. Above what it begins with: what it may buy on top is soon used up
MOST = {"btc": UNIT // 2 + UNIT // 50, "eth": 6 * UNIT}
#: a market buy is counted at the last price, and gets a little more at a better one
_SLACK = {"btc": UNIT // 10_000, "eth": UNIT // 500}
#: how late the exchange acts on a request, lists an order, or a connection lets go of bytes, all together
LATEST_ACCEPT_S = 5
#: virtual seconds in which everything must be settled once faults have stopped
CALM_S = 60.0
#: a refusal of a probe that says nothing about its pair
_ITS_OWN = ("above max_position", "max_open_orders", "available")
#: how many of five lives are replayed: a replay costs as much as a life
_REPLAYED_OF_5 = 2
#: faults that refuse orders, ten of which in a row halt a bot
_REFUSING = ("forbidden", "storm_429")
_RESTING = frozenset({"untriggered", "open", "partly_filled"})
_HERE = Path(__file__).parent

CONFIG = f"""
name: sim
plugins: [{_HERE / "strategies"}]
strategies:
  - name: t
    use: trader
    params: {{acts: ACTS, pairs: [{", ".join(PAIRS)}]}}
    capital: {{usdt: "200000", btc: "0.5", eth: "5"}}
risk: {{max_position: {{btc: "{MOST["btc"] / UNIT}", eth: "{MOST["eth"] / UNIT}"}}, max_open_orders: 60}}
limits: {{ledger: none}}
"""


class Result(msgspec.Struct, kw_only=True):
    """A run's result. ``broken`` is empty if everything held."""

    seed: int
    broken: str = ""
    story: list[str] = []
    digest: int = 0
    virtual_s: float = 0.0
    rounds: int = 0
    orders: int = 0
    crashes: int = 0
    starts: int = 0
    faults: dict[str, int] = {}
    reached: dict[str, int] = {}

    @property
    def counts(self) -> bool:
        """Whether the run covered enough."""
        return self.orders >= 20 and sum(self.faults.values()) >= 3 and self.crashes >= 1


class Life:
    """One incarnation of the bot's process."""

    def __init__(self, number: int, disk: SimulatedDisk, clock: VirtualClock) -> None:
        self.clock = clock
        self.work: asyncio.Task[None] | None = None
        self.process = Process(f"bot {number}")
        self.disk = disk
        self.bot: Bot | None = None
        self.keeper = Keeper()
        self.ended: str | None = None


class Run:
    """A plan being carried out on a loop."""

    def __init__(self, plan: Plan, folder: Path, loop: MachineLoop) -> None:
        self.plan = plan
        self.folder = folder
        self.loop = loop
        self.result = Result(seed=plan.seed)
        self.reached = Reached()
        self.faults: Counter[str] = Counter()
        self.told: list[str] = []
        self._config = folder / "sim.yaml"
        self._state = folder / "state"
        self.journal = self._state / "journal.sqlite"
        self._life: Life | None = None
        self._lives = 0
        self._is_calm = False
        self._crashes = list(plan.crashes)
        self._armed: _Armed | None = None
        self._kill_at_round: tuple[int, Crash] | None = None
        self._down = asyncio.Event()
        self.broken: Broken | None = None
        self.main: asyncio.Task[None] | None = None
        self._chance = Random(f"run {plan.seed}")
        self._disks: list[SimulatedDisk] = []
        self._replayed: set[str] = set()
        self._last_crash: Crash | None = None
        self._has_lifted = False
        self._followed: Followed | None = None
        acts = folder / "acts.json"
        acts.write_bytes(msgspec.json.encode(plan.acts))
        self._config.write_text(CONFIG.replace("ACTS", str(acts)))

    # -- the story ------------------------------------------------------------------------------------------------

    def tell(self, text: str) -> None:
        """Add a line to the run's history."""
        self.result.story.append(f"{self.loop.time():9.3f}  {text}")

    async def go(self) -> None:
        """Run the plan. Raises Broken."""
        plan = self.plan
        facts = Project.load(self._config).facts
        options = EmulatorOptions(
            accounts=(ACCOUNT,), balances=BALANCES, seed=plan.seed, history_days=0.01, switches=choose(plan.switches)
        )
        async with self._exchange(facts, options) as emulator:
            self.emulator = emulator
            most = {currency: units + _SLACK[currency] for currency, units in MOST.items()}
            self.books = Books(emulator.venue, ACCOUNT.email, most_base_units=most)
            self.loop.on_step(self._step)
            self.reached.on_final = self._ended
            striking = asyncio.ensure_future(self._strike())
            living = asyncio.ensure_future(self._live())
            try:
                await asyncio.wait([striking, living], return_when=asyncio.FIRST_COMPLETED)
                if not striking.done():
                    living.result()
                    raise Broken("the bot ended before its time")
                striking.result()
                await self._calm(living)
            finally:
                striking.cancel()
                living.cancel()
                await asyncio.gather(striking, living, return_exceptions=True)
                self._let_go()

    def _exchange(self, facts: ExchangeFacts, options: EmulatorOptions) -> Any:
        if self.plan.layer == "core":
            return CoreExchange(facts, options, self.loop, ACCOUNT.email)
        with mock.patch.object(botkit.emulator.server, "_source", market_source):
            return Emulator(facts, options)

    def _let_go(self) -> None:
        self._follow_no_more()
        if self._life is not None:
            self.loop.kill(self._life.process)
        for disk in self._disks:
            disk.close()

    # -- faults ---------------------------------------------------------------------------------------------------

    async def _strike(self) -> None:
        began = self.loop.time()
        pending = [asyncio.ensure_future(self._fault(fault, began)) for fault in self.plan.faults]
        try:
            await asyncio.sleep(self.plan.active_ms / 1000)
            await asyncio.gather(*pending)
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def _fault(self, fault: Fault, began: float) -> None:
        await asyncio.sleep(max(0.0, began + fault.at_ms / 1000 - self.loop.time()))
        self.tell(f"fault: {_words(fault)}")
        if fault.kind == "clock_jump":
            await self._clock_jump(fault)
            return
        if fault.kind.startswith("net_"):
            await self._network(fault)
            return
        spec: dict[str, object] = {
            "kind": fault.kind, "where": fault.where, "share": fault.share, "count": fault.count, "value": fault.value,
            "jitter": fault.jitter,
        }  # fmt: skip
        made = self.emulator.add_fault({key: value for key, value in spec.items() if value is not None})
        await asyncio.sleep(fault.for_ms / 1000)
        self.emulator.remove_faults(made.id)

    async def _clock_jump(self, fault: Fault) -> None:
        life = self._life
        assert fault.value is not None
        if life is not None and life.bot is not None and life.ended is None:
            self.faults[fault.kind] += 1
            life.clock.skew_ns += int(fault.value) * NS_PER_MS
            await asyncio.sleep(fault.for_ms / 1000)
            life.clock.skew_ns -= int(fault.value) * NS_PER_MS

    async def _network(self, fault: Fault) -> None:
        if isinstance(self.emulator, CoreExchange):
            self.faults[fault.kind] += self.emulator.strike_network(fault)
            return
        network, port = self.loop.network, self.emulator.port
        struck = [c for c in network.connections.values() if c.port == port and self._chance.random() < fault.share]
        if fault.kind == "net_cut":
            self.faults[fault.kind] += 1
            network.cut(port)
            await asyncio.sleep(fault.for_ms / 1000)
            network.mend(port)
            return
        if fault.kind == "net_reset":
            self.faults[fault.kind] += len(struck)
            for connection in struck:
                connection.reset()
            return
        self.faults[fault.kind] += len(struck)
        for connection in struck:
            if fault.kind == "net_slow":
                connection.slow(latency_s=(0.01, fault.for_ms / 1000), cut=0.5, late=0.3, late_s=0.2)
            else:
                connection.stall(self._chance.choice((None, "client", "server")))
        if fault.kind == "net_slow":
            return
        await asyncio.sleep(fault.for_ms / 1000)
        for connection in struck:
            if fault.kind == "net_half_open":
                connection.reset()
            else:
                connection.go_on()

    def _no_more_faults(self) -> None:
        self.faults.update(self.emulator.faults.fired)
        self.emulator.remove_faults()
        if isinstance(self.emulator, CoreExchange):
            self.emulator.mend()
        network, port = self.loop.network, self.emulator.port
        network.mend(port)
        for connection in list(network.connections.values()):
            if connection.port == port and connection.link != network.link:
                connection.slow(
                    **{name: getattr(network.link, name) for name in ("latency_s", "cut", "late", "late_s")}
                )
        self._is_calm = True
        self.tell("no more faults")

    # -- the bot --------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        """Run bots one after another until the calm phase's bot is stopped."""
        while True:
            self._lives += 1
            disk = SimulatedDisk(self._writing)
            self._disks.append(disk)
            life = self._life = Life(self._lives, disk, VirtualClock(self.loop))
            self._follow_no_more()
            self.result.starts += 1
            self._down.clear()
            work = asyncio.get_running_loop().create_task(self._incarnation(life), context=in_process(life.process))
            life.work = work
            downs = asyncio.ensure_future(self._down.wait())
            crash: Crash | None = None
            await asyncio.wait([work, downs], return_when=asyncio.FIRST_COMPLETED)
            if downs.done():
                crash = self._last_crash
            else:
                downs.cancel()
                if not work.cancelled():
                    work.result()
                life.disk.die()
                crash = self._last_crash if life.ended == "cancelled" else None
                self._check_journal()
            self._replay(life)
            if life.ended == "stopped":
                return
            await asyncio.sleep(1.0 if crash is None else crash.down_ms / 1000)

    async def _incarnation(self, life: Life) -> None:
        notices = Notices()
        notices.listeners.append(lambda level, text: self._heard(life, level, text))
        self._arm()
        try:
            parts = self._parts(life)
            bot = await start(parts, notices)
        except BotkitError as error:
            self.tell(f"{life.process.name} did not start: {error}")
            self.told.append(str(error))
            self.reached("a start was refused")
            life.ended = "refused"
            return
        life.bot = bot
        self.tell(f"{life.process.name} trades")
        try:
            await self._keep(life, bot)
        except asyncio.CancelledError:
            await bot.close()
            raise

    async def _keep(self, life: Life, bot: Bot) -> None:
        why = await life.keeper.run(bot, None)
        if bot.driver.fault is not None:
            raise Broken(f"the bot hit an internal error: {bot.driver.fault!r}") from bot.driver.fault
        self.tell(f"{life.process.name} stops: {why}")
        await life.keeper.stop(bot)
        await bot.close()
        life.ended = "stopped"

    def _parts(self, life: Life) -> LiveParts:
        project = Project.load(self._config)
        clock = life.clock
        machine = ports(self.loop, seed=f"{self.plan.seed} {life.process.name}", disk=life.disk, clock=clock)
        steady = SteadyClock.of(clock)
        address = (self.emulator.rest, self.emulator.ws)
        adapter: Any
        if isinstance(self.emulator, CoreExchange):
            adapter = CoreAdapter(self.emulator, project.pairs)
        else:
            adapter = connect(project, ACCOUNT, *address, steady, random=machine.random)
        return make_parts(
            project,
            "emulator",
            adapter=_Watched(adapter, self),
            clock=steady,
            folder=StateFolder(self._state, life.disk),
            fees=FeesConfig(),
            latest_accept_s=LATEST_ACCEPT_S,
            address=address,
            account=ACCOUNT.email,
            ledger=InProcessLedger(steady, machine.random) if self.plan.shares_limits else ALONE,
            machine=machine,
        )

    def _heard(self, life: Life, level: str, text: str) -> None:
        self.told.append(text)
        if level not in ("info",):
            self.tell(f"{life.process.name} {level}: {text}")
        self.reached.heard(text)

    def _replay(self, life: Life) -> None:
        """Replay the finished run from its recording."""
        for folder in sorted((self._state / "runs").glob("*")):
            if folder.name in self._replayed:
                continue
            self._replayed.add(folder.name)
            if zlib.crc32(f"{self.plan.seed} {folder.name}".encode()) % 5 >= _REPLAYED_OF_5:
                continue
            if not (folder / "inputs.bin").exists() and not any(folder.iterdir()):
                continue
            try:
                verdict = replay_run(folder)
            except BotkitError as error:
                if life.ended == "killed":  # a process that was killed may not have come to write a line of it
                    self.reached("nothing was recorded of a run that was killed")
                    continue
                raise Broken(f"replay: {error}") from error
            cut = verdict.difference is not None and verdict.difference.recorded is None and life.ended == "killed"
            if verdict.difference is not None and not cut:
                raise Broken(f"replay: the decisions of run {folder.name} differ: {verdict.difference}")
            self.reached("a run was replayed")

    # -- crashes --------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Prepare the plan's next crash, if it is due or falls into this life."""
        self._armed = _Armed(self._crashes[0]) if self._crashes and not self._is_calm else None

    def did(self, what: str) -> None:
        """The bot does something that a crash may wait for."""
        armed = self._armed
        if armed is None or armed.crash.on != what or self.loop.time() * 1000 < armed.crash.at_ms or self._is_calm:
            return
        armed.left -= 1
        if armed.left == 0:
            self._kill_at_round = (self.loop.rounds + armed.crash.rounds, armed.crash)
            self._armed = None

    def _writing(self) -> Callable[[], None] | None:
        """The bot's disk is about to be written."""
        life = self._life
        armed = self._armed
        if life is None or armed is None or armed.crash.on != "write" or self._is_calm:
            return None
        if self.loop.time() * 1000 < armed.crash.at_ms:
            return None
        armed.left -= 1
        if armed.left:
            return None
        self._armed = None
        if armed.crash.is_cancel:
            self._kill_at_round = (self.loop.rounds, armed.crash)
            return None

        def die() -> None:
            life.process.is_dead = True
            life.disk.die(power_cut=armed.crash.silently)
            self._kill_at_round = (self.loop.rounds, armed.crash)

        if armed.crash.rounds % 2 == 0:
            return die
        die()
        return None

    def _crash(self, crash: Crash) -> None:
        life = self._life
        assert life is not None
        if crash.is_cancel:
            self._cancel(life, crash)
            return
        self._kill_at_round, self._armed = None, None
        if crash in self._crashes:
            self._crashes.remove(crash)
        where = f", at its {crash.on}" if crash.on else ""
        self.tell(f"{life.process.name} dies{' silently' if crash.silently else ''}{where}")
        if life.bot is not None:
            for order in life.bot.view.open_orders():
                self.reached(f"killed with an order {order.state.value}")
        else:
            self.reached("killed while starting")
        self.loop.kill(life.process, silently=crash.silently)
        life.disk.die(power_cut=crash.silently)
        self.result.crashes += 1
        self._last_crash = crash
        life.ended = "killed"
        self._down.set()
        self._check_journal()

    def _cancel(self, life: Life, crash: Crash) -> None:
        self._kill_at_round, self._armed = None, None
        if crash in self._crashes:
            self._crashes.remove(crash)
        self.tell(f"{life.process.name} is cancelled")
        self.reached("a bot was cancelled" if life.bot is not None else "a bot was cancelled while it started")
        self._last_crash = crash
        life.ended = "cancelled"
        assert life.work is not None
        life.work.cancel()

    # -- checks ---------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        """After every round of the loop."""
        if self.broken is not None:
            return
        try:
            self._look()
        except Broken as error:
            self.break_off(error)

    def break_off(self, error: Broken) -> None:
        """Something is broken: the run ends here."""
        self.tell(f"BROKEN {error}")
        if self.broken is None:
            self.broken = error
            if self.main is not None:
                self.main.cancel()

    def _ended(self, client_id: int, state: str) -> None:
        try:
            self.books.ended(client_id, state)
        except Broken as error:
            self.break_off(error)

    def _look(self) -> None:
        rounds = self.loop.rounds
        life = self._life
        if self.books.is_touched:
            self.books.look(self._row_of)
        if self._kill_at_round is not None and rounds >= self._kill_at_round[0]:
            has_died = life is not None and (life.ended is None or life.process.is_dead)
            if has_died and not self._down.is_set():
                self._crash(self._kill_at_round[1])
            else:
                self._kill_at_round = None
        armed = self._armed
        if (
            armed is not None
            and not armed.crash.on
            and self.loop.time() * 1000 >= armed.crash.at_ms
            and not self._is_calm
        ):
            self._kill_at_round = (rounds + armed.crash.rounds, armed.crash)
            self._armed = None
        if rounds % 256 == 0 and life is not None and life.bot is not None and not self._down.is_set():
            self._bounded(life.bot)

    def _bounded(self, bot: Bot) -> None:
        tasks = sum(1 for task in asyncio.all_tasks(self.loop) if not task.done())
        events = len(bot.driver._events)
        if tasks > TASKS_MAX or events > EVENTS_MAX:
            raise Broken(f"I9: {tasks} tasks, {events} events wait")

    def _row_of(self, client_id: int) -> str | None:
        row = self.follow().rows.get(client_id)
        return None if row is None else str(row["state"])

    def follow(self) -> Followed:
        """What the journal holds now."""
        if self._followed is None:
            self._followed = Followed(self.journal)
        return self._followed.look()

    def _follow_no_more(self) -> None:
        """An incarnation has ended: whatever became of its files, they are read afresh."""
        if self._followed is not None:
            self._followed.close()
            self._followed = None

    def _journaled(self) -> Journaled:
        return Journaled(self.journal)

    # -- the calm -------------------------------------------------------------------------------------------------

    async def _calm(self, living: asyncio.Task[None]) -> None:
        """No more faults: within a minute everything must be settled, and the bot trades on. Raises Broken."""
        if not self.result.crashes and self._life is not None and self._life.ended is None:
            self._crash(Crash(at_ms=0))
        self._no_more_faults()
        until = self.loop.time() + CALM_S
        await self._wait(lambda: self._unsettled(), until, living)
        life = self._life
        assert life is not None
        assert life.bot is not None
        folder = life.bot.parts.folder
        self._probed = True
        commands.leave(folder, "set", strategy="t", name="probe", value=1, clock=life.bot.parts.machine.clock)
        await self._wait(lambda: self._unprobed(life), until, living)
        commands.leave(folder, "set", strategy="t", name="probe", value=2, clock=life.bot.parts.machine.clock)
        await asyncio.sleep(1.0)
        await self._wait(lambda: self._unsettled(), until, living)
        self.tell("settled")
        life.keeper.request_stop("the run is over")
        async with asyncio.timeout(30):
            await asyncio.wait([living])
            living.result()
        self._check_journal(is_settled=True)
        left = [
            order
            for order in self.books.orders.values()
            if order.state.value in ("untriggered", "open", "partly_filled")
        ]
        if left:
            raise Broken(f"liveness: {len(left)} orders are open after an orderly stop: {left[:3]}")
        check_no_secret((ACCOUNT.secret,), self._state, self.told)
        # the exchange cuts its sockets next, in any order
        self.result.digest = self.loop.digest

    async def _wait(self, why: Callable[[], list[str]], until: float, living: asyncio.Task[None]) -> None:
        """Wait until ``why`` finds nothing more. Raises Broken with its latest finding at the timeout."""
        while True:
            if living.done():
                living.result()
                raise Broken("the bot ended before its time")
            left = why()
            if not left:
                return
            if self.loop.time() > until:
                raise Broken(f"liveness: {CALM_S:g} s after the last fault: " + "; ".join(left[:5]))
            await asyncio.sleep(0.25)

    def _unsettled(self) -> list[str]:
        """What is not settled between bot and exchange."""
        life = self._life
        if life is None or life.bot is None or life.ended is not None:
            return ["the bot does not trade"]
        bot = life.bot
        if bot.view.halted is not None:
            self._lift(bot.view.halted)
            return [f"the bot is halted: {bot.view.halted}"]
        if any(strategy.halted or not strategy.active for strategy in bot.view.strategies()):
            return [f"a strategy is stopped: {bot.view.strategies()}"]
        found = [
            f"{order.client_id} is {order.state.value}"
            for order in bot.view.open_orders()
            if order.state.value not in _RESTING or order.cancel_requested
        ]
        if found:
            return found
        if bot.streams.lost():
            return [f"streams are lost: {bot.streams.lost()}"]
        for market in bot.view.markets():
            age_s = (bot.driver.now() - market.book_seen) / NS_PER_S if market.book_seen else 1e9
            if market.is_listened_to and age_s > 30:
                return [f"the book of {market.pair} is {age_s:g} s old"]
        account = bot.view.money.account
        found = [
            f"{currency}: {account.get(currency, 0)} here and {units} at the exchange"
            for currency, units in self.books.money().items()
            if account.get(currency, 0) != units
        ]
        if found:
            return found
        bot.view.money.check()
        followed = self.follow()
        return self.books.settled(followed.rows, followed.told)

    def _lift(self, reason: str) -> None:
        """The user lifts a halt that faults demanded: an exchange that refuses every order."""
        if "orders in a row" in reason and sum(self.faults[kind] for kind in _REFUSING) and not self._has_lifted:
            self._has_lifted = True
            StateFolder(self._state).clear_halt()
            self.tell(f"the user lifts the halt: {reason}")
            self.reached("a halt for refused orders, lifted by the user")

    def _unprobed(self, life: Life) -> list[str]:
        assert life.bot is not None
        probes = [order for order in life.bot.view.orders() if order.spec.tag == "probe"]
        found = {str(order.pair): f"{order.state.value} {order.reason}" for order in probes}
        return [
            f"{pair} is blocked: {found.get(pair, 'no order')}"
            for pair in PAIRS
            if not found.get(pair, "").startswith("open") and not any(why in found.get(pair, "") for why in _ITS_OWN)
        ]

    def _check_journal(self, *, is_settled: bool = False) -> None:
        """Check all of the journal, as a reader finds it. ``is_settled``: a bot has ended in order. Raises Broken."""
        if not self.books.orders:
            return  # there may be no journal yet
        journaled = self._journaled()
        check_rows(journaled.rows)
        self.books.check(journaled.rows)
        self.books.check_told(journaled.told)
        found = self.books.settled(journaled.rows, journaled.told) if is_settled else []
        if found:
            raise Broken(f"liveness: after an orderly stop, {'; '.join(found[:5])}")


class _Watched:
    """An adapter by which a crash can be timed."""

    def __init__(self, adapter: Any, run: Run) -> None:
        self._adapter = adapter
        self._run = run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    async def send(self, request: Any, *, urgent: bool = False) -> Any:
        """Like the adapter's."""
        self._run.did("send")
        kind = request.endpoint.partition("_")[0]
        if kind in ("create", "cancel"):
            self._run.did(kind)
        answer = await self._adapter.send(request, urgent=urgent)
        if kind == "create":
            self._run.did("answer")
        return answer


class _Armed:
    def __init__(self, crash: Crash) -> None:
        self.crash = crash
        self.left = crash.nth


def _words(fault: Fault) -> str:
    value = "" if fault.value is None else f" {fault.value:g}"
    often = "" if fault.share == 1 else f", each by {fault.share:g}"
    times = "" if fault.count is None else f", {fault.count} times at most"
    return f"{fault.kind}{value} at {fault.where} for {fault.for_ms / 1000:g} s{often}{times}"


# -- carrying out a plan ----------------------------------------------------------------------------------------------


def carry_out(plan: Plan, folder: Path) -> Result:
    """Run a plan in an empty folder on its own loop."""
    loop = MachineLoop(seed=plan.seed, limit_s=600.0)
    records = _Records()
    run: Run | None = None
    with contextlib.ExitStack() as stack:
        stack.enter_context(records.attached())
        stack.callback(loop.close)
        loop.set_exception_handler(records.unhandled)
        asyncio.set_event_loop(loop)
        stack.callback(asyncio.set_event_loop, None)
        run = Run(plan, folder, loop)
        stack.enter_context(run.reached.watching())
        stack.enter_context(projects_shared())
        try:
            run.main = loop.create_task(run.go())
            loop.run_until_complete(run.main)
            if records.errors:
                raise Broken(f"log: {records.errors[0]}")
        except (Exception, asyncio.CancelledError) as caught:
            error = caught if run.broken is None else run.broken
            run.result.broken = f"{type(error).__name__}: {error}" if not isinstance(error, Broken) else str(error)
            if not isinstance(error, Broken):
                run.result.broken += "\n" + "".join(traceback.format_exception(error))
            if records.errors:
                run.result.broken += f"\nlog: {records.errors[0]}"
    result = run.result
    result.digest = result.digest or loop.digest
    result.virtual_s, result.rounds = loop.time(), loop.rounds
    result.orders = len(run.books.orders) if hasattr(run, "books") else 0
    result.faults, result.reached = dict(run.faults), dict(run.reached.counts)
    return result


def _is_aiohttps_own(error: BaseException) -> bool:
    """Under a late task step, aiohttp's server starts a handler whose connection is already gone."""
    *_, frame = traceback.walk_tb(error.__traceback__)
    return frame[0].f_code.co_filename.endswith("aiohttp/web_protocol.py")


class _Records(logging.Handler):
    """A run's log: kept for its secrets and for unexpected exceptions."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.errors.append(f"{record.getMessage()}\n{''.join(traceback.format_exception(record.exc_info[1]))}")
        if ACCOUNT.secret in record.getMessage():
            self.errors.append("I8: a secret stands in the log")

    def unhandled(self, loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and _is_aiohttps_own(error):
            return
        text = "" if error is None else "".join(traceback.format_exception(error))
        self.errors.append(f"{context.get('message')}\n{text}")

    @contextlib.contextmanager
    def attached(self) -> Iterator[None]:
        loggers = [logging.getLogger(name) for name in ("botkit", "asyncio", "aiohttp")]
        before = [logger.propagate for logger in loggers]
        for logger in loggers:
            logger.addHandler(self)
            logger.propagate = False
        try:
            yield
        finally:
            for logger, propagate in zip(loggers, before, strict=True):
                logger.removeHandler(self)
                logger.propagate = propagate
