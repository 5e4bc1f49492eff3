"""Formats counts with nouns: `1 order`, `1,200 orders`."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, noun: str) -> str:
    """Return a count followed by a noun, adding an s to the noun unless the count is 1."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
