"""Strategy plots have bounded size, are thinned identically no matter how points arrive, and are kept separate by
name.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botkit.engine.strategy.plots import LINES_MAX, LineKey, PlotLine, PlotStore


def test_points_with_the_same_name_form_a_line() -> None:
    store = PlotStore("s")
    store.plot(1, "spread", 2.5)
    store.plot(2, "spread", 3)
    store.plot(2, "stop", 99.0, pane="price", pair="eth_twd")
    spread, stop = store.lines("btc_twd")
    assert (spread.pair, spread.strategy, spread.name, spread.pane) == ("btc_twd", "s", "spread", "spread")
    assert (spread.times, spread.values) == ([1, 2], [2.5, 3.0])
    assert (stop.pair, stop.pane) == ("eth_twd", "price")


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_missing_value_leaves_a_gap(value: Any) -> None:
    store = PlotStore("s")
    store.plot(1, "spread", value)
    assert store.lines() == []


@pytest.mark.parametrize("value", ["1", True, [1.0]])
def test_non_numeric_values_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"plot\('spread', ...\) takes a number, not"):
        PlotStore("s").plot(1, "spread", value)


@given(st.integers(0, 500), st.integers(2, 20))
def test_a_line_that_covers_the_entire_run_is_halved_when_full_and_stays_evenly_spaced(count: int, most: int) -> None:
    line = PlotLine("price", (), most, whole_run=True)
    for i in range(count):
        line.add(i, float(i))
        assert len(line) <= most
    ((_, times, values),) = line.columns()
    stride = times[1] - times[0] if len(times) > 1 else 1
    assert times == list(range(0, count, stride))
    assert values == [float(t) for t in times]
    assert len(times) > most // 2 or count <= most


def test_a_live_line_keeps_its_most_recent_points() -> None:
    line = PlotLine("price", (), 10, whole_run=False)
    for i in range(1_000):
        line.add(i, float(i))
        assert len(line) <= 10
    ((_, times, _),) = line.columns()
    assert times == list(range(1_000 - len(times), 1_000))
    assert len(times) >= 5


def test_the_number_of_plot_lines_is_limited() -> None:
    store = PlotStore("s")
    for i in range(LINES_MAX + 5):
        store.plot(1, f"order {i}", 1.0)
    assert len(store.lines()) == LINES_MAX
    assert store.dropped == 5
    store.plot(2, "order 3", 2.0)
    assert store.lines()[3].values == [1.0, 2.0]


def test_a_line_restarts_when_its_fields_change() -> None:
    store = PlotStore("s")
    key = LineKey("btc_twd", "1m", "signal")
    line = store.line(key, "price")
    assert line is not None
    line.add(1, 5.0)
    assert store.line(key, "price") is line
    other = store.line(key, "price", ("lower", "upper"))
    assert other is not None
    other.add(2, (1.0, 2.0))
    lines = [(found.name, found.field, found.values) for found in store.lines()]
    assert lines == [("signal", "lower", [1.0]), ("signal", "upper", [2.0])]


@given(
    sizes=st.lists(st.integers(0, 40), max_size=12),
    points_max=st.integers(2, 9),
    whole_run=st.booleans(),
    singles=st.booleans(),
)
def test_many_points_at_once_leave_the_line_that_single_points_leave(
    sizes: list[int], points_max: int, whole_run: bool, singles: bool
) -> None:
    one = PlotLine("price", (), points_max, whole_run=whole_run)
    many = PlotLine("price", (), points_max, whole_run=whole_run)
    at = 0
    for size in sizes:
        times = list(range(at, at + size))
        at += size
        for time in times:
            one.add(time, float(time))
        if singles and size == 1:
            many.add(times[0], float(times[0]))
        else:
            many.extend(times, [float(time) for time in times])
        assert list(many.columns()) == list(one.columns())
        assert many.skips == one.skips
