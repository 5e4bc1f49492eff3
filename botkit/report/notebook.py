"""Renders a result for a notebook as HTML without scripts: metrics, cautions and curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from botkit.model.results import BacktestResult, Curve
from botkit.report import wording
from botkit.report.svg import curves_svg

CAUTIONS_SHOWN, CAUTION_LENGTH = 8, 500
_COLUMNS = 3
#: the metrics to show: title, key in the summary, formatting function
_FIGURES: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("Return", "return", wording.percent),
    ("Profit and loss", "pnl", wording.money),
    ("Max drawdown", "max_drawdown", wording.percent),
    ("Sharpe", "sharpe", wording.ratio),
    ("Sortino", "sortino", wording.ratio),
    ("CAGR", "cagr", wording.percent),
    ("Volatility", "volatility", wording.percent),
    ("Trades", "round_trips", wording.count),
    ("Trades won", "win_rate", wording.percent),
    ("Profit factor", "profit_factor", wording.ratio),
    ("Expectancy", "expectancy", wording.money),
    ("Fees", "fees", wording.money),
    ("Turnover", "turnover", wording.money),
    ("In the market", "exposure", wording.percent),
    ("Buy and hold", "buy_and_hold_return", wording.percent),
    ("Orders", "orders", wording.count),
    ("Fills", "fills", wording.count),
    ("Daily returns", "days", wording.count),
)


def notebook_html(run: BacktestResult) -> str:
    """Return a run as HTML for a notebook's output. All text is escaped."""
    zone = wording.zone_of(run.timezone)
    cells = [
        f'<td style="text-align:left;opacity:.7">{escape(title)}</td>'
        f'<td style="text-align:right;padding-right:24px"><b>{escape(say(run.summary.get(key)))}</b></td>'
        for title, key, say in _FIGURES
    ]
    rows = "".join(f"<tr>{''.join(cells[at : at + _COLUMNS])}</tr>" for at in range(0, len(cells), _COLUMNS))
    cautions = sorted(run.warnings, key=lambda caution: not caution.grave)[:CAUTIONS_SHOWN]
    notes = "".join(f'<p style="margin:2px 0">⚠ {escape(caution.text[:CAUTION_LENGTH])}</p>' for caution in cautions)
    span = f"{wording.minute(run.start, zone)} to {wording.minute(run.end, zone)}, {run.currency.upper()}"
    head = f'<b>{escape(run.name)}</b> <span style="opacity:.7">{escape(span)}</span>'
    return f"<div>{head}{notes}<table>{rows}</table>{result_svg(run)}</div>"


def result_svg(run: BacktestResult) -> str:
    """Return a run's equity and drawdown as SVG, with its benchmark if it has one."""
    curves: Mapping[str, Curve] = {f"{run.name} ({run.currency.upper()})": run.equity}
    if run.benchmark is not None:
        curves = {**curves, run.benchmark.name: run.benchmark.equity}
    return curves_svg(curves, zone=wording.zone_of(run.timezone))


def one_line(run: BacktestResult) -> str:
    """Return a run's main metrics on one line."""
    s = run.summary
    return (
        f"return {wording.percent(s.get('return'))}, drawdown {wording.percent(s.get('max_drawdown'))}, "
        f"Sharpe {wording.ratio(s.get('sharpe'))}, {wording.count(s.get('round_trips'))} trades"
    )
