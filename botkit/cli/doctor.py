"""``botkit doctor``: check whether a backtest's result can be trusted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console

from botkit.cli.said import quieten_log
from botkit.cli.screen import screen

if TYPE_CHECKING:
    from botkit.research.doctor.findings import Diagnosis

_SIGNS = {
    "ok": "[green]ok[/green]      ",
    "warning": "[yellow]warning[/yellow] ",
    "failed": "[red]failed[/red]  ",
    "not tested": "[dim]–[/dim]       ",
}


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), help="Recorded data to use instead of the configuration's.")
@click.option("--from", "start", help="Start date or time in the config's time zone, such as 2025-01-31.")
@click.option("--to", "end", help="End date or time; a date includes the whole day.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value, such as sma.share=0.5.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed for all random numbers.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def doctor(
    config: Path,
    data: Path | None,
    start: str | None,
    end: str | None,
    overrides: tuple[str, ...],
    seed: int | None,
    as_json: bool,
) -> int:
    """Test the bot in CONFIG on recorded data, and report whether its result can be trusted.

    The tests cover look-ahead, costs, fills, the amount of data, lucky trades, the start date, parameters, chance, the
    number of configurations tried, and the last part of the data. The verdict is one of: broken, loses after costs,
    cannot tell, no better than chance, in-sample only, holds out of sample. The exit code is 0 if the verdict is "holds
    out of sample", and 1 for any other verdict.
    """
    from botkit.research.doctor.ladder import examine
    from botkit.research.search.worker import BenchRecipe

    quieten_log(["error"])
    recipe = BenchRecipe(
        config=str(config.absolute()),
        overrides=overrides,
        data=None if data is None else str(data.absolute()),
        start=start,
        end=end,
        seed=seed,
    )
    with _progress(quiet=as_json) as progress:
        found = examine(recipe, progress)
    plain = {**msgspec.to_builtins(found), "sentence": found.sentence}
    reports = _into_reports(Path("out") / found.name, plain)
    if as_json:
        click.echo(json.dumps(plain, ensure_ascii=False, allow_nan=False))
    else:
        _print(screen(), found)
        for report in reports:
            click.echo(f"Added to {report}")
    return 0 if found.verdict == "holds out of sample" else 1


def _into_reports(folder: Path, plain: dict[str, Any]) -> list[Path]:
    """Write the findings to the folder of a bot's runs, and to the reports of runs that made the same decisions. Return
    the changed reports. If the bot has no runs, no findings file is written.
    """
    from botkit.backtesting.kept_runs import kept_runs
    from botkit.report.doctor import FILE, placed, read_findings
    from botkit.research.search.folder import write_whole

    runs = kept_runs(folder.parent, folder.name)
    if not runs:
        return []
    write_whole(folder / FILE, json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    findings, reports = read_findings(folder), []
    for run in runs:
        report = run.folder / "report.html"
        if findings is None or run.summary["journal_sha256"] != findings.decisions_sha256 or not report.is_file():
            continue
        reports.append(write_whole(report, placed(report.read_text(encoding="utf-8"), findings)))
    return reports


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda rung: None
        return
    with console.status("") as status:
        yield lambda rung: status.update(f"testing: {rung}")


def _print(console: Console, found: Diagnosis) -> None:
    console.print(f"[bold]{found.name}[/bold]")
    for rung in found.rungs:
        console.print(f"{_SIGNS[rung.outcome]} {rung.name:<14} {rung.says}", highlight=False)
        if rung.advice and rung.outcome in ("failed", "warning", "not tested"):
            console.print(f"{'':9}{'':15}[dim]{rung.advice}[/dim]", highlight=False)
    console.print(f"\n[bold]{found.sentence}[/bold]", highlight=False)
