"""``botkit report``: summarize a bot's sessions and backtests, as text and as a page."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import click
import msgspec

from botkit.cli.languages import speaks
from botkit.cli.screen import prints_aside
from botkit.cli.zones import DEFAULT_ZONE
from botkit.errors import BotkitError, ConfigError
from botkit.model.clock import format_time
from botkit.model.counts import counted
from botkit.model.figures import fixed, money_figure, separated
from botkit.model.orders import UNSENT_STATES
from botkit.model.reasons import grouped

#: writes a session's page, and returns the entries to add to the JSON document
Paging: TypeAlias = Callable[[Path], dict[str, Any]]

#: number of reasons for refused orders to show
_REASONS = 5
_UNSENT = tuple(state.value for state in UNSENT_STATES)


@click.command()
@click.argument("what", metavar="CONFIG|RUN", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--mode", type=click.Choice(["emulator", "paper", "live"]), help="Mode to use if the bot has run in more than one."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("out"),
    show_default=True,
    help="Folder with backtests and session pages.",
)
@click.option("--config", type=click.Path(path_type=Path), help="Use this configuration instead of the session's own.")
@click.option("--page/--no-page", default=True, show_default=True, help="Write the session's page.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@speaks
def report(what: Path, mode: str | None, out: Path, config: Path | None, page: bool, as_json: bool) -> None:
    """Summarize a bot's latest session and latest backtest, or a single run, whether running or finished.

    RUN is the folder of a session (STATE/NAME/MODE/ACCOUNT/runs/12) or of a backtest (out/NAME/3). For a session, a
    report like that of a backtest is written to OUT/NAME/MODE-12, together with a backtest's other files. The report
    shows the recorded session, replayed with its configuration.
    """
    with prints_aside(as_json):
        paging = partial(_page_of, out=out, config=config) if page else _no_page
        document, lines = _of_folder(what, paging) if what.is_dir() else _of_config(what, mode, out, paging)
    for line in [json.dumps(document)] if as_json else lines:
        click.echo(line)


def _page_of(run: Path, *, out: Path, config: Path | None) -> dict[str, Any]:
    """Write a session's page, and return the entries to add to the JSON document."""
    from botkit.assembly.session_result import write_session

    try:
        return {"page": str(write_session(run, out, config).resolve())}
    except BotkitError as error:
        return {"page": None, "no_page": str(error)}


def _no_page(run: Path) -> dict[str, Any]:
    return {}


def _of_folder(folder: Path, paging: Paging) -> tuple[dict[str, Any], list[str]]:
    from botkit.backtesting.kept_runs import read_run

    run = read_run(folder)
    if run is not None:
        return {"backtest": run.summary}, _backtest_lines(run)
    session = _session(folder, paging)
    return {"session": session}, _session_lines(session)


def _of_config(config: Path, mode: str | None, out: Path, paging: Paging) -> tuple[dict[str, Any], list[str]]:
    from botkit.assembly.operations import status_lines, status_of
    from botkit.backtesting.kept_runs import kept_runs
    from botkit.cli.control import state_folder_of
    from botkit.config.essentials import load_essentials

    document: dict[str, Any] = {}
    lines: list[str] = []
    name = load_essentials(config).loaded.config.name
    try:
        folder = state_folder_of(config, mode)
    except ConfigError as error:
        if "has never run" not in str(error):
            raise
    else:
        document["status"] = status = status_of(folder)
        lines += status_lines(folder, status)
        document["session"] = session = _session(folder.path, paging)
        lines += ["", *_session_lines(session)]
    backtests = kept_runs(out, name)
    if backtests:
        document["backtest"] = backtests[-1].summary
        lines += ["", *_backtest_lines(backtests[-1])]
    if not lines:
        raise ConfigError(f"{name} has neither run nor been backtested; try `botkit backtest {config}` or `botkit run`")
    return document, lines[1:] if not lines[0] else lines


def _session(place: Path, paging: Paging) -> dict[str, Any]:
    from botkit.assembly.audit import runs_of
    from botkit.assembly.session_report import session_report

    run = runs_of(place, None)[0]
    found = session_report(run)
    document: dict[str, Any] = msgspec.to_builtins(found)
    for row, pair in zip(document["traded"], found.traded, strict=True):
        row |= {"fees": pair.fees, "spread_earned": pair.spread_earned}
    return document | paging(run)


def _words(state: str) -> str:
    return state.replace("_", " ")


def _session_lines(found: dict[str, Any]) -> list[str]:
    zone = ZoneInfo(found["timezone"])
    speed = f" at {found['speed']:g}x" if found["speed"] != 1 else ""
    states = ", ".join(f"{count:,} {_words(state)}" for state, count in found["states"].items() if state not in _UNSENT)
    unsent = "".join(f", {found['states'][state]:,} {_words(state)}" for state in _UNSENT if state in found["states"])
    lines = [
        f"session {found['run']}, mode {found['mode']}{speed}",
        f"  {format_time(found['start'], zone)} to {format_time(found['end'], zone)}",
        f"  {counted(found['orders'], 'order')}{f' ({states})' if states else ''}, "
        f"{counted(found['fills'], 'fill')}{unsent}",
    ]
    for row in found["traded"]:
        lines.append(f"  {row['strategy']} {row['pair']}:")
        for word, side in (("bought", row["bought"]), ("sold", row["sold"])):
            if side["fills"]:
                amount = separated(f"{side['amount']:.8f}".rstrip("0").rstrip("."))
                price = fixed(side["value"] / side["amount"], row["decimals"])
                maker = f"{100 * side['makers'] / side['fills']:.0f} % maker"
                value = f"{money_figure(side['value'])} {row['quote']}"
                lines.append(f"    {word} {amount} {row['base']} for {value}, on average at {price}; {maker}")
        if row["spread_earned"] is not None:
            earned = fixed(row["spread_earned"], row["decimals"], signed=True)
            lines.append(
                f"    sold for {earned} {row['quote']} per {row['base']} more than bought, on average, before fees"
            )
        fees = ", ".join(f"{separated(amount)} {currency}" for currency, amount in row["fees"].items())
        lines.append(f"    fees {fees or 'none'}")
    reasons = list(grouped(found["reasons"]).items())
    lines += [f"  {count:,} refused: {why}" for why, count in reasons[:_REASONS]]
    if len(reasons) > _REASONS:
        lines.append(f"  ... and {len(reasons) - _REASONS} more reasons; --json has them all")
    if found["latencies_ms"]:
        middles = ", ".join(f"{name} {fixed(ms, 1)} ms" for name, ms in found["latencies_ms"].items())
        lines.append(f"  latency (median): {middles}")
    if found["latest"]:
        lines.append("  latest fills:")
        lines += [f"    {format_time(one['time'], zone)} {one['text']}" for one in found["latest"]]
    if found.get("page"):
        lines.append(f"  report: {found['page']}")
    elif "no_page" in found:
        lines.append(f"  no page: {found['no_page']}")
    return lines


def _backtest_lines(run: Any) -> list[str]:
    from botkit.report import wording

    found, zone = run.summary, ZoneInfo(DEFAULT_ZONE)
    kind = f"{found['mode']} session" if "mode" in found else "backtest"
    span = " to ".join(
        format_time(found[key], zone) for key in ("start_ns", "end_ns") if isinstance(found.get(key), int)
    )
    currency = found.get("currency", "")
    page = run.folder / "report.html"
    lines = [
        f"{kind} {run.folder}{' (synthetic data)' if found.get('synthetic') else ''}",
        f"  {span}",
        f"  return {wording.percent(found.get('return'), True)} ({wording.money(found.get('pnl'), True)} {currency}), "
        f"largest drawdown {wording.percent(found.get('max_drawdown'))}, Sharpe {wording.ratio(found.get('sharpe'))}",
        f"  {wording.count(found.get('orders'))} orders, {wording.count(found.get('fills'))} fills, round trips won "
        f"{wording.percent(found.get('win_rate'), decimals=1)}, fees {wording.money(found.get('fees'))} {currency}",
        *(f"  warning: {text}" for text in found.get("warnings", ())),
    ]
    return [*lines, *([f"  report: {page.resolve()}"] if page.exists() else [])]
