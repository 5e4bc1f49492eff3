"""``botkit config check|show|schema``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

_FILE = click.argument("file", type=click.Path(path_type=Path))
_SET = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a configuration value, such as sma.fast=12.",
)


@click.group(name="config")
def config() -> None:
    """Check, show and describe configurations."""


@config.command()
@_FILE
@_SET
@click.option(
    "--mode",
    type=click.Choice(["backtest", "emulator", "paper", "live"]),
    help="Also check what a run in this mode needs: data, keys, limits, and the strategies' on_start.",
)
def check(file: Path, overrides: tuple[str, ...], mode: Any) -> None:
    """Check a configuration's text, plugins, strategies and parameters. Sends nothing.

    With --mode, also check everything that a run in this mode would refuse before it connects.
    """
    from botkit.assembly.readiness import check_run, check_settings
    from botkit.project.project import Project

    project = Project.load(file, overrides=overrides)
    check_settings(project)
    for warning in check_run(project, mode) if mode is not None else ():
        click.echo(f"warning: {warning}", err=True)
    names = ", ".join(strategy.label for strategy in project.config.strategies)
    click.echo(f"{file}: OK; {project.config.name} on {project.config.exchange.name} with {names}")
    if mode is None:
        click.echo("not checked: what a run needs, such as its data or keys; see --mode")


@config.command()
@_FILE
@_SET
@click.option("--json", "as_json", is_flag=True, help="Print rows of key, value and origin as JSON.")
def show(file: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Print the resolved configuration and the origin of each value. Secrets are hidden."""
    from botkit.config.load import load_config
    from botkit.config.show import origin_rows, resolved_yaml

    loaded = load_config(file, overrides=overrides)
    if as_json:
        click.echo(json.dumps(origin_rows(loaded), indent=2, ensure_ascii=False))
    else:
        click.echo(resolved_yaml(loaded, with_origins=True), nl=False)


@config.command()
def schema() -> None:
    """Print the JSON Schema for configurations, for use in editors.

    Save it next to your configurations, and start each configuration with `# yaml-language-server:
    $schema=botkit.schema.json`.
    """
    from botkit.config.json_schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
