"""Bars: closing times, contents, gaps and late trades."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.engine.market.bars import BarBuilder, can_build
from botkit.model.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS, NS_PER_S, parse_time
from botkit.model.events import Bar
from botkit.model.pairs import Pair, PairRules
from botkit.model.resolutions import RESOLUTIONS, bucket_end, bucket_start

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
M = NS_PER_MINUTE
T0 = parse_time("2025-03-03T10:00")  # a Monday
GRACE = 2 * NS_PER_S


def bar(minute: int, price: float = 1.0, volume: float = 1.0, **changes: Any) -> Bar:
    given = {"open": price, "high": price, "low": price, "close": price, **changes}
    return Bar(PAIR, T0 + minute * M, volume=volume, **given)


def flat(minute: int, price: float, resolution: str = "1m", length: int = M) -> Bar:
    return Bar(PAIR, T0 + minute * length, price, price, price, price, 0.0, resolution, True)


def builder(resolution: str = "1m", grace_ns: int = GRACE) -> BarBuilder:
    return BarBuilder(PAIR, resolution, grace_ns=grace_ns)


# -- from trades ------------------------------------------------------------------------------------------------------


def test_the_first_trade_of_the_next_interval_closes_the_current_bar_and_opens_a_new_one() -> None:
    b = builder()
    for second, price, amount in ((1, 10.0, 0.1), (20, 14.0, 0.2), (40, 8.0, 0.3), (59, 11.0, 0.4)):
        assert not b.on_trade(T0 + second * NS_PER_S, price, amount)
    assert list(b.on_trade(T0 + M, 20.0, 5.0)) == [Bar(PAIR, T0, 10.0, 14.0, 8.0, 11.0, 1.0)]
    assert list(b.on_trade(T0 + 2 * M, 21.0, 1.0)) == [bar(1, 20.0, 5.0)]


def test_intervals_without_trades_produce_flat_empty_bars() -> None:
    b = builder()
    b.on_trade(T0, 10.0, 1.0)
    assert list(b.on_trade(T0 + 3 * M + 1, 12.0, 1.0)) == [bar(0, 10.0), flat(1, 10.0), flat(2, 10.0)]


def test_the_timer_closes_a_bar_once_the_grace_period_after_its_end_has_elapsed() -> None:
    b = builder()
    assert b.next_close() is None
    assert not b.close_due(T0 + 100 * M)
    b.on_trade(T0 + 5, 10.0, 1.0)
    assert b.next_close() == T0 + M + GRACE
    assert not b.close_due(T0 + M + GRACE - 1)
    assert list(b.close_due(T0 + M + GRACE)) == [bar(0, 10.0)]
    assert b.next_close() == T0 + 2 * M + GRACE
    assert list(b.close_due(T0 + 4 * M)) == [flat(1, 10.0), flat(2, 10.0)]
    assert not b.close_due(T0 + 4 * M)


def test_a_trade_within_the_grace_period_is_included_and_a_trade_after_it_is_late() -> None:
    b = builder()
    b.on_trade(T0, 10.0, 1.0)
    b.on_trade(T0 + M - 1, 11.0, 1.0)
    (closed,) = b.close_due(T0 + M + GRACE)
    assert (closed.close, closed.volume) == (11.0, 2.0)
    assert not b.on_trade(T0 + M - 1, 99.0, 9.0)  # while the next bar has no trades yet
    b.on_trade(T0 + M + 1, 12.0, 1.0)
    assert not b.on_trade(T0 + M - 1, 99.0, 9.0)  # and after the next bar has trades
    assert b.late == 2
    assert list(b.close_due(T0 + 2 * M + GRACE)) == [bar(1, 12.0)]


def test_the_first_trade_after_the_timer_opens_the_next_bar() -> None:
    b = builder()
    b.on_trade(T0, 10.0, 1.0)
    b.close_due(T0 + M + GRACE)
    b.on_trade(T0 + M, 20.0, 1.0)
    b.on_trade(T0 + M + 5, 15.0, 1.0)
    (closed,) = b.close_due(T0 + 2 * M + GRACE)
    assert (closed.open, closed.high, closed.low, closed.close, closed.volume) == (20.0, 20.0, 15.0, 15.0, 2.0)


def test_volumes_are_rounded_to_whole_lots() -> None:
    b = builder()
    for _ in range(10):
        b.on_trade(T0, 10.0, 0.1)  # in floats, ten times 0.1 sums to 0.9999999999999999
    assert b.on_trade(T0 + M, 10.0, 1.0)[0].volume == 1.0


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_each_resolution_has_its_own_intervals(resolution: str) -> None:
    b = builder(resolution)
    b.on_trade(T0, 10.0, 1.0)
    start = bucket_start(T0, resolution)
    end = bucket_end(start, resolution)
    assert not b.on_trade(end - 1, 11.0, 1.0)
    (closed,) = b.on_trade(end, 12.0, 1.0)
    assert (closed.time, closed.resolution, closed.close) == (start, resolution, 11.0)
    assert b.next_close() == bucket_end(end, resolution) + GRACE


def test_monthly_bars_follow_the_calendar() -> None:
    b = builder("1M")
    b.on_trade(parse_time("2024-01-31"), 10.0, 1.0)
    starts = [closed.time for closed in b.on_trade(parse_time("2024-04-01"), 10.0, 1.0)]
    assert starts == [parse_time(f"2024-0{month}-01") for month in (1, 2, 3)]


TRADES = st.lists(
    st.tuples(st.integers(0, 200 * NS_PER_S), st.integers(1, 50), st.integers(1, 10**9), st.integers(0, 40 * NS_PER_S)),
    max_size=40,
)


def definition(trades: Sequence[tuple[int, float, float]], starts: Sequence[int]) -> list[Bar]:
    """Build the bars by grouping the trades, without keeping state."""
    bars: list[Bar] = []
    for start in starts:
        inside = [(p, a) for t, p, a in trades if start <= t < start + M]
        if inside:
            prices = [p for p, _ in inside]
            volume = round(sum(round(a * 1e8) for _, a in inside)) / 1e8
            bars.append(Bar(PAIR, start, prices[0], max(prices), min(prices), prices[-1], volume))
        else:
            last = bars[-1].close
            bars.append(Bar(PAIR, start, last, last, last, last, 0.0, "1m", True))
    return bars


@given(TRADES)
@settings(deadline=None, max_examples=150)
def test_ordered_trades_are_grouped_into_bars_by_interval(rows: list[tuple[int, int, int, int]]) -> None:
    trades = sorted((T0 + t, float(p), a / 1e8) for t, p, a, _ in rows)
    b = builder()
    bars: list[Bar] = []
    for trade in trades:
        bars += b.on_trade(*trade)
    if trades:
        bars += b.close_due(T0 + 5 * M + GRACE)
        first = bucket_start(trades[0][0], "1m")
        assert bars == definition(trades, range(first, T0 + 5 * M, M))
    assert b.late == 0


@given(TRADES)
@settings(deadline=None, max_examples=150)
def test_each_interval_is_produced_once_from_out_of_order_trades_and_timers(
    rows: list[tuple[int, int, int, int]],
) -> None:
    b = builder()
    bars: list[Bar] = []
    applied, now = 0, T0
    for offset, price, amount, step in rows:
        now += step
        due = b.next_close()
        closed = list(b.close_due(now))
        assert bool(closed) is (due is not None and due <= now)
        assert all(x.time + M + GRACE <= now for x in closed)
        bars += closed
        late = b.late
        bars += b.on_trade(T0 + offset, float(price), amount / 1e8)
        applied += amount if b.late == late else 0
    bars += b.close_due(now + 400 * NS_PER_S + GRACE)
    assert [x.time for x in bars] == list(range(bars[0].time, bars[0].time + len(bars) * M, M)) if bars else True
    assert sum(round(x.volume * 1e8) for x in bars) == applied
    assert all(x.low <= min(x.open, x.close) <= max(x.open, x.close) <= x.high for x in bars)
    assert all(x.empty is (x.volume == 0) for x in bars)


# -- from candles -----------------------------------------------------------------------------------------------------


def candle(b: BarBuilder, minute: int, o: float, h: float, low: float, c: float, v: float) -> list[Bar]:
    return list(b.on_candle(T0 + minute * M, o, h, low, c, v, "1m"))


def test_a_candle_with_the_bars_resolution_becomes_a_bar_immediately() -> None:
    b = builder(grace_ns=0)
    for minute in range(3):
        assert candle(b, minute, 10, 12, 9, 11, 2) == [bar(minute, 10, 2, high=12, low=9, close=11)]


def test_a_gap_between_candles_is_filled_with_flat_bars() -> None:
    b = builder(grace_ns=0)
    candle(b, 0, 10, 12, 9, 11, 2)
    assert candle(b, 3, 5, 5, 5, 5, 1) == [flat(1, 11), flat(2, 11), bar(3, 5, 1)]


def test_the_timer_fills_a_gap_once_the_interval_is_over() -> None:
    b = builder(grace_ns=0)
    candle(b, 0, 10, 12, 9, 11, 2)
    assert b.next_close() == T0 + 2 * M
    assert list(b.close_due(T0 + 2 * M)) == [flat(1, 11)]
    assert candle(b, 2, 5, 5, 5, 5, 1) == [bar(2, 5, 1)]


def test_a_candle_for_an_already_closed_bar_is_counted_but_ignored() -> None:
    b = builder(grace_ns=0)
    candle(b, 0, 10, 12, 9, 11, 2)
    b.close_due(T0 + 2 * M)
    assert candle(b, 1, 5, 5, 5, 5, 1) == []
    assert b.late == 1


def test_a_coarser_bar_closes_with_its_last_candle() -> None:
    b = builder("5m", 0)
    for minute in range(4):
        assert candle(b, minute, 10 + minute, 20 + minute, 5 + minute, 11 + minute, 0.1) == []
    assert candle(b, 4, 1, 2, 0.5, 1.5, 0.1) == [Bar(PAIR, T0, 10, 23, 0.5, 1.5, 0.5, "5m")]


def test_a_coarser_bar_missing_its_last_candle_closes_with_the_next_candle_or_by_timer() -> None:
    b = builder("5m", 0)
    candle(b, 0, 10, 10, 10, 10, 1)
    assert candle(b, 11, 7, 7, 7, 7, 1) == [Bar(PAIR, T0, 10, 10, 10, 10, 1, "5m"), flat(1, 10, "5m", 5 * M)]
    assert list(b.close_due(T0 + 15 * M)) == [Bar(PAIR, T0 + 10 * M, 7, 7, 7, 7, 1, "5m")]


def test_a_flat_candle_with_zero_volume_is_treated_as_an_interval_without_trades() -> None:
    b = builder(grace_ns=0)
    assert candle(b, 0, 10, 10, 10, 10, 0)[0].empty
    coarse = builder("5m", 0)
    for minute in range(4):
        candle(coarse, minute, 10, 10, 10, 10, 0)
    assert candle(coarse, 4, 10, 10, 10, 10, 0)[0].empty
    for minute in range(5, 9):
        candle(coarse, minute, 10, 10, 10, 10, 0)
    assert not candle(coarse, 9, 10, 10, 10, 10, 1)[0].empty


def test_monthly_bars_are_built_from_daily_or_monthly_candles() -> None:
    for source, starts in (("1d", [f"2024-02-{day:02}" for day in range(1, 30)]), ("1M", ["2024-02-01"])):
        b = builder("1M", 0)
        bars = [x for text in starts for x in b.on_candle(parse_time(text), 1, 1, 1, 1, 1, source)]
        assert [(x.time, x.volume) for x in bars] == [(parse_time("2024-02-01"), float(len(starts)))]


def test_candles_whose_resolution_does_not_divide_the_bar_resolution_are_refused() -> None:
    with pytest.raises(ValueError, match="bars of 4h cannot be built from candles of 3h"):
        builder("4h").on_candle(T0, 1, 1, 1, 1, 1, "3h")
    with pytest.raises(ValueError, match="'2m' is not a resolution"):
        builder("4h").on_candle(T0, 1, 1, 1, 1, 1, "2m")


def test_bars_are_built_only_from_resolutions_that_divide_the_bar_resolution() -> None:
    for coarse in RESOLUTIONS:
        for fine in RESOLUTIONS:
            starts = range(T0 - 40 * NS_PER_DAY, T0 + 40 * NS_PER_DAY, NS_PER_HOUR)
            nests = all(
                bucket_end(bucket_start(t, fine), fine)
                <= bucket_end(bucket_start(bucket_start(t, fine), coarse), coarse)
                for t in starts
            )
            assert can_build(coarse, fine) is nests, (coarse, fine)


@given(st.lists(st.integers(0, 30), unique=True, min_size=1), st.sampled_from(["5m", "15m"]))
@settings(deadline=None, max_examples=60)
def test_coarse_bars_built_from_trades_equal_those_built_from_fine_bars(minutes: list[int], resolution: str) -> None:
    fine, coarse, from_fine = builder(), builder(resolution), builder(resolution)
    direct: list[Bar] = []
    merged: list[Bar] = []

    def merge(bars: Sequence[Bar]) -> None:
        for x in bars:
            merged.extend(from_fine.on_candle(x.time, x.open, x.high, x.low, x.close, x.volume, "1m"))

    for minute in sorted(minutes):
        trade = (T0 + minute * M + 7, 100.0 + minute * 7 % 5, 0.1)
        direct += coarse.on_trade(*trade)
        merge(fine.on_trade(*trade))
    direct += coarse.close_due(T0 + 60 * M + GRACE)
    merge(fine.close_due(T0 + 60 * M + GRACE))
    assert direct == merged


def test_a_warm_start_leaves_no_gap_between_the_history_and_the_first_bar() -> None:
    b = builder()
    history = b.warm_start([bar(0, 10.0), bar(3, 12.0)])
    assert history == [bar(0, 10.0), flat(1, 10.0), flat(2, 10.0), bar(3, 12.0)]
    # the exchange returns no candles for the intervals without trades before the start
    assert list(b.close_due(T0 + 6 * M)) == [flat(4, 12.0)]
    b.on_trade(T0 + 6 * M + 1, 13.0, 1.0)
    assert list(b.close_due(T0 + 7 * M + GRACE)) == [bar(6, 13.0)]


def test_a_warm_start_accepts_history_in_a_finer_resolution() -> None:
    b = builder("5m")
    assert [x.time for x in b.warm_start([bar(minute) for minute in range(7)])] == [T0]
    b.on_trade(T0 + 8 * M, 3.0, 1.0)
    (closed,) = b.on_trade(T0 + 10 * M, 3.0, 1.0)
    assert (closed.open, closed.close, closed.volume) == (1.0, 3.0, 3.0)


def test_a_builder_continues_from_bars_built_elsewhere() -> None:
    b = builder(grace_ns=0)
    assert not b.follows(bar(0))
    candle(b, 0, 10, 10, 10, 10, 1)
    assert b.follows(bar(1))
    assert not b.follows(bar(2))
    b.follow(bar(1, 20.0))
    assert b.follows(bar(2))
    b.on_trade(T0 + 2 * M, 30.0, 1.0)
    assert not b.follows(bar(2))
    assert b.on_trade(T0 + 3 * M, 31.0, 1.0) == [bar(2, 30.0)]
    b.follow(bar(9, 20.0))
    assert candle(b, 11, 5, 5, 5, 5, 1) == [flat(10, 20.0), bar(11, 5)]


def test_a_builder_refuses_invalid_arguments() -> None:
    with pytest.raises(ValueError, match="not a resolution"):
        builder("2m")
    with pytest.raises(ValueError, match="grace_ns"):
        builder("1m", -1)


def test_millisecond_timestamps_from_the_wire_fall_into_the_correct_interval() -> None:
    b = builder()
    b.on_trade(T0 + 59_999 * NS_PER_MS, 1.0, 1.0)
    assert len(b.on_trade(T0 + 60_000 * NS_PER_MS, 1.0, 1.0)) == 1
