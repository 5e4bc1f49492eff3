"""``botkit trials``: show what has been tried so far."""

from __future__ import annotations

import json
from zoneinfo import ZoneInfo

import click
from rich.table import Table

from botkit.cli.screen import screen
from botkit.cli.zones import DEFAULT_ZONE
from botkit.model.clock import to_datetime


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def trials(as_json: bool) -> None:
    """List how many configurations were tried, by strategy and market.

    Each different combination of code, configuration and parameters counts once for its strategy, pairs and span. The
    more combinations were tried, the better the best of them looks by luck alone, which is why `botkit optimize` counts
    them. New code adds to the count and never resets it.
    """
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


def _day(time_ns: int) -> str:
    return f"{to_datetime(time_ns, ZoneInfo(DEFAULT_ZONE)):%Y-%m-%d}"
