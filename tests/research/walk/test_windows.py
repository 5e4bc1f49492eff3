"""The windows of a walk-forward analysis: their time spans, and the errors for data that is too short."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botkit.errors import ConfigError
from botkit.research.walk.windows import windows

DAY = 86_400 * 10**9
START = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * 10**9


def test_windows_advance_by_the_length_of_a_test_window() -> None:
    found = windows(START, START + 10 * DAY, train_days=4, test_days=2, is_anchored=False, zone=UTC)
    days = [tuple((moment - START) // DAY for moment in (w.train_start, w.train_end, w.test_end)) for w in found]
    assert days == [(0, 4, 6), (2, 6, 8), (4, 8, 10)]


def test_anchored_windows_start_at_the_beginning_of_the_data() -> None:
    found = windows(START, START + 10 * DAY, train_days=4, test_days=2, is_anchored=True, zone=UTC)
    assert [(w.train_start, w.train_end) for w in found] == [(START, START + d * DAY) for d in (4, 6, 8)]


def test_a_window_starts_at_local_midnight() -> None:
    found = windows(START, START + 10 * DAY, train_days=4, test_days=2, is_anchored=False, zone=ZoneInfo("Asia/Taipei"))
    assert found[0].train_start == START + DAY - 8 * 3_600 * 10**9


@pytest.mark.parametrize("gap", [0, 1, 5])
def test_a_test_begins_at_local_midnight_after_a_gap_in_which_clocks_change(gap: int) -> None:
    zone = ZoneInfo("Europe/Berlin")
    march = [int(datetime(2025, 3, day, tzinfo=zone).timestamp()) * 10**9 for day in range(1, 32)]
    [window] = windows(march[9], march[30] + DAY, train_days=15, test_days=7, is_anchored=False, zone=zone)
    # clocks changed on 30 March
    assert window.test_start == march[24]
    assert window.tested_from(gap) == march[24 + gap]
    [window] = windows(march[9], march[30] + DAY, train_days=20, test_days=2, is_anchored=False, zone=zone)
    assert window.tested_from(1) == march[30]


@given(st.integers(0, 10**15), st.integers(1, 60), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_training_windows_end_before_their_test_windows_and_test_windows_are_adjacent(
    offset: int, days: int, train: int, test: int, is_anchored: bool
) -> None:
    start, end = START + offset, START + offset + days * DAY
    try:
        found = windows(
            start, end, train_days=train, test_days=test, is_anchored=is_anchored, zone=ZoneInfo("Europe/Paris")
        )
    except ConfigError:
        assert days < train + test + 2
        return
    for window in found:
        assert start <= window.train_start < window.train_end <= window.test_start < window.test_end <= end
    for before, after in itertools.pairwise(found):
        assert before.test_end == after.test_start


def test_the_error_for_insufficient_data_states_the_length_of_the_data() -> None:
    with pytest.raises(ConfigError, match="the data has 5 full days, but one window needs 4 \\+ 2"):
        windows(START, START + 5 * DAY + 1, train_days=4, test_days=2, is_anchored=False, zone=UTC)
