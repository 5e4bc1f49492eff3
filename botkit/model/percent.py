"""Validates percentages and basis points. Plain names are fractions (0.02 is 2 %), ``_pct`` is percent, ``_bps`` is
basis points.

A fraction passed as a percentage is a hundred times too small, and the mistake stays hidden until it costs money.
Therefore percentages that are too small to be intended are refused, with a message that suggests the intended
percentage.
"""

from __future__ import annotations

import math
from decimal import Decimal

from botkit.model.money import Number, to_decimal

__all__ = ["check_bps", "check_pct", "looks_like_fraction", "looks_tiny"]

#: Percentages below this are treated as fractions entered by mistake. Fees alone are several times larger, so no
#: sensible stop, target or collar is this small.
_LEAST_PCT = Decimal("0.1")
#: percentages below this are accepted, but with a warning
_DOUBTFUL_PCT = Decimal("0.5")
_LEAST_BPS = Decimal("0.01")


def check_pct(name: str, value: Number | None, *, below: int | None = None) -> None:
    """Validate a distance in percent; None means no distance. Raises ValueError with a suggested fix."""
    if value is None:
        return
    pct = _number(name, value, "percent such as 2")
    if pct <= 0:
        raise ValueError(f"{name} is {value}; it must be a percentage above 0, or None")
    if pct < _LEAST_PCT:
        meant = _times(pct, 100)
        raise ValueError(f"{name} is {value}, which means {value} %; write {meant} for {meant} %")
    if below is not None and pct >= below:
        raise ValueError(f"{name} is {value}; it must be below {below} %")


def looks_like_fraction(value: Number | None) -> bool:
    """Return True for a valid percentage that was probably meant as a fraction, such as 0.2 where 20 % was probably
    intended.
    """
    return value is not None and _LEAST_PCT <= to_decimal(value) < _DOUBTFUL_PCT


def looks_tiny(value: Number | None) -> bool:
    """Return True for a percentage so small that it may have been meant as a fraction, such as 0.01 for 1 %."""
    return value is not None and 0 < to_decimal(value) < _LEAST_PCT


def check_bps(name: str, value: Number) -> None:
    """Validate a distance in basis points. Raises ValueError with a suggested fix."""
    bps = _number(name, value, "basis points such as 5")
    if bps < 0:
        raise ValueError(f"{name} is {value}; it must be 0 or more basis points")
    if 0 < bps < _LEAST_BPS:
        raise ValueError(
            f"{name} is {value}; this setting is in basis points: write {_times(bps, 10_000)} for {_times(bps, 100)} %"
        )


def _number(name: str, value: Number, what: str) -> Decimal:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} is {value}; it must be a number of {what}")
    try:
        return to_decimal(value, name)
    except TypeError:
        raise ValueError(f"{name} must be a number of {what}, not {value!r}") from None


def _times(value: Decimal, factor: int) -> str:
    text = f"{value * factor:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
