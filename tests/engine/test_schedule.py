"""Schedules: firing times are strictly ascending, aligned, and correct across both clock changes. Error messages
suggest a fix.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.engine.strategy.schedule import COUNT_MOST, CronSchedule, EverySchedule, parse_schedule
from botkit.model.clock import NS_PER_DAY, NS_PER_S, format_time, from_datetime, parse_time

TAIPEI = ZoneInfo("Asia/Taipei")
BERLIN = ZoneInfo("Europe/Berlin")  # in 2025, clocks go forward on 30 March at 02:00 and back on 26 October at 03:00
START = from_datetime(datetime(2025, 1, 1, tzinfo=UTC))
TIMES = st.integers(START, START + 400 * NS_PER_DAY)


def rings(schedule: Any, after: str, count: int, zone: tzinfo) -> list[str]:
    time, found = parse_time(after, zone), []
    for _ in range(count):
        time = schedule.next_after(time)
        found.append(format_time(time, zone)[:16] + format_time(time, zone)[-6:])
    return found


def test_an_interval_schedule_is_aligned_to_the_epoch() -> None:
    schedule = EverySchedule(60)
    assert schedule.next_after(0) == 60 * NS_PER_S
    assert schedule.next_after(60 * NS_PER_S - 1) == 60 * NS_PER_S
    assert schedule.next_after(60 * NS_PER_S) == 120 * NS_PER_S
    assert EverySchedule("0.25").next_after(NS_PER_S) == 1_250_000_000
    assert EverySchedule(0.1).period_ns == 100_000_000


def test_count_between_includes_the_end_but_not_the_start() -> None:
    schedule = EverySchedule(10)
    assert schedule.count_between(0, 30 * NS_PER_S) == 3
    assert schedule.count_between(10 * NS_PER_S, 10 * NS_PER_S) == 0
    assert schedule.count_between(30 * NS_PER_S, 0) == 0
    assert schedule.count_between(0, 10**9 * NS_PER_S) == 10**8


def test_cron_schedules_fire_in_their_time_zone() -> None:
    assert rings(CronSchedule("0 9 * * 1", TAIPEI), "2025-01-01", 2, TAIPEI) == [
        "2025-01-06T09:00+08:00", "2025-01-13T09:00+08:00",
    ]  # fmt: skip
    assert CronSchedule("0 9 * * *").next_after(START) == START + 9 * 3600 * NS_PER_S


def test_cron_schedules_fire_strictly_after_the_given_time() -> None:
    schedule = CronSchedule("30 * * * *", TAIPEI)
    ring = schedule.next_after(START)
    assert schedule.next_after(ring) == ring + 3600 * NS_PER_S
    assert schedule.next_after(ring - 1) == ring
    assert schedule.next_after(ring + 1) == ring + 3600 * NS_PER_S


def test_a_firing_skipped_in_spring_occurs_at_the_clock_change() -> None:
    assert rings(CronSchedule("30 2 * * *", BERLIN), "2025-03-29T02:30+01:00", 2, BERLIN) == [
        "2025-03-30T03:00+02:00", "2025-03-31T02:30+02:00",
    ]  # fmt: skip


def test_a_firing_time_repeated_in_autumn_fires_only_once() -> None:
    wanted = ["2025-10-26T02:30+02:00", "2025-10-27T02:30+01:00"]
    assert rings(CronSchedule("30 2 * * *", BERLIN), "2025-10-25T02:30+02:00", 2, BERLIN) == wanted
    # queried during the second 02:00 hour, after the schedule has already fired; that firing must not be returned again
    assert rings(CronSchedule("30 2 * * *", BERLIN), "2025-10-26T02:15+01:00", 1, BERLIN) == wanted[1:]


def test_an_interval_schedule_keeps_firing_through_the_repeated_hour() -> None:
    assert rings(CronSchedule("*/30 * * * *", BERLIN), "2025-10-26T01:45+02:00", 5, BERLIN) == [
        "2025-10-26T02:00+02:00", "2025-10-26T02:30+02:00", "2025-10-26T02:00+01:00", "2025-10-26T02:30+01:00",
        "2025-10-26T03:00+01:00",
    ]  # fmt: skip


EXPRESSIONS = ["0 9 * * 1", "30 2 * * *", "15,30 2-3 * * *", "*/7 * * * *", "0 0 1 * *", "5 */6 * * SUN", "0 0 L * *"]


@given(st.sampled_from(EXPRESSIONS), st.sampled_from([BERLIN, TAIPEI, UTC, ZoneInfo("Australia/Lord_Howe")]), TIMES)
@settings(deadline=None, max_examples=80)
def test_the_next_firing_is_identical_for_all_times_between_two_firings(
    expression: str, zone: tzinfo, time: int
) -> None:
    first = CronSchedule(expression, zone).next_after(time)
    assert first > time
    for between in (time + (first - time) // 3, (time + first) // 2, first - 1):
        assert CronSchedule(expression, zone).next_after(between) == first
    # the next firing is identical with and without the cached iterator
    schedule = CronSchedule(expression, zone)
    schedule.next_after(time)
    assert schedule.next_after(first) == CronSchedule(expression, zone).next_after(first) > first


@given(st.sampled_from(EXPRESSIONS), st.sampled_from([BERLIN, TAIPEI]), TIMES, st.integers(0, 5 * NS_PER_DAY))
@settings(deadline=None, max_examples=30)
def test_counts_equal_the_number_of_firings(expression: str, zone: tzinfo, after: int, span: int) -> None:
    schedule, count, at = CronSchedule(expression, zone), 0, after
    while (at := schedule.next_after(at)) <= after + span:
        count += 1
    assert schedule.count_between(after, after + span) == count
    assert schedule.count_between(after + span, after) == 0


def test_counting_missed_firings_over_a_long_downtime_stops_at_the_maximum() -> None:
    assert CronSchedule("* * * * *").count_between(START, START + 1000 * NS_PER_DAY) == COUNT_MOST


def test_parse_returns_the_matching_schedule() -> None:
    assert isinstance(parse_schedule(every_s=5), EverySchedule)
    schedule = parse_schedule(cron="0 9 * * *", zone="Asia/Taipei")
    assert isinstance(schedule, CronSchedule)
    assert schedule.zone == TAIPEI


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "given neither"),
        ({"every_s": 1, "cron": "* * * * *"}, "given both"),
        ({"every_s": 0}, "at least 0.001"),
        ({"every_s": -5}, "at least 0.001"),
        ({"every_s": 0.0001}, "at least 0.001"),
        ({"every_s": "0.0010000001"}, "whole nanoseconds"),
        ({"every_s": float("nan")}, "not a finite number"),
        ({"every_s": True}, "write every_s=60"),
        ({"every_s": "1m"}, "not a plain decimal"),
        ({"cron": "0 9 * *"}, "five fields"),
        ({"cron": "0 0 9 * * 1"}, "five fields"),
        ({"cron": "@daily"}, "five fields"),
        ({"cron": 5}, "five fields"),
        ({"cron": "0 25 * * *"}, "the hour is wrong"),
        ({"cron": "0 9 * * MO"}, "the day-of-week is wrong"),
        ({"cron": "0 0 30 2 *"}, "day-of-month is wrong"),
        ({"cron": "0 0 */31 2 1#2"}, "never fires"),
        ({"cron": "0 9 * * *", "zone": "Asia/Taipeh"}, "not a time zone"),
        ({"cron": "0 9 * * *", "zone": "Asia"}, "not a time zone"),
        ({"cron": "0 9 * * *", "zone": "../etc"}, "not a time zone"),
    ],
)
def test_invalid_schedules_are_reported_with_a_suggested_fix(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_schedule(**given)
