"""The command ``botkit run`` reports through a JSON log, notifiers and metrics, none of which contain a secret."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S, wait_for

CANARY = "canary-3f9a77c1"
PLUGIN = """
from botkit import Strategy, Pair, hookimpl
import pathlib, os

class Talker(Strategy):
    pair: Pair
    def on_start(self):
        self.log.info("hello from the strategy " + os.environ["CANARY"])
        self.subscribe_trades(self.pair)
        self.bought = False
    def on_trade(self, trade):
        if not self.bought:
            self.bought = True
            self.market_buy(self.pair, spend=1000)
        else:
            self.skip("has enough")

class ToFile:
    def __init__(self, options):
        self.path = pathlib.Path(options["path"])
    def notify(self, level, title, text):
        with self.path.open("a") as file:
            file.write(f"{level} | {title} | {text}\\n")

@hookimpl
def botkit_register_strategies(register):
    register("talker", Talker)

@hookimpl
def botkit_register_notifiers(register):
    register("to_file", ToFile)

@hookimpl
def botkit_metrics(snapshot):
    return {"talker_up": snapshot["botkit_up"]}
"""


@pytest.mark.skipif(os.name != "posix", reason="the test stops the bot with SIGINT")
def test_a_run_is_reported_through_every_channel_without_leaking_secrets(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "talker.py").write_text(PLUGIN)
    config = tmp_path / "bot.yaml"
    config.write_text(
        """
name: talker
plugins: [plugins]
strategies:
  - {name: t, use: talker, params: {pair: btc_usdt}, capital: {usdt: 100000, btc: 1}}
emulator:
  balances: {usdt: 100000, btc: 1}
  account: {email: a@example.org, key: KEY, secret: '${CANARY}'}
log: {file: bot.jsonl}
notify:
  - {use: to_file, path: told.txt, digest_s: 0, token: '${CANARY}'}
""".replace("told.txt", str(tmp_path / "told.txt")).replace("KEY", CANARY + "-key")
    )
    environ = {**os.environ, "CANARY": CANARY, "BOTKIT_STATE": str(tmp_path / "state")}
    command = [sys.executable, "-u", "-m", "botkit", "run", str(config), "--metrics-port", "0", "--duration", "300s"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ, cwd=tmp_path
    ) as process:
        printed = metrics = ""
        try:
            assert process.stdout is not None
            for line in process.stdout:
                printed += line
                if "bought" in line:
                    break
            address = re.search(r"http://127\.0\.0\.1:\d+/metrics", printed)
            assert address is not None, printed

            def is_counted() -> bool:
                nonlocal metrics
                with urllib.request.urlopen(address[0]) as response:
                    metrics = response.read().decode()
                # the order may match several levels, with one fill for each level
                return re.search(r'botkit_fills_total\{strategy="t"\} [1-9]', metrics) is not None

            wait_for(is_counted)
            process.send_signal(signal.SIGINT)
            rest, errors = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    assert "talker_up 1.0" in metrics
    told = (tmp_path / "told.txt").read_text()
    assert re.search(r"info \| talker \(emulator\) \| .* t: bought", told)
    log = (tmp_path / "bot.jsonl").read_text()
    [said] = [row for row in map(json.loads, log.splitlines()) if "hello" in row["message"]]
    assert said["message"].endswith("t: hello from the strategy [hidden]")
    assert (said["strategy"], said["level"]) == ("t", "info")
    for text in (printed, rest, errors, metrics, told, log):
        assert CANARY not in text
