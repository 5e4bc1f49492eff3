"""``botkit walk-forward``: search on one window, test on the next, then move both forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from botkit.cli.languages import speaks
from botkit.cli.optimize import search_options
from botkit.cli.said import quieten_log
from botkit.cli.screen import screen

if TYPE_CHECKING:
    from botkit.report.study import StudyPage


def _days(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    number = text.strip().removesuffix("d").strip()
    if not number.isascii() or not number.isdigit() or len(number) > 5:
        raise click.BadParameter(f"{text!r} is not a number of days; write 60d")
    return int(number)


@click.command("walk-forward")
@click.argument("config", type=click.Path(path_type=Path))
@search_options
@click.option(
    "--train", callback=_days, required=True, metavar="DAYS", help="Length of a training window, such as 60d."
)
@click.option(
    "--test", callback=_days, required=True, metavar="DAYS", help="Length of the following test window, such as 20d."
)
@click.option(
    "--anchored", "is_anchored", is_flag=True, help="Always train from the start of the data, not on a moving window."
)
@click.option(
    "--gap",
    callback=_days,
    metavar="DAYS",
    help="Days between training and test.  [default: the longest holding period in training]",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder.  [default: out/NAME/walks/N]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@speaks
def walk_forward(
    config: Path,
    train: int,
    test: int,
    is_anchored: bool,
    gap: int | None,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Search the parameters of the bot in CONFIG on one window, test the best parameters on the days that follow, and
    move both windows forward.

    The combined tests show what the search would have earned on days that were not used in the search. Each test starts
    without a position, with indicators warmed up on the preceding rows, and closes its positions at the usual cost.
    """
    from botkit.cli.optimize import recipe_of, settings_of
    from botkit.report.language import say
    from botkit.report.study import render_study
    from botkit.research.search.folder import write_whole
    from botkit.research.walk.forward import WalkSettings, summary_json
    from botkit.research.walk.forward import walk_forward as walk
    from botkit.research.walk.page import walk_page

    quieten_log(["error"])
    with _progress(quiet=as_json) as progress:
        result = walk(
            recipe_of(config, options),
            settings_of(options, out=out),
            WalkSettings(train_days=train, test_days=test, is_anchored=is_anchored, gap_days=gap),
            progress,
            lambda sentence: click.echo(f"warning: {sentence}", err=True),
        )
    page, summary = walk_page(result), summary_json(result)
    report = write_whole(result.folder / "walk_forward.html", render_study(page))
    write_whole(result.folder / "summary.json", summary + "\n")
    if as_json:
        click.echo(summary)
    else:
        _print(screen(), page)
        click.echo("\n" + say("Report: {}", report))


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int, int, int], None]]:
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda window, count, ended, trials: None
        return
    with Progress(BarColumn(), TextColumn("{task.description}"), console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0)

        def show(window: int, count: int, ended: int, trials: int) -> None:
            done = (window + ended / trials) / count
            bar.update(
                task, completed=done, description=f"window {window + 1} of {count}, {ended:,} of {trials:,} trials"
            )

        yield show


def _print(console: Console, page: StudyPage) -> None:
    from botkit.report.language import say, told

    console.print(page.lead, highlight=False)
    for title, value, note in page.tiles:
        console.print(f"  {title:<22} {value:>10}  [dim]{note}[/dim]", highlight=False)
    (shown,) = page.tables
    table = Table(box=None, pad_edge=False, header_style="dim")
    for head in shown.head:
        table.add_column(head, no_wrap=True)
    for row in shown.rows:
        table.add_row(*row)
    console.print()
    console.print(table)
    for note in page.warnings:
        console.print(say("note: {}", told(note)), highlight=False)
