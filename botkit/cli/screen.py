"""Where the commands print: the terminal, or a pipe, which has no width that could cut a figure."""

from __future__ import annotations

import contextlib
import logging
import os
import sys

import click
from rich.console import Console

log = logging.getLogger("botkit.cli")

#: columns for tables that go into a file or another program
_PIPE_WIDTH = 140


def screen() -> Console:
    """A console on standard output: as wide as the terminal, or wide enough for every table in a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)


class Output:
    """Standard output and standard error of a command that must go on without them: its terminal may be closed, the
    disk that they are written to may be full, the program that reads them may have ended.

    What cannot be printed is dropped, and the log says so once. Each line is tried again, since a disk may have room
    later.
    """

    def __init__(self) -> None:
        self.dropped = 0

    def line(self, text: str, *, err: bool = False, console: Console | None = None) -> None:
        """Print a line, on ``console`` where a screen is being drawn there. Never raises OSError."""
        try:
            if console is None:
                click.echo(text, err=err)
            else:
                console.print(text, markup=False, highlight=False, soft_wrap=True)
        except (OSError, ValueError) as error:  # ValueError: the stream was closed
            if not self.dropped:
                name = "error" if err else "output"
                log.warning("standard %s cannot be written (%s); the bot goes on without it", name, error)
            self.dropped += 1

    def close(self) -> None:
        """At the end: what is still held back and cannot be written is thrown away. Python would try once more at its
        exit, complain, and end with a code of its own."""
        for stream in (sys.stdout, sys.stderr):
            if stream is None:
                continue
            try:
                stream.flush()
            except (OSError, ValueError):
                with contextlib.suppress(OSError, ValueError):
                    nowhere = os.open(os.devnull, os.O_WRONLY)
                    os.dup2(nowhere, stream.fileno())
                    os.close(nowhere)
