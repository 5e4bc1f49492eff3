"""A bot and an emulator in one process. Tests can start, crash and restart the bot."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

import msgspec

from botkit.assembly.live_parts import LiveParts, make_parts
from botkit.config.simulated import FeesConfig
from botkit.emulator import DEFAULT_ACCOUNT, Emulator, EmulatorOptions
from botkit.emulator.switches import choose
from botkit.live.bot import Bot
from botkit.live.disk import RealDisk, RealDurableFiles, RealFiles
from botkit.live.notices import Notices
from botkit.live.ports import DurableFile
from botkit.live.starting import OrphanChoice, start
from botkit.live.state_folder import StateFolder
from botkit.live.supervisor import Supervisor
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import RESTING_STATES, Order, OrderState, OrderType, Side
from botkit.model.pairs import Pair
from botkit.model.requests import CancelOrder, CreateOrder
from botkit.project.connect import connect
from botkit.project.project import Project
from tests.simulation.loop import VirtualLoop
from tests.waiting import PATIENCE_S

UNIT = 10**8
STRATEGY = """
from botkit import Strategy, Pair, hookimpl, param

class Puppet(Strategy):
    pair: Pair
    size: float = param(0.01, gt=0, live=True)
    fixed: int = 1

    def on_start(self):
        self.heard = []
        self.series = self.subscribe_bars(self.pair, "1m", warm_up=5)
        self.subscribe_book(self.pair, depth=5)

    def on_order(self, order):
        self.heard.append((order.client_id, order.state.value))

    def on_params(self, changed):
        self.heard.append(("params", changed))

@hookimpl
def botkit_register_strategies(register):
    register("puppet", Puppet)
"""
CONFIG = """
name: world
plugins: [plugins]
strategies:
  - {name: p, use: puppet, params: {pair: btc_usdt}}
emulator:
  balances: {usdt: 100000, btc: 1}
"""
#: an identical configuration, except that the strategy has its own capital in coins
WITH_COINS = CONFIG.replace("use: puppet,", 'use: puppet, capital: {usdt: "90000", btc: "1"},')


class LimitedDisk(RealDisk):
    """The real disk of this machine. A test can make it reject all writes."""

    def __init__(self) -> None:
        super().__init__()
        self.error: OSError | None = None
        self._names = ""
        self.files = _LimitedFiles(self)
        self.durable = _LimitedDurableFiles(self)
        self._connections: list[sqlite3.Connection] = []

    def connect(self, path: Path, *, read_only: bool = False) -> sqlite3.Connection:
        made = super().connect(path, read_only=read_only)
        self._connections.append(made)
        return made

    def check(self, path: Path) -> None:
        if self.error is not None and path.name.startswith(self._names):
            raise self.error

    @contextlib.contextmanager
    def read_only(self, names: str = "") -> Iterator[None]:
        """Make files whose names start with ``names`` unwritable until the block exits."""
        self._names = names
        self.error = OSError(errno.EROFS, os.strerror(errno.EROFS))
        self._query_only(True)
        try:
            yield
        finally:
            self.error = None
            self._query_only(False)

    def _query_only(self, is_so: bool) -> None:
        for made in self._connections:
            with contextlib.suppress(sqlite3.ProgrammingError):  # the connection is already closed
                made.execute(f"PRAGMA query_only={int(is_so)}")


class _LimitedFiles(RealFiles):
    def __init__(self, disk: LimitedDisk) -> None:
        self._disk = disk

    def write(self, path: Path, content: bytes, *, durable: bool = True) -> None:
        self._disk.check(path)
        super().write(path, content, durable=durable)


class _LimitedDurableFiles(RealDurableFiles):
    def __init__(self, disk: LimitedDisk) -> None:
        self._disk = disk

    def open(self, path: Path) -> DurableFile:
        return _LimitedFile(super().open(path), path, self._disk)


class _LimitedFile:
    def __init__(self, file: DurableFile, path: Path, disk: LimitedDisk) -> None:
        self._file, self._path, self._disk = file, path, disk
        self.size, self.close = file.size, file.close

    def write(self, at: int, content: bytes) -> None:
        self._disk.check(self._path)
        self._file.write(at, content)


class World:
    """An emulator, and the successive bots connected to it."""

    def __init__(self, folder: Path, emulator: Emulator, config: Path, speed: float) -> None:
        self.folder = folder
        self.emulator = emulator
        self.config = config
        self.speed = speed
        self.bots: list[Bot] = []
        self.disk = LimitedDisk()
        #: the latest bot's messages
        self.told: list[tuple[str, str]] = []

    def parts(
        self,
        *,
        is_new_world: bool = False,
        wrap: Callable[[Any], Any] = lambda adapter: adapter,
        rest: str | None = None,
        ws: str | None = None,
        latest_accept_s: float = 2,
        pairs: Mapping[str, Pair] | None = None,
    ) -> LiveParts:
        """Return a bot's parts. ``rest`` and ``ws`` override the emulator's addresses, ``pairs`` those that are bundled
        with botkit.
        """
        project = Project.load(self.config)
        if pairs is not None:
            project.take_pairs(pairs)
        clock = self.emulator.clock
        adapter = connect(
            project, DEFAULT_ACCOUNT, rest or self.emulator.rest, ws or self.emulator.ws, clock, random=Random(0)
        )
        return make_parts(
            project,
            "emulator",
            adapter=wrap(adapter),
            clock=clock,
            folder=StateFolder(self.folder / "state", self.disk),
            fees=FeesConfig(),
            latest_accept_s=latest_accept_s,
            is_new_world=is_new_world,
        )

    async def start(self, **options: Any) -> Bot:
        orphans = options.pop("orphans", "refuse")
        return await self.start_from(self.parts(**options), orphans=orphans)

    async def start_from(self, parts: LiveParts, *, orphans: OrphanChoice = "refuse") -> Bot:
        """Start a bot and return it once it is trading. Its startup messages are available in ``told`` even if the
        start is refused.
        """
        notices, self.told = Notices(), []
        said = self.told
        notices.listeners.append(lambda level, text: said.append((level, text)))
        bot = await start(parts, notices, orphans=orphans)
        bot.told = said  # type: ignore[attr-defined]
        self.bots.append(bot)
        await until(lambda: puppet(bot).last_price("btc_usdt") is not None)
        return bot

    async def crash(self, bot: Bot) -> None:
        """Make the bot's process die. It sends and writes nothing more."""
        bot.driver.fault = RuntimeError("crashed by the test")
        await bot.driver.close()
        with self.disk.read_only():
            await bot.close()

    def exchange_orders(self, *, open_only: bool = False) -> list[Any]:
        reports = self.emulator.venue.kernel.orders(DEFAULT_ACCOUNT.email)
        return [row for row in reports if not open_only or row.state in RESTING_STATES]


def puppet(bot: Bot) -> Any:
    """Return the strategy object. The plugin manager stores every instance by name."""
    return strategy_of(bot, "p")


def strategy_of(bot: Bot, name: str) -> Any:
    return bot.parts.project.plugins.manager.get_plugin(f"strategy:{name}")  # type: ignore[attr-defined]


def told(bot: Bot) -> str:
    return "\n".join(text for _, text in bot.told)  # type: ignore[attr-defined]


def far_buy(bot: Bot, amount: float = 0.01) -> Order:
    """Place a buy at half the market price."""
    order: Order = puppet(bot).buy("btc_usdt", amount=amount, price=round(puppet(bot).last_price("btc_usdt") / 2))
    bot.driver.wake()
    return order


def place_by_hand(world: World, pair: Any, number: int, side: Side = Side.BUY) -> None:
    """Place an order far from the market on the same account, with a client ID that is not the bot's."""
    ticks = 10**5 if side is Side.BUY else 10**8
    new = OrderSpec(client_id=number, pair=pair, side=side, type=OrderType.LIMIT, price_ticks=ticks, amount_lots=10**5)
    now = world.emulator.clock.now()
    world.emulator.venue.submit(
        DEFAULT_ACCOUNT.email, lambda i: CreateOrder(id=i, order=new, timestamp=now), now, lambda answer, at: None
    )


def cancel_by_hand(world: World, row: Any) -> None:
    """Cancel an order on the same account, as its user would on the website."""
    world.emulator.venue.submit(
        DEFAULT_ACCOUNT.email,
        lambda i: CancelOrder(id=i, pair=row.pair, order_id=row.order_id),
        world.emulator.clock.now(),
        lambda answer, at: None,
    )


#: the beginning of the row of btc_usdt in the exchange's list of pairs
_LISTED = (
    '"pair":"btc_usdt","base":"btc","quote":"usdt","basePrecision":"8","quotePrecision":"2",'
    '"minLimitBaseAmount":"0.0001"'
)


def change_listed_rule(world: World, old: str, new: str) -> None:
    """Make the exchange list another rule for btc_usdt, without following it."""
    assert old in _LISTED
    put = _LISTED.replace(old, new)
    world.emulator.add_fault({"kind": "altered", "where": "trading_pairs", "find": re.escape(_LISTED), "put": put})


async def until(condition: Callable[[], Any], timeout_s: float = 10.0) -> None:
    """Wait until a condition is met.

    In real time, the timeout is at least `PATIENCE_S`, so that the test does not fail on a slow machine.
    """
    is_virtual = isinstance(asyncio.get_running_loop(), VirtualLoop)
    async with asyncio.timeout(timeout_s if is_virtual else max(timeout_s, PATIENCE_S)):
        while not condition():
            if is_virtual:
                await asyncio.sleep(0.005)
            else:  # less often, because looking at an exchange with many orders costs a few milliseconds
                await asyncio.sleep(0.02)


async def settled(order: Order) -> None:
    await until(lambda: order.state not in (OrderState.QUEUED, OrderState.SENDING, OrderState.UNKNOWN))


@contextlib.asynccontextmanager
async def kept(bot: Bot) -> AsyncIterator[Supervisor]:
    """Run the bot with its supervisor, as `botkit run` does, until the block exits."""
    supervisor = Supervisor()
    running = asyncio.create_task(supervisor.run(bot, None))
    try:
        yield supervisor
    finally:
        supervisor.request_stop("the test is over")
        await running


@contextlib.asynccontextmanager
async def make_world(
    folder: Path,
    *,
    speed: float = 20.0,
    config: str = CONFIG,
    switches: Mapping[str, str] = MappingProxyType({}),
    pairs: Mapping[str, Pair] = MappingProxyType({}),
) -> AsyncIterator[World]:
    """``pairs`` replace those that are bundled with botkit at the exchange."""
    plugins = folder / "plugins"
    plugins.mkdir()
    (plugins / "puppet.py").write_text(STRATEGY)
    path = folder / "world.yaml"
    path.write_text(config)
    facts = Project.load(path).facts
    facts = msgspec.structs.replace(facts, pairs={**facts.pairs, **pairs})
    balances = {"usdt": 100_000 * UNIT, "btc": 1 * UNIT}
    options = EmulatorOptions(balances=balances, speed=speed, seed=3, history_days=0.02, switches=choose(switches))
    async with Emulator(facts, options) as emulator:
        world = World(folder, emulator, path, speed)
        try:
            yield world
            # the exchange must not have refused any requests because of rate limits, except in a storm of 429s that the
            # test requested
            assert not emulator.venue.limits.refused, emulator.venue.limits.counts
        finally:
            for bot in world.bots:
                await bot.driver.close()
                await bot.close()
