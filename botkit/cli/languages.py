"""The ``--lang`` option for commands with human-readable output."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from botkit.report.language import LANGUAGES, preferred, using


def speaks(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--lang`` to a command, and run it in the chosen language. The default is BOTKIT_LANG or the system
    language.
    """
    return _speaks(command, "Language.")


def speaks_on_its_page(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--lang`` to a command that prints English but writes its page in the chosen language."""
    return _speaks(command, "Language of the page.")


def _speaks(command: Callable[..., Any], help_text: str) -> Callable[..., Any]:
    @click.option("--lang", type=click.Choice(LANGUAGES), help=f"{help_text}  [default: the system's, or BOTKIT_LANG]")
    @functools.wraps(command)
    def speaking(*args: Any, lang: str | None = None, **given: Any) -> Any:
        with using(lang or preferred()):
            return command(*args, **given)

    return speaking
