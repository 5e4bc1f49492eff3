"""The exchange changes the precision of a pair between two runs of a bot. Orders, fills and books stay worth the same,
for the bot and for `botkit journal`.

The emulator's pair has one decimal in prices and six in amounts. In one of the two runs it lists finer ones, which
changes none of its prices and amounts.
"""

from __future__ import annotations

import asyncio
import csv
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from botkit.assembly.audit import session_project
from botkit.cli.main import main
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.live.bot import Bot
from botkit.live.journal import Journal
from botkit.live.journal_decimals import pairs_of_journal
from botkit.live.replay import read_header
from botkit.model.orders import OrderState
from botkit.model.pairs import Pair
from botkit.project.connect import connect
from botkit.project.project import Project
from tests.live.frozen_journal import execute
from tests.live.test_replay import run_folder
from tests.live.world import CONFIG, World, far_buy, make_world, puppet, settled, told, until

pytestmark = pytest.mark.virtual_time

COARSE, FINE = (1, 6), (3, 8)
_ROW = '"pair":"btc_usdt","base":"btc","quote":"usdt","basePrecision":"6","quotePrecision":"1"'


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Yield a world whose state folder is in the location where the command line expects it."""
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "root"))
    place = tmp_path / "root" / "world" / "emulator"
    place.mkdir(parents=True)
    (place / "account").symlink_to(tmp_path / "state", target_is_directory=True)
    rules = packaged_pairs()["btc_usdt"].rules
    assert (rules.price_decimals, rules.amount_decimals) not in (COARSE, FINE), "commands know other decimals"
    rules = msgspec.structs.replace(rules, price_decimals=COARSE[0], amount_decimals=COARSE[1], least_lots=100)
    config = CONFIG.replace("use: puppet,", 'use: puppet, capital: {usdt: "50000"},')
    async with make_world(tmp_path, config=config, pairs={"btc_usdt": Pair("btc_usdt", rules)}) as found:
        yield found


def lists(world: World, decimals: tuple[int, int]) -> None:
    """Make the exchange list these decimals from now on."""
    world.emulator.remove_faults()
    put = _ROW.replace('"6"', f'"{decimals[1]}"').replace('"1"', f'"{decimals[0]}"')
    world.emulator.add_fault({"kind": "altered", "where": "trading_pairs", "find": _ROW, "put": put})


async def start(world: World) -> Bot:
    """Start a bot with the pairs that the exchange lists, as `botkit run --mode live` does."""
    emulator = world.emulator
    market = connect(
        Project.load(world.config), None, emulator.rest, emulator.ws, emulator.clock, public=True, random=Random(0)
    )
    await market.open()
    pairs = await market.pairs()
    await market.close()
    return await world.start(pairs=pairs)


def executed(world: World, bot: Bot, client_id: int, lots: int) -> Any:
    """Execute ``lots`` of the exchange's own size, and return a condition that is met once the bot has booked them."""
    count = len(bot.journal.fills())
    execute(world.emulator, client_id, lots)
    return lambda: len(bot.journal.fills()) > count


async def exported(world: World, name: str) -> list[dict[str, str]]:
    """Return the rows that `botkit journal --export csv` writes."""
    out = world.folder / "out"
    for options in (("--export", "csv", "--out", str(out), "--force"), ()):
        assert await asyncio.to_thread(main, ["journal", str(world.config), *options]) == 0
    with (out / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def worth(rows: list[dict[str, str]]) -> list[tuple[str, ...]]:
    """Return the figures of exported rows without the zeros that other decimals add."""
    names = ("client_id", "price", "amount", "value", "fee", "executed")
    return [tuple(str(Decimal(row[n]).normalize()) for n in names if row.get(n)) for row in rows]


def books(bot: Bot) -> dict[str, Any]:
    """Return the books, with equity at a price of 1."""
    money, position = bot.view.money, puppet(bot).position("btc_usdt").exact
    price = Decimal(str(puppet(bot).last_price("btc_usdt")))
    balance = puppet(bot).balance("usdt").exact
    money.check()
    return {
        "account": dict(money.account),
        "position": (position.amount, position.average_entry, position.realised),
        "usdt": (balance.available, balance.locked),
        "equity": round(Decimal(str(money.equity())) - position.amount * (price - 1), 6),
        "unassigned": dict(money.unassigned),
    }


@pytest.mark.parametrize(("before", "after"), [(COARSE, FINE), (FINE, COARSE)])
async def test_orders_fills_and_books_stay_worth_the_same(
    world: World,
    before: tuple[int, int],
    after: tuple[int, int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    lists(world, before)
    bot = await start(world)
    assert puppet(bot).rules("btc_usdt").price_decimals == before[0]
    bought = puppet(bot).market_buy("btc_usdt", spend=5000)
    bot.driver.wake()
    await until(lambda: bought.is_final)
    order = far_buy(bot)
    await settled(order)
    await until(executed(world, bot, order.client_id, 4_000))
    was = books(bot)
    expected = [(fill.client_id, bought.pair.rules.exact_price(fill.price_ticks)) for fill in bot.journal.fills()]
    asked = (order.client_id, order.order_id, order.exact.price, order.exact.amount, order.exact.executed)
    assert order.exact.executed == Decimal("0.004")
    await world.crash(bot)

    # what was written with decimals that are not those of the bundled table
    fills, orders = await exported(world, "fills"), await exported(world, "orders")
    assert [(int(row["client_id"]), Decimal(row["price"])) for row in fills] == expected
    assert Decimal(orders[-1]["price"]) == order.exact.price
    assert f"at {order.exact.price:,}".rstrip("0").rstrip(".") in capsys.readouterr().out

    lists(world, after)
    again = await start(world)
    [found] = puppet(again).open_orders()
    rules = found.pair.rules
    assert (rules.price_decimals, rules.amount_decimals) == after
    is_same = (found.client_id, found.order_id, found.exact.price, found.exact.amount, found.exact.executed)
    assert is_same == asked
    assert found.state is OrderState.PARTLY_FILLED
    left = found.exact.amount - found.exact.executed
    assert puppet(again).balance("usdt").exact.locked == found.exact.price * left
    assert books(again) == was
    assert len(again.journal.fills()) == len(expected), "no execution is booked twice"
    told_of = [text for level, text in world.told if level == "warning" and "precision" in text]
    assert len(told_of) == 1
    assert f"btc_usdt (quotePrecision from {before[0]} to {after[0]} and basePrecision" in told_of[0]
    assert not [text for level, text in world.told if level == "error"]

    # the order goes on: executions during this run, and one while no bot runs
    await until(executed(world, again, found.client_id, 1_000))
    assert found.exact.executed == Decimal("0.005")
    await world.crash(again)
    assert worth(await exported(world, "fills"))[: len(fills)] == worth(fills)
    execute(world.emulator, found.client_id, 2_000)
    last = await start(world)
    [found] = puppet(last).open_orders()
    assert found.exact.executed == Decimal("0.007")
    assert len(last.journal.fills()) == len(expected) + 2
    assert "precision" not in told(last)
    puppet(last).cancel(found)
    last.driver.wake()
    await until(lambda: found.is_final)
    for run, decimals in ((bot, before), (again, after)):  # reports, audits and replays read a run with its own rules
        recorded = session_project(read_header(run_folder(run)), None, []).pairs["btc_usdt"].rules
        assert (recorded.price_decimals, recorded.amount_decimals) == decimals
    kernel = world.emulator.venue.kernel
    assert last.view.money.account["btc"] == kernel.account("emulator@botkit.local").balances().balances["btc"][0]
    assert puppet(last).balance("usdt").exact.locked == 0
    last.view.money.check()


async def test_a_pair_that_was_halted_because_its_precision_changed_trades_after_a_restart(world: World) -> None:
    lists(world, COARSE)
    bot = await start(world)
    bought = puppet(bot).market_buy("btc_usdt", spend=5000)
    bot.driver.wake()
    await until(lambda: bought.is_final)
    resting = far_buy(bot)
    await settled(resting)
    lists(world, FINE)
    world.emulator.add_fault({"kind": "error_before", "where": "create_order", "value": 400, "count": 1})
    rejected = far_buy(bot)
    await until(lambda: resting.state is OrderState.CANCELLED)
    assert rejected.state is OrderState.REJECTED
    assert "btc_usdt is halted: the exchange changed its quotePrecision from 1 to 3" in told(bot)
    was = books(bot)
    journal = Journal.open(bot.parts.folder.journal, read_only=True)
    assert pairs_of_journal(journal, {})["btc_usdt"].rules.price_decimals == 1, "it still counts in the old ticks"
    journal.close()
    await world.crash(bot)

    again = await start(world)
    assert books(again) == was
    order = far_buy(again)
    await settled(order)
    assert order.state is OrderState.OPEN
    prices = [again.journal.orders(dict(again.parts.pairs))[0].exact.price, order.exact.price]
    assert prices[0] == prices[1]
    rows: Mapping[int, Any] = {row["client_id"]: row for row in again.journal.order_rows()}
    assert rows[resting.client_id]["price_ticks"] == resting.price_ticks * 100


@pytest.mark.parametrize("decimals", [COARSE, FINE])
async def test_what_the_orders_of_a_stopped_bot_lock_is_not_taken_out(
    world: World, decimals: tuple[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    lists(world, decimals)
    bot = await start(world)
    await settled(far_buy(bot, 0.5))
    free = puppet(bot).balance("usdt").exact.available
    await world.crash(bot)

    async def take(amount: Decimal) -> int:
        return await asyncio.to_thread(main, ["capital", "take", str(world.config), "p", f"usdt={amount}"])

    assert await take(free + 1) == 2
    assert f"p has {free.normalize():f} usdt available" in capsys.readouterr().err
    assert await take(free) == 0
    again = await start(world)
    assert puppet(again).balance("usdt").available == 0
    again.view.money.check()
