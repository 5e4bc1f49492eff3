"""Notices of a bot to its user on standard error while a command runs."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

import click

#: how often sentences that differ only in numbers are printed; after that they are counted
_LIKE_MAX = 5
_KINDS_MAX = 200
_FIGURES = re.compile(r"\d[\d,._]*")


class Said:
    """Prints what strategies say in a backtest, one line each; repeats are counted."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def tell(self, level: str, text: str, when: str = "") -> None:
        """Print a warning or an error, with its time in the run if it has one."""
        kind = _FIGURES.sub("#", text)
        if kind not in self._counts and len(self._counts) >= _KINDS_MAX:
            kind = "(others)"
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if count <= _LIKE_MAX:
            click.echo(f"{level}: {when}{' ' if when else ''}{text}", err=True)

    def end(self) -> None:
        """Print how many were left out."""
        for kind, count in self._counts.items():
            if count > _LIKE_MAX:
                click.echo(f"... and {count - _LIKE_MAX:,} more like: {kind}", err=True)


def quieten_log(levels: Sequence[str]) -> None:
    """Keep log records off the terminal: notices say what matters, log files get the rest."""
    logger = logging.getLogger("botkit")
    names = logging.getLevelNamesMapping()
    logger.setLevel(min(names[level.upper()] for level in levels))
    logger.propagate = False
    if not any(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
        logger.addHandler(logging.NullHandler())
