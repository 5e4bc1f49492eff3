"""``botkit trials``: list the configurations tried so far."""

from __future__ import annotations

import json
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from rich.table import Table

from botkit.cli.screen import screen
from botkit.cli.zones import DEFAULT_ZONE
from botkit.errors import ConfigError
from botkit.model.clock import format_time, to_datetime


@click.command()
@click.argument("config", type=click.Path(path_type=Path), required=False)
@click.option("--sealed", "sealed_from", metavar="FROM", help="Seal CONFIG's data from this date or time on.")
@click.option("--open", "is_opening", is_flag=True, help="Open CONFIG's sealed data; this cannot be undone.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def trials(config: Path | None, sealed_from: str | None, is_opening: bool, as_json: bool) -> None:
    """Show how many configurations were tried, by strategy and market, or seal the last part of CONFIG's data.

    Each distinct combination of code, configuration and parameters counts once for its strategy, pairs and span. The
    more combinations are tried, the better the best combination looks by luck alone, so `botkit optimize` counts them.
    New code adds to the count and never resets it.

    Until the seal is opened, backtests, searches and the doctor do not read the sealed data of that strategy and its
    pairs, whichever file the data comes from. The seal is a reminder, not a lock.
    """
    if sealed_from is not None or is_opening:
        _seal(config, sealed_from, is_opening=is_opening)
        return
    if config is not None:
        raise ConfigError("CONFIG is only for --sealed FROM and --open; omit it to list the configurations tried")
    from botkit.assembly.operations import state_root
    from botkit.research.looks import LookLedger

    ledger = LookLedger(state_root())
    markets = ledger.markets()
    if as_json:
        rows = [
            {
                "strategy": market.strategy,
                "pairs": list(market.pairs),
                "synthetic": market.is_synthetic,
                "looks": looks,
                "start_ns": start,
                "end_ns": end,
            }
            for market, looks, start, end in markets
        ]
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    if not markets:
        click.echo("nothing has been tried yet; `botkit optimize CONFIG --param ...` records every trial")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("strategy", "pairs", "market", "from", "to"):
        table.add_column(title, no_wrap=True)
    table.add_column("tried", justify="right", style="bold")
    for market, looks, start, end in markets:
        invented = "invented" if market.is_synthetic else "recorded"
        table.add_row(market.strategy, " ".join(market.pairs), invented, _day(start), _day(end), f"{looks:,}")
    screen().print(table)
    click.echo(f"\nNoted in {ledger.path}")


def _seal(config: Path | None, sealed_from: str | None, *, is_opening: bool) -> None:
    from botkit.assembly.seals import open_seal, seal
    from botkit.config.backtest import moment
    from botkit.project.data import backtest_feed
    from botkit.project.project import Project

    if config is None:
        raise ConfigError("--sealed and --open need a CONFIG, because they apply to its strategy and pairs")
    if sealed_from is not None and is_opening:
        raise ConfigError("--sealed and --open cannot be used together")
    project = Project.load(config)
    is_synthetic = backtest_feed(project, None).synthetic
    if is_opening:
        found = open_seal(project, time.time_ns(), is_synthetic=is_synthetic)
        click.echo(
            f"opened: the data from {format_time(found.start, project.config.zone)} on. This cannot be undone; "
            f"`botkit doctor` now tests on that data"
        )
        return
    try:
        start = moment(sealed_from, project.config.zone)
    except ValueError as error:
        raise ConfigError(f"--sealed: {error}") from None
    assert start is not None
    found = seal(project, start, time.time_ns(), is_synthetic=is_synthetic)
    click.echo(
        f"sealed: the data of {found.strategy} on {', '.join(found.pairs)} from "
        f"{format_time(found.start, project.config.zone)} on. This is a reminder, not a lock; --open opens it, which "
        f"is possible only once"
    )


def _day(time_ns: int) -> str:
    return f"{to_datetime(time_ns, ZoneInfo(DEFAULT_ZONE)):%Y-%m-%d}"
