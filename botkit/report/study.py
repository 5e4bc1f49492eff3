"""Renders the page of a search or a walk-forward as one self-contained HTML file without scripts.

All content is drawn here as SVG or tables, so the page works wherever HTML is displayed.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from markupsafe import Markup

from botkit.report import language, wording
from botkit.report.page_files import package_file
from botkit.report.templates import template

__all__ = ["MapCell", "StudyMap", "StudyPage", "StudyTable", "render_study"]

_WIDTH, _HEIGHT, _PAD = 1060.0, 220.0, 8.0


class StudyTable(msgspec.Struct, frozen=True):
    """A table whose cells are text. ``marked`` lists the rows to highlight."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    marked: frozenset[int] = frozenset()


class MapCell(msgspec.Struct, frozen=True):
    """One cell of a map. ``share`` is 0 for the worst value and 1 for the best, or None if no trial is in the cell."""

    text: str
    share: float | None
    is_peak: bool = False
    is_plateau: bool = False


class StudyMap(msgspec.Struct, frozen=True):
    """A heat map of two parameters. ``rows`` has one row for each of ``ys``, with one cell for each of ``xs``."""

    x: str
    y: str
    xs: tuple[str, ...]
    ys: tuple[str, ...]
    rows: tuple[tuple[MapCell, ...], ...]
    note: str


class StudyPage(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the page, from top to bottom. ``line`` is a curve that starts at 1, such as chained equity."""

    title: str
    kind: str
    lead: str
    is_synthetic: bool
    warnings: tuple[str, ...]
    tiles: tuple[tuple[str, str, str], ...]
    line_title: str = ""
    line: tuple[float, ...] = ()
    tables: tuple[StudyTable, ...] = ()
    map: StudyMap | None = None
    footer: str = ""


def render_study(page: StudyPage) -> str:
    """Render the page. Its text is already in the current language, except for warnings."""
    style = Markup(package_file("page/report.css") + package_file("page/study.css"))
    return template("study.html.j2").render(
        page=page, style=style, line=_path(page.line), language=language.current(), red_up=language.rises_in_red()
    )


def _path(values: Sequence[float]) -> dict[str, str] | None:
    """Return an SVG path through the values, the y coordinate of the value 1, and the labels of the scale."""
    if len(values) < 2:
        return None
    low, high = min(*values, 1.0), max(*values, 1.0)
    room = (high - low) or 1.0

    def y(value: float) -> float:
        return _PAD + (high - value) / room * (_HEIGHT - 2 * _PAD)

    step = _WIDTH / (len(values) - 1)
    points = " ".join(f"{'M' if i == 0 else 'L'}{i * step:.1f} {y(value):.1f}" for i, value in enumerate(values))
    return {
        "d": points,
        "one": f"{y(1.0):.1f}",
        "high": wording.percent(high - 1, sign=True, decimals=1),
        "low": wording.percent(low - 1, sign=True, decimals=1),
        "width": f"{_WIDTH:.0f}",
        "height": f"{_HEIGHT:.0f}",
    }
