"""Finding a bot's folder on a disk whose folders may not all be read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from botkit.errors import ConfigError
from botkit.live.state_folder import FolderUnusable, StateFolder

_NOBODY = 65534


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a folder for bots' state in which the bot `grid` has run. Other users may enter it, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "grid" / "live" / "a").mkdir(parents=True)
        (folder / "grid" / "live" / "a" / "journal.sqlite").touch()
        monkeypatch.setenv("BOTKIT_STATE", name)
        yield folder


@contextmanager
def forbidden(folder: Path) -> Iterator[None]:
    """Let nobody enter a folder, not even root, who becomes somebody else for this."""
    before, user = folder.stat().st_mode, os.geteuid()
    folder.chmod(0)
    try:
        if user == 0:
            os.seteuid(_NOBODY)
        yield
    finally:
        os.seteuid(user)
        folder.chmod(before)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("place", [".", "grid", "grid/live", "grid/live/a"])
@pytest.mark.parametrize("mode", [None, "live"])
def test_a_bot_whose_folder_may_not_be_read_is_not_said_never_to_have_run(
    root: Path, place: str, mode: str | None
) -> None:
    with forbidden(root / place), pytest.raises(FolderUnusable, match="it is unknown whether this bot runs") as refused:
        StateFolder.find("grid", mode)
    assert f"{root}/" in str(refused.value)
    assert "cannot be read (Permission denied)" in str(refused.value)
    assert StateFolder.find("grid", mode).path == root / "grid" / "live" / "a"


def test_a_bot_without_a_folder_has_never_run(root: Path) -> None:
    with pytest.raises(ConfigError, match="other has never run in mode live; try `botkit run`"):
        StateFolder.find("other", "live")
    (root / "grid" / "notes.txt").touch()
    with pytest.raises(ConfigError, match="grid has never run in mode paper"):
        StateFolder.find("grid", "paper")
    assert StateFolder.find("grid", None).path.name == "a"
