"""A trading day starts at local midnight, also on a date on which clocks change at midnight."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from botkit.model.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, Nanos, day_start, from_datetime, to_datetime

pytestmark = pytest.mark.virtual_time


def days_around(change: datetime) -> tuple[list[Nanos], list[str]]:
    """Return the starts of the days around a clock change, and the date of each."""
    zone = change.tzinfo
    assert zone is not None
    begin = from_datetime(change) - 2 * NS_PER_DAY
    times = [begin + i * 15 * NS_PER_MINUTE for i in range(4 * 24 * 4)]
    starts = list(dict.fromkeys(day_start(time, zone) for time in times))
    return starts, [f"{to_datetime(start, zone):%m-%d %H:%M}" for start in starts]


@pytest.mark.parametrize(
    ("zone", "year", "month", "day", "hours"),
    [
        ("America/Havana", 2025, 11, 2, 25),  # at 01:00, clocks go back to 00:00
        ("Atlantic/Azores", 2025, 10, 26, 25),
        ("America/Santiago", 2025, 4, 5, 25),  # at 24:00, clocks go back to 23:00
        ("Africa/Cairo", 2025, 4, 25, 23),  # at 00:00, clocks go forward to 01:00
        ("Asia/Taipei", 2025, 4, 25, 24),
    ],
)
def test_a_date_has_one_start_even_if_clocks_change_at_midnight(
    zone: str, year: int, month: int, day: int, hours: int
) -> None:
    noon = datetime(year, month, day, 12, tzinfo=ZoneInfo(zone))
    starts, dates = days_around(noon)
    assert starts == sorted(starts)
    assert len({text[:5] for text in dates}) == len(dates)
    start = day_start(from_datetime(noon), ZoneInfo(zone))
    following = next(other for other in starts if other > start)
    assert following - start == hours * NS_PER_HOUR
    for time in range(start, following, NS_PER_MINUTE):
        assert day_start(time, ZoneInfo(zone)) == start
