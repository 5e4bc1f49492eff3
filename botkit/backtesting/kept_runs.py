"""Reads stored backtests from their folders."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import msgspec

from botkit.backtesting.outputs import SUMMARY, run_numbers


class KeptRun(msgspec.Struct, frozen=True):
    """A single backtest: its folder, and the summary written by the run. ``number`` is 0 if the folder is not part of a
    series of numbered runs.
    """

    name: str
    number: int
    folder: Path
    summary: dict[str, Any]


def kept_runs(out: Path, name: str | None = None) -> list[KeptRun]:
    """Return the runs below a folder, sorted by name and number. With ``name``, return only the runs with that name."""
    found = []
    if not out.is_dir():
        return []
    for parent in sorted(path for path in out.iterdir() if path.is_dir() and name in (None, path.name)):
        for number in run_numbers(parent):
            run = read_run(parent / str(number))
            if run is not None:
                found.append(KeptRun(parent.name, number, run.folder, run.summary))
    return found


def read_run(folder: Path) -> KeptRun | None:
    """Return the backtest stored in a folder, named after its bot, or None if the folder was not written by a
    backtest.
    """
    with contextlib.suppress(OSError, ValueError):
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        if isinstance(summary, dict) and "journal_sha256" in summary:
            name = folder.resolve().name
            number = int(name) if name.isascii() and name.isdigit() else 0
            return KeptRun(str(summary.get("name") or folder.resolve().name), number, folder, summary)
    return None
