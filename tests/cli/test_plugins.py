"""The command ``botkit plugins``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from botkit.cli.main import main


def test_the_plugins_command_lists_the_loaded_plugins_and_their_origins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "strategy", "dip"]) == 0
    capsys.readouterr()
    assert main(["plugins", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["dip"]["offers"] == {"strategies": ["dip"]}
    assert rows["dip"]["origin"] == "folder"
    offered = {kind for row in rows.values() for kind in row["offers"] if row["origin"] == "built-in"}
    assert offered >= {"exchanges", "fee_models", "latency_models", "fill_models", "risk_rules", "tape_formats"}
    assert "strategies" not in offered, "strategies always come from outside the package"
    assert main(["plugins"]) == 0
    assert "strategies: dip" in capsys.readouterr().out


def test_a_configurations_plugins_and_blocked_plugins_are_respected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "bad.py").write_text("1 / 0\n")
    file = tmp_path / "x.yaml"
    file.write_text("strategies: [{use: a}]\nplugins: [p]\n")
    assert main(["plugins", str(file)]) == 2
    assert "bad.py:1: the plugin `bad` cannot be imported: ZeroDivisionError" in capsys.readouterr().err
    file.write_text("strategies: [{use: a}]\nplugins: [p]\nblock: [bad]\n")
    assert main(["plugins", str(file), "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["bad"]["blocked"]


def test_hooks_are_printed_with_their_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "--hooks"]) == 0
    text = capsys.readouterr().out
    assert "on_bar(bar: Bar) -> None" in text
    assert "Called when a bar ends in a series" in text
