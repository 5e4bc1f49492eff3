"""The page of an audit: compares a session's fills with those of its simulation, in one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo
from functools import cache

import msgspec
from markupsafe import Markup

from botkit.model.clock import NS_PER_DAY, NS_PER_MS, Nanos
from botkit.model.compared_fills import AuditFigures, FillLeg, FillPair
from botkit.model.figures import fixed, money_figure
from botkit.model.results import FillRow, PriceCandles
from botkit.report import chart_data, language, wording
from botkit.report.chart_data import ChartData, local_ms, shown
from botkit.report.language import say
from botkit.report.packing import deltas, packed
from botkit.report.page_files import CHART_LIBRARY, joined_script, package_file, script_sources
from botkit.report.templates import template

__all__ = ["FIGURES", "AuditPage", "money_text", "render_audit"]

KINDS = ("matched", "missed", "extra")


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the page. ``configured``, ``measured`` and ``exact`` are the figures from three simulations.
    ``real`` are the session's fills, and ``simulated`` are the fills of the first simulation. ``drifts`` are sentences
    about figures that exceed their tolerances.
    """

    name: str
    run: str
    mode: str
    speed: float
    timezone: str
    start: Nanos
    end: Nanos
    orders: int
    configured: AuditFigures
    measured: AuditFigures | None
    exact: AuditFigures
    pairs: list[FillPair]
    proposals: list[str]
    notes: list[str]
    drifts: list[str]
    prices: list[PriceCandles]
    real: list[FillRow]
    simulated: list[FillRow]


def money_text(figures: AuditFigures) -> str:
    """Return how much better off the account ended up in reality than in the simulation, in each quote currency."""
    return ", ".join(f"{money_figure(amount, signed=True)} {coin}" for coin, amount in figures.money.items()) or "0.00"


#: the figures shown for each simulation: title, formatting function
FIGURES: Sequence[tuple[str, Callable[[AuditFigures], str]]] = (
    ("fills", lambda found: f"{found.simulated_fills:,}"),
    ("matched", lambda found: f"{100 * found.matched:.1f} %"),
    ("missed", lambda found: f"{100 * found.missed:.1f} %"),
    ("extra", lambda found: f"{100 * found.extra:.1f} %"),
    ("real price worse by", lambda found: f"{fixed(found.worse_bps, signed=True)} bps"),
    ("real fill later by", lambda found: f"{fixed(found.later_s, 3, signed=True)} s"),
    ("maker/taker differs", lambda found: f"{found.roles_differ:,}"),
    ("real money more by", money_text),
)


def render_audit(page: AuditPage) -> str:
    """Render the page in the current language."""
    zone = wording.zone_of(page.timezone)
    library, script = package_file(CHART_LIBRARY), page_script()
    columns = [("as configured", page.configured)]
    if page.measured is not None:
        columns.append(("with measured latencies", page.measured))
    columns.append(("at their real times", page.exact))
    words = {*KINDS, "buy", "sell", "maker", "taker"}
    return template("audit.html.j2").render(
        r=page,
        zone=zone,
        offsets=wording.offsets(page.start, page.end, zone),
        library=Markup(library),  # not escaped, because these files are part of this package
        script=Markup(script),
        style=Markup(package_file("page/report.css")),
        script_sources=script_sources(library, script),
        data=packed({**_data(page, zone), "phrases": language.phrases_in(script, words)}),
        language=language.current(),
        red_up=language.rises_in_red(),
        titles=[title for title, _ in columns],
        figures=[(title, [say_of(found) for _, found in columns]) for title, say_of in FIGURES],
        verdict=_verdict(page.configured),
        kinds=[(kind, sum(pair.kind == kind for pair in page.pairs)) for kind in KINDS],
    )


#: the parts of the page's script
_SCRIPTS = (
    *("data.js", "say.js", "theme.js", "charts.js", "bars.js", "resting.js", "price.js"),
    *("rows.js", "audit.js"),
)


@cache
def page_script() -> str:
    """Return the page's own script."""
    return joined_script(_SCRIPTS)


def _verdict(found: AuditFigures) -> list[str]:
    if not found.real_fills and not found.simulated_fills:
        return [say("There are no fills to compare.")]
    shares = [wording.percent(share, decimals=1) for share in (found.matched, found.missed, found.extra)]
    worse = fixed(abs(found.worse_bps))
    if not any(digit in "123456789" for digit in worse):
        prices = say("Matched fills had the same prices on average")
    elif found.worse_bps > 0:
        prices = say("Real prices of matched fills were {} bps worse than simulated", worse)
    else:
        prices = say("Real prices of matched fills were {} bps better than simulated", worse)
    return [
        say("The simulation matched {} of the value actually executed; it missed {} and added {}.", *shares),
        say("{}. Real minus simulated money: {}.", prices, money_text(found)),
    ]


def _data(page: AuditPage, zone: tzinfo) -> ChartData:
    def of(rows: Sequence[FillRow], pair: str) -> list[FillRow]:
        return [row for row in rows if row.pair == pair]

    prices = []
    for candles in page.prices[: chart_data.PAIRS_MAX]:
        real, simulated = of(page.real, candles.pair), of(page.simulated, candles.pair)
        prices.append(chart_data.pair_chart(candles, real, zone, chart_data.CANDLES_MAX_TOGETHER, simulated=simulated))
    is_short = page.end - page.start < NS_PER_DAY
    return {"currency": "", "seconds": is_short, "prices": prices, "pairs": _rows(page, zone)}


def _rows(page: AuditPage, zone: tzinfo) -> ChartData:
    """Return the compared fills in columns. The time of a row is the time of its earlier fill, in local milliseconds,
    stored as differences.
    """
    decimals = {str(candles.pair): candles.pair.rules.price_decimals for candles in page.prices}
    pairs = page.pairs
    names = list(dict.fromkeys(pair.pair for pair in pairs))
    strategies = list(dict.fromkeys(pair.strategy for pair in pairs))
    first = [min(leg.time for leg in (pair.real, pair.simulated) if leg is not None) for pair in pairs]

    def prices(legs: Sequence[FillLeg | None]) -> list[float | None]:
        return [None if leg is None else shown(leg.price) for leg in legs]

    def roles(legs: Sequence[FillLeg | None]) -> list[int | None]:
        return [None if leg is None else int(leg.is_maker) for leg in legs]

    real, simulated = [pair.real for pair in pairs], [pair.simulated for pair in pairs]
    return {
        "count": len(pairs),
        "names": names,
        "decimals": [decimals.get(name, 8) for name in names],
        "quotes": [next(pair.quote for pair in pairs if pair.pair == name).upper() for name in names],
        "strategies": strategies,
        "kinds": KINDS,
        "time": deltas(local_ms(first, zone).tolist()),
        "later": [
            None if ours is None or theirs is None else (ours.time - theirs.time) // NS_PER_MS
            for ours, theirs in zip(real, simulated, strict=True)
        ],
        "pair": [names.index(pair.pair) for pair in pairs],
        "strategy": [strategies.index(pair.strategy) for pair in pairs],
        "side": [1 if pair.side == "buy" else -1 for pair in pairs],
        "kind": [KINDS.index(pair.kind) for pair in pairs],
        "amount": [shown(pair.amount) for pair in pairs],
        "real": prices(real),
        "simulated": prices(simulated),
        "real_maker": roles(real),
        "simulated_maker": roles(simulated),
        "worse": [None if pair.worse_bps is None else round(pair.worse_bps, 4) for pair in pairs],
        "money": [round(pair.money, 8) for pair in pairs],
    }
