"""``botkit compare``: compare saved backtests side by side."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from botkit.cli.languages import speaks
from botkit.cli.screen import screen
from botkit.errors import ConfigError


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder with the runs."
)
@click.option("--page", type=click.Path(path_type=Path), help="The page to write.  [default: OUT/comparison.html]")
@click.option("--json", "as_json", is_flag=True, help="Print figures and differences as JSON, and write no page.")
@speaks
def compare(runs: tuple[str, ...], out: Path, page: Path | None, as_json: bool) -> None:
    """Compare backtests: their metrics, their curves on one page, and the differences between their configurations.

    RUN is the folder of a backtest, a bot's NAME (its newest run), or NAME@3 or NAME/3.
    """
    from botkit.research.comparison import compared, comparison_json

    if len(runs) < 2:
        raise ConfigError("a comparison needs two runs or more, such as `botkit compare sma-cross@1 sma-cross@2`")
    found = compared(runs, out)
    if as_json:
        click.echo(comparison_json(found))
        return
    show_comparison(screen(), runs, out, page or out / "comparison.html")


def show_comparison(console: Console, runs: tuple[str, ...], out: Path, page: Path) -> None:
    """Print a comparison and write its page. Raises ConfigError if the page cannot be written."""
    from botkit.report.comparison import print_comparison, render_comparison
    from botkit.report.language import say
    from botkit.research.comparison import compared

    found = compared(runs, out)
    print_comparison(console, found)
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_bytes(render_comparison(found).encode("utf-8"))
    except OSError as error:
        raise ConfigError(f"--page {page} cannot be written: {error.strerror or error}") from None
    console.print("\n" + say("Page: {}", f"[link={page.absolute().as_uri()}]{page}[/link]"))
