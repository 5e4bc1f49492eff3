"""The exchange's candle resolutions and their buckets (the time intervals of candles).

Source: the exchange's trading-history documentation. Days, weeks (starting on Monday) and months start at midnight UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from botkit.model.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S, Nanos

__all__ = [
    "RESOLUTIONS",
    "bucket_end",
    "bucket_start",
    "check_resolution",
    "fixed_length",
]

#: every resolution that the exchange serves, shortest first
RESOLUTIONS = ("1m", "5m", "15m", "30m", "1h", "3h", "4h", "6h", "12h", "1d", "1w", "1M")

_UNIT = {"m": NS_PER_MINUTE, "h": NS_PER_HOUR, "d": NS_PER_DAY, "w": 7 * NS_PER_DAY}
_TEXT = re.compile(r"(\d+)([mhdw])\Z", re.ASCII)
_MONDAY = 4 * NS_PER_DAY  # 1970-01-05, the first Monday after the epoch


def check_resolution(text: str) -> str:
    """Return the resolution unchanged. Raises ValueError listing the valid resolutions."""
    if text not in RESOLUTIONS:
        raise ValueError(f"{text!r} is not a resolution that the exchange offers; use one of {', '.join(RESOLUTIONS)}")
    return text


def fixed_length(resolution: str) -> Nanos | None:
    """Return the length of a bucket in nanoseconds, or None for months, whose length varies."""
    if resolution == "1M":
        return None
    match = _TEXT.match(resolution)
    if match is None:
        raise ValueError(f"{resolution!r} is not a resolution; use one of {', '.join(RESOLUTIONS)}")
    return int(match[1]) * _UNIT[match[2]]


def bucket_start(time: Nanos, resolution: str) -> Nanos:
    """Return the start of the bucket that contains ``time``."""
    length = fixed_length(resolution)
    if length is None:
        moment = datetime.fromtimestamp(time // NS_PER_S, UTC)
        return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()) * NS_PER_S
    offset = _MONDAY if resolution.endswith("w") else 0
    return (time - offset) // length * length + offset


def bucket_end(start: Nanos, resolution: str) -> Nanos:
    """Return the end of the bucket that starts at ``start``, which is also the start of the next bucket."""
    length = fixed_length(resolution)
    if length is not None:
        return start + length
    moment = datetime.fromtimestamp(start // NS_PER_S, UTC)
    year, month = (moment.year + 1, 1) if moment.month == 12 else (moment.year, moment.month + 1)
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * NS_PER_S
