"""Makes text safe in a CSV file: a spreadsheet displays it instead of evaluating it."""

from __future__ import annotations

__all__ = ["inert"]

#: a spreadsheet takes a cell that begins with one of these for a formula
_RUNS = ("=", "+", "-", "@", "\t", "\r")


def inert(text: str) -> str:
    """Prefix text with an apostrophe if a spreadsheet would take it for a formula. Only for tags, reasons and names:
    a figure may begin with a minus.
    """
    return "'" + text if text.startswith(_RUNS) else text
