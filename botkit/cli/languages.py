"""The option ``--lang`` for commands with output for people."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from botkit.report.language import LANGUAGES, preferred, using


def speaks(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--lang`` to a command, and run it in the chosen language. The default is BOTKIT_LANG or the system's."""

    @click.option("--lang", type=click.Choice(LANGUAGES), help="Language.  [default: the system's, or BOTKIT_LANG]")
    @functools.wraps(command)
    def speaking(*args: Any, lang: str | None = None, **given: Any) -> Any:
        with using(lang or preferred()):
            return command(*args, **given)

    return speaking
