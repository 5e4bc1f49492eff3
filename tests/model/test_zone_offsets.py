"""The UTC offsets of a column of times are those of each time alone."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pytest

from botkit.model.clock import NS_PER_MINUTE, NS_PER_S, parse_time, to_datetime
from botkit.model.zone_offsets import offsets_s


def alone(time: int, zone: ZoneInfo) -> float:
    offset = to_datetime(time, zone).utcoffset()
    assert offset is not None
    return offset.total_seconds()


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("UTC", "2025-03-30"),
        ("Asia/Taipei", "2025-03-30"),
        ("Europe/Berlin", "2025-03-30"),
        ("Europe/Berlin", "2025-10-26"),
        ("Australia/Lord_Howe", "2025-04-05"),  # changes by half an hour
        ("America/St_Johns", "2010-03-14"),  # changed at 00:01
    ],
)
def test_the_offsets_of_many_times_are_those_of_each_time(name: str, day: str) -> None:
    zone, start = ZoneInfo(name), parse_time(day)
    times = np.arange(start - 5 * NS_PER_MINUTE, start + 1600 * NS_PER_MINUTE, 17 * NS_PER_S)
    assert offsets_s(times, zone).tolist() == [alone(time, zone) for time in times.tolist()]


def test_no_times_have_no_offsets() -> None:
    assert offsets_s(np.empty(0, np.int64), ZoneInfo("Europe/Berlin")).tolist() == []
