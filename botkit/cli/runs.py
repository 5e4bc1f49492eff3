"""``botkit runs``: list past backtests, one per line."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
from rich.table import Table
from rich.text import Text

from botkit.cli.screen import screen
from botkit.cli.zones import DEFAULT_ZONE
from botkit.model.clock import to_datetime


@click.command()
@click.argument("name", required=False)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("out"),
    show_default=True,
    help="Folder that contains the runs.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summaries as a JSON list.")
def runs(name: str | None, out: Path, as_json: bool) -> None:
    """List past backtests, for the bot NAME or for all bots."""
    from botkit.backtesting.kept_runs import kept_runs
    from botkit.report import wording

    found = kept_runs(out, name)
    if as_json:
        rows = [{"run": run.number, "folder": str(run.folder), **run.summary} for run in found]
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    if not found:
        click.echo(f"{out} has no backtest{f' of {name}' if name else ''}; run one with `botkit backtest CONFIG`")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("run", "finished", "from", "to"):
        table.add_column(title, no_wrap=True)
    for title in ("return", "drawdown", "sharpe", "fills", "fees"):
        table.add_column(title, justify="right", no_wrap=True)
    for run in found:
        summary = run.summary
        finished = datetime.fromtimestamp((run.folder / "summary.json").stat().st_mtime, ZoneInfo(DEFAULT_ZONE))
        table.add_row(
            Text(f"{run.name}/{run.number}", style="bold"),
            finished.isoformat(sep=" ", timespec="minutes"),
            _day(summary.get("start_ns")),
            _day(summary.get("end_ns")),
            wording.percent(summary.get("return"), sign=True),
            wording.percent(summary.get("max_drawdown")),
            wording.ratio(summary.get("sharpe")),
            wording.count(summary.get("fills", 0)),
            wording.money(summary.get("fees")),
        )
    screen().print(table)


def _day(time: Any) -> str:
    return f"{to_datetime(time, ZoneInfo(DEFAULT_ZONE)):%Y-%m-%d}" if isinstance(time, int) else "–"
