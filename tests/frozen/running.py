"""Runs a configuration as `botkit backtest` does. If botkit's internals change, only this file needs to be adapted."""

from __future__ import annotations

from pathlib import Path

from botkit.assembly.backtest import backtest_parts
from botkit.assembly.lockstep import DECISIONS, compare_in_lockstep
from botkit.backtesting.session import run_backtest
from botkit.errors import BotkitError
from botkit.model.pairs import Pair
from botkit.project.project import Project


def backtest(config: Path) -> tuple[str, list[str], str]:
    """Return (journal_sha256, decision lines, ""), or ("", [], error message) if a strategy aborted the run."""
    decisions = config.with_suffix(".jsonl")
    try:
        result = run_backtest(backtest_parts(Project.load(config)), decisions_to=decisions, readings=False)
    except BotkitError as error:
        return "", [], str(error)
    return str(result.summary["journal_sha256"]), decisions.read_text("ascii").splitlines(), ""


async def lockstep(config: Path) -> tuple[str, list[str], str]:
    """Run over HTTP and WebSocket, and return (sha256, decision lines, the first difference from the run's backtest or
    "").
    """
    folder = config.with_suffix("")
    result, difference = await compare_in_lockstep(Project.load(config), folder)
    return result.sha256, (folder / DECISIONS).read_text("ascii").splitlines(), str(difference or "")


def exchange_pairs(config: Path) -> dict[str, Pair]:
    """Return the pairs of a configuration's exchange."""
    return dict(Project.load(config).pairs)
