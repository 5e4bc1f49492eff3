"""``botkit status`` and ``botkit why``: a bot's state, and why it did not trade."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from botkit.cli.control import state_folder_of
from botkit.cli.zones import DEFAULT_ZONE
from botkit.errors import ConfigError
from botkit.model.clock import format_time
from botkit.model.reasons import grouped

_Lines = Callable[[dict[str, Any]], list[str]]
_SINCE = re.compile(r"(\d+)([smhd])\Z", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: with more commits than this not yet copied into SQLite, the journal is reported as behind: they are normally copied
#: several times a second
_WAITING_TOLD = 100
#: how many reasons to show for each strategy, most frequent first
_REASONS_SHOWN = 20
_MODE = click.option(
    "--mode", type=click.Choice(["emulator", "paper", "live"]), help="Mode to use if the bot has run in several."
)


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@_MODE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(config: Path, mode: str | None, as_json: bool) -> int:
    """Show the orders, money, streams and limits of the bot in CONFIG.

    The exit code is 3 if it is not running, and 1 if it is running but one of its strategies was stopped.
    """
    from botkit.assembly.operations import stopped_lines, summary_lines

    folder = state_folder_of(config, mode)
    holder = folder.holder()
    found = folder.read_status() or {}
    halt = folder.halt()
    found.update(running=holder is not None, pid=holder, folder=str(folder.path), mode=folder.path.parent.name)
    found["halt"] = None if halt is None else {"kind": halt.kind, "reason": halt.reason}
    stopped, lines = _figures(found, stopped_lines, summary_lines)
    code = 3 if holder is None else 1 if stopped else 0
    if as_json:
        click.echo(json.dumps(found))
        return code
    for line in stopped:
        click.echo(line)
    click.echo(f"{_standing(found)}; mode {found['mode']}")
    if halt is not None:
        click.echo(f"HALTED ({halt.kind}): {halt.reason}; `botkit resume` lifts it")
    for line in lines:
        click.echo(line)
    return code


def _figures(found: dict[str, Any], stopped_lines: _Lines, summary_lines: _Lines) -> tuple[list[str], list[str]]:
    """Return (stopped strategies, everything else) from the status file, which another botkit version may have
    written.
    """
    try:
        stopped = stopped_lines(found)
        if "strategies" not in found:
            return stopped, []
        lines = summary_lines(found)[len(stopped) :]
        lines += _money_lines(found)
        for name, values in found.get("parameters", {}).items():
            if values:
                lines.append(f"  {name} has {', '.join(f'{key}={value}' for key, value in values.items())}")
        for row in found.get("limits", ()):
            lines.append(f"  limit {row['pool']} ({row['scope']}): {row['held']} of {row['limit']} in {row['per_s']} s")
        waiting = found.get("journal_waiting", 0)
        if waiting > _WAITING_TOLD:
            lines.append(f"  journal: {waiting} commits are in its log and not yet in journal.sqlite")
        streams = found.get("streams", {})
        bad = {name: state for name, state in streams.items() if state in ("lost", "stale")}
        if streams:
            lines.append(f"  streams: {len(streams) - len(bad)} connected, {len(bad)} not")
        lines += [f"  stream {name}: {state}" for name, state in bad.items()]
    except (AttributeError, LookupError, TypeError, ValueError):
        return [], ["  its figures cannot be read, because another version of botkit wrote them"]
    return stopped, lines


def _money_lines(found: dict[str, Any]) -> list[str]:
    """Return lines with equity, the day's profit, profit since the first start, and balances."""
    currency, lines = found["currency"].upper(), []
    equity, day = found.get("equity"), found.get("day_pnl")
    figures = [f"equity {equity:,.2f} {currency}"] if equity is not None else ["equity unknown: a price is missing"]
    if day is not None:
        figures.append(f"today {day:+,.2f} {currency}")
    lines.append("  " + ", ".join(figures))
    for row in found.get("profits", ()):
        if row["realised"] or row["unrealised"]:
            lines.append(
                f"  {row['strategy']} {row['pair']} since its first start: realised {row['realised']:+,.2f}, "
                f"unrealised {row['unrealised']:+,.2f} {row['quote']}"
            )
    for name, held in found.get("balances", {}).items():
        nobody = f", of these no strategy's {held['unassigned']}" if float(held["unassigned"]) else ""
        lines.append(f"  balance {held['total']} {name}{nobody}")
    return lines


def _standing(status: dict[str, Any]) -> str:
    """Say since when the bot has been running or, if it is not running, when the figures shown were written, in the
    bot's time zone.
    """
    if status["running"]:
        since = status.get("since")
        begun = f", since {_local(status, since)}" if isinstance(since, int) and since else ""
        return f"running, process {status['pid']}{begun}{_uptime(status.get('uptime_s'))}"
    at = _local(status, status["time"]) if isinstance(status.get("time"), int) else ""
    if status.get("ended"):
        return f"not running, ended ({status['ended']})" + (f" at {at}" if at else "")
    if at:
        return f"not running, did not stop cleanly; last status from {at}"
    return "not running"


def _uptime(seconds: object) -> str:
    if not isinstance(seconds, (int, float)):
        return ""
    minutes = int(seconds) // 60
    days, hours = minutes // 1440, minutes // 60 % 24
    return (
        f" ({days} d {hours} h)" if days else f" ({hours} h {minutes % 60} min)" if minutes else f" ({seconds:.0f} s)"
    )


def _local(status: dict[str, Any], time: int) -> str:
    """Return a time in the zone of the bot's configuration."""
    try:
        return format_time(time, ZoneInfo(str(status.get("timezone", DEFAULT_ZONE))))
    except (KeyError, ValueError, OverflowError, OSError):
        return "an unknown time"


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@_MODE
@click.option(
    "--since", default="1d", show_default=True, metavar="DURATION", help="How far to look back, such as 30m, 1h or 7d."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def why(config: Path, mode: str | None, since: str, as_json: bool) -> None:
    """Show why the bot in CONFIG did not trade: each strategy's skips and refusals, most frequent first."""
    from botkit.assembly.operations import Journal, stopped_lines

    match = _SINCE.match(since)
    if match is None:
        raise ConfigError(f"--since {since}: write a duration such as 30m, 1h or 7d")
    folder = state_folder_of(config, mode)
    found = folder.read_status() or {}
    status_time = found.get("time", 0)
    if not isinstance(status_time, int):
        status_time = 0
    stopped, _ = _figures(found, stopped_lines, lambda found: [])
    journal = Journal.open(folder.journal, read_only=True)
    try:
        # count back from the bot's own clock, which differs from the machine's on an emulator
        rows = journal.reasons_since(status_time - int(match[1]) * _SECONDS[match[2]] * 10**9)
        notes = journal.notes(status_time - int(match[1]) * _SECONDS[match[2]] * 10**9)
    finally:
        journal.close()
    if as_json:
        click.echo(json.dumps({"stopped": found.get("stopped", {}), "reasons": rows, "notes": notes}))
        return
    for line in stopped:
        click.echo(line)
    halt = folder.halt()
    if halt is not None:
        click.echo(f"HALTED ({halt.kind}): {halt.reason}; `botkit resume` lifts it")
    if not rows and not notes and not stopped and halt is None:
        click.echo(f"nothing was skipped or refused in the last {since}")
    for strategy in dict.fromkeys(row[0] for row in rows):
        click.echo(f"{strategy}:")
        for kind in ("skipped", "refused"):
            counts: dict[str, int] = {}
            for name, what, reason, count in rows:
                if (name, what) == (strategy, kind):
                    counts[reason] = counts.get(reason, 0) + count
            for number, (reason, count) in enumerate(grouped(counts).items()):
                if number == _REASONS_SHOWN:
                    click.echo(f"  ... and {len(grouped(counts)) - number} more reasons; --json has them all")
                    break
                click.echo(f"  {count:>8,} {kind}: {reason}")
    for _, kind, text in notes:
        click.echo(f"{kind}: {text}")
