"""Tests the modes of `botkit run`: refused configurations, paper trading and signals. No mode writes a secret."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from botkit.assembly.account import account_access
from botkit.assembly.emulator import emulator_options, make_emulator
from botkit.assembly.live import live_parts
from botkit.cli.main import main
from botkit.emulator import DEFAULT_ACCOUNT
from botkit.emulator.thread import EmulatorThread
from botkit.errors import ConfigError
from botkit.live.notices import Notices
from botkit.live.start_refused import StartRefused
from botkit.live.starting import start
from botkit.live.stopping import stop
from botkit.live.supervisor import Supervisor
from botkit.model.clock import NS_PER_S
from botkit.model.counts import counted
from botkit.model.orders import Order, OrderState
from botkit.project.project import Project
from tests.live.world import World, puppet, until

ROOT = Path(__file__).parents[2]
CANARY = "canary-6f1d2c"
BOUNDED = """
live: {confirm: true}
risk:
  max_order_value: {usdt: 1000}
  max_position: {btc: "0.1"}
  max_daily_loss: {usdt: 100}
  price_collar_pct: 5
"""


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))


def config(folder: Path, more: str = "") -> Path:
    path = folder / "bot.yaml"
    path.write_text(
        f"name: modes\nplugins: [{ROOT / 'strategies'}]\n"
        f"strategies:\n  - {{use: market_maker, params: {{pair: btc_usdt, spread_bps: 30}}}}\n{more}"
    )
    path.chmod(0o600)
    return path


async def opened(path: Path, mode: Any, **options: Any) -> None:
    async with live_parts(Project.load(path), mode, **options):
        pass


async def test_live_mode_is_refused_until_every_limit_is_set(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        await opened(config(tmp_path), "live")
    for word in ("confirm: true", "max_order_value", "max_position", "max_daily_loss", "price_collar_pct"):
        assert word in str(error.value)
    assert "bot.yaml" in str(error.value)


async def test_live_mode_refuses_an_emulator_and_emulator_mode_refuses_the_exchange(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="use --mode emulator"):
        await opened(config(tmp_path, BOUNDED), "live", rest="http://127.0.0.1:1/v3", ws="ws://127.0.0.1:1/ws")
    with pytest.raises(ConfigError, match="only reaches this machine"):
        await opened(config(tmp_path), "emulator", rest="https://api.example.com/v3", ws="wss://example.com/ws")
    with pytest.raises(ConfigError, match="--ws is missing"):
        await opened(config(tmp_path), "emulator", rest="http://127.0.0.1:1/v3")


async def test_paper_mode_says_what_to_check_if_the_exchange_cannot_be_reached(tmp_path: Path) -> None:
    path = config(tmp_path)
    path.write_text(path.read_text() + "limits: {ledger: none}\n")
    with pytest.raises(ConfigError, match=r"Check the address and the network$") as caught:
        await opened(path, "paper", rest="http://127.0.0.1:1/v3", ws="ws://127.0.0.1:1/ws")
    assert "ClientConnectorError" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["status"], "has never run"),
        (["stop"], "has never run"),
        (["journal"], "has never run"),
        (["why", "--since", "soon"], "write a duration"),
        (["run", "--duration", "soon"], "is not a duration"),
    ],
)
def test_invalid_command_arguments_are_refused_with_a_one_line_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    code = main([arguments[0], str(config(tmp_path)), *arguments[1:]])
    assert code == 2
    output = capsys.readouterr()
    assert told in output.err
    assert "Traceback" not in output.err


async def test_paper_mode_trades_on_an_exchanges_market_data_without_sending_it_orders(world: World) -> None:
    # otherwise, market data reads would count toward the limits managed by this machine's broker
    world.config.write_text(world.config.read_text() + "limits: {ledger: none}\n")
    async with live_parts(Project.load(world.config), "paper", rest=world.emulator.rest, ws=world.emulator.ws) as parts:
        bot = await start(parts, Notices())
    world.bots.append(bot)
    strategy = puppet(bot)
    await until(lambda: strategy.book("btc_usdt").best_ask)
    resting = strategy.buy("btc_usdt", amount=0.001, price=1000)
    taking: list[Order] = []

    def is_filled() -> bool:
        # trades may have taken all of the five levels since the last book, and a market order is then cancelled
        if not taking or taking[-1].state is OrderState.CANCELLED:
            taking.append(strategy.market_buy("btc_usdt", spend=500))
            bot.driver.wake()
        return taking[-1].state is OrderState.FILLED

    await until(is_filled)
    await until(lambda: resting.order_id)
    assert resting.state is OrderState.OPEN
    await stop(bot)
    assert resting.state is OrderState.CANCELLED
    bot.view.money.check()
    await bot.close()
    assert not world.exchange_orders()


async def test_paper_mode_does_not_fill_orders_against_a_stale_book(world: World) -> None:
    world.config.write_text(world.config.read_text() + "limits: {ledger: none}\nmax_book_age_s: 1\n")
    async with live_parts(Project.load(world.config), "paper", rest=world.emulator.rest, ws=world.emulator.ws) as parts:
        bot = await start(parts, Notices())
    world.bots.append(bot)
    strategy = puppet(bot)
    await until(lambda: strategy.book("btc_usdt").best_ask)
    for silenced in ("order_book", "trades"):
        world.emulator.add_fault({"kind": "ws_silence", "where": silenced})
    since = bot.driver.now()
    await until(lambda: bot.driver.now() - since > 2 * NS_PER_S)
    crossing = strategy.buy("btc_usdt", amount=0.001, price=(strategy.book("btc_usdt").best_ask or 0) * 1.001)
    bot.driver.wake()
    await until(lambda: crossing.order_id or crossing.is_final)
    assert crossing.state is OrderState.OPEN, "the levels of that book may be gone"
    await stop(bot)
    await bot.close()


async def test_no_secret_is_written_to_errors_messages_or_files(world: World, tmp_path: Path) -> None:
    from botkit.config.secrets import AccountKeys

    account = AccountKeys(email="me@example.com", key=f"key-{CANARY}", secret=f"secret-{CANARY}")
    parts = world.parts()
    from botkit.project.connect import connect

    adapter = connect(
        parts.project, account, world.emulator.rest, world.emulator.ws, world.emulator.clock, random=Random(0)
    )
    parts = msgspec.structs.replace(parts, adapter=adapter)
    with pytest.raises(StartRefused, match="check the address, the key and this machine's clock") as error:
        await world.start_from(parts)
    assert CANARY not in repr(error.value)
    assert CANARY not in repr(world.told)
    for path in world.folder.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path


async def test_a_keeper_writes_a_status_file_for_other_processes(world: World) -> None:
    bot = await world.start()
    supervisor = Supervisor()
    assert await supervisor.run(bot, 0.4) == "duration"
    await supervisor.stop(bot)
    status = bot.parts.folder.read_status()
    assert status is not None
    assert status["open_orders"] == 0
    assert status["streams"]["active_orders"] == "connected"


@pytest.mark.skipif(os.name != "posix", reason="signals")
async def test_sigterm_stops_the_bot_cleanly_and_the_final_status_is_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, "emulator:\n  balances: {usdt: 10000, btc: 1}\n")
    environ = {**os.environ, "BOTKIT_STATE": str(tmp_path / "state")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "botkit", "run", str(path), "--json",
        env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    status = tmp_path / "state" / "modes" / "emulator" / "inside" / "status.json"
    await until(lambda: status.exists() and json.loads(status.read_bytes())["orders"], 60)
    process.send_signal(signal.SIGTERM)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    summary = json.loads(out)
    assert summary["ended"] == "signal"
    assert summary["open_orders"] == 0
    assert summary["orders"] > 0
    assert main(["status", str(path)]) == 3
    shown = capsys.readouterr().out
    assert re.match(r"not running, ended \(signal\) at \S+; mode emulator\n", shown)
    assert counted(summary["orders"], "order") in shown
    assert "still open" not in shown

    assert main(["panic", str(path)]) == 2
    assert "the emulator stopped with the bot" in capsys.readouterr().err

    document = json.loads(status.read_bytes())
    status.write_text(json.dumps(document | {"ended": "", "time": 0}))  # the status file as left by a killed bot
    assert main(["status", str(path)]) == 3
    assert "did not stop cleanly; last status from 1970-01-01T08:00:00.000+08:00" in capsys.readouterr().out


async def test_no_command_sends_the_keys_for_one_exchange_to_another_exchange(tmp_path: Path) -> None:
    keys = "{email: a@example.org, key: k, secret: s}"
    project = Project.load(config(tmp_path, f"account: {keys}\nemulator:\n  account: {keys}\n"))
    for mode, rest, mend in (
        ("emulator", None, "give the emulator's address on this machine"),
        ("emulator", "https://api.example.org/v3", "give the emulator's address on this machine"),
        ("live", "http://127.0.0.1:9/v3", "use --mode emulator"),
    ):
        with pytest.raises(ConfigError, match=mend):
            async with account_access(project, mode, rest=rest):
                raise AssertionError("a connection was made")


def test_the_account_command_queries_the_emulator_on_which_the_bot_ran(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = f"{{email: {DEFAULT_ACCOUNT.email}, key: {DEFAULT_ACCOUNT.key}, secret: {DEFAULT_ACCOUNT.secret}}}"
    path = config(tmp_path, f"emulator:\n  account: {keys}\n")
    assert main(["account", str(path), "--mode", "emulator"]) == 2
    assert "give the emulator" in capsys.readouterr().err
    with EmulatorThread(lambda: make_emulator(emulator_options())) as running:
        where = ["--rest", running.rest, "--ws", running.ws]
        assert main(["run", str(path), *where, "--duration", "1s", "--json"]) == 0
        capsys.readouterr()
        assert main(["account", str(path), "--mode", "emulator", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["works"]


def test_the_account_command_names_the_account_that_it_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = "account: {email: real@example.org, key: '${K}', secret: '${S}', secrets_file: keys}\n"
    path = config(tmp_path, real)
    with EmulatorThread(lambda: make_emulator(emulator_options())) as running:
        main(["account", str(path), "--rest", running.rest])
        told = capsys.readouterr().out.splitlines()[0]
        assert told.startswith(f"account {DEFAULT_ACCOUNT.email}, key from the default of `botkit emulator`")
        assert told.endswith(f"as `emulator.account:` is missing in {path}")
        # without a secrets_file of its own, the emulator's account takes that of `account:`
        keys = path.parent / "keys"
        keys.write_text("K=k\nS=s\n")
        keys.chmod(0o600)
        path = config(
            tmp_path, f"{real}emulator: {{account: {{email: mine@example.org, key: '${{K}}', secret: '${{S}}'}}}}\n"
        )
        assert main(["account", str(path), "--rest", running.rest]) == 1
        told, refused = capsys.readouterr().out.splitlines()
        assert told.startswith(f"account mine@example.org, key from `emulator.account:` ({path}:")
        assert "401" in refused
