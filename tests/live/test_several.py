"""Several bots in one process share some resources and keep others separate. One bot's failure does not affect the
others.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from botkit.assembly.live import parts_of
from botkit.assembly.outputs import bot_outputs
from botkit.assembly.replay import replay_run
from botkit.assembly.runs import BotRun, bot_run
from botkit.cli.main import main
from botkit.cli.run import _Signals
from botkit.emulator import DEFAULT_ACCOUNT, Emulator, EmulatorAccount, EmulatorOptions
from botkit.errors import ConfigError
from botkit.exchange.bitopro import sign
from botkit.live import commands
from botkit.live.bot import Bot
from botkit.live.client_ids import ClientIdPlaces
from botkit.live.journal import Journal
from botkit.live.notices import Notices
from botkit.live.notifications.outputs import BotOutputs
from botkit.live.notifications.summary import summary_lines
from botkit.live.starting import start
from botkit.live.state_folder import StateFolder
from botkit.model.orders import RESTING_STATES, OrderState
from botkit.project.several import load_projects
from tests.live.world import STRATEGY, UNIT, far_buy, puppet, settled, strategy_of, until

pytestmark = pytest.mark.virtual_time

CONFIG = """
name: NAME
plugins: [plugins]
strategies:
  - {name: p, use: puppet, params: {pair: btc_usdt}, capital: {usdt: 20000}}
emulator:
  account: {email: emulator@botkit.local, key: emulator-key, secret: emulator-secret}
"""
CREATES = 40
OTHER = EmulatorAccount(email="other@botkit.local", key="other-key", secret=DEFAULT_ACCOUNT.secret)
GREEDY = """
from botkit import Pair, Strategy, hookimpl

class Greedy(Strategy):
    pair: Pair

    def on_start(self):
        self.subscribe_book(self.pair, depth=5)
        self.set_timer(every_s=1)

    def on_timer(self, timer):
        for _ in range(min(5, 1000 - len(self.open_orders(self.pair)))):
            self.buy(self.pair, amount=0.0001, price=1000)

@hookimpl
def botkit_register_strategies(register):
    register("greedy", Greedy)
"""


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(sign, "_nonces", sign._LastNonces())
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "puppet.py").write_text(STRATEGY)


def config(folder: Path, name: str, text: str = CONFIG, more: str = "") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text.replace("NAME", name) + more)
    path.chmod(0o600)  # required for a file that contains a secret, even a fake one
    return path


class _Outputs(BotOutputs):
    """Bot outputs that keep a reference to the bot."""

    bot: Bot | None = None

    def started(self, bot: Bot) -> None:
        self.bot = bot
        super().started(bot)


class Together:
    """The bots in one process on one emulator, each in its own task, as the run command starts them."""

    def __init__(self, emulator: Emulator, runs: list[BotRun], said: list[str]) -> None:
        self.emulator = emulator
        self.runs = runs
        self.said = said
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self, index: int) -> Bot:
        run = self.runs[index]
        self.tasks.append(asyncio.create_task(run.run_beside_others(None)))
        await until(lambda: run.outputs.is_running or run.failed, 60)
        assert not run.failed, self.said
        assert isinstance(run.outputs, _Outputs)
        bot = run.outputs.bot
        assert bot is not None
        await until(lambda: puppet(bot).book("btc_usdt").best_bid, 60)
        return bot

    async def stop(self) -> None:
        for run in self.runs:
            run.supervisor.request_stop("signal")
        await asyncio.wait_for(asyncio.gather(*self.tasks), 60)


def foreign_ids(bot: Bot) -> set[str]:
    return {row.order_id for row in bot.view.foreign_orders()}


@contextlib.asynccontextmanager
async def together(paths: Sequence[Path], *, speed: float = 20.0) -> AsyncIterator[Together]:
    projects = load_projects(paths)
    options = EmulatorOptions(
        accounts=(DEFAULT_ACCOUNT, OTHER),
        balances={"usdt": 100_000 * UNIT, "btc": UNIT},
        speed=speed,
        seed=3,
        history_days=0.02,
    )
    async with Emulator(projects[0].facts, options) as emulator, process(paths, emulator) as world:
        yield world


@contextlib.asynccontextmanager
async def process(paths: Sequence[Path], emulator: Emulator) -> AsyncIterator[Together]:
    """Run the bots in one process until the block exits, then terminate the process as if it had crashed."""
    projects = load_projects(paths)
    async with contextlib.AsyncExitStack() as stack:
        said: list[str] = []
        parts = await stack.enter_async_context(parts_of(projects, "emulator", rest=emulator.rest, ws=emulator.ws))
        runs = []
        for one in parts:
            outputs = bot_outputs(one.project, "emulator", is_alone=False)
            outputs.__class__ = _Outputs
            await stack.enter_async_context(outputs)
            runs.append(
                bot_run(
                    one,
                    outputs,
                    orphans="refuse",
                    say=lambda text: None,
                    say_notice=lambda level, text, name=one.name: said.append(f"{name}: {level}: {text}"),  # type: ignore[misc]
                    shows_lines=False,
                )
            )
        world = Together(emulator, runs, said)
        try:
            yield world
        finally:
            for task in world.tasks:
                task.cancel()
            await asyncio.gather(*world.tasks, return_exceptions=True)


async def test_bots_on_one_account_share_its_connections_but_receive_only_their_own_events(tmp_path: Path) -> None:
    async with together([config(tmp_path, "a"), config(tmp_path, "b")]) as world:
        first = await world.start(0)
        alone = world.emulator.sockets
        # the second bot joins long after the streams connected and delivered their first books
        second = await world.start(1)
        assert world.emulator.sockets == alone == 6  # four account streams, plus books and trades
        # both engines use the same sequence of request IDs, so requests with identical IDs are in flight simultaneously
        orders = [far_buy(bot, amount) for bot, amount in ((first, 0.01), (second, 0.02), (first, 0.03))]
        for order in orders:
            await settled(order)
        assert {order.state for order in orders} == {OrderState.OPEN}
        assert len({order.order_id for order in orders}) == 3
        await until(lambda: foreign_ids(second) == {orders[0].order_id, orders[2].order_id})
        assert foreign_ids(first) == {orders[1].order_id}
        assert abs(orders[0].client_id - orders[1].client_id) > 1_000_000
        # one bot's fill must not trigger an alert in the other bot
        bought = puppet(second).market_buy("btc_usdt", spend=1000)
        second.driver.wake()
        await until(lambda: bought.is_final)
        compared = first.comparisons.ended
        first.comparisons.at_once()
        await until(lambda: first.comparisons.ended > compared)
        assert not any("no new orders" in line for line in world.said)
        # a stream outage affects both bots, and both recover
        told, cut = len(world.said), world.emulator.cut_sockets()
        assert cut == 6
        # count only "info" lines, because a message about a lost stream ends with the same words
        await until(lambda: sum("info:" in line and line.endswith("is back") for line in world.said) == 2 * cut, 60)
        assert not [line for line in world.said[:told] if "warning" in line or "error" in line]
        again = far_buy(second)
        await settled(again)
        assert again.state is OrderState.OPEN
        await until(lambda: again.order_id in foreign_ids(first))
        await world.stop()
        assert not [
            row for row in world.emulator.venue.kernel.orders(DEFAULT_ACCOUNT.email) if row.state in RESTING_STATES
        ]
    assert world.emulator.sockets == 0


@pytest.mark.parametrize("second", [DEFAULT_ACCOUNT, OTHER], ids=["one account", "two accounts at one address"])
async def test_greedy_bots_share_a_window_without_exceeding_it_and_their_runs_can_be_replayed(
    tmp_path: Path, second: EmulatorAccount
) -> None:
    (tmp_path / "plugins" / "greedy.py").write_text(GREEDY)
    limits = f"limits: {{ledger: none, batching: false, create_order: {CREATES}}}\n"
    text = CONFIG.replace("puppet", "greedy")
    other = text.replace("emulator@botkit.local", second.email).replace("emulator-key", second.key)
    paths = [config(tmp_path, "a", text, limits), config(tmp_path, "b", other, limits)]
    async with together(paths, speed=40.0) as world:
        bots = [await world.start(0), await world.start(1)]
        counts = world.emulator.venue.limits.counts

        def sent_by_each() -> list[int]:
            return [sum(order.sent > 0 for order in bot.view.orders()) for bot in bots]

        alone = sent_by_each()  # the first bot had the windows to itself while the second one was starting
        await until(lambda: sum(sent_by_each()) >= sum(alone) + 2.5 * CREATES, 60)
        sent = [now - before for now, before in zip(sent_by_each(), alone, strict=True)]
        runs = [bot.parts.folder.path / "runs" / str(bot.journal.run) for bot in bots]
        await world.stop()
        assert counts["create_order"].busiest <= CREATES
        assert world.emulator.venue.limits.refused == 0
        assert min(sent) > CREATES / 2, sent
    for run in runs:
        verdict = replay_run(run)
        assert verdict.difference is None
        assert verdict.decisions > 2 * CREATES


async def test_a_crashing_bot_does_not_stop_the_others_and_its_orders_are_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with together([config(tmp_path, "a"), config(tmp_path, "b")]) as world:
        first, second = await world.start(0), await world.start(1)
        lost, kept = far_buy(first), far_buy(second)
        await settled(lost)
        await settled(kept)

        def broken(event: Any, now: int) -> None:
            raise AssertionError("the books do not add up")

        monkeypatch.setattr(first, "went_in", broken)
        await until(lambda: world.tasks[0].done(), 60)
        assert world.runs[0].failed
        assert world.runs[0].summary["ended"] == "fault"
        assert any(line.startswith("a: error") and "do not add up" in line for line in world.said)
        states = {row.order_id: row.state for row in world.emulator.venue.kernel.orders(DEFAULT_ACCOUNT.email)}
        assert states[lost.order_id] not in RESTING_STATES
        assert states[kept.order_id] in RESTING_STATES
        # the other bot still receives books and sends orders
        turns = second.driver.turns
        await until(lambda: second.driver.turns > turns + 5)
        again = far_buy(second)
        await settled(again)
        assert again.state is OrderState.OPEN
        await world.stop()
        assert world.runs[1].summary["ended"] == "signal"
        assert not world.runs[1].failed
        assert {kept.state, again.state} == {OrderState.CANCELLED}


async def test_leftover_open_orders_are_reported_unless_the_bot_is_configured_to_keep_them(tmp_path: Path) -> None:
    keeps = config(tmp_path, "keeps", more="live: {on_stop: keep}\n")
    async with together([config(tmp_path, "leaves"), keeps]) as world:
        for bot in (await world.start(0), await world.start(1)):
            await settled(far_buy(bot))
        for run in world.runs:
            run.supervisor.request_stop("signal")
            run.supervisor.leave_now()  # a second Ctrl-C
        await asyncio.wait_for(asyncio.gather(*world.tasks), 60)
        leaves, kept = world.runs
        assert (leaves.has_left_orders, leaves.failed, leaves.summary["ended"]) == (True, False, "left")
        assert any("leaves: error: 1 order may still be open at the exchange; `botkit panic" in t for t in world.said)
        assert (kept.has_left_orders, kept.summary["open_orders"]) == (False, 1)


async def test_a_bot_that_cannot_start_or_is_stopped_does_not_affect_the_others(tmp_path: Path) -> None:
    refused = CONFIG.replace("usdt: 20000", "usdt: 2000000")  # more than the account contains
    paths = [config(tmp_path, "a"), config(tmp_path, "b", refused), config(tmp_path, "c")]
    async with together(paths) as world:
        await world.start(0)
        world.tasks.append(asyncio.create_task(world.runs[1].run_beside_others(None)))
        await until(lambda: world.tasks[1].done(), 60)
        assert world.runs[1].failed
        assert "only" in world.runs[1].summary["error"]
        third = await world.start(2)
        answer = await asyncio.to_thread(commands.ask, world.runs[0].parts.folder, "stop", timeout_s=30.0)
        assert answer == "stopping"
        await until(lambda: world.tasks[0].done(), 60)
        assert not world.runs[0].failed
        assert world.runs[0].summary["ended"] == "command"
        order = far_buy(third)
        await settled(order)
        assert order.state is OrderState.OPEN
        await world.stop()


async def test_after_a_process_crash_each_bot_adopts_its_own_orders(tmp_path: Path) -> None:
    paths = [config(tmp_path, "a"), config(tmp_path, "b")]
    async with together(paths) as world:
        orders = [far_buy(bot) for bot in (await world.start(0), await world.start(1))]
        for order in orders:
            await settled(order)
        for task in world.tasks:
            task.cancel()
        await asyncio.gather(*world.tasks, return_exceptions=True)
        async with process(paths, world.emulator) as again:
            for index, order in enumerate(orders):
                bot = await again.start(index)
                assert [one.order_id for one in bot.view.open_orders()] == [order.order_id]
                assert foreign_ids(bot) == {orders[1 - index].order_id}
            assert [line for line in again.said if "not this bot's" in line]
            await again.stop()
        open_rows = [r for r in world.emulator.venue.kernel.orders(DEFAULT_ACCOUNT.email) if r.state in RESTING_STATES]
        assert open_rows == []


async def test_any_failure_of_one_bot_stops_only_that_bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with together([config(tmp_path, "a"), config(tmp_path, "b")]) as world:
        first, second = await world.start(0), await world.start(1)
        order = far_buy(first)
        await settled(order)
        monkeypatch.setattr(first.latch, "look", lambda: 1 / 0)
        await until(lambda: world.tasks[0].done(), 60)
        assert "ZeroDivisionError" in world.runs[0].summary["error"]
        assert order.state is OrderState.CANCELLED
        assert not world.tasks[1].done()
        assert second.driver.fault is None
        await world.stop()


@pytest.mark.real_time  # the watchdog runs in its own thread
async def test_each_bot_logs_to_its_own_file_and_the_watchdog_reports_the_blocked_bot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / f"{name}.jsonl" for name in ("a", "b")]
    paths = [config(tmp_path, file.stem, more=f"log: {{file: {file}}}\n") for file in files]
    blocking = [True]

    async with together(paths) as world:

        def looked(name: str, original: Callable[[int], None], now: int) -> None:
            original(now)
            logging.getLogger("botkit.live").info("hello of %s", name)
            if name == "b" and blocking:
                blocking.clear()
                # block until the watchdog has reported the callback, but for no more than a minute
                end = time.monotonic() + 60
                while not any("has blocked" in line for line in world.said) and time.monotonic() < end:
                    time.sleep(0.05)

        bots = [await world.start(0), await world.start(1)]
        for bot, name in zip(bots, "ab", strict=True):
            monkeypatch.setattr(bot, "looked", partial(looked, name, bot.looked))
        await until(lambda: any("has blocked" in line for line in world.said), 30)
        assert {line.split(":")[0] for line in world.said if "has blocked" in line} == {"b"}
        await until(lambda: all("hello" in file.read_text() for file in files), 60)
        await world.stop()
    a, b = (file.read_text() for file in files)
    assert "hello of b" not in a
    assert "hello of a" not in b
    assert "has blocked" in b
    assert "has blocked" not in a


async def test_a_second_signal_stops_all_bots_immediately_and_their_open_orders_are_listed(tmp_path: Path) -> None:
    async with together([config(tmp_path, "a"), config(tmp_path, "b")]) as world:
        orders = [far_buy(bot) for bot in (await world.start(0), await world.start(1))]
        for order in orders:
            await settled(order)
        for endpoint in ("cancel_order", "cancel_batch"):
            world.emulator.add_fault({"kind": "lost_request", "where": endpoint})
        signals = _Signals([run.supervisor for run in world.runs], lambda: None)
        signals.asked()
        await until(lambda: all(run.outputs.state == "stopping" for run in world.runs), 60)
        signals.asked()
        await asyncio.wait_for(asyncio.gather(*world.tasks), 60)
        for run in world.runs:
            assert run.summary["open_orders"] == 1
            assert "still open: buy 0.01 btc_usdt" in "\n".join(summary_lines(run.summary))


async def test_paper_bots_share_market_data_and_have_separate_accounts(tmp_path: Path) -> None:
    text = ALONE + "limits: {ledger: none}\nemulator: {balances: {usdt: 5000}}\n"
    projects = load_projects([config(tmp_path, "a", text), config(tmp_path, "b", text)])
    options = EmulatorOptions(speed=1.0, seed=3, history_days=0.02)
    async with (
        Emulator(projects[0].facts, options) as emulator,
        parts_of(projects, "paper", rest=emulator.rest, ws=emulator.ws) as parts,
    ):
        bots = await asyncio.gather(*(start(one, Notices()) for one in parts))
        try:
            strategies = [strategy_of(bot, f"s_{bot.parts.name}") for bot in bots]
            await until(lambda: all(strategy.book("btc_usdt").best_ask for strategy in strategies), 60)
            assert emulator.sockets == 2  # one stream for books and one for trades
            bought = strategies[0].market_buy("btc_usdt", spend=500)
            bots[0].driver.wake()
            await until(lambda: bought.is_final, 60)
            assert bought.state is OrderState.FILLED
            assert bots[1].view.money.account["usdt"] == 5000 * UNIT
            assert not bots[1].view.foreign_orders()
        finally:
            for bot in bots:
                await bot.driver.close()
                await bot.close()
        await until(lambda: emulator.sockets == 0, 60)


# -- configurations ---------------------------------------------------------------------------------------------------

ALONE = """
name: NAME
plugins: [plugins]
strategies:
  - {name: s_NAME, use: puppet, params: {pair: btc_usdt}}
"""


def test_all_errors_in_all_files_are_reported_before_any_bot_trades(tmp_path: Path) -> None:
    one = config(tmp_path, "one", ALONE, "speed: 3\n")
    two = config(tmp_path, "two", ALONE.replace("btc_usdt", "nope_usdt"))
    with pytest.raises(ConfigError) as error:
        load_projects([one, two])
    assert "one.yaml:6" in str(error.value)
    assert "two.yaml:5" in str(error.value)


def test_two_bots_that_share_a_name_or_log_file_raise_an_error_that_names_both_files(tmp_path: Path) -> None:
    one = config(tmp_path, "one", ALONE.replace("name: NAME", "name: same"), "log: {file: x.jsonl}\n")
    two = config(tmp_path, "two", ALONE.replace("name: NAME", "name: Same"), "log: {file: x.jsonl}\n")
    with pytest.raises(ConfigError) as error:
        load_projects([one, two])
    assert "two.yaml:2: " in str(error.value)
    assert "one.yaml:2 is also named 'Same'" in str(error.value)
    assert "one.yaml:6 writes to the same file" in str(error.value)


def test_set_overrides_apply_only_to_bots_that_have_the_strategy(tmp_path: Path) -> None:
    paths = [config(tmp_path, "one", ALONE), config(tmp_path, "two", ALONE)]
    one, two = load_projects(paths, overrides=["s_one.fixed=7", "strategies.s_two.params.fixed=8", "seed=5"])
    assert one.config.strategies[0].params == {"pair": "btc_usdt", "fixed": 7}
    assert two.config.strategies[0].params == {"pair": "btc_usdt", "fixed": 8}
    assert one.config.seed == two.config.seed == 5
    with pytest.raises(ConfigError, match="`s_three` is neither a strategy nor a section of"):
        load_projects(paths, overrides=["s_three.fixed=7"])


@pytest.mark.parametrize(
    ("key", "here", "there"),
    [
        ("emulator.speed", "{speed: 30}", "{speed: 31}"),
        ("emulator.market", "{market: synthetic}", "{market: tape}"),
        ("emulator.latency", "{latency: {order_ms: 1}}", "{latency: {order_ms: 2}}"),
        ("emulator.fills", "{fills: optimistic}", "{fills: queue}"),
    ],
)
async def test_contradictory_settings_for_the_embedded_emulator_raise_an_error(
    tmp_path: Path, key: str, here: str, there: str
) -> None:
    paths = [
        config(tmp_path, "one", ALONE, f"emulator: {here}\n"),
        config(tmp_path, "two", ALONE, f"emulator: {there}\n"),
        config(tmp_path, "three", ALONE),
    ]
    with pytest.raises(ConfigError, match=rf"two.yaml:6: `{key}` differs from .*one.yaml:6"):
        async with parts_of(load_projects(paths), "emulator"):
            pass


async def test_the_embedded_emulator_has_a_separate_account_with_balances_for_each_bot(tmp_path: Path) -> None:
    paths = [
        config(tmp_path, "one", ALONE, "emulator: {balances: {usdt: 500}, speed: 2, fees: {maker: 0, taker: 0}}\n"),
        config(tmp_path, "two", ALONE, "emulator: {balances: {usdt: 700}}\n"),
    ]
    async with parts_of(load_projects(paths), "emulator") as [one, two]:
        assert one.clock is two.clock
        assert one.clock.speed == 2
        assert one.address == two.address
        bots = await asyncio.gather(start(one, Notices()), start(two, Notices()))
        try:
            assert [bot.view.money.account["usdt"] for bot in bots] == [500 * UNIT, 700 * UNIT]
            # the second bot's market data uses the connection that the first bot opened, so the connection must stay
            # open after the first bot stops
            await bots[0].driver.close()
            await bots[0].close()
            turns = bots[1].driver.turns
            await until(lambda: bots[1].driver.turns > turns + 5, 60)
        finally:
            for bot in bots:
                await bot.driver.close()
                await bot.close()


@pytest.mark.parametrize(
    ("one", "two", "told"),
    [
        ("", "", r"one.yaml:5 and .*two.yaml:5: both trade with the same account's usdt"),
        ("capital: 60%", "capital: 60%", "would count it twice"),
        ("capital: 60%", "capital: 40%", None),
        ("capital: {usdt: 5}", "capital: {usdt: 5}", None),
        ("", "capital: {usdt: 5}", r"5 usdt of this account belongs to the capital of .*two.yaml; exclude them"),
    ],
)
async def test_the_money_in_a_shared_account_is_not_counted_twice(
    tmp_path: Path, one: str, two: str, told: str | None
) -> None:
    def file(name: str, capital: str) -> Path:
        return config(tmp_path, name, CONFIG.replace("capital: {usdt: 20000}", capital).replace("}, }", "}}"))

    options = EmulatorOptions(seed=3, history_days=0.0)
    projects = load_projects([file("one", one), file("two", two)])
    async with Emulator(projects[0].facts, options) as emulator:
        expected: Any = pytest.raises(ConfigError, match=told) if told else contextlib.nullcontext()
        with expected:
            async with parts_of(projects, "emulator", rest=emulator.rest, ws=emulator.ws) as parts:
                assert [list(part.siblings) for part in parts] == [["two"], ["one"]]


async def test_contradictory_limit_settings_raise_an_error(tmp_path: Path) -> None:
    paths = [config(tmp_path, "one", more="limits: strict\n"), config(tmp_path, "two")]
    options = EmulatorOptions(seed=3, history_days=0.0)
    projects = load_projects(paths)
    async with Emulator(projects[0].facts, options) as emulator:
        with pytest.raises(ConfigError, match=r"two.yaml.*`limits` differs from .*one.yaml:8"):
            async with parts_of(projects, "emulator", rest=emulator.rest, ws=emulator.ws):
                pass


def test_client_id_ranges_of_different_bots_start_far_apart() -> None:
    ids, random = ClientIdPlaces(), Random(1)
    firsts = [ids.claim(f"bot{n}", 5_000, random) for n in range(30)]
    assert firsts[0] == 5_000
    assert min(abs(a - b) for a in firsts for b in firsts if a != b) > 10_000_000
    assert len(set(firsts)) == 30


# -- the command ------------------------------------------------------------------------------------------------------


def test_a_new_bot_starts_its_client_ids_far_from_those_of_other_processes_on_its_account(tmp_path: Path) -> None:
    def folder(name: str, account: str = "main") -> StateFolder:
        found = StateFolder(tmp_path / name / "live" / account, root=tmp_path)
        found.path.mkdir(parents=True)
        return found

    first, new, elsewhere = folder("first"), folder("new"), folder("third", "another")
    for other, begin in ((first, 5_000_000), (elsewhere, 900_000_000)):
        journal = Journal.open(other.journal)
        journal.lease_ids(Random(1), after=begin)
        journal.close()
    ids = ClientIdPlaces()
    ids.note_others(new)
    assert abs(ids.claim("new", 5_000_001, Random(1)) - 5_000_000) > 40_000_000
    assert ids.claim("new", 900_000_001, Random(1)) == 900_000_001, "another account's ids do not matter"


def test_the_command_reports_all_bots_in_one_object_and_fails_if_any_bot_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = config(tmp_path, "good", ALONE, "emulator: {balances: {usdt: 500}}\n")
    other = config(tmp_path, "other", ALONE, "emulator: {balances: {usdt: 500}}\n")
    bad = config(
        tmp_path, "bad", ALONE.replace("}}", "}, capital: {usdt: 600}}"), "emulator: {balances: {usdt: 500}}\n"
    )
    assert main(["run", str(good), str(other), "--duration", "1s", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(bot["name"], bot["ended"]) for bot in found["bots"]] == [("good", "duration"), ("other", "duration")]
    assert main(["run", str(good), str(bad), "--duration", "1s", "--plain"]) == 1
    told = capsys.readouterr()
    assert "good: mode emulator at 60x, btc_usdt" in told.out
    assert "good: stopping (duration): cancelling open orders ..." in told.out
    assert "bad: failed: " in told.out
    assert "bad: error: this bot has failed:" in told.err
    assert main(["run", str(good), str(good)]) == 2
