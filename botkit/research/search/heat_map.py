"""A heat map of two searched parameters, with its peak and its plateau.

A peak whose neighbors perform poorly is usually luck. The plateau value of a cell is the median of the cell and its
neighbors on the grid (eight, or fewer at an edge). The cell with the best plateau value is the most trustworthy.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from botkit.research.search.axes import Value

__all__ = ["HeatMap", "heat_map"]

#: a cell has a plateau value only if at least this many of its neighbors have a value
_NEIGHBOURS_LEAST = 3


class HeatMap(msgspec.Struct, frozen=True):
    """A heat map. ``cells[row][column]`` is the mean objective at ``ys[row]`` and ``xs[column]``, or None if there is
    no trial.

    ``peak`` and ``plateau`` are the (row, column) of the best cell and of the cell with the best plateau value.
    """

    x: str
    y: str
    xs: tuple[Value, ...]
    ys: tuple[Value, ...]
    cells: tuple[tuple[float | None, ...], ...]
    plateaus: tuple[tuple[float | None, ...], ...]
    peak: tuple[int, int] | None
    plateau: tuple[int, int] | None


def heat_map(
    axes: Sequence[str], tried: Iterable[tuple[Mapping[str, Value], float | None]], *, sign: int = 1
) -> HeatMap | None:
    """Return the heat map of the first two axes. A cell's value is the mean over the other axes.

    ``sign`` is -1 if lower values are better. Returns None with fewer than two axes, or if either of the first two axes
    has fewer than two values.
    """
    if len(axes) < 2:
        return None
    x, y = axes[0], axes[1]
    values: dict[tuple[Any, Any], list[float]] = {}
    xs: dict[Any, None] = {}
    ys: dict[Any, None] = {}
    for point, value in tried:
        xs[point[x]], ys[point[y]] = None, None
        if value is not None:
            values.setdefault((point[y], point[x]), []).append(value)
    columns, rows = _sorted(xs), _sorted(ys)
    if len(columns) < 2 or len(rows) < 2 or not values:
        return None
    cells = tuple(
        tuple(statistics.fmean(values[row, column]) if (row, column) in values else None for column in columns)
        for row in rows
    )
    plateaus = tuple(tuple(_plateau(cells, r, c) for c in range(len(columns))) for r in range(len(rows)))
    return HeatMap(x, y, columns, rows, cells, plateaus, _best(cells, sign), _best(plateaus, sign))


def _plateau(cells: Sequence[Sequence[float | None]], row: int, column: int) -> float | None:
    if cells[row][column] is None:
        return None
    around = [
        cells[r][c]
        for r in range(max(0, row - 1), min(len(cells), row + 2))
        for c in range(max(0, column - 1), min(len(cells[0]), column + 2))
    ]
    known = [value for value in around if value is not None]
    return statistics.median(known) if len(known) > _NEIGHBOURS_LEAST else None


def _best(cells: Sequence[Sequence[float | None]], sign: int) -> tuple[int, int] | None:
    found = [
        (sign * value, -row, -column)
        for row, line in enumerate(cells)
        for column, value in enumerate(line)
        if value is not None
    ]
    if not found:
        return None
    _, row, column = max(found)
    return -row, -column


def _sorted(values: Iterable[Any]) -> tuple[Any, ...]:
    kept = list(values)
    return tuple(sorted(kept)) if all(isinstance(value, (int, float)) for value in kept) else tuple(kept)
