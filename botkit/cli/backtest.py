"""``botkit backtest``: trade recorded data and write a report."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from botkit.cli.compare import show_comparison
from botkit.cli.languages import speaks
from botkit.cli.said import Said, quieten_log
from botkit.cli.screen import prints_aside, screen
from botkit.errors import ConfigError

#: same as the name in `botkit.backtesting.benchmark`, which is not imported because `--help` would then load numpy
BUY_AND_HOLD = "buy-and-hold"

if TYPE_CHECKING:
    from botkit.model.results import BacktestResult
    from botkit.project.project import Project


@click.command()
@click.argument("configs", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="CONFIG...")
@click.option("--data", type=click.Path(path_type=Path), help="Recorded data to use instead of the configuration's.")
@click.option(
    "--from", "start", help="Start date or time in the config's time zone, such as 2025-01-31 or 2025-01-31T09:00."
)
@click.option("--to", "end", help="End date or time; a date includes the whole day.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a configuration value, such as sma.fast=12.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the report and files.  [default: out/NAME/N]")
@click.option(
    "--seed", type=click.IntRange(min=0), help="Seed for random latencies and for strategies' random numbers."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option(
    "--readings/--no-readings",
    default=True,
    help="Also run with an optimistic and a pessimistic queue model.  [default: readings]",
)
@click.option(
    "--playback",
    is_flag=True,
    help="Also write playback.html, a page for scrubbing through the run and its order books.",
)
@click.option("--playback-from", help="Start of the part to play back; a shorter part has finer frames.")
@click.option("--playback-to", help="End of the part to play back.")
@click.option("--benchmark", type=click.Choice([BUY_AND_HOLD]), help="Draw this benchmark next to the equity curve.")
@speaks
def backtest(
    configs: tuple[Path, ...],
    data: Path | None,
    start: str | None,
    end: str | None,
    overrides: tuple[str, ...],
    out: Path | None,
    seed: int | None,
    as_json: bool,
    readings: bool,
    playback: bool,
    playback_from: str | None,
    playback_to: str | None,
    benchmark: str | None,
) -> None:
    """Backtest the bot in CONFIG on recorded data and write a report. Several backtests are compared at the end.

    Runs are numbered and kept: out/NAME/1, out/NAME/2 and so on. out/NAME/latest is the newest run, and `botkit runs`
    lists them all. A folder given with --out is replaced.

    The strategies, the router with the exchange's rate limits, and the simulated exchange's rules, fees and fills are
    the same as in `botkit run`.
    """
    from botkit.assembly.backtest import backtest_into
    from botkit.assembly.playback import PLAYBACK, PlayedPart
    from botkit.config.load import overrides_for
    from botkit.report.language import say
    from botkit.report.terminal import print_summary
    from botkit.research.search.noting import note_backtest

    if out is not None and len(configs) > 1:
        raise ConfigError("--out is the folder of a single run, but several configurations are given; omit it")
    played = PlayedPart(playback_from, playback_to) if playback or playback_from or playback_to else None
    quieten_log(["warning"])
    console, said = screen(), Said()

    def note(project: Project, result: BacktestResult) -> None:
        for sentence in note_backtest(project, result):
            said.tell("warning", sentence)

    given = [overrides] if len(configs) == 1 else overrides_for(configs, overrides)
    folders, summaries = [], []
    for config, own in zip(configs, given, strict=True):
        with prints_aside(as_json), _progress(quiet=as_json) as progress:
            result, folder, summary = backtest_into(
                config,
                out=out,
                data=data,
                start=start,
                end=end,
                overrides=own,
                seed=seed,
                readings=readings,
                benchmark=benchmark,
                command=repeating_command(config, own, data, start, end, out, seed, readings, benchmark),
                playback=played,
                progress=progress,
                tell=said.tell,
                finished=note,
            )
        said.end()
        folders.append(str(folder))
        summaries.append(summary)
        if not as_json:
            print_summary(console, result)
            console.print("\n" + say("Report: {}", _link(folder / "report.html")))
            if played is not None:
                console.print(say("Playback: {}", _link(folder / PLAYBACK)))
    if as_json:
        click.echo(summaries[0] if len(summaries) == 1 else f"[{', '.join(summaries)}]")
    elif len(configs) > 1:
        show_comparison(console, tuple(folders), Path("out"), Path("out") / "comparison.html")


def repeating_command(
    config: Path,
    overrides: Sequence[str],
    data: Path | None,
    start: str | None,
    end: str | None,
    out: Path | None,
    seed: int | None,
    readings: bool,
    benchmark: str | None,
) -> str:
    """Return the command that repeats one of the runs, without secrets."""
    from botkit.config.decode import is_secret

    def shown(override: str) -> str:
        key = override.partition("=")[0]
        return f"{key}=..." if is_secret(key.split(".")) else override

    given = {"--data": data, "--from": start, "--to": end, "--out": out, "--seed": seed, "--benchmark": benchmark}
    words = ["botkit", "backtest", str(config)]
    for option, value in given.items():
        words += [] if value is None else [option, str(value)]
    for override in overrides:
        words += ["--set", shown(override)]
    return shlex.join(words if readings else [*words, "--no-readings"])


def _link(path: Path) -> str:
    return f"[link={path.as_uri()}]{path}[/link]"


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str, float], None] | None]:
    """Show a progress bar on standard error if it is a terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=console, transient=True
    ) as bar:
        tasks: dict[str, int] = {}

        def show(reading: str, share: float) -> None:
            if reading not in tasks:
                tasks[reading] = bar.add_task(f"backtest ({reading})", total=1.0)
            bar.update(tasks[reading], completed=share)  # type: ignore[arg-type]

        yield show
