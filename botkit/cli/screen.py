"""Where commands print: the terminal, or a pipe, where no line is cut to a width."""

from __future__ import annotations

import contextlib
import logging
import os
import sys

import click
from rich.console import Console

log = logging.getLogger("botkit.cli")

#: width in columns of tables that go into a file or another program
_PIPE_WIDTH = 140


def screen() -> Console:
    """A console on standard output: as wide as the terminal, or wide enough for every table in a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)


class Output:
    """Standard output and standard error of a command that must survive losing them: its terminal may close, the
    disk may be full, the program that reads them may have ended.

    What cannot be printed is dropped, and the log says so once. Every line is tried, since a disk may have room again
    later.
    """

    def __init__(self) -> None:
        self.dropped = 0

    def line(self, text: str, *, err: bool = False, console: Console | None = None) -> None:
        """Print a line, through ``console`` if one is drawing a screen. Never raises OSError."""
        try:
            if console is None:
                click.echo(text, err=err)
            else:
                console.print(text, markup=False, highlight=False, soft_wrap=True)
        except (OSError, ValueError) as error:  # ValueError: the stream was closed
            if not self.dropped:
                name = "error" if err else "output"
                log.warning("cannot write to standard %s (%s); the bot continues without it", name, error)
            self.dropped += 1

    def close(self) -> None:
        """Drop what is still buffered and cannot be written. Python would otherwise try once more at
        exit, complain, and set its own exit code."""
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
