"""The series available to a strategy: contents, attached indicators, crossovers and plots."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.engine.indicators.array_indicator import ArrayIndicator
from botkit.engine.indicators.extremes import RollingHigh
from botkit.engine.indicators.indicator import Indicator
from botkit.engine.indicators.moving_averages import EMA, SMA
from botkit.engine.indicators.oscillators import MACD, RSI
from botkit.engine.indicators.volatility import ATR, Bollinger
from botkit.engine.indicators.volume import VWAP
from botkit.engine.strategy.bar_series import BarSeries
from botkit.engine.strategy.plots import PlotStore
from botkit.engine.strategy.series import KEEP_ROWS
from botkit.engine.strategy.trade_series import TradeSeries
from botkit.errors import NotReadyError
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.clock import NS_PER_MINUTE, parse_time
from botkit.model.events import Bar, Trade
from botkit.model.orders import Side

PAIR = packaged_pairs()["btc_twd"]
M = NS_PER_MINUTE
T0 = parse_time("2025-03-03T10:00")


def bar(minute: int, price: float = 1.0, volume: float = 1.0, **changes: Any) -> Bar:
    given = {"open": price, "high": price, "low": price, "close": price, **changes}
    return Bar(PAIR, T0 + minute * M, volume=volume, **given)


def bars_of(closes: list[float], first: int = 0) -> list[Bar]:
    return [bar(first + i, close, 1.0 + i % 3, high=close + 2, low=close - 1) for i, close in enumerate(closes)]


def feed(series: BarSeries, closes: list[float]) -> None:
    for row in bars_of(closes, len(series)):
        series.append(row)


def series(count: int, keep: int | None = None) -> BarSeries:
    found = BarSeries(PAIR, "1m", keep=keep)
    for minute in range(count):
        found.append(bar(minute, float(minute), minute % 2, empty=minute % 2 == 0))
    return found


@pytest.mark.parametrize("count", [0, 1, 2, 255, 256, 257, 5000])
def test_a_series_contains_the_appended_bars(count: int) -> None:
    got = series(count)
    assert len(got) == count
    for name in ("open", "high", "low", "close"):
        assert getattr(got, name).tolist() == [float(i) for i in range(count)]
        assert getattr(got, name).dtype == np.float64
    assert got.volume.tolist() == [float(i % 2) for i in range(count)]
    assert got.time.tolist() == [T0 + i * M for i in range(count)]
    assert got.time.dtype == np.int64
    assert list(got) == [bar(i, float(i), i % 2, empty=i % 2 == 0) for i in range(count)]


@given(
    st.lists(st.sampled_from(["append", "many", "read", "pandas", "last"]), max_size=40),
    st.sampled_from([None, 1, 3, 300]),
)
@settings(deadline=None, max_examples=60)
def test_a_series_returns_its_latest_bars_regardless_of_how_it_is_filled_and_read(
    moves: list[str], keep: int | None
) -> None:
    got, wanted = BarSeries(PAIR, "1m", keep=keep), []
    for move in moves:
        start = len(wanted)
        if move == "append":
            wanted.append(bar(start, float(start)))
            got.append(wanted[-1])
        elif move == "many":
            more = [bar(start + i, float(start + i)) for i in range(200)]
            wanted += more
            closes = [x.close for x in more]
            got.extend([x.time for x in more], closes, closes, closes, closes, [1.0] * 200)
        elif move == "read":
            assert got.close.tolist() == [x.close for x in (wanted if keep is None else wanted[-keep:])]
        elif move == "pandas":
            assert len(got.to_pandas()) == len(got)
        elif wanted:
            assert got[-1] == wanted[-1]
    visible = wanted if keep is None else wanted[-keep:]
    assert len(got) == len(visible)
    assert list(got) == visible
    assert got[:] == visible
    assert got[-3:] == visible[-3:]


def test_series_items_are_bars() -> None:
    got = series(5)
    assert got[-1] == got[4] == bar(4, 4.0, 0, empty=True)
    assert got[0].time == T0
    assert got[1:3] == [got[1], got[2]]
    for index in (5, -6):
        with pytest.raises(IndexError, match="of 5 finished bars of btc_twd 1m"):
            got[index]
    with pytest.raises(IndexError):
        BarSeries(PAIR, "1m")[-1]


def test_to_pandas_is_a_copy_indexed_by_utc_time() -> None:
    got = series(3)
    frame = got.to_pandas()
    assert list(frame.columns) == ["open", "high", "low", "close", "volume"]
    assert isinstance(frame.index, pd.DatetimeIndex)
    assert frame.index[0] == pd.Timestamp("2025-03-03T10:00", tz="UTC")
    frame.loc[:, "close"] = -1.0
    assert got.close.tolist() == [0.0, 1.0, 2.0]
    assert got.to_pandas().close.rolling(2).mean().iloc[-1] == 1.5


def test_keep_limits_the_length_and_memory_of_a_series() -> None:
    got = series(20_000, keep=10)
    assert got.close.tolist() == [float(i) for i in range(19_990, 20_000)]
    for minute in range(20_000, 21_000):
        got.append(bar(minute, float(minute)))
        assert got.close[0] == minute - 9
    assert got.close.base is not None
    assert len(got.close.base) < 10_000


@pytest.mark.parametrize("keep", [0, -1, 1.5, True])
def test_keep_must_be_a_positive_integer(keep: Any) -> None:
    with pytest.raises(ValueError, match="keep must be"):
        BarSeries(PAIR, "1m", keep=keep)


def test_bars_out_of_order_fail_an_assertion_because_only_an_engine_bug_can_cause_them() -> None:
    for later in ([1, 1], [2, 1], [1, 2, 2]):
        got = series(1)
        for minute in later:
            got.append(bar(minute))
        with pytest.raises(AssertionError):
            _ = got.close
    got = series(2)
    _ = got.close
    got.append(bar(1))
    with pytest.raises(AssertionError):
        _ = got.close


def test_a_lazily_filled_series_is_up_to_date_at_every_read() -> None:
    got, ready = BarSeries(PAIR, "1m"), [0, 0]

    def pull() -> None:
        done, upto = ready
        closes = [float(i) for i in range(done, upto)]
        ready[0] = upto
        got.extend([T0 + i * M for i in range(done, upto)], closes, closes, closes, closes, closes)

    got.pull_from(pull)
    for upto in (0, 1, 5, 700):
        ready[1] = upto
        assert len(got) == upto
        assert got.close.tolist() == [float(i) for i in range(upto)]
        if upto:
            assert got[-1].close == upto - 1
    ready[1] = 800
    got.pull_from(None)
    got.append(bar(800, 5.0))
    assert len(got) == 801
    assert got[-1].close == 5.0


# -- attached indicators ----------------------------------------------------------------------------------------------


def test_an_attached_indicator_returns_the_latest_and_the_previous_value() -> None:
    got = BarSeries(PAIR, "1m")
    fast = got.attach(SMA(2))
    assert (fast.value, fast.previous, fast.ready) == (None, None, False)
    feed(got, [10.0, 20.0])
    assert (fast.value, fast.previous, fast.ready) == (15.0, None, True)
    feed(got, [40.0])
    assert (fast.value, fast.previous) == (30.0, 15.0)
    assert fast.name == repr(fast) == "SMA(2)"


class Momentum(Indicator[float]):
    """An indicator written as a user would write it."""

    def __init__(self, length: int) -> None:
        self.history = length + 1
        self.reset()

    def reset(self) -> None:
        self.value = None
        self._closes: list[float] = []

    def step(self, close: float) -> float | None:  # type: ignore[override]
        self._closes = [*self._closes[-self.history + 1 :], close]
        if len(self._closes) == self.history:
            self.value = close - self._closes[0]
        return self.value

    def __repr__(self) -> str:
        return f"Momentum({self.history - 1})"


KINDS: list[tuple[Any, str]] = [
    (lambda: SMA(3), "close"), (lambda: SMA(30), "volume"), (lambda: EMA(4), "open"), (lambda: RSI(3), "typical"),
    (lambda: MACD(2, 4, 2), "close"), (lambda: Bollinger(5), "close"), (lambda: ATR(3), "close"),
    (lambda: VWAP(4), "close"), (VWAP, "close"), (lambda: RollingHigh(6), "high"), (lambda: Momentum(3), "close"),
    (lambda: ArrayIndicator(lambda high, low: high - low, 3, inputs=("high", "low")), "close"),
]  # fmt: skip


@given(st.integers(), st.sampled_from([None, 1, 50]))
@settings(deadline=None, max_examples=30)
def test_attached_indicators_do_not_depend_on_how_bars_are_added_and_read(seed: int, keep: int | None) -> None:
    chance = Random(seed)
    everything = bars_of([float(chance.randint(1, 100)) for _ in range(chance.choice([5, 60, 700]))])
    plots = [PlotStore("s", takes_indicators=True, whole_run=True, points_max=100) for _ in range(2)]
    plain, mixed = (BarSeries(PAIR, "1m", keep=keep, plots=store) for store in plots)
    by_bar = [plain.attach(make(), of=of) for make, of in KINDS]
    by_chance = [mixed.attach(make(), of=of) for make, of in KINDS]
    given_bars, done = 0, 0

    def pull() -> None:
        nonlocal given_bars
        rows, given_bars = everything[given_bars:done], done
        if len(rows) < 8:
            mixed.append_all(rows)
        else:
            mixed.extend(*([getattr(row, name) for row in rows] for name in BarSeries.names))

    mixed.pull_from(pull)
    while done < len(everything):
        count = chance.choice([1, 1, 2, 7, 70, 300])
        for row in everything[done : done + count]:
            plain.append(row)
            assert [a.value for a in by_bar]  # values are read at every bar
        done = min(len(everything), done + count)
        if chance.random() < 0.5:
            assert [(a.value, a.previous) for a in by_chance] == [(a.value, a.previous) for a in by_bar]
        if chance.random() < 0.2:
            assert mixed.close.tolist() == plain.close.tolist()
    assert [(a.value, a.previous) for a in by_chance] == [(a.value, a.previous) for a in by_bar]
    assert plots[0].lines() == plots[1].lines()


def test_an_indicator_is_updated_with_every_bar_even_if_it_is_not_read() -> None:
    got = BarSeries(PAIR, "1m", keep=5)
    mean = got.attach(VWAP(), name="all")
    feed(got, [float(i) for i in range(9_999)])
    by_hand = VWAP()
    for row in bars_of([float(i) for i in range(9_999)]):
        by_hand.update(row)
    assert mean.value == by_hand.value


# -- the start ----------------------------------------------------------------------------------------------------


def test_a_series_requests_the_history_required_by_its_indicators() -> None:
    got = BarSeries(PAIR, "1m", warm_up=40, is_ready=False)
    assert got.wanted_history == 40
    got.attach(SMA(30))
    assert got.wanted_history == 40
    got.attach(RSI(14))
    assert got.wanted_history == 388


@pytest.mark.parametrize(
    "read",
    [lambda s: s.close, len, list, lambda s: s[-1], lambda s: s[:], lambda s: s.to_pandas(),
     lambda s: next(iter(s.attached.values())).value, lambda s: next(iter(s.attached.values())).previous,
     lambda s: next(iter(s.attached.values())).crossed_above(3.0)],
)  # fmt: skip
def test_reading_a_series_before_its_history_arrives_raises_an_error_with_a_suggested_fix(read: Any) -> None:
    got = BarSeries(PAIR, "1m", is_ready=False)
    got.attach(SMA(2))
    with pytest.raises(
        NotReadyError,
        match=r"^the finished bars of btc_twd 1m are available from on_ready on; move this code to on_ready$",
    ):
        read(got)
    assert repr(got) == "<BarSeries btc_twd 1m: not ready>"
    got.begin([])
    assert got.is_ready
    assert len(got) == 0


def test_an_indicator_is_warmed_up_with_exactly_the_history_it_requires() -> None:
    closes = [float(Random(3).randint(1, 99)) for _ in range(1)] + [float(i % 17) for i in range(600)]
    got = BarSeries(PAIR, "1m", is_ready=False)
    attached = [got.attach(EMA(5)), got.attach(Bollinger(7)), got.attach(Momentum(4)), got.attach(VWAP(), "since")]
    got.begin(bars_of(closes))
    for row in attached:
        fresh = type(row.indicator)(*{EMA: (5,), Bollinger: (7,), Momentum: (4,), VWAP: ()}[type(row.indicator)])
        before = None
        for old in bars_of(closes)[len(closes) - row.history :]:
            before = fresh.value
            fresh.update(old)
        assert (row.value, row.previous) == (fresh.value, before)
    assert attached[3].value is None
    assert len(got) == len(closes)


def test_bars_that_closed_during_the_history_read_are_appended_without_duplicates() -> None:
    got = BarSeries(PAIR, "1m", is_ready=False)
    mean = got.attach(SMA(2))
    got.append(bar(5, 50.0))
    got.append(bar(6, 60.0))
    got.begin([bar(3, 30.0), bar(4, 40.0), bar(5, 51.0)])
    assert got.close.tolist() == [30.0, 40.0, 51.0, 60.0]
    assert (mean.value, mean.previous) == (55.5, 45.5)


def test_incomplete_history_does_not_delay_the_start() -> None:
    got = BarSeries(PAIR, "1m", is_ready=False)
    mean = got.attach(SMA(3))
    got.begin(bars_of([1.0, 2.0]))
    assert mean.value is None
    assert got.missing_history == 1
    got.append(bar(2, 3.0))
    assert mean.value == 2.0


# -- the kept bars ---------------------------------------------------------------------------------------------------


def test_a_series_keeps_ten_thousand_bars_or_as_many_as_its_indicators_require() -> None:
    assert BarSeries(PAIR, "1m").keep == KEEP_ROWS == 10_000
    small = BarSeries(PAIR, "1m", keep=5)
    small.attach(SMA(30))
    assert small.keep == 30
    large = BarSeries(PAIR, "1m")
    large.attach(SMA(12_000))
    assert large.keep == 12_000
    endless = BarSeries(PAIR, "1m", keep=None)
    endless.attach(SMA(12_000))
    assert endless.keep is None


# -- crossings --------------------------------------------------------------------------------------------------------


def crossings(closes: list[float], level: float | None) -> list[str]:
    got = BarSeries(PAIR, "1m")
    fast, slow = got.attach(SMA(1), "fast"), got.attach(SMA(2), "slow")
    found = []
    for row in bars_of(closes):
        got.append(row)
        other: Any = slow if level is None else level
        found.append("above" if fast.crossed_above(other) else "below" if fast.crossed_below(other) else "")
    return found


def test_a_crossing_requires_a_move_from_at_or_below_to_above() -> None:
    assert crossings([1, 2, 3, 2, 2, 3], None) == ["", "", "", "below", "", "above"]
    assert crossings([1, 2, 3, 2, 1, 2, 2], 2.0) == ["", "", "above", "", "below", "", ""]


def test_no_crossing_is_reported_until_both_indicators_have_values_at_two_bars() -> None:
    got = BarSeries(PAIR, "1m")
    fast, slow = got.attach(SMA(1)), got.attach(SMA(3))
    feed(got, [3.0, 2.0, 9.0])
    assert slow.value is not None
    assert not fast.crossed_above(slow)
    assert not slow.crossed_below(fast)


def test_two_fields_of_one_indicator_can_cross() -> None:
    got = BarSeries(PAIR, "1m")
    macd = got.attach(MACD(2, 4, 2))
    found = []
    closes = [float(10 + (i if i < 9 else 18 - i)) for i in range(18)]
    for row in bars_of(closes):
        got.append(row)
        found.append(macd["line"].crossed_below(macd["signal"]))
    line = MACD(2, 4, 2).over(closes)
    assert found == [
        bool(i and line.line[i - 1] >= line.signal[i - 1] and line.line[i] < line.signal[i]) for i in range(len(closes))
    ]
    assert sum(found) == 1
    assert repr(macd["line"]) == "MACD(2, 4, 2) line"
    with pytest.raises(ValueError, match=r"choose one, as in \['line', 'signal', 'histogram'\]"):
        macd.crossed_above(0)
    with pytest.raises(ValueError, match="MACD\\(2, 4, 2\\) has no 'lines'; it has line, signal, histogram"):
        macd["lines"]


def test_a_crossing_with_an_indicator_from_another_series_is_refused() -> None:
    one, other = BarSeries(PAIR, "1m"), BarSeries(PAIR, "5m")
    fast, slow = one.attach(SMA(1)), other.attach(SMA(2))
    with pytest.raises(
        ValueError, match="different series, whose bars end at different times; attach both to the same"
    ):
        fast.crossed_above(slow)
    with pytest.raises(ValueError, match="or a number, not None"):
        fast.crossed_below(None)  # type: ignore[arg-type]


# -- attaching --------------------------------------------------------------------------------------------------------


def test_reusing_a_name_replaces_the_indicator_and_warms_it_up_from_the_stored_bars() -> None:
    got = BarSeries(PAIR, "1m")
    first = got.attach(SMA(2), name="fast")
    feed(got, [1.0, 2.0, 3.0, 4.0])
    again = got.attach(SMA(3), name="fast")
    assert again is first  # a strategy that kept the first object reads the new indicator through it
    assert (again.value, again.previous) == (3.0, None)
    assert list(got.attached) == ["fast"]
    feed(got, [8.0])
    assert (again.value, again.previous) == (5.0, 3.0)
    long = got.attach(SMA(7), name="fast")
    assert long.value is None
    assert got.missing_history == 2


@pytest.mark.parametrize("since", [0, 1, 40])
def test_older_bars_added_later_give_an_indicator_the_same_values_as_a_full_warm_up(since: int) -> None:
    closes = [float(i * 7 % 31) for i in range(300)]
    whole = bars_of(closes)
    late, wanted = BarSeries(PAIR, "1m", keep=10), BarSeries(PAIR, "1m", is_ready=False)
    late.append_all(whole[230:250])
    attached = [late.attach(EMA(9), "mean"), late.attach(Bollinger(25), "bands"), late.attach(SMA(3))]
    same = [wanted.attach(EMA(9)), wanted.attach(Bollinger(25)), wanted.attach(SMA(3))]
    wanted.begin(whole[:250])
    for row in whole[250 : 250 + since]:
        late.append(row)
        wanted.append(row)
    late.backfill(whole[:245])
    assert late.missing_history == 0
    assert [(a.value, a.previous) for a in attached] == [(a.value, a.previous) for a in same]
    late.append(whole[290])
    wanted.append(whole[290])
    assert [(a.value, a.previous) for a in attached] == [(a.value, a.previous) for a in same]


def picky(closes: Any) -> float:
    if closes[-1] == 13.0:
        raise ZeroDivisionError("thirteen")
    return float(closes[-1])


@pytest.mark.parametrize("reads", [False, True])
def test_a_failing_indicator_raises_only_when_it_is_read(reads: bool) -> None:
    got = BarSeries(PAIR, "1m")
    before, broken, after = got.attach(SMA(2)), got.attach(ArrayIndicator(picky, 1)), got.attach(SMA(3))
    for row in bars_of([float(i) for i in range(20)] if reads else [float(i % 20) for i in range(6_000)]):
        got.append(row)  # the engine calls this method, so it must not raise even if an indicator fails
        if reads and row.close < 13:
            assert broken.value == row.close
        elif reads:
            for read in (lambda: broken.value, lambda: broken.crossed_above(0), lambda: after.crossed_above(broken)):
                with pytest.raises(ZeroDivisionError, match="thirteen"):
                    read()
            assert after.value == pytest.approx(row.close - 1)
    with pytest.raises(ZeroDivisionError, match="thirteen"):
        _ = broken.previous
    assert (before.value, after.value) == (18.5, 18.0)
    assert list(got.attached) == ["SMA(2)", "SMA(3)"]


def test_an_indicator_that_fails_during_warm_up_raises_only_when_it_is_read() -> None:
    got = BarSeries(PAIR, "1m", is_ready=False)
    broken, fine = got.attach(ArrayIndicator(picky, 3)), got.attach(SMA(1))
    got.begin(bars_of([11.0, 12.0, 13.0]))
    assert fine.value == 13.0
    with pytest.raises(ZeroDivisionError):
        _ = broken.value


def test_invalid_uses_of_attach_are_refused_with_a_suggested_fix() -> None:
    got = BarSeries(PAIR, "1m")
    with pytest.raises(ValueError, match="of='middle' is not a value of a bar; choose one of open, high"):
        got.attach(SMA(2), of="middle")
    with pytest.raises(ValueError, match=r"ATR\(3\) takes high, low, close of a bar; omit of='open'"):
        got.attach(ATR(3), of="open")
    used = SMA(1)
    used.update(1.0)
    with pytest.raises(ValueError, match=r"SMA\(1\) has already been fed; attach a new one"):
        got.attach(used)
    one = SMA(2)
    got.attach(one)
    for series, name in ((got, "other"), (BarSeries(PAIR, "5m"), None)):
        with pytest.raises(
            ValueError, match=r"this SMA\(2\) is already attached; attach a new one as '(other|SMA\(2\))'"
        ):
            series.attach(one, name)
    assert got.attach(one).value is None  # repeating the call has no effect


def test_an_indicators_input_appears_in_its_label_and_determines_its_pane() -> None:
    got = BarSeries(PAIR, "1m")
    labels = [got.attach(RollingHigh(2), of="high"), got.attach(SMA(2), of="volume"), got.attach(RSI(2), of="volume")]
    assert [(a.name, a.pane) for a in labels] == [
        ("RollingHigh(2) of high", "price"), ("SMA(2) of volume", "volume"), ("RSI(2) of volume", "RSI"),
    ]  # fmt: skip


# -- plots ----------------------------------------------------------------------------------------------------


def test_values_of_attached_indicators_are_collected_on_request() -> None:
    store = PlotStore("s", takes_indicators=True)
    minutes, hours = BarSeries(PAIR, "1m", plots=store), BarSeries(PAIR, "1h", plots=store)
    minutes.attach(SMA(2))
    bands = minutes.attach(Bollinger(3), "bands")
    hours.attach(SMA(2))
    feed(minutes, [1.0, 2.0, 3.0])
    hours.append_all([Bar(PAIR, T0, 1, 1, 1, 1, 1, "1h"), Bar(PAIR, T0 + 60 * M, 3, 3, 3, 3, 1, "1h")])
    assert bands.value is not None
    assert hours.attached["SMA(2)"].value == 2.0
    lines = {f"{line.name} {line.field}".strip(): line for line in store.lines()}
    assert list(lines) == ["SMA(2) 1m", "bands lower", "bands middle", "bands upper", "SMA(2) 1h"]
    assert lines["SMA(2) 1m"].values == [1.5, 2.5]
    # a point is drawn at the end of its bar, because a finer chart must not show the value before it was known
    assert lines["SMA(2) 1m"].times == [T0 + 2 * M - 1, T0 + 3 * M - 1]
    assert lines["SMA(2) 1h"].times == [T0 + 120 * M - 1]
    assert {(line.pair, line.strategy, line.pane) for line in lines.values()} == {("btc_twd", "s", "price")}
    unasked = PlotStore("s")
    other = BarSeries(PAIR, "1m", plots=unasked)
    other.attach(SMA(1))
    feed(other, [1.0])
    assert other.attached["SMA(1)"].value == 1.0
    assert unasked.lines() == []


def test_warm_up_values_are_not_plotted() -> None:
    store = PlotStore("s", takes_indicators=True)
    got = BarSeries(PAIR, "1m", plots=store, is_ready=False)
    mean = got.attach(SMA(2))
    got.begin(bars_of([1.0, 2.0, 3.0]))
    got.append(bar(3, 4.0))
    assert mean.value == 3.5
    assert [line.values for line in store.lines()] == [[3.5]]


# -- trades -----------------------------------------------------------------------------------------------------------


def trades(count: int, first: int = 0) -> list[Trade]:
    sides = [Side.BUY, None, Side.SELL]
    return [Trade(PAIR, T0 + i // 2, 100.0 + i * 7 % 5, 0.5 + i % 3, sides[i % 3]) for i in range(first, first + count)]


def test_a_trade_series_contains_trades_and_updates_its_indicators_with_each_trade() -> None:
    got = TradeSeries(PAIR)
    fast, slow = got.attach(SMA(2)), got.attach(SMA(3), of="amount")
    vwap, true_range = got.attach(VWAP(4)), got.attach(ATR(2))
    by_hand = VWAP(4)
    for row in trades(200):
        got.append(row)
        by_hand.update(row.price, row.amount)
        if len(got) % 7 == 0:
            assert vwap.value == by_hand.value
    assert got[:] == trades(200)
    assert got[-1] == trades(200)[-1]
    assert fast.value == sum(t.price for t in trades(200)[-2:]) / 2
    assert slow.value == pytest.approx(sum(t.amount for t in trades(200)[-3:]) / 3)
    assert slow.pane == "amount"
    assert true_range.value is not None
    assert got.price.tolist() == [t.price for t in trades(200)]
    with pytest.raises(ValueError, match="of='close' is not a value of a trade; choose price or amount"):
        got.attach(SMA(2), of="close")


def test_trades_added_as_columns_are_equivalent_to_trades_added_one_by_one() -> None:
    one, other = TradeSeries(PAIR), TradeSeries(PAIR)
    means = [one.attach(EMA(5)), other.attach(EMA(5))]
    rows = trades(500)
    one.append_all(rows)
    signs = {Side.BUY: 1, None: 0, Side.SELL: -1}
    other.extend(
        [t.time for t in rows], [t.price for t in rows], [t.amount for t in rows], [signs[t.side] for t in rows]
    )
    assert list(one) == list(other)
    assert (means[0].value, means[0].previous) == (means[1].value, means[1].previous)
    assert means[0].value is not None
    assert np.array_equal(one.time, other.time)
