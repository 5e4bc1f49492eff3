"""What a bot says to its user while a command runs, on standard error."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

import click

#: sentences that differ in figures alone are printed so often, then counted
_LIKE_MAX = 5
_KINDS_MAX = 200
_FIGURES = re.compile(r"\d[\d,._]*")


class Said:
    """Prints what strategies say in a backtest, a line each; what repeats itself is counted."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def tell(self, level: str, text: str, when: str = "") -> None:
        """A warning or an error, at a time of the run where it has one."""
        kind = _FIGURES.sub("#", text)
        if kind not in self._counts and len(self._counts) >= _KINDS_MAX:
            kind = "(others)"
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if count <= _LIKE_MAX:
            click.echo(f"{level}: {when}{' ' if when else ''}{text}", err=True)

    def end(self) -> None:
        """Say how many were not printed."""
        for kind, count in self._counts.items():
            if count > _LIKE_MAX:
                click.echo(f"... and {count - _LIKE_MAX:,} more like: {kind}", err=True)


def quieten_log(levels: Sequence[str]) -> None:
    """Keep records off the terminal: what matters is told as notices, and log files take the rest."""
    logger = logging.getLogger("botkit")
    names = logging.getLevelNamesMapping()
    logger.setLevel(min(names[level.upper()] for level in levels))
    logger.propagate = False
    if not any(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
        logger.addHandler(logging.NullHandler())
