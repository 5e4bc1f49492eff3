"""The report of a backtest or a live session: one self-contained HTML file that opens offline and loads nothing.

Content that comes from a strategy, a configuration or a tape cannot inject HTML: jinja2 escapes all text, and data is
packed in a block that is not a script. The page's own two scripts are allowed by hash; no other script runs, not even
in a plugin's section.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from markupsafe import Markup

from botkit.model.clock import Nanos
from botkit.model.extension import ReportSection
from botkit.model.results import MARKOUTS_S, SYNTHETIC, BacktestResult, Caution
from botkit.model.row_columns import column_blocks
from botkit.report import chart_data, doctor, language, resting, returns, tables, trade_list, verdict, wording
from botkit.report.packing import packed_parts
from botkit.report.page_files import CHART_LIBRARY, joined_script, package_file, script_sources
from botkit.report.templates import template

ROWS_MAX = 60  # how many of the latest orders and latest fills to show; the CSV files contain all orders and fills


def render(
    result: BacktestResult, sections: Sequence[ReportSection] = (), *, findings: doctor.Findings | None = None
) -> str:
    """Render the complete page in the current language (`botkit.report.language`). Plugins' ``sections`` follow
    botkit's own; their HTML is not escaped. The doctor's ``findings`` are shown if they apply to this run's decisions.
    """
    return "".join(render_parts(result, sections, findings=findings))


def render_parts(
    result: BacktestResult, sections: Sequence[ReportSection] = (), *, findings: doctor.Findings | None = None
) -> Iterator[str]:
    """Yield the page of `render` in parts, to be written one by one. Whole, the page of a million candles takes 17 MB:
    two bytes per character.
    """
    zone = wording.zone_of(result.timezone)
    offsets = wording.offsets(result.start, result.end, zone)
    months = returns.monthly_returns(result)

    def at(time: Nanos | None, precise: bool = False) -> str:
        text = wording.moment(time, zone) if precise else wording.minute(time, zone)
        return wording.stamped(time, zone, text, offsets)

    library, script = package_file(CHART_LIBRARY), page_script()
    data = packed_parts(
        {
            **chart_data.charts(result, zone),
            "offset": offsets[0] if len(offsets) == 1 else "",
            "phrases": language.phrases_in(script, _data_words(result)),
        }
    )
    parts = template("report.html.j2").generate(
        r=result,
        kind="backtest" if result.mode == "backtest" else f"{result.mode} session",
        s=result.summary,
        at=at,
        offsets=offsets,
        cur=result.currency.upper(),
        library=Markup(library),  # not escaped, because these files are part of this package
        script=Markup(script),
        style=Markup(package_file("page/report.css")),
        script_sources=script_sources(library, script),
        data=data,
        language=language.current(),
        red_up=language.rises_in_red(),
        verdict=verdict.verdict(result),
        interval=verdict.sharpe_interval(result),
        z=verdict.Z_95,
        warnings=warnings(result),
        months=months,
        # with a single month, the monthly return equals the total return, which is already shown above
        has_months=sum(value is not None for row in months for value in row.months) > 1,
        histogram=returns.trade_histogram(result),
        heat=returns.heat,
        trade_groups=tables.trade_groups(result),
        markouts=MARKOUTS_S,
        fee_lines=tables.fee_lines(result.fills),
        fees_paid=wording.amounts(tables.fee_currencies(result.fills)),
        reasons=tables.reasons(result.strategies, result.orders),
        fills=tables.latest_fills(result, ROWS_MAX),
        orders=tables.latest_orders(result, ROWS_MAX),
        readings=[(title, [say(r.figures.get(key)) for r in result.queue_readings]) for title, key, say in _READINGS],
        sections=sections,
        drawn_orders=_drawn_orders(len(resting.rested(result))),
    )
    if findings is not None and findings.decisions_sha256 == result.summary.get("journal_sha256"):
        yield doctor.placed("".join(parts), findings)
        return
    yield from parts


def _drawn_orders(rested: int) -> str:
    """Return a sentence about orders omitted from the price charts, or "" if there are none."""
    if rested <= resting.RESTING_MAX:
        return ""
    most = wording.count(resting.RESTING_MAX)
    return language.say("Of {} orders that rested, the {} that rested longest are drawn.", wording.count(rested), most)


def _data_words(result: BacktestResult) -> set[str]:
    """Return the words in the trade list that come from the data: sides and exit reasons."""
    words = {
        word for columns in column_blocks(result.trades, "kind", "exit_reason") for column in columns for word in column
    }
    return {word.replace("_", " ") for word in words} | {trade_list.GIVEN}


#: the parts of the page's script
_SCRIPTS = (
    *("data.js", "say.js", "theme.js", "charts.js", "bars.js", "resting.js", "price.js"),
    *("rows.js", "trades.js", "report.js"),
)


@cache
def page_script() -> str:
    """Return the report's own script."""
    return joined_script(_SCRIPTS)


def warnings(result: BacktestResult) -> list[Caution]:
    """Return cautions for the reader, most serious first. The banner already states that the data is synthetic."""
    found = [caution for caution in result.warnings if not (result.data.synthetic and caution.text == SYNTHETIC)]
    found += [
        Caution(f"{row.name} was stopped before the end: {row.stopped}") for row in result.strategies if row.stopped
    ]
    return sorted(found, key=lambda caution: not caution.grave)


#: the metrics to compare across queue assumptions: title, key in the summary, format
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
