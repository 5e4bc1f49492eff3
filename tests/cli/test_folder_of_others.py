"""A plugin folder that is not listed in the configuration is executed only if no other user has write access to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from botkit.cli.main import main

RUNS = "raise SystemExit('the plugin was run')\n"


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps permissions in another way")
@pytest.mark.parametrize("what", ["folder", "file"])
def test_world_writable_plugins_in_the_current_directory_are_not_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    folder = tmp_path / "strategies"
    folder.mkdir()
    (folder / "theirs.py").write_text(RUNS)
    config = tmp_path / "bot.yaml"
    config.write_text("name: b\nstrategies: [{use: theirs, params: {pair: btc_usdt}}]\n")
    monkeypatch.chdir(tmp_path)
    (folder if what == "folder" else folder / "theirs.py").chmod(0o777)
    for command in (["config", "check", str(config)], ["backtest", str(config)], ["run", str(config)], ["plugins"]):
        assert main(command) == 2, command
        told = capsys.readouterr().err
        assert "is writable by others (mode 0777), so botkit refuses to run its code; run: chmod go-w" in told
        assert "the plugin was run" not in told
    # a folder listed in the configuration is trusted
    config.write_text(config.read_text() + "plugins: [strategies]\n")
    assert main(["config", "check", str(config)]) == 2
    assert "sys.exit" in capsys.readouterr().err  # the plugin was executed


def test_cells_that_a_spreadsheet_would_evaluate_are_written_as_text() -> None:
    from botkit.backtesting.outputs import _Quoted
    from botkit.model.csv_cells import inert

    quoted = _Quoted()
    assert quoted['=HYPERLINK("x")'] == '"\'=HYPERLINK(""x"")"'
    assert [inert(text) for text in ("+1", "-1", "@a", "a=b", "")] == ["'+1", "'-1", "'@a", "a=b", ""]
