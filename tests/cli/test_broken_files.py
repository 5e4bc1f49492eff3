"""The commands for controlling a bot work even if its strategy file or configuration is broken, because that is when
users need these commands most.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
from pathlib import Path

import pytest

from botkit.assembly.emulator import emulator_options, make_emulator
from botkit.cli.main import main
from botkit.emulator import DEFAULT_ACCOUNT, Emulator
from botkit.live import commands
from botkit.live.disk import RealFiles
from botkit.live.state_folder import StateFolder
from tests.live.world import STRATEGY
from tests.simulation.terminal import Terminal

KEYS = f"{{email: {DEFAULT_ACCOUNT.email}, key: {DEFAULT_ACCOUNT.key}, secret: {DEFAULT_ACCOUNT.secret}}}"
CONFIG = f"""
name: edited
plugins: [plugins]
strategies:
  - {{name: p, use: puppet, params: {{pair: btc_usdt}}, capital: {{usdt: 1000}}}}
emulator:
  account: {KEYS}
"""
FOR_A_RUNNING_BOT = (
    ["stop"],
    ["pause", "p"],
    ["resume", "p"],
    ["set", "p.size=0.02"],
    ["capital", "add", "p", "usdt=5"],
)
BREAKS = ("plugin", "unknown key", "wrong strategy", "no YAML")


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "puppet.py").write_text(STRATEGY)
    path = tmp_path / "bot.yaml"
    path.write_text(CONFIG)
    path.chmod(0o600)
    return path


@pytest.fixture
def emulator(terminal: Terminal) -> Emulator:
    return terminal.serve(make_emulator(emulator_options(history_days=0.02)))


def has_run(config: Path, emulator: Emulator) -> StateFolder:
    """Create the folder of a bot that has already run once."""
    where = ["--rest", emulator.rest, "--ws", emulator.ws]
    assert main(["run", str(config), *where, "--duration", "1s", "--json"]) == 0
    [journal] = (config.parent / "state").glob("edited/emulator/*/journal.sqlite")
    return StateFolder(journal.parent)


def break_it(config: Path, how: str) -> None:
    if how == "plugin":
        (config.parent / "plugins" / "puppet.py").write_text("raise SystemExit('half edited')\n")
    elif how == "unknown key":
        config.write_text(CONFIG + "bactest: {}\n")
    elif how == "wrong strategy":
        config.write_text(CONFIG.replace("use: puppet", "used: puppet"))
    else:
        config.write_text(CONFIG + "  - [half {edited\n")


def arguments(command: list[str], config: Path) -> list[str]:
    """Return the command line with the configuration's path inserted in the right position."""
    place = 2 if command[0] == "capital" else 1
    return [*command[:place], str(config), *command[place:]]


@pytest.mark.parametrize("how", BREAKS)
def test_a_running_bot_can_be_controlled_no_matter_which_file_is_broken(
    config: Path, emulator: Emulator, terminal: Terminal, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = has_run(config, emulator)
    break_it(config, how)
    folder.lock()
    asked: list[str] = []

    async def bot() -> None:
        while True:
            for path, command in commands.take(folder):
                asked.append(command["command"])
                commands.answer(folder, path, ok=True, text="done")
            await asyncio.sleep(0.01)

    terminal.begin(bot())
    try:
        for command in FOR_A_RUNNING_BOT:
            assert main(arguments(command, config)) == 0, capsys.readouterr().err
        assert main(["status", str(config)]) == 0
    finally:
        folder.unlock()
    assert asked == ["stop", "pause", "resume", "set", "capital"]
    told = capsys.readouterr()
    assert "half edited" not in told.out + told.err
    assert ("warning:" in told.err) == (how != "plugin")


@pytest.mark.parametrize("how", BREAKS)
def test_panic_halts_and_cancels_no_matter_which_file_is_broken(
    config: Path, emulator: Emulator, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = has_run(config, emulator)
    break_it(config, how)
    capsys.readouterr()
    code = main(["panic", str(config)])
    halt = folder.halt()
    assert halt is not None
    assert halt.kind == "panic"
    told = capsys.readouterr()
    if how == "no YAML":  # the account cannot be read from a file that is not YAML
        assert code == 2
        assert "the account cannot be reached, so this command cancelled nothing" in told.err
        assert "not valid YAML" in told.err
    else:
        assert code == 0, told.err
        assert "0 orders cancelled, none still open" in told.out
    assert main(["resume", str(config)]) == 0
    assert folder.halt() is None


def test_panic_cancels_orders_even_if_the_halt_file_cannot_be_written(
    config: Path, emulator: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = has_run(config, emulator)

    def full(self: RealFiles, path: Path, content: bytes, *, durable: bool = True) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(RealFiles, "write", full)
    capsys.readouterr()
    assert main(["panic", str(config)]) == 1
    told = capsys.readouterr()
    assert "the halt cannot be written to" in told.out
    assert "do not start the bot, free some space, then run `botkit panic` again" in told.out
    assert "0 orders cancelled, none still open" in told.out
    folder.lock()
    try:
        assert main(["panic", str(config)]) == 1
        assert f"end the bot (`kill {os.getpid()}`)" in capsys.readouterr().out
        monkeypatch.undo()
        monkeypatch.setenv("BOTKIT_STATE", str(config.parent / "state"))
        assert main(["panic", str(config)]) == 0
        assert "none still open; the running bot cancels its own orders" in capsys.readouterr().out
    finally:
        folder.unlock()


@pytest.mark.parametrize("mode", ["emulator", "live"])
def test_the_more_recently_used_of_two_accounts_is_chosen_except_in_live_mode(
    mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "bot.yaml"
    config.write_text("name: moved\nstrategies: [{use: dca}]\n")
    for number, account in enumerate(("bbb", "aaa", "ccc")):
        folder = StateFolder.of("moved", mode, account)
        folder.lock()
        folder.beat(10**18 + (number == 1) * 10**9)
        folder.journal.write_bytes(b"")
        folder.write_status({"account": account})
        folder.unlock()
    if mode == "live":
        assert main(["status", str(config)]) == 2
        error = capsys.readouterr().err
        assert "moved has traded on 3 accounts" in error
        assert "move the folder of the account that it no longer uses elsewhere" in error
    else:
        assert main(["status", str(config), "--json"]) == 3
        assert json.loads(capsys.readouterr().out)["folder"].endswith("aaa")


def test_a_stopped_bot_can_be_inspected_and_given_capital_without_its_strategy_file(
    config: Path, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    has_run(config, emulator)
    break_it(config, "plugin")
    capsys.readouterr()
    assert main(["status", str(config)]) == 3
    assert main(["why", str(config)]) == 0
    assert main(["journal", str(config)]) == 0
    assert main(["account", str(config), "--mode", "emulator"]) == 0
    assert main(["resume", str(config), "p"]) == 0
    assert main(["capital", "add", str(config), "p", "usdt=5"]) == 0
    assert "p was given 5 usdt" in capsys.readouterr().out
    (config.parent / "plugins" / "puppet.py").write_text(STRATEGY)
    where = ["--rest", emulator.rest, "--ws", emulator.ws]
    # the bot's books match those of the exchange
    assert main(["run", str(config), *where, "--duration", "1s", "--json"]) == 0


@pytest.mark.parametrize(
    "figures", [5, [], {"strategies": 5}, {"strategies": {"p": {}}, "time": "soon"}, {"address": 7}]
)
def test_a_status_file_from_another_version_does_not_break_any_command(
    config: Path, emulator: Emulator, figures: object, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = has_run(config, emulator)
    (folder.path / "status.json").write_text(json.dumps(figures))
    capsys.readouterr()
    assert main(["status", str(config)]) == 3
    assert main(["why", str(config)]) == 0
    assert main(["panic", str(config), "--rest", emulator.rest]) == 0
    assert folder.is_halted()
    assert "Traceback" not in capsys.readouterr().err


def test_an_excessively_nested_command_is_ignored(config: Path, emulator: Emulator) -> None:
    folder = has_run(config, emulator)
    folder.commands.mkdir(exist_ok=True)
    (folder.commands / "1.json").write_text('{"command":' + "[" * 100_000)
    assert commands.take(folder) == []
