"""``botkit optimize``: search a strategy's parameters."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from botkit.cli.languages import speaks
from botkit.cli.said import quieten_log
from botkit.cli.screen import screen
from botkit.model.figures import separated

if TYPE_CHECKING:
    from botkit.research.search.asked import SearchSettings
    from botkit.research.search.result import Progress, SearchResult
    from botkit.research.search.worker import BenchRecipe

_SHOWN = 10


def search_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for the search space and the search method."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.option(
        "--param",
        "params",
        multiple=True,
        metavar="STRATEGY.NAME=RANGE",
        help="A parameter and its range: sma.fast=5:50:5, sma.share=0.1:1, sma.share=0.01:1:log, sma.resolution=1m,5m.",
    ),
    click.option(
        "--where", metavar="CONDITION", help="Try only points that satisfy this condition: 'sma.fast < sma.slow'."
    ),
    click.option(
        "--objective",
        default="sharpe",
        show_default=True,
        metavar="NAME | MODULE:FUNCTION",
        help="What to maximise: a figure of the summary, or a function of it. Drawdown and volatility are minimised.",
    ),
    click.option(
        "--sampler",
        type=click.Choice(["grid", "random", "tpe"]),
        default="grid",
        show_default=True,
        help="Try every combination (grid), random ones, or learn from earlier trials (tpe, needs botkit[optimize]).",
    ),
    click.option("--trials", type=int, help="Maximum number of trials.  [default: the whole grid, or 100]"),
    click.option("--min-trades", type=int, default=30, show_default=True, help="Trials with fewer trades rank last."),
    click.option("--jobs", type=click.IntRange(min=1), help="Number of worker processes.  [default: one per core]"),
    click.option("--prune", is_flag=True, help="Stop the worse half of the trials after 25 % and 50 % of the span."),
    click.option("--cluster", metavar="ADDRESS", help="Run the trials on a Dask cluster (needs botkit[cluster])."),
    click.option(
        "--cluster-certs", type=click.Path(path_type=Path), help="Folder with ca.pem, cert.pem and key.pem, for tls://."
    ),
    click.option("--insecure", "is_insecure", is_flag=True, help="Allow plain TCP to a cluster on another machine."),
    click.option(
        "--data", type=click.Path(path_type=Path), help="Recorded data to use instead of the configuration's."
    ),
    click.option("--from", "start", help="Start date or time in the config's time zone, such as 2025-01-31."),
    click.option("--to", "end", help="End date or time; a date includes the whole day."),
    click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value, such as sma.share=0.5."
    ),
    click.option("--seed", type=click.IntRange(min=0), help="Seed for the sampler and every backtest."),
)


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@search_options
@click.option("--continue", "is_continued", is_flag=True, help="Resume the newest search, or the one in --out.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the search.  [default: out/NAME/searches/N]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@speaks
def optimize(config: Path, is_continued: bool, out: Path | None, as_json: bool, **options: Any) -> int:
    """Search the parameters of the bot in CONFIG on recorded data.

    Every trial is a complete backtest. The same search runs the same trials on any number of cores. Ctrl-C keeps the
    completed trials, and --continue resumes from them. The best configuration is written to best.yaml.

    The best of many trials looks better than it is, so the last lines show what luck alone would achieve.
    """
    from botkit.research.search.optimize import search

    quieten_log(["error"])
    with _progress(str(options["objective"]), quiet=as_json) as progress:
        result = search(
            recipe_of(config, options),
            settings_of(options, out=out, is_continued=is_continued),
            progress,
            lambda sentence: click.echo(f"warning: {sentence}", err=True),
        )
    if as_json:
        click.echo(json.dumps(result.plain(), ensure_ascii=False, allow_nan=False))
    else:
        _print(screen(), result)
    if result.was_interrupted:
        return 130
    return 0 if result.best is not None else 1


def recipe_of(config: Path, options: Mapping[str, Any]) -> BenchRecipe:
    """Return the recipe from which a worker builds its bench, based on the options in `search_options`."""
    from botkit.research.search.worker import BenchRecipe

    data: Path | None = options["data"]
    return BenchRecipe(
        config=str(config.absolute()),
        folder=str(Path.cwd()),
        overrides=tuple(options["overrides"]),
        data=None if data is None else str(data.absolute()),
        start=options["start"],
        end=options["end"],
        seed=options["seed"],
    )


def settings_of(options: Mapping[str, Any], *, out: Path | None, is_continued: bool = False) -> SearchSettings:
    """Return the search space and the search settings, based on the options in `search_options`."""
    from botkit.research.search.asked import SearchSettings

    names = ("params", "where", "objective", "sampler", "trials", "min_trades", "jobs", "prune")
    more = ("cluster", "cluster_certs", "is_insecure")
    return SearchSettings(**{name: options[name] for name in (*names, *more)}, out=out, is_continued=is_continued)


@contextmanager
def _progress(objective: str, *, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """Show a progress bar with the best trial so far on standard error if it is a terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda progress: None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(progress: Progress) -> None:
            best = progress.best
            said = "" if best is None else f"best {objective} {_figure(best.value)} with {_named(best.params)}"
            bar.update(task, completed=progress.ended, total=progress.trials, description=said)

        yield show


def _print(console: Console, result: SearchResult) -> None:
    from botkit.report.language import say, told
    from botkit.research.search.page import luck_sentence

    ended = len(result.trials)
    if result.was_interrupted:
        console.print(say("Interrupted after {} trials; --continue resumes from them.", f"{ended:,}"))
    if result.is_synthetic:
        console.print(say("Synthetic market: this shows how a search works, not what would have been earned."))
    if result.best is not None:
        console.print(_table(result))
    for note in result.notes:
        console.print(say("note: {}", told(note)), highlight=False)
    said = luck_sentence(result.luck)
    if said:
        console.print(f"\n{said}", highlight=False)
    if result.best_config is not None:
        console.print("\n" + say("Best configuration: {}", result.best_config), highlight=False)
    console.print(say("All {} trials: {}", f"{ended:,}", result.folder / "search.html"), highlight=False)


def _table(result: SearchResult) -> Table:
    from botkit.report.language import say
    from botkit.research.search.page import figure, name_of

    names = list(result.ranking[0].params)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(say("trial"), justify="right")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    figures = [name for name in ("return", "max_drawdown", "sharpe", "round_trips") if name != result.objective]
    table.add_column(name_of(result.objective), justify="right", style="bold")
    for name in figures:
        table.add_column(say("Trades").lower() if name == "round_trips" else name_of(name), justify="right")
    for trial in result.ranking[:_SHOWN]:
        cells = [_figure(trial.value) if trial.value is not None else say(trial.state.replace("_", " "))]
        cells += [figure(name, trial.summary.get(name)) for name in figures]
        table.add_row(f"{trial.number}", *(str(trial.params[name]) for name in names), *cells)
    return table


def _figure(value: float | None) -> str:
    return "–" if value is None else separated(f"{value:.4g}")


def _named(params: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in params.items())
