"""Indicators: known values, the first valid value, numerical stability over many updates, and input errors."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pandas as pd
import pytest

from botkit.engine.indicators.array_indicator import ArrayIndicator
from botkit.engine.indicators.extremes import RollingHigh, RollingLow
from botkit.engine.indicators.moving_averages import EMA, SMA, WMA
from botkit.engine.indicators.oscillators import MACD, RSI, Macd
from botkit.engine.indicators.volatility import ATR, Bands, Bollinger
from botkit.engine.indicators.volume import VWAP


def steps(indicator: Any, *columns: list[float]) -> list[Any]:
    return [indicator.update(*row) for row in zip(*columns, strict=True)]


def walk(count: int, seed: int = 1) -> list[float]:
    chance = random.Random(seed)
    ticks, prices = 4_000_000, []
    for _ in range(count):
        ticks += chance.randint(-500, 500)
        prices.append(ticks / 100)
    return prices


def test_moving_averages_match_known_values() -> None:
    assert steps(SMA(3), [1, 2, 3, 4, 8]) == [None, None, 2, 3, 5]
    assert steps(WMA(3), [1, 2, 3, 4, 8])[2:] == pytest.approx([14 / 6, 20 / 6, 35 / 6])
    assert steps(EMA(3), [1, 2, 3, 4, 8]) == [None, None, 2, 3, 5.5]


def test_highs_and_lows_match_known_values() -> None:
    assert steps(RollingHigh(3), [3, 1, 2, 1, 5, 4]) == [None, None, 3, 2, 5, 5]
    assert steps(RollingLow(3), [3, 1, 2, 3, 5, 4]) == [None, None, 1, 1, 2, 3]


def test_bands_match_known_values() -> None:
    assert steps(Bollinger(4, 2), [2, 4, 4, 6]) == [None] * 3 + [Bands(4 - 2 * math.sqrt(2), 4, 4 + 2 * math.sqrt(2))]


def test_true_ranges_match_known_values() -> None:
    # true ranges: 2; max(1, |11 - 9|, |10 - 9|) = 2; a gap down: max(1, |6 - 10|, |5 - 10|) = 5
    assert steps(ATR(2), [10, 11, 6], [8, 10, 5], [9, 10, 5.5]) == [None, 2, (2 + 5) / 2]


def test_volume_weighted_average_prices_match_known_values() -> None:
    prices, volumes = [10.0, 20, 30, 40], [1.0, 3, 0, 0]
    assert steps(VWAP(2), prices, volumes) == [None, 17.5, 20, 40]  # no trades occurred in the last window
    assert steps(VWAP(), prices, volumes) == [10, 17.5, 17.5, 17.5]


def test_a_cumulative_average_can_be_reset() -> None:
    vwap = VWAP()
    steps(vwap, [10.0, 20], [1.0, 1])
    vwap.reset()
    assert not vwap.ready
    assert vwap.update(99.0, 2.0) == 99


def test_rsi_matches_wilders_definition() -> None:
    # the usual textbook example (14 periods) with values rounded to two decimals
    closes = [
        44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931, 46.0328,
        45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439,
    ]  # fmt: skip
    got = steps(RSI(14), closes)
    assert got[:14] == [None] * 14
    assert [round(value, 2) for value in got[14:]] == [70.53, 66.32, 66.55, 69.41, 66.36, 57.97]


def test_rsi_reaches_its_upper_and_lower_bounds() -> None:
    assert steps(RSI(2), [1, 2, 3])[-1] == 100
    assert steps(RSI(2), [3, 2, 1])[-1] == 0
    assert steps(RSI(2), [2, 2, 2])[-1] == 50


def test_macd_is_computed_from_its_moving_averages() -> None:
    prices = walk(60)
    line = EMA(3).over(prices) - EMA(6).over(prices)
    signal = EMA(4).over(line[5:])
    got = steps(MACD(3, 6, 4), prices)
    assert got[:8] == [None] * 8
    assert got[8] == Macd(line[8], signal[3], line[8] - signal[3])
    assert got[-1] == Macd(line[-1], signal[-1], line[-1] - signal[-1])


@pytest.mark.parametrize(
    ("indicator", "first"),
    [(SMA(5), 5), (WMA(5), 5), (EMA(5), 5), (RSI(5), 6), (MACD(2, 5, 3), 7), (Bollinger(5), 5), (RollingHigh(5), 5)],
)
def test_each_indicators_first_value_is_available_after_the_documented_number_of_updates(
    indicator: Any, first: int
) -> None:
    for count, price in enumerate(walk(12), start=1):
        indicator.update(price)
        assert indicator.ready is (count >= first)


def test_moving_averages_agree_with_pandas() -> None:
    prices = walk(500)
    series = pd.Series(prices)
    np.testing.assert_allclose(SMA(30).over(prices), series.rolling(30).mean(), rtol=1e-13)
    np.testing.assert_allclose(
        Bollinger(20).over(prices).upper, series.rolling(20).mean() + 2 * series.rolling(20).std(ddof=0), rtol=1e-12
    )
    np.testing.assert_array_equal(RollingHigh(9).over(prices), series.rolling(9).max())


def test_rounding_errors_do_not_accumulate_over_many_updates() -> None:
    chance = random.Random(7)
    sma, bands = SMA(50), Bollinger(50)
    window: list[float] = []
    for i in range(200_000):
        # an occasional huge value, whose rounding error would stay in a running sum forever
        value = 1e15 if i % 70_000 == 69_999 else chance.randint(1, 10**7) / 100
        sma.update(value)
        bands.update(value)
        window.append(value)
    last = window[-50:]
    assert sma.value == pytest.approx(math.fsum(last) / 50, rel=1e-14)
    assert bands.value is not None
    assert bands.value.upper - bands.value.middle == pytest.approx(2 * np.std(last), rel=1e-12)


def test_bands_are_accurate_for_a_high_price_that_barely_moves() -> None:
    # a variance computed from sums of squares would be zero or negative: floats near 1e18, the square of 1e9, cannot
    # represent hundredths
    line = [1e9 + 0.01 * (i % 2) for i in range(40)]
    bands = Bollinger(20, 1).over(line)
    assert bands.upper[-1] - bands.middle[-1] == pytest.approx(0.005, rel=1e-4)


def test_an_array_indicator_accepts_any_function() -> None:
    prices = walk(40)
    mean = ArrayIndicator(lambda close: pd.Series(close).rolling(5).mean(), 5)
    got = steps(mean, prices)
    assert got[:4] == [None] * 4
    np.testing.assert_allclose([math.nan if v is None else v for v in got], SMA(5).over(prices), rtol=1e-12)
    assert mean.value == got[-1]


def test_an_array_indicator_supports_options_input_selection_and_tuple_results() -> None:
    def spread(high: Any, low: Any, *, times: float) -> tuple[Any, Any]:
        assert len(high) == len(low) == 3
        high *= times  # the function receives copies, so this must not change the indicator's own values
        return high - low, low

    indicator = ArrayIndicator(spread, 3, inputs=("high", "low"), fields=("spread", "low"), times=2.0)
    highs, lows = [float(i + 2) for i in range(20)], [float(i) for i in range(20)]
    got = steps(indicator, highs, lows)
    assert got == [None, None, *((2 * high - low, low) for high, low in zip(highs[2:], lows[2:], strict=True))]
    with pytest.raises(ValueError, match="takes high, low, or a bar, but got 1 values"):
        indicator.update(1.0)
    with pytest.raises(ValueError, match="takes high, low, but got 1 arrays"):
        indicator.over([1.0])


def test_an_array_indicator_is_not_ready_while_its_function_returns_nan() -> None:
    indicator = ArrayIndicator(lambda a: np.where(a > 0, a, np.nan), 1)
    assert steps(indicator, [1.0, -1.0, 2.0]) == [1, None, 2]
    with pytest.raises(ValueError, match="empty array"):
        ArrayIndicator(lambda a: a[:0], 1).update(1.0)


@pytest.mark.parametrize("kind", [SMA, WMA, EMA, RSI, Bollinger, ATR, RollingHigh, RollingLow, VWAP])
@pytest.mark.parametrize("length", [0, -1, 2.5, True, "10"])
def test_indicator_lengths_must_be_positive_integers(kind: Any, length: Any) -> None:
    with pytest.raises(ValueError, match="at least 1, not"):
        kind(length)


def test_other_invalid_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="fast length below the slow length"):
        MACD(26, 12)
    with pytest.raises(ValueError, match="width above 0"):
        Bollinger(20, 0)
    with pytest.raises(ValueError, match="1-dimensional"):
        SMA(2).over(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="equal length"):
        ATR(2).over([1.0], [1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="function from arrays"):
        ArrayIndicator("close", 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [SMA, WMA, EMA, RSI, Bollinger, RollingHigh, RollingLow])
def test_short_and_empty_arrays_yield_nan(kind: Any) -> None:
    for count in (0, 1, 4):
        result = kind(5).over([1.0] * count)
        for part in result if isinstance(result, tuple) else (result,):
            assert len(part) == count
            assert np.isnan(part).all()
