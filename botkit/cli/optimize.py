"""``botkit optimize``: search a strategy's parameters."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from botkit.cli.said import quieten_log
from botkit.cli.screen import screen

if TYPE_CHECKING:
    from botkit.research.search.optimize import Progress, SearchResult

_SHOWN = 10


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="STRATEGY.NAME=RANGE",
    help="What to search: sma.fast=5:50:5, sma.share=0.1:1, sma.share=0.01:1:log, sma.resolution=1m,5m. Repeatable.",
)
@click.option("--where", metavar="CONDITION", help="Leave out the rest, such as 'sma.fast < sma.slow'.")
@click.option(
    "--objective",
    default="sharpe",
    show_default=True,
    metavar="NAME | MODULE:FUNCTION",
    help="What to maximise: a figure of the summary, or a function of it. A drawdown or a volatility is minimised.",
)
@click.option(
    "--sampler",
    type=click.Choice(["grid", "random", "tpe"]),
    default="grid",
    show_default=True,
    help="Try every combination, draw them, or learn from earlier ones (tpe, needs botkit[optimize]).",
)
@click.option("--trials", type=int, help="The most combinations to try.  [default: the whole grid, or 100]")
@click.option("--min-trades", type=int, default=30, show_default=True, help="A trial with fewer trades ranks last.")
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes.  [default: one a core]")
@click.option("--prune", is_flag=True, help="Stop the worse half of the trials after 25 % and 50 % of the span.")
@click.option("--cluster", metavar="ADDRESS", help="Run the trials on a Dask scheduler's workers (botkit[cluster]).")
@click.option(
    "--cluster-certs", type=click.Path(path_type=Path), help="Folder with ca.pem, cert.pem and key.pem, for tls://."
)
@click.option("--insecure", "is_insecure", is_flag=True, help="Allow plain TCP to a cluster on another machine.")
@click.option(
    "--continue", "is_continued", is_flag=True, help="Go on with the newest search, or with the one in --out."
)
@click.option("--data", type=click.Path(path_type=Path), help="Recorded data to use instead of the configuration's.")
@click.option("--from", "start", help="Start date or time in the config's time zone, such as 2025-01-31.")
@click.option("--to", "end", help="End; a date includes the whole day.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value, such as sma.fast=12.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the sampler and of every backtest.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the search.  [default: out/NAME/searches/N]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def optimize(
    config: Path,
    params: tuple[str, ...],
    where: str | None,
    objective: str,
    sampler: str,
    trials: int | None,
    min_trades: int,
    jobs: int | None,
    prune: bool,
    cluster: str | None,
    cluster_certs: Path | None,
    is_insecure: bool,
    is_continued: bool,
    data: Path | None,
    start: str | None,
    end: str | None,
    overrides: tuple[str, ...],
    seed: int | None,
    out: Path | None,
    as_json: bool,
) -> int:
    """Search the parameters of the bot in CONFIG on recorded data.

    Every trial is a whole backtest. The same search gives the same trials on any number of cores. Ctrl-C keeps what is
    done, and --continue goes on from there. The best configuration is written to best.yaml.

    The best of many tries looks better than it is: the last lines say what luck alone would reach.
    """
    from botkit.research.search.optimize import SearchSettings, search
    from botkit.research.search.worker import BenchRecipe

    quieten_log(["error"])
    recipe = BenchRecipe(
        config=str(config.absolute()),
        folder=str(Path.cwd()),
        overrides=overrides,
        data=None if data is None else str(data.absolute()),
        start=start,
        end=end,
        seed=seed,
    )
    settings = SearchSettings(
        params=params,
        where=where,
        objective=objective,
        sampler=sampler,
        trials=trials,
        min_trades=min_trades,
        jobs=jobs,
        prune=prune,
        is_continued=is_continued,
        out=out,
        cluster=cluster,
        cluster_certs=cluster_certs,
        is_insecure=is_insecure,
    )
    with _progress(objective, quiet=as_json) as progress:
        result = search(recipe, settings, progress, lambda sentence: click.echo(f"warning: {sentence}", err=True))
    if as_json:
        click.echo(json.dumps(result.plain(), ensure_ascii=False, allow_nan=False))
    else:
        _print(screen(), result)
    if result.was_interrupted:
        return 130
    return 0 if result.best is not None else 1


@contextmanager
def _progress(objective: str, *, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """A progress bar with the best trial so far on standard error, if it is a terminal."""
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
    ended = len(result.trials)
    if result.was_interrupted:
        console.print(f"Interrupted after {ended:,} trials; --continue goes on from there.")
    if result.is_synthetic:
        console.print("Invented market: it shows how a search works, not what would have been earned.")
    if result.best is not None:
        console.print(_table(result))
    for note in result.notes:
        console.print(f"note: {note}", highlight=False)
    luck = result.luck
    if luck is not None and luck.sharpe_by_luck is not None:
        console.print(
            f"\n{luck.looks:,} different configurations were tried on this market so far. If none has any skill, the "
            f"best of so many still reaches a Sharpe ratio of {luck.sharpe_by_luck:.2f} over these {luck.days} days.",
            highlight=False,
        )
    if result.best_config is not None:
        console.print(f"\nBest configuration: {result.best_config}", highlight=False)
    console.print(f"All {ended:,} trials: {result.folder / 'trials.jsonl'}", highlight=False)


def _table(result: SearchResult) -> Table:
    names = list(result.ranking[0].params)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("trial", justify="right")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    figures = [name for name in ("return", "max_drawdown", "sharpe", "round_trips") if name != result.objective]
    table.add_column(result.objective, justify="right", style="bold")
    for name in figures:
        table.add_column("trades" if name == "round_trips" else name, justify="right")
    for trial in result.ranking[:_SHOWN]:
        cells = [_figure(trial.value) if trial.value is not None else trial.state.replace("_", " ")]
        cells += [_shown(name, trial.summary.get(name)) for name in figures]
        table.add_row(f"{trial.number}", *(str(trial.params[name]) for name in names), *cells)
    return table


def _shown(name: str, value: Any) -> str:
    if not isinstance(value, (int, float)):
        return "–"
    return f"{value:,}" if name == "round_trips" else f"{value:.2f}" if name == "sharpe" else f"{value * 100:,.2f} %"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4g}"


def _named(params: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in params.items())
