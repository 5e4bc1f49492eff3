"""Builds the page of a walk-forward, which compares the test results with the training results."""

from __future__ import annotations

import itertools
from typing import Any
from zoneinfo import ZoneInfo

from botkit.model.clock import Nanos, to_datetime
from botkit.report import wording
from botkit.report.language import say, told
from botkit.report.study import StudyPage, StudyTable
from botkit.research.search.page import figure, luck_sentence, name_of, study_map
from botkit.research.walk.forward import Step, WalkResult

__all__ = ["verdict", "walk_page"]


def walk_page(result: WalkResult) -> StudyPage:
    """Return the page for a walk-forward."""
    figures = result.figures
    zone, objective = ZoneInfo(result.timezone), name_of(result.objective)
    tiles = (
        (
            say("Return out of sample"),
            figure("return", figures["return"]),
            say("{} full days, chained", figures["days"]),
        ),
        (
            say("Sharpe out of sample"),
            figure("sharpe", figures["sharpe"]),
            "" if figures["sharpe"] else say("under 30 days"),
        ),
        (say("Sharpe in sample"), figure("sharpe", figures["in_sample_sharpe"]), say("the trainings' mean")),
        (say("Efficiency"), figure("", figures["efficiency"]), say("daily return: test / training")),
    )
    rows = tuple(_row(step, result, zone) for step in result.steps)
    tried = [pair for step in result.steps for pair in step.tried]
    return StudyPage(
        title=result.name,
        kind=say("walk-forward"),
        lead=verdict(result),
        is_synthetic=result.is_synthetic,
        warnings=tuple(result.notes),
        tiles=tiles,
        line_title=say("Equity of the chained tests"),
        line=tuple(itertools.accumulate((r for step in result.steps for r in step.returns), _grown, initial=1.0)),
        map=study_map(result.axes, tried, result.objective),
        tables=(
            StudyTable(
                say("Windows"),
                (
                    *(say("window"), say("training"), say("test"), *result.axes),
                    *(say("{} in sample", objective), say("{} out of sample", objective)),
                    *(say("return, all closed"), say("Trades").lower()),
                ),
                rows,
                note=say(
                    "A test starts flat, after a gap as long as the longest holding period in training, and pays the "
                    "cost of closing its positions: in the return, not in the objective's figures."
                ),
            ),
        ),
        footer=luck_sentence(result.luck),
    )


def verdict(result: WalkResult) -> str:
    """Return the conclusion of the walk-forward in one or two sentences."""
    figures = result.figures
    earned = figures["return"]
    change = wording.percent(abs(earned))
    said = say(
        "Out of sample, {} windows earned {}" if earned >= 0 else "Out of sample, {} windows lost {}",
        figures["windows"],
        change,
    )
    if figures["efficiency"] is not None:
        efficiency = wording.percent(figures["efficiency"], decimals=0)
        said += say(", per day {} of the searches' in-sample result", efficiency)
    lead = say("Synthetic market. ") if result.is_synthetic else ""
    return lead + said + say(".")


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
        told(step.reason) or figure("return", step.test_return),
        f"{step.trades:,}",
    )


def _span(start: Nanos, end: Nanos, zone: ZoneInfo) -> str:
    return f"{to_datetime(start, zone):%Y-%m-%d} – {to_datetime(end - 1, zone):%m-%d}"
