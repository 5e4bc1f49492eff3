"""Builds the page of a search: its best trials, the heat map of two parameters, and the result expected from luck
alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from botkit.report import wording
from botkit.report.language import say
from botkit.report.study import MapCell, StudyMap, StudyPage, StudyTable
from botkit.research.search.axes import Value
from botkit.research.search.heat_map import HeatMap, heat_map
from botkit.research.search.noting import Luck
from botkit.research.search.objectives import FIGURES
from botkit.research.search.study import Trial

__all__ = ["luck_sentence", "name_of", "search_page", "study_map"]

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
    """Return the page for a search over ``trials``."""
    axes = tuple(ranking[0].params) if ranking else ()
    best = ranking[0] if ranking and ranking[0].value is not None else None
    tiles = [(say("Trials"), f"{len(trials):,}", _states(trials))]
    if best is not None:
        chosen = ", ".join(f"{name} = {value}" for name, value in best.params.items())
        tiles.insert(0, (say("Best {}", name_of(objective)), figure(objective, best.value), chosen))
    if luck is not None and luck.sharpe_by_luck is not None:
        tiles.append(
            (
                say("Sharpe by chance alone"),
                f"{luck.sharpe_by_luck:.2f}",
                say("the best of {} without skill", f"{luck.looks:,}"),
            )
        )
    figures = [key for key in ("return", "max_drawdown", "sharpe") if key != objective]
    rows = tuple(
        (
            str(trial.number),
            *(str(trial.params[axis]) for axis in axes),
            figure(objective, trial.value) if trial.value is not None else say(trial.state.replace("_", " ")),
            *(figure(key, trial.summary.get(key)) for key in figures),
            f"{trial.summary.get('round_trips', 0) or 0:,}",
        )
        for trial in ranking[:_SHOWN]
    )
    head = (say("trial"), *axes, name_of(objective), *map(name_of, figures), say("Trades").lower())
    return StudyPage(
        title=name,
        kind=say("search"),
        lead=luck_sentence(luck) or say("The best of many trials looks better than it is."),
        is_synthetic=is_synthetic,
        warnings=tuple(notes),
        tiles=tuple(tiles),
        map=study_map(axes, ((trial.params, trial.value) for trial in trials), objective),
        tables=(
            StudyTable(
                say("Best {} of {} trials", min(_SHOWN, len(ranking)), f"{len(trials):,}"),
                head,
                rows,
                note=say("All trials are in trials.jsonl."),
                marked=frozenset({0} if best is not None else ()),
            ),
        ),
    )


def luck_sentence(luck: Luck | None) -> str:
    """Return a sentence about the Sharpe ratio expected from luck alone, or "" if it is unknown."""
    if luck is None or luck.sharpe_by_luck is None:
        return ""
    return say(
        "{} different configurations were tried on this market so far. If none has any skill, the best of that many "
        "still reaches a Sharpe ratio of {} over these {} full days.",
        f"{luck.looks:,}",
        f"{luck.sharpe_by_luck:.2f}",
        luck.days,
    )


def study_map(
    axes: Sequence[str], tried: Iterable[tuple[Mapping[str, Value], float | None]], objective: str
) -> StudyMap | None:
    """Return the heat map of the first two axes, or None if no heat map can be drawn."""
    found = heat_map(axes, tried, sign=FIGURES.get(objective, 1))
    if found is None:
        return None
    others = len(axes) - 2
    note = say("Each cell is {}", name_of(objective)) + (say(", the mean over the other parameters") if others else "")
    if found.peak is not None:
        note += say(". The peak, outlined, is {}", _place(found, found.peak))
    if found.plateau is not None:
        note += say(
            "; the best plateau, the median of a point and its neighbours, is {} with {}",
            _place(found, found.plateau),
            figure(objective, found.plateaus[found.plateau[0]][found.plateau[1]]),
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
        note + say("."),
    )


def figure(name: str, value: Any) -> str:
    """Format a metric as text: fractions as percentages, ratios with two decimals, and None as an en dash."""
    if not isinstance(value, (int, float)):
        return "–"
    if name == "round_trips":
        return f"{value:,}"
    return wording.percent(value) if name in _PERCENT else wording.ratio(value)


def name_of(figure_name: str) -> str:
    """Return the name of a figure or an objective in words."""
    # a user-defined function keeps its name
    return figure_name if ":" in figure_name else say(figure_name.replace("_", " "))


def _place(found: HeatMap, place: tuple[int, int]) -> str:
    return f"{found.x} = {found.xs[place[1]]}, {found.y} = {found.ys[place[0]]}"


def _states(trials: Sequence[Trial]) -> str:
    counts: dict[str, int] = {}
    for trial in trials:
        counts[trial.state] = counts.get(trial.state, 0) + 1
    return ", ".join(
        say("{} {}", f"{count:,}", say(state.replace("_", " "))) for state, count in counts.items() if state != "done"
    )
