"""Builds the page of a walk-forward, which compares the results in testing with those in training."""

from __future__ import annotations

import itertools
from typing import Any
from zoneinfo import ZoneInfo

from botkit.model.clock import Nanos, to_datetime
from botkit.report.study import StudyPage, StudyTable
from botkit.research.search.page import figure, luck_sentence, study_map
from botkit.research.walk.forward import Step, WalkResult

__all__ = ["verdict", "walk_page"]


def walk_page(result: WalkResult) -> StudyPage:
    """Return the page of a walk-forward."""
    figures = result.figures
    zone = ZoneInfo(result.timezone)
    tiles = (
        ("Return out of sample", figure("return", figures["return"]), f"{figures['days']} days, chained"),
        ("Sharpe out of sample", figure("sharpe", figures["sharpe"]), "" if figures["sharpe"] else "under 30 days"),
        ("Sharpe in sample", figure("sharpe", figures["in_sample_sharpe"]), "the trainings' mean"),
        ("Efficiency", figure("", figures["efficiency"]), "daily return: test / training"),
    )
    rows = tuple(_row(step, result, zone) for step in result.steps)
    tried = [pair for step in result.steps for pair in step.tried]
    return StudyPage(
        title=result.name,
        kind="walk-forward",
        lead=verdict(result),
        is_synthetic=result.is_synthetic,
        warnings=tuple(result.notes),
        tiles=tiles,
        line_title="Equity of the chained tests",
        line=tuple(itertools.accumulate((r for step in result.steps for r in step.returns), _grown, initial=1.0)),
        map=study_map(result.axes, tried, result.objective),
        tables=(
            StudyTable(
                "Windows",
                (
                    *("window", "training", "test", *result.axes),
                    *(f"{result.objective} in sample", "out of sample", "return", "trades"),
                ),
                rows,
                note="A test starts flat, after a gap as long as the longest holding period in training, and "
                "closes its positions at cost.",
            ),
        ),
        footer=luck_sentence(result.luck),
    )


def verdict(result: WalkResult) -> str:
    """Return the conclusion of the walk-forward in one or two sentences."""
    figures = result.figures
    earned = figures["return"]
    lead = "Synthetic market: " if result.is_synthetic else ""
    said = (
        f"out of sample, {figures['windows']} windows {'earned' if earned >= 0 else 'lost'} {abs(earned) * 100:,.2f} %"
    )
    if figures["efficiency"] is not None:
        said += f", per day {figures['efficiency'] * 100:,.0f} % of what the searches found in sample"
    text = f"{lead}{said}."
    return text[0].upper() + text[1:]


def _grown(equity: float, change: float) -> float:
    return equity * (1 + change)


def _row(step: Step, result: WalkResult, zone: ZoneInfo) -> tuple[str, ...]:
    window = step.window
    params: dict[str, Any] = {} if step.best is None else dict(step.best.params)
    return (
        str(window.number),
        _span(window.train_start, window.train_end, zone),
        _span(window.test_start, window.test_end, zone),
        *(str(params.get(axis, "–")) for axis in result.axes),
        figure(result.objective, step.in_sample),
        figure(result.objective, step.out_of_sample),
        step.reason or figure("return", step.test_return),
        f"{step.trades:,}",
    )


def _span(start: Nanos, end: Nanos, zone: ZoneInfo) -> str:
    return f"{to_datetime(start, zone):%Y-%m-%d} – {to_datetime(end - 1, zone):%m-%d}"
