"""Drawdowns, compared with a reference that processes one row at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.backtesting.falls import KEPT, Falls
from botkit.model.results import Drawdown

SECOND = 10**9


def reference(opening: float, values: list[float]) -> tuple[list[Drawdown], float]:
    """Return all drawdowns in chronological order, and the duration of the longest one in seconds. The last drawdown
    may still be open at the end.
    """
    found, peak, peak_time, trough = [], opening, 0, None
    longest = 0
    for number, value in enumerate(values, start=1):
        if value >= peak:
            if trough is not None:
                found.append(Drawdown(1 - trough[0] / peak, peak_time * SECOND, trough[1] * SECOND, number * SECOND))
                longest = max(longest, number - peak_time)
            peak, peak_time, trough = value, number, None
        elif trough is None or value < trough[0]:
            trough = (value, number)
    if trough is not None:
        found.append(Drawdown(1 - trough[0] / peak, peak_time * SECOND, trough[1] * SECOND))
        longest = max(longest, len(values) - peak_time)
    return found, longest


@settings(deadline=None, max_examples=300)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=60), st.integers(1, 12), st.data())
def test_drawdowns_match_a_row_by_row_reference_for_any_slicing(values: list[int], opening: int, data) -> None:
    falls, at = Falls(0, float(opening)), 0
    while at < len(values):
        size = data.draw(st.integers(1, len(values) - at))
        times = np.arange(at + 1, at + size + 1, dtype=np.int64) * SECOND
        falls.add(times, np.array(values[at : at + size], dtype=float))
        at += size
    expected, longest = reference(float(opening), [float(value) for value in values])
    deepest = sorted(expected, key=lambda fall: -fall.fraction)[:KEPT]
    assert [fall.fraction for fall in falls.deepest()] == pytest.approx([fall.fraction for fall in deepest])
    assert falls.longest_s() == longest
    assert all(fall in expected for fall in falls.deepest())


def test_a_drawdown_without_recovery_lasts_until_the_end_of_the_run() -> None:
    falls = Falls(0, 10.0)
    falls.add(np.array([SECOND, 2 * SECOND], np.int64), np.array([12.0, 11.0]))
    assert falls.longest_s() == 1
    assert falls.longest_s(100 * SECOND) == 99
    assert falls.deepest() == [Drawdown(1 - 11 / 12, SECOND, 2 * SECOND)]


def test_a_curve_that_only_rises_has_no_drawdowns() -> None:
    falls = Falls(0, 1.0)
    falls.add(np.arange(1, 5, dtype=np.int64), np.array([1.0, 1.0, 2.0, 3.0]))
    assert falls.deepest() == []
    assert falls.longest_s(100 * SECOND) == 0
