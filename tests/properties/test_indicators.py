"""Every indicator yields bit-identical values whether computed step by step or over an array, and both results match
the plain definition.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from botkit.engine.indicators.array_indicator import ArrayIndicator
from botkit.engine.indicators.extremes import RollingHigh, RollingLow
from botkit.engine.indicators.moving_averages import EMA, SMA, WMA
from botkit.engine.indicators.oscillators import MACD, RSI
from botkit.engine.indicators.volatility import ATR, Bollinger
from botkit.engine.indicators.volume import VWAP
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.events import Bar

# prices similar to those of the exchange: a random walk in cents, with flat periods and jumps
STEPS = st.lists(st.sampled_from([0, 0, 0, 1, -1, 7, -7, 123, -4567, 10**7, -(10**7)]), max_size=80)
WALKS = st.builds(
    lambda start, steps: [max(1, start + total) / 100 for total in np.cumsum([0, *steps]).tolist()],
    st.integers(1, 10**9),
    STEPS,
)
# plus arbitrary other floats, except those so close to zero that their squares underflow; the smallest unit of money is
# 1e-8
WILD = st.lists(st.floats(-1e12, 1e12).filter(lambda value: value == 0 or abs(value) > 1e-12), max_size=60)
PRICES = st.one_of(WALKS, WILD)
LONG_WALKS = st.builds(
    lambda seed, count: Random(seed).choices([0.01, 1e7, *range(90, 110)], k=count),
    st.integers(0, 10**6),
    st.integers(200, 600),
)
PAIR = packaged_pairs()["btc_twd"]
LENGTHS = st.integers(1, 12)

ONE_INPUT: list[Callable[[int], Any]] = [
    SMA,
    WMA,
    EMA,
    RSI,
    RollingHigh,
    RollingLow,
    lambda n: Bollinger(n, 2.5),
    lambda n: MACD(n, n + 3, max(1, n // 2)),
    lambda n: ArrayIndicator(np.cumsum, n),
    lambda n: ArrayIndicator(lambda a: (a.min(), np.sort(a)), n, fields=("least", "most")),
]


def bits(result: Any) -> Any:
    """Return a float's bits, so that NaN compares equal to NaN, while 0.0 does not compare equal to the next float."""
    if result is None:
        return "nan"
    if isinstance(result, tuple):
        parts = tuple(bits(part) for part in result)
        return "nan" if "nan" in parts else parts
    return "nan" if math.isnan(result) else float(result)


def rows_of(result: Any) -> list[Any]:
    if isinstance(result, tuple):
        return [bits(tuple(row)) for row in zip(*(part.tolist() for part in result), strict=True)]
    return [bits(value) for value in result.tolist()]


@pytest.mark.parametrize("make", ONE_INPUT)
@given(PRICES, LENGTHS)
@settings(deadline=None, max_examples=60)
def test_incremental_updates_equal_array_calculations(
    make: Callable[[int], Any], prices: list[float], length: int
) -> None:
    indicator = make(length)
    before = indicator.over(prices)
    steps = []
    for price in prices:
        steps.append(bits(indicator.update(price)))
        assert steps[-1] == bits(indicator.value)
        assert indicator.ready is (indicator.value is not None)
    assert rows_of(before) == steps
    assert rows_of(indicator.over(np.array(prices))) == steps  # the indicator's own state is irrelevant here


@given(PRICES, LENGTHS, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_incremental_updates_equal_array_calculations_for_indicators_with_several_inputs(
    prices: list[float], length: int, chance: Any
) -> None:
    highs = [price + chance.choice([0, 0.01, 5]) for price in prices]
    lows = [price - chance.choice([0, 0.01, 5]) for price in prices]
    volumes = [chance.choice([0.0, 0.0, 0.0001, 3.5, 1e4]) for _ in prices]
    atr = ATR(length)
    steps = [bits(atr.update(*row)) for row in zip(highs, lows, prices, strict=True)]
    assert rows_of(ATR(length).over(highs, lows, prices)) == steps
    for vwap in (VWAP(length), VWAP()):
        steps = [bits(vwap.update(*row)) for row in zip(prices, volumes, strict=True)]
        assert rows_of(vwap.over(prices, volumes)) == steps


# -- one state: any split of a tape into values, bars and columns gives equal bits ---------------------------------

SEVERAL_INPUTS: list[Callable[[int], Any]] = [
    ATR,
    VWAP,
    lambda n: VWAP(),
    lambda n: ArrayIndicator(lambda high, low: np.cumsum(high - low), n, inputs=("high", "low")),
]


def rows_for(indicator: Any, closes: list[float], chance: Random) -> list[Bar]:
    bars = []
    for i, close in enumerate(closes):
        high, low = close + chance.choice([0, 0.01, 5]), close - chance.choice([0, 0.01, 5])
        bars.append(Bar(PAIR, i, close, high, low, close, chance.choice([0.0, 0.0, 0.0001, 3.5, 1e4])))
    return bars


def column(bars: list[Bar], name: str) -> Any:
    values = {
        part: np.array([getattr(bar, part) for bar in bars]) for part in ("open", "high", "low", "close", "volume")
    }
    return (values["high"] + values["low"] + values["close"]) / 3.0 if name == "typical" else values[name]


@pytest.mark.parametrize("make", ONE_INPUT + SEVERAL_INPUTS)
@given(st.one_of(WALKS, WILD, LONG_WALKS), st.one_of(LENGTHS, st.integers(1, 90)), st.integers())
@settings(deadline=None, max_examples=25)
def test_results_are_bit_identical_wherever_a_tape_is_split(
    make: Callable[[int], Any], closes: list[float], length: int, seed: int
) -> None:
    chance = Random(seed)
    by_value, cut = make(length), make(length)
    bars = rows_for(by_value, closes, chance)
    columns = [column(bars, name) for name in by_value.inputs]
    wanted = [bits(by_value.update(*row)) for row in zip(*(part.tolist() for part in columns), strict=True)]
    got: list[Any] = []
    while len(got) < len(bars):
        start = len(got)
        size = chance.choice([0, 1, 1, 2, length, length + 1, 3 * length, 100, 400])
        if chance.random() < 0.3:
            got.append(bits(cut.update(bars[start])))
        else:
            got += rows_of(cut.extend(*(part[start : start + size] for part in columns)))
        assert bits(cut.value) == (got[-1] if got else "nan")
    assert got == wanted
    assert rows_of(cut.over(*columns)) == wanted  # the indicator's own state is irrelevant here
    assert bits(cut.value) == (wanted[-1] if wanted else "nan")


@pytest.mark.parametrize(
    "make",
    [lambda: EMA(10), lambda: EMA(1), lambda: RSI(14), lambda: RSI(1), lambda: MACD(5, 12, 4), lambda: ATR(14),
     lambda: ATR(1), lambda: SMA(30), lambda: WMA(9), lambda: Bollinger(20), lambda: RollingHigh(7), lambda: VWAP(12)],
)  # fmt: skip
@given(st.integers())
@settings(deadline=None, max_examples=10)
def test_data_before_the_documented_history_changes_values_by_at_most_1e_9(make: Callable[[], Any], seed: int) -> None:
    chance = Random(seed)
    late, early = make(), make()
    history = late.history
    # earlier values range from half to twice the price, ten times the range of later values
    wild = [chance.uniform(50.0, 200.0) for _ in range(chance.randrange(1, 200))]
    closes = wild + [100.0 + chance.uniform(-10, 10) for _ in range(history + 20)]
    bars = rows_for(late, closes, chance)
    for bar in bars[: len(wild)]:
        early.update(bar)
    for i, bar in enumerate(bars[len(wild) :], start=1):
        one, other = late.update(bar), early.update(bar)
        if i >= history:
            assert one is not None
            assert np.array(one) == pytest.approx(np.array(other), abs=1e-9)


def exact_mean(window: list[float], weights: list[float]) -> float | None:
    total = sum(map(Fraction, weights), Fraction(0))
    if not total:
        return None
    return float(sum((Fraction(p) * Fraction(w) for p, w in zip(window, weights, strict=True)), Fraction(0)) / total)


@given(PRICES, LENGTHS)
@settings(deadline=None, max_examples=100)
def test_moving_averages_differ_from_exact_averages_only_by_rounding(prices: list[float], length: int) -> None:
    sma, wma, bands = SMA(length).over(prices), WMA(length).over(prices), Bollinger(length, 1).over(prices)
    vwap = VWAP(length).over(prices, [1.0 + i % 3 for i in range(len(prices))])
    for i in range(length - 1, len(prices)):
        window = prices[i - length + 1 : i + 1]
        near = 1e-14 * max(map(abs, window)) * length
        mean = exact_mean(window, [1.0] * length)
        assert mean is not None
        assert sma[i] == pytest.approx(mean, abs=near, rel=0)
        assert bands.middle[i] == sma[i]
        assert wma[i] == pytest.approx(exact_mean(window, list(range(1, length + 1))), abs=near, rel=0)
        weights = [1.0 + j % 3 for j in range(i - length + 1, i + 1)]
        assert vwap[i] == pytest.approx(exact_mean(window, weights), abs=near, rel=0)
        exact = [Fraction(p) for p in window]
        variance = sum((p - Fraction(sum(exact), length)) ** 2 for p in exact) / length
        deviation = math.sqrt(variance)
        assert bands.upper[i] - bands.middle[i] == pytest.approx(deviation, rel=1e-9, abs=near)


@given(PRICES, LENGTHS)
@settings(deadline=None, max_examples=60)
def test_rolling_highs_and_lows_match_those_of_the_window(prices: list[float], length: int) -> None:
    high, low = RollingHigh(length), RollingLow(length)
    for i, price in enumerate(prices):
        window = prices[max(0, i - length + 1) : i + 1]
        wanted = (max(window), min(window)) if len(window) == length else (None, None)
        assert (high.update(price), low.update(price)) == wanted


@given(WALKS, LENGTHS, LENGTHS, st.integers(1, 10**9))
@settings(deadline=None, max_examples=100)
def test_indicators_over_a_flat_window_yield_exactly_the_flat_price(
    prices: list[float], first: int, second: int, cents: int
) -> None:
    flat = cents / 100
    line = prices + [flat] * max(first, second)
    for length in (first, second):
        assert SMA(length).over(line)[-1] == flat
        assert WMA(length).over(line)[-1] == flat
        assert VWAP(length).over(line, np.ones(len(line)))[-1] == flat
        assert {part[-1] for part in Bollinger(length).over(line)} == {flat}
        assert EMA(length).over([flat] * 30)[-1] == flat


@given(st.lists(st.integers(-500, 500), min_size=20, max_size=60), LENGTHS)
@example([0] * 14 + [1, 0, 1, 0, 0, 0], 3)  # for this gain, 100 * gain / gain is not exactly 100
@settings(deadline=None, max_examples=40)
def test_rsi_stays_within_its_range_and_is_symmetric(steps: list[int], length: int) -> None:
    prices = np.cumsum([100_000, *steps]) / 100
    index = RSI(length).over(prices)[length:]
    mirrored = RSI(length).over(-prices)[length:]
    assert ((index >= 0) & (index <= 100)).all()
    moved = ~((index == 50) & (mirrored == 50))
    assert (index + mirrored)[moved] == pytest.approx(100)
