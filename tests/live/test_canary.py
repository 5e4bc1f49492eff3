"""A run never stores or prints the account's key or secret, no matter which fault occurs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import zlib
from pathlib import Path
from urllib.parse import quote

import aiohttp
import msgspec
import pytest

from botkit.assembly.emulator import make_emulator
from botkit.cli.main import main
from botkit.emulator import Emulator, EmulatorOptions
from botkit.emulator.options import EmulatorAccount
from botkit.live.recording import INPUTS
from tests.live.world import until
from tests.waiting import PATIENCE_S

SECRET = "canary-secret-5e1f0c77"
KEY = "canary-key-a93b41d2"
REDIS = "canary-redis/91#c4"
TELEGRAM = "7000000002:AAcanary-b1d0_77e2c9f4a8-5d3e6f10"
STRATEGY = """
from botkit import Pair, Strategy, hookimpl

class Clumsy(Strategy):
    pair: Pair

    def on_start(self):
        self.subscribe_book(self.pair, depth=5)
        self.set_timer(every_s=0.2)
        self.count = 0

    def on_timer(self, timer):
        self.count += 1
        book = self.book(self.pair)
        if book is None or book.best_bid is None:
            return
        self.buy(self.pair, amount=0.001, price=book.best_bid * 0.9)
        self.log.warning("orders so far: %d", self.count)
        if self.count > 6:
            raise RuntimeError("this strategy fails")

@hookimpl
def botkit_register_strategies(register):
    register("clumsy", Clumsy)
"""
CONFIG = """
name: canary
plugins: [plugins]
strategies:
  - {name: c, use: clumsy, params: {pair: btc_usdt}}
log: {level: debug}
notify:
  - {use: bell, level: info, digest_s: 0}
  - {use: telegram, token: "${CANARY_TELEGRAM}", chat: 5, user: 6, digest_s: 0, address: "http://127.0.0.1:9"}
emulator:
  account: {email: canary@example.com, key: "${CANARY_KEY}", secret: "${CANARY_SECRET}"}
"""


def forms(text: str) -> list[bytes]:
    """Return all encodings in which a secret might appear."""
    plain = text.encode()
    return [
        plain,
        base64.b64encode(plain).rstrip(b"="),
        plain.hex().encode(),
        hashlib.sha256(plain).hexdigest().encode(),
    ]


def assert_absent(what: str, content: bytes) -> None:
    for secret in (SECRET, KEY, REDIS, quote(REDIS, safe=""), TELEGRAM, TELEGRAM.partition(":")[2]):
        for form in forms(secret):
            assert form not in content, f"{what} contains the secret"


def arguments_of(process_id: int) -> bytes:
    try:
        return Path(f"/proc/{process_id}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # the process has exited, or the system has no /proc
        return b""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Run:
    """A botkit process whose output, arguments and metrics are inspected while it runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.out = self.err = self.metrics = b""
        self._looking = [
            asyncio.create_task(self._read_out()),
            asyncio.create_task(self._read_err()),
            asyncio.create_task(self._look()),
        ]

    @classmethod
    async def start(cls, *arguments: str, environ: dict[str, str], folder: Path) -> Run:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "botkit", *arguments),
            env=environ, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        return cls(process)

    async def _read_out(self) -> None:
        assert self.process.stdout is not None
        while more := await self.process.stdout.read(1 << 16):
            self.out += more

    async def _read_err(self) -> None:
        assert self.process.stderr is not None
        while more := await self.process.stderr.read(1 << 16):
            self.err += more

    async def _look(self) -> None:
        while self.process.returncode is None:
            assert_absent("the list of processes", arguments_of(self.process.pid))
            await asyncio.sleep(0.05)

    async def read_metrics(self, port: int) -> None:
        """Read the bot's metrics until they are complete or the bot exits."""
        async with aiohttp.ClientSession() as session:
            while b"botkit_up" not in self.metrics and self.process.returncode is None:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                        self.metrics = await answer.read()
                await asyncio.sleep(0.02)

    async def stop_after(self, said: bytes) -> None:
        """Stop the process once it has printed this text, unless the process exits first."""
        await until(lambda: said in self.out + self.err or self.process.returncode is not None)
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Wait for the process to exit, check that its output contains no secret, and return the exit code."""
        async with asyncio.timeout(PATIENCE_S):
            await self.process.wait()
            await asyncio.gather(*self._looking)
        for what in ("out", "err", "metrics"):
            assert_absent(what, getattr(self, what))
        assert self.process.returncode is not None
        return self.process.returncode


@pytest.mark.parametrize("fault", ["", "wrong secret", "redirect", "errors"])
async def test_no_secret_appears_in_outputs_files_or_arguments(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "clumsy.py").write_text(STRATEGY)
    config = tmp_path / "canary.yaml"
    config.write_text(CONFIG)
    account = EmulatorAccount(email="canary@example.com", key=KEY, secret=SECRET)
    options = EmulatorOptions(accounts=(account,), history_days=0.02)
    environ = {
        **os.environ,
        "BOTKIT_STATE": str(tmp_path / "state"),
        "BOTKIT_TRACEBACK": "1",
        "CANARY_KEY": KEY,
        "CANARY_TELEGRAM": TELEGRAM,
        "CANARY_SECRET": SECRET + ("x" if fault == "wrong secret" else ""),
        "PYTHONASYNCIODEBUG": "1",
    }
    async with make_emulator(options) as emulator:
        if fault == "errors":
            for kind in ("reset_after", "garbage", "error_after"):
                emulator.add_fault({"kind": kind, "share": 0.2})
            emulator.add_fault({"kind": "ws_garbage", "share": 0.2})
        if fault == "redirect":
            emulator.add_fault({"kind": "error_before", "where": "create_order", "value": 302})
        port = free_port()
        command = ["run", str(config), "--rest", emulator.rest, "--ws", emulator.ws, "--metrics-port", str(port)]
        command += ["--plain", "--duration", "300s"]
        bot = await Run.start(*command, environ=environ, folder=tmp_path)
        await bot.read_metrics(port)
        # under every fault, the bot behaves identically once the strategy has failed, so it can be stopped then;
        # without a fault, wait for the notifier's report
        await bot.stop_after(b"this strategy fails" if fault else b"canary (emulator): error: ")
        code = await bot.ended()
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    for command in (["journal"], ["status"], ["why"], ["config", "show"]):
        await asyncio.to_thread(main, [*command, str(config)])
        out, error = capfd.readouterr()
        assert out + error
        assert_absent(" ".join(command), (out + error).encode())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    for path in files:
        assert_absent(str(path), path.read_bytes())
        if path.name == INPUTS:
            assert_absent(f"{path}, unpacked", zlib.decompressobj().decompress(path.read_bytes()))
    names = {path.name for path in files}
    if not fault:
        assert {"journal.sqlite", "decisions.jsonl", "inputs.bin", "inputs.json"} <= names
        assert b"this strategy fails" in bot.err
        assert b"canary (emulator): error: " in bot.err, "the notifier has reported it"
        assert b"commands from Telegram: Telegram cannot be reached" in bot.err
        assert b"botkit_up" in bot.metrics
        header = json.loads(next(path for path in files if path.name == "inputs.json").read_text())
        assert header["mode"] == "emulator"
    if fault == "wrong secret":
        assert code == 2
        assert b"check the address, the key and this machine's clock" in bot.err


class Server:
    """Implements just enough of the Redis protocol to record the commands. Refuses all commands except login."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while head := await reader.readline():
                words = []
                for _ in range(int(head[1:])):
                    size = int((await reader.readline())[1:])
                    words.append(await reader.readexactly(size + 2))
                self.asked.append(b" ".join(words))
                known = words[0].upper().startswith((b"AUTH", b"CLIENT", b"SELECT"))
                writer.write(b"+OK\r\n" if known else b"-ERR nothing is kept here\r\n")
                await writer.drain()
        writer.close()


async def test_the_password_of_a_shared_ledger_appears_nowhere(tmp_path: Path) -> None:
    pytest.importorskip("redis", reason="the extra botkit[redis] is not installed")
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "clumsy.py").write_text(STRATEGY.replace("self.count > 6", "self.count > 10**9"))
    config, written, server = tmp_path / "canary.yaml", tmp_path / "written.yaml", Server()
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    config.write_text(
        CONFIG.replace("{level: debug}", "{level: debug, file: bot.log}")
        + f'limits: {{ledger: "redis://:${{CANARY_REDIS}}@127.0.0.1:{port}/0"}}\n'
        + f"backtest: {{data: {Path.cwd() / 'backtest_data'}, balances: {{usdt: 1000}},\n"
        + "           from: 2025-04-03T04:00, to: 2025-04-03T04:05}\n"
    )
    text = config.read_text().replace("name: canary", "name: written").replace("bot.log", "written.log")
    written.write_text(text.replace("${CANARY_REDIS}", quote(REDIS, safe="")))
    written.chmod(0o600)
    environ = {
        **os.environ,
        "BOTKIT_STATE": str(tmp_path / "state"),
        "BOTKIT_TRACEBACK": "1",
        "CANARY_KEY": KEY,
        "CANARY_TELEGRAM": TELEGRAM,
        "CANARY_SECRET": SECRET,
        "CANARY_REDIS": REDIS,
        "PYTHONASYNCIODEBUG": "1",
    }
    account = EmulatorAccount(email="canary@example.com", key=KEY, secret=SECRET)

    async def botkit(*arguments: str, until_said: bytes = b"") -> tuple[int, bytes]:
        found = await Run.start(*arguments, environ=environ, folder=tmp_path)
        if until_said:
            await found.stop_after(until_said)
        return await found.ended(), found.out + found.err

    async def trades(emulator: Emulator) -> None:
        where = ("--rest", emulator.rest, "--ws", emulator.ws, "--duration", "300s", "--plain")
        code, out = await botkit("run", str(written), *where, until_said=b"orders so far: 3")
        assert code == 0, out.decode()
        await botkit("status", str(written))

    # an emulator with its own clock needs no shared ledger, so a bot can trade on it
    options = EmulatorOptions(accounts=(account,), history_days=0.02)
    async with (
        listening,
        make_emulator(options) as emulator,
        make_emulator(msgspec.structs.replace(options, speed=2)) as another,
        asyncio.TaskGroup() as together,
    ):
        together.create_task(trades(another))
        where = ("--rest", emulator.rest, "--ws", emulator.ws)
        said = b"redis://127.0.0.1"
        _, out = await botkit("run", str(config), *where, "--duration", "300s", "--plain", until_said=said)
        assert said in out, "the bot has said which ledger does not answer"
        of_the_account = (str(config), "--mode", "emulator", "--rest", emulator.rest)
        ledger = ("--ledger", f"redis://:${{CANARY_REDIS}}@127.0.0.1:{port}/0")
        for arguments in (
            ("config", "show", str(config)),
            ("config", "show", str(written)),
            ("limits", str(written), "--usage"),
            ("panic", *of_the_account),
            ("account", *of_the_account),
            ("backtest", str(written), "--out", str(tmp_path / "out-written")),
            ("download", "btc_twd", *where[:2], "--from", "2026-01-01", "--out", str(tmp_path / "t"), *ledger),
        ):
            together.create_task(botkit(*arguments))
    assert any(b"AUTH" in words and REDIS.encode() in words for words in server.asked)
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path != written]
    for path in files:
        assert_absent(str(path), path.read_bytes())
        if path.name == INPUTS:
            assert_absent(f"{path}, unpacked", zlib.decompressobj().decompress(path.read_bytes()))
    names = {"bot.log", "written.log", "journal.sqlite", "status.json", "inputs.bin", "report.html", "config.yaml"}
    assert names <= {path.name for path in files}


def test_a_parameter_containing_a_secret_is_not_recorded(tmp_path: Path) -> None:
    from botkit.config.load import load_config

    config = tmp_path / "canary.yaml"
    config.write_text(CONFIG)
    loaded = load_config(config, overrides=[f"emulator.account.secret={SECRET}", "seed=4"])
    assert loaded.overrides == ("seed=4",)
