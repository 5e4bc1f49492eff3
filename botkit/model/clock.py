"""Represents time as an integer: nanoseconds since 1970-01-01 UTC.

A float in seconds cannot represent today's date to the nanosecond, but equal inputs must lead to equal decisions on any
machine. No code in ``model``, ``engine`` or ``sim`` reads a clock: ``now`` is passed as an argument.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from typing import Protocol, TypeAlias

__all__ = [
    "NS_PER_DAY",
    "NS_PER_HOUR",
    "NS_PER_MINUTE",
    "NS_PER_MS",
    "NS_PER_S",
    "NS_PER_US",
    "Clock",
    "Nanos",
    "day_start",
    "format_time",
    "from_datetime",
    "is_date_only",
    "parse_time",
    "to_datetime",
]

Nanos: TypeAlias = int

NS_PER_US: Nanos = 1_000
NS_PER_MS: Nanos = 1_000_000
NS_PER_S: Nanos = 1_000_000_000
NS_PER_MINUTE: Nanos = 60 * NS_PER_S
NS_PER_HOUR: Nanos = 60 * NS_PER_MINUTE
NS_PER_DAY: Nanos = 24 * NS_PER_HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE_ONLY = re.compile(r"\d{4}-\d{2}-\d{2}\Z")


class Clock(Protocol):
    """A clock read by a driver: the real clock, an emulator's scaled clock, or a manual clock in a test."""

    def now(self) -> Nanos:
        """Return the current time in nanoseconds since the epoch, UTC."""
        ...


def to_datetime(time: Nanos, zone: tzinfo = UTC) -> datetime:
    """Return the time as a datetime in ``zone``, truncated to microseconds."""
    seconds, rest = divmod(time, NS_PER_S)
    # float arithmetic, as in timestamp(), loses microseconds; divmod on integers does not
    return datetime.fromtimestamp(seconds, zone).replace(microsecond=rest // NS_PER_US)


def from_datetime(moment: datetime) -> Nanos:
    """Convert an aware datetime to nanoseconds since the epoch. Naive datetimes are refused, because they are
    ambiguous.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone; add one, such as +08:00 or Z")
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * NS_PER_S + delta.microseconds * NS_PER_US


def day_start(now: Nanos, zone: tzinfo = UTC) -> Nanos:
    """Return the midnight in ``zone`` at which the trading day containing ``now`` starts. If clocks go back over
    midnight, that is the first of the date's two midnights.
    """
    midnight = to_datetime(now, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return from_datetime(midnight)


def parse_time(text: str, zone: tzinfo = UTC) -> Nanos:
    """Parse an ISO 8601 date or time. A time without an offset is interpreted in ``zone``.

    Raises ValueError with the text and the accepted formats.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f"{text!r} is not a time; write a date such as 2025-01-31 or a time such as 2025-01-31T09:00"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return from_datetime(moment)


def is_date_only(text: str) -> bool:
    """Return True for a date without a time, such as ``2025-01-31``. As the end of a range, a date includes the entire
    day.
    """
    return _DATE_ONLY.match(text.strip()) is not None


def format_time(time: Nanos, zone: tzinfo = UTC) -> str:
    """Format a time as ISO 8601 with milliseconds, such as ``2025-01-31T01:00:00.000Z``."""
    moment = to_datetime(time, zone)
    text = moment.isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text
