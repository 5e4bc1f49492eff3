"""A run never stores or prints the account's key or secret, whatever goes wrong."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import zlib
from pathlib import Path
from urllib.parse import quote

import pytest

from botkit.assembly.emulator import make_emulator
from botkit.emulator import EmulatorOptions
from botkit.emulator.options import EmulatorAccount
from botkit.live.recording import INPUTS

SECRET = "canary-secret-5e1f0c77"
KEY = "canary-key-a93b41d2"
REDIS = "canary-redis/91#c4"
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
notify: [{use: bell, level: info, digest_s: 0}]
emulator:
  account: {email: canary@example.com, key: "${CANARY_KEY}", secret: "${CANARY_SECRET}"}
"""


def forms(text: str) -> list[bytes]:
    """Return the forms in which a secret may appear."""
    plain = text.encode()
    return [
        plain,
        base64.b64encode(plain).rstrip(b"="),
        plain.hex().encode(),
        hashlib.sha256(plain).hexdigest().encode(),
    ]


def assert_absent(what: str, content: bytes) -> None:
    for secret in (SECRET, KEY, REDIS, quote(REDIS, safe="")):
        for form in forms(secret):
            assert form not in content, f"{what} contains the secret"


def arguments_of(process_id: int) -> bytes:
    try:
        return Path(f"/proc/{process_id}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # the process has ended, or there is no such file system
        return b""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def metrics_of(port: int, process_id: int) -> bytes:
    """Return the bot's metrics, or nothing if it ended before it had any."""
    end = time.monotonic() + 60
    while time.monotonic() < end and arguments_of(process_id):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as got:
            text: bytes = got.read()
            if b"botkit_up" in text:
                return text
        time.sleep(0.05)
    return b""


@pytest.mark.parametrize("fault", ["", "wrong secret", "redirect", "errors"])
async def test_no_secret_is_left_behind(fault: str, tmp_path: Path) -> None:
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
        command = [sys.executable, "-m", "botkit", "run", str(config), "--rest", emulator.rest, "--ws", emulator.ws]
        command += ["--metrics-port", str(port)]
        process = await asyncio.create_subprocess_exec(
            *command, "--duration", "3s", "--plain", env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        figures = asyncio.create_task(asyncio.to_thread(metrics_of, port, process.pid))
        await asyncio.sleep(1.5)
        assert_absent("the list of processes", arguments_of(process.pid))
        out, err = await asyncio.wait_for(process.communicate(), 90)
        metrics = await figures
        assert_absent("the metrics", metrics)
        assert_absent("standard output", out)
        assert_absent("standard error", err)
    for command in (["journal"], ["status"], ["why"], ["config", "show"]):
        found = subprocess.run(
            [sys.executable, "-m", "botkit", *command, str(config)], env=environ, capture_output=True, check=False
        )
        assert_absent(" ".join(command), found.stdout + found.stderr)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    for path in files:
        assert_absent(str(path), path.read_bytes())
        if path.name == INPUTS:
            assert_absent(f"{path}, unpacked", zlib.decompressobj().decompress(path.read_bytes()))
    names = {path.name for path in files}
    if not fault:
        assert {"journal.sqlite", "decisions.jsonl", "inputs.bin", "inputs.json"} <= names
        assert b"this strategy fails" in err
        assert b"canary (emulator): error: " in err, "the notifier has reported it"
        assert b"botkit_up" in metrics
        header = json.loads(next(path for path in files if path.name == "inputs.json").read_text())
        assert header["mode"] == "emulator"
    if fault == "wrong secret":
        assert process.returncode == 2
        assert b"check the address, the key and this machine's clock" in err


class Server:
    """Speaks just enough of Redis's protocol to see who asks for what, and refuses everything but the password."""

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


async def test_a_shared_ledgers_password_appears_nowhere(tmp_path: Path) -> None:
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
        "CANARY_SECRET": SECRET,
        "CANARY_REDIS": REDIS,
        "PYTHONASYNCIODEBUG": "1",
    }
    account = EmulatorAccount(email="canary@example.com", key=KEY, secret=SECRET)

    async def botkit(*arguments: str) -> tuple[int | None, bytes]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "botkit", *arguments),
            env=environ,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        looking = asyncio.create_task(watch_arguments(process.pid))
        out, _ = await asyncio.wait_for(process.communicate(), 90)
        if not looking.cancel():
            looking.result()
        assert_absent(" ".join(arguments), out)
        return process.returncode, out

    async def watch_arguments(process_id: int) -> None:
        while True:
            assert_absent("the list of processes", arguments_of(process_id))
            await asyncio.sleep(0.05)

    async with listening, make_emulator(EmulatorOptions(accounts=(account,), history_days=0.02)) as emulator:
        where = ("--rest", emulator.rest, "--ws", emulator.ws)
        code, out = await botkit("run", str(config), *where, "--duration", "3s", "--plain")
        assert b"redis://127.0.0.1" in out, "the bot has said which ledger does not answer"
        for arguments in (
            ("config", "show", str(config)),
            ("config", "show", str(written)),
            ("limits", str(written), "--usage"),
            ("panic", str(config), "--mode", "emulator", "--rest", emulator.rest),
            ("account", str(config), "--mode", "emulator", "--rest", emulator.rest),
            ("backtest", str(written), "--out", str(tmp_path / "out-written")),
        ):
            await botkit(*arguments)
        download = (
            "download",
            "btc_twd",
            "--rest",
            emulator.rest,
            "--from",
            "2026-01-01",
            "--out",
            str(tmp_path / "t"),
        )
        await botkit(*download, "--ledger", f"redis://:${{CANARY_REDIS}}@127.0.0.1:{port}/0")
    # a bot on a clock of its own needs no shared ledger, so this one trades
    options = EmulatorOptions(accounts=(account,), history_days=0.02, speed=2)
    async with make_emulator(options) as emulator:
        where = ("--rest", emulator.rest, "--ws", emulator.ws)
        code, out = await botkit("run", str(written), *where, "--duration", "3s", "--plain")
        assert code == 0, out.decode()
        await botkit("status", str(written))
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
