"""An order waits only for its journal row and for inputs that changed balances before it is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from botkit.exchange.bitopro.adapter import BitoProAdapter
from botkit.live import driver
from botkit.live.bot import Bot
from botkit.live.journal import Journal
from botkit.live.notices import Notices
from botkit.live.persistence import without_locks
from botkit.live.starting import start
from botkit.model.requests import Answer, CreateOrder, Request
from tests.live.world import World, far_buy, make_world, settled, until
from tests.waiting import wait_for

pytestmark = pytest.mark.virtual_time

TRADER = """
from botkit import Strategy, Pair, hookimpl

class Trader(Strategy):
    pair: Pair
    size: float = 0.001

    def on_start(self):
        self.heard = []
        self.state["books"] = 0
        self.subscribe_book(self.pair, depth=5)

    def on_book(self, book):
        self.state["books"] += 1
        if self.state["books"] % 3 == 0 and book.best_bid and not self.open_orders(self.pair):
            self.buy(self.pair, amount=self.size, price=round(book.best_bid / 2))
        elif self.state["books"] % 3 == 1 and book.best_ask:
            self.market_buy(self.pair, spend=100)
        elif self.state["books"] % 3 == 2:
            self.cancel_all()

@hookimpl
def botkit_register_strategies(register):
    register("puppet", Trader)
"""


def figures(state: dict[str, Any]) -> tuple[Any, Any]:
    """Return the portfolio's balances, without the day's opening values, which follow prices and are written only when
    balances change.
    """
    return state["ledger"], state["positions"]


async def trading(world: World) -> Bot:
    (world.folder / "plugins" / "puppet.py").write_text(TRADER)
    bot = await start(world.parts(), Notices())
    world.bots.append(bot)
    return bot


async def test_every_commit_contains_the_current_portfolio_and_strategy_state(tmp_path: Path, monkeypatch: Any) -> None:
    commit, differences, looked = Journal.commit, [], []
    bots: list[Bot] = []

    def compared(journal: Journal, **what: Any) -> None:
        commit(journal, **what)
        if not bots or not what.get("sends"):
            return
        view = bots[0].view
        kept = json.loads(journal.meta("portfolio"))
        state = json.loads(journal.meta("strategy:p"))["state"]
        now = json.loads(json.dumps(without_locks(view.money.document())))
        looked.append(dict(what["states"]).keys())
        if figures(kept) != figures(now) or state != view.kept("p")["state"]:
            differences.append((figures(kept), figures(now), state))

    async with make_world(tmp_path) as world:
        bots.append(await trading(world))
        monkeypatch.setattr(Journal, "commit", compared)
        await until(lambda: len(looked) >= 30 and len(bots[0].journal.fills()) >= 5, 60)
        assert not differences, differences[0]
        assert sum("portfolio" not in names for names in looked) >= 10, "an order waited for the account's books"


async def test_an_order_is_sent_before_the_turns_figures_are_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    send = BitoProAdapter.send

    async def sending(adapter: BitoProAdapter, request: Request, **options: Any) -> Answer:
        if isinstance(request, CreateOrder):
            happened.append("order")
        return await send(adapter, request, **options)

    async with make_world(tmp_path) as world:
        bot = await trading(world)
        commit, looked = bot.persistence.commit, bot.looked

        def committing(requests: list[Request], now: int, *more: object) -> None:
            if any(isinstance(request, CreateOrder) for request in requests):
                happened.append("turn")
            commit(requests, now, *more)

        def looking(now: int) -> None:
            if happened:
                happened.append("figures")
            looked(now)

        monkeypatch.setattr(BitoProAdapter, "send", sending)
        monkeypatch.setattr(bot.persistence, "commit", committing)
        monkeypatch.setattr(bot, "looked", looking)
        await until(lambda: happened.count("order") >= 5, 60)
    for i, what in enumerate(happened[:-2]):
        if what == "turn":
            assert happened[i + 1] == "order", happened[i : i + 4]
    assert "figures" in happened


@pytest.mark.real_time  # this test is about the thread
def test_commits_are_written_to_the_log_and_a_thread_copies_them_into_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    ahead = tmp_path / "journal.sqlite-wal"

    def figures() -> list[int]:
        return [file.stat().st_mtime_ns for file in (path, ahead)]

    journal = Journal.open(path)
    before, largest, segments = figures(), 0, set()
    for i in range(400):
        journal.commit(sends=[(i, "create_order", 5, [i])], states=[("strategy:p", b"x" * 6_000)])
    assert figures() == before, "a commit wrote to SQLite, so an order waited for it"
    assert journal.filling.waiting == 400
    for i in range(400, 1_400):
        journal.commit(sends=[(i, "create_order", 5, [i])], states=[("strategy:p", b"x" * 6_000)])
        journal.filling.beside()
        if i % 200 == 0:
            wait_for(lambda: not journal.filling.waiting)
        largest = max(largest, ahead.stat().st_size)
        # a segment has room for about 170 commits, so no segment is created or deleted between two checks
        segments |= {file.name for file in tmp_path.glob("journal.sqlite-log-*") if file.suffix != ".new"}
    assert largest < 12 * 2**20, "SQLite reuses its own log from the beginning"
    assert len(segments) > 5
    wait_for(lambda: not journal.filling.waiting)
    assert len(list(tmp_path.glob("journal.sqlite-log-*"))) <= 2, "the segment in use, and the one after it"
    journal.close()
    assert not list(tmp_path.glob("journal.sqlite-*")), "after a clean end there is only one file"
    with_all = Journal.open(path, read_only=True)
    with_all.run = 0
    assert len(with_all.sends_since(0)) == 1_400
    with_all.close()


async def test_inputs_are_committed_together_at_the_latest_when_the_driver_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "_GATHER_S", 3600.0)

    def states(journal: Journal) -> list[str]:
        return [row["state"] for row in journal.order_rows()]

    async with make_world(tmp_path) as world:
        bot = await world.start()
        orders = [far_buy(bot, 0.001) for _ in range(5)]
        for order in orders:
            await settled(order)
        assert states(bot.journal) == ["sending"] * 5
        await bot.driver.close()
        assert states(bot.journal) == ["open"] * 5


async def test_an_orders_commit_includes_earlier_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_GATHER_S", 3600.0)
    async with make_world(tmp_path) as world:
        bot = await world.start()
        first = far_buy(bot, 0.001)
        await settled(first)
        second = far_buy(bot, 0.001)
        await settled(second)
        assert {row["client_id"]: row["state"] for row in bot.journal.order_rows()} == {
            first.client_id: "open",
            second.client_id: "sending",
        }
