"""Builds the page of a search: its best trials, the heat map of two parameters, and the result expected from luck
alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from botkit.report.study import MapCell, StudyMap, StudyPage, StudyTable
from botkit.research.search.axes import Value
from botkit.research.search.heat_map import HeatMap, heat_map
from botkit.research.search.noting import Luck
from botkit.research.search.objectives import FIGURES
from botkit.research.search.study import Trial

__all__ = ["luck_sentence", "search_page", "study_map"]

_SHOWN = 30
_PERCENT = {"return", "max_drawdown", "cagr", "volatility", "win_rate", "exposure"}


def search_page(
    name: str,
    objective: str,
    trials: Sequence[Trial],
    ranking: Sequence[Trial],
    *,
    is_synthetic: bool,
    luck: Luck | None,
    notes: Sequence[str],
) -> StudyPage:
    """Return the page of a search over ``trials``."""
    axes = tuple(ranking[0].params) if ranking else ()
    best = ranking[0] if ranking and ranking[0].value is not None else None
    tiles = [("Trials", f"{len(trials):,}", _states(trials))]
    if best is not None:
        chosen = ", ".join(f"{name} = {value}" for name, value in best.params.items())
        tiles.insert(0, (f"Best {objective}", figure(objective, best.value), chosen))
    if luck is not None and luck.sharpe_by_luck is not None:
        tiles.append(
            ("Sharpe by luck alone", f"{luck.sharpe_by_luck:.2f}", f"the best of {luck.looks:,} without skill")
        )
    figures = [key for key in ("return", "max_drawdown", "sharpe") if key != objective]
    rows = tuple(
        (
            str(trial.number),
            *(str(trial.params[axis]) for axis in axes),
            figure(objective, trial.value) if trial.value is not None else trial.state.replace("_", " "),
            *(figure(key, trial.summary.get(key)) for key in figures),
            f"{trial.summary.get('round_trips', 0) or 0:,}",
        )
        for trial in ranking[:_SHOWN]
    )
    head = ("trial", *axes, objective, *(key.replace("_", " ") for key in figures), "trades")
    return StudyPage(
        title=name,
        kind="search",
        lead=luck_sentence(luck) or "The best of many trials looks better than it is.",
        is_synthetic=is_synthetic,
        warnings=tuple(notes),
        tiles=tuple(tiles),
        map=study_map(axes, ((trial.params, trial.value) for trial in trials), objective),
        tables=(
            StudyTable(
                f"Best {min(_SHOWN, len(ranking))} of {len(trials):,} trials",
                head,
                rows,
                note="All trials are in trials.jsonl.",
                marked=frozenset({0} if best is not None else ()),
            ),
        ),
    )


def luck_sentence(luck: Luck | None) -> str:
    """Return a sentence on the Sharpe ratio expected from luck alone, or "" if it is unknown."""
    if luck is None or luck.sharpe_by_luck is None:
        return ""
    return (
        f"{luck.looks:,} different configurations were tried on this market so far. If none has any skill, the best of "
        f"that many still reaches a Sharpe ratio of {luck.sharpe_by_luck:.2f} over these {luck.days} days."
    )


def study_map(
    axes: Sequence[str], tried: Iterable[tuple[Mapping[str, Value], float | None]], objective: str
) -> StudyMap | None:
    """Return the heat map of the first two axes, or None if no heat map can be drawn."""
    found = heat_map(axes, tried, sign=FIGURES.get(objective, 1))
    if found is None:
        return None
    others = len(axes) - 2
    note = f"Each cell is {objective}" + (", the mean over the other parameters" if others else "")
    if found.peak is not None:
        note += f". The peak, outlined, is {_place(found, found.peak)}"
    if found.plateau is not None:
        note += (
            f"; the best plateau, the median of a point and its neighbours, is {_place(found, found.plateau)} with "
            f"{figure(objective, found.plateaus[found.plateau[0]][found.plateau[1]])}"
        )
    values = [value for row in found.cells for value in row if value is not None]
    low, high = min(values), max(values)
    sign = FIGURES.get(objective, 1)

    def cell(row: int, column: int) -> MapCell:
        value = found.cells[row][column]
        if value is None:
            return MapCell("–", None)
        share = (value - low) / (high - low) if high > low else 0.5
        place = (row, column)
        return MapCell(
            figure(objective, value), share if sign > 0 else 1 - share, place == found.peak, place == found.plateau
        )

    return StudyMap(
        found.x,
        found.y,
        tuple(str(x) for x in found.xs),
        tuple(str(y) for y in found.ys),
        tuple(tuple(cell(row, column) for column in range(len(found.xs))) for row in range(len(found.ys))),
        note + ".",
    )


def figure(name: str, value: Any) -> str:
    """Format a figure as text: percent for fractions, two decimals for ratios, and an en dash for None."""
    if not isinstance(value, (int, float)):
        return "–"
    if name == "round_trips":
        return f"{value:,}"
    return f"{value * 100:,.2f} %" if name in _PERCENT else f"{value:,.2f}"


def _place(found: HeatMap, place: tuple[int, int]) -> str:
    return f"{found.x} = {found.xs[place[1]]}, {found.y} = {found.ys[place[0]]}"


def _states(trials: Sequence[Trial]) -> str:
    counts: dict[str, int] = {}
    for trial in trials:
        counts[trial.state] = counts.get(trial.state, 0) + 1
    return ", ".join(f"{count:,} {state.replace('_', ' ')}" for state, count in counts.items() if state != "done")
