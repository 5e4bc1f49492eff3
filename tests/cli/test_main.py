"""The main command group: exit codes, one-line error messages, and lazy imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from botkit.cli import main as frame
from botkit.cli.main import LazyGroup, main
from botkit.compiled import form
from botkit.errors import ConfigError
from botkit.version import __version__
from tests.backtest_world import write_candles, write_config, write_strategy


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"botkit {__version__} ({form()})\n"


def test_version_and_config_show_do_not_import_heavy_libraries(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("strategies: [{use: a}]\n")
    for arguments in (["--version"], ["config", "show", str(file)]):
        code = (
            f"import sys; from botkit.cli.main import main; assert main({arguments!r}) == 0;"
            "heavy = {'pandas', 'pyarrow', 'aiohttp', 'jinja2', 'rich'} & set(sys.modules); assert not heavy, heavy"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_python_dash_m_runs_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "botkit", "--version"], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == f"botkit {__version__} ({form()})"


def test_an_unknown_command_is_reported_as_a_user_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bakctest"]) == 2
    assert "No such command 'bakctest'" in capsys.readouterr().err


def test_each_error_is_printed_on_a_single_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("strategies: [{use: a}]\nseed: yes\nnaem: x\n")
    assert main(["config", "show", str(file)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    lines = output.err.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [["error", f"{file}:2"], ["error", f"{file}:3"]]
    monkeypatch.setenv("BOTKIT_TRACEBACK", "1")
    assert main(["config", "show", str(file)]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_strategys_traceback_is_printed_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugins = write_strategy(tmp_path, "pair: Pair\n\ndef on_start(self):\n    raise ValueError('too early')")
    write_candles(tmp_path / "candles.csv", [60_000.0] * 3)
    config = write_config(tmp_path, "{path: candles.csv, pair: btc_usdt, resolution: 1m}", plugins=plugins)
    assert main(["backtest", str(config)]) == 2
    first, *trace = capsys.readouterr().err.splitlines()
    assert first.startswith("error: strategy 's' raised in on_start at ")
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-1] == "ValueError: too early"


@pytest.mark.parametrize("arguments", [["new", "strategy", "full"], ["plugins", "--hooks"], ["runs"]])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_a_full_disk_is_reported_in_one_line(arguments: list[str], tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "botkit", *arguments],
            cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: the disk is full; free some space (BOTKIT_TRACEBACK=1 shows where this happened)"
    ]


def test_a_folder_that_cannot_be_created_is_reported_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, taken = tmp_path / "t.csv", tmp_path / "taken"
    rows.write_text("time,price,amount\n1735689600,86000,0.01\n")
    taken.write_text("")
    for out in (taken, taken / "below"):
        assert main(["data", "import", str(rows), "--pair", "btc_usdt", "--out", str(out)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {taken}")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep the folder")
@pytest.mark.skipif(sys.version_info[:3] == (3, 13, 0), reason="CPython 3.13.0 cannot import numpy in such a folder")
def test_a_deleted_current_directory_is_reported_in_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"import os, sys; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r}); from botkit.cli.main import main; "
    done = subprocess.run(
        [sys.executable, "-c", code + "sys.exit(main(['new', 'strategy', 'dip']))"],
        stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "error: the current folder no longer exists; change to another\n"


@pytest.fixture
def with_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a command `try WHAT` whose argument determines how the command exits."""

    @click.command(name="try")
    @click.argument("what")
    def command(what: str) -> int:
        if what == "interrupt":
            raise KeyboardInterrupt
        if what == "config":
            raise ConfigError("x.yaml:1: wrong; mend it")
        if what == "bug":
            raise ZeroDivisionError
        return int(what)

    def from_plugins(self: LazyGroup) -> None:
        self.commands["try"] = command

    monkeypatch.setattr(LazyGroup, "_ask_plugins", from_plugins)
    monkeypatch.setattr(frame.botkit, "commands", {})


@pytest.mark.usefixtures("with_command")
def test_each_kind_of_error_has_a_specific_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["try", "0"]) == 0
    assert main(["try", "1"]) == 1
    assert main(["try", "config"]) == 2
    assert main(["try", "interrupt"]) == 130
    assert main(["try"]) == 2
    errors = capsys.readouterr().err
    assert "error: x.yaml:1: wrong; mend it\n" in errors
    assert "interrupted" in errors
    with pytest.raises(ZeroDivisionError):  # an error caused by a bug keeps its traceback
        main(["try", "bug"])


@pytest.mark.usefixtures("with_command")
def test_help_lists_plugin_commands_and_does_not_import_built_in_commands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(frame.COMMANDS, "later", ("botkit.cli.not_written_yet", "Not there."))
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "config" in text
    assert "try" in text
    assert "later" not in text


def test_every_command_in_the_table_can_be_imported() -> None:
    context = click.Context(frame.botkit)
    for name, (_, text) in frame.COMMANDS.items():
        command = frame.botkit.get_command(context, name)
        if command is not None:
            assert command.name == name
            assert text.endswith(".")


def test_a_broken_plugin_does_not_break_the_help(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTKIT_LOAD_PLUGINS", "no_such_plugin_installed")
    monkeypatch.setattr(frame.botkit, "_asked_plugins", False)
    assert main(["--help"]) == 0
    output = capsys.readouterr()
    assert "warning: BOTKIT_LOAD_PLUGINS" in output.err
    assert "config" in output.out
