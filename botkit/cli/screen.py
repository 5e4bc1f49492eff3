"""Where the commands print: the terminal, or a pipe, which has no width that could cut a figure."""

from __future__ import annotations

import sys

from rich.console import Console

#: columns for tables that go into a file or another program
_PIPE_WIDTH = 140


def screen() -> Console:
    """A console on standard output: as wide as the terminal, or wide enough for every table in a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)
