"""Other programs on the account or the machine: a second bot, the bot's guard, `botkit panic`, and the limits broker.

All of them are the real programs. The broker listens on the simulated network. Each of the other programs connects to
the broker and the exchange as a separate process would. Guard and panic read the bot's journal and never write to it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from botkit.errors import BotkitError
from botkit.live.disk import REAL_DISK
from botkit.live.guard import Guard
from botkit.live.journal import Journal
from botkit.live.limits.broker import Broker, BrokerFolder
from botkit.live.notices import Notices
from botkit.live.panic import OwnOrders, PanicResult, hold_back, own_orders, panic
from botkit.live.starting import start
from botkit.live.state_folder import StateFolder
from botkit.live.supervisor import Supervisor
from tests.simulation.checks import Broken, Followed, Journaled, check_rows
from tests.simulation.disk import Medium, SimulatedDisk
from tests.simulation.loop import Process, in_process
from tests.simulation.machine import VirtualClock

if TYPE_CHECKING:
    from tests.simulation.world import Life, Run

T = TypeVar("T")

#: how long a bot must have run undisturbed, in addition to the guard's patience, before an intervention by its guard is
#: considered an error
_WELL_S = 3.0


class BrokerBeside:
    """The machine's broker, which may be killed and restarted."""

    def __init__(self, run: Run, folder: Path) -> None:
        self._run = run
        self.folder = folder
        folder.mkdir()
        self._count = 0
        self.start()

    def start(self) -> None:
        """Start a broker that continues its predecessor's ledger."""
        self._count += 1
        self._process = Process(f"broker {self._count}")
        self._serving = self._run.loop.create_task(self._serve(), context=in_process(self._process))

    async def _serve(self) -> None:
        # a broker exits when no bot uses it, and the next bot that needs a broker starts one
        folder, clock = BrokerFolder(self.folder, by_port=False), VirtualClock(self._run.loop)
        while True:
            random = Random(f"broker {self._count}")
            await Broker(folder, REAL_DISK.files, clock.counter_ns, random, "the only boot").serve()

    def kill(self) -> None:
        """Kill the broker as kill -9 does."""
        self._run.loop.kill(self._process)


class SecondBot:
    """A second bot on the account, which trades alongside the plan's main bot, dies and restarts."""

    def __init__(self, run: Run, config: Path, state: Path, deaths_ms: tuple[int, ...]) -> None:
        self._run = run
        self.config = config
        self.state = state
        self._deaths = [ms / 1000 for ms in deaths_ms]
        self._medium = Medium(f"second {run.plan.seed}")
        self.life: Life | None = None
        self._lives = 0
        self._followed: Followed | None = None
        self._stops = False
        #: True if a start was refused in the calm because the main bot's claim was not up to date yet
        self.has_waited = False

    @property
    def _journal(self) -> Path:
        return self.state / "journal.sqlite"

    def journaled(self) -> Journaled | None:
        """Return the contents of the bot's journal, or None if there is no journal yet."""
        return Journaled(self._journal) if self._journal.exists() else None

    def follow(self) -> Followed | None:
        """Return the journal's current contents, or None if there is no journal yet."""
        if self._followed is None:
            if not self._journal.exists():
                return None
            self._followed = Followed(self._journal)
        return self._followed.look()

    def follow_no_more(self) -> None:
        """Stop following the journal, so that the next reader starts at the beginning of its files."""
        if self._followed is not None:
            self._followed.close()
            self._followed = None

    async def live(self) -> None:
        """Run incarnations of the bot until `stop` is called."""
        from tests.simulation.world import Life

        run = self._run
        while not self._stops:
            self._lives += 1
            self.follow_no_more()
            disk = SimulatedDisk(medium=self._medium)
            life = self.life = Life(
                f"second {self._lives}", self._lives + 5_000, disk, VirtualClock(run.loop), self.config, self.state
            )
            work = run.loop.create_task(self._incarnation(life), context=in_process(life.process))
            death = asyncio.ensure_future(self._death())
            try:
                await asyncio.wait([work, death], return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    work.result()
                else:
                    run.tell(f"{life.process.name} dies")
                    run.loop.kill(life.process)
                    life.ended = "killed"
                    run.faults["second_dies"] += 1
            finally:
                death.cancel()
                if not work.done() and life.ended is None:
                    run.loop.kill(life.process)
                disk.die()
            self.check()
            if life.ended != "stopped":
                await asyncio.sleep(1.0)

    async def _death(self) -> None:
        if not self._deaths or self._run.is_calm:
            await asyncio.Event().wait()
        await asyncio.sleep(max(0.0, self._deaths.pop(0) - self._run.loop.time()))

    async def _incarnation(self, life: Life) -> None:
        run, notices = self._run, Notices()
        notices.listeners.append(lambda level, text: run.heard(life, level, text))
        try:
            bot = await start(run.parts(life), notices)
        except BotkitError as error:
            run.tell(f"{life.process.name} did not start: {error}")
            life.ended = "refused"
            self.has_waited |= run.is_calm and "belongs to the bot" in str(error)
            return
        life.bot = bot
        run.tell(f"{life.process.name} trades")
        life.supervisor = Supervisor()
        await life.supervisor.run(bot, None)
        if bot.driver.fault is not None:
            raise Broken(f"the second bot hit an internal error: {bot.driver.fault!r}") from bot.driver.fault
        await life.supervisor.stop(bot)
        await bot.close()
        life.ended = "stopped"

    def stop(self) -> None:
        """Stop the bot cleanly."""
        self._stops = True
        if self.life is not None:
            self.life.supervisor.request_stop("the run is over")

    def check(self) -> None:
        """Check the invariants that concern only the bot's own journal. Raises Broken."""
        journaled = self.journaled()
        if journaled is not None:
            check_rows(journaled.rows)


class GuardBeside:
    """The guard of one incarnation of the bot."""

    def __init__(self, run: Run, life: Life, guard_s: float) -> None:
        self._run = run
        self._life = life
        self._guard_s = guard_s
        self.process = Process(f"guard of {life.process.name}")
        self.clock = VirtualClock(run.loop)
        folder = StateFolder(life.state, SimulatedDisk(medium=run.medium))
        guard = Guard(folder, guard_s, life.process.pid, self._cancel, clock=self.clock, say=self._say)
        context = in_process(self.process)
        run.loop.run_in_executor(None, lambda: context.run(guard.run))

    def _say(self, text: str) -> None:
        self._run.tell(f"{self.process.name}: {text}")
        self._run.told.append(text)
        self._run.note_hurry(text)

    def _cancel(self) -> PanicResult:
        run, life = self._run, self._life
        run.faults["guard_strikes"] += 1
        if run.is_well(life, self._guard_s + _WELL_S):
            run.break_off(Broken("guard: it cancels the orders of a bot that lives and beats"))
        journal = Journal.open(life.state / "journal.sqlite", read_only=True)
        own = own_orders(journal)
        journal.close()
        before = run.open_orders_of(life.state)
        result = _blocking(run, self.clock, self.process, lambda: cancel_all(run, own, own_only=True, say=self._say))
        if result.left == ():
            run.check_none_left("guard", before)
            run.reached("a guard has cancelled its bot's orders")
        return result


async def cancel_all(run: Run, own: OwnOrders, *, own_only: bool, say: Callable[[str], None]) -> PanicResult:
    """Cancel an account's orders as a second process does, over separate connections."""
    adapter, sharing = run.second_way()
    async with adapter, sharing.outside_router(adapter, hurries=True, say=say) as access:
        return await panic(access, own, own_only=own_only, can=adapter.capabilities, say=say)


async def panic_beside(run: Run, state: Path, *, own_only: bool, is_latched: Callable[[], None]) -> None:
    """Run `botkit panic` as if from another terminal. ``is_latched`` is called once new orders are blocked."""

    def say(text: str) -> None:
        run.tell(f"panic: {text}")
        run.told.append(text)
        run.note_hurry(text)

    own = OwnOrders(())
    with contextlib.suppress(BotkitError):
        journal = Journal.open(state / "journal.sqlite", read_only=True)
        own = own_orders(journal)
        journal.close()
    if hold_back(StateFolder(state, SimulatedDisk(medium=run.medium)), VirtualClock(run.loop).wall_ns(), say):
        is_latched()
    before = run.open_orders_of(state if own_only else None)
    result = await cancel_all(run, own, own_only=own_only, say=say)
    run.tell(f"panic: {result.cancelled} cancelled, {len(result.left or ())} left")
    if result.left == ():
        run.check_none_left("panic", before)
        run.reached("a panic left nothing open")


def _blocking(run: Run, clock: VirtualClock, process: Process, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on the loop on behalf of a thread that takes turns with the loop, and return its result."""
    task = run.loop.create_task(make(), context=in_process(process))
    while not task.done():
        clock.sleep(0.05)
    return task.result()
