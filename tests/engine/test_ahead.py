"""Window indicators: values computed in blocks during a quiet span must equal values computed bar by bar."""

from __future__ import annotations

import gc
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from botkit.engine.indicators.extremes import RollingLow
from botkit.engine.indicators.moving_averages import EMA, SMA, WMA
from botkit.engine.indicators.volatility import Bollinger
from botkit.engine.indicators.volume import VWAP
from botkit.engine.market.blocks import CandleBlock, SeriesSource
from botkit.engine.strategy.attached import Attached
from botkit.engine.strategy.bar_series import BarSeries
from botkit.engine.strategy.plots import PlotStore
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.clock import NS_PER_MINUTE, parse_time
from botkit.model.columns import CandleColumns
from tests.cli.first_week import FirstBot

PAIR = packaged_pairs()["btc_twd"]
T0 = parse_time("2025-03-03T10:00")
ROWS = 400


def candles(seed: int) -> CandleColumns:
    """Return candles with only a few distinct prices, so that indicator lines often touch."""
    rng = np.random.default_rng(seed)
    close = 1_000 + np.cumsum(rng.integers(-1, 2, ROWS))
    time = T0 + np.arange(ROWS, dtype=np.int64) * NS_PER_MINUTE
    lots = rng.integers(0, 3, ROWS) * 10**6
    return CandleColumns(PAIR, "1m", time + NS_PER_MINUTE, time, close, close + 1, close - 1, close, lots)


def lines(series: BarSeries) -> list[Attached[Any]]:
    made = (SMA(4), SMA(9), WMA(6), VWAP(5), VWAP(), EMA(5), RollingLow(7))
    return [series.attach(indicator, name=str(number)) for number, indicator in enumerate(made)]


def read(random: Random, found: list[Attached[Any]], bands: Attached[Any]) -> object:
    """Read a randomly chosen property of the indicator lines."""
    one, other = random.choice(found), random.choice(found)
    return random.choice(
        (
            lambda: None,
            lambda: [line.value for line in found],
            lambda: (one.value, one.previous, one.ready),
            lambda: (one.crossed_above(other), one.crossed_below(other)),
            lambda: (one.crossed_above(1_000), one.crossed_below(bands["middle"]), bands["lower"].crossed_above(one)),
            lambda: (one.value, one.indicator.value),
        )
    )()


@pytest.mark.parametrize("seed", range(30))
def test_lines_computed_block_by_block_equal_lines_computed_bar_by_bar(seed: int) -> None:
    columns = candles(seed)
    block, bars = CandleBlock(columns, 0, ROWS), CandleBlock(columns, 0, ROWS).make_events()
    block.make_events()
    results = []
    for is_block in (True, False):
        plots = PlotStore("s", takes_indicators=True, whole_run=True, points_max=150)
        series = BarSeries(PAIR, "1m", plots=plots, keep=Random(seed).choice((50, 10_000)))
        found, bands = lines(series), series.attach(Bollinger(5))
        random, said = Random(seed), []
        begin = random.randrange(20)
        series.append_all(bars[:begin])
        source = None
        for row in range(begin, ROWS):
            if is_block and source is None:
                block.skip_to(row)
                source = SeriesSource(series, block, row)
            if source is not None and row % 11 == 0:  # a turn processes this row, as it does at midnight
                assert not source.takes(bars[row - 1] if row else bars[1])
                assert source.takes(bars[row])
            block.done = row + 1
            if not is_block:
                series.append(bars[row])
            if random.random() < 0.6:
                said.append(read(random, found, bands))
            if random.random() < 0.1:
                said.append(series.close.tolist())
            chance = random.random()
            if chance < 0.01:
                found[0] = series.attach(SMA(3 + row % 7), name="0")
            if chance > 0.98 and source is not None:  # an event that terminates the span
                source.end()
                source = None
        if source is not None:
            source.end()
        said.append([(line.value, line.previous) for line in (*found, bands)])
        results.append((said, plots.lines()))
    (said, drawn), (expected, expected_lines) = results
    for number, (one, other) in enumerate(zip(said, expected, strict=True)):
        assert one == other, number
    assert drawn == expected_lines


class HighestSMA(SMA):
    """An average with state of its own."""

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.highest = 0.0

    def extend(self, *columns: Any) -> Any:
        results = super().extend(*columns)
        self.highest = max([self.highest, *results[~np.isnan(results)].tolist()])
        return results

    def step(self, value: float) -> float | None:  # type: ignore[override]
        mean = super().step(value)
        self.highest = max(self.highest, mean or 0.0)
        return mean


@pytest.mark.parametrize("seed", range(8))
def test_lines_of_blocks_that_a_run_has_passed_to_their_end_continue_from_there(seed: int) -> None:
    columns = candles(seed)
    bars = CandleBlock(columns, 0, ROWS).make_events()
    in_blocks, one_by_one = BarSeries(PAIR, "1m"), BarSeries(PAIR, "1m")
    found, expected = lines(in_blocks), lines(one_by_one)
    for begin, end in ((0, 3), (3, 150), (150, 151), (151, 300)):
        block = CandleBlock(columns, begin, end)
        source = SeriesSource(in_blocks, block, 0)
        for row in range(end - begin):
            block.done = row + 1
            if row % 3 == seed % 3:
                assert found[0].ready is (begin + row >= 3)
        source.end()
        one_by_one.append_all(bars[begin:end])
        assert [(line.value, line.previous) for line in found] == [(line.value, line.previous) for line in expected]
    for bar in bars[300:]:
        in_blocks.append(bar)
        one_by_one.append(bar)
        assert [(line.value, line.previous) for line in found] == [(line.value, line.previous) for line in expected]


def test_the_state_of_a_subclass_continues_after_a_block() -> None:
    series = BarSeries(PAIR, "1m")
    line = series.attach(HighestSMA(4))
    columns = candles(3)
    for begin, end in ((0, 200), (200, ROWS)):
        block = CandleBlock(columns, begin, end)
        source = SeriesSource(series, block, 0)
        block.done = 1
        assert line.ready is bool(begin)
        block.done = end - begin
        source.end()
    fresh = HighestSMA(4)
    fresh.extend(columns.close / 10**PAIR.rules.price_decimals)
    assert line.indicator.highest == fresh.highest  # type: ignore[attr-defined]


def test_crossings_with_two_lines_and_levels_asked_for_in_turn_are_told_apart() -> None:
    columns = candles(5)
    block, bars = CandleBlock(columns, 0, ROWS), CandleBlock(columns, 0, ROWS).make_events()
    ahead, plain = BarSeries(PAIR, "1m"), BarSeries(PAIR, "1m")
    source = SeriesSource(ahead, block, 0)
    said = []
    for series in (ahead, plain):
        fast, slow, middle = (series.attach(SMA(length)) for length in (2, 9, 5))
        level = bars[200].close
        answers = []
        for row in range(ROWS):
            if series is plain:
                series.append(bars[row])
            else:
                block.done = row + 1
            answers.append([line.crossed_above(fast) for line in (slow, middle)])
            answers.append([fast.crossed_above(slow), fast.crossed_below(middle), fast.crossed_below(slow)])
            answers.append([fast.crossed_above(level), fast.crossed_above(level + 1), fast.crossed_below(level)])
        for wrong in (True, None, "9"):
            with pytest.raises(ValueError, match="can cross an indicator"):
                fast.crossed_above(wrong)  # type: ignore[arg-type]
        said.append(answers)
    assert said[0] == said[1]
    source.end()


def test_a_block_that_a_run_has_passed_is_freed_without_a_garbage_collection() -> None:
    series = BarSeries(PAIR, "1m")
    fast, slow = series.attach(SMA(2)), series.attach(SMA(9))
    columns = candles(5)
    gc.collect()
    gc.disable()
    try:
        for begin in range(0, ROWS, 100):
            block = CandleBlock(columns, begin, begin + 100)
            source = SeriesSource(series, block, 0)
            for row in range(100):
                block.done = row + 1
                fast.crossed_above(slow)
            source.end()
        del block, source
        assert sum(type(one) is CandleBlock for one in gc.get_objects()) <= 1
    finally:
        gc.enable()


def test_a_line_read_at_every_bar_is_computed_only_once_per_block(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[float] = []
    step = SMA.step
    monkeypatch.setattr(SMA, "step", lambda self, value: steps.append(value) or step(self, value))
    series = BarSeries(PAIR, "1m")
    line = series.attach(SMA(4))
    block = CandleBlock(candles(1), 0, ROWS)
    source = SeriesSource(series, block, 0)
    for row in range(ROWS):
        block.done = row + 1
        assert line.ready is (row >= 3)
    source.end()
    assert len(steps) < 20


def test_the_turn_at_midnight_does_not_compute_the_lines_of_a_block_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[int] = []
    prepare = Attached.prepare
    monkeypatch.setattr(Attached, "prepare", lambda self, *given: prepared.append(1) or prepare(self, *given))
    body = """
        def on_start(self):
            bars = self.subscribe_bars(self.pair, "1m")
            self.fast, self.slow = bars.attach(SMA(5)), bars.attach(SMA(9))

        def on_bar(self, bar):
            if self.fast.crossed_above(self.slow):
                self.market_buy(self.pair, spend=100)
    """
    bot = FirstBot(tmp_path, body, prices=[1_000_000.0 + 100 * (i % 17) for i in range(5 * 1_440)])
    assert bot.backtest("--json") == 0
    assert len(prepared) == 2
