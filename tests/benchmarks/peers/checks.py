"""Compares botkit's results for a workload with the expected results."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from botkit.assembly.backtest import backtest_parts
from botkit.backtesting import session
from botkit.project.project import Project
from tests.benchmarks.peers import reference
from tests.benchmarks.peers.market import Market
from tests.benchmarks.peers.measured import Measured
from tests.benchmarks.peers.workloads import W1, W2, W3, Workload, write_config
from tests.row_by_row import RowByRow

#: tolerance: fees in coins are rounded to 1e-8, but not in the reference
_MONEY = 0.02


def differences(workload: Workload, market: Market, found: Measured, folder: Path) -> list[str]:
    """Return a sentence describing each difference."""
    if workload in (W1, W2):
        expected = (reference.candles if workload is W1 else reference.trades)(market.arrays)
        return _from_reference(expected, found)
    return _from_turns(workload, market, found, folder) if workload is W3 else []


def _from_reference(expected: reference.Reference, found: Measured) -> list[str]:
    figures, wrong = found.figures, []
    prices = np.array(figures["prices"])
    if len(prices) != len(expected.prices) or not np.array_equal(prices, expected.prices):
        both = min(len(prices), len(expected.prices))
        apart = np.flatnonzero(prices[:both] != expected.prices[:both])
        first = apart[0] if len(apart) else both
        wrong.append(
            f"{len(prices):,} fills, the reference has {len(expected.prices):,}; they differ from {first:,} on"
        )
    if abs(figures["final_equity"] - expected.final_equity) > _MONEY:
        wrong.append(f"final equity {figures['final_equity']:,.4f}, the reference has {expected.final_equity:,.4f}")
    by_day = {int(time): equity for time, equity in figures["midnights"].items()}
    for time, equity in expected.midnights.items():
        if abs(by_day.get(time, float("nan")) - equity) > _MONEY or time not in by_day:
            wrong.append(f"equity at midnight, {time} ns: {by_day.get(time)}, the reference has {equity:,.4f}")
            break
    return wrong


def _from_turns(workload: Workload, market: Market, found: Measured, folder: Path) -> list[str]:
    """Rerun the workload with one turn per row, and return the differences."""
    parts = backtest_parts(Project.load(write_config(workload, market, folder)))
    before, session.Driver = session.Driver, RowByRow  # type: ignore[misc]
    try:
        summary, _ = session.run_figures(parts)
    finally:
        session.Driver = before  # type: ignore[misc]
    wrong = []
    for name in ("journal_sha256", "final_equity", "fills"):
        own = found.figures["sha256" if name == "journal_sha256" else name]
        if summary[name] != own:
            wrong.append(f"{name} {own}, a turn for each row gives {summary[name]}")
    return wrong
