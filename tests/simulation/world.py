"""Executes one run: an exchange, a bot that dies and restarts, faults, and a final phase without faults."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import shutil
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import msgspec

import botkit.emulator.server
from botkit.assembly.live_parts import LiveParts, make_parts
from botkit.assembly.replay import replay_run
from botkit.config.simulated import FeesConfig
from botkit.emulator import EmulatorAccount, EmulatorOptions
from botkit.emulator.server import Emulator
from botkit.emulator.switches import choose
from botkit.engine.orders.rejections import HOLD_NS
from botkit.errors import BotkitError
from botkit.live import commands, journal_log
from botkit.live.bot import Bot
from botkit.live.clock import SteadyClock
from botkit.live.limits.broker_client import BrokerLink
from botkit.live.limits.in_process import InProcessLedger
from botkit.live.limits.sharing import ALONE, Ledger, LimitSharing, venue_name
from botkit.live.notices import Notices
from botkit.live.starting import start
from botkit.live.state_folder import StateFolder
from botkit.live.supervisor import Supervisor
from botkit.model.clock import NS_PER_MS, NS_PER_S
from botkit.model.extension import ExchangeFacts
from botkit.model.requests import Ending
from botkit.project.connect import connect
from botkit.project.project import Project
from tests.simulation.checks import (
    EVENTS_MAX,
    TASKS_MAX,
    Books,
    Broken,
    Followed,
    Journaled,
    Standstills,
    check_fills,
    check_no_secret,
    check_rows,
    check_told_of_damage,
    wrong_positions,
)
from tests.simulation.core import CoreAdapter, CoreExchange
from tests.simulation.damage import Copy, Struck, copy_of, put_back, strike
from tests.simulation.disk import Medium, SimulatedDisk
from tests.simulation.loop import PROCESS, Process, collect, in_process
from tests.simulation.machine import MachineLoop, VirtualClock, ports
from tests.simulation.market import market_source
from tests.simulation.others import BrokerBeside, GuardBeside, SecondBot, panic_beside
from tests.simulation.plan import PAIRS, Cancel, Crash, Damage, Fault, Plan
from tests.simulation.project import projects_shared
from tests.simulation.reached import Reached

UNIT = 10**8
ACCOUNT = EmulatorAccount(email="sim@botkit.local", key="simulated-key", secret="canary-3f9c1e77-secret")
BALANCES = {"usdt": 200_000 * UNIT, "btc": UNIT // 2, "eth": 5 * UNIT}
#: the bot's ``max_position``, in units: slightly above the opening balance, so that the limit is soon reached
MOST = {"btc": UNIT // 2 + UNIT // 50, "eth": 6 * UNIT}
#: tolerance for market buys, whose lots are counted at the last price but are slightly more if the order fills at a
#: better price
_SLACK = {"btc": UNIT // 10_000, "eth": UNIT // 500}
#: the maximum time until the exchange has acted on a request and lists its order, including delays of bytes held back
#: by a connection
LATEST_ACCEPT_S = 5
#: virtual seconds within which all orders and balances must be settled after the faults have ended
CALM_S = 60.0
#: refusal reasons for a probe order that do not imply that its pair is blocked
_ITS_OWN = ("above max_position", "max_open_orders", "available")
#: how many of every five lives are replayed, because a replay costs as much as a life
_REPLAYED_OF_5 = 2
#: faults that refuse orders; ten consecutive refusals halt a bot
_REFUSING = ("forbidden", "storm_429")
_RESTING = frozenset({"untriggered", "open", "partly_filled"})
#: how long a bot that halted because of its journal is observed
_WATCHED_S = 2.0
#: segments of the log are smaller than on a real disk, since each is written at a start and read by each reader; a run
#: then also goes from one to the next
_SEGMENT_BYTES = 2**17
_HERE = Path(__file__).parent

CONFIG = f"""
name: NAME
plugins: [{_HERE / "strategies"}]
strategies:
  - name: t
    use: trader
    params: {{acts: ACTS, pairs: [{", ".join(PAIRS)}]}}
    capital: CAPITAL
risk: {{max_position: MOST, max_open_orders: 60}}
limits: {{ledger: none}}
"""


def config_text(name: str, acts: Path, share: int) -> str:
    """Return the configuration for one of the ``share`` bots on the account."""
    capital = {currency: str(units // share / UNIT) for currency, units in BALANCES.items()}
    most = {currency: str(units // share / UNIT) for currency, units in MOST.items()}
    document = {"CAPITAL": capital, "MOST": most, "NAME": name, "ACTS": str(acts)}
    text = CONFIG
    for key, value in document.items():
        text = text.replace(key, msgspec.json.encode(value).decode() if isinstance(value, dict) else value)
    return text


class Result(msgspec.Struct, kw_only=True):
    """The result of a run. ``broken`` is empty if no invariant was violated."""

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
        """Return True if the run covered enough."""
        return self.orders >= 20 and sum(self.faults.values()) >= 3 and self.crashes >= 1


class Life:
    """One incarnation of the bot's process."""

    def __init__(
        self, name: str, pid: int, disk: SimulatedDisk, clock: VirtualClock, config: Path, state: Path
    ) -> None:
        self.clock = clock
        self.config = config
        self.state = state
        self.work: asyncio.Task[None] | None = None
        self.process = Process(name, pid)
        self.disk = disk
        self.guard: GuardBeside | None = None
        #: True if the disk has refused some of its writes
        self.had_trouble = bool(disk.medium.trouble)
        self.traded_at = 1e9
        self.bot: Bot | None = None
        self.supervisor = Supervisor()
        self.ended: str | None = None
        self.standstills = Standstills()
        #: the time at which the bot last resumed after a suspension, and the number of suspensions
        self.woke_at = -1e9
        self.woke = 0


class _Damaged:
    """A journal that was damaged while no bot was running. The run checks how the next start reacts."""

    def __init__(self, before: Journaled, copy: Copy, struck: Struck) -> None:
        self.before = before
        #: the complete folder, as in a backup made by a user
        self.copy = copy
        self.struck = struck
        #: client IDs that arrived at the exchange although they were not in the journal before the damage
        self.sent: list[int] = []


class Run:
    """Executes a plan on a loop."""

    def __init__(self, plan: Plan, folder: Path, loop: MachineLoop) -> None:
        self.plan = plan
        self.folder = folder
        self.loop = loop
        self.result = Result(seed=plan.seed)
        self.reached = Reached()
        self.faults: Counter[str] = Counter()
        self.told: list[str] = []
        self._config = folder / "sim.yaml"
        self._root = folder / "root"
        self._state = self._root / "sim" / "emulator" / "account"
        self.journal = self._state / "journal.sqlite"
        self._life: Life | None = None
        self._lives = 0
        self.is_calm = False
        self._crashes = list(plan.crashes)
        self._armed: _Armed | None = None
        self._cancels = [_ArmedCancel(cancel) for cancel in plan.cancels]
        self._kill_at_round: tuple[int, Crash] | None = None
        self._down = asyncio.Event()
        self.broken: Broken | None = None
        self.main: asyncio.Task[None] | None = None
        self._chance = Random(f"run {plan.seed}")
        self._disks: list[SimulatedDisk] = []
        self.medium = Medium(plan.seed)
        self._damaged: _Damaged | None = None
        self._older: Copy | None = None
        self._replayed: set[str] = set()
        self._last_crash: Crash | None = None
        #: state folders of bots whose halts the user has lifted
        self._resumed: set[Path] = set()
        self._followed: Followed | None = None
        self._probes, self._probed_at = 0, 0.0
        acts = folder / "acts.json"
        acts.write_bytes(msgspec.json.encode(plan.acts))
        share = 1 if plan.second is None else 2
        self._config.write_text(config_text("sim", acts, share))
        self._broker: BrokerBeside | None = None
        self._second: SecondBot | None = None
        if plan.second is not None:
            acts = folder / "acts2.json"
            acts.write_bytes(msgspec.json.encode(plan.second.acts))
            config = folder / "second.yaml"
            config.write_text(config_text("second", acts, share))
            state = self._root / "second" / "emulator" / "account"
            self._second = SecondBot(self, config, state, plan.second.deaths_ms)
        self._guards: list[GuardBeside] = []
        #: the times of the last disk fault and of the panic that blocked new orders
        self._troubled_at = -1e9
        self._latched_at: float | None = None

    # -- the story ------------------------------------------------------------------------------------------------

    def tell(self, text: str) -> None:
        """Add a line to the run's history."""
        self.result.story.append(f"{self.loop.time():9.3f}  {text}")

    async def go(self) -> None:
        """Run the plan to completion. Raises Broken."""
        plan = self.plan
        facts = Project.load(self._config).facts
        options = EmulatorOptions(
            accounts=(ACCOUNT,), balances=BALANCES, seed=plan.seed, history_days=0.01, switches=choose(plan.switches)
        )
        async with self._exchange(facts, options) as emulator:
            self.emulator = emulator
            if self.plan.has_broker:
                self._broker = BrokerBeside(self, self.folder / "broker")
            most = {currency: units + 2 * _SLACK[currency] for currency, units in MOST.items()}
            self.books = Books(emulator.venue, ACCOUNT.email, most_base_units=most)
            if isinstance(emulator, CoreExchange):
                self.books.called_refused = emulator.called_refused
            self.loop.on_step(self._step)
            self.reached.on_final = self._ended
            striking = asyncio.ensure_future(self._strike())
            living = asyncio.ensure_future(self._live())
            beside = [] if self._second is None else [asyncio.ensure_future(self._second.live())]
            try:
                await asyncio.wait([striking, living, *beside], return_when=asyncio.FIRST_COMPLETED)
                if not striking.done():
                    for task in (living, *beside):
                        if task.done():
                            task.result()
                    raise Broken("a bot ended before its time")
                striking.result()
                await self._calm(living, beside)
            finally:
                for task in (striking, living, *beside):
                    task.cancel()
                await asyncio.gather(striking, living, *beside, return_exceptions=True)
                self._let_go()

    def _exchange(self, facts: ExchangeFacts, options: EmulatorOptions) -> Any:
        if self.plan.layer == "core":
            return CoreExchange(facts, options, self.loop, ACCOUNT.email)
        with mock.patch.object(botkit.emulator.server, "_source", market_source):
            return Emulator(facts, options)

    def _let_go(self) -> None:
        self._follow_no_more()
        lives = [self._life, None if self._second is None else self._second.life]
        for life in lives:
            if life is not None:
                self.loop.kill(life.process)
        for guard in self._guards:
            self.loop.kill(guard.process)
        if self._broker is not None:
            self._broker.kill()
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
        if fault.kind.startswith("disk_"):
            await self._disk_trouble(fault)
            return
        if fault.kind.startswith("suspend_"):
            await self._suspend(fault)
            return
        if fault.kind.startswith("panic"):
            await self._panic(fault)
            return
        if fault.kind == "broker_killed":
            if self._broker is not None:
                self.faults[fault.kind] += 1
                self._broker.kill()
                await asyncio.sleep(fault.for_ms / 1000)
                self._broker.start()
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

    async def _disk_trouble(self, fault: Fault) -> None:
        medium = self.medium
        if medium.trouble:
            return
        medium.trouble, medium.room = fault.kind, int(fault.value or 0)
        if self._life is not None:
            self._life.had_trouble = True
        await asyncio.sleep(fault.for_ms / 1000)
        medium.trouble = ""
        self._troubled_at = self.loop.time()
        self.faults[fault.kind] += medium.struck.pop(fault.kind, 0) > 0

    async def _panic(self, fault: Fault) -> None:
        if not self._state.exists():
            return
        self.faults[fault.kind] += 1

        def latched() -> None:
            self._latched_at = self.loop.time()

        task = self.loop.create_task(
            panic_beside(self, self._state, own_only=fault.kind == "panic_own", is_latched=latched),
            context=in_process(Process("panic", 9_000)),
        )
        await task

    def check_latch(self, life: Life, request: Any) -> None:
        """Check that no order that adds exposure is sent after a panic. Raises Broken."""
        if self._latched_at is None or life.state != self._state or not request.endpoint.startswith("create"):
            return
        orders = getattr(request, "orders", None) or (request.order,)
        if any(order.side.value == "buy" for order in orders):
            raise Broken(f"panic: {orders[0]} leaves, though new orders are held back since {self._latched_at:.3f} s")

    def is_well(self, life: Life, seconds: float) -> bool:
        """Return True if a bot has been alive and awake on a working disk for ``seconds``."""
        since = self.loop.time() - seconds
        return (
            life.ended is None
            and not life.process.is_dead
            and not life.process.is_held
            and max(life.traded_at, life.woke_at, self._troubled_at) < since
            and not self.medium.trouble
        )

    def open_orders_of(self, state: Path | None) -> set[str]:
        """Return the IDs of the account's open orders. ``state`` limits them to those in one bot's journal, of which
        nothing is demanded while it is damaged: it may lack rows until the user restores it.
        """
        found = self.books.still_open()
        if state is None:
            return found
        if self._damaged is not None:
            return set()
        rows = Journaled(state / "journal.sqlite").rows
        return {order_id for order_id in found if self.books.orders[order_id].new.client_id in rows}

    def check_none_left(self, who: str, before: set[str]) -> None:
        """Check a process that reports no remaining orders: it must have cancelled all orders that were open
        ``before``.
        """
        if any(fault.kind in ("lagging", "unfiltered", "shuffled") for fault in self.plan.faults):
            return  # orders missing from a listing cannot be cancelled
        left = sorted(before & self.books.still_open())
        if left:
            self.break_off(Broken(f"{who}: nothing is left, it says, and {left} are open"))

    def note_hurry(self, text: str) -> None:
        """Record a report that a guard or panic sends without a slot, or without a limits broker that it cannot reach.
        From then on, exceeding a rate limit is excused.
        """
        if "rate limit" in text or "slot" in text or "may reject some requests (429)" in text:
            self.books.excuses_rates = True

    def second_way(self) -> tuple[Any, LimitSharing]:
        """Return the adapter and limit sharing that a process other than the bot uses to access the account."""
        project = Project.load(self._config)
        steady = SteadyClock.of(VirtualClock(self.loop))
        address = (self.emulator.rest, self.emulator.ws)
        adapter: Any
        if isinstance(self.emulator, CoreExchange):
            adapter = CoreAdapter(self.emulator, project.pairs)
        else:
            adapter = connect(project, ACCOUNT, *address, steady, random=Random(f"way {self.loop.rounds}"))
        sharing = LimitSharing(
            table=project.facts.limits,
            ledger=self._ledger(steady, Random(f"ledger {self.loop.rounds}")),
            venue=venue_name(project.facts, address[0]),
            account=ACCOUNT.email,
            clock=steady,
            latest_accept_ns=LATEST_ACCEPT_S * NS_PER_S,
        )
        return adapter, sharing

    def _ledger(self, steady: SteadyClock, random: Random) -> Ledger:
        if self._broker is not None:
            return BrokerLink(self._broker.folder, by_port=False, starts=False)
        return InProcessLedger(steady, random) if self.plan.shares_limits else ALONE

    async def _suspend(self, fault: Fault) -> None:
        life, seconds = self._life, fault.for_ms / 1000
        if life is None or life.ended is not None or life.process.is_dead or life.process.is_held:
            return
        self.faults[fault.kind] += 1
        sleeps = fault.kind == "suspend_machine"
        connections = [c for c in self.loop.network.connections.values() if c.client.process is life.process]
        self.loop.hold(life.process)
        if sleeps and life.guard is not None:
            self.loop.hold(life.guard.process)
        for connection in connections if sleeps else ():
            connection.stall()
        await asyncio.sleep(seconds)
        if sleeps:
            life.clock.frozen_ns += round(seconds * NS_PER_S)
            if life.guard is not None:
                life.guard.clock.frozen_ns += round(seconds * NS_PER_S)
                self.loop.release(life.guard.process, frozen_s=seconds)
        for connection in connections if sleeps else ():
            # a machine that sleeps starts no other bot, so a dead one's bytes may not arrive after that one's start
            if self._chance.random() < fault.share or life.process.is_dead:
                connection.reset()
            else:
                connection.go_on()
        if sleeps and isinstance(self.emulator, CoreExchange) and not life.process.is_dead:
            self.emulator.lose_streams(fault.share, self._chance)
        if life.bot is not None:
            life.standstills.woke(seconds)
        life.woke_at, life.woke = self.loop.time(), life.woke + 1
        self.loop.release(life.process, frozen_s=seconds if sleeps else 0.0)
        self.tell(f"{life.process.name} goes on after {seconds:g} s")

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
        self.faults.update(self.medium.struck)
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
        self.is_calm = True
        self.tell("no more faults")

    # -- the bot --------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        """Run successive bots until the bot of the final phase stops."""
        while True:
            self._lives += 1
            # A copy from before the bot's first order is left out: with it a bot starts over, and is rightly refused if
            # its capital has been spent meanwhile.
            if self._damaged is None and self._state.exists() and self.books.orders:
                self._older = copy_of(self._state) if any(c.damage is not None for c in self._crashes) else None
            disk = SimulatedDisk(self._writing, self.medium)
            self._disks.append(disk)
            life = self._life = Life(
                f"bot {self._lives}", 100 + self._lives, disk, VirtualClock(self.loop), self._config, self._state
            )
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
            if crash is not None and crash.damage is not None:
                self._damage(crash.damage)
            await asyncio.sleep(1.0 if crash is None else crash.down_ms / 1000)

    async def _incarnation(self, life: Life) -> None:
        notices = Notices()
        notices.listeners.append(lambda level, text: self.heard(life, level, text))
        self._arm()
        began = self.emulator.venue.now
        try:
            parts = self.parts(life)
            bot = await start(parts, notices)
        except BotkitError as error:
            self.tell(f"{life.process.name} did not start: {error}")
            self.told.append(str(error))
            self.reached("a start was refused")
            life.ended = "refused"
            halt = StateFolder(self._state).halt()
            if self._damaged is not None and halt is not None and halt.kind == "journal":
                self._judge_halt(self._damaged, halt.reason)
            elif self._damaged is not None and "journal" in str(error) and not self.medium.trouble:
                self._judge_halt(self._damaged, str(error))
            return
        life.bot = bot
        if self._damaged is not None and await self._halts_for_its_journal(self._damaged, life, bot, began):
            return
        resting = [order.client_id for order in bot.view.open_orders() if order.state.value in _RESTING]
        self.books.check_explained(resting, began)
        self.tell(f"{life.process.name} trades")
        life.traded_at = self.loop.time()
        if self.plan.guard_s:
            life.guard = GuardBeside(self, life, self.plan.guard_s)
            self._guards.append(life.guard)
        try:
            await self._keep(life, bot)
        except asyncio.CancelledError:
            await bot.close()
            raise

    async def _keep(self, life: Life, bot: Bot) -> None:
        why = await life.supervisor.run(bot, None)
        if bot.driver.fault is not None:
            raise Broken(f"the bot hit an internal error: {bot.driver.fault!r}") from bot.driver.fault
        self.tell(f"{life.process.name} stops: {why}")
        await life.supervisor.stop(bot)
        await bot.close()
        if life.guard is not None:
            self.loop.kill(life.guard.process)
        life.ended = "stopped"

    # -- a damaged journal ----------------------------------------------------------------------------------------

    def _damage(self, damage: Damage) -> None:
        if self._damaged is not None or not self.books.orders:
            return
        before, copy = self._journaled(), copy_of(self._state)
        struck = strike(self._state, damage.kind, damage.x, damage.y, self._older)
        if damage.kind.endswith("_restored"):
            self.medium.was_put_back(self.journal)
        if struck is None:
            return
        self.faults[damage.kind] += 1
        self.tell(f"damage: {struck.words}{'' if struck.demands else ' (it may be whole)'}")
        self._damaged = _Damaged(before, copy, struck)
        self.books.excuses_rates = True

    async def _halts_for_its_journal(self, damaged: _Damaged, life: Life, bot: Bot, began: int) -> bool:
        """Return True if a start halted because of a damaged journal, which ends this life of the bot. Raises
        Broken.
        """
        halt = bot.parts.folder.halt()
        if halt is None or halt.kind != "journal":
            rows = self._journaled().rows
            struck = damaged.struck
            is_told = struck.starts_over and any("but this bot has traded before" in text for text in self.told)
            self.books.check_recovered(
                struck.words, struck.demands, damaged.before.rows, rows, began=began, starts_over=is_told
            )
            self.reached("a damaged journal was whole, or its loss made good")
            self._damaged = None
            return False
        keeping = asyncio.ensure_future(life.supervisor.run(bot, None))
        await asyncio.sleep(_WATCHED_S)
        life.supervisor.leave_now()
        await keeping
        await bot.close()
        life.ended = "halted"
        self._judge_halt(damaged, halt.reason)
        return True

    def _judge_halt(self, damaged: _Damaged, text: str) -> None:
        """Check that a bot is right to refuse to trade because of its journal, and restore its folder as a user would.
        Raises Broken.
        """
        check_told_of_damage(text, damaged.struck.words, is_damaged=True)
        if damaged.sent:
            raise Broken(f"journal: {damaged.struck.words}, and the bot has sent {damaged.sent[:5]}")
        self.reached("a start was refused for its journal" if "damaged (" in text else "a start halted for its journal")
        self.tell("the user restores the folder")
        put_back(self._state, damaged.copy)
        self.medium.was_put_back(self.journal)
        for folder in (self._state / "runs").glob("*"):
            if folder.name not in damaged.copy.runs:
                shutil.rmtree(folder)
                self._replayed.discard(folder.name)
        self._damaged = None

    def parts(self, life: Life) -> LiveParts:
        """Return the parts of one incarnation of the bot."""
        project = Project.load(life.config)
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
            adapter=_Watched(adapter, self, life),
            clock=steady,
            folder=StateFolder(life.state, life.disk, self._root),
            fees=FeesConfig(),
            latest_accept_s=LATEST_ACCEPT_S,
            address=address,
            account=ACCOUNT.email,
            ledger=self._ledger(steady, machine.random),
            machine=machine,
        )

    def heard(self, life: Life, level: str, text: str) -> None:
        """Record a message from a bot to its user."""
        self.told.append(text)
        if level not in ("info",):
            self.tell(f"{life.process.name} {level}: {text}")
        self.reached.heard(text)

    def _replay(self, life: Life) -> None:
        """Replay finished runs from their recordings."""
        has_lost = life.ended == "killed" and self._last_crash is not None and self._last_crash.silently
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
                # a killed process may not have written a single line, and a faulty disk may have refused or lost all
                # its writes
                if life.had_trouble or has_lost or (life.ended == "killed" and "damaged" not in str(error)):
                    self.reached("nothing was recorded of a run that was killed")
                    continue
                raise Broken(f"replay: {error}") from error
            # a faulty disk may have taken a turn's inputs and refused its decisions; the user was told so
            may_lack = has_lost or life.had_trouble
            is_short = verdict.difference is not None and verdict.difference.recorded is None and may_lack
            if verdict.difference is not None and not is_short:
                raise Broken(f"replay: the decisions of run {folder.name} differ: {verdict.difference}")
            self.reached("a run was replayed")

    # -- crashes --------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Arm the plan's next crash."""
        self._armed = _Armed(self._crashes[0]) if self._crashes and not self.is_calm else None

    def did(self, what: str) -> None:
        """Record an action of the bot, which may trigger a planned crash."""
        armed = self._armed
        if armed is None or armed.crash.on != what or self.loop.time() * 1000 < armed.crash.at_ms or self.is_calm:
            return
        armed.left -= 1
        if armed.left == 0:
            self._kill_at_round = (self.loop.rounds + armed.crash.rounds, armed.crash)
            self._armed = None

    def begins(self, kind: str, task: asyncio.Task[Any] | None) -> None:
        """Record that a task is sending a request. The plan may cancel this task."""
        now_ms = self.loop.time() * 1000
        for armed in self._cancels:
            if armed.task is None and armed.cancel.on == kind and now_ms >= armed.cancel.at_ms and not self.is_calm:
                armed.left -= 1
                if armed.left == 0:
                    armed.task, armed.at_round = task, self.loop.rounds + armed.cancel.rounds
                return

    def _cancel_requests(self) -> None:
        for armed in [armed for armed in self._cancels if armed.task is not None]:
            assert armed.task is not None
            if self.loop.rounds >= armed.at_round:
                self._cancels.remove(armed)
                if not armed.task.done():
                    self.tell(f"a {armed.cancel.on} is cancelled where it waits")
                    self.faults["request_cancelled"] += 1
                    armed.task.cancel()

    def _writing(self) -> Callable[[], None] | None:
        """Record that the bot's disk is about to be written to. Return a function to call after the write, or None."""
        life = self._life
        armed = self._armed
        if life is None or armed is None or armed.crash.on != "write" or self.is_calm:
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
        if crash.silently and life.guard is not None:
            self.loop.kill(life.guard.process)
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
        """Check the invariants after every loop iteration."""
        if self.broken is not None:
            return
        try:
            self._look()
        except Broken as error:
            self.break_off(error)

    def break_off(self, error: Broken) -> None:
        """Abort the run because an invariant was violated."""
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
        if self._cancels:
            self._cancel_requests()
        if self._kill_at_round is not None and rounds >= self._kill_at_round[0]:
            has_died = life is not None and (life.ended is None or life.process.is_dead)
            if self.is_calm and life is not None and not life.process.is_dead:
                self._kill_at_round = None  # its round came too late
            elif has_died and not self._down.is_set():
                self._crash(self._kill_at_round[1])
            else:
                self._kill_at_round = None
        armed = self._armed
        if (
            armed is not None
            and not armed.crash.on
            and self.loop.time() * 1000 >= armed.crash.at_ms
            and not self.is_calm
        ):
            self._kill_at_round = (rounds + armed.crash.rounds, armed.crash)
            self._armed = None
        if rounds % 256 == 0 and life is not None and life.bot is not None and not self._down.is_set():
            self._bounded(life.bot)

    def _bounded(self, bot: Bot) -> None:
        tasks = sum(1 for task in asyncio.all_tasks(self.loop) if not task.done())
        events = len(bot.driver._events)
        life = self._life
        if life is not None and (life.process.is_held or self.loop.time() < life.woke_at + 5.0):
            return  # all events that arrived during the suspension are processed at once
        if tasks > TASKS_MAX or events > EVENTS_MAX:
            raise Broken(f"I9: {tasks} tasks, {events} events wait")

    def _row_of(self, client_id: int) -> str | None:
        row = self._row_in(client_id)
        if row is None and self._damaged is None:  # the reader may have read a commit that failed
            self._follow_no_more()
            row = self._row_in(client_id)
        return None if row is None else str(row["state"])

    def _row_in(self, client_id: int) -> Mapping[str, Any] | None:
        damaged, row = self._damaged, None
        if damaged is None:
            row = self.follow().rows.get(client_id)
        if row is None and self._second is not None:
            followed = self._second.follow()
            row = None if followed is None else followed.rows.get(client_id)
        if row is None and damaged is not None:
            row = damaged.before.rows.get(client_id)
            if row is None:
                damaged.sent.append(client_id)
                row = self._journaled().rows.get(client_id)
        return row

    def follow(self) -> Followed:
        """Return the journal's current contents."""
        if self._followed is None:
            self._followed = Followed(self.journal)
        return self._followed.look()

    def _follow_no_more(self) -> None:
        """Stop following the journals because an incarnation has died, so that the next reader starts at the beginning
        of their files.
        """
        if self._followed is not None:
            self._followed.close()
            self._followed = None
        if self._second is not None:
            self._second.follow_no_more()

    def _journaled(self) -> Journaled:
        return Journaled(self.journal)

    def _all_journaled(self) -> Journaled:
        """Return the combined journals of all bots."""
        found = self._journaled()
        others = None if self._second is None else self._second.journaled()
        if others is not None:
            found.rows.update(others.rows)
            found.told.update(others.told)
            found.replaced.update(others.replaced)
            found.filled.update(others.filled)
        return found

    # -- the calm -------------------------------------------------------------------------------------------------

    async def _calm(self, living: asyncio.Task[None], beside: list[asyncio.Task[None]]) -> None:
        """End all faults, and check that all orders and balances are settled within a minute and that the bot continues
        to trade. Raises Broken.
        """
        if not self.result.crashes:
            while self._life is None or self._life.ended is not None:  # a bot that was cancelled or refused its start
                await asyncio.sleep(0.05)
            self._crash(Crash(at_ms=0))
        self._no_more_faults()
        until = self.loop.time() + CALM_S
        if self._latched_at is not None:
            await self._lift(until, living)
        await self._wait(lambda: self._unsettled(), until, living)
        lives = [life for life in (self._life, self._second and self._second.life) if life is not None]
        if any(life.bot is not None and life.bot.view.router.held() for life in lives):
            until += HOLD_NS / NS_PER_S  # then an order is tried
        for life in lives:
            self._probe(life)
        for life in lives:
            await self._wait(lambda life=life: self._unprobed(life), until, living)  # type: ignore[misc]
        for life in lives:
            self._probe(life)
        await asyncio.sleep(1.0)
        await self._wait(lambda: self._unsettled(), until, living)
        self.tell("settled")
        assert self._life is not None
        self._life.supervisor.request_stop("the run is over")
        if self._second is not None:
            self._second.stop()
        async with asyncio.timeout(30):
            await asyncio.wait([living, *beside])
            for task in (living, *beside):
                task.result()
        self._check_journal(is_settled=True)
        left = [
            order
            for order in self.books.orders.values()
            if order.state.value in ("untriggered", "open", "partly_filled")
            # a disk lost the row after it was synced, and the order arrived only after the next start, which reports it
            and order.new.client_id not in self.books.excused
            and not self._is_overtaken(order.new.client_id)
        ]
        if left:
            raise Broken(f"liveness: {len(left)} orders are open after an orderly stop: {left[:3]}")
        check_no_secret((ACCOUNT.secret,), self._root, self.told)
        # next, the exchange closes its sockets in an order that may vary
        self.result.digest = self.loop.digest

    def _is_overtaken(self, client_id: int) -> bool:
        """Return True for an order whose cancels and reads may have been refused until the stop gave up: two bots use
        one key, the exchange wants increasing nonces, and their requests overtake each other.
        """
        if self._second is None or self.plan.switches.get("nonce") != "increasing":
            return False
        row = self._all_journaled().rows.get(client_id)
        return row is not None and bool(row["cancel_requested"])

    async def _lift(self, until: float, living: asyncio.Task[None]) -> None:
        """Wait until the bot has cancelled its orders after a panic, and then lift the halt as a user would."""

        def standing() -> list[str]:
            life = self._life
            if life is None or life.bot is None or life.ended is not None:
                return ["the bot does not run"]
            if life.bot.view.halted is None:
                return ["panic: the bot is not halted"]
            open_orders = life.bot.view.open_orders()
            return [f"{order.client_id} is {order.state.value}" for order in open_orders if not order.reduces]

        await self._wait(standing, until, living)
        self._latched_at = None
        StateFolder(self._state).clear_halt()
        self.tell("the user lifts the halt")

    async def _wait(self, why: Callable[[], list[str]], until: float, living: asyncio.Task[None]) -> None:
        """Wait until ``why`` returns no more findings. At the timeout, raises Broken with the latest findings."""
        while True:
            if living.done():
                living.result()
                raise Broken("the bot ended before its time")
            left = why()
            if not left:
                return
            # a start waits for what the other bot finds in its minute, and then has a minute of its own
            has_waited = self._second is not None and self._second.has_waited
            if self.loop.time() > until + (CALM_S if has_waited else 0.0):
                raise Broken(f"liveness: {CALM_S:g} s after the last fault: " + "; ".join(left[:5]))
            await asyncio.sleep(0.25)

    def _unsettled(self) -> list[str]:
        """Return the differences between bots and exchange that have not been settled yet."""
        if self._damaged is not None:
            return ["the journal is damaged"]
        found = self._unsettled_life(self._life)
        if not found and self._second is not None:
            found = self._unsettled_life(self._second.life)
        if found:
            return found
        if self._second is None:
            followed = self.follow()
            found = self.books.settled(followed.rows, followed.told)
            if found and any(fault.kind == "disk_failing" for fault in self.plan.faults):
                self._follow_no_more()  # the reader may have read a commit that failed
            return found
        journals = [self.follow(), self._second.follow()]
        rows = {client_id: row for found in journals if found is not None for client_id, row in found.rows.items()}
        told = {client_id: lots for found in journals if found is not None for client_id, lots in found.told.items()}
        left = self.books.settled(rows, told)
        if left and any(fault.kind == "disk_failing" for fault in self.plan.faults):
            self._follow_no_more()  # the reader may have read a commit that failed
        return left

    def _unsettled_life(self, life: Life | None) -> list[str]:
        if life is None or life.bot is None or life.ended is not None:
            return ["the bot does not trade"]
        bot = life.bot
        if bot.view.halted is not None:
            self._resume(bot)
            return [f"the bot is halted: {bot.view.halted}"]
        if bot.driver.journal_fault is not None:
            return [bot.driver.journal_fault]
        if any(strategy.halted or not strategy.active for strategy in bot.view.strategies()):
            return [f"a strategy is stopped: {bot.view.strategies()}"]
        found = [
            f"{order.client_id} is {order.state.value}"
            for order in bot.view.open_orders()
            if order.state.value not in _RESTING or order.cancel_requested
        ]
        if found:
            return found
        now = bot.driver.now()
        found = [
            f"{order.client_id} should have expired"
            for order in bot.view.open_orders()
            if order.expires is not None and order.expires < now
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
            # This bot learns of another bot's actions at the next comparison, which may be a minute away. Nor does it
            # know an order that a lying disk lost; it warns at the next comparison, and follows the account at the one
            # after that.
            if account.get(currency, 0) != units and self._second is None and not self.books.excused
        ]
        if found:
            return found
        bot.view.money.check()
        return self._wrongly_owned(life, bot)

    def _wrongly_owned(self, life: Life, bot: Bot) -> list[str]:
        """Check I5 in the bot's portfolio: its holdings must equal the initial holdings adjusted by its orders' trades.
        Return violations.
        """
        if self.books.excused:
            return []
        share = 1 if self._second is None else 2
        followed = self.follow() if life is self._life else self._second and self._second.follow()
        rows = {} if followed is None else followed.rows
        wanted = self.books.owned({c: units // share for c, units in BALANCES.items()}, rows.__contains__)
        found = bot.view.money.holdings(None)
        document = bot.view.money.document()
        wrong = wrong_positions(document)
        if wrong:
            return wrong
        if self._second is None:
            parts = document["ledger"]["parts"].values()
            for currency in BALANCES:
                locked = sum(part[currency][1] for part in parts if currency in part)
                there = self.books.locked(currency)
                if abs(locked - there) > len(self.books.still_open()):  # each lock may be rounded by one unit
                    return [f"{locked} units of {currency} are locked by its books, and {there} at the exchange"]
        return [
            f"{life.process.name} owns {found.get(currency, 0)} of {currency} by its books, and {units} by its trades"
            for currency, units in wanted.items()
            if found.get(currency, 0) != units
        ]

    def _resume(self, bot: Bot) -> None:
        """Lift a halt that the faults demand, as a user would: the exchange refused every order, or a damaged commit
        is missed only by a later start, because the start after the damage died before its order arrived.
        """
        reason = bot.view.halted or ""
        folder = bot.parts.folder.path
        is_refused = "orders in a row" in reason and any(self.faults[kind] for kind in _REFUSING)
        is_lost = "has lost its latest commits" in reason and bool(self.books.excused)
        if (is_refused or is_lost) and folder not in self._resumed:
            self._resumed.add(folder)
            StateFolder(folder).clear_halt()
            self.tell(f"the user lifts the halt: {reason}")
            why = "for refused orders" if is_refused else "for a lost commit"
            self.reached(f"a halt {why}, lifted by the user")

    def _probe(self, life: Life) -> None:
        """Make the strategy place an order in each pair."""
        assert life.bot is not None
        self._probes += 1
        self._probed_at = self.loop.time()
        parts = life.bot.parts
        commands.leave(parts.folder, "set", strategy="t", name="probe", value=self._probes, clock=parts.machine.clock)

    def _unprobed(self, life: Life) -> list[str]:
        assert life.bot is not None
        probes = [order for order in life.bot.view.orders() if order.spec.tag == "probe"]
        if self.loop.time() > self._probed_at + 5.0 and (
            any(
                order.state.value in ("not_sent", "cancelled") or " is held since " in order.reason
                for order in probes[-2:]
            )
            or {order.pair for order in probes} != set(PAIRS)
        ):
            # Either the probe was too early, so new orders were not allowed again yet, or its pair was held; or the
            # strategy cancelled its order; or the strategy placed no order, because its own market order had emptied
            # one side of the book.
            self._probe(life)
        found = {str(order.pair): f"{order.state.value} {order.reason}" for order in probes}
        return [
            f"{pair} is blocked: {found.get(pair, 'no order')}"
            for pair in PAIRS
            if not found.get(pair, "").startswith("open") and not any(why in found.get(pair, "") for why in _ITS_OWN)
        ]

    def _check_journal(self, *, is_settled: bool = False) -> None:
        """Check the complete journal from a reader's perspective. ``is_settled`` means that a bot has stopped cleanly.
        Raises Broken.
        """
        if not self.books.orders or self._damaged is not None:
            return  # there may be no journal yet
        if not (self._state / "journal.sqlite").exists():
            return
        journaled = self._all_journaled()
        check_rows(journaled.rows)
        check_fills(journaled.rows, journaled.filled)
        self.books.check(journaled.rows)
        self.books.check_told(journaled.told)
        self.books.check_replaced(journaled.replaced)
        found = self.books.settled(journaled.rows, journaled.told) if is_settled else []
        if found:
            raise Broken(f"liveness: after an orderly stop, {'; '.join(found[:5])}")


class _Watched:
    """An adapter that reports a bot's actions, so that crashes can be timed by these actions."""

    def __init__(self, adapter: Any, run: Run, life: Life) -> None:
        self._adapter = adapter
        self._run = run
        self._life = life

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def send(self, request: Any, *, urgent: bool = False) -> Any:
        """Send as the wrapped adapter does, and report the action."""
        self._run.did("send")
        kind = request.endpoint.partition("_")[0]
        if kind in ("create", "cancel"):
            self._run.did(kind)
        life = self._life
        try:
            self._run.check_latch(life, request)
            life.standstills.sends(request.endpoint)
        except Broken as error:
            self._run.break_off(error)
        sent = self._adapter.send(request, urgent=urgent)
        return _Sent(self._answered(request, kind, life.woke, sent), sent)

    async def _answered(self, request: Any, kind: str, woke: int, sent: Any) -> Any:
        self._run.begins(kind if kind in ("create", "cancel") else "read", asyncio.current_task())
        life = self._life
        answer = await sent
        if woke == life.woke and answer.outcome is Ending.OK:
            life.standstills.reads(request.endpoint)
        if kind == "create":
            self._run.did("answer")
        return answer


class _Sent:
    """The pending response to a watched request. A task that was cancelled before it started closes both coroutines."""

    def __init__(self, answered: Any, sent: Any) -> None:
        self._answered = answered
        self._sent = sent

    def __await__(self) -> Any:
        return self._answered.__await__()

    def close(self) -> None:
        """Close the coroutines if they never started."""
        self._answered.close()
        self._sent.close()


class _ArmedCancel:
    def __init__(self, cancel: Cancel) -> None:
        self.cancel = cancel
        self.left = cancel.nth
        self.task: asyncio.Task[Any] | None = None
        self.at_round = 0


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
        stack.enter_context(mock.patch.object(journal_log, "SEGMENT_BYTES", _SEGMENT_BYTES))
        stack.enter_context(mock.patch("os.getpid", _pid))
        stack.enter_context(mock.patch("socket.gethostname", return_value="machine"))
        run = Run(plan, folder, loop)
        stack.enter_context(run.reached.watching())
        stack.enter_context(projects_shared(has_few_creates=plan.has_few_creates))
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
    del run  # the run refers to dead bots with unstarted requests, whose warnings are expected here
    if gc.isenabled():
        collect()
    return result


def _pid() -> int:
    process = PROCESS.get()
    return 1 if process is None else process.pid


def _is_aiohttps_own(error: BaseException) -> bool:
    """Return True if aiohttp itself caused an error: after a late task step, its server starts a handler whose
    connection is already gone.
    """
    *_, frame = traceback.walk_tb(error.__traceback__)
    return frame[0].f_code.co_filename.endswith("aiohttp/web_protocol.py")


class _Records(logging.Handler):
    """Collects problems from a run's log: secrets and unexpected exceptions."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.errors.append(f"{record.getMessage()}\n{''.join(traceback.format_exception(record.exc_info[1]))}")
        if ACCOUNT.secret in record.getMessage():
            self.errors.append("I8: a secret is in the log")

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
