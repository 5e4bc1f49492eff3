"""The command ``botkit run`` keeps running if its output has no terminal, no reader or no disk space. A hangup signal
stops it cleanly.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from botkit.cli.run import _Signals
from botkit.cli.screen import Output
from botkit.model.clock import NS_PER_S
from tests.waiting import PATIENCE_S, wait_for

PLUGIN = """
from botkit import Strategy, Pair, hookimpl

class Rests(Strategy):
    pair: Pair
    def on_start(self):
        self.subscribe_trades(self.pair)
        self.done = False
    def on_trade(self, trade):
        if not self.done:
            self.done = True
            self.buy(self.pair, amount=0.01, price=round(trade.price / 2))

@hookimpl
def botkit_register_strategies(register):
    register("rests", Rests)
"""


def test_lines_that_cannot_be_printed_are_dropped_with_a_single_logged_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    printed: list[str] = []
    failures: list[Exception] = [
        OSError(errno.ENOSPC, "No space left on device"), BrokenPipeError(errno.EPIPE, "Broken pipe"),
        OSError(errno.EIO, "Input/output error"), ValueError("I/O operation on closed file"),
    ]  # fmt: skip

    def echo(text: str, *, err: bool) -> None:
        if failures:
            raise failures.pop(0)
        printed.append(text)

    monkeypatch.setattr(click, "echo", echo)
    output = Output()
    with caplog.at_level("WARNING", logger="botkit.cli"):
        for number in range(6):
            output.line(f"line {number}")
    assert printed == ["line 4", "line 5"], "output resumes when the disk has space again"
    assert output.dropped == 4
    assert caplog.text.count("cannot write to standard output") == 1


class Supervisor:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def request_stop(self, why: str) -> None:
        self.asked.append(why)

    def leave_now(self) -> None:
        self.asked.append("left")


async def test_a_second_interrupt_quits_immediately_but_a_second_hangup_does_not() -> None:
    supervisor = Supervisor()
    signals = _Signals([supervisor], lambda: None)
    signals.hung_up()
    signals.hung_up()
    assert supervisor.asked == ["hangup", "hangup"]
    signals.asked()
    signals.asked()
    assert supervisor.asked[2:] == ["signal", "left"]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals")
async def test_a_hangup_signal_that_is_already_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[int] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "add_signal_handler", lambda number, call: installed.append(number))
    others = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup also ignores SIGHUP
    try:
        _Signals([], lambda: None).install()
        assert signal.SIGHUP not in installed
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        _Signals([], lambda: None).install()
        assert signal.SIGHUP in installed
    finally:
        signal.signal(signal.SIGHUP, before)
        for number, handler in others.items():
            signal.signal(number, handler)


@pytest.mark.skipif(os.name != "posix", reason="terminals and signals")
@pytest.mark.parametrize("where", ["a full disk", "a reader that is gone", "a terminal that is closed"])
def test_a_bot_keeps_running_without_its_output_and_a_hangup_stops_it_cleanly(where: str, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "rests.py").write_text(PLUGIN)
    config = tmp_path / "bot.yaml"
    config.write_text(
        "name: rests\nplugins: [plugins]\nstrategies:\n  - {name: r, use: rests, params: {pair: btc_usdt}}\n"
        "emulator:\n  balances: {usdt: 100000}\n"
    )
    if where == "a full disk":
        if not Path("/dev/full").exists():
            pytest.skip("there is no /dev/full")
        theirs, ours = os.open("/dev/full", os.O_WRONLY), None
    elif where == "a reader that is gone":
        ours, theirs = os.pipe()
    else:
        ours, theirs = os.openpty()
    environ = {**os.environ, "BOTKIT_STATE": str(tmp_path / "state")}
    process = subprocess.Popen(
        [sys.executable, "-m", "botkit", "run", str(config), "--plain"],
        stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL, env=environ, cwd=tmp_path, start_new_session=True,
        # otherwise the process would inherit the effect of nohup
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )  # fmt: skip
    os.close(theirs)
    status = tmp_path / "state" / "rests" / "emulator" / "inside" / "status.json"
    try:
        if ours is not None:
            os.close(ours)
        wait_for(lambda: status.exists() and json.loads(status.read_bytes())["open_orders"] == 1)
        written = json.loads(status.read_bytes())["time"]
        # wait longer than the interval of five seconds between two status lines
        wait_for(lambda: json.loads(status.read_bytes())["time"] > written + 6 * NS_PER_S)
        assert process.poll() is None, "the bot ended because it could not print"
        process.send_signal(signal.SIGHUP)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
    ended = json.loads(status.read_bytes())
    assert (ended["ended"], ended["open_orders"], ended["orders"]) == ("hangup", 0, 1)


BLOCKS = """
from pathlib import Path

from botkit import Pair, Strategy, hookimpl


class Blocks(Strategy):
    \"\"\"Places an order, and then a callback never returns.\"\"\"

    pair: Pair

    def on_start(self):
        self.subscribe_book(self.pair, depth=5)

    def on_book(self, book):
        if not self.open_orders(self.pair):
            self.buy(self.pair, amount=0.01, price=1000)

    def on_order(self, order):
        if order.state.value == "open":
            Path("blocked").touch()
            while True:
                pass


@hookimpl
def botkit_register_strategies(register):
    register("blocks", Blocks)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_second_interrupt_ends_a_bot_whose_callback_never_returns(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "blocks.py").write_text(BLOCKS)
    config = tmp_path / "bot.yaml"
    config.write_text(
        "name: blocks\nplugins: [plugins]\nstrategies:\n  - {name: b, use: blocks, params: {pair: btc_usdt}}\n"
        "emulator:\n  balances: {usdt: 100000}\n"
    )
    environ = {**os.environ, "BOTKIT_STATE": str(tmp_path / "state")}
    process = subprocess.Popen(
        [sys.executable, "-m", "botkit", "run", str(config), "--plain"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environ, cwd=tmp_path,
    )  # fmt: skip
    try:
        wait_for((tmp_path / "blocked").exists)

        def has_ended() -> bool:  # two signals may arrive as one
            process.send_signal(signal.SIGINT)
            return process.poll() is not None

        wait_for(has_ended)
        _, errors = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1
    assert "error: a callback blocks the event loop, so no bot can stop cleanly; quitting immediately" in errors
    assert re.search(r"error: blocks: still open: .*buy 0.01 btc_usdt", errors), errors
