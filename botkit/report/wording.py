"""Formats numbers for display, in one module so that the page and the terminal agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from botkit.model.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S, Nanos, to_datetime
from botkit.model.figures import fixed, money_figure
from botkit.model.money import format_units
from botkit.report.language import say

NOTHING = "–"


def zone_of(name: str) -> tzinfo:
    """Return a run's time zone, or UTC if the system does not recognize it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def money(value: Any, sign: bool = False) -> str:
    """Format a monetary amount. Small amounts get more decimals: 1,234,567.89 and 0.00012345."""
    number = _number(value)
    if number is None:
        return NOTHING
    return money_figure(number, signed=sign)


def amounts(units_by_currency: Mapping[str, int]) -> str:
    """Format exact amounts of several currencies: 0.05 BTC, 1200 TWD."""
    return ", ".join(f"{format_units(units)} {c.upper()}" for c, units in units_by_currency.items() if units)


def percent(value: Any, sign: bool = False, decimals: int = 2) -> str:
    """Format a fraction as a percentage."""
    number = _number(value)
    if number is None:
        return NOTHING
    return f"{fixed(number * 100, decimals, signed=sign)} %"


def ratio(value: Any) -> str:
    """Format a ratio with two decimals."""
    number = _number(value)
    return NOTHING if number is None else fixed(number)


def count(value: Any) -> str:
    """Format an integer with thousands separators."""
    number = _number(value)
    return NOTHING if number is None else fixed(number, 0)


def milliseconds(value: Any) -> str:
    """Format a wait time: 12 ms, 3.4 s, 2.1 min."""
    number = _number(value)
    if number is None:
        return NOTHING
    if number < 1000:
        return say("{} ms", f"{number:,.0f}")
    if number < 120_000:
        return say("{} s", f"{number / 1000:,.1f}")
    return say("{} min", f"{number / 60_000:,.1f}")


def moment(time: Nanos | None, zone: tzinfo) -> str:
    """Format a date and time to the second, in the run's zone."""
    return NOTHING if time is None else to_datetime(time, zone).strftime("%Y-%m-%d %H:%M:%S")


def minute(time: Nanos | None, zone: tzinfo) -> str:
    """Format a date and time to the minute."""
    return NOTHING if time is None else to_datetime(time, zone).strftime("%Y-%m-%d %H:%M")


def offset(time: Nanos, zone: tzinfo) -> str:
    """Return the zone's offset from UTC at a time, such as +08:00."""
    return to_datetime(time, zone).isoformat()[-6:]


def offsets(start: Nanos, end: Nanos, zone: tzinfo) -> list[str]:
    """Return the zone's offsets from UTC during a span, such as +08:00. There are several if the clocks changed during
    the span.
    """
    return list(dict.fromkeys(offset(time, zone) for time in (*range(start, end, NS_PER_DAY), end)))


def stamped(time: Nanos | None, zone: tzinfo, text: str, shown: Sequence[str]) -> str:
    """Return a time's text followed by its offset. The offset is omitted if ``shown`` contains only one offset, because
    the page then states that offset once for all times.
    """
    return text if time is None or len(shown) == 1 else f"{text} {offset(time, zone)}"


def span(length: Nanos) -> str:
    """Format a duration in its two largest units: 31 days, 3 h 20 min, 45 s."""
    if length >= 2 * NS_PER_DAY:
        return say("{} days", f"{length / NS_PER_DAY:.0f}")
    if length >= NS_PER_HOUR:
        hours, rest = divmod(length, NS_PER_HOUR)
        minutes = rest // NS_PER_MINUTE
        return say("{} h {} min", hours, minutes) if minutes else say("{} h", hours)
    if length >= NS_PER_MINUTE:
        return say("{} min", length // NS_PER_MINUTE)
    return say("{} s", f"{length / NS_PER_S:.0f}")


def lasting(seconds: Any) -> str:
    """Format a duration in seconds like `span`, or to the millisecond if it is less than ten seconds."""
    number = _number(seconds)
    if number is None:
        return NOTHING
    return milliseconds(number * 1000) if number < 10 else span(round(number * NS_PER_S))


def tone(value: Any) -> str:
    """Return the CSS class and rich style for a gain or a loss."""
    number = _number(value)
    return "" if not number else "gain" if number > 0 else "loss"
