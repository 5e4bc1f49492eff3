"""Represents money exactly: money in integer units of 1e-8, prices in integer ticks, amounts in integer lots.

Python's integers never overflow, but int64 would: 1e16 lots times 3e6 ticks is 3e22. Text is converted to numbers only
by :func:`parse_decimal`, because ``Decimal`` also accepts ``NaN``, ``1_000``, ``1e999999999`` and Arabic digits.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TypeAlias

__all__ = [
    "UNIT",
    "UNIT_DECIMALS",
    "Number",
    "divide_half_up",
    "divide_up",
    "format_scaled",
    "format_units",
    "from_units",
    "parse_decimal",
    "parse_scaled",
    "steps_of",
    "to_decimal",
    "to_units",
]

#: units per coin of any currency: money has eight decimals, as at the exchange (basePrecision 8)
UNIT = 10**8
UNIT_DECIMALS = 8

Number: TypeAlias = float | int | str | Decimal

_PLAIN = re.compile(r"[+-]?(\d{1,20})(\.\d{1,18})?\Z", re.ASCII)


def parse_decimal(text: str, what: str = "number") -> Decimal:
    """Parse a plain decimal such as ``12.5``: ASCII digits, no exponent, at most 20 digits before and 18 after the
    decimal point.

    Raises ValueError with ``what`` and the text.
    """
    if not _PLAIN.match(text):
        raise ValueError(f"{what} {text!r} is not a plain decimal number such as 12.5")
    return Decimal(text)


def parse_scaled(text: str, decimals: int, what: str = "number", *, floor: bool = False) -> int:
    """Parse a plain decimal such as ``12.5`` into an integer multiple of 10^-decimals, without using Decimal.

    Digits beyond ``decimals`` must be zeros, unless ``floor`` is set, which drops these digits (toward zero). Raises
    ValueError with ``what`` and the text.
    """
    whole, _, fraction = text.partition(".")
    # isdigit() alone would also accept Arabic and superscript digits, which isascii() excludes
    if not (whole.isdigit() and text.isascii() and len(whole) <= 20 and (fraction.isdigit() or whole == text)):
        exact = parse_decimal(text, what).scaleb(decimals)
        if exact != int(exact) and not floor:
            raise ValueError(f"{what} {text!r} has more than {decimals} decimals")
        return int(exact)
    excess = len(fraction) - decimals
    if excess <= 0:
        return int(whole + fraction) * int(10**-excess)
    if len(fraction) > 18:
        parse_decimal(text, what)
    if not floor and fraction[decimals:].strip("0"):
        raise ValueError(f"{what} {text!r} has more than {decimals} decimals")
    return int(whole + fraction[:decimals])


def to_decimal(value: Number, what: str = "number") -> Decimal:
    """Convert a number to a Decimal exactly as written: a float via its shortest repr (0.1 becomes Decimal('0.1')),
    text as a plain decimal.

    Raises ValueError for infinity and NaN. Raises TypeError for other values that are not numbers, such as True or
    None.
    """
    given: object = value  # callers may pass objects of any type
    if isinstance(given, bool) or not isinstance(given, (int, float, str, Decimal)):
        raise TypeError(f"{what} must be a number, not {given!r}")
    if isinstance(value, str):
        return parse_decimal(value.strip(), what)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{what} is {value!r}, which is not a finite number")
        return Decimal(repr(value))
    result = Decimal(value)
    if not result.is_finite():
        raise ValueError(f"{what} is {value!r}, which is not a finite number")
    return result


def to_units(value: Number, what: str = "amount") -> int:
    """Return the value in units of 1e-8, rounded toward zero."""
    return int(to_decimal(value, what) * UNIT)


def from_units(units: int) -> Decimal:
    """Return the exact Decimal value of an amount in units of 1e-8."""
    return Decimal(units).scaleb(-UNIT_DECIMALS)


def format_scaled(value: int, decimals: int) -> str:
    """Format ``value`` x 10^-decimals as plain text without trailing zeros: (12300, 4) becomes ``1.23``."""
    if decimals <= 0:
        return str(value)
    sign = "-" if value < 0 else ""
    digits = str(abs(value)).rjust(decimals + 1, "0")
    fraction = digits[-decimals:].rstrip("0")
    whole = sign + digits[:-decimals]
    return f"{whole}.{fraction}" if fraction else whole


def format_units(units: int) -> str:
    """Format units of 1e-8 as plain text without trailing zeros."""
    return format_scaled(units, UNIT_DECIMALS)


def divide_half_up(numerator: int, denominator: int) -> int:
    """Divide non-negative integers, rounding halves up. The exchange is assumed to round fees this way (Q31)."""
    return (2 * numerator + denominator) // (2 * denominator)


def divide_up(numerator: int, denominator: int) -> int:
    """Divide integers, rounding up."""
    return -(-numerator // denominator)


def steps_of(value: Number, decimals: int, *, up: bool, what: str) -> int:
    """Return the number of steps of 10^-decimals in ``value``, rounded up or down.

    A float within max(1e-6 of a step, 4 ulp) of a multiple of the step is treated as that multiple: 0.3 - 0.1 means 0.2
    and must not be rounded down to 0.1999. Text, integers and Decimals are taken literally. Raises ValueError or
    TypeError for values that are not finite numbers.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{what} is {value!r}, which is not a finite number")
        scaled = value * int(10**decimals)
        nearest = round(scaled)
        distance = abs(scaled - nearest)
        if distance <= 1e-6 or distance <= 4 * math.ulp(scaled):
            return nearest
        return math.ceil(scaled) if up else math.floor(scaled)
    exact = to_decimal(value, what).scaleb(decimals)
    return math.ceil(exact) if up else math.floor(exact)
