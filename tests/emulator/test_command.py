"""The command ``botkit emulator`` prints one line of JSON when it is ready. A mistake results in a one-line error and
exit code 2.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from botkit.assembly.emulator import emulator_options
from botkit.cli.main import main
from botkit.emulator.faults import KINDS
from botkit.emulator.switches import SWITCHES, choose, help_lines
from botkit.errors import ConfigError
from botkit.exchange.bitopro.wire.endpoints import ENDPOINTS, STREAMS
from tests.waiting import PATIENCE_S


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
    code = main(["emulator", *arguments])
    return code, capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--account", "a@b.c:only-a-key"], "EMAIL:KEY:SECRET"),
        (["--account", "a:b:c", "--account", "a:d:e"], "share an email"),
        (["--account", "a:b:c", "--account", "d:b:e"], "share a key"),
        (["--switch", "keepalife=observed"], "did you mean keepalive?"),
        (["--switch", "keepalive"], "name=value"),
        (["--switch", "keepalive=never"], "documented or observed"),
        (["--switch", "book_cadence_ms=0"], "from 10 to 60000"),
        (["--as", "imagined"], "documented or observed"),
        (["--market", "no/such/tape"], "no such tape"),
        (["--balance", "twd:5"], "twd=1000000"),
        (["--balance", "twd=-5"], "must not be negative"),
        (["--balance", "xyz=5"], "does not list this currency"),
        (["--speed", "0"], "above 0"),
        (["--speed", "nan"], "above 0"),
        (["--history-days", "1e9"], "from 0 to 400"),
        (["--port", "70000"], "65535"),
        (["--host", "0.0.0.0"], "listens only on 127.0.0.1"),
        (["--fault", "{"], "write it as JSON"),
        (["--fault", '{"kind":"resett"}'], "did you mean reset?"),
    ],
)
def test_a_mistake_prints_a_one_line_error_and_exits_with_code_2(capsys, arguments, named) -> None:  # type: ignore[no-untyped-def]
    code, lines = run(capsys, *arguments)
    assert code == 2
    assert len(lines) == 1
    assert named in lines[0]


def test_an_error_about_a_malformed_account_does_not_show_its_content(capsys) -> None:  # type: ignore[no-untyped-def]
    _, lines = run(capsys, "--account", "me@x.y:key:canary-secret:more")
    assert "canary" not in lines[0]


def test_accounts_are_read_from_the_environment_or_a_private_file(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("EMU_KEY", "k1")
    monkeypatch.setenv("EMU_SECRET", "s1")
    file = tmp_path / "accounts"
    file.write_text("# two more\nb@x.y:k2:s2\n\nc@x.y:k3:${EMU_SECRET}\n")
    file.chmod(0o600)
    made = emulator_options(accounts=["a@x.y:${EMU_KEY}:${EMU_SECRET}"], accounts_file=file)
    found = [(account.email, account.key, account.secret) for account in made.accounts]
    assert found == [("a@x.y", "k1", "s1"), ("b@x.y", "k2", "s2"), ("c@x.y", "k3", "s1")]


@pytest.mark.parametrize(
    ("text", "mode", "named"),
    [
        ("a@x.y:k:canary\nb@x.y:canary\n", 0o600, "accounts:2: write it as EMAIL:KEY:SECRET"),
        ("a@x.y:k:canary\n", 0o644, "chmod 600"),
        ("a@x.y:k:${NOT_SET_ANYWHERE}\n", 0o600, "NOT_SET_ANYWHERE is not set"),
        ("# canary\n", 0o600, "has no accounts"),
        ("\udcff canary", 0o600, "cannot be read as UTF-8"),
        (None, 0o600, "there is no such file"),
    ],
)
def test_an_error_about_an_invalid_accounts_file_is_one_line_without_the_files_content(
    capsys, tmp_path, text, mode, named
) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "accounts"
    if text is not None:
        file.write_text(text, errors="surrogateescape")
        file.chmod(mode)
    code, lines = run(capsys, "--accounts", str(file))
    assert code == 2
    assert len(lines) == 1
    assert named in lines[0]
    assert "canary" not in lines[0]


def test_a_port_in_use_is_reported_in_one_line(capsys) -> None:  # type: ignore[no-untyped-def]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, lines = run(capsys, "--port", str(taken.getsockname()[1]), "--history-days", "0.01")
    assert code == 2
    assert len(lines) == 1
    assert "cannot be used" in lines[0]


def test_a_tape_with_only_candles_is_refused(capsys, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    rows = "timestamp,open,high,low,close,volume\n" + "".join(
        f"{1_700_000_040 + 60 * i},100,101,99,100,1\n" for i in range(5)
    )
    source = tmp_path / "c.csv"
    source.write_text(rows)
    tape = tmp_path / "tape"
    assert main(["data", "import", str(source), "--pair", "btc_twd", "--out", str(tape)]) == 0
    capsys.readouterr()
    code, lines = run(capsys, "--market", str(tape))
    assert code == 2
    assert "candles alone" in lines[0]


def test_the_switch_help_lists_every_switch() -> None:
    text = "\n".join(help_lines())
    assert all(name in text for name in SWITCHES)


def test_the_two_presets_set_different_switches() -> None:
    documented, observed = choose(as_set="documented"), choose(as_set="observed")
    assert (documented["keepalive"], observed["keepalive"]) == ("documented", "observed")
    assert (documented.number("book_cadence_ms"), observed.number("book_cadence_ms")) == (1000, 200)
    assert choose(["book_cadence_ms=50"], "observed").number("book_cadence_ms") == 50
    with pytest.raises(ConfigError):
        choose({"no": "such"})
    for switch in SWITCHES.values():
        for value in (switch.default, switch.documented, switch.observed):
            assert choose({switch.name: value})[switch.name] == value


def test_the_command_serves_requests_until_it_is_interrupted() -> None:
    command = [
        sys.executable,
        "-m",
        "botkit",
        "emulator",
        "--history-days",
        "0.01",
        "--account",
        "a@b.c:k:canary-secret",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        ready = json.loads(process.stdout.readline())
        assert ready["ready"] is True
        assert ready["ws"].replace("ws://", "http://").removesuffix("/ws") == ready["rest"].removesuffix("/v3")
        with urllib.request.urlopen(ready["rest"] + "/tickers/btc_twd") as answer:
            assert json.load(answer)["data"]["pair"] == "btc_twd"
        with urllib.request.urlopen(ready["rest"].removesuffix("/v3") + "/_emulator/state") as answer:
            assert b"canary" not in answer.read()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, rest, errors) == (0, "", "")


def test_the_help_text_lists_every_option() -> None:
    from botkit.cli.emulator import emulator

    text = CliRunner().invoke(emulator, ["--help"]).output
    for option in (
        "--port",
        "--account",
        "--balance",
        "--market",
        "--speed",
        "--seed",
        "--switch",
        "--as",
        "--lockstep",
    ):
        assert option in text


def test_the_help_text_lists_every_kind_of_fault_with_its_effect(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["emulator", "--help"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert all(f" {kind} {' '.join(text.split())}" in printed for kind, text in KINDS.items())


def test_the_table_of_tests_covers_every_endpoint_and_stream_and_refers_to_existing_files() -> None:
    here = Path(__file__).parent
    rows = re.findall(r"^\| (\w+) \| .+ \| (.+) \|$", (here / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    tests = {name: shown for name, shown in rows if name not in ("endpoint", "stream")}
    assert set(tests) == {*ENDPOINTS, *STREAMS}
    named = {part.split(":")[0].strip() for shown in tests.values() for part in shown.split(";")}
    assert [name for name in named - {"client", "official"} if not (here / f"test_{name}.py").exists()] == []
