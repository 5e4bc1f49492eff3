"""Makes text safe for CSV files, so that a spreadsheet displays the text instead of evaluating it."""

from __future__ import annotations

__all__ = ["inert"]

#: a spreadsheet treats a cell that starts with one of these characters as a formula
_RUNS = ("=", "+", "-", "@", "\t", "\r")


def inert(text: str) -> str:
    """Prefix text with an apostrophe if a spreadsheet would treat it as a formula. Use this only for tags, reasons and
    names, because a number may start with a minus sign.
    """
    return "'" + text if text.startswith(_RUNS) else text
