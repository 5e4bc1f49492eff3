"""A journal that an older version of botkit left with many unfinished orders, and the exchange's state at that time.

``fixtures/journal-3a4e07c/`` was written at that commit by ``python -m tests.live.frozen_journal FOLDER``. It is never
regenerated, because it proves that later versions of botkit can read it. ``venue.json`` in the same folder contains the
exchange's state when the bot died. Only `venue_as_left` and `execute` use the emulator's internals.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from botkit.emulator import DEFAULT_ACCOUNT, Emulator, EmulatorOptions
from botkit.live.bot import Bot
from botkit.live.journal import Journal
from botkit.live.notices import Notices
from botkit.live.starting import start
from botkit.model.clock import NS_PER_MINUTE, NS_PER_S, Nanos
from botkit.model.inputs import SetParameter
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import Condition, Order, OrderState, OrderType, Side
from botkit.model.requests import Answer, CancelOrder, CreateOrder, Ending
from botkit.project.project import Project
from botkit.sim.venue_event import VenueEvent
from tests.live.world import World, settled, strategy_of, until

FIXTURE = Path(__file__).parent / "fixtures" / "journal-3a4e07c"
#: start time of the old bot, in emulator time
BEGAN: Nanos = 1_764_400_000 * NS_PER_S // NS_PER_MINUTE * NS_PER_MINUTE
STRATEGY = """
from botkit import Strategy, Pair, hookimpl, param

class Keeper(Strategy):
    pair: Pair
    size: float = param(0.01, gt=0, live=True)

    def on_start(self):
        self.heard = []
        self.rung = []
        self.subscribe_book(self.pair, depth=5)
        self.set_timer("often", every_s=5, missed="once")
        self.set_timer("daily", cron="0 9 * * *", missed="skip")

    def on_order(self, order):
        self.heard.append((order.client_id, order.state.value))

    def on_timer(self, timer):
        self.rung.append(timer.name)

@hookimpl
def botkit_register_strategies(register):
    register("keeper", Keeper)
"""
CONFIG = """
name: frozen
plugins: [plugins]
limits: {batching: false}
strategies:
  - {name: p, use: keeper, params: {pair: btc_usdt}, capital: {usdt: 60000}}
  - {name: q, use: keeper, params: {pair: btc_twd}}
emulator:
  balances: {usdt: 100000, btc: 1, twd: 5000000}
"""
UNIT = 10**8
BALANCES = {"usdt": 100_000 * UNIT, "btc": 1 * UNIT, "twd": 5_000_000 * UNIT}


@contextlib.asynccontextmanager
async def frozen_world(folder: Path, start: Nanos) -> AsyncIterator[World]:
    """Yield a world whose emulator clock starts at ``start``."""
    plugins = folder / "plugins"
    plugins.mkdir()
    (plugins / "keeper.py").write_text(STRATEGY)
    config = folder / "frozen.yaml"
    config.write_text(CONFIG)
    options = EmulatorOptions(balances=BALANCES, speed=5.0, seed=3, history_days=0.02, start=start)
    async with Emulator(Project.load(config).facts, options) as emulator:
        world = World(folder, emulator, config, 5.0)
        try:
            yield world
            assert not emulator.venue.limits.refused, emulator.venue.limits.counts
        finally:
            for bot in world.bots:
                await bot.driver.close()
                await bot.close()


def strategy(bot: Bot, name: str) -> Any:
    return strategy_of(bot, name)


async def started(world: World, wrap: Any = lambda adapter: adapter) -> Bot:
    bot = await start(world.parts(wrap=wrap), Notices())
    world.bots.append(bot)
    await until(lambda: all(strategy(bot, name).book(pair).mid for name, pair in PAIR_OF.items()))
    return bot


PAIR_OF = {"p": "btc_usdt", "q": "btc_twd"}


# -- the exchange's side ------------------------------------------------------------------------------------------


def execute(emulator: Emulator, client_id: int, lots: int) -> None:
    """Execute ``lots`` of a resting order at its limit price, as if another user had traded against it."""
    kernel = emulator.venue.kernel
    [order] = [o for o in kernel.account(DEFAULT_ACCOUNT.email).orders.values() if o.new.client_id == client_id]
    event = VenueEvent(kernel.now)
    ledger = kernel._ledger
    ledger.fill(order, order.price_ticks, lots, event, is_maker=True)
    kernel._accounts.tell(event)


def venue_picture(emulator: Emulator) -> dict[str, Any]:
    """Return the exchange's state: open orders with their executed amounts, and the account's balances."""
    kernel = emulator.venue.kernel
    account = kernel.account(DEFAULT_ACCOUNT.email)
    orders = [
        {"order_id": o.order_id, "executed_lots": o.executed_lots, "new": msgspec.to_builtins(o.new, enc_hook=str)}
        for o in account.open.values()
    ]
    return {
        "time": kernel.now,
        "orders": orders,
        "ledger": {c: list(v) for c, v in account.balances().balances.items()},
    }


def _create(order: OrderSpec, now: Nanos, number: int) -> CreateOrder:
    return CreateOrder(id=number, order=order, timestamp=now)


async def venue_as_left(emulator: Emulator, picture: dict[str, Any]) -> None:
    """Set up the emulator with the balances and open orders of a snapshot, including order IDs and executed amounts."""
    venue, kernel = emulator.venue, emulator.venue.kernel
    account = kernel.account(DEFAULT_ACCOUNT.email)
    for row in picture["orders"]:
        new = row["new"]
        asked = OrderSpec(
            client_id=new["client_id"],
            pair=emulator.venue.pairs[new["pair"]],
            side=Side(new["side"]),
            type=OrderType(new["type"]),
            price_ticks=new["price_ticks"],
            amount_lots=new["amount_lots"],
            stop_ticks=new["stop_ticks"],
            condition=Condition(new["condition"]) if new["condition"] else None,
            post_only=new["post_only"],
        )
        venue.submit(DEFAULT_ACCOUNT.email, partial(_create, asked, kernel.now), kernel.now, lambda answer, at: None)
    await until(lambda: len(account.open) == len(picture["orders"]))
    for row in picture["orders"]:
        [order] = [o for o in account.open.values() if o.new.client_id == row["new"]["client_id"]]
        del account.open[order.order_id], account.orders[order.order_id]
        order.order_id = row["order_id"]
        account.open[order.order_id] = account.orders[order.order_id] = order
        if row["executed_lots"]:
            execute(emulator, order.new.client_id, row["executed_lots"])
            assert order.state is OrderState.PARTLY_FILLED
    for currency, (total, _) in picture["ledger"].items():
        kernel.transfer(DEFAULT_ACCOUNT.email, currency, total - account.total.get(currency, 0))
    assert {c: list(v) for c, v in account.balances().balances.items()} == picture["ledger"]


# -- how the fixture was written ----------------------------------------------------------------------------------


class _Dying:
    """Wraps a bot's adapter. Once ``is_deaf`` is set, requests are lost or get no response, except creates, which are
    handled according to ``fate``.
    """

    def __init__(self, adapter: Any) -> None:
        self._adapter = adapter
        self.is_deaf = False
        #: what happens to a create, by its amount in lots: (whether it reaches the exchange, whether its outcome is
        #: unknown)
        self.fate: dict[int, tuple[bool, bool]] = {}
        self.met: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def watch(self, sink: Any, **options: Any) -> None:
        def hearing(event: Any) -> None:
            if not self.is_deaf:
                sink(event)

        self._adapter.watch(hearing, **options)

    async def send(self, request: Any, *, urgent: bool = False) -> Answer:
        if not self.is_deaf:
            answer: Answer = await self._adapter.send(request, urgent=urgent)
            return answer
        if isinstance(request, CreateOrder):
            arrives, is_unknown = self.fate[request.order.amount_lots]
            if arrives:
                await self._adapter.send(request, urgent=urgent)
            self.met.append(request.order.amount_lots)
            if is_unknown:
                return Answer(request_id=request.id, outcome=Ending.UNKNOWN, status=504, text="gateway timeout")
        elif isinstance(request, CancelOrder):
            self.met.append(-1)
        await asyncio.Event().wait()
        raise AssertionError


async def write(folder: Path, out: Path) -> None:
    """Run a bot, kill it with many unfinished orders, and save its journal and the exchange's state."""
    wrapped: list[_Dying] = []

    def wrap(adapter: Any) -> Any:
        wrapped.append(_Dying(adapter))
        return wrapped[0]

    async with frozen_world(folder, BEGAN) as world:
        bot = await started(world, wrap)
        dying, p, q = wrapped[0], strategy(bot, "p"), strategy(bot, "q")
        price = {name: strategy(bot, name).book(pair).mid for name, pair in PAIR_OF.items()}

        async def placed(order: Order) -> Order:
            bot.driver.wake()
            await settled(order)
            return order

        def buy(name: str, amount: float, **options: Any) -> Order:
            order: Order = strategy(bot, name).buy(
                PAIR_OF[name], amount=amount, price=round(price[name] / 2), **options
            )
            return order

        bought = await placed(p.market_buy("btc_usdt", spend=3_000))
        p.protect("btc_usdt", trail_pct=50)
        await placed(q.market_buy("btc_twd", spend=20_000))
        await placed(buy("p", 0.011, tag="plain", expire_s=10**8))
        await placed(q.sell("btc_twd", amount=0.012, price=round(price["q"] * 2), post_only=True))
        stop = await placed(
            p.sell("btc_usdt", amount=0.013, price=round(price["p"] / 4), stop_price=round(price["p"] / 3), tag="stop")
        )
        assert stop.state is OrderState.UNTRIGGERED, (stop.state, stop.reason)
        q.quote("btc_twd", bids=[(round(price["q"] / 3), 0.014)], tag="ladder")
        partly = await placed(buy("p", 0.02))
        execute(world.emulator, partly.client_id, partly.pair.rules.lots("0.008"))
        gone = await placed(buy("q", 0.015))
        q.cancel(gone)
        replaced = await placed(buy("p", 0.016))
        p.replace(replaced, price=round(price["p"] / 2.5))
        leaving = await placed(buy("q", 0.017))
        p.state.update({"grid": {"levels": [1, 2.5, "three"]}, "text": "\u2713"})
        q.state["count"] = 7
        now = bot.driver.now()
        bot.say(SetParameter("p", "size", 0.025))
        bot.journal.parameter("p", "size", 0.025, now)
        bot.driver.wake()
        await until(lambda: partly.executed_lots and gone.is_final and replaced.is_final and bought.is_final)
        await until(lambda: "btc_usdt" in bot.view.kept("p")["best"] and p.rung)
        bot.journal.note("made up", "a note of the old bot's", now)
        await until(lambda: not any(o.state in (OrderState.QUEUED, OrderState.SENDING) for o in q.open_orders()))
        bot.comparisons.at_once()
        await asyncio.sleep(0.5)

        dying.is_deaf = True
        lots = p.rules("btc_usdt").lots
        dying.fate = {lots("0.021"): (True, False), lots("0.022"): (False, False), lots("0.023"): (True, True)}
        dying.fate[lots("0.024")] = (False, True)
        for name, amount in (("p", 0.021), ("p", 0.022), ("q", 0.023), ("q", 0.024)):
            buy(name, amount, tag=f"fate {amount}")
        q.cancel(leaving)
        bot.driver.wake()
        await until(lambda: len(dying.met) == 5)
        await until(lambda: sum(o.state is OrderState.UNKNOWN for o in q.open_orders()) == 2)
        await asyncio.sleep(0.2)
        await world.crash(bot)
        picture = venue_picture(world.emulator)
    journal = Journal.open(folder / "state" / "journal.sqlite")
    kept = json.loads(journal.meta("strategy:p") or "")
    kept["best"]["btc_usdt"] = round(price["p"] * 1.25, 2)  # pretend that the price has been this high
    journal.put_meta({"strategy:p": json.dumps(kept)})
    journal.close()
    db = sqlite3.connect(folder / "state" / "journal.sqlite")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute("PRAGMA journal_mode=DELETE")
    db.execute("VACUUM")
    db.close()
    out.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / "state" / "journal.sqlite", out / "journal.sqlite")
    (out / "venue.json").write_text(json.dumps(picture, indent=1) + "\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        asyncio.run(write(Path(made), Path(sys.argv[1])))
