"""Makes text safe in a CSV file, so that a spreadsheet displays it instead of evaluating it."""

from __future__ import annotations

__all__ = ["inert"]

#: a spreadsheet treats a cell that begins with one of these as a formula
_RUNS = ("=", "+", "-", "@", "\t", "\r")


def inert(text: str) -> str:
    """Prefix text with an apostrophe if a spreadsheet would treat it as a formula. Use it only for tags, reasons and
    names, because a figure may begin with a minus.
    """
    return "'" + text if text.startswith(_RUNS) else text
