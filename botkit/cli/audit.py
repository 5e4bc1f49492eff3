"""``botkit audit``: compare a session's fills with a simulation of the session, fill by fill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
import msgspec

from botkit.cli.durations import duration_s
from botkit.cli.languages import speaks
from botkit.cli.screen import prints_aside
from botkit.model.clock import NS_PER_S, format_time
from botkit.model.counts import counted
from botkit.model.figures import fixed, money_figure

#: how many of the largest differences to list
_LISTED = 10
#: matched fills that differ by less than this, in quote currency, are not listed
_WORTH_A_LINE = 0.005


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path, exists=True))
@click.option("--mode", type=click.Choice(["emulator", "paper", "live"]), help="Mode, if RUN is a configuration.")
@click.option("--config", type=click.Path(path_type=Path), help="Use this configuration instead of the run's own.")
@click.option(
    "--since",
    callback=duration_s,
    metavar="DURATION",
    help="Only orders from the last period of this length, such as 1d.",
)
@click.option("--max-missed", type=float, default=10, show_default=True, help="Tolerated missed value, in percent.")
@click.option("--max-extra", type=float, default=10, show_default=True, help="Tolerated extra value, in percent.")
@click.option(
    "--max-price", type=float, default=3, show_default=True, help="Tolerated price difference, in basis points."
)
@click.option(
    "--max-money",
    type=float,
    default=5,
    show_default=True,
    help="Tolerated money difference, in basis points of the value.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder for the pages."
)
@click.option("--page/--no-page", default=True, show_default=True, help="Write a page for each run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@speaks
def audit(
    run: Path,
    mode: str | None,
    config: Path | None,
    since: float | None,
    max_missed: float,
    max_extra: float,
    max_price: float,
    max_money: float,
    out: Path,
    page: bool,
    as_json: bool,
) -> int:
    """Compare a session's fills with the fills from a backtest of the same orders.

    RUN is a run's folder, a bot's state folder (its newest run or, with --since, all runs within that time), or a
    configuration. The orders are replayed at their original times against the simulated exchange, with the market data
    that the session recorded. Missed fills occurred only at the exchange, and extra fills occurred only in the
    simulation.

    The page of a run, OUT/NAME/audit-MODE-12.html, lists all fills and draws real and simulated fills over the price.

    The exit code is 1 if the differences exceed the tolerances.
    """
    from botkit.assembly.audit import Tolerance, combined, runs_of
    from botkit.assembly.audit import audit as compare
    from botkit.assembly.audit_page import write_audit
    from botkit.cli.control import state_folder_of

    since_ns = None if since is None else int(since * NS_PER_S)
    place = run if run.is_dir() else state_folder_of(run, mode).path
    with prints_aside(as_json):
        audited = [compare(one, config=config, since_ns=since_ns) for one in runs_of(place, since_ns)]
    reports = [one.report for one in audited]
    found = combined(reports)
    tolerance = Tolerance(missed_pct=max_missed, extra_pct=max_extra, price_bps=max_price, money_bps=max_money)
    drifts = tolerance.drifts(found)
    pages = [write_audit(one, out, tolerance.drifts(one.report.configured)).resolve() for one in audited if page]
    if as_json:
        document = {"drift": drifts, "figures": found, "runs": reports, "pages": [str(one) for one in pages]}
        click.echo(json.dumps(msgspec.to_builtins(document)))
        return 1 if drifts else 0
    for report in reports:
        for line in _lines(report):
            click.echo(line)
    for one in pages:
        click.echo(f"page: {one}")
    if len(reports) > 1:
        click.echo(f"all {len(reports)} runs: {_shares(found)}")
    for sentence in drifts:
        click.echo(f"drift: {sentence}", err=True)
    if not drifts:
        click.echo("within tolerance" if found.real_fills or found.simulated_fills else "no fills to compare")
    return 1 if drifts else 0


def _lines(report: Any) -> list[str]:
    from botkit.report.audit import FIGURES

    zone = ZoneInfo(report.timezone)
    speed = f" at {report.speed:g}x" if report.speed != 1 else ""
    span = f"{format_time(report.start, zone)} to {format_time(report.end, zone)}"
    lines = [
        f"{report.bot}, mode {report.mode}{speed}: {span}",
        f"{report.run}: {counted(report.orders, 'order')}, {counted(report.configured.real_fills, 'real fill')}",
        *(f"note: {note}" for note in report.notes),
        "",
    ]
    columns = [("as configured", report.configured)]
    if report.measured is not None:
        columns.append(("with measured latencies", report.measured))
    columns.append(("at their real times", report.exact))
    rows = [(name, [cell(figures) for _, figures in columns]) for name, cell in FIGURES]
    lines.append(f"{'simulation':<22}" + "".join(f"{title:>26}" for title, _ in columns))
    lines += [f"{name:<22}" + "".join(f"{cell:>26}" for cell in cells) for name, cells in rows]
    # fees are rounded, so the last digits may differ
    worst = [pair for pair in report.pairs if pair.kind != "matched" or abs(pair.money) >= _WORTH_A_LINE]
    worst = sorted(worst, key=lambda pair: -abs(pair.money))[:_LISTED]
    if worst:
        lines += ["", "largest differences (real | simulated):"]
        lines += [f"  {_difference(pair, zone)}" for pair in worst]
    if report.proposals:
        lines += ["", "for the configuration:", "  backtest:", *(f"    {line}" for line in report.proposals), ""]
    return lines


def _shares(found: Any) -> str:
    from botkit.report.audit import money_text

    return (
        f"matched {found.matched:.1%}, missed {found.missed:.1%}, extra {found.extra:.1%}, "
        f"price worse by {fixed(found.worse_bps, signed=True)} bps, money {money_text(found)}"
    )


def _difference(pair: Any, zone: ZoneInfo) -> str:
    leg = pair.real or pair.simulated
    prices = " | ".join("–" if one is None else f"{one.price:,.10g}" for one in (pair.real, pair.simulated))
    return (
        f"{format_time(leg.time, zone)} {pair.strategy} {pair.side} {pair.amount:,.8g} {pair.pair} at {prices}: "
        f"{pair.kind}, {money_figure(pair.money, signed=True)} {pair.quote}"
    )
