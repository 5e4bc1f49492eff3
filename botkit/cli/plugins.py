"""``botkit plugins``: list the loaded plugins and their origins, and every hook with its documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from botkit.cli.screen import screen


@click.command(name="plugins")
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--hooks", is_flag=True, help="Print every hook with its documentation.")
def plugins(config: Path | None, as_json: bool, hooks: bool) -> None:
    """List the loaded plugins: all installed ones, and those named in CONFIG.

    Without CONFIG, plugins in ./strategies are listed. BOTKIT_LOAD_PLUGINS, a comma-separated list of names, restricts
    which installed plugins are loaded; an empty list loads none.
    """
    from botkit.config.load import load_config
    from botkit.project.plugins import assemble_plugins

    loaded = assemble_plugins(load_config(config) if config is not None else None)
    rows: list[dict[str, Any]] = loaded.describe_hooks() if hooks else loaded.describe()
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif hooks:
        print_hooks(rows)
    else:
        print_plugins(rows)


def print_plugins(rows: list[dict[str, Any]]) -> None:
    """Print a table of plugins."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("plugin", "from", "offers", "file"):
        table.add_column(title, overflow="fold")
    for row in rows:
        origin = f"{row['distribution']} {row['version']}" if row["distribution"] else row["origin"]
        offers = [f"{kind.replace('_', ' ')}: {', '.join(names)}" for kind, names in row["offers"].items()]
        registering = {f"botkit_register_{kind}" for kind in row["offers"]}
        offers += [f"hook: {hook}" for hook in row["hooks"] if hook not in registering]
        table.add_row(row["name"], origin, "blocked" if row["blocked"] else "\n".join(offers) or "nothing", row["file"])
    # no markup, because a file name may contain brackets
    screen().print(table, markup=False, highlight=False)


def print_hooks(rows: list[dict[str, Any]]) -> None:
    """Print the signature and docstring of each hook."""
    for row in rows:
        click.secho(row["signature"], bold=True)
        for line in row["text"].splitlines():
            click.echo(f"    {line}" if line else "")
        click.echo()
