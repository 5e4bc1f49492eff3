"""Every indicator step by step equals itself over an array, bit for bit; and both equal the plain definition."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from botkit.engine.indicators.array_indicator import ArrayIndicator
from botkit.engine.indicators.standard import (
    ATR,
    EMA,
    MACD,
    RSI,
    SMA,
    VWAP,
    WMA,
    Bollinger,
    RollingHigh,
    RollingLow,
)

# prices as the exchange has them: a walk in cents, with flat stretches and jumps
STEPS = st.lists(st.sampled_from([0, 0, 0, 1, -1, 7, -7, 123, -4567, 10**7, -(10**7)]), max_size=80)
WALKS = st.builds(
    lambda start, steps: [max(1, start + total) / 100 for total in np.cumsum([0, *steps]).tolist()],
    st.integers(1, 10**9),
    STEPS,
)
# and any other floats, except those so near to zero that their squares underflow: the finest unit of money is 1e-8
WILD = st.lists(st.floats(-1e12, 1e12).filter(lambda value: value == 0 or abs(value) > 1e-12), max_size=60)
PRICES = st.one_of(WALKS, WILD)
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
    lambda n: ArrayIndicator(lambda a: (a.min(), np.sort(a)), n),
]


def bits(result: Any) -> Any:
    """NaN equals NaN here, and 0.0 does not equal the next float."""
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
def test_step_by_step_equals_over_an_array(make: Callable[[int], Any], prices: list[float], length: int) -> None:
    indicator = make(length)
    before = indicator.over(prices)
    steps = []
    for price in prices:
        steps.append(bits(indicator.update(price)))
        assert steps[-1] == bits(indicator.value)
        assert indicator.ready is (indicator.value is not None)
    assert rows_of(before) == steps
    assert rows_of(indicator.over(np.array(prices))) == steps  # its own state does not leak in


@given(PRICES, LENGTHS, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_indicators_of_several_columns_too(prices: list[float], length: int, chance: Any) -> None:
    highs = [price + chance.choice([0, 0.01, 5]) for price in prices]
    lows = [price - chance.choice([0, 0.01, 5]) for price in prices]
    volumes = [chance.choice([0.0, 0.0, 0.0001, 3.5, 1e4]) for _ in prices]
    atr = ATR(length)
    steps = [bits(atr.update(*row)) for row in zip(highs, lows, prices, strict=True)]
    assert rows_of(ATR(length).over(highs, lows, prices)) == steps
    for vwap in (VWAP(length), VWAP()):
        fresh = VWAP(vwap.length)
        steps = [bits(vwap.update(*row)) for row in zip(prices, volumes, strict=True)]
        assert rows_of(fresh.over(prices, volumes)) == steps


def exact_mean(window: list[float], weights: list[float]) -> float | None:
    total = sum(map(Fraction, weights), Fraction(0))
    if not total:
        return None
    return float(sum((Fraction(p) * Fraction(w) for p, w in zip(window, weights, strict=True)), Fraction(0)) / total)


@given(PRICES, LENGTHS)
@settings(deadline=None, max_examples=100)
def test_averages_are_within_rounding_of_the_exact_ones(prices: list[float], length: int) -> None:
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
def test_extremes_are_those_of_the_window(prices: list[float], length: int) -> None:
    high, low = RollingHigh(length), RollingLow(length)
    for i, price in enumerate(prices):
        window = prices[max(0, i - length + 1) : i + 1]
        wanted = (max(window), min(window)) if len(window) == length else (None, None)
        assert (high.update(price), low.update(price)) == wanted


@given(WALKS, LENGTHS, LENGTHS, st.integers(1, 10**9))
@settings(deadline=None, max_examples=100)
def test_a_flat_window_gives_exactly_its_price(prices: list[float], first: int, second: int, cents: int) -> None:
    flat = cents / 100
    line = prices + [flat] * max(first, second)
    for length in (first, second):
        assert SMA(length).over(line)[-1] == flat
        assert WMA(length).over(line)[-1] == flat
        assert VWAP(length).over(line, np.ones(len(line)))[-1] == flat
        assert {part[-1] for part in Bollinger(length).over(line)} == {flat}
        assert EMA(length).over([flat] * 30)[-1] == flat


@given(st.lists(st.integers(-500, 500), min_size=20, max_size=60), LENGTHS)
@example([0] * 14 + [1, 0, 1, 0, 0, 0], 3)  # a gain that 100 times itself over itself does not give 100
@settings(deadline=None, max_examples=40)
def test_rsi_stays_in_its_range_and_mirrors(steps: list[int], length: int) -> None:
    prices = np.cumsum([100_000, *steps]) / 100
    index = RSI(length).over(prices)[length:]
    mirrored = RSI(length).over(-prices)[length:]
    assert ((index >= 0) & (index <= 100)).all()
    moved = ~((index == 50) & (mirrored == 50))
    assert (index + mirrored)[moved] == pytest.approx(100)
