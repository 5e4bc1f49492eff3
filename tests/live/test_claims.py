"""Bots on one account never count a coin twice, even in separate processes. Claims of dead bots are void."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from botkit.assembly.live import live_parts
from botkit.cli.main import main
from botkit.emulator import Emulator, EmulatorOptions
from botkit.exchange.bitopro import sign
from botkit.live import capital
from botkit.live.bot import Bot
from botkit.live.claims import Claims, CoinClaim
from botkit.live.notices import Notices
from botkit.live.starting import StartRefused, start
from botkit.live.state_folder import StateFolder
from botkit.live.stopping import stop
from botkit.project.project import Project
from tests.live.world import STRATEGY, UNIT, puppet, until

pytestmark = pytest.mark.virtual_time

CONFIG = """
name: NAME
plugins: [plugins]
strategies:
  - {name: p, use: puppet, params: {pair: btc_usdt}CAPITAL}
emulator:
  account: {email: emulator@botkit.local, key: emulator-key, secret: emulator-secret}
"""
ACCOUNT = {"usdt": 50_000 * UNIT, "btc": 1 * UNIT}


class Account:
    """An emulator with one account, and the bots on that account."""

    def __init__(self, folder: Path, emulator: Emulator) -> None:
        self.folder = folder
        self.emulator = emulator

    def config(self, name: str, own: str | None) -> Path:
        """Return a bot's configuration. The bot has its own capital, or shares the pool if ``own`` is None."""
        path = self.folder / f"{name}.yaml"
        path.write_text(CONFIG.replace("NAME", name).replace("CAPITAL", f", capital: {own}" if own else ""))
        path.chmod(0o600)
        return path

    @contextlib.asynccontextmanager
    async def running(self, name: str, own: str | None = None) -> AsyncIterator[Bot]:
        """Run a bot until the block exits."""
        project = Project.load(self.config(name, own))
        async with live_parts(project, "emulator", rest=self.emulator.rest, ws=self.emulator.ws) as parts:
            bot = await start(parts, Notices())
            try:
                yield bot
                await stop(bot)
            finally:
                await bot.close()

    async def refused(self, name: str, own: str | None = None) -> str:
        """Return the reason why a bot refuses to start, and check that the bot leaves no saved portfolio behind."""
        with pytest.raises(StartRefused) as error:
            async with self.running(name, own):
                pass
        [folder] = (self.folder / "state" / name / "emulator").iterdir()
        from botkit.live.journal import Journal

        journal = Journal.open(folder / "journal.sqlite", read_only=True)
        assert journal.meta("portfolio") is None, "the next start must not restore books that were refused"
        journal.close()
        return str(error.value)


@pytest.fixture
async def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Account]:
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(sign, "_nonces", sign._LastNonces())
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "puppet.py").write_text(STRATEGY)
    account = Account(tmp_path, None)  # type: ignore[arg-type]
    facts = Project.load(account.config("facts", None)).facts
    async with Emulator(facts, EmulatorOptions(balances=ACCOUNT, speed=20, seed=3, history_days=0.02)) as emulator:
        account.emulator = emulator
        yield account


async def test_a_second_pool_on_one_account_is_refused_before_any_request_is_sent(account: Account) -> None:
    async with account.running("a"):
        seen = account.emulator.venue.limits.counts.copy()
        told = await account.refused("b")
        assert "the bot a runs on this account and pools its usdt too" in told
        assert told.endswith("Nothing was traded")
        assert "\n" not in told
        assert account.emulator.venue.limits.counts == seen
    async with account.running("b") as b:
        assert b.view.money.holdings(None)["usdt"] == 50_000 * UNIT


async def test_claims_that_exceed_the_accounts_coins_are_refused(account: Account) -> None:
    async with account.running("a", '{btc: "0.7", usdt: "10"}'):
        told = await account.refused("b", '{btc: "0.7", usdt: "10"}')
        assert "the account has 1 btc, of which 0.7 belongs to the bot a, and this bot would take 0.7" in told
        async with account.running("b", '{btc: "0.3", usdt: "10"}') as b:
            assert puppet(b).position("btc_usdt").given == 0.3
        told = await account.refused("c", '{usdt: "49991"}')
        assert "10 belongs to the bot a" in told


async def test_a_pool_is_refused_if_another_bot_has_capital_in_the_account(account: Account) -> None:
    async with account.running("a", '{usdt: "20000"}'):
        assert "20000 belongs to the bot a, and this bot would take 50000" in (told := await account.refused("b"))
        assert 'give its strategies a `capital`, such as {usdt: "1000"}' in told


async def test_a_bots_claim_includes_the_coins_it_has_bought(account: Account) -> None:
    async with account.running("a", '{usdt: "20000"}') as a:
        await until(lambda: puppet(a).book("btc_usdt").best_ask)
        bought = puppet(a).market_buy("btc_usdt", spend=10_000)
        a.driver.wake()
        await until(lambda: bought.is_final)
        a.keep_claim()  # the supervisor calls this every second
        has = a.view.money.holdings(None)["btc"]
        assert has > 0
        told = await account.refused("b", '{btc: "1.05"}')
        assert "belongs to the bot a" in told
        async with account.running("c", '{usdt: "10"}') as c:
            shown = c.view.money.ownership(c.elsewhere())
            assert shown.elsewhere["btc"] == has
            assert shown.left["btc"] == 1 * UNIT, "coins that the account held before and that no bot was given"


async def test_a_killed_bot_with_resting_orders_can_restart_after_another_bot_has_sold_coins(account: Account) -> None:
    async with account.running("a", '{usdt: "25000"}') as first:
        await until(lambda: puppet(first).book("btc_usdt").best_bid)
        resting = puppet(first).buy("btc_usdt", amount=0.001, price=puppet(first).book("btc_usdt").best_bid * 0.8)
        first.driver.wake()
        await until(lambda: resting.order_id)
        await first.close()  # the order stays open at the exchange
        async with account.running("b", '{usdt: "25000", btc: "0.5"}') as second:
            await until(lambda: puppet(second).book("btc_usdt").best_bid)
            sold = puppet(second).market_sell("btc_usdt", amount=0.05)
            second.driver.wake()
            await until(lambda: sold.is_final)
            second.keep_claim()
            assert Claims(first.parts.folder).elsewhere()["usdt"] > 25_000 * UNIT
            async with account.running("a", '{usdt: "25000"}') as again:
                assert [order.client_id for order in again.view.open_orders()] == [resting.client_id]


async def test_another_bots_coins_cannot_be_added_as_capital(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    async with account.running("a", '{btc: "0.7", usdt: "10"}'):
        async with account.running("b", '{usdt: "10"}') as b:
            with pytest.raises(ValueError, match=r"0\.5 btc is more than the 0\.3 btc that is unassigned: 0\.7 .* a$"):
                capital.move(b, "p", {"btc": UNIT // 2})
            capital.move(b, "p", {"btc": UNIT // 10})
            assert puppet(b).position("btc_usdt").given == 0.1
            assert b.claims is not None
            assert [c.units["btc"] for c in Claims(StateFolder.of("z", *_place(b))).others() if c.name == "b"] == [
                10**7
            ]
        code = await asyncio.to_thread(main, ["capital", "add", str(account.folder / "b.yaml"), "p", "btc=0.5"])
        assert code == 2
        assert "0.7 belongs to the bot a" in capsys.readouterr().err
    code = await asyncio.to_thread(main, ["capital", "add", str(account.folder / "b.yaml"), "p", "btc=0.5"])
    assert code == 0, capsys.readouterr().err


def _place(bot: Bot) -> tuple[str, str]:
    path = bot.parts.folder.path
    return path.parent.name, path.name


@pytest.mark.skipif(os.name != "posix", reason="the test ends a bot by SIGKILL")
@pytest.mark.real_time
async def test_a_killed_process_no_longer_has_a_claim(account: Account, tmp_path: Path) -> None:
    config = account.config("killed", None)
    arguments = ["run", str(config), "--rest", account.emulator.rest, "--ws", account.emulator.ws, "--plain"]
    process = subprocess.Popen(
        [sys.executable, "-m", "botkit", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    lines = process.stdout
    try:
        said = await asyncio.to_thread(lines.readline)
        while said and "owns" not in said:
            said = await asyncio.to_thread(lines.readline)
        assert said.startswith("p owns 50000 usdt; not used: 1 btc")
        assert "the bot killed runs on this account" in await account.refused("b")
    finally:
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait)
        lines.close()
    [claim] = (tmp_path / "state" / "killed").rglob("claim.json")
    left = msgspec.json.decode(claim.read_bytes(), type=CoinClaim)
    assert left.pooled == ("usdt",), "the killed bot had no time to withdraw its claim"
    async with account.running("b") as b:
        assert b.view.money.holdings(None)["usdt"] == 50_000 * UNIT


def test_a_reused_process_id_does_not_keep_a_dead_bots_claim_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path))
    dead, living = StateFolder.of("dead", "live", "x"), StateFolder.of("living", "live", "x")
    for folder in (dead, living):
        folder.path.mkdir(parents=True)
        claim = CoinClaim(folder.path.parents[1].name, ("twd",), {"twd": 5})
        (folder.path / "claim.json").write_bytes(msgspec.json.encode(claim))
        # a process with this ID is running, but it is a different process
        (folder.path / "lock").write_text(f" {os.getpid()}\n")
    living.lock()
    me = Claims(StateFolder.of("me", "live", "x"))
    assert [claim.name for claim in me.others()] == ["living"]
    assert me.elsewhere() == {"twd": 5}
    assert Claims(StateFolder.of("me", "live", "other account")).others() == []
    assert Claims(StateFolder.of("me", "emulator", "x")).others() == []
    living.unlock()
    assert me.others() == []


async def test_an_unreadable_claim_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path))
    other = StateFolder.of("other", "live", "x")
    other.lock()
    (other.path / "claim.json").write_text("{")
    me = Claims(StateFolder.of("me", "live", "x"))
    assert me.others() == []
    await me.register(["twd"], {"twd": 7}, {"twd": 7})
    other.unlock()
