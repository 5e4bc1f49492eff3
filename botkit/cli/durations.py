"""Parses durations as users write them: ``90s``, ``30m``, ``2h``, ``7d``."""

from __future__ import annotations

import re

import click

_LENGTH = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*(s|m|h|d)?\Z", re.ASCII)
_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def duration_s(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """Convert an option's text to seconds. A number without a unit is in seconds."""
    if text is None:
        return None
    match = _LENGTH.match(text.strip())
    if match is None or not float(match[1]):
        raise click.BadParameter(f"{text!r} is not a duration; write 90s, 30m, 2h or 7d")
    return float(match[1]) * _UNIT_S[match[2] or "s"]
