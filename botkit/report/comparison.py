"""Compares several runs: their metrics in a table, their curves on one chart, and the differences between their
configurations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from markupsafe import Markup
from rich.console import Console
from rich.table import Table
from rich.text import Text

from botkit.model.clock import Nanos
from botkit.model.results import Curve, Figure
from botkit.report import language, wording
from botkit.report.page_files import package_file
from botkit.report.svg import curves_svg
from botkit.report.templates import template

#: the metrics to compare: title, key in the summary, formatting function
FIGURES: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("Return", "return", lambda v: wording.percent(v, sign=True)),
    ("Buy and hold", "buy_and_hold_return", lambda v: wording.percent(v, sign=True)),
    ("Max drawdown", "max_drawdown", wording.percent),
    ("Sharpe", "sharpe", wording.ratio),
    ("Sortino", "sortino", wording.ratio),
    ("CAGR", "cagr", lambda v: wording.percent(v, sign=True)),
    ("Volatility", "volatility", wording.percent),
    ("Calmar", "calmar", wording.ratio),
    ("Profit and loss", "pnl", lambda v: wording.money(v, sign=True)),
    ("Fees", "fees", wording.money),
    ("Turnover", "turnover", wording.money),
    ("In the market", "exposure", wording.percent),
    ("Trades", "round_trips", wording.count),
    ("Trades won", "win_rate", wording.percent),
    ("Profit factor", "profit_factor", wording.ratio),
    ("Expectancy", "expectancy", lambda v: wording.money(v, sign=True)),
    ("Average trade", "average_trade", lambda v: wording.percent(v, sign=True)),
    ("Orders", "orders", wording.count),
    ("Fills", "fills", wording.count),
)
#: the value at which every curve starts, so that runs with different opening equity can be compared
START = 100.0


class ComparedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run in a comparison. ``settings`` is its resolved configuration, by key."""

    label: str
    summary: dict[str, Figure]
    start: Nanos
    end: Nanos
    timezone: str
    equity: Curve
    settings: dict[str, str]
    #: the name and the curve of the run's benchmark
    benchmark: tuple[str, Curve] | None = None
    is_synthetic: bool = False


def differences(runs: Sequence[ComparedRun]) -> list[tuple[str, list[str]]]:
    """Return (key, each run's value) for every setting that differs between runs, and for the span if it differs. For a
    run without the setting, the value is "".
    """
    zone = wording.zone_of(runs[0].timezone) if runs else None
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    rows = [(key, [run.settings.get(key, "") for run in runs]) for key in keys]
    for name, times in (("from", [run.start for run in runs]), ("to", [run.end for run in runs])):
        assert zone is not None
        rows.append((f"run {name}", [wording.minute(time, zone) for time in times]))
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def cautions(runs: Sequence[ComparedRun]) -> list[str]:
    """Return sentences explaining which of the runs' metrics are not comparable, and why."""
    found = []
    if len({run.summary.get("currency") for run in runs}) > 1:
        found.append("the runs are valued in different currencies, so compare percentages, not amounts of money")
    if len({(run.start, run.end) for run in runs}) > 1:
        found.append("the runs cover different spans of time")
    invented = [run.label for run in runs if run.is_synthetic]
    if invented:
        found.append(f"synthetic market: {', '.join(invented)}")
    return found


def overlay(runs: Sequence[ComparedRun]) -> str:
    """Return the runs' equity as SVG, each curve starting at `START`. Equal benchmarks are drawn only once."""
    curves: dict[str, Curve] = {}
    for run in runs:
        curves[run.label] = _scaled(run.equity)
    held: list[Curve] = []
    for run in runs:
        if run.benchmark is not None:
            name, curve = run.benchmark[0], _scaled(run.benchmark[1])
            if curve not in held:
                held.append(curve)
                curves[name if len(held) == 1 else f"{name} ({run.label})"] = curve
    zone = wording.zone_of(runs[0].timezone if runs else "UTC")
    return curves_svg(curves, zone=zone, title=language.say("Equity, each run starting at 100"), height=320)


def render_comparison(runs: Sequence[ComparedRun]) -> str:
    """Render the page: one file that works offline and runs no script."""
    return template("comparison.html.j2").render(
        runs=runs,
        style=Markup(package_file("page/report.css")),
        figures=[(title, [say(run.summary.get(key)) for run in runs]) for title, key, say in FIGURES],
        overlay=Markup(overlay(runs)),  # `overlay` escapes all text
        differences=differences(runs),
        cautions=cautions(runs),
        language=language.current(),
        red_up=language.rises_in_red(),
    )


def print_comparison(console: Console, runs: Sequence[ComparedRun]) -> None:
    """Print the runs' metrics and the differences between their configurations."""
    console.print()
    for caution in cautions(runs):
        console.print(Text(f"! {language.told(caution)}", "yellow"))
    rows = [(language.say(title), [say(run.summary.get(key)) for run in runs]) for title, key, say in FIGURES]
    console.print(_table(runs, rows, "right"))
    found = differences(runs)
    if not found:
        console.print(Text("\n" + language.say("The configurations are identical."), "dim"))
        return
    console.print(Text("\n" + language.say("What differs"), "bold"))
    console.print(_table(runs, found, "left"))


def _table(runs: Sequence[ComparedRun], rows: Sequence[tuple[str, list[str]]], justify: Any) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", style="dim", no_wrap=True)
    for run in runs:
        table.add_column(Text(run.label), justify=justify, overflow="fold")
    for title, values in rows:
        table.add_row(Text(title), *(Text(value or wording.NOTHING) for value in values))
    return table


def _scaled(curve: Curve) -> Curve:
    first = next((value for value in curve.values if value > 0), None)
    if first is None:
        return Curve([], [])
    return Curve(curve.times, [value / first * START for value in curve.values])
