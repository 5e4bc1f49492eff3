"""Text in a CSV file that a spreadsheet shows and does not run."""

from __future__ import annotations

__all__ = ["inert"]

#: a cell that begins with one of these is a formula to a spreadsheet
_RUNS = ("=", "+", "-", "@", "\t", "\r")


def inert(text: str) -> str:
    """The text, with an apostrophe before it where a spreadsheet would take it for a formula. For tags, reasons and
    names alone: a figure may begin with a minus."""
    return "'" + text if text.startswith(_RUNS) else text
