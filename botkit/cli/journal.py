"""``botkit journal``: show a bot's journal: its orders and fills, and which orders are open or have an unknown
outcome.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import click
import msgspec

from botkit.cli.control import state_folder_of
from botkit.model.clock import format_time
from botkit.model.csv_cells import inert

#: columns whose text comes from a strategy or the exchange
_TEXTS = frozenset({"strategy", "tag", "reason", "order_id"})


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--mode", type=click.Choice(["emulator", "paper", "live"]), help="Which mode, if the bot has run in several."
)
@click.option("--last", default=20, show_default=True, type=click.IntRange(min=0), help="Orders and fills to show.")
@click.option("--export", type=click.Choice(["csv"]), help="Write orders.csv and fills.csv instead.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Folder for --export.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def journal(config: Path, mode: str | None, last: int, export: str | None, out: Path, as_json: bool) -> None:
    """Show the journal of the bot in CONFIG. Works while the bot runs."""
    from botkit.assembly.operations import Journal
    from botkit.project.without_strategies import account_of

    folder = state_folder_of(config, mode)
    project = account_of(config)
    book = Journal.open(folder.journal, read_only=True)
    try:
        orders = [_exact(row, project.pairs) for row in book.order_rows()]
        fills = [_exact(msgspec.to_builtins(fill), project.pairs) for fill in book.fills()]
        notes = book.notes()
        damage, waiting = book.damage, book.read_over
    finally:
        book.close()
    if damage is not None:
        click.echo(f"warning: {damage}", err=True)
    if export is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, rows in (("orders", orders), ("fills", fills)):
            _write_csv(out / f"{name}.csv", rows)
            click.echo(f"wrote {out / f'{name}.csv'} ({len(rows)} rows)")
        return
    open_rows = [row for row in orders if not row["final"]]
    unknown = [row for row in open_rows if row["state"] in ("unknown", "sending")]
    if as_json:
        tail = {"orders": orders[-last:] if last else [], "fills": fills[-last:] if last else []}
        click.echo(json.dumps({**tail, "open": open_rows, "unknown": unknown, "notes": notes, "damage": damage}))
        return
    click.echo(f"{folder.journal}: {len(orders)} orders, {len(fills)} fills, {len(open_rows)} open")
    if waiting:
        click.echo(f"its {waiting} newest commits were read from its log, and are not in that file yet")
    for title, rows in (("unknown", unknown), ("open", open_rows), ("latest orders", orders[-last:] if last else [])):
        if rows:
            click.echo(f"{title}:")
        for row in rows:
            click.echo(f"  {_order_line(row)}")
    if fills and last:
        click.echo("latest fills:")
    for row in fills[-last:] if last else []:
        when = format_time(row["time"], project.config.zone)
        fee = f"fee {row['fee']} {row['fee_currency']}"
        click.echo(f"  {when} {row['strategy']}: {row['side']} {row['amount']} {row['pair']} at {row['price']}, {fee}")


def _order_line(row: dict[str, Any]) -> str:
    what = row["amount"] if row["amount"] != "0" else f"spend {row['spend']}"
    at = f" at {row['price']}" if row["price"] != "0" else ""
    why = f" ({row['reason']})" if row["reason"] else ""
    return f"{row['client_id']} {row['strategy']}: {row['side']} {what} {row['pair']}{at} {row['state']}{why}"


def _exact(row: dict[str, Any], pairs: Any) -> dict[str, Any]:
    """The journal's integers converted to exact amounts."""
    from botkit.model.money import format_units

    pair = pairs.get(row["pair"])
    found = dict(row)
    if pair is None:
        return found
    rules = pair.rules
    for name, target in (("amount_lots", "amount"), ("lots", "amount"), ("executed_lots", "executed")):
        if name in row:
            found[target] = rules.amount_text(int(row[name]))
    for name, target in (("price_ticks", "price"), ("stop_ticks", "stop")):
        if name in row:
            found[target] = rules.price_text(row[name])
    for name in ("spend_units", "executed_units", "value_units", "fee_units"):
        if name in row:
            found[name.removesuffix("_units") if name != "executed_units" else "value"] = format_units(int(row[name]))
    return found


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        names = list(rows[0]) if rows else ["client_id"]
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for row in rows:
            writer.writerow({name: inert(value) if name in _TEXTS else value for name, value in row.items()})
