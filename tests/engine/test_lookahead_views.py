"""Attempts by a strategy to look ahead or modify data through its bar arrays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from botkit.engine.market.bars import BarBuilder
from botkit.engine.strategy.bar_series import BarSeries
from botkit.model.clock import NS_PER_MINUTE, parse_time
from botkit.model.events import Bar
from botkit.model.pairs import Pair, PairRules

PAIR = Pair(
    "btc_twd",
    PairRules(
        price_decimals=0,
        amount_decimals=8,
        display_decimals=4,
        least_lots=10_000,
        most_lots=10**16,
        least_spend_units=10**8,
        open_orders_max=200,
    ),
)
T0 = parse_time("2025-03-03T10:00")
NAMES = ("open", "high", "low", "close", "volume", "time")


def bars(count: int) -> list[Bar]:
    """Create bars in which every value of bar i is at least 1000 + i, so that values from later bars can be
    recognized.
    """
    return [Bar(PAIR, T0 + i * NS_PER_MINUTE, *([1000.0 + i] * 5)) for i in range(count)]


def everything_behind(view: Any) -> Iterator[Any]:
    """Yield the view and all underlying objects reachable from it: base arrays, memoryviews and their exporters."""
    seen: list[Any] = []
    queue = [view]
    while queue:
        thing = queue.pop()
        if thing is None or any(thing is other for other in seen):
            continue
        seen.append(thing)
        yield thing
        for name in ("base", "obj", "data"):
            if not isinstance(thing, bytes):
                queue.append(getattr(thing, name, None))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [1, 2, 100, 255, 256, 257, 4095, 4096, 4097, 9000])
def test_the_memory_behind_a_view_contains_no_future_bar(name: str, count: int) -> None:
    series = BarSeries(PAIR, "1m")
    for bar in bars(count):
        series.append(bar)
    latest = getattr(series, name)[-1]
    for thing in everything_behind(getattr(series, name)):
        if isinstance(thing, np.ndarray):
            assert thing.max() <= latest


def test_the_memory_contains_no_later_bar_at_any_step() -> None:
    series = BarSeries(PAIR, "1m")
    for i, bar in enumerate(bars(600)):
        series.append(bar)
        close = series.close
        assert len(close) == i + 1
        assert close[-1] == 1000.0 + i
        base = close.base
        assert isinstance(base, np.ndarray)
        assert not base[i + 1 :].any()
        # the memory past the end of the view contains no later bars either
        room = len(base) - len(close)
        beyond = np.lib.stride_tricks.as_strided(close, shape=(len(close) + room,), writeable=False)[len(close) :]
        assert not beyond.any()


@pytest.mark.parametrize("name", NAMES)
def test_neither_views_nor_their_base_arrays_are_writable(name: str) -> None:
    series = BarSeries(PAIR, "1m")
    series.append_all(bars(300))
    view = getattr(series, name)
    for thing in everything_behind(view):
        if isinstance(thing, np.ndarray):
            with pytest.raises(ValueError, match="read-only"):
                thing[0] = 7
            with pytest.raises(ValueError, match="WRITEABLE"):
                thing.flags.writeable = True
            with pytest.raises(ValueError, match="read-only"):
                np.copyto(thing, 0)
            with pytest.raises(ValueError, match="read-only"):
                thing.sort()
            with pytest.raises(ValueError, match="read-only"):
                np.add(thing, 1, out=thing)
            assert memoryview(thing).readonly
            with pytest.raises(ValueError, match="WRITEABLE"):
                thing.view().setflags(write=True)
            with pytest.raises(ValueError, match="WRITEABLE"):
                thing.reshape(-1, 1).setflags(write=True)
        elif isinstance(thing, memoryview):
            assert thing.readonly
    assert getattr(series, name).tolist() == [getattr(bar, name) for bar in bars(300)]


def test_the_object_behind_the_base_array_exposes_no_buffer() -> None:
    series = BarSeries(PAIR, "1m")
    series.append_all(bars(3))
    base = series.close.base
    assert isinstance(base, np.ndarray)
    keeper = base.base
    public = {name: getattr(keeper, name) for name in dir(keeper) if not name.startswith("__")}
    assert not public
    assert keeper is not None
    assert keeper.__array_interface__["data"][1] is True  # any array created from it is read-only
    with pytest.raises(ValueError, match="WRITEABLE"):
        np.asarray(keeper).flags.writeable = True


@pytest.mark.parametrize("keep", [None, 5, 300])
def test_later_bars_do_not_change_earlier_views(keep: int | None) -> None:
    series = BarSeries(PAIR, "1m", keep=keep)
    taken = []
    for bar in bars(1500):
        series.append(bar)
        view = series.close
        taken.append((view, view.tolist()))
    for view, content in taken[::37]:
        assert view.tolist() == content


def test_a_view_outlives_its_series() -> None:
    series = BarSeries(PAIR, "1m")
    series.append_all(bars(400))
    view, wanted = series.close, series.close.tolist()
    del series
    gc.collect()
    scribble = [np.full(512, -1.0) for _ in range(200)]  # these arrays would overwrite prematurely freed memory
    assert view.tolist() == wanted
    assert len(scribble) == 200


def test_memory_is_freed_once_all_views_are_gone() -> None:
    import weakref

    series = BarSeries(PAIR, "1m")
    series.append_all(bars(400))
    base = series.close.base
    assert isinstance(base, np.ndarray)
    keeper: Any = base.base
    gone = weakref.ref(keeper)
    del series, base, keeper
    gc.collect()
    assert gone() is None


def test_a_coarser_series_is_never_ahead_of_a_finer_one() -> None:
    fine, coarse = BarSeries(PAIR, "1m"), BarSeries(PAIR, "5m")
    one, five = BarBuilder(PAIR, "1m", grace_ns=0), BarBuilder(PAIR, "5m", grace_ns=0)
    for i in range(100):
        price = 1000.0 + i
        row = (T0 + i * NS_PER_MINUTE, price, price, price, price, 1.0, "1m")
        for bar in one.on_candle(*row):
            fine.append(bar)
        for bar in five.on_candle(*row):
            coarse.append(bar)
        assert fine.close[-1] == price
        assert len(coarse) == (i + 1) // 5  # the unfinished bar is not included
        if len(coarse):
            assert coarse.high[-1] <= price
            assert coarse.close.base is not None
            assert coarse.close.base.max() <= price


def test_only_history_is_visible_during_warm_up() -> None:
    history, future = bars(50)[:30], bars(50)[30:]
    series, builder = BarSeries(PAIR, "1m"), BarBuilder(PAIR, "1m", grace_ns=0)
    series.append_all(builder.warm_start(history))
    assert series.close.tolist() == [bar.close for bar in history]
    assert series.close.base is not None
    assert series.close.base.max() == history[-1].close
    for bar in future:
        assert series[-1].time < bar.time
        for done in builder.on_candle(bar.time, bar.open, bar.high, bar.low, bar.close, bar.volume, "1m"):
            series.append(done)
    assert len(series) == 50


def test_extend_does_not_keep_references_to_its_argument_arrays() -> None:
    series = BarSeries(PAIR, "1m")
    source = np.array([1000.0 + i for i in range(500)])
    times = np.array([T0 + i * NS_PER_MINUTE for i in range(500)])
    series.extend(times[:10], *([source[:10]] * 5))
    for thing in everything_behind(series.close):
        assert thing is not source
        if isinstance(thing, np.ndarray):
            assert not np.shares_memory(thing, source)
    source[:10] = -1.0
    assert series.close[0] == 1000.0
