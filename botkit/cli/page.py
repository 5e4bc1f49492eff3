"""``botkit page``: serve a live page for all bots and finished runs on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

import click

from botkit.cli.languages import speaks_on_its_page


@click.command()
@click.option("--page-port", type=click.IntRange(0, 65_535), help="Port on 127.0.0.1. Default: 8600, or any free port.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("out"),
    show_default=True,
    help="Folder that contains finished backtests.",
)
@speaks_on_its_page
def page(page_port: int | None, out: Path) -> None:
    """Serve a page showing all bots on this machine, running or stopped, and finished backtests.

    Only a browser on this machine can open it, at the printed address. `botkit guide running` explains how to view it
    on a phone. Ctrl-C stops the page and does not affect the bots.
    """
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(page_port, out))


async def _serve(port: int | None, out: Path) -> None:
    from botkit.assembly.operations import state_root
    from botkit.page.access import kept_token
    from botkit.page.server import PageServer

    root, ended, loop = state_root(), asyncio.Event(), asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # on Windows, Ctrl-C raises KeyboardInterrupt
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ended.set)
    async with PageServer(root, kept_token(root), port=port, out=out) as server:
        click.echo(f"page at {server.address}")
        click.echo("Ctrl-C stops the page, not the bots")
        await ended.wait()
