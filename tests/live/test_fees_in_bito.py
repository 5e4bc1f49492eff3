"""A running bot whose account pays fees in BITO, although the bot trades no pair with it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from botkit.assembly.live import live_parts
from botkit.assembly.replay import replay_run
from botkit.assembly.session_result import session_result
from botkit.cli.main import main
from botkit.emulator import Emulator, EmulatorOptions
from botkit.live.bot import Bot
from botkit.live.notices import Notices
from botkit.live.notifications.metrics_server import samples_of
from botkit.live.notifications.picture import picture_of
from botkit.live.notifications.status_text import status_lines
from botkit.live.notifications.summary import summary_lines, summary_of
from botkit.live.notifications.view import line_of
from botkit.live.recording import BEGUN, INPUTS, PREFIX
from botkit.live.replay import Entries
from botkit.live.starting import start
from botkit.model.adapter import Adapter
from botkit.model.requests import Answer, Ending, GetCandles, Request
from botkit.page.bots import Bots
from botkit.project.fee_coin import fee_coin_of, fee_pairs
from botkit.project.project import Project
from botkit.sim.fees import RankFees
from tests.live.world import CONFIG, STRATEGY, UNIT, World, kept, puppet, told, until
from tests.simulation.terminal import Terminal

pytestmark = pytest.mark.virtual_time

Printed = pytest.CaptureFixture[str]
SPENT = 10_000
#: in usdt: the discounted taker fee of rank 0
FEE = SPENT * 0.0016
LIMITED = CONFIG + "risk: {max_daily_loss: {usdt: 1000}}\n"


class RarelyTraded:
    """An exchange on which the pairs that value fees do not trade, so that only candles of a day know their price. As
    long as ``is_mute``, it does not answer at all for these pairs.
    """

    def __init__(self, adapter: Adapter, *, is_mute: bool = False) -> None:
        self._adapter = adapter
        self.is_mute = is_mute

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def watch(self, sink: Any, **feeds: Any) -> None:
        trades = [pair for pair in feeds.pop("trades", ()) if str(pair) == "btc_usdt"]
        self._adapter.watch(sink, trades=trades, **feeds)

    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        if isinstance(request, GetCandles) and str(request.pair) != "btc_usdt":
            if self.is_mute:
                return Answer(request_id=request.id, outcome=Ending.REFUSED, status=503, text="maintenance")
            if request.resolution == "1m":
                return Answer(request_id=request.id, outcome=Ending.OK, status=200, body=())
        return await self._adapter.send(request, urgent=urgent)


@contextlib.asynccontextmanager
async def bito_world(folder: Path, config: str = LIMITED) -> AsyncIterator[World]:
    """Yield an emulator whose account has BITO and pays its fees with it, which the configuration need not say."""
    (folder / "plugins").mkdir()
    (folder / "plugins" / "puppet.py").write_text(STRATEGY)
    path = folder / "world.yaml"
    path.write_text(config)
    facts = Project.load(path).facts
    options = EmulatorOptions(
        balances={"usdt": 100_000 * UNIT, "btc": UNIT, "bito": 100_000 * UNIT},
        speed=20.0,
        seed=3,
        history_days=0.02,
        fees=RankFees({"rank": 0, "bito": True}, facts),
    )
    async with Emulator(facts, options) as emulator:
        world = World(folder, emulator, path, 20.0)
        try:
            yield world
        finally:
            for bot in world.bots:
                await bot.driver.close()
                await bot.close()


async def buy(bot: Bot) -> None:
    money = bot.view.money
    owed = money.holdings(None).get("bito", 0)
    puppet(bot).market_buy("btc_usdt", spend=SPENT)
    bot.driver.wake()
    await until(lambda: money.holdings(None).get("bito", 0) != owed)


async def valued(bot: Bot) -> None:
    await until(lambda: bot.view.money.holdings(None).get("bito") and not bot.view.money.fees.unvalued())


def worth_of_owed(bot: Bot) -> float:
    """Return the value of all fees paid in BITO so far, in usdt, at the last prices."""
    money = bot.view.money
    prices = {str(pair): money.fees.price(pair) for pair in money.priced_pairs()}
    bito, usdt = prices["bito_twd"], prices["usdt_twd"]
    assert bito is not None
    assert usdt is not None
    return -money.holdings(None)["bito"] / UNIT * bito / usdt


def without_fees(bot: Bot) -> float:
    """Return the equity without the fees, in usdt."""
    money = bot.view.money
    held = money.holdings(None)
    last = puppet(bot).last_price("btc_usdt")
    return float(held["usdt"] / UNIT + held["btc"] / UNIT * last)


def test_the_first_fee_makes_the_bot_follow_the_pairs_that_value_it(tmp_path: Path) -> None:
    async def act() -> None:
        async with bito_world(tmp_path) as world:
            bot = await world.start()
            money = bot.view.money
            assert [str(pair) for pair in money.priced_pairs()] == ["btc_usdt"]
            async with kept(bot):
                await until(lambda: bot.opening_equity is not None)
                await buy(bot)
                assert "the bot follows bito_twd and usdt_twd" in told(bot)
                await valued(bot)
                assert worth_of_owed(bot) == pytest.approx(FEE, rel=0.02)
                # in every figure: equity, the day's profit, the profit since the first start
                equity, day = money.equity(), money.day_pnl()
                assert equity is not None
                assert day is not None
                assert equity / UNIT == pytest.approx(without_fees(bot) - worth_of_owed(bot), abs=0.01)
                assert day / UNIT == pytest.approx(equity / UNIT - 100_000, abs=0.01)
                [position] = money.positions("p")
                assert position.realised == pytest.approx(-FEE, rel=0.02)
                await until(lambda: ("trades", "bito_twd") in bot.streams.connections, 60)
                # only the trades: a silent book of a pair that the bot does not trade must not halt it
                await until(lambda: any(str(market.pair) == "bito_twd" for market in bot.view.markets()), 60)
                await asyncio.sleep(5)
                assert ("books", "bito_twd") not in bot.streams.connections
                assert {str(s.pair) for s in bot.view.streams() if s.kind == "books"} == {"btc_usdt"}

    asyncio.run(act())


def test_a_restart_knows_the_price_before_it_trades(tmp_path: Path) -> None:
    async def act() -> None:
        async with bito_world(tmp_path) as world:
            bot = await world.start_from(world.parts(wrap=RarelyTraded))
            async with kept(bot):
                await buy(bot)
                await valued(bot)
            await world.crash(bot)
            again = await world.start_from(world.parts(wrap=RarelyTraded))
            money = again.view.money
            assert money.fees.price(again.parts.pairs["bito_twd"]) is not None
            async with kept(again):
                await until(lambda: again.opening_equity is not None)
                day = money.day_pnl()
                assert day is not None
                assert day / UNIT == pytest.approx(without_fees(again) - worth_of_owed(again) - 100_000, abs=0.01)
                # the earlier run's fee is no loss of this run
                pnl = summary_of(again.standing())["pnl"]
                assert abs(pnl) < FEE
                await buy(again)
                assert worth_of_owed(again) == pytest.approx(2 * FEE, rel=0.02)

    asyncio.run(act())


def test_the_configuration_can_say_so_before_the_first_fee(tmp_path: Path) -> None:
    project = Project.load(_written(tmp_path, "emulator: {fees: {rank: 0, bito: true}}\n"))
    declared = project.fee_model(*project.config.simulated_fees)
    assert list(fee_pairs(project, declared)) == ["bito_twd", "usdt_twd"]
    assert not fee_pairs(project, project.fee_model(project.config.live.fees, "live.fees"))


def test_a_bot_that_values_bito_anyway_needs_no_more_pairs(tmp_path: Path) -> None:
    path = _written(tmp_path, "", "{name: q, use: puppet, params: {pair: bito_twd}, capital: {twd: 10}}", "usdt_twd")
    assert fee_coin_of(Project.load(path)) is None


def _written(folder: Path, more: str, *strategies: str) -> Path:
    (folder / "plugins").mkdir(exist_ok=True)
    (folder / "plugins" / "puppet.py").write_text(STRATEGY)
    own = "  - {name: p, use: puppet, params: {pair: btc_usdt}}\n"
    if strategies:
        own += f"  - {strategies[0]}\n"
        own += f"  - {{name: r, use: puppet, params: {{pair: {strategies[1]}}}, capital: {{twd: 10}}}}\n"
    path = folder / "bot.yaml"
    path.write_text(f"name: bot\nplugins: [plugins]\nstrategies:\n{own}{more}")
    return path


def test_until_there_is_a_price_every_place_with_a_profit_says_what_is_missing(tmp_path: Path) -> None:
    async def act() -> None:
        async with bito_world(tmp_path) as world:
            parts = world.parts(wrap=lambda adapter: RarelyTraded(adapter, is_mute=True))
            bot = await world.start_from(parts)
            money = bot.view.money
            async with kept(bot) as supervisor:
                lines: list[str] = []
                supervisor.on_line = lines.append
                await until(lambda: bot.opening_equity is not None)
                await buy(bot)
                await asyncio.sleep(10)
                owed = -money.holdings(None)["bito"]
                assert money.fees.unvalued() == {"bito": owed}
                # the limits go on with everything else
                assert money.equity() == pytest.approx(without_fees(bot) * UNIT, rel=1e-9)
                assert money.day_pnl() is not None
                puppet(bot).buy("btc_usdt", amount=0.01, price=50_000)
                assert not bot.view.strategies()[0].refusals

                amount = f"{owed / UNIT:,.8f}".rstrip("0")
                sentence = (
                    f"fees of {amount} BITO are in no profit, equity or loss limit, as the bot has no price of BITO"
                )
                standing = bot.standing()
                picture = picture_of(standing)
                assert any(sentence in line for line in summary_lines(summary_of(standing)))
                assert any(sentence in line for line in status_lines(bot.parts.folder))
                assert sentence in line_of(picture)
                assert any(sentence in line for line in lines)
                [metric] = [one for one in samples_of(picture) if one.name == "unvalued_fees"]
                assert (metric.value, metric.labels) == (owed / UNIT, (("currency", "bito"),))
                shown = Bots(bot.parts.folder.path.parents[2], [bot.parts.folder.path]).all()[0]
                shown.look(whole=True)
                assert shown.sections()["head"]["unvalued"] == sentence

                # the price is asked for again every minute
                parts.adapter.is_mute = False  # type: ignore[attr-defined]
                await valued(bot)
                assert worth_of_owed(bot) == pytest.approx(FEE, rel=0.02)
                assert not any("BITO" in line for line in summary_lines(summary_of(bot.standing())))

    asyncio.run(act())


def test_a_runs_profit_waits_for_the_price_of_fees_that_earlier_runs_paid(tmp_path: Path) -> None:
    async def act() -> None:
        async with bito_world(tmp_path) as world:
            bot = await world.start_from(world.parts(wrap=lambda adapter: RarelyTraded(adapter, is_mute=True)))
            async with kept(bot):
                await buy(bot)
                await asyncio.sleep(2)
            await world.crash(bot)
            parts = world.parts(wrap=lambda adapter: RarelyTraded(adapter, is_mute=True))
            again = await world.start_from(parts)
            async with kept(again):
                await asyncio.sleep(3)
                assert again.view.money.equity() is not None
                assert again.view.money.fees.unvalued()
                assert summary_of(again.standing())["pnl"] is None
                parts.adapter.is_mute = False  # type: ignore[attr-defined]
                await valued(again)
                await until(lambda: again.opening_equity is not None)
                assert abs(summary_of(again.standing())["pnl"]) < FEE
                day = again.view.money.day_pnl()
                assert day is not None
                assert day / UNIT == pytest.approx(without_fees(again) - worth_of_owed(again) - 100_000, abs=0.01)

    asyncio.run(act())


async def test_paper_trading_pays_and_values_fees_in_bito(tmp_path: Path) -> None:
    config = (
        CONFIG.replace("btc: 1}", "btc: 1, bito: 10000}\n  fees: {rank: 0, bito: true}") + "limits: {ledger: none}\n"
    )
    async with bito_world(tmp_path, config) as world:
        where = {"rest": world.emulator.rest, "ws": world.emulator.ws}
        async with live_parts(Project.load(world.config), "paper", **where) as parts:
            bot = await start(parts, Notices())
        world.bots.append(bot)
        money, pairs = bot.view.money, parts.pairs
        assert money.fees.price(pairs["bito_twd"]) is not None
        streams = bot.streams.connections
        await until(lambda: ("trades", "bito_twd") in streams and ("trades", "usdt_twd") in streams, 60)
        await until(lambda: puppet(bot).book("btc_usdt").best_ask)
        await asyncio.sleep(30)  # the simulated exchange needs a trade of both
        await buy(bot)
        assert worth_of_owed(bot) == pytest.approx(FEE, rel=0.05)
        assert money.fees.unvalued() == {}


TRADER = """
from botkit import Pair, Strategy, hookimpl

class Trader(Strategy):
    pair: Pair
    def on_start(self):
        self.subscribe_book(self.pair, depth=5)
        self.subscribe_trades(self.pair)
        self.set_timer(every_s=10)
    def on_timer(self, timer):
        if self.random.random() < 0.6:
            self.market_buy(self.pair, spend=200)
        else:
            self.market_sell(self.pair, amount=0.002)

@hookimpl
def botkit_register_strategies(register):
    register("trader", Trader)
"""
BOT = """
name: bot
plugins: [plugins]
strategies:
  - {{name: t, use: trader, params: {{pair: btc_usdt}}, capital: {{usdt: 50000, btc: 1}}}}
emulator: {{balances: {{usdt: 50000, btc: 1, bito: 10000}}, speed: 1, fees: {fees}}}
backtest: {{fees: {fees}, latency: {{order_ms: 0, answer_ms: 0}}}}
"""
DECLARED = "{rank: 0, bito: true}"


class Recorded:
    """A session of a bot on the emulator, whose fees were paid in BITO."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "bot.yaml"
        self.run = folder / "state" / "bot" / "emulator" / "inside" / "runs" / "1"

    @property
    def fills(self) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in (self.run / "decisions.jsonl").read_text().splitlines()]
        return [row for row in rows if row["k"] == "fill"]

    @property
    def fees(self) -> float:
        """The fees in BITO."""
        assert {row["fee_in"] for row in self.fills} == {"bito"}
        return sum(row["fee"] for row in self.fills) / UNIT


def forget_prices(run: Path, *, keeps_candles: bool = False) -> None:
    """Remove the trades that valued fees from a recording. Without ``keeps_candles``, make it one of an older botkit,
    which followed no more pairs than those of its strategies.
    """
    header = run / "inputs.json"
    document = json.loads(header.read_bytes())
    if not keeps_candles:
        del document["pairs"]["bito_twd"], document["pairs"]["usdt_twd"]
    new = json.dumps(document).encode()
    header.write_bytes(new)
    entries, kept = Entries(run / INPUTS), []
    while (entry := entries.take()) is not None:
        name, now, content = entry
        if name == BEGUN:
            content = msgspec.Raw(msgspec.msgpack.encode(hashlib.sha256(new).hexdigest()))
        elif name == "Trade" and b"_twd" in bytes(content):
            continue
        data = msgspec.msgpack.encode((name, now, content))
        kept.append(PREFIX.pack(len(data), zlib.crc32(data)) + data)
    entries.close()
    (run / INPUTS).write_bytes(zlib.compress(b"".join(kept)))


@pytest.fixture
def recorded(tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> Recorded:
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "trader.py").write_text(TRADER)
    (tmp_path / "bot.yaml").write_text(BOT.format(fees=DECLARED))
    assert main(["run", "bot.yaml", "--plain", "--duration", "4m"]) == 0
    capsys.readouterr()
    return Recorded(tmp_path)


def test_a_session_is_replayed_with_the_prices_of_its_fees(recorded: Recorded) -> None:
    assert replay_run(recorded.run).is_equal


def test_a_sessions_report_contains_fees_in_bito(recorded: Recorded) -> None:
    result = session_result(recorded.run)
    fees = result.summary["fees"]
    assert fees == pytest.approx(recorded.fees * 0.06, rel=0.02)  # the emulator's price of BITO in usdt
    assert sum(row.fee_value for row in result.fills) == pytest.approx(fees)
    traded = sum(trade.pnl for trade in result.trades)
    unrealised = result.strategies[0].unrealised
    assert unrealised is not None
    assert result.summary["pnl"] == pytest.approx(traded + unrealised, abs=0.01)
    assert not any("BITO" in warning.text for warning in result.warnings if warning.grave)
    assert [str(candles.pair) for candles in result.prices] == ["btc_usdt"]


def test_a_session_report_without_a_price_says_which_fees_it_leaves_out(recorded: Recorded, capsys: Printed) -> None:
    with_fees = session_result(recorded.run).summary
    forget_prices(recorded.run)
    result = session_result(recorded.run)
    [caution] = [warning for warning in result.warnings if "BITO" in warning.text and warning.grave]
    assert caution.text == (
        f"fees of {recorded.fees:,.8f} BITO are in no figure of this report, as the session recorded no price of BITO"
    )
    assert result.summary["fees"] == 0
    assert result.summary["pnl"] == pytest.approx(with_fees["pnl"] + with_fees["fees"], abs=0.05)
    assert main(["report", str(recorded.run)]) == 0
    page = recorded.folder / "out" / "bot" / "emulator-1"
    assert caution.text in (page / "report.html").read_text()
    assert caution.text in json.loads((page / "summary.json").read_text())["warnings"]


def test_a_session_in_which_bito_never_traded_is_valued_at_the_price_that_the_bot_read(recorded: Recorded) -> None:
    forget_prices(recorded.run, keeps_candles=True)
    result = session_result(recorded.run)
    assert result.summary["fees"] == pytest.approx(recorded.fees * 0.06, rel=0.02)
    assert not any("BITO" in warning.text for warning in result.warnings if warning.grave)


def test_a_sessions_report_leaves_out_what_is_owed_for_fees_of_earlier_runs(tmp_path: Path) -> None:
    async def act() -> tuple[Path, float]:
        async with bito_world(tmp_path) as world:
            bot = await world.start()
            async with kept(bot):
                await buy(bot)
            await world.crash(bot)
            again = await world.start()
            owed = again.view.money.holdings(None)["bito"]
            async with kept(again):
                await buy(again)
                paid = owed - again.view.money.holdings(None)["bito"]
            await again.driver.close()
            await again.close()
            return again.files.folder, paid / UNIT

    run, paid = asyncio.run(act())
    forget_prices(run)
    result = session_result(run)
    amount = f"{paid:,.8f}".rstrip("0")
    assert any(f"fees of {amount} BITO are in no figure" in warning.text for warning in result.warnings)
    assert result.summary["opening_equity"] is not None
    assert "bito" not in result.opening


def test_an_audit_compares_fees_in_bito(recorded: Recorded, capsys: Printed) -> None:
    main(["audit", str(recorded.run), "--no-page", "--json"])
    found = json.loads(capsys.readouterr().out)
    rows = [row for run in found["runs"] for row in run["pairs"]]
    fees = sum(row["real"]["fee"] for row in rows if row["real"])
    assert fees == pytest.approx(recorded.fees * 0.06, rel=0.02)
    # the simulated exchange is told to take BITO too
    assert sum(row["simulated"]["fee"] for row in rows if row["simulated"]) == pytest.approx(fees, rel=0.02)
    assert found["runs"][0]["notes"] == []


def test_an_audit_compares_no_fees_where_one_side_is_unknown(recorded: Recorded, capsys: Printed) -> None:
    forget_prices(recorded.run)
    main(["audit", str(recorded.run), "--no-page", "--json"])
    found = json.loads(capsys.readouterr().out)
    [run] = found["runs"]
    assert f"fees of {recorded.fees:.8f} BITO are in no figure" in " ".join(run["notes"])
    for row in run["pairs"]:
        if row["kind"] == "matched" and row["real"]["price"] == row["simulated"]["price"]:
            assert row["money"] == 0
