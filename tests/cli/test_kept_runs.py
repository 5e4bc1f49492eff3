"""Backtests are numbered and kept, and no run overwrites another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from botkit.backtesting.outputs import NumberedRun, run_numbers
from botkit.cli.main import main
from botkit.errors import ConfigError
from tests.cli.first_week import FirstBot

Printed = pytest.CaptureFixture[str]
BODY = 'def on_start(self):\n    self.subscribe_bars(self.pair, "1m")'


def written(parent: Path, text: str) -> Path:
    with NumberedRun(parent) as run:
        (run.path / "summary.json").write_text(text)
    return run.out


def test_runs_are_kept_by_number_and_latest_points_to_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    bot = FirstBot(tmp_path, BODY)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["backtest", str(bot.config)]) == 0
    printed = "".join(capsys.readouterr().out.split())
    assert "out/mine/1/report.html" in printed
    assert "out/mine/2/report.html" in printed
    assert sorted(path.name for path in Path("out/mine").iterdir()) == ["1", "2", "latest"]
    assert Path("out/mine/latest").resolve() == (tmp_path / "out/mine/2").resolve()
    assert Path("out/mine/latest/report.html").is_file()

    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["run", "mine/1", "mine/2"]
    assert main(["runs", "mine", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["run"] for row in rows] == [1, 2]
    assert rows[0]["journal_sha256"] == rows[1]["journal_sha256"]
    assert main(["runs", "other"]) == 0
    assert "out has no backtest of other" in capsys.readouterr().out


def test_an_explicit_output_folder_is_replaced_and_gets_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = FirstBot(tmp_path, BODY)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["backtest", str(bot.config), "--out", "here"]) == 0
    assert (tmp_path / "here" / "report.html").is_file()
    assert not (tmp_path / "out").exists()


def test_two_simultaneous_runs_get_different_numbers(tmp_path: Path) -> None:
    first, second = NumberedRun(tmp_path), NumberedRun(tmp_path)
    with first, second:
        (first.path / "summary.json").write_text("first")
        (second.path / "summary.json").write_text("second")
    assert {first.out.name, second.out.name} == {"1", "2"}
    assert (second.out / "summary.json").read_text() == "second"
    assert (first.out / "summary.json").read_text() == "first"


def test_a_run_number_is_never_reused_and_a_failed_run_consumes_no_number(tmp_path: Path) -> None:
    assert written(tmp_path, "a").name == "1"
    assert written(tmp_path, "b").name == "2"
    (tmp_path / "notes").mkdir()
    with pytest.raises(ZeroDivisionError), NumberedRun(tmp_path):
        raise ZeroDivisionError
    assert run_numbers(tmp_path) == [1, 2]
    assert (tmp_path / "latest" / "summary.json").read_text() == "b"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_on_systems_without_symbolic_links_latest_is_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError

    monkeypatch.setattr(Path, "symlink_to", refuse)
    written(tmp_path, "a")
    written(tmp_path, "b")
    assert not (tmp_path / "latest").is_symlink()
    assert (tmp_path / "latest" / "summary.json").read_text() == "b"


def test_a_file_in_place_of_the_runs_folder_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(ConfigError, match="mine is not a folder, so runs cannot be saved there"):
        NumberedRun(tmp_path / "mine")
