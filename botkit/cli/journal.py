"""``botkit journal``: show the orders and fills in a bot's journal, and which orders are open or have an unknown
outcome.
"""

from __future__ import annotations

import csv
import json
from datetime import tzinfo
from pathlib import Path
from typing import Any

import click
import msgspec

from botkit.cli.control import state_folder_of
from botkit.errors import ConfigError
from botkit.model.clock import NS_PER_MS, format_time
from botkit.model.counts import counted
from botkit.model.csv_cells import inert
from botkit.model.figures import separated
from botkit.model.money import UNIT_DECIMALS

#: the columns of a backtest's files, without fill values in another currency, which a journal does not have
_COLUMNS = {
    "orders": (
        *("time", "time_ns", "strategy", "pair", "side", "type", "price", "amount", "spend", "stop_price", "post_only"),
        *("state", "reason", "executed", "value", "queue_ms", "updated", "client_id", "order_id", "tag"),
    ),
    "fills": (
        *("time", "time_ns", "strategy", "pair", "side", "liquidity", "price", "amount", "value", "fee"),
        *("fee_currency", "client_id", "order_id", "tag"),
    ),
}
#: columns with text from a strategy or the exchange
_TEXTS = frozenset({"strategy", "tag", "reason", "order_id"})


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--mode", type=click.Choice(["emulator", "paper", "live"]), help="Mode to use if the bot has run in more than one."
)
@click.option(
    "--last", default=20, show_default=True, type=click.IntRange(min=0), help="Number of orders and fills to show."
)
@click.option("--export", type=click.Choice(["csv"]), help="Write orders.csv and fills.csv instead.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Folder for --export.")
@click.option("--force", is_flag=True, help="Let --export replace files that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def journal(
    config: Path, mode: str | None, last: int, export: str | None, out: Path, force: bool, as_json: bool
) -> None:
    """Show the journal of the bot in CONFIG. This works while the bot is running."""
    from botkit.assembly.operations import Journal, pairs_of_journal
    from botkit.project.without_strategies import account_of

    folder = state_folder_of(config, mode)
    present = [str(out / f"{name}.csv") for name in _COLUMNS if (out / f"{name}.csv").exists()]
    if export is not None and present and not force:
        raise ConfigError(f"{', '.join(present)} already exists; choose another folder with --out, or pass --force")
    project = account_of(config)
    book = Journal.open(folder.journal, read_only=True)
    try:
        pairs = pairs_of_journal(book, project.pairs)
        orders = [_exact(row, pairs) for row in book.order_rows()]
        fills = [_exact(msgspec.to_builtins(fill), pairs) for fill in book.fills()]
        notes = book.notes()
        tags = {row["client_id"]: (row["order_id"], row["tag"]) for row in orders}
        damage, waiting = book.damage, book.read_over
    finally:
        book.close()
    if damage is not None:
        click.echo(f"warning: {damage}", err=True)
    if export is not None:
        out.mkdir(parents=True, exist_ok=True)
        zone = project.config.zone
        for name, rows, row_of in (("orders", orders, _order_row), ("fills", fills, _fill_row)):
            _write_csv(out / f"{name}.csv", [row_of(row, pairs, tags, zone) for row in rows], _COLUMNS[name])
            click.echo(f"wrote {out / f'{name}.csv'} ({counted(len(rows), 'row')})")
        return
    open_rows = [row for row in orders if not row["final"]]
    unknown = [row for row in open_rows if row["state"] in ("unknown", "sending")]
    if as_json:
        tail = {"orders": orders[-last:] if last else [], "fills": fills[-last:] if last else []}
        click.echo(json.dumps({**tail, "open": open_rows, "unknown": unknown, "notes": notes, "damage": damage}))
        return
    counts = f"{counted(len(orders), 'order')}, {counted(len(fills), 'fill')}, {len(open_rows):,} open"
    click.echo(f"{folder.journal}: {counts}")
    if waiting:
        commits = "newest commit was" if waiting == 1 else f"{waiting:,} newest commits were"
        also = "is" if waiting == 1 else "are"
        click.echo(f"its {commits} read from the log and {also} not in that file yet")
    resting = [row for row in open_rows if row not in unknown]
    for title, rows in (("unknown", unknown), ("open", resting), ("latest orders", orders[-last:] if last else [])):
        if rows:
            click.echo(f"{title}:")
        for row in rows:
            click.echo(f"  {_order_line(row)}")
    if fills and last:
        click.echo("latest fills:")
    for row in fills[-last:] if last else []:
        when = format_time(row["time"], project.config.zone)
        fee = f"fee {row['fee']} {row['fee_currency']}"
        amount, price = separated(str(row["amount"])), separated(str(row["price"]))
        click.echo(f"  {when} {row['strategy']}: {row['side']} {amount} {row['pair']} at {price}, {fee}")


def _order_line(row: dict[str, Any]) -> str:
    what = separated(str(row["amount"])) if row["amount"] != "0" else f"spend {separated(str(row['spend']))}"
    at = f" at {separated(str(row['price']))}" if row["price"] != "0" else ""
    why = f" ({row['reason']})" if row["reason"] else ""
    return f"{row['client_id']} {row['strategy']}: {row['side']} {what} {row['pair']}{at} {row['state']}{why}"


def _exact(row: dict[str, Any], pairs: Any) -> dict[str, Any]:
    """Convert the journal's integers to exact amounts."""
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


def _order_row(row: dict[str, Any], pairs: Any, tags: dict[int, tuple[str, str]], zone: tzinfo) -> dict[str, Any]:
    """Return an order in the format of a backtest's orders.csv."""
    price_places, lot_places = _places(pairs, row["pair"])

    def optional(name: str, places: int) -> str:
        return _fixed(int(row[name]), places) if int(row[name]) else ""

    return row | {
        "time": _iso(row["created"], zone),
        "time_ns": row["created"],
        "price": optional("price_ticks", price_places),
        "amount": optional("amount_lots", lot_places),
        "spend": optional("spend_units", UNIT_DECIMALS),
        "stop_price": optional("stop_ticks", price_places),
        "post_only": "true" if row["post_only"] else "false",
        "executed": _fixed(int(row["executed_lots"]), lot_places),
        "value": _fixed(int(row["executed_units"]), UNIT_DECIMALS),
        "queue_ms": f"{(row['sent'] - row['created']) / NS_PER_MS:.3f}" if row["sent"] else "",
        "updated": _iso(row["updated"], zone),
    }


def _fill_row(row: dict[str, Any], pairs: Any, tags: dict[int, tuple[str, str]], zone: tzinfo) -> dict[str, Any]:
    """Return a fill in the format of a backtest's fills.csv."""
    order_id, tag = tags.get(row["client_id"], ("", ""))
    price_places, lot_places = _places(pairs, row["pair"])
    return row | {
        "time": _iso(row["time"], zone),
        "time_ns": row["time"],
        "liquidity": "maker" if row["is_maker"] else "taker",
        "price": _fixed(int(row["price_ticks"]), price_places),
        "amount": _fixed(int(row["lots"]), lot_places),
        "value": _fixed(int(row["value_units"]), UNIT_DECIMALS),
        "fee": _fixed(int(row["fee_units"]), UNIT_DECIMALS),
        "order_id": order_id,
        "tag": tag,
    }


def _places(pairs: Any, name: str) -> tuple[int, int]:
    """Return how many decimals a pair's prices and amounts have. If neither the journal nor the exchange tells, return
    0 for both, so that values are shown in ticks and lots.
    """
    pair = pairs.get(name)
    return (0, 0) if pair is None else (pair.rules.price_decimals, pair.rules.amount_decimals)


def _fixed(value: int, places: int) -> str:
    whole, part = divmod(abs(value), 10**places)
    return f"{'-' if value < 0 else ''}{whole}" + (f".{part:0{places}d}" if places else "")


def _iso(time: int, zone: tzinfo) -> str:
    return format_time(time, zone) if time else ""


def _write_csv(path: Path, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", restval="", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: inert(value) if name in _TEXTS else value for name, value in row.items()})
