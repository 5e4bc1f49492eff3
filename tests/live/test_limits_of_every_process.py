"""Every request sent by any part of botkit is counted in the shared windows. The number of requests that arrive at the
emulator never exceeds the slots granted by the ledger.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from botkit.assembly.emulator import emulator_options, make_emulator
from botkit.assembly.replay import replay_run
from botkit.live.limits.broker import FOLDER_VARIABLE
from botkit.live.limits.protocol import AskUsage
from botkit.live.limits.sharing import ledger_link
from botkit.model.clock import NS_PER_DAY, format_time
from botkit.model.limits import Scope
from botkit.model.orders import RESTING_STATES
from tests.live.world import until
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
CONFIG = """
name: {name}
plugins: [{root}/tests/benchmarks/strategies]
strategies:
  - {{use: greedy, params: {{pairs: [btc_twd, eth_twd, usdt_twd, btc_usdt], a_second: 60, most: 700}}}}
emulator:
  account: {{email: a@b.c, key: some-key, secret: some-secret}}
"""


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "b"))
    return tmp_path


def orders_of(folder: Path, name: str) -> int:
    """Return the number of orders that a bot has placed, according to its status file."""
    statuses = list((folder / "state" / name).glob("*/*/status.json"))
    return int(json.loads(statuses[0].read_bytes())["orders"]) if statuses else 0


class Exchange:
    """An emulator at real-time speed, and the botkit processes connected to it."""

    def __init__(self, folder: Path) -> None:
        options = emulator_options(accounts=("a@b.c:some-key:some-secret",), balance="twd=1000000,usdt=100000")
        self.emulator = make_emulator(options)
        self.folder = folder

    def config(self, name: str) -> Path:
        path = self.folder / f"{name}.yaml"
        path.write_text(CONFIG.format(name=name, root=ROOT))
        path.chmod(0o600)
        return path

    async def begin(self, *arguments: object) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "botkit", *map(str, arguments), cwd=self.folder, env=dict(os.environ),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def done(self, process: asyncio.subprocess.Process) -> str:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        assert process.returncode == 0, out.decode() + err.decode()
        return out.decode()

    async def trading(self, bot: asyncio.subprocess.Process) -> None:
        """Wait until 20 creates from a bot have arrived."""
        await until(lambda: self.arrived("create_order", "create_batch") >= 20 or bot.returncode is not None)
        assert bot.returncode is None, (await bot.communicate())[1].decode()

    def arrived(self, *endpoints: str) -> int:
        """Return the number of requests to these endpoints that have arrived."""
        counts = self.emulator.venue.limits.counts
        return sum(counts[endpoint].arrivals for endpoint in endpoints if endpoint in counts)

    async def unaccounted(self) -> dict[str, tuple[int, int]]:
        """Return the windows in which more requests arrived at the exchange than the ledger recorded, as (arrived,
        recorded).
        """
        link: Any = ledger_link(None)
        try:
            usage = (await link.call(AskUsage())).usage
        finally:
            await link.close()
        known: dict[tuple[str, str, int], int] = {}
        for row in usage:
            _, scope, rest = row.key.split("|", 2)
            pool, _, size = rest.partition("|")
            assert size == f"{row.requests}/{row.per_s}s"
            place = (pool, scope.partition("=")[0], row.per_s)
            known[place] = known.get(place, 0) + row.held
        now = self.emulator.clock.now()
        over = {}
        for (pool, scope, length, _), window in self.emulator.venue.limits._windows.items():
            arrived = sum(at > now - length for at in window.arrivals)
            held = known.get((pool, "ip" if scope is Scope.IP else "account", length // 10**9), 0)
            if arrived > held:
                over[f"{pool} {scope.value}"] = (arrived, held)
        return over


async def test_a_greedy_bot_paper_mode_download_account_and_panic_never_exceed_a_limit_in_total(
    own_folders: Path,
) -> None:
    exchange = Exchange(own_folders)
    async with exchange.emulator as emulator:
        where = ("--rest", emulator.rest, "--ws", emulator.ws)
        bot_config, paper_config = exchange.config("greedy"), exchange.config("paper")
        bot = await exchange.begin("run", bot_config, *where, "--json")
        await exchange.trading(bot)
        paper = await exchange.begin("run", paper_config, *where, "--mode", "paper", "--json")
        begin = format_time(emulator.clock.now() - 20 * NS_PER_DAY)[:10]
        download = await exchange.begin(
            "download", "btc_twd,eth_twd", "--from", begin, *where[:2], "--out", own_folders / "tape", "--json"
        )
        looks = [await exchange.begin("account", bot_config, *where[:2], "--json") for _ in range(3)]
        assert all([json.loads(await exchange.done(look))["works"] for look in looks])
        panic = await exchange.done(await exchange.begin("panic", bot_config, "--rest", emulator.rest))
        assert "none still open" in panic
        assert "continuing" not in panic
        await exchange.done(download)
        await until(lambda: orders_of(own_folders, "paper") >= 100 or paper.returncode is not None)
        stops = [
            await exchange.begin("stop", bot_config),
            await exchange.begin("stop", paper_config, "--mode", "paper"),
        ]
        await asyncio.gather(*(exchange.done(process) for process in (*stops, bot, paper)))
        assert await exchange.unaccounted() == {}
        for endpoint in ("balance", "open_orders", "trading_history", "trading_pairs"):
            assert exchange.arrived(endpoint), endpoint
        assert emulator.venue.limits.refused == 0
    # a replay also reproduces the times at which the ledger granted slots to each bot
    runs = sorted((own_folders / "state").glob("*/*/*/runs/1"))
    assert [run.parts[-5] for run in runs] == ["greedy", "paper"]
    for run in runs:
        verdict = await asyncio.to_thread(replay_run, run)
        assert verdict.difference is None, verdict
        assert verdict.decisions > 100


async def test_panic_does_not_wait_for_an_unreachable_ledger(own_folders: Path) -> None:
    """No broker responds, and none can be started."""
    exchange = Exchange(own_folders)
    async with exchange.emulator as emulator:
        config = exchange.config("alone")
        where = ("--rest", emulator.rest, "--ws", emulator.ws)
        bot = await exchange.begin("run", config, *where, "--set", "limits.ledger=none", "--json")
        await exchange.trading(bot)
        config.write_text(config.read_text() + "limits: {ledger: 'redis://127.0.0.1:1/0'}\n")
        told = await exchange.done(await exchange.begin("panic", config, "--rest", emulator.rest))
        assert told.index("new orders are blocked") < told.index("continuing without it")
        assert "redis://127.0.0.1:1/0 cannot be reached" in told
        assert "none still open" in told
        await exchange.done(await exchange.begin("stop", config))
        await exchange.done(bot)
        assert emulator.venue.limits.refused == 0


@pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be suspended there")
async def test_panic_works_while_a_suspended_bot_still_holds_slots(own_folders: Path) -> None:
    exchange = Exchange(own_folders)
    async with exchange.emulator as emulator:
        config = exchange.config("hanging")
        bot = await exchange.begin("run", config, "--rest", emulator.rest, "--ws", emulator.ws, "--json")
        await exchange.trading(bot)
        bot.send_signal(signal.SIGSTOP)
        try:
            told = await exchange.done(await exchange.begin("panic", config, "--rest", emulator.rest))
        finally:
            bot.send_signal(signal.SIGCONT)
        assert "none still open" in told
        assert "continuing" not in told
        await exchange.done(await exchange.begin("stop", config))
        await exchange.done(bot)
        kernel = emulator.venue.kernel
        assert not [order for order in kernel.orders("a@b.c") if order.state in RESTING_STATES]
        assert await exchange.unaccounted() == {}
        assert emulator.venue.limits.refused == 0
