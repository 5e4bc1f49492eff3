"""Formats numbers for display: with thousands separators, a fixed number of decimals, and never a negative zero."""

from __future__ import annotations

from botkit.model.pairs import PairRules

__all__ = ["amount_figure", "fixed", "price_figure", "separated"]


def fixed(value: float, decimals: int = 2, *, signed: bool = False) -> str:
    """Format a number with thousands separators. With ``signed``, positive numbers get a plus sign. Zero never has a
    sign.
    """
    # adding zero turns a negative zero, which rounding may have produced, into a positive zero
    rounded = round(value, decimals) + 0.0
    return f"{rounded:{'+' if signed and rounded else ''},.{decimals}f}"


def separated(text: str) -> str:
    """Insert thousands separators into a decimal number in text form: ``-1234567.50`` becomes ``-1,234,567.50``."""
    whole, point, part = text.partition(".")
    sign = "-" if whole.startswith("-") else ""
    digits = whole.removeprefix("-")
    return f"{sign}{int(digits):,}{point}{part}" if digits.isdigit() else text


def price_figure(rules: PairRules, ticks: int) -> str:
    """Format a price with all of its pair's decimals: ``104,730.10``."""
    return separated(f"{rules.exact_price(ticks):f}")


def amount_figure(rules: PairRules, lots: int) -> str:
    """Format an amount with no more decimals than it needs: ``1,200.5``."""
    return separated(rules.amount_text(lots))
