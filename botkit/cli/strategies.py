"""``botkit strategies``: list the loaded strategies and their parameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from botkit.cli.screen import screen


@click.command()
@click.argument("name", required=False)
@click.option(
    "--config", type=click.Path(path_type=Path), help="Load this configuration's plugins.  [default: ./strategies]"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def strategies(name: str | None, config: Path | None, as_json: bool) -> None:
    """List the strategies provided by plugins, or describe one, with its parameters and their bounds."""
    from botkit.project.strategies import described_strategies, loaded_plugins

    rows = described_strategies(loaded_plugins(config), name)
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif name is not None:
        _show(rows[0])
    elif rows:
        _list(rows)
    else:
        click.echo("no plugin offers a strategy; write one with `botkit new strategy NAME`, or give --config")


def _list(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("strategy", "what it does", "parameters", "file"):
        table.add_column(title, overflow="fold")
    for row in rows:
        names = ", ".join(parameter["name"] for parameter in row["parameters"])
        table.add_row(Text(row["name"], "bold"), Text(row["summary"]), Text(names), Text(row["file"], "dim"))
    screen().print(table)


def _show(row: dict[str, Any]) -> None:
    console = screen()
    console.print(Text.assemble((row["name"], "bold"), "  ", (row["file"], "dim")))
    if row["doc"]:
        console.print()
        console.print(Text(row["doc"]))
    console.print()
    if not row["parameters"]:
        console.print(Text("It has no parameters.", "dim"))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("parameter", "kind", "default", "bounds", "live", "what it is"):
        table.add_column(title, overflow="fold")
    for parameter in row["parameters"]:
        table.add_row(
            Text(parameter["name"]),
            Text(parameter["kind"]),
            Text("required" if parameter["required"] else parameter["default"]),
            Text(parameter["bounds"]),
            "yes" if parameter["live"] else "",
            Text(parameter["doc"]),
        )
    console.print(table)
