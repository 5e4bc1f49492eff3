"""Formats numbers for display, the same way on terminals, on pages and in messages: with thousands separators, a proper
minus sign, a fixed number of decimals, and never a negative zero.
"""

from __future__ import annotations

from botkit.model.pairs import PairRules

__all__ = ["amount_figure", "fixed", "money_decimals", "money_figure", "price_figure", "separated"]

#: U+2212, which is as wide as a plus sign
_MINUS = "−"


def fixed(value: float, decimals: int = 2, *, signed: bool = False) -> str:
    """Format a number with thousands separators. With ``signed``, positive numbers get a plus sign. A value that rounds
    to zero has no sign.
    """
    text = f"{abs(value):,.{decimals}f}"
    if not any("1" <= digit <= "9" for digit in text):
        return text
    return f"{_MINUS if value < 0 else '+' if signed else ''}{text}"


def money_decimals(value: float) -> int:
    """Return the number of decimals used for a monetary amount of this size."""
    size = abs(value)
    return 2 if size >= 10 or size < 5e-9 else 4 if size >= 0.1 else 8


def money_figure(value: float, *, signed: bool = False) -> str:
    """Format a monetary amount. Small amounts get more decimals: 1,234,567.89 and 0.00012345."""
    return fixed(value, money_decimals(value), signed=signed)


def separated(text: str) -> str:
    """Insert thousands separators into a decimal number in text form: ``-1234567.50`` becomes ``−1,234,567.50``."""
    whole, point, part = text.partition(".")
    sign = _MINUS if whole.startswith("-") else ""
    digits = whole.removeprefix("-")
    return f"{sign}{int(digits):,}{point}{part}" if digits.isdigit() else text


def price_figure(rules: PairRules, ticks: int) -> str:
    """Format a price with all of its pair's decimals: ``104,730.10``."""
    return separated(f"{rules.exact_price(ticks):f}")


def amount_figure(rules: PairRules, lots: int) -> str:
    """Format an amount with no more decimals than it needs: ``1,200.5``."""
    return separated(rules.amount_text(lots))
