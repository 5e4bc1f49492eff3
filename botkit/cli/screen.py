"""Decides how commands print to a terminal or to a pipe. Lines printed to a pipe are never truncated."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator

import click
from rich.console import Console

log = logging.getLogger("botkit.cli")

#: table width in columns when the output is a file or another program
_PIPE_WIDTH = 140


def screen() -> Console:
    """Return a console on standard output. It is as wide as the terminal or, for a pipe, wide enough for every
    table.
    """
    return Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)


@contextlib.contextmanager
def prints_aside(as_json: bool) -> Iterator[None]:
    """With ``as_json``, send everything that strategies print to standard error instead of standard output, which is
    reserved for the JSON object.
    """
    if as_json:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    else:
        yield


class Output:
    """Standard output and standard error for a command that must survive losing them: the terminal may close, the disk
    may fill up, or the reading program may exit.

    Lines that cannot be printed are dropped, and the first failure is logged. Every later line is still attempted,
    because space may be freed on a full disk.
    """

    def __init__(self) -> None:
        self.dropped = 0

    def line(self, text: str, *, err: bool = False, console: Console | None = None) -> None:
        """Print a line, through ``console`` if a live screen is being drawn. Never raises OSError."""
        try:
            if console is None:
                click.echo(text, err=err)
            else:
                console.print(text, markup=False, highlight=False, soft_wrap=True)
        except (OSError, ValueError) as error:  # ValueError means that the stream was closed
            if not self.dropped:
                name = "error" if err else "output"
                log.warning("cannot write to standard %s (%s); the bot continues without it", name, error)
            self.dropped += 1

    def close(self) -> None:
        """Drop buffered text that cannot be written. Otherwise Python would retry at exit, print an error, and set its
        own exit code.
        """
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
