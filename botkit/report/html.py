"""A backtest's report: one self-contained HTML file that opens offline and loads nothing.

All text that comes from a strategy, a configuration or a tape is escaped: text by jinja2, data as JSON in a
block that is not a script. The page's own two scripts are allowed by hash; no other script runs, not even in a plugin's
section.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from botkit.model.extension import ReportSection
from botkit.model.money import format_units
from botkit.model.results import MARKOUTS_S, BacktestResult
from botkit.report import chart_data, tables, wording

ROWS_MAX = 60  # how many latest orders and latest fills to show; the CSV files have all of them


def render(result: BacktestResult, sections: Sequence[ReportSection] = ()) -> str:
    """Render the whole page. Plugins' ``sections`` follow botkit's own; their HTML is not escaped."""
    zone = wording.zone_of(result.timezone)
    library, script = _file("vendor/lightweight-charts.standalone.production.js"), _file("page/report.js")
    return _template().render(
        r=result,
        s=result.summary,
        zone=zone,
        cur=result.currency.upper(),
        library=Markup(library),  # not escaped, because these are files of this package
        script=Markup(script),
        style=Markup(_file("page/report.css")),
        script_sources=f"'sha256-{_sha256(library)}' 'sha256-{_sha256(script)}'",
        data=Markup(embed(chart_data.charts(result, zone))),  # `embed` escapes the data
        trade_groups=tables.trade_groups(result),
        markouts=MARKOUTS_S,
        fee_lines=tables.fee_lines(result.fills),
        fees_paid={currency: format_units(units) for currency, units in tables.fee_currencies(result.fills).items()},
        reasons=tables.reasons(result.strategies, result.orders),
        fills=tables.latest_fills(result, ROWS_MAX),
        orders=tables.latest_orders(result, ROWS_MAX),
        readings=[(title, [say(r.figures.get(key)) for r in result.queue_readings]) for title, key, say in _READINGS],
        sections=sections,
    )


#: the figures to compare between queue assumptions: title, key in the summary, format
_READINGS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("Final equity", "final_equity", wording.money),
    ("Return", "return", lambda v: wording.percent(v, sign=True)),
    ("Max drawdown", "max_drawdown", wording.percent),
    ("Sharpe", "sharpe", wording.ratio),
    ("Orders", "orders", wording.count),
    ("Fills", "fills", wording.count),
    ("Turnover", "turnover", wording.money),
    ("Fees", "fees", wording.money),
    ("Round trips won", "win_rate", wording.percent),
)


def embed(data: object) -> str:
    """Encode JSON that is safe inside a script element: no text in it can close the element or open a comment."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _file(name: str) -> str:
    return (resources.files("botkit.report") / name).read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    for name in (
        "money",
        "amounts",
        "percent",
        "ratio",
        "count",
        "milliseconds",
        "moment",
        "minute",
        "span",
        "tone",
        "lasting",
    ):
        environment.filters[name] = getattr(wording, name)
    environment.filters["wait"] = tables.queue_ms
    return environment.from_string(_file("page/report.html.j2"))
