"""Every code block in the README and the guide works as written."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from botkit import BarSeries
from botkit.cli.main import botkit as command_line
from botkit.cli.main import main
from botkit.config.load import load_config
from tests.guide.code_blocks import (
    ATTACH_HAS_LANDED,
    BLOCKS,
    DOCUMENTS,
    GUIDE,
    ROOT,
    Block,
    before,
    furnish,
    waits_for_attach,
)
from tests.simulation.terminal import Terminal

_STRATEGIES = "strategies:\n  - {use: sma_cross, params: {pair: btc_usdt}}\nplugins: [../strategies]\n"
_LISTENS_TO_BOOKS = re.compile(r"subscribe_(book|trades|ticker)\(")
_TIMEOUT_S = 180


def blocks(*languages: str) -> list[object]:
    """Return test parameters for the blocks in the given languages. Blocks that need an unavailable API are skipped."""
    wait = pytest.mark.skip(reason="waits for series.attach")
    return [
        pytest.param(block, id=block.name, marks=[wait] if waits_for_attach(block) else [])
        for block in BLOCKS
        if block.language in languages
    ]


def run_in(folder: Path, environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )


def test_the_flag_for_the_new_api_is_set_correctly() -> None:
    assert hasattr(BarSeries, "attach") == ATTACH_HAS_LANDED, "set ATTACH_HAS_LANDED in tests/guide/code_blocks.py"


def test_every_block_is_in_a_tested_language() -> None:
    assert {block.language for block in BLOCKS} <= {"python", "bash", "sh", "yaml", "text", "console"}


@pytest.mark.parametrize("block", blocks("python"))
def test_python_blocks_work(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    environment = furnish(tmp_path, block)
    if "(Strategy):" in block.text and "botkit.backtest(" not in block.text:
        monkeypatch.chdir(tmp_path)
        backtest(block, tmp_path, capsys)
        return
    script = tmp_path / ("test_block.py" if "def test_" in block.text else "block.py")
    script.write_text(block.text, encoding="utf-8")
    if "def test_" in block.text:
        done = run_in(tmp_path, environment, "pytest", str(script))
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        monkeypatch.setenv("XDG_STATE_HOME", environment["XDG_STATE_HOME"])
        run_script(script, monkeypatch)


def run_script(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a script in its folder as ``python SCRIPT`` does, but in this process, which has imported botkit already."""
    folder, imported = script.parent, set(sys.modules)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.syspath_prepend(folder)
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        # the next block may import another file of the same name
        for name in sys.modules.keys() - imported:
            if folder in Path(getattr(sys.modules[name], "__file__", None) or "").parents:
                del sys.modules[name]


def backtest(block: Block, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Run each strategy in a block on the bundled data: on books if the strategy subscribes to books, otherwise on
    candles.
    """
    names = re.findall(r"^class (\w+)\(Strategy\):", block.text, flags=re.MULTILINE)
    text = block.text
    if "def botkit_register_strategies" not in text:
        text = text.replace("from botkit import ", "from botkit import hookimpl, ", 1)
        text += "\n\n@hookimpl\ndef botkit_register_strategies(register):\n"
        text += "".join(f"    register({name.lower()!r}, {name})\n" for name in names)
    registered = re.findall(r"register\([\"'](\w+)[\"'], (\w+)\)", text)
    assert names and {kind for _, kind in registered} == set(names)  # noqa: PT018
    plugins = folder / "plugins"
    plugins.mkdir()
    (plugins / "block.py").write_text(text, encoding="utf-8")
    start = "2025-04-03T07:00" if _LISTENS_TO_BOOKS.search(text) else "2025-03-25"
    for use, _ in registered:
        config = folder / f"{use}-block.yaml"
        config.write_text(
            f"plugins: [plugins]\nstrategies:\n  - {{use: {use}, params: {{pair: btc_usdt}}, "
            "capital: {usdt: 100000, btc: 1}}\nbacktest:\n  data: backtest_data\n  slippage: 0.0002\n",
            encoding="utf-8",
        )
        code = main(["backtest", str(config), "--from", start, "--out", str(folder / "out")])
        assert code == 0, capsys.readouterr().err


def commands_of(block: Block) -> list[str]:
    """Return a block's commands, one per line, with continued lines joined."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def is_plain(command: str) -> bool:
    """Return whether a command consists only of botkit and its arguments. Such a command needs neither a shell nor a
    separate process.
    """
    bare = re.sub(r'"[^"$`\\]*"', "", command)  # in quotes, these characters mean nothing to the shell
    return bare.startswith("botkit ") and not set(bare) & set("|&;<>$`*?~#(){}")


@pytest.mark.parametrize("block", blocks("bash"))
def test_command_blocks_work(
    block: Block,
    tmp_path: Path,
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if "-m venv" in block.text:
        # .ci/run executes the README's first two blocks in a fresh virtual environment; the guide may repeat these
        # blocks
        readme = [other.text for other in BLOCKS if other.document == "README.md" and other.language == "bash"]
        assert block.text in readme[:2]
        return
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    environment = furnish(tmp_path, block)
    commands = commands_of(block)
    if any(is_plain(command.removesuffix(" || true")) for command in commands):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("XDG_STATE_HOME", environment["XDG_STATE_HOME"])
    else:
        commands = [block.text]
    printed = ""
    for command in commands:
        # a verdict may be bad, which is code 1; a mistake may not be in the block, which is code 2
        judged = command.removesuffix(" || true")
        if is_plain(judged):
            code = main(shlex.split(judged)[1:])
            out, err = capfd.readouterr()
            code = 0 if code == 1 and judged != command else code
        else:
            done = run_in(tmp_path, environment, "bash", "-euo", "pipefail", "-c", command)
            code, out, err = done.returncode, done.stdout, done.stderr
        assert code == 0, out + err
        printed += out
    for shown in [other for other in BLOCKS if other.mark == "output" and before(other)[-1:] == [block]]:
        printed = " ".join(printed.split())
        for line in filter(None, map(str.strip, shown.text.splitlines())):
            assert " ".join(line.split()) in printed, f"{shown.name}: {line!r} was not printed"


@pytest.mark.parametrize("block", blocks("sh"))
@pytest.mark.emulator(accounts=["me@example.com:my-key:my-secret"], balance="twd=1000000,btc=1")
def test_emulator_requests_work(block: Block, tmp_path: Path, emulator) -> None:
    if shutil.which("bash") is None or shutil.which("curl") is None:
        pytest.skip("needs bash and curl")
    text = re.sub(r"http://127\.0\.0\.1:\d+", emulator.rest.removesuffix("/v3"), block.text)
    text = text.replace("curl -s", "curl -sS --fail-with-body")
    done = run_in(tmp_path, furnish(tmp_path, block), "bash", "-euo", "pipefail", "-c", text)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", blocks("yaml"))
def test_configurations_are_valid(block: Block, tmp_path: Path) -> None:
    furnish(tmp_path, block)
    path = tmp_path / "configs" / "block.yaml"
    whole = block.text if re.search(r"^strategies:", block.text, flags=re.MULTILINE) else _STRATEGIES + block.text
    path.write_text(whole, encoding="utf-8")
    assert load_config(path).config.strategies


def lines_with_commands() -> list[object]:
    """Return the botkit commands in a block that is not executed, each starting with ``botkit``."""
    found = []
    for block in BLOCKS:
        if block.language in ("text", "console"):
            for number, line in enumerate(block.text.splitlines(), start=block.line):
                for part in re.split(r" {2,}(?=botkit )", line):
                    match = re.match(r"(?:\$ )?botkit (.*?)(?: {2,}.*)?$", part.strip())
                    if match:
                        found.append(pytest.param(match[1], id=f"{block.document}:{number} {match[1]}"))
    return found


@pytest.mark.parametrize("line", lines_with_commands())
def test_commands_that_are_not_executed_exist_and_have_the_options_shown(line: str) -> None:
    names, options = line.split(), re.findall(r"--[a-z-]+", line)
    context = click.Context(command_line)
    command: click.Command = command_line
    for name in names:
        if not isinstance(command, click.Group) or not re.fullmatch(r"[a-z]+(-[a-z]+)*(\|[a-z]+)*", name):
            break
        for alternative in name.split("|"):
            found = command.get_command(context, alternative)
            assert found is not None, f"there is no command {alternative!r}"
        command = found
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert set(options) <= known
    shlex.split(line.replace("|", " "))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_all_link_targets_exist(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert not broken


def test_files_mentioned_in_the_contributing_chapter_exist() -> None:
    text = "".join((GUIDE / f"{topic}.md").read_text(encoding="utf-8") for topic in ("contributing", "engine"))
    named = set(re.findall(r"`((?:botkit|tests|strategies|configs)/[\w./-]*)`", text))
    missing = sorted(path for path in named if not (ROOT / path).exists())
    assert named
    assert not missing
