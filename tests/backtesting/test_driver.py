"""Quiet spans, slices and blocks are only optimizations: the decisions are identical to those made with one turn per
row.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from botkit.backtesting import session
from botkit.engine.market import blocks
from botkit.model.clock import NS_PER_MS
from botkit.model.results import BacktestResult
from tests.backtest_world import ROOT, run, write_candles, write_config, write_strategy
from tests.benchmarks import market_data
from tests.row_by_row import RowByRow

#: a strategy that reads all of the data that is updated lazily during spans, and logs a digest of it at the end
WATCHER = """
pair: Pair
every: int = 7
resolution: str = "1m"
protects: bool = False

def on_start(self):
    self._seen = 0
    self._count = 0
    self._average = EMA(5)
    self.series = self.subscribe_bars(self.pair, self.resolution, warm_up=3)
    self.coarse = self.subscribe_bars(self.pair, "5m", on=self.coarse_bar) if self.every % 2 else None
    self.set_timer(every_s=3600)
    if self.protects:
        self.protect(self.pair, stop_loss_pct=0.5, take_profit_pct=0.5)

def _see(self, *figures):
    self._seen = hash((self._seen, self.now, *figures))

def on_bar(self, bar):
    self._count += 1
    value = self._average.update(bar.close)
    self._see(bar.time, bar.close, self.last_price(self.pair))
    if self._count % 5 == 0:
        self._see(len(self.series), float(self.series.close[-1]), int(self.series.time[-1]), self.series[-1].volume)
    if self._count % 97 == 0:
        self._see(float(self.series.high.sum()), len(self.series.empty) if hasattr(self.series, "empty") else 0)
    if self._count % self.every:
        return
    step = self._count // self.every % 4
    if step == 0:
        self.market_buy(self.pair, spend=1_000)
    elif step == 1:
        self.sell(self.pair, amount=0.001, price=bar.close * 1.0005, post_only=True)
    elif step == 2:
        self.buy(self.pair, amount=0.001, price=bar.close * 0.9995, expire_s=300)
    else:
        self.cancel_all(self.pair)

def coarse_bar(self, bar):
    self._see("5m", bar.time, bar.close, len(self.series), len(self.coarse))

def on_timer(self, timer):
    self._see(timer.name, len(self.series), float(self.series.low[-1]) if len(self.series) else 0.0)

def on_order(self, order):
    self._see(order.client_id, order.state.value)

def on_fill(self, fill):
    self._see(fill.lots, fill.price_ticks)

def on_stop(self):
    self._see(float(self.series.close.sum()), len(self.series))
    self.skip(f"saw {self._seen} in {self._count} bars")
"""


def told(result: BacktestResult) -> tuple[object, ...]:
    """Return the parts of a result that must not depend on how rows are delivered."""
    summary = {key: value for key, value in result.summary.items() if key not in ("wall_s", "events_per_second")}
    return summary, [row.skips for row in result.strategies], result.fills, result.orders


def both_ways(config: Path) -> BacktestResult:
    """Run with spans and then row by row, check that the results are equal, and return the first result."""
    fast = run(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "Driver", RowByRow)
        slow = run(config)
    assert told(fast) == told(slow)
    return fast


@pytest.mark.parametrize("every", [1, 7, 40])
@pytest.mark.parametrize("more", ["", 'risk: {max_daily_loss: {usdt: "12000"}}\n', "protects"])
def test_candle_spans_are_equivalent_to_row_by_row_turns(tmp_path: Path, every: int, more: str) -> None:
    tape = market_data.write_tape(tmp_path / "tape", market_data.candles(1_500))
    protects = "true" if more == "protects" else "false"
    config = write_config(
        tmp_path,
        f"{{path: {tape}, pair: btc_usdt}}",
        plugins=write_strategy(tmp_path, WATCHER),
        params=f"{{pair: btc_usdt, every: {every}, protects: {protects}}}",
        more=more if more != "protects" else "",
    )
    result = both_ways(config)
    assert result.summary["fills"]
    if "loss" in more:
        assert any("halted" in caution.text for caution in result.warnings)
    assert any("saw" in reason for reason in result.strategies[0].skips) or result.strategies[0].stopped


@pytest.mark.parametrize("every", [1, 6])
def test_trade_spans_are_equivalent_to_row_by_row_turns(tmp_path: Path, every: int) -> None:
    tape = market_data.write_tape(tmp_path / "tape", market_data.trades(20_000))
    config = write_config(
        tmp_path,
        f"{{path: {tape}, pair: btc_usdt, kind: trades}}",
        plugins=write_strategy(tmp_path, WATCHER),
        params=f"{{pair: btc_usdt, every: {every}}}",
    )
    assert both_ways(config).summary["fills"]


@pytest.mark.parametrize("use", ["two_emas", "resting_emas"])
def test_the_trades_benchmark_makes_identical_decisions_row_by_row(tmp_path: Path, use: str) -> None:
    tape = market_data.write_tape(tmp_path / "tape", market_data.trades(60_000))
    config = write_config(
        tmp_path,
        f"{{path: {tape}, pair: btc_usdt}}",
        plugins=ROOT / "tests" / "benchmarks" / "strategies",
        use=use,
    )
    assert both_ways(config).summary["fills"]


def test_the_candles_benchmark_makes_identical_decisions_row_by_row(tmp_path: Path) -> None:
    tape = market_data.write_tape(tmp_path / "tape", market_data.candles(20_000))
    config = write_config(
        tmp_path, f"{{path: {tape}, pair: btc_usdt}}", plugins=ROOT / "strategies", use="sma_cross",
        balances='{usdt: "1000000"}',
    )  # fmt: skip
    assert both_ways(config).summary["fills"]


@settings(
    deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(slice_rows=st.integers(1, 700), block_rows=st.integers(1, 300), every=st.integers(1, 12))
def test_decisions_do_not_depend_on_slice_or_block_size(
    tmp_path: Path, slice_rows: int, block_rows: int, every: int
) -> None:
    tape = tmp_path / "tape"
    if not tape.exists():
        market_data.write_tape(tape, market_data.candles(700))
        write_strategy(tmp_path, WATCHER)
    config = write_config(
        tmp_path,
        f"{{path: {tape}, pair: btc_usdt}}",
        plugins=tmp_path / "plugins",
        params=f"{{pair: btc_usdt, every: {every}}}",
    )
    whole = run(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "SLICE_ROWS", slice_rows)
        patch.setattr(blocks, "BLOCK_ROWS", block_rows)
        assert told(run(config)) == told(whole)


EACH_BAR = """
pair: Pair

def on_start(self):
    self.subscribe_bars(self.pair, "1m")
    self._bars = 0

def on_bar(self, bar):
    self._bars += 1
    self.market_buy(self.pair, spend=100)
"""


def test_an_order_placed_on_the_last_bar_of_a_slice_fills_at_the_next_slices_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "SLICE_ROWS", 10)
    closes = list(np.linspace(50_000, 51_000, 35))
    candles = write_candles(tmp_path / "c.csv", closes)
    config = write_config(
        tmp_path,
        f"{{path: {candles}, pair: btc_usdt, kind: candles, resolution: 1m}}",
        plugins=write_strategy(tmp_path, EACH_BAR),
        backtest='  fees: {maker: "0", taker: "0"}\n  slippage: "0"\n  latency: {order_ms: 100, answer_ms: 100}\n',
    )
    result = run(config)
    # the last bar's order has no next open to fill at, so the run must cancel the order instead of leaving it open
    assert [fill.price_ticks for fill in result.fills] == [round(close * 100) for close in closes[:-1]]
    assert [fill.time for fill in result.fills] == [
        order.spec.created + 100 * NS_PER_MS for order in result.orders[:-1]
    ]
