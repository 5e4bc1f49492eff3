"""``botkit status`` and ``botkit why``: a bot's state, and why it did not trade."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from botkit.cli.control import state_folder_of
from botkit.errors import ConfigError
from botkit.model.clock import NS_PER_S

_SINCE = re.compile(r"(\d+)([smhd])\Z", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MODE = click.option(
    "--mode", type=click.Choice(["emulator", "paper", "live"]), help="Mode to use if the bot has run in more than one."
)


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@_MODE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(config: Path, mode: str | None, as_json: bool) -> int:
    """Show the orders, money, streams and limits of the bot in CONFIG.

    The exit code is 3 if the bot is not running, and 1 if it is running but one of its strategies has stopped.
    """
    from botkit.assembly.operations import status_lines, status_of, stopped_of

    folder = state_folder_of(config, mode)
    found = status_of(folder)
    for line in [json.dumps(found)] if as_json else status_lines(folder, found):
        click.echo(line)
    return 3 if not found["running"] else 1 if stopped_of(found) else 0


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@_MODE
@click.option(
    "--since", default="1d", show_default=True, metavar="DURATION", help="How far to look back, such as 30m, 1h or 7d."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def why(config: Path, mode: str | None, since: str, as_json: bool) -> None:
    """Show why the bot in CONFIG did not trade: each strategy's skips and refusals, most frequent first."""
    from botkit.assembly.operations import reasons_of, why_lines

    match = _SINCE.match(since)
    if match is None:
        raise ConfigError(f"--since {since}: write a duration such as 30m, 1h or 7d")
    folder, span = state_folder_of(config, mode), int(match[1]) * _SECONDS[match[2]] * NS_PER_S
    if as_json:
        found = folder.read_status() or {}
        rows, notes = reasons_of(folder, found, span)
        click.echo(json.dumps({"stopped": found.get("stopped", {}), "reasons": rows, "notes": notes}))
        return
    for line in why_lines(folder, span, f"the last {since}"):
        click.echo(line)
