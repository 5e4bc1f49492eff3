"""Prints a bot's messages to its user on standard error while a command runs."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

import click

#: how many of the messages that differ only in their numbers to print; the rest are counted
_LIKE_MAX = 5
_KINDS_MAX = 200
_FIGURES = re.compile(r"\d[\d,._]*")


class Said:
    """Prints the messages that strategies report during a backtest, one per line, and counts repeated messages."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def tell(self, level: str, text: str, when: str = "") -> None:
        """Print a warning or an error, with its time in the run, if known."""
        kind = _FIGURES.sub("#", text)
        if kind not in self._counts and len(self._counts) >= _KINDS_MAX:
            kind = "(others)"
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if count <= _LIKE_MAX:
            click.echo(f"{level}: {when}{' ' if when else ''}{text}", err=True)

    def end(self) -> None:
        """Print how many messages were omitted."""
        for kind, count in self._counts.items():
            if count > _LIKE_MAX:
                click.echo(f"... and {count - _LIKE_MAX:,} more like this: {kind}", err=True)


def quieten_log(levels: Sequence[str]) -> None:
    """Keep log records off the terminal. The bot's messages contain the important facts, and all other records go to
    log files.
    """
    logger = logging.getLogger("botkit")
    names = logging.getLevelNamesMapping()
    logger.setLevel(min(names[level.upper()] for level in levels))
    logger.propagate = False
    if not any(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
        logger.addHandler(logging.NullHandler())
