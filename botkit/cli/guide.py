"""``botkit guide``: list the guide's chapters, or show a chapter."""

from __future__ import annotations

import os
import sys

import click

from botkit.cli.languages import speaks
from botkit.cli.screen import screen


@click.command(name="guide")
@click.argument("topic", required=False)
@speaks
def guide(topic: str | None) -> None:
    """List the guide's chapters, or show the chapter TOPIC.

    In a terminal, formatted text is shown in a pager; a pipe or a file receives plain Markdown.
    """
    from botkit.guide import CHAPTERS, chapter
    from botkit.report.language import current

    if topic is None:
        width = max(map(len, CHAPTERS))
        for name, about in CHAPTERS.items():
            click.echo(f"  {name:<{width}}  {about}")
        click.echo("\nRead one with `botkit guide TOPIC`.")
        return
    text = chapter(topic, current())
    if not sys.stdout.isatty():
        click.echo(text, nl=False)
        return
    from rich.markdown import Markdown

    console = screen()
    os.environ.setdefault("LESS", "FRX")  # without -R, less shows color codes as control characters
    with console.pager(styles=os.name != "nt"):
        console.print(Markdown(text), width=min(console.width, 100))
