"""``botkit limits``: the exchange's rate limits, the source of every limit, and conflicts between sources."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.table import Table

from botkit.cli.screen import screen
from botkit.model.extension import Exchange
from botkit.model.limits import DocumentedLimit, EndpointLimit, LimitTable, WindowLimit


@click.command(name="limits")
@click.argument("config", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--exchange", "exchange_name", default="bitopro", show_default=True, help="Exchange, if no CONFIG is given."
)
@click.option(
    "--strict", is_flag=True, help="Show the limits under `limits: strict`, which satisfies every source at once."
)
@click.option(
    "--choose",
    "choices",
    metavar="ROW=CHOICE",
    multiple=True,
    help="Show the effect of a setting under `limits:`, such as create_batch=archive or public=1200.",
)
@click.option("--usage", "shows_usage", is_flag=True, help="Show the combined usage of all running bots.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def limits(
    config: Path | None,
    exchange_name: str,
    strict: bool,
    choices: tuple[str, ...],
    shows_usage: bool,
    as_json: bool,
) -> None:
    """Show the rate limits that botkit obeys, and the source of each.

    With CONFIG, show the limits for that bot. With --usage, show how full the shared windows are: those of all bots on
    this machine, or those in CONFIG's ledger.
    """
    if shows_usage:
        _show_usage(config, as_json)
        return
    if strict and choices:
        raise click.UsageError("--strict applies to every row; omit --choose, or use --choose ROW=strict")
    if config is not None and (strict or choices):
        raise click.UsageError("CONFIG sets the limits; omit --strict and --choose")
    options: dict[str, Any] = {}
    if strict:
        options["limits"] = "strict"
    elif choices:
        options["limits"] = _parse_choices(choices)
    table = _of_config(config) if config is not None else _of_exchange(exchange_name, options)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(limits_as_data(table)), indent=2).decode())
        return
    console = screen()
    console.print(limits_as_table(table))
    for line in legend(table):
        console.print(line, highlight=False)


def _show_usage(config: Path | None, as_json: bool) -> None:
    from botkit.assembly.operations import ledger_usage
    from botkit.config.load import load_config
    from botkit.config.secrets import resolve_ledger

    ledger = resolve_ledger(load_config(config), os.environ) if config is not None else None
    name, windows = ledger_usage(ledger)
    rows = [usage_row(msgspec.structs.asdict(window)) for window in windows]
    if as_json:
        data = {"ledger": name, "windows": rows}
        click.echo(msgspec.json.format(msgspec.json.encode(data), indent=2).decode())
        return
    screen().print(usage_as_table(name, rows))


def usage_row(window: dict[str, Any]) -> dict[str, Any]:
    """Return a row for a shared window, parsed from its key ``venue|scope=whose|counter|...``."""
    venue, scope, counter, _ = window["key"].split("|")
    return {
        "venue": venue,
        "counter": counter,
        "scope": scope.partition("=")[0],
        "limit": window["requests"],
        "per_s": window["per_s"],
        "held": window["held"],
        "leased": window["leased"],
        "in_force": window["in_force"],
        "bots": window["holders"],
        "percent": round(100 * window["held"] / window["requests"], 1),
    }


def usage_as_table(name: str, rows: list[dict[str, Any]]) -> Table:
    """Return a table with one row for each window in use."""
    shown = Table(title=f"Use of rate limits, according to {name}", header_style="bold")
    for column in ("exchange", "counter", "per"):
        shown.add_column(column)
    for column in ("limit", "held", "of these leased", "used", "bots"):
        shown.add_column(column, justify="right")
    for row in rows:
        if row["held"] or row["bots"]:
            lowered = f" (now {row['in_force']:,})" if row["in_force"] < row["limit"] else ""
            shown.add_row(
                row["venue"],
                row["counter"],
                row["scope"],
                f"{row['limit']:,} in {row['per_s']} s{lowered}",
                f"{row['held']:,}",
                f"{row['leased']:,}",
                f"{row['percent']} %",
                str(row["bots"]),
            )
    return shown


def _of_exchange(name: str, options: dict[str, Any]) -> LimitTable:
    # imported here, so that `botkit --help` does not load every plugin
    from botkit.project.plugins import assemble_plugins

    exchange: Exchange = assemble_plugins(installed_only=True).pick("exchanges", name, "--exchange").thing
    return exchange.facts(options).limits


def _of_config(path: Path) -> LimitTable:
    from botkit.config.load import load_config
    from botkit.project.plugins import assemble_plugins
    from botkit.project.project import exchange_facts

    loaded = load_config(path)
    return exchange_facts(loaded, assemble_plugins(loaded)).limits


def limits_as_data(table: LimitTable) -> dict[str, Any]:
    """Return the output for ``--json``: for each endpoint, the windows in force, every documented limit, and whether
    the documented limits disagree.
    """
    return {
        "endpoints": [
            {
                "endpoint": row.endpoint,
                "method": row.method,
                "path": row.path,
                "private": row.private,
                "pool": row.pool,
                "windows": [{"requests": w.requests, "per_s": w.per_s, "scope": w.scope.value} for w in row.windows],
                "documented": [
                    {"requests": d.requests, "per_s": d.per_s, "scope": d.scope, "source": d.source}
                    for d in row.documented
                ],
                "disputed": row.is_disputed,
                "note": row.note,
            }
            for row in table.endpoints.values()
        ],
        "sources": _sources(table),
    }


def limits_as_table(table: LimitTable) -> Table:
    """Return a table with one row per counter: the calls that it counts, the limit that botkit obeys, and all
    documented limits.
    """
    pools: dict[str, list[EndpointLimit]] = {}
    for row in table.endpoints.values():
        pools.setdefault(row.pool, []).append(row)
    shown = Table(title="Rate limits, one row per counter", header_style="bold", show_lines=True)
    shown.add_column("counter", no_wrap=True)
    shown.add_column("counts", overflow="fold")
    shown.add_column("kept")
    shown.add_column("documented (source)")
    for pool, rows in pools.items():
        shown.add_row(
            pool,
            _counted(rows),
            "\n".join(_kept(rows[0].windows)),
            _documented(rows[0]),
        )
    return shown


def legend(table: LimitTable) -> list[str]:
    """Return the list of sources, and notes on limits whose sources conflict, as rich markup."""
    lines = ["[bold]Sources[/bold]"]
    lines += [f"  {source}: {about}" for source, about in _sources(table).items()]
    notes: dict[str, str] = {}
    for row in table.endpoints.values():
        if row.is_disputed and row.pool not in notes:
            notes[row.pool] = row.note
    if notes:
        lines.append("[bold]Where the sources disagree[/bold] (choose with `limits:` in the configuration)")
        lines += [f"  {pool}: {note}" for pool, note in notes.items()]
    return lines


def _parse_choices(choices: tuple[str, ...]) -> Mapping[str, int | str]:
    parsed: dict[str, int | str] = {}
    for choice in choices:
        row, equals, value = choice.partition("=")
        if not equals or not row or not value:
            raise click.BadParameter(
                f"{choice!r} is not of the form ROW=CHOICE, such as create_batch=archive", param_hint="--choose"
            )
        parsed[row] = int(value) if value.isascii() and value.isdigit() else value
    return parsed


def _counted(rows: list[EndpointLimit]) -> str:
    """Return a description of the calls counted by a counter, or just the endpoint names if there are more than two."""
    if len(rows) > 2:
        return ", ".join(row.endpoint for row in rows)
    return "\n".join(f"{row.method} {row.path}" for row in rows)


def _kept(windows: tuple[WindowLimit, ...]) -> list[str]:
    """Return text such as ``1,200 in 60 s per ip and account``, combining scopes with the same limit on one line."""
    scopes: dict[tuple[int, int], list[str]] = {}
    for window in windows:
        scopes.setdefault((window.requests, window.per_s), []).append(window.scope.value)
    return [f"{requests:,} in {per_s} s per {' and '.join(names)}" for (requests, per_s), names in scopes.items()]


def _documented(row: EndpointLimit) -> str:
    """Return the documented limits. Equal limits share a line; if any disagree, all are shown in red."""
    sources: dict[tuple[int, int, str], list[str]] = {}
    for figure in row.documented:
        sources.setdefault((figure.requests, figure.per_s, _scope_text(figure)), []).append(figure.source)
    lines = [
        f"{requests:,} in {per_s} s{scope} ({', '.join(names)})" for (requests, per_s, scope), names in sources.items()
    ]
    text = "\n".join(lines)
    return f"[red]{text}[/red]" if row.is_disputed else text


def _scope_text(figure: DocumentedLimit) -> str:
    return "" if figure.scope == "unspecified" else f" per {figure.scope.replace('_', ' ')}"


def _sources(table: LimitTable) -> dict[str, str]:
    return {figure.source: figure.about for row in table.endpoints.values() for figure in row.documented}
