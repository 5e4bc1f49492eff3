"""One convention of units: plain names are fractions (0.02 is 2 %), ``_pct`` is percent, ``_bps`` basis points.

A fraction under a name that says percent is a hundred times too small, and looks like nothing until it costs money. So
figures that can only be that are refused with the figure that was meant.
"""

from __future__ import annotations

import math
from decimal import Decimal

from botkit.model.money import Number, to_decimal

__all__ = ["check_bps", "check_pct", "looks_like_fraction", "looks_tiny"]

#: percent below this are taken for fractions: no stop, target or collar is so near, with fees of several times that
LEAST_PCT = Decimal("0.1")
#: and below this they are taken in, with a word of doubt
DOUBTFUL_PCT = Decimal("0.5")
LEAST_BPS = Decimal("0.01")


def check_pct(name: str, value: Number | None, *, below: int | None = None) -> None:
    """Refuse what is no distance in percent. None is none at all. Raises ValueError with the remedy."""
    if value is None:
        return
    pct = _number(name, value, "percent such as 2")
    if pct <= 0:
        raise ValueError(f"{name} is {value}; it is a percentage above 0, or None")
    if pct < LEAST_PCT:
        meant = _times(pct, 100)
        raise ValueError(f"{name} is {value}, which is {value} %; percent are wanted here: write {meant} for {meant} %")
    if below is not None and pct >= below:
        raise ValueError(f"{name} is {value}; it must be below {below} %")


def looks_like_fraction(value: Number | None) -> bool:
    """True for percent that are possible, but more likely a fraction: 0.2, where 20 % may have been meant."""
    return value is not None and LEAST_PCT <= to_decimal(value) < DOUBTFUL_PCT


def looks_tiny(value: Number | None) -> bool:
    """True for percent so small that a fraction may have been meant: 0.01, where 1 % was."""
    return value is not None and 0 < to_decimal(value) < LEAST_PCT


def check_bps(name: str, value: Number) -> None:
    """Refuse what is no distance in basis points. Raises ValueError with the remedy."""
    bps = _number(name, value, "basis points such as 5")
    if bps < 0:
        raise ValueError(f"{name} is {value}; it is 0 or more basis points")
    if 0 < bps < LEAST_BPS:
        raise ValueError(
            f"{name} is {value}; basis points are wanted here: write {_times(bps, 10_000)} for {_times(bps, 100)} %"
        )


def _number(name: str, value: Number, what: str) -> Decimal:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} is {value}; it is a number of {what}")
    try:
        return to_decimal(value, name)
    except TypeError:
        raise ValueError(f"{name} must be a number of {what}, not {value!r}") from None


def _times(value: Decimal, factor: int) -> str:
    text = f"{value * factor:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
